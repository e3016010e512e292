//! The open ends of methods: a dictionary by name. What is not known is refused, so that nobody
//! relies on what does nothing.

use std::collections::HashMap;

use zbus::{OwnedVariant, fdo};

use super::error::{Refusal, lines};

pub(super) type Options = HashMap<String, OwnedVariant>;

/// The options are among those that are known.
pub(super) fn known(options: &Options, names: &[&str]) -> Result<(), Refusal> {
    let unknown = options.keys().find(|name| !names.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| {
        let known = match names {
            [] => "leave it out".to_owned(),
            names => format!("leave it out; known are {}", names.join(", ")),
        };
        Err(invalid(name, "there is no such option", known))
    })
}

/// The option of that name, if it is there.
pub(super) fn get<'a, T>(options: &'a Options, name: &str, kind: &str) -> Result<Option<T>, Refusal>
where
    T: TryFrom<&'a OwnedVariant>,
{
    let value = options.get(name).map(T::try_from).transpose();
    value.map_err(|_| invalid(name, "it is of another type", format!("give a {kind}")))
}

pub(super) fn invalid(name: &str, why: &str, remedy: String) -> Refusal {
    let name: String = name.chars().take(64).collect();
    fdo::Error::InvalidArgs(lines(format!("option {name:?} is refused"), why, remedy)).into()
}
