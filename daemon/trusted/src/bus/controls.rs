//! Controls as they come from the bus: libcamera's names and types.

use coldshoe_control::client::Controls;
use coldshoe_control::{CONTROLS, Control, Kind};
use zbus::{OwnedVariant, Variant};

use super::error::{Own, Refusal, lines};
use super::options::Options;

/// Controls out of a dictionary, each of a known name, of its type and within its range.
pub(super) fn parse(given: &Options) -> Result<Controls, Refusal> {
    let mut controls = Controls::default();
    if given.is_empty() {
        return Ok(controls);
    }
    for (name, value) in given {
        let control = Control::named(name).ok_or_else(|| {
            let names: Vec<_> = CONTROLS.iter().map(|control| control.name).collect();
            let name: String = name.chars().take(64).collect();
            let known = format!("use one of {}", names.join(", "));
            refused(&name, "there is no such control", known)
        })?;
        let values = of_kind(control.kind, value).ok_or_else(|| {
            let signature = value.value_signature().to_string();
            let why = format!(
                "it is of type {:.32}, not of {}",
                signature,
                signature_of(control.kind)
            );
            refused(name, &why, range(control))
        })?;
        if let Some(bad) = values.into_iter().find(|value| !control.takes(*value)) {
            return Err(refused(
                name,
                &format!("{bad} is out of range"),
                range(control),
            ));
        }
        controls.set(name, values);
    }
    Ok(controls)
}

fn of_kind(kind: Kind, value: &OwnedVariant) -> Option<[f64; 2]> {
    match (kind, &**value) {
        (Kind::Flag, Variant::Bool(flag)) => Some([f64::from(*flag); 2]),
        (Kind::Integer, Variant::I32(number)) => Some([f64::from(*number); 2]),
        (Kind::Number, Variant::F64(number)) => Some([*number; 2]),
        (Kind::Pair, Variant::Structure(pair)) => match pair.fields() {
            [Variant::F64(first), Variant::F64(second)] => Some([*first, *second]),
            _ => None,
        },
        _ => None,
    }
}

fn signature_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Flag => "b",
        Kind::Integer => "i",
        Kind::Number => "d",
        Kind::Pair => "(dd)",
    }
}

fn range(control: &Control) -> String {
    let Control { least, most, .. } = control;
    match control.kind {
        Kind::Flag => "give a b, true or false".to_owned(),
        Kind::Integer => format!("give an i, {least} to {most}"),
        Kind::Number => format!("give a d, {least} to {most}"),
        Kind::Pair => format!("give a (dd), each {least} to {most}"),
    }
}

fn refused(name: &str, why: &str, remedy: String) -> Refusal {
    Own::InvalidControl(lines(format!("control {name:?} is refused"), why, remedy)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: impl Into<Variant<'static>>) -> Options {
        let value = value.into().try_into_owned().unwrap();
        Options::from([(name.to_owned(), value)])
    }

    fn error(given: &Options) -> String {
        match parse(given) {
            Err(Refusal::Own(Own::InvalidControl(text))) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_control_is_taken_in_its_own_type_and_no_other() {
        for control in &CONTROLS {
            let (most, name) = (control.most, control.name);
            let values = [
                (Kind::Flag, given(name, true)),
                (Kind::Integer, given(name, most as i32)),
                (Kind::Number, given(name, most)),
                (Kind::Pair, given(name, (most, most))),
            ];
            for (kind, value) in values {
                match kind == control.kind {
                    true => assert!(parse(&value).unwrap().get(name).is_some()),
                    false => assert!(error(&value).contains(signature_of(control.kind))),
                }
            }
            assert!(error(&given(name, "text")).contains("it is of type s"));
        }
    }

    #[test]
    fn a_value_out_of_range_is_told_with_the_range() {
        for (name, value) in [
            ("Contrast", Variant::from(-0.5)),
            ("Contrast", Variant::from(f64::NAN)),
            ("AwbMode", Variant::from(8)),
            ("AwbMode", Variant::from(-1)),
            ("ColourGains", Variant::from((1.0, 0.0))),
        ] {
            let text = error(&given(name, value));
            assert!(
                text.contains(name) && text.contains("out of range"),
                "{text}"
            );
            assert_eq!(text.lines().count(), 3, "{text}");
        }
    }

    #[test]
    fn an_unknown_control_is_told_with_the_known_ones() {
        let text = error(&given("Magic", true));
        assert!(
            text.contains("Magic") && text.contains("AeEnable"),
            "{text}"
        );
        assert!(error(&given(&"x".repeat(100_000), true)).len() < 1000);
    }
}
