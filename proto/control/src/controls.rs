//! Controls by their names: what each holds, and within what.

use crate::check::{Check, Invalid};
use crate::client::Controls;

/// What a control holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Flag,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Two numbers.
    Pair,
}

/// A control, named as libcamera names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The smallest value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
}

/// All that there are, by name.
pub const CONTROLS: [Control; 17] = [
    control("AeEnable", Kind::Flag, 0.0, 1.0),
    control("AeMeteringMode", Kind::Integer, 0.0, 3.0),
    control("AfMode", Kind::Integer, 0.0, 2.0),
    control("AfPause", Kind::Integer, 0.0, 2.0),
    control("AfTrigger", Kind::Integer, 0.0, 1.0),
    control("AnalogueGain", Kind::Number, 1.0, 1024.0),
    control("AwbEnable", Kind::Flag, 0.0, 1.0),
    control("AwbMode", Kind::Integer, 0.0, 7.0),
    control("Brightness", Kind::Number, -1.0, 1.0),
    control("ColourGains", Kind::Pair, 0.01, 32.0),
    control("ColourTemperature", Kind::Integer, 100.0, 100_000.0),
    control("Contrast", Kind::Number, 0.0, 32.0),
    control("ExposureTime", Kind::Integer, 1.0, 100_000_000.0),
    control("ExposureValue", Kind::Number, -8.0, 8.0),
    control("LensPosition", Kind::Number, 0.0, 100.0),
    control("Saturation", Kind::Number, 0.0, 32.0),
    control("Sharpness", Kind::Number, 0.0, 16.0),
];

const fn control(name: &'static str, kind: Kind, least: f64, most: f64) -> Control {
    Control {
        name,
        kind,
        least,
        most,
    }
}

impl Control {
    /// The control of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        CONTROLS.iter().find(|control| control.name == name)
    }

    /// Whether it may hold this value.
    #[must_use]
    pub fn takes(&self, value: f64) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

impl Controls {
    /// What the control of that name holds; a single value comes twice.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<[f64; 2]> {
        let flag = |value: Option<bool>| value.map(f64::from);
        let mode = |value: Option<u32>| value.map(f64::from);
        let value = match name {
            "AeEnable" => flag(self.ae_enable),
            "AeMeteringMode" => mode(self.ae_metering),
            "AfMode" => mode(self.af_mode),
            "AfPause" => mode(self.af_pause),
            "AfTrigger" => mode(self.af_trigger),
            "AnalogueGain" => self.analogue_gain,
            "AwbEnable" => flag(self.awb_enable),
            "AwbMode" => mode(self.awb_mode),
            "Brightness" => self.brightness,
            "ColourGains" => return Some([self.colour_gain_red?, self.colour_gain_blue?]),
            "ColourTemperature" => self.colour_temperature,
            "Contrast" => self.contrast,
            "ExposureTime" => self.exposure_us,
            "ExposureValue" => self.exposure_value,
            "LensPosition" => self.lens_position,
            "Saturation" => self.saturation,
            "Sharpness" => self.sharpness,
            _ => None,
        };
        value.map(|value| [value; 2])
    }

    /// Has the control of that name hold a value; of a single one the first counts. Whether there is
    /// such a control.
    pub fn set(&mut self, name: &str, value: [f64; 2]) -> bool {
        let [first, second] = value;
        let flag = Some(first != 0.0);
        let mode = Some(first as u32);
        match name {
            "AeEnable" => self.ae_enable = flag,
            "AeMeteringMode" => self.ae_metering = mode,
            "AfMode" => self.af_mode = mode,
            "AfPause" => self.af_pause = mode,
            "AfTrigger" => self.af_trigger = mode,
            "AnalogueGain" => self.analogue_gain = Some(first),
            "AwbEnable" => self.awb_enable = flag,
            "AwbMode" => self.awb_mode = mode,
            "Brightness" => self.brightness = Some(first),
            "ColourGains" => {
                (self.colour_gain_red, self.colour_gain_blue) = (Some(first), Some(second));
            }
            "ColourTemperature" => self.colour_temperature = Some(first),
            "Contrast" => self.contrast = Some(first),
            "ExposureTime" => self.exposure_us = Some(first),
            "ExposureValue" => self.exposure_value = Some(first),
            "LensPosition" => self.lens_position = Some(first),
            "Saturation" => self.saturation = Some(first),
            "Sharpness" => self.sharpness = Some(first),
            _ => return false,
        }
        true
    }

    pub(crate) fn validate(&self) -> Check {
        for control in &CONTROLS {
            let Some(values) = self.get(control.name) else {
                continue;
            };
            if let Some(value) = values.into_iter().find(|value| !control.takes(*value)) {
                let Control { least, most, .. } = control;
                let problem = format!("is {value}, allowed are {least} to {most}");
                return Err(Invalid::new(control.name, problem));
            }
        }
        if self.colour_gain_red.is_some() != self.colour_gain_blue.is_some() {
            return Err(Invalid::new("ColourGains", "has one gain instead of two"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_holds_what_it_was_given_and_no_other_does() {
        for control in &CONTROLS {
            let mut controls = Controls::default();
            assert!(controls.set(control.name, [control.most; 2]));
            assert_eq!(controls.get(control.name), Some([control.most; 2]));
            controls.validate().unwrap();
            let set = CONTROLS
                .iter()
                .filter(|one| controls.get(one.name).is_some());
            assert_eq!(set.count(), 1, "{}", control.name);
        }
        assert!(!Controls::default().set("Magic", [1.0; 2]));
    }

    #[test]
    fn what_is_out_of_range_or_no_number_is_refused_by_its_name() {
        for control in CONTROLS.iter().filter(|one| one.kind == Kind::Number) {
            for bad in [
                control.least - 0.1,
                control.most + 0.1,
                f64::NAN,
                f64::INFINITY,
            ] {
                let mut controls = Controls::default();
                controls.set(control.name, [bad; 2]);
                let refused = controls.validate().unwrap_err().to_string();
                assert!(refused.contains(control.name), "{refused}");
            }
        }
        let one = Controls {
            colour_gain_red: Some(1.0),
            ..Controls::default()
        };
        assert!(one.validate().is_err());
    }
}
