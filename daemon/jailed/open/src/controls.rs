//! What the application asked for, kept until it asks for something else.

use coldshoe_ipa::Controls;

use crate::agc::ExposureRequest;
use crate::awb::{ManualWhite, WhiteRequest};

/// The requests in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requests {
    pub exposure: ExposureRequest,
    pub white: WhiteRequest,
    /// Relative to the tuning.
    pub contrast: f64,
    /// Relative to the tuning.
    pub saturation: f64,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            exposure: ExposureRequest::default(),
            white: WhiteRequest::default(),
            contrast: 1.0,
            saturation: 1.0,
        }
    }
}

impl Requests {
    /// Takes over the controls of a frame. A value that is no number is ignored.
    pub fn take(&mut self, controls: &Controls) {
        let get = |bit, value: f64| controls.get(bit, value).filter(|v| v.is_finite());
        let positive = |bit, value| get(bit, value).filter(|&v| v > 0.0);
        if let Some(enable) = controls.get(Controls::AE_ENABLE, controls.ae_enable) {
            self.exposure.auto = enable != 0;
        }
        if let Some(enable) = controls.get(Controls::AWB_ENABLE, controls.awb_enable) {
            self.white.auto = enable != 0;
        }
        if let Some(ev) = get(Controls::EXPOSURE_VALUE, controls.exposure_value) {
            self.exposure.ev = ev;
        }
        if let Some(time) = positive(Controls::EXPOSURE_TIME, controls.exposure_us) {
            self.exposure.exposure_us = Some(time);
        }
        if let Some(gain) = positive(Controls::ANALOGUE_GAIN, controls.analogue_gain) {
            self.exposure.gain = Some(gain);
        }
        if let Some(kelvin) = positive(Controls::COLOUR_TEMPERATURE, controls.colour_temperature) {
            self.white.manual = ManualWhite::Temperature(kelvin);
        }
        let red = positive(Controls::COLOUR_GAINS, controls.colour_gain_red);
        let blue = positive(Controls::COLOUR_GAINS, controls.colour_gain_blue);
        if let (Some(red), Some(blue)) = (red, blue) {
            self.white.manual = ManualWhite::Gains(red, blue);
        }
        if let Some(contrast) = get(Controls::CONTRAST, controls.contrast) {
            self.contrast = contrast.max(0.0);
        }
        if let Some(saturation) = get(Controls::SATURATION, controls.saturation) {
            self.saturation = saturation.max(0.0);
        }
        // Manual values belong to the manual mode: the next time, it starts from what it finds.
        if self.exposure.auto {
            self.exposure.exposure_us = None;
            self.exposure.gain = None;
        }
        if self.white.auto {
            self.white.manual = ManualWhite::Hold;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls(set: u32) -> Controls {
        Controls {
            set,
            exposure_value: 1.5,
            exposure_us: 5_000.0,
            analogue_gain: 2.0,
            colour_temperature: 4_000.0,
            colour_gain_red: 1.8,
            colour_gain_blue: 1.4,
            contrast: 1.2,
            saturation: 0.5,
            ..Controls::default()
        }
    }

    #[test]
    fn what_is_not_set_is_not_taken() {
        let mut requests = Requests::default();
        requests.take(&controls(0));
        assert_eq!(requests, Requests::default());
    }

    #[test]
    fn what_was_set_once_stays() {
        let mut requests = Requests::default();
        requests.take(&controls(Controls::AE_ENABLE | Controls::EXPOSURE_TIME));
        requests.take(&controls(
            Controls::ANALOGUE_GAIN | Controls::EXPOSURE_VALUE,
        ));
        let want = ExposureRequest {
            auto: false,
            ev: 1.5,
            exposure_us: Some(5_000.0),
            gain: Some(2.0),
        };
        assert_eq!(requests.exposure, want);
    }

    #[test]
    fn manual_values_need_the_manual_mode() {
        let mut requests = Requests::default();
        requests.take(&controls(Controls::EXPOSURE_TIME | Controls::COLOUR_GAINS));
        assert_eq!(requests, Requests::default());
    }

    #[test]
    fn gains_go_before_a_temperature_asked_for_with_them() {
        let mut requests = Requests::default();
        let both = Controls::COLOUR_GAINS | Controls::COLOUR_TEMPERATURE;
        requests.take(&controls(Controls::AWB_ENABLE | both));
        assert_eq!(requests.white.manual, ManualWhite::Gains(1.8, 1.4));
        requests.take(&controls(Controls::COLOUR_TEMPERATURE));
        assert_eq!(requests.white.manual, ManualWhite::Temperature(4_000.0));
    }

    #[test]
    fn values_that_are_no_numbers_are_ignored() {
        let mut odd = controls(u32::MAX);
        odd.exposure_us = f64::NAN;
        odd.analogue_gain = -1.0;
        odd.exposure_value = f64::INFINITY;
        odd.colour_gain_red = 0.0;
        odd.colour_temperature = f64::NAN;
        odd.contrast = f64::NAN;
        odd.saturation = -3.0;
        let mut requests = Requests::default();
        requests.take(&odd);
        assert_eq!(requests.exposure.exposure_us, None);
        assert_eq!(requests.exposure.gain, None);
        assert_eq!(requests.exposure.ev, 0.0);
        assert_eq!(requests.white.manual, ManualWhite::Hold);
        assert_eq!((requests.contrast, requests.saturation), (1.0, 0.0));
    }
}
