//! The open module in a closed loop with the camera without hardware.
#![allow(dead_code, reason = "each test file uses its part")]

use coldshoe_camera::{
    Camera, Captured, Cfa, Delays, LensConfig, Light, Scene, SensorConfig, SensorRequest, angle,
};
use coldshoe_ipa::abi::MAX_STATE;
use coldshoe_ipa::{Actuators, Answer, Applied, Controls, FrameIn, Ipa, Sensor};
use coldshoe_ipa_open::Open;
use coldshoe_isp::soft;

pub const ALL_BLOCKS: u64 = 0b1_1111;

/// Camera and module, frame by frame.
pub struct Loop {
    pub camera: Camera,
    pub module: Open,
    pub controls: Controls,
    pub params: Vec<u8>,
    frame: u64,
}

/// One frame of the loop.
pub struct Step {
    pub captured: Captured,
    pub answer: Answer,
    /// Total exposure of the frame over the right one.
    pub exposure_ratio: f64,
    /// Recovery angle of the white point found, degrees; NaN where the scene has no truth.
    pub white_error: f64,
}

pub fn sensor(camera: &Camera) -> Sensor {
    let limits = camera.limits();
    Sensor {
        struct_size: size_of::<Sensor>() as u32,
        bayer_order: match limits.cfa {
            Cfa::Rggb => 1,
            Cfa::Grbg => 2,
            Cfa::Gbrg => 3,
            Cfa::Bggr => 4,
        },
        width: limits.size.width() as u32,
        height: limits.size.height() as u32,
        bit_depth: limits.bits,
        exposure_delay: limits.delays.exposure as u32,
        gain_delay: limits.delays.analogue_gain as u32,
        exposure_margin_lines: 0,
        line_length_us: limits.line_us,
        min_exposure_us: limits.min_exposure_us,
        max_exposure_us: limits.max_exposure_us,
        min_analogue_gain: limits.min_analogue_gain,
        max_analogue_gain: limits.max_analogue_gain,
        max_digital_gain: limits.max_digital_gain,
        black_level: limits.black,
        min_frame_duration_us: limits.frame_us,
        max_frame_duration_us: limits.frame_us,
        min_lens_position: camera.lens().map_or(0.0, |(far, _)| far),
        max_lens_position: camera.lens().map_or(0.0, |(_, near)| near),
    }
}

pub fn delays(frames: u64) -> Delays {
    Delays {
        exposure: frames,
        analogue_gain: frames.min(1),
        digital_gain: frames.min(1),
    }
}

impl Loop {
    pub fn new(scene: Box<dyn Scene>, tuning: &[u8], light: Light, delays: Delays) -> Self {
        let config = SensorConfig {
            delays,
            ..SensorConfig::default()
        };
        Self::of(Camera::with_sensor(scene, light, config), tuning)
    }

    /// The same with a lens that moves, and statistics of focus.
    pub fn with_lens(scene: Box<dyn Scene>, tuning: &[u8], light: Light, delays: Delays) -> Self {
        let config = SensorConfig {
            delays,
            ..SensorConfig::default()
        };
        let camera = Camera::with_sensor(scene, light, config);
        Self::of(camera.with_lens(LensConfig::default()), tuning)
    }

    fn of(camera: Camera, tuning: &[u8]) -> Self {
        let mut module = Open::new(Some(tuning), ALL_BLOCKS).unwrap();
        module.configure(&sensor(&camera)).unwrap();
        module.start().unwrap();
        Self {
            camera,
            module,
            controls: Controls::default(),
            params: vec![0; soft::MAX_PAYLOAD],
            frame: 0,
        }
    }

    /// What the module would go on from.
    pub fn saved(&self) -> Vec<u8> {
        let mut state = vec![0; MAX_STATE];
        let size = self.module.save_state(&mut state).unwrap().unwrap();
        state.truncate(size);
        state
    }

    /// Another instance takes the module's place, as a worker does: it is created and configured,
    /// gets the state if there is one, and starts.
    pub fn replace(&mut self, tuning: &[u8], state: Option<&[u8]>) {
        self.module = Beside::new(tuning, &sensor(&self.camera), state).module;
    }

    /// Frames that no module sees: parameters and controls are held.
    pub fn miss(&mut self, frames: usize) -> Vec<Captured> {
        self.frame += frames as u64;
        (0..frames).map(|_| self.camera.next_frame()).collect()
    }

    /// Captures, measures, asks the module, asks the sensor.
    pub fn step(&mut self) -> Step {
        self.step_beside(&mut [])
    }

    /// The same, and asks others about the same frame, whom the sensor does not follow.
    pub fn step_beside(&mut self, others: &mut [Beside]) -> Step {
        let captured = self.camera.next_frame();
        let statistics = match self.camera.lens() {
            Some(_) => captured.statistics_with_focus(),
            None => captured.statistics(),
        };
        let mut stats = vec![0; statistics.encoded_size()];
        statistics.encode(&mut stats).unwrap();
        self.frame += 1;
        let input = self.input(&captured, Some(&stats));
        let answer = self.module.process(&input, &mut self.params).unwrap();
        for other in others {
            other.answer = other.module.process(&input, &mut other.params).unwrap();
        }
        self.camera.request(&SensorRequest {
            exposure_us: Some(answer.wanted.exposure_us),
            analogue_gain: Some(answer.wanted.analogue_gain),
            digital_gain: Some(answer.wanted.digital_gain),
        });
        if answer.wanted.set & Actuators::LENS_POSITION != 0 {
            self.camera.request_lens(answer.wanted.lens_position);
        }
        let white = [
            1.0 / answer.metadata.colour_gain_red,
            1.0,
            1.0 / answer.metadata.colour_gain_blue,
        ];
        Step {
            exposure_ratio: captured.applied.total_us() / self.camera.target_exposure_us(0.0),
            white_error: self
                .camera
                .neutral()
                .map_or(f64::NAN, |truth| angle::recovery(white, truth)),
            captured,
            answer,
        }
    }

    pub fn run(&mut self, frames: usize) -> Vec<Step> {
        (0..frames).map(|_| self.step()).collect()
    }

    fn input<'a>(&self, captured: &Captured, stats: Option<&'a [u8]>) -> FrameIn<'a> {
        FrameIn {
            frame: self.frame,
            sensor_timestamp_ns: timestamp_ns(&self.camera, captured),
            deadline_ns: u64::MAX,
            applied: Applied {
                exposure_us: captured.applied.exposure_us,
                analogue_gain: captured.applied.analogue_gain,
                digital_gain: captured.applied.digital_gain,
                black_level: self.camera.limits().black,
                lens_position: captured.lens_position.unwrap_or(f64::NAN),
            },
            controls: self.controls,
            stats,
        }
    }
}

/// When the frame's first row was read.
pub fn timestamp_ns(camera: &Camera, captured: &Captured) -> u64 {
    (captured.sequence as f64 * camera.limits().frame_us * 1000.0) as u64
}

/// A module that sees the frames of another one's loop.
pub struct Beside {
    pub module: Open,
    pub answer: Answer,
    pub params: Vec<u8>,
}

impl Beside {
    /// What takes the place of a module, see [`Loop::replace`].
    pub fn new(tuning: &[u8], sensor: &Sensor, state: Option<&[u8]>) -> Self {
        let mut module = Open::new(Some(tuning), ALL_BLOCKS).unwrap();
        module.configure(sensor).unwrap();
        if let Some(state) = state {
            module.restore_state(state).unwrap();
        }
        module.start().unwrap();
        Self {
            module,
            answer: Answer::default(),
            params: vec![0; soft::MAX_PAYLOAD],
        }
    }
}

/// Frames until the exposure is within 5 % of the right one and stays there.
pub fn settled(steps: &[Step]) -> usize {
    let wrong = |step: &Step| (step.exposure_ratio - 1.0).abs() > 0.05;
    steps.iter().rposition(wrong).map_or(0, |last| last + 1)
}
