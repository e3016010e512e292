//! Names on the bus.

use zbus::ObjectPath;

/// The name that the daemon has there.
pub(super) const SERVICE: &str = "org.coldshoe.Coldshoe1";
/// The manager's object; all others are right below it.
pub(super) const ROOT: &str = "/org/coldshoe/Coldshoe1";
/// Where systemd looks for the log's level.
pub(super) const LOG: &str = "/org/freedesktop/LogControl1";
pub(super) const MANAGER: &str = "org.coldshoe.Coldshoe1.Manager";
pub(super) const SESSION: &str = "org.coldshoe.Coldshoe1.Session";
pub(super) const MODULE: &str = "org.coldshoe.Coldshoe1.Module";

pub(super) fn session_path(id: u64) -> ObjectPath<'static> {
    ObjectPath::from_string_unchecked(format!("{ROOT}/session_{id}"))
}

/// A module's object. What a path cannot hold of its name is written as `_` and two hexadecimal
/// digits, and so is `_`.
pub(super) fn module_path(name: &str) -> ObjectPath<'static> {
    let mut path = format!("{ROOT}/module_");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => path.push(char::from(byte)),
            _ => path.push_str(&format!("_{byte:02x}")),
        }
    }
    ObjectPath::from_string_unchecked(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_has_a_path_of_its_own_that_is_valid() {
        for (name, end) in [
            ("open", "module_open"),
            ("acme-2", "module_acme_2d2"),
            ("acme_2d2", "module_acme_5f2d2"),
            ("../é", "module__2e_2e_2f_c3_a9"),
        ] {
            let path = module_path(name);
            assert_eq!(path.as_str(), format!("{ROOT}/{end}"));
            assert!(ObjectPath::try_from(path.as_str()).is_ok());
        }
        assert!(ObjectPath::try_from(session_path(u64::MAX).as_str()).is_ok());
    }
}
