//! Camera and module in a closed loop, frame by frame.

use anyhow::{Result, anyhow};
use coldshoe_camera::{
    Applied, Camera, Captured, Cfa, Delays, LensConfig, Light, Scene, SensorConfig, SensorRequest,
};
use coldshoe_ipa::{self as ipa, Actuators, Answer, Controls, FrameIn, Ipa, Sensor};
use coldshoe_ipa_open::Open;
use coldshoe_isp::Statistics;
use coldshoe_isp::soft::{self, SoftParams, ToneCurve, Update};

use crate::scenes::Source;

/// How a loop is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Frames until exposure and gains take effect.
    pub delay: u64,
    /// Of the noise.
    pub seed: u64,
    /// The light at the start.
    pub light: Light,
    /// The module is told what it last asked for, and not what was in force: the mistake that
    /// matched metadata prevents.
    pub stale: bool,
}

/// The loop.
pub struct Rig {
    /// What it looks at.
    pub camera: Camera,
    /// What the application asks for.
    pub controls: Controls,
    module: Open,
    params: Vec<u8>,
    /// Bytes of `params` that the last frame filled.
    written: usize,
    stats: Vec<u8>,
    frame: u64,
    asked: Option<Applied>,
    stale: bool,
    /// Right total exposure at a light level of 0 EV, and the light's temperature.
    right: (f64, f64),
}

/// One frame.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Total exposure over the right one.
    pub ratio: f64,
    /// What was in force.
    pub applied: Applied,
    /// What the module asks for.
    pub wanted: Applied,
    /// White point found, R, G and B.
    pub white: [f64; 3],
    /// Temperature found, K.
    pub kelvin: f64,
    /// Where the lens was, dioptres.
    pub lens: Option<f64>,
}

impl Rig {
    /// A loop whose module has started and seen nothing.
    ///
    /// # Errors
    /// What the module says to its tuning or its sensor.
    pub fn new(source: &Source, scene: Box<dyn Scene>, setup: &Setup) -> Result<Self> {
        let config = SensorConfig {
            delays: Delays {
                exposure: setup.delay,
                analogue_gain: setup.delay.min(1),
                digital_gain: setup.delay.min(1),
            },
            seed: setup.seed,
            ..SensorConfig::default()
        };
        Self::of(
            source.tuning,
            Camera::with_sensor(scene, setup.light, config),
            setup.stale,
        )
    }

    /// The same with a lens that moves, and statistics of focus.
    ///
    /// # Errors
    /// What the module says to its tuning or its sensor.
    pub fn with_lens(source: &Source, scene: Box<dyn Scene>, setup: &Setup) -> Result<Self> {
        let config = SensorConfig {
            seed: setup.seed,
            ..SensorConfig::default()
        };
        let camera = Camera::with_sensor(scene, setup.light, config);
        let camera = camera.with_lens(LensConfig::default());
        Self::of(source.tuning, camera, setup.stale)
    }

    /// A camera and a tuning of one's own; `stale` is that of [`Setup`].
    ///
    /// # Errors
    /// What the module says to its tuning or its sensor.
    pub fn of(tuning: &[u8], camera: Camera, stale: bool) -> Result<Self> {
        let fail = |error: ipa::IpaError| anyhow!("{error}");
        let all_blocks = (1 << soft::TABLE.sizes.len()) - 1;
        let mut module = Open::new(Some(tuning), all_blocks).map_err(fail)?;
        module.configure(&sensor(&camera)).map_err(fail)?;
        module.start().map_err(fail)?;
        let mut rig = Self {
            controls: Controls::default(),
            module,
            params: vec![0; soft::MAX_PAYLOAD],
            written: 0,
            stats: vec![0; Statistics::SIZE_2],
            frame: 0,
            asked: None,
            stale,
            right: (0.0, 0.0),
            camera,
        };
        rig.look();
        Ok(rig)
    }

    /// Has another light shine.
    pub fn light(&mut self, light: Light) {
        self.camera.set_light(light);
        if light.kelvin() != self.right.1 {
            self.look();
        }
    }

    fn look(&mut self) {
        let light = self.camera.light();
        self.right = (
            self.camera.target_exposure_us(0.0) * light.level(),
            light.kelvin(),
        );
    }

    /// Captures, measures, asks the module, asks the sensor.
    ///
    /// # Errors
    /// A frame that the module refuses.
    pub fn step(&mut self) -> Result<Step> {
        let captured = self.camera.next_frame();
        let mut statistics = match self.camera.lens() {
            Some(_) => captured.statistics_with_focus(),
            None => captured.statistics(),
        };
        let told = match self.asked {
            Some(asked) if self.stale => asked,
            _ => captured.applied,
        };
        statistics.exposure_us = told.exposure_us;
        statistics.analogue_gain = told.analogue_gain;
        statistics.digital_gain = told.digital_gain;
        let len = statistics.encode(&mut self.stats)?;
        self.frame += 1;
        let stats = &self.stats[..len];
        let input = frame_in(
            self.frame,
            &captured,
            &told,
            &self.camera,
            self.controls,
            stats,
        );
        let answer = self.module.process(&input, &mut self.params);
        let answer = answer.map_err(|error| anyhow!("{error}"))?;
        self.written = answer.params_size;
        Ok(self.follow(&captured, &answer))
    }

    fn follow(&mut self, captured: &Captured, answer: &Answer) -> Step {
        let wanted = Applied {
            exposure_us: answer.wanted.exposure_us,
            analogue_gain: answer.wanted.analogue_gain,
            digital_gain: answer.wanted.digital_gain,
        };
        self.camera.request(&SensorRequest {
            exposure_us: Some(wanted.exposure_us),
            analogue_gain: Some(wanted.analogue_gain),
            digital_gain: Some(wanted.digital_gain),
        });
        if answer.wanted.set & Actuators::LENS_POSITION != 0 {
            self.camera.request_lens(answer.wanted.lens_position);
        }
        self.asked = Some(wanted);
        let right = self.right.0 / self.camera.light().level();
        let found = &answer.metadata;
        Step {
            ratio: captured.applied.total_us() / right,
            applied: captured.applied,
            wanted,
            white: [
                1.0 / found.colour_gain_red,
                1.0,
                1.0 / found.colour_gain_blue,
            ],
            kelvin: found.colour_temperature,
            lens: captured.lens_position,
        }
    }

    /// The tone curve that the last frame led to.
    ///
    /// # Errors
    /// Parameters without one.
    pub fn tone(&self) -> Result<ToneCurve> {
        match SoftParams::decode(&self.params[..self.written])?.tone_curve {
            Update::Set(curve) => Ok(curve),
            _ => Err(anyhow!("no tone curve in the parameters")),
        }
    }

    /// Frames that the module does not see.
    pub fn skip(&mut self, frames: usize) {
        (0..frames).for_each(|_| drop(self.camera.next_frame()));
    }

    /// How many EV too long the exposure is that the sensor starts with: 10 ms at gains of 1.
    #[must_use]
    pub fn wrong_by(&self) -> f64 {
        (10_000.0 * self.camera.light().level() / self.right.0).log2()
    }

    /// So many frames.
    ///
    /// # Errors
    /// A frame that the module refuses.
    pub fn run(&mut self, frames: usize) -> Result<Vec<Step>> {
        (0..frames).map(|_| self.step()).collect()
    }
}

fn frame_in<'a>(
    frame: u64,
    captured: &Captured,
    told: &Applied,
    camera: &Camera,
    controls: Controls,
    stats: &'a [u8],
) -> FrameIn<'a> {
    let limits = camera.limits();
    FrameIn {
        frame,
        sensor_timestamp_ns: (captured.sequence as f64 * limits.frame_us * 1000.0) as u64,
        deadline_ns: u64::MAX,
        applied: ipa::Applied {
            exposure_us: told.exposure_us,
            analogue_gain: told.analogue_gain,
            digital_gain: told.digital_gain,
            black_level: limits.black,
            lens_position: captured.lens_position.unwrap_or(f64::NAN),
        },
        controls,
        stats: Some(stats),
    }
}

/// A camera's sensor, as a module is told of it.
#[must_use]
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
        exposure_delay: camera.delay() as u32,
        gain_delay: camera.delay() as u32,
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
