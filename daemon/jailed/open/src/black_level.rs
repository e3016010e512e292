//! Black level: what a pixel reads without light.
//!
//! It starts from what the sensor or the tuning says. The lowest bin of the histogram at or below
//! which lies 2 % of the pixels is light already, so black is not above it: the level is lowered to
//! it, and never raised.

use serde::Deserialize;

use crate::measure::Measured;
use crate::tuning::Fault;

/// The `[black_level]` table.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct BlackLevelTuning {
    /// Where to start, fraction of full scale; without it, what the sensor says.
    pub level: Option<f64>,
    /// Share of the pixels that makes a bin count.
    pub share: f64,
}

impl Default for BlackLevelTuning {
    fn default() -> Self {
        Self {
            level: None,
            share: 0.02,
        }
    }
}

impl BlackLevelTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if let Some(level) = self.level {
            Fault::unless_in("black_level.level", level, 0.0..=0.5)?;
        }
        Fault::unless_in("black_level.share", self.share, 1e-4..=0.5)
    }
}

/// What black level holds from frame to frame, fractions of full scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BlackState {
    /// Where it started.
    pub(crate) start: f64,
    /// Where it is.
    pub(crate) level: f64,
}

/// The black level of one camera.
#[derive(Clone, Debug)]
pub struct BlackLevel {
    share: f64,
    state: BlackState,
}

impl BlackLevel {
    /// The level of the tuning, or the sensor's.
    pub fn new(tuning: &BlackLevelTuning, sensor: f64) -> Self {
        let sensor = if sensor.is_finite() {
            sensor.clamp(0.0, 0.5)
        } else {
            0.0
        };
        let start = tuning.level.unwrap_or(sensor);
        Self {
            share: tuning.share,
            state: BlackState {
                start,
                level: start,
            },
        }
    }

    /// The level in use, fraction of full scale.
    pub fn level(&self) -> f64 {
        self.state.level
    }

    /// What it holds.
    pub(crate) fn state(&self) -> BlackState {
        self.state
    }

    /// Goes on from what another one held, if that started from the same level: what was found in
    /// one mode of a sensor says nothing about another, and is never raised again.
    pub(crate) fn resume(&mut self, state: BlackState) {
        if state.start == self.state.start {
            self.lower_to(state.level);
        }
    }

    fn lower_to(&mut self, level: f64) {
        if level < self.state.level {
            self.state.level = level.max(0.0);
        }
    }

    /// Looks at a frame and returns the level to use. The statistics had `frame.black` subtracted.
    pub fn process(&mut self, frame: &Measured) -> f64 {
        if let Some(bin) = frame.quantile_bin(self.share) {
            self.lower_to(frame.black + bin as f64 * frame.bin_width * frame.range);
        }
        self.state.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statistics with nothing subtracted, all pixels in one bin.
    fn frame(bin: usize) -> Measured {
        let mut histogram = vec![0.0; 256];
        histogram[bin] = 100.0;
        Measured {
            histogram,
            bin_width: 1.0 / 256.0,
            range: 1.0,
            ..Measured::default()
        }
    }

    fn tuned(level: f64) -> BlackLevel {
        let tuning = BlackLevelTuning {
            level: Some(level),
            ..BlackLevelTuning::default()
        };
        BlackLevel::new(&tuning, 0.25)
    }

    #[test]
    fn the_tuning_goes_before_the_sensor() {
        assert_eq!(tuned(0.125).level(), 0.125);
        let plain = BlackLevel::new(&BlackLevelTuning::default(), 0.25);
        assert_eq!(plain.level(), 0.25);
    }

    #[test]
    fn it_is_lowered_to_the_darkest_pixels_and_never_raised() {
        let mut black = tuned(0.125);
        assert_eq!(black.process(&frame(64)), 0.125);
        assert_eq!(black.process(&frame(16)), 0.0625);
        assert_eq!(black.process(&frame(64)), 0.0625);
    }

    #[test]
    fn fewer_pixels_than_the_share_do_not_count() {
        let mut frame = frame(64);
        frame.histogram[3] = 1.0;
        assert_eq!(tuned(0.125).process(&frame), 0.125);
        frame.histogram[3] = 3.0;
        assert_eq!(tuned(0.125).process(&frame), 3.0 / 256.0);
    }

    #[test]
    fn what_the_statistics_subtracted_is_added() {
        let frame = Measured {
            black: 0.0625,
            range: 0.9375,
            ..frame(0)
        };
        assert_eq!(tuned(0.125).process(&frame), 0.0625);
    }

    #[test]
    fn what_was_found_is_gone_on_from_in_the_same_mode_only() {
        let mut first = tuned(0.125);
        first.process(&frame(16));
        let mut second = tuned(0.125);
        second.resume(first.state());
        assert_eq!(second.level(), 0.0625);
        let mut another_mode = tuned(0.25);
        another_mode.resume(first.state());
        assert_eq!(another_mode.level(), 0.25);
    }

    #[test]
    fn an_empty_histogram_or_a_level_that_is_none_does_no_harm() {
        assert_eq!(tuned(0.125).process(&Measured::default()), 0.125);
        let odd = BlackLevel::new(&BlackLevelTuning::default(), f64::NAN);
        assert_eq!(odd.level(), 0.0);
    }
}
