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

/// The black level of one camera, fraction of full scale.
#[derive(Clone, Debug)]
pub struct BlackLevel {
    share: f64,
    level: f64,
}

impl BlackLevel {
    /// The level of the tuning, or the sensor's.
    pub fn new(tuning: &BlackLevelTuning, sensor: f64) -> Self {
        let sensor = if sensor.is_finite() {
            sensor.clamp(0.0, 0.5)
        } else {
            0.0
        };
        Self {
            share: tuning.share,
            level: tuning.level.unwrap_or(sensor),
        }
    }

    /// The level in use.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Goes on from a level that was found before, unless it is above the present one.
    pub fn resume(&mut self, level: f64) {
        if level < self.level {
            self.level = level.max(0.0);
        }
    }

    /// Looks at a frame and returns the level to use. The statistics had `frame.black` subtracted.
    pub fn process(&mut self, frame: &Measured) -> f64 {
        if let Some(bin) = frame.quantile_bin(self.share) {
            self.resume(frame.black + bin as f64 * frame.bin_width * frame.range);
        }
        self.level
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
    fn an_empty_histogram_or_a_level_that_is_none_does_no_harm() {
        assert_eq!(tuned(0.125).process(&Measured::default()), 0.125);
        let odd = BlackLevel::new(&BlackLevelTuning::default(), f64::NAN);
        assert_eq!(odd.level(), 0.0);
    }
}
