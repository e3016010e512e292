//! What a session is opened with.

use std::path::{Path, PathBuf};

use crate::Error;

/// What a session is opened with. The default names no module, camera or formats; its sizes suit
/// statistics and parameters of today's ISPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The daemon's control socket; `None` for that of the user's own daemon, or the system's.
    pub socket: Option<PathBuf>,
    /// Name of the module.
    pub module: String,
    /// Name of the camera; selects the tuning file.
    pub camera: String,
    /// Format of the statistics.
    pub stats_format: String,
    /// Format of the parameters.
    pub params_format: String,
    /// Frames that can be in flight: a power of two, 1 to 16.
    pub slots: u32,
    /// Bytes of statistics a frame.
    pub stats_capacity: u32,
    /// Bytes of parameters a frame.
    pub params_capacity: u32,
    /// What the parameters may say, where that is not built in: the text of a contract, in TOML. The
    /// daemon must have one of the format, too.
    pub contract: Option<String>,
    /// Bit n: the ISP has block type n.
    pub isp_capabilities: u64,
    /// Keep a second worker ready, where the daemon's profile allows it: then another one takes over
    /// within a frame.
    pub standby: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            socket: None,
            module: String::new(),
            camera: String::new(),
            stats_format: String::new(),
            params_format: String::new(),
            slots: 4,
            stats_capacity: 64 << 10,
            params_capacity: 16 << 10,
            contract: None,
            isp_capabilities: u64::MAX,
            standby: false,
        }
    }
}

/// The control socket of the system's daemon.
pub const SYSTEM_SOCKET: &str = "/run/coldshoe/control.sock";

/// The control socket of the user's own daemon, `$XDG_RUNTIME_DIR/coldshoe/control.sock`, if it is
/// there; else the system's, [`SYSTEM_SOCKET`], if that is.
pub fn default_socket() -> Result<PathBuf, Error> {
    let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let own = dir.map(|dir| PathBuf::from(dir).join("coldshoe/control.sock"));
    default_of(own, SYSTEM_SOCKET.as_ref())
}

fn default_of(own: Option<PathBuf>, system: &Path) -> Result<PathBuf, Error> {
    match own {
        Some(own) if own.exists() => Ok(own),
        _ if system.exists() => Ok(system.to_owned()),
        own => own.ok_or(Error::NoSocket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_daemon_goes_before_the_systems() {
        let dir = tempfile::tempdir().unwrap();
        let [own, system] = ["own", "system"].map(|name| dir.path().join(name));
        let found = |own: Option<&PathBuf>| default_of(own.cloned(), &system).ok();
        assert_eq!(found(None), None);
        // Nobody is there: it is said where the user's own would be.
        assert_eq!(found(Some(&own)), Some(own.clone()));
        std::fs::write(&system, "").unwrap();
        assert_eq!(found(None), Some(system.clone()));
        assert_eq!(found(Some(&own)), Some(system.clone()));
        std::fs::write(&own, "").unwrap();
        assert_eq!(found(Some(&own)), Some(own.clone()));
    }
}
