//! Where the daemon is.

use std::io;
use std::path::{Path, PathBuf};

/// Nothing to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum InstallationError {
    /// This program does not know where it is itself.
    #[error(
        "coldshoed was not looked for\n  why: the kernel does not say where coldshoectl is: {0}\n  try: mount /proc"
    )]
    NoSelf(io::Error),
    /// There is no daemon.
    #[error(
        "there is no coldshoed\n  why: neither {} nor {} exists\n  try: install coldshoe with `make install`, or build the whole workspace", installed.display(), beside.display()
    )]
    NoDaemon {
        /// Of an installation.
        installed: PathBuf,
        /// Of a cargo tree.
        beside: PathBuf,
    },
}

/// Where the links are that libcamera finds coldshoe by, `PREFIX/libexec/coldshoe/libcamera` for
/// `PREFIX/bin/coldshoectl`.
pub(crate) fn proxies() -> Result<PathBuf, InstallationError> {
    let program = std::env::current_exe().map_err(InstallationError::NoSelf)?;
    let dir = program.parent().unwrap_or(Path::new("/"));
    let prefix = dir.parent().unwrap_or(dir);
    Ok(prefix.join("libexec/coldshoe/libcamera"))
}

/// The daemon of the installation that this program belongs to, `PREFIX/libexec/coldshoe/coldshoed`
/// for `PREFIX/bin/coldshoectl`; else the one beside it, as cargo builds them.
pub(crate) fn daemon() -> Result<PathBuf, InstallationError> {
    let program = std::env::current_exe().map_err(InstallationError::NoSelf)?;
    let dir = program.parent().unwrap_or(Path::new("/"));
    let prefix = dir.parent().unwrap_or(dir);
    let installed = prefix.join("libexec/coldshoe/coldshoed");
    let beside = dir.join("coldshoed");
    if installed.exists() {
        Ok(installed)
    } else if beside.exists() {
        Ok(beside)
    } else {
        Err(InstallationError::NoDaemon { installed, beside })
    }
}
