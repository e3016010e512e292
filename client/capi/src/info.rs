//! What was opened.

use std::ffi::{CString, c_char};
use std::fmt::Write as _;
use std::os::fd::{AsRawFd, RawFd};

use coldshoe::{Confinement, Session};

use crate::record::Record;
use crate::text::owned;

/// What a session runs, and how it is confined. Filled by coldshoe_session_info(). The strings are
/// UTF-8, live as long as the session, and are never NULL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_info {
    /// sizeof(struct coldshoe_info)
    pub struct_size: usize,
    /// Number of the session in the daemon.
    pub id: u64,
    /// Process number of the worker, for messages.
    pub worker_pid: u32,
    /// A descriptor that becomes readable when the worker ends. Belongs to the session.
    pub worker_pidfd: i32,
    /// 1: the worker has a processor of its own and is awake when a frame is due; 0: it sleeps.
    pub predictive: u32,
    /// Frames that can be in flight.
    pub slots: u32,
    /// Bytes of statistics that a slot holds.
    pub stats_capacity: usize,
    /// Bytes of parameters that an answer holds at most.
    pub params_capacity: usize,
    /// The module's own name.
    pub module_name: *const c_char,
    /// The module's own version.
    pub module_version: *const c_char,
    /// SPDX expression, or what the vendor calls the licence.
    pub module_license: *const c_char,
    /// File that the daemon loaded, absolute.
    pub module_path: *const c_char,
    /// Jail profile that the worker runs under.
    pub profile: *const c_char,
    /// How the worker is confined, as the kernel told the daemon: for people, a line each of
    /// "name: value", without a line feed at the end.
    pub confinement: *const c_char,
}

// SAFETY: the first field is its size, the four-byte ones are paired, and any bytes are a number or
// a pointer.
unsafe impl Record for coldshoe_info {}

/// The strings of a session, which never change.
#[derive(Debug)]
pub(crate) struct Strings {
    name: CString,
    version: CString,
    license: CString,
    path: CString,
    profile: CString,
    confinement: CString,
}

impl Strings {
    pub(crate) fn of(session: &Session) -> Self {
        let module = session.module();
        Self {
            name: owned(&module.name),
            version: owned(&module.version),
            license: owned(&module.license),
            path: owned(&module.path),
            profile: owned(&module.profile),
            confinement: owned(&lines(session.confinement())),
        }
    }
}

/// Sizes that a session was opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) slots: u32,
    pub(crate) stats_capacity: usize,
    pub(crate) params_capacity: usize,
}

impl coldshoe_info {
    pub(crate) fn new(session: &Session, sizes: Sizes, strings: &Strings) -> Self {
        let worker_pidfd: RawFd = session.worker_pidfd().as_raw_fd();
        Self {
            struct_size: size_of::<Self>(),
            id: session.id(),
            worker_pid: session.worker_pid(),
            worker_pidfd,
            predictive: session.is_predictive().into(),
            slots: sizes.slots,
            stats_capacity: sizes.stats_capacity,
            params_capacity: sizes.params_capacity,
            module_name: strings.name.as_ptr(),
            module_version: strings.version.as_ptr(),
            module_license: strings.license.as_ptr(),
            module_path: strings.path.as_ptr(),
            profile: strings.profile.as_ptr(),
            confinement: strings.confinement.as_ptr(),
        }
    }
}

fn lines(confinement: &Confinement) -> String {
    let mode = match confinement.seccomp_mode {
        0 => "none",
        1 => "strict",
        2 => "filter",
        _ => "unknown",
    };
    let landlock = match confinement.landlock_abi {
        0 => "none".to_owned(),
        abi => format!(
            "ABI {abi}, {} rights taken away",
            confinement.landlock_rights.len()
        ),
    };
    let limits = confinement.limits.iter().map(|limit| match limit.value {
        u64::MAX => format!("{} unlimited", limit.name),
        value => format!("{} {value}", limit.name),
    });
    let rows = [
        (
            "no new privileges",
            u8::from(confinement.no_new_privs).to_string(),
        ),
        (
            "seccomp",
            format!("{mode}, filters: {}", confinement.seccomp_filters),
        ),
        ("landlock", landlock),
        ("namespaces", confinement.namespaces.join(", ")),
        ("capabilities", format!("{:#x}", confinement.capabilities)),
        ("speculation", confinement.speculation.clone()),
        ("seals", confinement.seals.join("; ")),
        ("open files", confinement.open_files.join("; ")),
        ("limits", limits.collect::<Vec<_>>().join(", ")),
        ("control group", confinement.cgroup.join("; ")),
        ("done without", confinement.degraded.join(", ")),
        ("notes", confinement.notes.join("; ")),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let value = if value.is_empty() { "none" } else { &value };
        let feed = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{feed}{name}: {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_not_confined_is_told_so_row_by_row() {
        let text = lines(&Confinement::default());
        assert_eq!(text.lines().count(), 12);
        for row in [
            "no new privileges: 0",
            "seccomp: none, filters: 0",
            "namespaces: none",
        ] {
            assert!(text.lines().any(|line| line == row), "{text}");
        }
    }
}
