//! What a sensor and its lens can do.

use super::quantity::{Dioptres, Gain, GainCode, Lines, Microseconds};

/// Frames that a request may take until it is in force.
pub const MAX_DELAY: u32 = 8;

/// How a sensor's gain register is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GainModel {
    /// `gain = (m0 · code + c0) / (m1 · code + c1)`, of which m0 or m1 is 0: most sensors.
    Linear {
        /// Of the numerator.
        m0: f64,
        /// Of the numerator.
        c0: f64,
        /// Of the denominator.
        m1: f64,
        /// Of the denominator.
        c1: f64,
    },
    /// `gain = 10^(step · code / 20)`, the step in dB.
    Decibels {
        /// dB of one code.
        step: f64,
    },
}

impl GainModel {
    /// The gain of a code; None where the model has none.
    #[must_use]
    pub fn gain(&self, code: GainCode) -> Option<Gain> {
        let code = f64::from(code.0);
        let gain = match *self {
            Self::Linear { m0, c0, m1, c1 } => (m0 * code + c0) / (m1 * code + c1),
            Self::Decibels { step } => 10_f64.powf(step * code / 20.0),
        };
        Gain::new(gain).ok()
    }

    /// The code nearest to a gain; None where the model has none.
    #[must_use]
    pub fn code(&self, gain: Gain) -> Option<GainCode> {
        let gain = gain.get();
        let code = match *self {
            Self::Linear { m0, c0, m1, c1 } => (c0 - c1 * gain) / (m1 * gain - m0),
            Self::Decibels { step } => 20.0 * gain.log10() / step,
        };
        let code = code.round();
        (0.0..=f64::from(u32::MAX))
            .contains(&code)
            .then_some(GainCode(code as u32))
    }
}

/// What a sensor says of itself. Each pair is the least and the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensor {
    /// How long a line takes.
    pub line: Microseconds,
    /// Exposure time.
    pub exposure: (Microseconds, Microseconds),
    /// How much longer than its exposure a frame is, at least.
    pub margin: Lines,
    /// From the start of a frame to the start of the next.
    pub frame_duration: (Microseconds, Microseconds),
    /// Analogue gain.
    pub analogue_gain: (Gain, Gain),
    /// Digital gain.
    pub digital_gain: (Gain, Gain),
    /// Lens position, where there is a lens that moves.
    pub lens: Option<(Dioptres, Dioptres)>,
    /// Frames until an exposure is in force.
    pub exposure_delay: u32,
    /// Frames until a frame duration is in force.
    pub frame_duration_delay: u32,
}

/// Why a sensor cannot be reckoned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// Lines without a length.
    #[error("a line of the sensor takes no time; state how long it takes")]
    NoLine,
    /// A least that is above its most, or is nothing.
    #[error("the range of {0} is empty or begins at zero; state least and most")]
    Empty(&'static str),
    /// A frame that no exposure fits into.
    #[error("the shortest exposure does not fit into the longest frame; state both of one mode")]
    NoFit,
    /// Late beyond reason.
    #[error("a delay of {0} frames is above 8; state the sensor's own")]
    Delay(u32),
}

/// A [`Sensor`] whose word makes sense.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits(Sensor);

impl Limits {
    /// Takes a sensor at its word, if it can be.
    ///
    /// # Errors
    /// [`LimitsError`] names what cannot be.
    pub fn new(sensor: Sensor) -> Result<Self, LimitsError> {
        if sensor.line.get() <= 0.0 {
            return Err(LimitsError::NoLine);
        }
        let range = |(least, most): (f64, f64)| least > 0.0 && least <= most;
        let times = |(least, most): (Microseconds, Microseconds)| (least.get(), most.get());
        let gains = |(least, most): (Gain, Gain)| (least.get(), most.get());
        for (name, pair) in [
            ("exposure", times(sensor.exposure)),
            ("frame duration", times(sensor.frame_duration)),
            ("analogue gain", gains(sensor.analogue_gain)),
            ("digital gain", gains(sensor.digital_gain)),
        ] {
            if !range(pair) {
                return Err(LimitsError::Empty(name));
            }
        }
        if sensor.lens.is_some_and(|(least, most)| least > most) {
            return Err(LimitsError::Empty("lens"));
        }
        for delay in [sensor.exposure_delay, sensor.frame_duration_delay] {
            if delay > MAX_DELAY {
                return Err(LimitsError::Delay(delay));
            }
        }
        let limits = Self(sensor);
        if sensor.exposure.0.get() + limits.margin() > sensor.frame_duration.1.get() {
            return Err(LimitsError::NoFit);
        }
        Ok(limits)
    }

    /// The sensor.
    #[must_use]
    pub const fn sensor(&self) -> &Sensor {
        &self.0
    }

    /// Whole lines that a time holds; as many as can be counted.
    #[must_use]
    pub fn lines(&self, time: Microseconds) -> Lines {
        // What was made from lines is not to lose one by rounding.
        Lines((time.get() / self.0.line.get() * (1.0 + 1e-12)).floor() as u32)
    }

    /// How long lines take.
    #[must_use]
    pub fn time(&self, lines: Lines) -> Microseconds {
        Microseconds::from_fit(f64::from(lines.0) * self.0.line.get())
    }

    /// Lines of blanking that make a frame of `height` lines take so long.
    #[must_use]
    pub fn vblank(&self, frame_duration: Microseconds, height: Lines) -> Lines {
        Lines(self.lines(frame_duration).0.saturating_sub(height.0))
    }

    /// What a frame has beyond its exposure, in µs.
    pub(crate) fn margin(&self) -> f64 {
        self.time(self.0.margin).get()
    }
}
