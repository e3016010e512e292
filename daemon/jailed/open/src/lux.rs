//! How bright the scene is: proportional to the image's luminance over its exposure.

use serde::Deserialize;

use crate::measure::Measured;
use crate::tuning::Fault;

/// The `[lux]` table: one frame taken with a lux meter beside it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LuxTuning {
    /// What the meter read.
    pub lux: f64,
    /// Exposure × gains of the frame, µs.
    pub exposure_us: f64,
    /// Mean luminance of the frame, full light being 1.
    pub luminance: f64,
}

impl LuxTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("lux.lux", self.lux, 1e-3..=1e6)?;
        Fault::unless_in("lux.exposure_us", self.exposure_us, 1e-3..=1e9)?;
        Fault::unless_in("lux.luminance", self.luminance, 1e-4..=1.0)
    }

    /// The scene's light level; `None` when the frame does not tell.
    pub fn of(&self, frame: &Measured, luminance: f64) -> Option<f64> {
        let lux =
            self.lux * (luminance / self.luminance) * (self.exposure_us / frame.applied.total());
        (lux.is_finite() && lux > 0.0).then_some(lux)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::Exposure;

    const TUNING: LuxTuning = LuxTuning {
        lux: 400.0,
        exposure_us: 10_000.0,
        luminance: 0.2,
    };

    fn frame(exposure_us: f64) -> Measured {
        Measured {
            applied: Exposure {
                exposure_us,
                analogue_gain: 2.0,
                digital_gain: 1.0,
            },
            ..Measured::default()
        }
    }

    #[test]
    fn half_the_luminance_at_twice_the_exposure_is_a_quarter_of_the_light() {
        assert_eq!(TUNING.of(&frame(10_000.0), 0.1), Some(100.0));
    }

    #[test]
    fn without_exposure_or_light_it_is_not_known() {
        assert_eq!(TUNING.of(&frame(0.0), 0.1), None);
        assert_eq!(TUNING.of(&frame(f64::NAN), 0.1), None);
        assert_eq!(TUNING.of(&frame(10.0), 0.0), None);
    }
}
