//! What others than the pipeline's application ask for, and what of it goes before the application's
//! own controls.

use coldshoe_control::client::{self, Steer};
use coldshoe_frame::Controls;

/// `AfPause`: at once.
const PAUSE: u32 = 0;
/// `AfPause`: go on.
const RESUME: u32 = 2;

/// What is in force, beside the pipeline.
#[derive(Debug, Default)]
pub(crate) struct Steering {
    /// A daemon has said something.
    told: bool,
    controls: client::Controls,
    held: Held,
    /// What has been held since the session began: a module must be told that it may go on.
    ever: Held,
    /// What a module was asked for last. It goes on with that until it is asked again.
    ae_enable: Option<bool>,
    awb_enable: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    ae: bool,
    awb: bool,
    af: bool,
}

impl Steering {
    /// Takes the place of what was before. A scan that no frame has begun yet is still to begin.
    pub(crate) fn take(&mut self, steer: &Steer) {
        self.told = true;
        let begin = self.controls.af_trigger;
        self.controls = steer.controls.unwrap_or_default();
        self.controls.af_trigger = self.controls.af_trigger.or(begin);
        self.held = Held {
            ae: steer.hold_ae,
            awb: steer.hold_awb,
            af: steer.hold_af,
        };
        self.ever.ae |= steer.hold_ae;
        self.ever.awb |= steer.hold_awb;
        self.ever.af |= steer.hold_af;
    }

    /// What the next daemon has to know, if the last one said anything.
    pub(crate) fn controls(&self) -> Option<client::Controls> {
        self.told.then_some(self.controls)
    }

    /// Nothing is held any more.
    pub(crate) fn let_go(&mut self) {
        self.held = Held::default();
    }

    /// What the module is asked for with a frame.
    pub(crate) fn over(&mut self, own: &Controls) -> Controls {
        let c = &mut self.controls;
        let gains = c.colour_gain_red.zip(c.colour_gain_blue);
        let mut asked = Controls {
            ae_enable: c.ae_enable.or(own.ae_enable),
            awb_enable: c.awb_enable.or(own.awb_enable),
            exposure_value: c.exposure_value.or(own.exposure_value),
            exposure_us: c.exposure_us.or(own.exposure_us),
            analogue_gain: c.analogue_gain.or(own.analogue_gain),
            colour_temperature: c.colour_temperature.or(own.colour_temperature),
            colour_gains: gains.map(|(red, blue)| [red, blue]).or(own.colour_gains),
            contrast: c.contrast.or(own.contrast),
            saturation: c.saturation.or(own.saturation),
            sharpness: c.sharpness.or(own.sharpness),
            brightness: c.brightness.or(own.brightness),
            lens_position: c.lens_position.or(own.lens_position),
            ae_metering: c.ae_metering.or(own.ae_metering),
            awb_mode: c.awb_mode.or(own.awb_mode),
            af_mode: c.af_mode.or(own.af_mode),
            // It begins something, once.
            af_trigger: c.af_trigger.take().or(own.af_trigger),
            af_pause: c.af_pause.or(own.af_pause),
        };
        self.ae_enable = asked.ae_enable.or(self.ae_enable);
        self.awb_enable = asked.awb_enable.or(self.awb_enable);
        self.hold(&mut asked);
        asked
    }

    fn hold(&self, asked: &mut Controls) {
        let (auto_ae, auto_awb) = (
            self.ae_enable.unwrap_or(true),
            self.awb_enable.unwrap_or(true),
        );
        if self.held.ae {
            asked.ae_enable = Some(false);
            // What goes on by itself stays where it is; what was set by hand stays that.
            if auto_ae {
                (asked.exposure_us, asked.analogue_gain) = (None, None);
            }
        } else if self.ever.ae {
            asked.ae_enable = Some(auto_ae);
        }
        if self.held.awb {
            asked.awb_enable = Some(false);
            if auto_awb {
                (asked.colour_temperature, asked.colour_gains) = (None, None);
            }
        } else if self.ever.awb {
            asked.awb_enable = Some(auto_awb);
        }
        if self.held.af {
            asked.af_pause = Some(PAUSE);
            (asked.af_trigger, asked.lens_position) = (None, None);
        } else if self.ever.af {
            asked.af_pause = asked.af_pause.or(Some(RESUME));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steer(change: impl FnOnce(&mut Steer)) -> Steer {
        let mut steer = Steer {
            session: 1,
            controls: Some(client::Controls::default()),
            ..Steer::default()
        };
        change(&mut steer);
        steer
    }

    fn own() -> Controls {
        Controls {
            contrast: Some(1.5),
            exposure_us: Some(4000.0),
            ..Controls::default()
        }
    }

    #[test]
    fn without_a_word_the_pipelines_controls_go_as_they_are() {
        assert_eq!(Steering::default().over(&own()), own());
        assert_eq!(Steering::default().controls(), None);
    }

    #[test]
    fn what_is_set_goes_before_the_pipelines_and_the_rest_stays() {
        let mut steering = Steering::default();
        steering.take(&steer(|steer| {
            steer.controls = Some(client::Controls {
                contrast: Some(0.5),
                ..client::Controls::default()
            });
        }));
        assert_eq!(steering.controls().unwrap().contrast, Some(0.5));
        let asked = steering.over(&own());
        assert_eq!(asked.contrast, Some(0.5));
        assert_eq!(asked.exposure_us, Some(4000.0));
        steering.take(&steer(|_| {}));
        assert_eq!(steering.over(&own()), own());
    }

    #[test]
    fn a_scan_is_begun_once() {
        let mut steering = Steering::default();
        steering.take(&steer(|steer| {
            steer.controls = Some(client::Controls {
                af_trigger: Some(0),
                ..client::Controls::default()
            });
        }));
        // What comes before the next frame does not take it back.
        steering.take(&steer(|steer| steer.hold_ae = true));
        assert_eq!(steering.over(&Controls::default()).af_trigger, Some(0));
        assert_eq!(steering.over(&Controls::default()).af_trigger, None);
    }

    #[test]
    fn what_is_held_stays_and_goes_on_afterwards() {
        let mut steering = Steering::default();
        steering.take(&steer(|steer| {
            (steer.hold_ae, steer.hold_af) = (true, true)
        }));
        let held = steering.over(&own());
        assert_eq!((held.ae_enable, held.exposure_us), (Some(false), None));
        assert_eq!((held.awb_enable, held.af_pause), (None, Some(PAUSE)));
        steering.let_go();
        let after = steering.over(&own());
        assert_eq!(
            (after.ae_enable, after.exposure_us),
            (Some(true), Some(4000.0))
        );
        assert_eq!((after.awb_enable, after.af_pause), (None, Some(RESUME)));
    }

    #[test]
    fn an_exposure_that_was_set_by_hand_is_the_same_held_and_afterwards() {
        let manual = Controls {
            ae_enable: Some(false),
            ..own()
        };
        let mut steering = Steering::default();
        assert_eq!(steering.over(&manual), manual);
        steering.take(&steer(|steer| steer.hold_ae = true));
        assert_eq!(steering.over(&Controls::default()).ae_enable, Some(false));
        assert_eq!(steering.over(&manual), manual);
        steering.let_go();
        assert_eq!(steering.over(&Controls::default()).ae_enable, Some(false));
    }
}
