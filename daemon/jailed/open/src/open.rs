//! The module: one camera's algorithms behind the verbs of the interface.

use std::mem;

use coldshoe_ipa::{
    Actuators, AlgorithmState, Answer, FrameIn, Init, Ipa, IpaError, Metadata, ModuleFlags,
    ModuleInfo, Sensor, Wanted,
};
use coldshoe_isp::BuildError;

use crate::af::{Af, FocusDecision};
use crate::agc::{Agc, ExposureDecision};
use crate::awb::{Awb, WhiteDecision};
use crate::black_level::BlackLevel;
use crate::ccm::Ccm;
use crate::controls::Requests;
use crate::exposure::Limits;
use crate::flicker::Flicker;
use crate::measure::Measured;
use crate::state::State;
use crate::targets::{Decided, FORMATS, Kind, Taken, Target};
use crate::tone::Tone;
use crate::tuning::Tuning;

/// The open module, one camera's instance.
#[derive(Debug)]
pub struct Open {
    kind: Kind,
    tuning: Tuning,
    capabilities: u64,
    requests: Requests,
    algorithms: Option<Algorithms>,
}

/// What there is once the sensor's mode is known.
#[derive(Debug)]
struct Algorithms {
    measured: Measured,
    flicker: Flicker,
    agc: Agc,
    af: Af,
    awb: Awb,
    black_level: BlackLevel,
    ccm: Ccm,
    tone: Tone,
    target: Target,
    /// Number of the last frame.
    last_frame: Option<u64>,
    /// They go on from another instance's state, and there was no frame since.
    resumed: bool,
}

impl Open {
    /// An instance with the content of a tuning file, or the built-in tuning, for a software ISP
    /// that has block type n where bit n of `capabilities` is set.
    ///
    /// # Errors
    /// A tuning that is refused; the text names line, key and way out.
    pub fn new(tuning: Option<&[u8]>, capabilities: u64) -> Result<Self, IpaError> {
        Self::of_kind(Kind::Soft, tuning, capabilities)
    }

    /// The same for another ISP.
    ///
    /// # Errors
    /// As [`Open::new`].
    pub fn of_kind(kind: Kind, tuning: Option<&[u8]>, capabilities: u64) -> Result<Self, IpaError> {
        let tuning = match tuning {
            Some(bytes) => Tuning::parse(bytes),
            None => Tuning::built_in(),
        };
        Ok(Self {
            kind,
            tuning: tuning.map_err(IpaError::new)?,
            capabilities,
            requests: Requests::default(),
            algorithms: None,
        })
    }
}

impl Ipa for Open {
    const INFO: ModuleInfo = ModuleInfo {
        name: "open",
        version: env!("CARGO_PKG_VERSION"),
        license: "Apache-2.0 OR MIT",
        formats: FORMATS,
        flags: ModuleFlags { threads: false },
    };

    fn create(init: &Init<'_>) -> Result<Self, IpaError> {
        let asked = (init.stats_format, init.params_format);
        let kind = Kind::of_formats(asked.0, asked.1).ok_or_else(|| {
            IpaError::new(format_args!(
                "formats {asked:?} are not among those of this module; open the session with one \
                 of {FORMATS:?}"
            ))
        })?;
        Self::of_kind(kind, init.tuning, init.isp_capabilities)
    }

    fn configure(&mut self, sensor: &Sensor) -> Result<(), IpaError> {
        let tuning = &self.tuning;
        let limits = Limits::of_sensor(sensor)?;
        let awb = Awb::new(&tuning.awb).map_err(IpaError::new)?;
        self.algorithms = Some(Algorithms {
            measured: Measured::new(),
            flicker: Flicker::new(tuning.agc.flicker, readout_us(sensor)),
            agc: Agc::new(&tuning.agc, limits),
            af: Af::new(
                &tuning.af,
                (sensor.min_lens_position, sensor.max_lens_position),
            ),
            awb,
            black_level: BlackLevel::new(&tuning.black_level, sensor.black_level),
            ccm: Ccm::new(&tuning.ccm),
            tone: Tone::new(&tuning.tone),
            target: Target::new(self.kind, tuning, sensor),
            last_frame: None,
            resumed: false,
        });
        Ok(())
    }

    fn start(&mut self) -> Result<(), IpaError> {
        let algorithms = self.algorithms()?;
        if !algorithms.resumed {
            algorithms.agc.restart();
            algorithms.awb.restart();
        }
        Ok(())
    }

    fn process(&mut self, frame: &FrameIn<'_>, params: &mut [u8]) -> Result<Answer, IpaError> {
        let trigger = self.requests.take(&frame.controls);
        let (requests, capabilities) = (self.requests, self.capabilities);
        let lux = self.tuning.lux;
        let algorithms = self.algorithms()?;
        algorithms.count(frame.frame);
        let mut answer = Answer::default();
        let measured = match frame.stats {
            Some(bytes) => algorithms.read(bytes, frame)?,
            None => false,
        };
        let white = if measured {
            let measured = &algorithms.measured;
            algorithms.black_level.process(measured);
            let beat = algorithms
                .flicker
                .process(measured, frame.sensor_timestamp_ns);
            algorithms.agc.set_beat(beat);
            let exposure = algorithms.agc.process(measured, &requests.exposure);
            let lux = lux.and_then(|lux| lux.of(measured, exposure.luminance));
            answer.wanted = wanted(&exposure);
            answer.metadata.ae_state = exposure.state as u32;
            answer.metadata.luminance = exposure.luminance;
            answer.metadata.lux = lux.unwrap_or(0.0);
            let exposed = exposure.state != AlgorithmState::Searching;
            let focus = algorithms
                .af
                .process(measured, &requests.focus, trigger, exposed);
            focused(&mut answer, &focus);
            let white = algorithms
                .awb
                .process(measured, lux, exposed, &requests.white);
            // On its way to another exposure a picture is too dark or too bright, not too flat.
            if exposed {
                let gain = luminance_gain(measured, wb_gains(&white));
                algorithms.tone.measure(measured, gain);
            }
            white
        } else {
            answer.metadata.ae_state = AlgorithmState::Searching as u32;
            algorithms.awb.prepare(&requests.white)
        };
        report(&mut answer.metadata, &white);
        answer.params_size = algorithms
            .write(params, &requests, &white, capabilities)
            .map_err(IpaError::new)?;
        Ok(answer)
    }

    /// Copies some numbers, and allocates nothing.
    fn save_state(&self, state: &mut [u8]) -> Result<Option<usize>, IpaError> {
        let algorithms = self.algorithms.as_ref().ok_or_else(not_configured)?;
        let bytes = algorithms.state(self.requests).encode();
        let room = state.len();
        let state = state.get_mut(..bytes.len()).ok_or_else(|| {
            IpaError::new(format_args!(
                "state: {room} bytes are too few; give {}",
                bytes.len()
            ))
        })?;
        state.copy_from_slice(&bytes);
        Ok(Some(bytes.len()))
    }

    fn restore_state(&mut self, state: &[u8]) -> Result<(), IpaError> {
        let algorithms = self.algorithms()?;
        let state = State::decode(state).map_err(IpaError::new)?;
        algorithms.resume(&state);
        self.requests = state.requests;
        Ok(())
    }
}

impl Open {
    fn algorithms(&mut self) -> Result<&mut Algorithms, IpaError> {
        self.algorithms.as_mut().ok_or_else(not_configured)
    }
}

fn not_configured() -> IpaError {
    IpaError::new("not configured; call configure before this verb")
}

impl Algorithms {
    /// All that they hold from frame to frame.
    fn state(&self, requests: Requests) -> State {
        State {
            last_frame: self.last_frame,
            requests,
            agc: self.agc.state(),
            af: self.af.state(),
            awb: self.awb.state(),
            black: self.black_level.state(),
            ccm: self.ccm.used(),
            flicker: self.flicker.state(),
            stretch: self.tone.state(),
        }
    }

    fn resume(&mut self, state: &State) {
        self.last_frame = state.last_frame;
        self.agc.resume(&state.agc);
        self.af.resume(state.af);
        self.awb.resume(state.awb);
        self.black_level.resume(state.black);
        self.ccm.resume(state.ccm);
        self.flicker.resume(state.flicker);
        self.tone.resume(state.stretch);
        self.resumed = true;
    }

    /// Keeps count of frames; after a restore, tells the algorithms how many they have missed.
    fn count(&mut self, frame: u64) {
        let before = self.last_frame.replace(frame);
        if let (true, Some(before)) = (mem::take(&mut self.resumed), before) {
            // Numbers that start over say nothing: any number of frames.
            let missed = frame
                .checked_sub(before)
                .map_or(u64::MAX, |step| step.saturating_sub(1));
            self.agc.missed(missed);
            self.awb.missed(missed);
        }
    }

    /// Takes over a frame's statistics; `false` if there is no light in them.
    fn read(&mut self, bytes: &[u8], frame: &FrameIn<'_>) -> Result<bool, IpaError> {
        let taken = Taken {
            applied: frame.applied,
            black: self.black_level.level(),
        };
        let measured = self.target.read(bytes, &taken, &mut self.measured)?;
        let lens = frame.applied.lens_position;
        self.measured.lens = lens.is_finite().then_some(lens);
        Ok(measured)
    }

    fn write(
        &mut self,
        params: &mut [u8],
        requests: &Requests,
        white: &WhiteDecision,
        capabilities: u64,
    ) -> Result<usize, BuildError> {
        let applied = self.measured.applied;
        let mut decided = Decided {
            black: self.black_level.level(),
            gains: wb_gains(white),
            kelvin: white.temperature,
            sensor_gain: applied.analogue_gain * applied.digital_gain,
            contrast: requests.contrast,
            brightness: requests.brightness,
            saturation: requests.saturation,
            sharpness: requests.sharpness,
            ccm: &mut self.ccm,
            tone: &mut self.tone,
        };
        self.target.write(params, capabilities, &mut decided)
    }
}

/// From the first row of a frame to the last, µs.
fn readout_us(sensor: &Sensor) -> f64 {
    f64::from(sensor.height) * sensor.line_length_us
}

/// Gains for the ISP, the smallest 1: a gain below 1 would leave clipped highlights tinted.
fn wb_gains(white: &WhiteDecision) -> [f64; 3] {
    let gains = white.white.gains();
    let smallest = gains.into_iter().fold(f64::INFINITY, f64::min);
    gains.map(|gain| gain / smallest)
}

/// How much brighter gains of R, G and B make a frame.
fn luminance_gain(frame: &Measured, gains: [f64; 3]) -> f64 {
    let mut light = [0.0; 3];
    for zone in &frame.zones {
        for (sum, value) in light.iter_mut().zip(zone.rgb) {
            *sum += value;
        }
    }
    let luminance = |[red, green, blue]: [f64; 3]| (red + 2.0 * green + blue) / 4.0;
    let [red, green, blue] = gains;
    let gained = luminance([red * light[0], green * light[1], blue * light[2]]);
    gained / luminance(light)
}

fn wanted(decision: &ExposureDecision) -> Wanted {
    Wanted {
        set: Actuators::EXPOSURE | Actuators::ANALOGUE_GAIN | Actuators::DIGITAL_GAIN,
        exposure_us: decision.exposure.exposure_us,
        analogue_gain: decision.exposure.analogue_gain,
        digital_gain: decision.exposure.digital_gain,
        ..Wanted::default()
    }
}

fn focused(answer: &mut Answer, focus: &FocusDecision) {
    answer.metadata.af_state = focus.state as u32;
    if let Some(position) = focus.position {
        answer.wanted.set |= Actuators::LENS_POSITION;
        answer.wanted.lens_position = position;
    }
}

fn report(metadata: &mut Metadata, white: &WhiteDecision) {
    let [red, _, blue] = white.white.gains();
    metadata.awb_state = white.state as u32;
    metadata.colour_temperature = white.temperature;
    metadata.colour_gain_red = red;
    metadata.colour_gain_blue = blue;
}
