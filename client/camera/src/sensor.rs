//! A virtual sensor.
//!
//! For radiance L (full scales per ms), exposure t (ms), analogue gain g and a full well of F
//! electrons at gain 1, a pixel collects `e = Poisson(L·t·F) + N(0, σ)` electrons and reads
//! `clip(round(g·e·(white − black)/F) + black, 0, white)`. Digital gain multiplies what is above
//! black afterwards, and clips again.
//!
//! The shutter rolls: row y of frame n is read, and its exposure ends, at `n·frame + y·line`. In a
//! light that beats rows get more of it or less.

mod noise;

use crate::bayer::{Cfa, Dimensions, Mosaic, RawFrame};
use crate::delayed::Register;
use crate::light::Flicker;
use noise::Noise;

/// Analogue gain is `256/(256 − code)`, as in the Sony IMX219.
const GAIN_CODES: f64 = 256.0;
/// Digital gain comes in steps of 1/256.
const DIGITAL_STEPS: f64 = 256.0;

/// Frames until a control takes effect, each 0 to [`Delays::MAX`]. With 0 a value asked for before
/// a frame is captured applies to that frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Of the exposure.
    pub exposure: u64,
    /// Of the analogue gain.
    pub analogue_gain: u64,
    /// Of the digital gain.
    pub digital_gain: u64,
}

impl Delays {
    /// The longest delay, frames.
    pub const MAX: u64 = 4;

    /// The slowest control's delay.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.exposure.max(self.analogue_gain).max(self.digital_gain)
    }
}

impl Default for Delays {
    /// As the IMX219: exposure 2, gains 1.
    fn default() -> Self {
        Self {
            exposure: 2,
            analogue_gain: 1,
            digital_gain: 1,
        }
    }
}

/// What a sensor is like. Values out of reach are clamped when the sensor is made.
#[derive(Clone, Debug, PartialEq)]
pub struct SensorConfig {
    /// Bits a pixel, 8 to 16.
    pub bits: u32,
    /// Black level as a fraction of full scale, 0 to 0.5.
    pub black: f64,
    /// Time of a line, µs.
    pub line_us: f64,
    /// Shortest and longest exposure, lines.
    pub lines: (u32, u32),
    /// Largest analogue gain code, 0 to 255.
    pub max_gain_code: u16,
    /// Largest digital gain, 1 to 16.
    pub max_digital_gain: f64,
    /// Time of a frame, µs.
    pub frame_us: f64,
    /// Frames until a control takes effect.
    pub delays: Delays,
    /// Electrons that fill the range at analogue gain 1.
    pub full_well: f64,
    /// Read noise, electrons; 0 for none.
    pub read_noise: f64,
    /// Whether there is shot noise.
    pub shot_noise: bool,
    /// Seed of the noise: the same seed gives the same frames.
    pub seed: u64,
}

impl Default for SensorConfig {
    /// Close to an IMX219 at 30 frames a second, 10 bits.
    fn default() -> Self {
        Self {
            bits: 10,
            black: 1.0 / 16.0,
            line_us: 18.904,
            lines: (4, 1759),
            max_gain_code: 232,
            max_digital_gain: 4.0,
            frame_us: 33_333.0,
            delays: Delays::default(),
            full_well: 8000.0,
            read_noise: 3.0,
            shot_noise: true,
            seed: 1,
        }
    }
}

impl SensorConfig {
    /// The same without shot and read noise.
    #[must_use]
    pub fn noiseless(self) -> Self {
        Self {
            read_noise: 0.0,
            shot_noise: false,
            ..self
        }
    }

    fn clamped(mut self) -> Self {
        let finite = |value: f64, min: f64, max: f64, otherwise: f64| {
            if value.is_nan() {
                otherwise
            } else {
                value.clamp(min, max)
            }
        };
        let default = Self::default();
        self.bits = self.bits.clamp(8, 16);
        self.black = finite(self.black, 0.0, 0.5, default.black);
        self.line_us = finite(self.line_us, 0.1, 1e5, default.line_us);
        self.lines.0 = self.lines.0.max(1);
        self.lines.1 = self.lines.1.max(self.lines.0);
        self.max_gain_code = self.max_gain_code.min(255);
        self.max_digital_gain = finite(self.max_digital_gain, 1.0, 16.0, 1.0);
        let longest = f64::from(self.lines.1) * self.line_us;
        self.frame_us = finite(self.frame_us, longest, f64::MAX, longest);
        self.delays.exposure = self.delays.exposure.min(Delays::MAX);
        self.delays.analogue_gain = self.delays.analogue_gain.min(Delays::MAX);
        self.delays.digital_gain = self.delays.digital_gain.min(Delays::MAX);
        self.full_well = finite(self.full_well, 1.0, 1e7, default.full_well);
        self.read_noise = finite(self.read_noise, 0.0, 1e6, default.read_noise);
        self
    }
}

/// What a caller may ask of a sensor, and how soon it gets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SensorLimits {
    /// Frame size.
    pub size: Dimensions,
    /// Order of the colour filters.
    pub cfa: Cfa,
    /// Bits a pixel.
    pub bits: u32,
    /// Black level as a fraction of full scale `2^bits − 1`.
    pub black: f64,
    /// Time of a line, µs; exposures are whole lines.
    pub line_us: f64,
    /// Shortest exposure, µs.
    pub min_exposure_us: f64,
    /// Longest exposure, µs.
    pub max_exposure_us: f64,
    /// Smallest analogue gain.
    pub min_analogue_gain: f64,
    /// Largest analogue gain.
    pub max_analogue_gain: f64,
    /// Smallest digital gain.
    pub min_digital_gain: f64,
    /// Largest digital gain.
    pub max_digital_gain: f64,
    /// Time of a frame, µs.
    pub frame_us: f64,
    /// Frames until a control takes effect.
    pub delays: Delays,
}

/// What is asked of a sensor; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SensorRequest {
    /// Exposure, µs.
    pub exposure_us: Option<f64>,
    /// Analogue gain.
    pub analogue_gain: Option<f64>,
    /// Digital gain.
    pub digital_gain: Option<f64>,
}

/// What a sensor really did for a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied {
    /// Exposure, µs.
    pub exposure_us: f64,
    /// Analogue gain.
    pub analogue_gain: f64,
    /// Digital gain.
    pub digital_gain: f64,
}

impl Applied {
    /// Exposure × gains, µs.
    #[must_use]
    pub fn total_us(&self) -> f64 {
        self.exposure_us * self.analogue_gain * self.digital_gain
    }
}

/// A frame and what the sensor really did for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    /// The frame.
    pub raw: RawFrame,
    /// What was in force for it.
    pub applied: Applied,
    /// Its number, from 0.
    pub sequence: u64,
    /// Where the lens was focused, dioptres; none where nothing moves it.
    pub lens_position: Option<f64>,
}

/// The sensor.
#[derive(Clone, Debug)]
pub struct VirtualSensor {
    config: SensorConfig,
    size: Dimensions,
    cfa: Cfa,
    lines: Register<u32>,
    gain_code: Register<u16>,
    digital: Register<u16>,
    sequence: u64,
}

impl VirtualSensor {
    /// A sensor for frames of this size. It starts at 10 ms and gains of 1.
    #[must_use]
    pub fn new(config: SensorConfig, size: Dimensions, cfa: Cfa) -> Self {
        let config = config.clamped();
        let delays = config.delays;
        let mut sensor = Self {
            size,
            cfa,
            lines: Register::new(config.lines.0, delays.exposure),
            gain_code: Register::new(0, delays.analogue_gain),
            digital: Register::new(DIGITAL_STEPS as u16, delays.digital_gain),
            sequence: 0,
            config,
        };
        sensor.lines = Register::new(sensor.quantise_exposure(10_000.0), delays.exposure);
        sensor
    }

    /// What callers may ask.
    #[must_use]
    pub fn limits(&self) -> SensorLimits {
        let config = &self.config;
        SensorLimits {
            size: self.size,
            cfa: self.cfa,
            bits: config.bits,
            black: f64::from(self.levels().0) / f64::from(self.levels().1),
            line_us: config.line_us,
            min_exposure_us: f64::from(config.lines.0) * config.line_us,
            max_exposure_us: f64::from(config.lines.1) * config.line_us,
            min_analogue_gain: 1.0,
            max_analogue_gain: gain_of(config.max_gain_code),
            min_digital_gain: 1.0,
            max_digital_gain: self.max_digital() / DIGITAL_STEPS,
            frame_us: config.frame_us,
            delays: config.delays,
        }
    }

    /// Asks for exposure and gains. Each is clamped to the limits, brought to the nearest step, and
    /// takes effect after its own delay. NaN asks for nothing.
    pub fn queue(&mut self, request: &SensorRequest) {
        let asked = |value: Option<f64>| value.filter(|value| !value.is_nan());
        if let Some(us) = asked(request.exposure_us) {
            let lines = self.quantise_exposure(us);
            self.lines.queue(self.sequence, lines);
        }
        if let Some(gain) = asked(request.analogue_gain) {
            let code = self.quantise_gain(gain);
            self.gain_code.queue(self.sequence, code);
        }
        if let Some(gain) = asked(request.digital_gain) {
            let steps = (gain * DIGITAL_STEPS).round();
            let steps = steps.clamp(DIGITAL_STEPS, self.max_digital()) as u16;
            self.digital.queue(self.sequence, steps);
        }
    }

    /// Number of the frame that comes next.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// Exposes the next frame.
    ///
    /// `radiance` is of the size and filter order that the sensor was made for; the frame takes
    /// both from it.
    pub fn capture(&mut self, radiance: &Mosaic) -> Captured {
        self.capture_in(radiance, None)
    }

    /// The same in a light that beats; `radiance` is under its mean brightness.
    pub fn capture_in(&mut self, radiance: &Mosaic, flicker: Option<Flicker>) -> Captured {
        let sequence = self.sequence;
        self.sequence += 1;
        let applied = Applied {
            exposure_us: f64::from(self.lines.at(sequence)) * self.config.line_us,
            analogue_gain: gain_of(self.gain_code.at(sequence)),
            digital_gain: f64::from(self.digital.at(sequence)) / DIGITAL_STEPS,
        };
        Captured {
            raw: self.expose(radiance, flicker, &applied, sequence),
            applied,
            sequence,
            lens_position: None,
        }
    }

    /// Black and white level, DN.
    fn levels(&self) -> (u16, u16) {
        let white = u16::MAX >> (16 - self.config.bits);
        ((self.config.black * f64::from(white)).round() as u16, white)
    }

    fn quantise_exposure(&self, us: f64) -> u32 {
        let (min, max) = self.config.lines;
        (us / self.config.line_us)
            .round()
            .clamp(f64::from(min), f64::from(max)) as u32
    }

    /// The code of the gain nearest to what was asked.
    fn quantise_gain(&self, gain: f64) -> u16 {
        let max = self.config.max_gain_code;
        let gain = gain.clamp(1.0, gain_of(max));
        // Codes are far apart at high gains: compare gains, not codes.
        let below = (GAIN_CODES - GAIN_CODES / gain).floor() as u16;
        let above = (below + 1).min(max);
        if gain - gain_of(below) <= gain_of(above) - gain {
            below
        } else {
            above
        }
    }

    fn max_digital(&self) -> f64 {
        (self.config.max_digital_gain * DIGITAL_STEPS).floor()
    }

    fn expose(
        &self,
        radiance: &Mosaic,
        flicker: Option<Flicker>,
        applied: &Applied,
        sequence: u64,
    ) -> RawFrame {
        let (black, white) = self.levels();
        let range = f32::from(white - black);
        let electrons = (applied.exposure_us / 1000.0 * self.config.full_well) as f32;
        let dn = range * (applied.analogue_gain / self.config.full_well) as f32;
        let digital = applied.digital_gain as f32;
        let (floor, ceiling) = (-f32::from(black), range);
        let mut noise = Noise::new(&self.config, sequence);
        let mut pixel = |light: f32, electrons: f32| {
            let analogue = (noise.collect(light * electrons) * dn).round();
            let digitised = analogue.clamp(floor, ceiling);
            let amplified = (digitised * digital).round().clamp(floor, ceiling);
            (amplified + f32::from(black)) as u16
        };
        let start_us = sequence as f64 * self.config.frame_us;
        let mut data = Vec::with_capacity(radiance.data().len());
        for (y, row) in radiance
            .data()
            .chunks_exact(radiance.size().width())
            .enumerate()
        {
            let read_us = start_us + y as f64 * self.config.line_us;
            let part = flicker.map_or(1.0, |beat| beat.exposed(read_us, applied.exposure_us));
            let electrons = electrons * part as f32;
            data.extend(row.iter().map(|&light| pixel(light, electrons)));
        }
        RawFrame::new(
            radiance.size(),
            radiance.cfa(),
            self.config.bits,
            (black.into(), white.into()),
            data,
        )
        .expect("bits and levels were clamped, and a mosaic has as many pixels as its size says")
    }
}

fn gain_of(code: u16) -> f64 {
    GAIN_CODES / (GAIN_CODES - f64::from(code))
}

#[cfg(test)]
mod tests;
