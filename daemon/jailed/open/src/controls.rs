//! What the application asked for, kept until it asks for something else.

use coldshoe_ipa::Controls;

use crate::af::{FocusMode, FocusRequest, FocusTrigger};
use crate::agc::{ExposureRequest, Metering};
use crate::awb::{LightMode, ManualWhite, WhiteRequest};

/// The requests in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requests {
    pub exposure: ExposureRequest,
    pub white: WhiteRequest,
    pub focus: FocusRequest,
    /// The focus trigger that came with the last frame: one that stays is one trigger.
    pub trigger: Option<u32>,
    /// Added to what is displayed, −1..1.
    pub brightness: f64,
    /// Relative to the tuning.
    pub contrast: f64,
    /// Relative to the tuning.
    pub saturation: f64,
    /// Relative to the tuning.
    pub sharpness: f64,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            exposure: ExposureRequest::default(),
            white: WhiteRequest::default(),
            focus: FocusRequest::default(),
            trigger: None,
            brightness: 0.0,
            contrast: 1.0,
            saturation: 1.0,
            sharpness: 1.0,
        }
    }
}

impl Requests {
    /// Takes over the controls of a frame, and returns what happens once. A value that is no number
    /// is ignored, and so is a mode that is none.
    pub fn take(&mut self, controls: &Controls) -> Option<FocusTrigger> {
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
        if let Some(brightness) = get(Controls::BRIGHTNESS, controls.brightness) {
            self.brightness = brightness.clamp(-1.0, 1.0);
        }
        if let Some(contrast) = get(Controls::CONTRAST, controls.contrast) {
            self.contrast = contrast.max(0.0);
        }
        if let Some(saturation) = get(Controls::SATURATION, controls.saturation) {
            self.saturation = saturation.max(0.0);
        }
        if let Some(sharpness) = get(Controls::SHARPNESS, controls.sharpness) {
            self.sharpness = sharpness.max(0.0);
        }
        // Manual values belong to the manual mode: the next time, it starts from what it finds. With
        // automatic exposure, a time or a gain has priority until it is switched on without one.
        let switched = controls.set & Controls::AE_ENABLE != 0;
        if self.exposure.auto && switched {
            if controls.set & Controls::EXPOSURE_TIME == 0 {
                self.exposure.exposure_us = None;
            }
            if controls.set & Controls::ANALOGUE_GAIN == 0 {
                self.exposure.gain = None;
            }
        }
        if self.white.auto {
            self.white.manual = ManualWhite::Hold;
        }
        self.modes(controls);
        self.focus(controls)
    }

    fn modes(&mut self, controls: &Controls) {
        match controls.get(Controls::AE_METERING, controls.ae_metering) {
            Some(0) => self.exposure.metering = Some(Metering::Centre),
            Some(1) => self.exposure.metering = Some(Metering::Spot),
            Some(2) => self.exposure.metering = Some(Metering::Matrix),
            Some(3) => self.exposure.metering = None,
            _ => {}
        }
        let mode = controls.get(Controls::AWB_MODE, controls.awb_mode);
        if let Some(mode) = mode.and_then(LightMode::of) {
            self.white.mode = mode;
        }
    }

    fn focus(&mut self, controls: &Controls) -> Option<FocusTrigger> {
        let focus = &mut self.focus;
        match controls.get(Controls::AF_MODE, controls.af_mode) {
            Some(0) => focus.mode = FocusMode::Manual,
            Some(1) => focus.mode = FocusMode::Auto,
            Some(2) => focus.mode = FocusMode::Continuous,
            _ => {}
        }
        let position = controls.get(Controls::LENS_POSITION, controls.lens_position);
        if let Some(position) = position.filter(|at| at.is_finite() && *at >= 0.0) {
            focus.position = Some(position);
        }
        if focus.mode != FocusMode::Manual {
            focus.position = None;
        }
        match controls.get(Controls::AF_PAUSE, controls.af_pause) {
            Some(0) => (focus.paused, focus.pause_after) = (true, true),
            Some(1) => (focus.paused, focus.pause_after) = (false, true),
            Some(2) => (focus.paused, focus.pause_after) = (false, false),
            _ => {}
        }
        let trigger = controls.get(Controls::AF_TRIGGER, controls.af_trigger);
        let trigger = trigger.filter(|trigger| *trigger <= 1);
        let before = std::mem::replace(&mut self.trigger, trigger);
        match trigger.filter(|_| trigger != before) {
            Some(0) => Some(FocusTrigger::Start),
            Some(1) => Some(FocusTrigger::Cancel),
            _ => None,
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
            sharpness: 2.0,
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
            metering: None,
        };
        assert_eq!(requests.exposure, want);
    }

    #[test]
    fn manual_gains_of_colour_need_the_manual_mode() {
        let mut requests = Requests::default();
        requests.take(&controls(Controls::COLOUR_GAINS));
        assert_eq!(requests, Requests::default());
    }

    #[test]
    fn a_time_has_priority_until_exposure_is_switched_on_without_one() {
        let mut requests = Requests::default();
        let mut on = controls(Controls::EXPOSURE_TIME | Controls::AE_ENABLE);
        on.ae_enable = 1;
        requests.take(&on);
        assert_eq!(requests.exposure.exposure_us, Some(5_000.0));
        requests.take(&controls(0));
        assert_eq!(requests.exposure.exposure_us, Some(5_000.0));
        on.set = Controls::AE_ENABLE;
        requests.take(&on);
        assert_eq!(requests, Requests::default());
    }

    #[test]
    fn a_trigger_that_stays_is_one_trigger() {
        let mut requests = Requests::default();
        let with = controls(Controls::AF_TRIGGER);
        assert_eq!(requests.take(&with), Some(FocusTrigger::Start));
        assert_eq!(requests.take(&with), None);
        assert_eq!(requests.take(&controls(0)), None);
        assert_eq!(requests.take(&with), Some(FocusTrigger::Start));
    }

    #[test]
    fn modes_that_are_none_change_nothing() {
        let mut requests = Requests::default();
        let odd = Controls {
            set: Controls::AE_METERING | Controls::AWB_MODE | Controls::AF_MODE,
            ae_metering: 9,
            awb_mode: 99,
            af_mode: 7,
            ..Controls::default()
        };
        requests.take(&odd);
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
        odd.sharpness = f64::NAN;
        let mut requests = Requests::default();
        requests.take(&odd);
        assert_eq!(requests.exposure.exposure_us, None);
        assert_eq!(requests.exposure.gain, None);
        assert_eq!(requests.exposure.ev, 0.0);
        assert_eq!(requests.white.manual, ManualWhite::Hold);
        assert_eq!((requests.contrast, requests.saturation), (1.0, 0.0));
        assert_eq!(requests.sharpness, 1.0);
    }
}
