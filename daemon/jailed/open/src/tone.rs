//! Tone: contrast, then gamma.
//!
//! `x < ½: ½(2x)^p`, mirrored above, with `p = tan(contrast·π/4)`; then `y^(1/γ)`.

use std::f64::consts::FRAC_PI_4;

use coldshoe_isp::soft::ToneCurve;
use serde::Deserialize;

use crate::tuning::Fault;

/// At 0 the curve would be grey alone, at 2 black and white alone.
const CONTRAST: (f64, f64) = (0.05, 1.95);

/// The `[tone]` table.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ToneTuning {
    /// γ of the display.
    pub gamma: f64,
    /// 1 is neutral.
    pub contrast: f64,
}

impl Default for ToneTuning {
    fn default() -> Self {
        Self {
            gamma: 2.2,
            contrast: 1.0,
        }
    }
}

impl ToneTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("tone.gamma", self.gamma, 0.5..=5.0)?;
        Fault::unless_in("tone.contrast", self.contrast, CONTRAST.0..=CONTRAST.1)
    }
}

/// Output at a linear input of 0..=1.
pub fn tone(x: f64, contrast: f64, gamma: f64) -> f64 {
    let p = (contrast.clamp(CONTRAST.0, CONTRAST.1) * FRAC_PI_4).tan();
    let contrasted = if x < 0.5 {
        0.5 * (2.0 * x).powf(p)
    } else {
        1.0 - 0.5 * (2.0 - 2.0 * x).powf(p)
    };
    contrasted.powf(1.0 / gamma)
}

/// The tone curve of one camera, made anew only when contrast changes.
#[derive(Clone, Debug)]
pub struct Tone {
    tuning: ToneTuning,
    contrast: f64,
    brightness: f64,
    curve: ToneCurve,
}

impl Tone {
    /// The curve as tuned.
    pub fn new(tuning: &ToneTuning) -> Self {
        Self {
            contrast: tuning.contrast,
            brightness: 0.0,
            curve: curve(tuning.contrast, 0.0, tuning.gamma),
            tuning: tuning.clone(),
        }
    }

    /// The curve at a contrast relative to the tuning's, and with a brightness, −1 to 1, added to
    /// what is displayed.
    pub fn process(&mut self, contrast: f64, brightness: f64) -> &ToneCurve {
        let contrast = (self.tuning.contrast * contrast).clamp(CONTRAST.0, CONTRAST.1);
        let other = (contrast, brightness) != (self.contrast, self.brightness);
        if other && contrast.is_finite() && brightness.is_finite() {
            (self.contrast, self.brightness) = (contrast, brightness);
            self.curve = curve(contrast, brightness, self.tuning.gamma);
        }
        &self.curve
    }
}

fn curve(contrast: f64, brightness: f64, gamma: f64) -> ToneCurve {
    ToneCurve::from_fn(|x| (tone(x, contrast, gamma) + brightness).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neutral_contrast_leaves_gamma_alone() {
        for x in [0.0, 0.01, 0.18, 0.5, 0.9, 1.0] {
            assert!((tone(x, 1.0, 2.2) - x.powf(1.0 / 2.2)).abs() < 1e-12);
        }
    }

    #[test]
    fn contrast_is_mirrored_about_the_middle() {
        for contrast in [0.3, 0.8, 1.3, 1.9] {
            assert!((tone(0.5, contrast, 1.0) - 0.5).abs() < 1e-12);
            for x in [0.05, 0.2, 0.4] {
                let (low, high) = (tone(x, contrast, 1.0), tone(1.0 - x, contrast, 1.0));
                assert!((low + high - 1.0).abs() < 1e-12);
            }
        }
        let p = (1.3 * FRAC_PI_4).tan();
        assert!((tone(0.25, 1.3, 1.0) - 0.5 * 0.5_f64.powf(p)).abs() < 1e-12);
    }

    #[test]
    fn more_contrast_darkens_shadows_and_brightens_highlights() {
        assert!(tone(0.2, 1.3, 2.2) < tone(0.2, 1.0, 2.2));
        assert!(tone(0.8, 1.3, 2.2) > tone(0.8, 1.0, 2.2));
    }

    #[test]
    fn every_contrast_gives_a_curve_that_rises_to_full() {
        let mut tone = Tone::new(&ToneTuning::default());
        for contrast in [0.0, 0.5, 1.0, 1.5, 2.0, 1e9, f64::INFINITY] {
            let knots = tone.process(contrast, 0.0).knots();
            assert!(knots.is_sorted());
            assert_eq!(knots[256], 65535);
        }
    }

    #[test]
    fn brightness_is_added_to_what_is_displayed() {
        let mut tone = Tone::new(&ToneTuning::default());
        let neutral = tone.process(1.0, 0.0).at(0.2);
        assert!((tone.process(1.0, 0.1).at(0.2) - neutral - 0.1).abs() < 1e-3);
        assert!((tone.process(1.0, -0.1).at(0.2) - neutral + 0.1).abs() < 1e-3);
        assert_eq!(tone.process(1.0, -1.0).knots()[256], 0);
    }

    #[test]
    fn a_contrast_that_is_none_keeps_the_curve() {
        let mut tone = Tone::new(&ToneTuning::default());
        let before = *tone.process(1.4, 0.0);
        assert_eq!(*tone.process(f64::NAN, 0.0), before);
    }

    #[test]
    fn tuning_out_of_range_is_refused() {
        let bad = ToneTuning {
            gamma: 0.0,
            ..ToneTuning::default()
        };
        assert!(bad.check().unwrap_err().to_string().contains("tone.gamma"));
    }
}
