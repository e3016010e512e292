//! Exposure as one number and as what a sensor takes: time, analogue gain, digital gain.

use coldshoe_ipa::{IpaError, Sensor};
use serde::Deserialize;

use crate::tuning::Fault;

/// What a frame is exposed with. Gains are linear factors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exposure {
    /// µs.
    pub exposure_us: f64,
    /// Analogue gain.
    pub analogue_gain: f64,
    /// Digital gain.
    pub digital_gain: f64,
}

impl Exposure {
    /// Time × gains, µs at a gain of 1: the image's brightness is proportional to it.
    pub fn total(&self) -> f64 {
        self.exposure_us * self.analogue_gain * self.digital_gain
    }
}

/// One step of the way from short to long: exposure rises to this time, then gain to this factor.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// µs.
    pub exposure_us: f64,
    /// Linear factor.
    pub gain: f64,
}

/// Codes of an analogue gain: a code stands for (m0·code + c0) / (m1·code + c1).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct GainModel {
    /// Of the code, above.
    pub m0: f64,
    /// Added to it, above.
    pub c0: f64,
    /// Of the code, below.
    pub m1: f64,
    /// Added to it, below.
    pub c1: f64,
}

impl GainModel {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        for (name, value) in [
            ("m0", self.m0),
            ("c0", self.c0),
            ("m1", self.m1),
            ("c1", self.c1),
        ] {
            Fault::unless_in(format!("agc.gain_model.{name}"), value, -1e6..=1e6)?;
        }
        let rises = self.m0 * self.c1 - self.c0 * self.m1;
        if rises > 0.0 {
            return Ok(());
        }
        let reason = "has gains that do not rise with the code; m0·c1 − c0·m1 has to be positive";
        Err(Fault::new("agc.gain_model", reason))
    }

    /// The largest gain of a code that is not above `gain`.
    fn below(&self, gain: f64) -> f64 {
        let code = (self.c0 - gain * self.c1) / (gain * self.m1 - self.m0);
        // A gain that arithmetic left a hair below a code's is that code's.
        let code = (code + 1e-6).floor();
        let found = (self.m0 * code + self.c0) / (self.m1 * code + self.c1);
        if found.is_finite() && found > 0.0 {
            found
        } else {
            gain
        }
    }
}

/// What the sensor can do in its mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Shortest and longest exposure, µs.
    pub exposure_us: (f64, f64),
    /// Smallest and largest analogue gain.
    pub gain: (f64, f64),
    /// Largest digital gain; the smallest is 1.
    pub digital_gain: f64,
    /// Exposure comes in steps of this many µs.
    pub line_us: f64,
    /// Analogue gain comes in these steps.
    pub gain_model: Option<GainModel>,
}

impl Limits {
    /// The limits of a sensor mode.
    ///
    /// # Errors
    /// A limit that is not a number, not positive, or below its counterpart.
    pub fn of_sensor(sensor: &Sensor) -> Result<Self, IpaError> {
        let range = |name: &str, low: f64, high: f64| {
            if low.is_finite() && high.is_finite() && low > 0.0 && low <= high {
                return Ok((low, high));
            }
            Err(IpaError::new(format_args!(
                "sensor: {name} from {low} to {high} is no range; correct the camera's description"
            )))
        };
        let mut exposure_us = range("exposure", sensor.min_exposure_us, sensor.max_exposure_us)?;
        if sensor.max_frame_duration_us >= exposure_us.0 {
            exposure_us.1 = exposure_us.1.min(sensor.max_frame_duration_us);
        }
        let gain = range(
            "analogue gain",
            sensor.min_analogue_gain,
            sensor.max_analogue_gain,
        )?;
        let (_, digital_gain) = range("digital gain", 1.0, sensor.max_digital_gain)?;
        let (line_us, _) = range("line length", sensor.line_length_us, f64::MAX)?;
        Ok(Self {
            exposure_us,
            gain,
            digital_gain,
            line_us,
            gain_model: None,
        })
    }

    /// The same with a time or a gain that is given.
    pub fn with(&self, exposure_us: Option<f64>, gain: Option<f64>) -> Self {
        let nearest = self.nearest(
            exposure_us.unwrap_or(self.exposure_us.0),
            gain.unwrap_or(self.gain.0),
        );
        let mut limits = *self;
        if exposure_us.is_some() {
            limits.exposure_us = (nearest.exposure_us, nearest.exposure_us);
        }
        if gain.is_some() {
            limits.gain = (nearest.analogue_gain, nearest.analogue_gain);
        }
        limits
    }

    /// Smallest and largest total exposure that the sensor reaches, µs at a gain of 1.
    pub fn reach(&self, stages: &[Stage], flicker_us: f64) -> (f64, f64) {
        let total = |wanted| self.split(wanted, stages, flicker_us).total();
        (total(0.0), total(f64::INFINITY))
    }

    /// The nearest exposure time and gain that the sensor takes, digital gain 1. NaN is the
    /// smallest.
    pub fn nearest(&self, exposure_us: f64, gain: f64) -> Exposure {
        Exposure {
            exposure_us: self.whole_lines(within(exposure_us, self.exposure_us)),
            analogue_gain: within(gain, self.gain),
            digital_gain: 1.0,
        }
    }

    /// Splits a total exposure over the stages: time first, then gain, stage by stage; after the
    /// last one the longest time, the largest analogue gain, digital gain.
    ///
    /// With a flicker period P, t = ⌊t/P⌋·P and the analogue gain makes up for it. Exposure is cut
    /// to whole lines, gain to a code, and the factor lost is returned as digital gain; what digital gain cannot
    /// give, analogue gain does.
    pub fn split(&self, total: f64, stages: &[Stage], flicker_us: f64) -> Exposure {
        let last = Stage {
            exposure_us: self.exposure_us.1,
            gain: self.gain.1,
        };
        let (mut time, mut gain) = (self.exposure_us.0, self.gain.0);
        for stage in stages.iter().chain([&last]) {
            let longest = within(stage.exposure_us, self.exposure_us).max(time);
            time = within(total / gain, (time, longest));
            let largest = within(stage.gain, self.gain).max(gain);
            gain = within(total / time, (gain, largest));
            if time * gain >= total {
                break;
            }
        }
        if flicker_us > 0.0 && time >= flicker_us {
            time = whole(time, flicker_us);
            gain = within(total / time, (gain, self.gain.1));
        }
        let exposure_us = self.whole_lines(time);
        let gain = self.whole_code(gain);
        let digital = |gain: f64| within(total / (exposure_us * gain), (1.0, self.digital_gain));
        let rest = total / (exposure_us * digital(gain));
        let analogue_gain = self.whole_code(within(rest, (gain, self.gain.1)));
        Exposure {
            exposure_us,
            analogue_gain,
            digital_gain: digital(analogue_gain),
        }
    }

    fn whole_code(&self, gain: f64) -> f64 {
        let code = |model: GainModel| within(model.below(gain), self.gain);
        self.gain_model.map_or(gain, code)
    }

    fn whole_lines(&self, time: f64) -> f64 {
        whole(time, self.line_us).max(self.exposure_us.0)
    }
}

/// The largest multiple of `step` that is not above `value`. A value that arithmetic left a hair
/// below a multiple is that multiple.
fn whole(value: f64, step: f64) -> f64 {
    (value / step + 1e-6).floor() * step
}

/// `value` clamped; NaN is the lower end.
fn within(value: f64, (low, high): (f64, f64)) -> f64 {
    value.max(low).min(high)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 1000 lines of 20 µs, gain 1..8, digital gain to 4.
    pub(crate) fn limits() -> Limits {
        Limits {
            exposure_us: (20.0, 20_000.0),
            gain: (1.0, 8.0),
            digital_gain: 4.0,
            line_us: 20.0,
            gain_model: None,
        }
    }

    pub(crate) fn sensor() -> Sensor {
        Sensor {
            struct_size: size_of::<Sensor>() as u32,
            bayer_order: 1,
            width: 640,
            height: 480,
            bit_depth: 10,
            exposure_delay: 2,
            gain_delay: 1,
            exposure_margin_lines: 0,
            line_length_us: 20.0,
            min_exposure_us: 20.0,
            max_exposure_us: 20_000.0,
            min_analogue_gain: 1.0,
            max_analogue_gain: 8.0,
            max_digital_gain: 4.0,
            black_level: 0.0625,
            min_frame_duration_us: 33_333.0,
            max_frame_duration_us: 33_333.0,
            min_lens_position: 0.0,
            max_lens_position: 0.0,
        }
    }

    #[test]
    fn exposure_rises_before_gain_and_gain_before_digital_gain() {
        let split = |total| limits().split(total, &[], 0.0);
        let want = |exposure_us, analogue_gain, digital_gain| Exposure {
            exposure_us,
            analogue_gain,
            digital_gain,
        };
        assert_eq!(split(10_000.0), want(10_000.0, 1.0, 1.0));
        assert_eq!(split(40_000.0), want(20_000.0, 2.0, 1.0));
        assert_eq!(split(320_000.0), want(20_000.0, 8.0, 2.0));
    }

    #[test]
    fn stages_are_climbed_in_turn() {
        let stages = [
            Stage {
                exposure_us: 5_000.0,
                gain: 2.0,
            },
            Stage {
                exposure_us: 10_000.0,
                gain: 4.0,
            },
        ];
        let split = |total| {
            let e = limits().split(total, &stages, 0.0);
            (e.exposure_us, e.analogue_gain)
        };
        assert_eq!(split(4_000.0), (4_000.0, 1.0));
        assert_eq!(split(7_500.0), (5_000.0, 1.5));
        assert_eq!(split(16_000.0), (8_000.0, 2.0));
        assert_eq!(split(30_000.0), (10_000.0, 3.0));
        assert_eq!(split(60_000.0), (15_000.0, 4.0));
        assert_eq!(split(100_000.0), (20_000.0, 5.0));
    }

    #[test]
    fn a_stage_beyond_the_sensor_is_cut_to_it() {
        let stages = [Stage {
            exposure_us: 1e9,
            gain: 1e9,
        }];
        assert_eq!(
            limits().split(1e12, &stages, 0.0),
            limits().split(1e12, &[], 0.0)
        );
    }

    #[test]
    fn what_whole_lines_lose_comes_back_as_digital_gain() {
        let e = limits().split(1_234.5, &[], 0.0);
        assert_eq!((e.exposure_us, e.analogue_gain), (1_220.0, 1.0));
        assert!((e.total() - 1_234.5).abs() < 1e-9);
    }

    #[test]
    fn what_a_gain_code_loses_comes_back_as_digital_gain() {
        let imx219 = GainModel {
            m0: 0.0,
            c0: 256.0,
            m1: -1.0,
            c1: 256.0,
        };
        imx219.check().unwrap();
        let limits = Limits {
            gain_model: Some(imx219),
            ..limits()
        };
        for total in [
            20_000.0, 21_000.0, 57_000.0, 123_456.0, 160_000.0, 320_000.0,
        ] {
            let e = limits.split(total, &[], 0.0);
            let code = 256.0 - 256.0 / e.analogue_gain;
            assert!((code - code.round()).abs() < 1e-6, "{e:?}");
            assert!((e.total() / total - 1.0).abs() < 1e-9, "{e:?}");
        }
        assert!(GainModel { m1: 1.0, ..imx219 }.check().is_err());
    }

    #[test]
    fn without_digital_gain_the_loss_comes_back_as_analogue_gain() {
        let limits = Limits {
            digital_gain: 1.0,
            ..limits()
        };
        let e = limits.split(39.0, &[], 0.0);
        assert_eq!((e.exposure_us, e.digital_gain), (20.0, 1.0));
        assert!((e.total() - 39.0).abs() < 1e-9);
    }

    #[test]
    fn exposure_is_a_multiple_of_the_flicker_period_where_it_can_be() {
        let split = |total| limits().split(total, &[], 8_000.0);
        let e = split(15_000.0);
        assert_eq!(e.exposure_us, 8_000.0);
        assert!((e.total() - 15_000.0).abs() < 1e-9);
        assert_eq!(split(40_000.0).exposure_us, 16_000.0);
        assert_eq!(split(3_000.0).exposure_us, 3_000.0);
    }

    #[test]
    fn the_reach_is_what_the_split_really_gives() {
        assert_eq!(limits().reach(&[], 0.0), (20.0, 640_000.0));
        assert_eq!(limits().reach(&[], 8_000.0), (20.0, 512_000.0));
    }

    #[test]
    fn nan_is_the_shortest_and_infinity_the_longest() {
        assert_eq!(limits().split(f64::NAN, &[], 0.0).exposure_us, 20.0);
        assert_eq!(limits().split(f64::INFINITY, &[], 0.0).total(), 640_000.0);
        assert_eq!(limits().nearest(f64::NAN, f64::NAN).total(), 20.0);
    }

    #[test]
    fn a_manual_exposure_is_cut_to_lines_and_limits() {
        let e = limits().nearest(1_019.0, 100.0);
        assert_eq!((e.exposure_us, e.analogue_gain), (1_000.0, 8.0));
    }

    #[test]
    fn a_sensor_without_sense_is_refused() {
        type Break = fn(&mut Sensor);
        let cases: [(&str, Break); 4] = [
            ("exposure", |s| s.min_exposure_us = f64::NAN),
            ("analogue gain", |s| s.max_analogue_gain = 0.5),
            ("digital gain", |s| s.max_digital_gain = 0.0),
            ("line length", |s| s.line_length_us = 0.0),
        ];
        for (name, break_it) in cases {
            let mut sensor = sensor();
            break_it(&mut sensor);
            let error = Limits::of_sensor(&sensor).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert_eq!(Limits::of_sensor(&sensor()).unwrap(), limits());
    }
}
