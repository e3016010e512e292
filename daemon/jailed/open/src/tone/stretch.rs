//! Contrast stretch: dark pixels go down to black, bright ones up to white, as far as is allowed.
//!
//! Linear light is bent at two points, `(0, 0) → (d, d′) → (b, b′) → (1, 1)`: d is the luminance below
//! which the darkest pixels lie, b the one above which the brightest do. Between them contrast grows,
//! and nothing clips. `d′` is never above d, nor `b′` below b, so that a picture that uses the whole
//! range stays as it is.

use serde::Deserialize;

use crate::measure::Measured;
use crate::tuning::Fault;

/// A point that is off by less than this factor stays, and one that moves goes on to a quarter of it.
const DEAD_BAND: f64 = 0.05;
/// Nothing brighter is dark.
const DARK: f64 = 0.5;
/// Added to what is compared: in the dark, eyes see differences and not ratios.
const TOE: f64 = 0.02;
/// What is darker than that is as good as black: half a code of eight bits.
const DARKEST: f64 = 0.002;

/// The `[tone.stretch]` table.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct StretchTuning {
    /// Share of the pixels that are dark.
    pub dark: f64,
    /// Where the brightest of them go, full light being 1.
    pub dark_to: f64,
    /// They go down by at most this.
    pub max_black: f64,
    /// Share of the pixels that are bright.
    pub bright: f64,
    /// Where the darkest of them go.
    pub bright_to: f64,
    /// They go up by at most this factor.
    pub max_gain: f64,
    /// Share of the way that one frame goes.
    pub speed: f64,
}

impl Default for StretchTuning {
    fn default() -> Self {
        Self {
            dark: 0.01,
            dark_to: 0.004,
            max_black: 0.03,
            bright: 0.02,
            bright_to: 0.8,
            max_gain: 1.5,
            speed: 0.1,
        }
    }
}

impl StretchTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let unless =
            |key: &str, value, range| Fault::unless_in(format!("tone.stretch.{key}"), value, range);
        unless("dark", self.dark, 0.0..=0.5)?;
        unless("dark_to", self.dark_to, 0.0..=0.2)?;
        unless("max_black", self.max_black, 0.0..=0.2)?;
        unless("bright", self.bright, 0.0..=0.5)?;
        unless("bright_to", self.bright_to, 0.3..=1.0)?;
        unless("max_gain", self.max_gain, 1.0..=4.0)?;
        unless("speed", self.speed, 0.01..=1.0)
    }
}

/// A luminance that follows the scene, but not its noise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Followed {
    pub(crate) level: f64,
    pub(crate) moving: bool,
}

impl Followed {
    /// In logarithms, as eyes see it.
    fn follow(&mut self, target: f64, speed: f64) {
        let target = target.clamp(DARKEST, 1.0);
        let off = ((target + TOE) / (self.level + TOE)).ln();
        let dead = if self.moving {
            DEAD_BAND / 4.0
        } else {
            DEAD_BAND
        };
        self.moving = off.abs() > dead;
        if self.moving {
            self.level = (self.level + TOE) * (speed * off).exp() - TOE;
        }
    }
}

/// Where the scene's dark and bright pixels lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StretchState {
    pub(crate) dark: Followed,
    pub(crate) bright: Followed,
}

/// Takes a frame in, whose luminance the ISP multiplies by `gain` before its tone curve.
pub(super) fn follow(
    state: &mut Option<StretchState>,
    tuning: &StretchTuning,
    frame: &Measured,
    gain: f64,
) {
    let quantile = |share| frame.quantile(share).map(|level| level * gain);
    let (Some(dark), Some(bright)) = (quantile(tuning.dark), quantile(1.0 - tuning.bright)) else {
        return;
    };
    if !(dark.is_finite() && bright.is_finite()) {
        return;
    }
    let at = |level: f64| Followed {
        level: level.clamp(DARKEST, 1.0),
        moving: false,
    };
    let state = state.get_or_insert(StretchState {
        dark: at(dark),
        bright: at(bright),
    });
    state.dark.follow(dark, tuning.speed);
    state.bright.follow(bright, tuning.speed);
}

impl StretchState {
    /// Linear light, 0..=1, after the stretch.
    pub(super) fn at(&self, tuning: &StretchTuning, x: f64) -> f64 {
        let dark = self.dark.level.min(DARK);
        let bright = self.bright.level.max(1.01 * dark);
        let black = tuning.dark_to.max(dark - tuning.max_black).min(dark);
        let white = tuning.bright_to.min(bright * tuning.max_gain).max(bright);
        let between = |(x0, y0): (f64, f64), (x1, y1): (f64, f64)| {
            y0 + (y1 - y0) * (x - x0) / (x1 - x0).max(1e-9)
        };
        if x <= dark {
            between((0.0, 0.0), (dark, black))
        } else if x <= bright {
            between((dark, black), (bright, white))
        } else {
            between((bright, white), (1.0, 1.0)).min(1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(dark: f64, bright: f64) -> StretchState {
        let at = |level| Followed {
            level,
            moving: false,
        };
        StretchState {
            dark: at(dark),
            bright: at(bright),
        }
    }

    /// Half of the pixels at each of two luminances.
    fn frame(dark: f64, bright: f64) -> Measured {
        let mut histogram = vec![0.0; 256];
        histogram[(dark * 256.0) as usize] += 50.0;
        histogram[(bright * 256.0) as usize] += 50.0;
        Measured {
            histogram,
            bin_width: 1.0 / 256.0,
            ..Measured::default()
        }
    }

    #[test]
    fn a_hazy_picture_is_stretched_as_far_as_is_allowed() {
        let tuning = StretchTuning::default();
        let hazy = state(0.02, 0.6);
        assert!((hazy.at(&tuning, 0.02) - 0.004).abs() < 1e-12);
        assert!((hazy.at(&tuning, 0.6) - 0.8).abs() < 1e-12);
        let flat = state(0.3, 0.32);
        assert!((flat.at(&tuning, 0.3) - 0.27).abs() < 1e-12);
        assert!((flat.at(&tuning, 0.32) - 0.48).abs() < 1e-12);
    }

    #[test]
    fn a_picture_that_uses_the_whole_range_stays_as_it_is() {
        let tuning = StretchTuning::default();
        let full = state(0.002, 0.9);
        for x in [0.0, 0.001, 0.1, 0.5, 0.95, 1.0] {
            assert!((full.at(&tuning, x) - x).abs() < 1e-9);
        }
    }

    #[test]
    fn whatever_was_measured_it_rises_from_black_to_white() {
        let tuning = StretchTuning::default();
        for (dark, bright) in [
            (0.002, 0.002),
            (0.5, 0.1),
            (1.0, 1.0),
            (0.3, 0.3),
            (0.01, 0.5),
        ] {
            let state = state(dark, bright);
            let values: Vec<_> = (0..=256)
                .map(|i| state.at(&tuning, f64::from(i) / 256.0))
                .collect();
            assert!(values.is_sorted(), "{dark} {bright}: {values:?}");
            assert_eq!(values[0], 0.0);
            assert!((0.99..=1.0).contains(&values[256]), "{dark} {bright}");
        }
    }

    #[test]
    fn the_first_frame_counts_at_once_noise_does_not_and_another_scene_does() {
        let tuning = StretchTuning::default();
        let mut seen = None;
        follow(&mut seen, &tuning, &frame(0.05, 0.5), 1.0);
        let first = seen.unwrap();
        assert!((first.bright.level - 0.5).abs() < 0.005);
        for bright in [0.51, 0.49, 0.505] {
            follow(&mut seen, &tuning, &frame(0.05, bright), 1.0);
            assert_eq!(seen, Some(first));
        }
        for _ in 0..60 {
            follow(&mut seen, &tuning, &frame(0.05, 0.8), 1.0);
        }
        let level = seen.unwrap().bright.level;
        assert!((level / 0.8 - 1.0).abs() < 0.02, "{level}");
        follow(&mut seen, &tuning, &Measured::default(), 1.0);
        follow(&mut seen, &tuning, &frame(0.1, 0.2), f64::NAN);
        assert_eq!(seen.unwrap().bright.level, level);
    }

    #[test]
    fn what_the_isp_multiplies_is_allowed_for() {
        let mut seen = None;
        follow(
            &mut seen,
            &StretchTuning::default(),
            &frame(0.05, 0.25),
            1.6,
        );
        assert!((seen.unwrap().bright.level / 0.4 - 1.0).abs() < 0.02);
    }

    #[test]
    fn tuning_out_of_range_is_refused() {
        let bad = StretchTuning {
            max_gain: 0.5,
            ..StretchTuning::default()
        };
        let text = bad.check().unwrap_err().to_string();
        assert!(text.contains("tone.stretch.max_gain"), "{text}");
    }
}
