//! `coldshoectl set`: controls of a session, from its next frame on.

use std::collections::HashMap;
use std::str::FromStr;

use clap::Args;
use coldshoe_control::{CONTROLS, Control, Kind};
use zbus::Variant;

use crate::daemon::Whose;
use crate::objects::{Error, Objects};

#[derive(Args)]
pub(crate) struct Options {
    /// The session's number, or as much of it as tells it from others
    session: String,
    /// Controls by libcamera's names, as in ExposureValue=1.5, AeEnable=false or ColourGains=1.8,1.4
    #[arg(value_name = "KEY=VALUE", required_unless_present = "replace")]
    controls: Vec<Setting>,
    /// What was set before is forgotten
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    whose: Whose,
}

/// A control with its value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Setting {
    control: &'static Control,
    /// Of a single one both are the same.
    value: [f64; 2],
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("it has no =, as in Contrast=1.2")?;
        let control = Control::named(name).ok_or_else(|| {
            let names: Vec<_> = CONTROLS.iter().map(|control| control.name).collect();
            format!(
                "there is no control {name:?}; use one of {}",
                names.join(", ")
            )
        })?;
        let number = |text: &str| text.parse::<f64>().ok();
        let value = match (control.kind, value) {
            (Kind::Flag, "true" | "on" | "yes" | "1") => Some([1.0; 2]),
            (Kind::Flag, "false" | "off" | "no" | "0") => Some([0.0; 2]),
            (Kind::Flag, _) => None,
            (Kind::Integer, value) => value.parse::<i32>().ok().map(|value| [value.into(); 2]),
            (Kind::Number, value) => number(value).map(|value| [value; 2]),
            (Kind::Pair, value) => value
                .split_once(',')
                .and_then(|(first, second)| Some([number(first)?, number(second)?])),
        };
        let value = value.filter(|value| value.iter().all(|value| control.takes(*value)));
        let value = value.ok_or_else(|| format!("{name} is {}", range(control)))?;
        Ok(Self { control, value })
    }
}

fn range(control: &Control) -> String {
    let Control { least, most, .. } = control;
    match control.kind {
        Kind::Flag => "true or false".to_owned(),
        Kind::Integer => format!("a whole number, {least} to {most}"),
        Kind::Number => format!("a number, {least} to {most}"),
        Kind::Pair => format!("two numbers with a comma between, each {least} to {most}"),
    }
}

impl Setting {
    fn on_the_bus(self) -> Variant<'static> {
        let [first, second] = self.value;
        match self.control.kind {
            Kind::Flag => (first != 0.0).into(),
            Kind::Integer => (first as i32).into(),
            Kind::Number => first.into(),
            Kind::Pair => (first, second).into(),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let (bus, objects) = Objects::ask(options.whose)?;
    let session = objects.session(&options.session)?;
    let controls: HashMap<&str, Variant<'_>> = options
        .controls
        .iter()
        .map(|setting| (setting.control.name, setting.on_the_bus()))
        .collect();
    let how = HashMap::from([("replace", Variant::from(options.replace))]);
    bus.call::<_, ()>(&session.path, "Session", "SetControls", &(controls, how))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Variant<'static>, String> {
        text.parse::<Setting>().map(Setting::on_the_bus)
    }

    #[test]
    fn a_value_goes_out_in_the_type_of_its_control() {
        assert_eq!(read("AeEnable=off"), Ok(false.into()));
        assert_eq!(read("AwbMode=5"), Ok(5_i32.into()));
        assert_eq!(read("ExposureTime=8000"), Ok(8000_i32.into()));
        assert_eq!(read("ExposureValue=-1.5"), Ok((-1.5).into()));
        assert_eq!(read("ColourGains=1.8,1.4"), Ok((1.8, 1.4).into()));
        for control in &CONTROLS {
            let most = control.most;
            let value = match control.kind {
                Kind::Flag => "true".to_owned(),
                Kind::Pair => format!("{most},{most}"),
                Kind::Integer | Kind::Number => most.to_string(),
            };
            let name = control.name;
            read(&format!("{name}={value}")).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        for (text, said) in [
            ("Magic=1", "AeEnable"),
            ("Contrast", "="),
            ("Contrast=40", "0 to 32"),
            ("Contrast=nan", "0 to 32"),
            ("AeEnable=maybe", "true or false"),
            ("AwbMode=1.5", "a whole number"),
            ("ColourGains=1.5", "two numbers"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
