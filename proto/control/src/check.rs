//! The limits that fields must keep.

use crate::wire::coldshoe::control::v1::{Limit, Wake};

/// Longest name, in bytes: modules, cameras, formats, programs.
pub const MAX_NAME: usize = 256;
/// Longest text or path, in bytes.
pub const MAX_TEXT: usize = 4096;
/// Most slots in a segment.
pub const MAX_SLOTS: u32 = 16;
/// Largest slot, in bytes, of statistics or of parameters.
pub const MAX_CAPACITY: u32 = 16 << 20;
/// Most buffers beside the segments of a session.
pub const MAX_BUFFERS: u32 = 16;
/// Most resource limits in a list.
const MAX_LIMITS: usize = 32;

/// A field holds a value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Invalid {
    /// The field, as the protocol file names it.
    pub field: &'static str,
    /// What is wrong with it, to follow the field's name.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }
}

pub(crate) type Check = Result<(), Invalid>;

/// A non-empty name of at most [`MAX_NAME`] bytes without control characters.
pub(crate) fn name(field: &'static str, value: &str) -> Check {
    not_empty(field, value)?;
    line(field, value, MAX_NAME)
}

/// At most [`MAX_NAME`] bytes without control characters; may be empty.
pub(crate) fn label(field: &'static str, value: &str) -> Check {
    line(field, value, MAX_NAME)
}

/// At most [`MAX_TEXT`] bytes without control characters; may be empty.
pub(crate) fn text(field: &'static str, value: &str) -> Check {
    line(field, value, MAX_TEXT)
}

/// An absolute path of at most [`MAX_TEXT`] bytes without control characters.
pub(crate) fn path(field: &'static str, value: &str) -> Check {
    if !value.starts_with('/') {
        return Err(Invalid::new(field, "is not an absolute path"));
    }
    line(field, value, MAX_TEXT)
}

pub(crate) fn not_empty(field: &'static str, value: &str) -> Check {
    if value.is_empty() {
        return Err(Invalid::new(field, "is empty"));
    }
    Ok(())
}

/// At most `most` bytes without control characters.
pub(crate) fn line(field: &'static str, value: &str, most: usize) -> Check {
    if value.len() > most {
        let problem = format!("has {} bytes, at most {most} are allowed", value.len());
        return Err(Invalid::new(field, problem));
    }
    if value.chars().any(char::is_control) {
        return Err(Invalid::new(field, "holds a control character"));
    }
    Ok(())
}

/// A known way to wait for frames.
pub(crate) fn wake(value: i32) -> Check {
    match Wake::try_from(value) {
        Ok(Wake::Sleep | Wake::Predictive) => Ok(()),
        _ => Err(Invalid::new("wake", "is no way to wait for frames")),
    }
}

/// A value that this release knows, other than the one that stands for a field left out.
pub(crate) fn known<T: TryFrom<i32> + PartialEq>(
    field: &'static str,
    value: i32,
    unknown: T,
) -> Check {
    match T::try_from(value) {
        Ok(known) if known != unknown => Ok(()),
        _ => Err(Invalid::new(
            field,
            format!("holds {value}, which means nothing"),
        )),
    }
}

pub(crate) fn at_most<T>(field: &'static str, values: &[T], most: usize) -> Check {
    if values.len() > most {
        let problem = format!("has {} entries, at most {most} are allowed", values.len());
        return Err(Invalid::new(field, problem));
    }
    Ok(())
}

/// An identifier or a counter from 1, where 0 means that the field was left out.
pub(crate) fn not_zero(field: &'static str, value: impl Into<u64>) -> Check {
    if value.into() == 0 {
        return Err(Invalid::new(field, "is 0 or missing"));
    }
    Ok(())
}

pub(crate) fn within(field: &'static str, value: u32, least: u32, most: u32) -> Check {
    if !(least..=most).contains(&value) {
        let problem = format!("is {value}, allowed are {least} to {most}");
        return Err(Invalid::new(field, problem));
    }
    Ok(())
}

pub(crate) fn slots(value: u32) -> Check {
    within("slots", value, 1, MAX_SLOTS)?;
    if !value.is_power_of_two() {
        let problem = format!("is {value}, which is not a power of two");
        return Err(Invalid::new("slots", problem));
    }
    Ok(())
}

/// Finite and above 0.
pub(crate) fn positive(field: &'static str, value: f64) -> Check {
    if !(value.is_finite() && value > 0.0) {
        let problem = format!("is {value}, must be above 0 and finite");
        return Err(Invalid::new(field, problem));
    }
    Ok(())
}

/// Two positive numbers, the first one no larger than the second.
pub(crate) fn ordered(low: (&'static str, f64), high: (&'static str, f64)) -> Check {
    positive(low.0, low.1)?;
    positive(high.0, high.1)?;
    if low.1 > high.1 {
        let problem = format!("is {}, above {} of {}", low.1, high.0, high.1);
        return Err(Invalid::new(low.0, problem));
    }
    Ok(())
}

pub(crate) fn present<'a, T>(field: &'static str, value: Option<&'a T>) -> Result<&'a T, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "is missing"))
}

pub(crate) fn limits(values: &[Limit]) -> Check {
    at_most("limits", values, MAX_LIMITS)?;
    values
        .iter()
        .try_for_each(|limit| name("limits.name", &limit.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_neither_empty_nor_long_nor_unprintable() {
        assert!(name("n", "imx219").is_ok());
        assert!(name("n", "").is_err());
        assert!(name("n", &"x".repeat(MAX_NAME)).is_ok());
        assert!(name("n", &"x".repeat(MAX_NAME + 1)).is_err());
        assert!(name("n", "imx\x1b[0m").is_err());
        assert!(label("n", "").is_ok());
    }

    #[test]
    fn paths_are_absolute() {
        assert!(path("p", "/usr/lib").is_ok());
        assert!(path("p", "usr/lib").is_err());
        assert!(path("p", "").is_err());
        assert!(path("p", "/a\0b").is_err());
    }

    #[test]
    fn slots_are_a_power_of_two_up_to_sixteen() {
        let good: Vec<u32> = (0..40).filter(|&n| slots(n).is_ok()).collect();
        assert_eq!(good, [1, 2, 4, 8, 16]);
    }

    #[test]
    fn numbers_are_finite_positive_and_ordered() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(positive("x", bad).is_err(), "{bad}");
            assert!(ordered(("a", bad), ("b", 1.0)).is_err(), "{bad}");
            assert!(ordered(("a", 1.0), ("b", bad)).is_err(), "{bad}");
        }
        assert!(ordered(("a", 2.0), ("b", 2.0)).is_ok());
        assert!(ordered(("a", 2.1), ("b", 2.0)).is_err());
    }

    #[test]
    fn a_refusal_names_the_field_and_the_bound() {
        let refusal = within("slots", 17, 1, 16).unwrap_err();
        assert_eq!(refusal.to_string(), "slots is 17, allowed are 1 to 16");
    }
}
