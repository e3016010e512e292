//! Tone: a stretch of contrast where it is tuned, contrast, then gamma.
//!
//! `x < ½: ½(2x)^p`, mirrored above, with `p = tan(contrast·π/4)`; then `y^(1/γ)`.

mod stretch;

use std::f64::consts::FRAC_PI_4;

use coldshoe_isp::soft::ToneCurve;
use serde::Deserialize;

use crate::measure::Measured;
use crate::tuning::Fault;

pub use stretch::StretchTuning;
pub(crate) use stretch::{Followed, StretchState};

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
    /// Dark pixels go down to black and bright ones up to white; none: they stay.
    pub stretch: Option<StretchTuning>,
}

impl Default for ToneTuning {
    fn default() -> Self {
        Self {
            gamma: 2.2,
            contrast: 1.0,
            stretch: None,
        }
    }
}

impl ToneTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("tone.gamma", self.gamma, 0.5..=5.0)?;
        Fault::unless_in("tone.contrast", self.contrast, CONTRAST.0..=CONTRAST.1)?;
        self.stretch.as_ref().map_or(Ok(()), StretchTuning::check)
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

/// What a curve is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Made {
    contrast: f64,
    brightness: f64,
    stretch: Option<StretchState>,
}

/// The tone curve of one camera, made anew only when something changes it.
#[derive(Clone, Debug)]
pub struct Tone {
    tuning: ToneTuning,
    stretch: Option<StretchState>,
    made: Made,
    curve: ToneCurve,
}

impl Tone {
    /// The curve as tuned.
    pub fn new(tuning: &ToneTuning) -> Self {
        let made = Made {
            contrast: tuning.contrast,
            brightness: 0.0,
            stretch: None,
        };
        Self {
            stretch: None,
            made,
            curve: curve(&made, tuning),
            tuning: tuning.clone(),
        }
    }

    pub(crate) fn state(&self) -> Option<StretchState> {
        self.stretch
    }

    pub(crate) fn resume(&mut self, state: Option<StretchState>) {
        self.stretch = state.filter(|_| self.tuning.stretch.is_some());
    }

    /// Looks at a frame whose luminance the ISP multiplies by `gain` before the curve.
    pub fn measure(&mut self, frame: &Measured, gain: f64) {
        if let Some(tuning) = &self.tuning.stretch {
            stretch::follow(&mut self.stretch, tuning, frame, gain);
        }
    }

    /// The curve at a contrast relative to the tuning's, and with a brightness, −1 to 1, added to
    /// what is displayed. The stretch comes before both.
    pub fn process(&mut self, contrast: f64, brightness: f64) -> &ToneCurve {
        let made = Made {
            contrast: (self.tuning.contrast * contrast).clamp(CONTRAST.0, CONTRAST.1),
            brightness,
            stretch: self.stretch,
        };
        if made != self.made && made.contrast.is_finite() && brightness.is_finite() {
            self.made = made;
            self.curve = curve(&made, &self.tuning);
        }
        &self.curve
    }
}

fn curve(made: &Made, tuning: &ToneTuning) -> ToneCurve {
    ToneCurve::from_fn(|x| {
        let stretched = match (made.stretch, &tuning.stretch) {
            (Some(stretch), Some(tuning)) => stretch.at(tuning, x),
            _ => x,
        };
        (tone(stretched, made.contrast, tuning.gamma) + made.brightness).clamp(0.0, 1.0)
    })
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
    fn without_a_stretch_in_the_tuning_no_frame_changes_the_curve() {
        let mut tone = Tone::new(&ToneTuning::default());
        let before = *tone.process(1.0, 0.0);
        let mut frame = Measured {
            histogram: vec![0.0; 256],
            bin_width: 1.0 / 256.0,
            ..Measured::default()
        };
        frame.histogram[80] = 100.0;
        tone.measure(&frame, 1.0);
        assert_eq!(*tone.process(1.0, 0.0), before);
        let mut stretched = Tone::new(&ToneTuning {
            stretch: Some(StretchTuning::default()),
            ..ToneTuning::default()
        });
        stretched.measure(&frame, 1.0);
        assert!(stretched.process(1.0, 0.0).at(80.5 / 256.0) > before.at(80.5 / 256.0));
        // Contrast is asked for on top of it.
        let neutral = *stretched.process(1.0, 0.0);
        assert!(stretched.process(1.5, 0.0).at(0.1) < neutral.at(0.1));
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
