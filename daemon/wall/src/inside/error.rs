//! Why a worker could not be confined.

use std::io;
use std::path::PathBuf;

/// A step of the way in that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// The process cannot be looked at.
    #[error("confine: cannot list {directory}: {source}; is /proc mounted?")]
    Look {
        /// What was listed.
        directory: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Other threads run already, and would stay free.
    #[error("confine: {0} threads run already; confine before any thread is started")]
    Threads(usize),
    /// A descriptor is open that the daemon did not give.
    #[error(
        "confine: file descriptor {fd} ({target}) is open; a worker has 0 to 3 and what it was \
         given, close it first",
        target = target.display()
    )]
    SurplusFd {
        /// The descriptor.
        fd: i32,
        /// What it refers to, as far as the kernel tells.
        target: PathBuf,
    },
    /// A descriptor is closed that the daemon gives.
    #[error("confine: file descriptor {0} is not open; a worker is started by the daemon alone")]
    MissingFd(i32),
    /// The namespaces cannot be left.
    #[error(
        "confine: cannot leave the namespaces {names}: {source}; see `coldshoectl check` for what \
         this kernel offers"
    )]
    Namespaces {
        /// Their names, separated by commas.
        names: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The ids of the new user namespace cannot be set.
    #[error(
        "confine: cannot write {path}: {source}; the kernel grants a user namespace and no ids in \
         it, as AppArmor may decide"
    )]
    Map {
        /// The file.
        path: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A part of the new file system cannot be made.
    #[error("confine: cannot {verb} {path} for its own file system: {source}", path = path.display())]
    Tree {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Capabilities cannot be dropped.
    #[error("confine: cannot drop its capabilities: {0}")]
    Capabilities(io::Error),
    /// Another step failed.
    #[error("confine: cannot {step}: {source}")]
    Step {
        /// What was to be done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit cannot be set.
    #[error("confine: cannot lower the limit `{limit}` to {value}: {source}")]
    Limit {
        /// Its name.
        limit: &'static str,
        /// Its value.
        value: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// `NO_NEW_PRIVS` cannot be set.
    #[error("confine: cannot set NO_NEW_PRIVS: {0}")]
    NoNewPrivs(io::Error),
    /// A path to read cannot be opened.
    #[error("confine: cannot open {path} to allow reading it: {reason}", path = path.display())]
    Readable {
        /// The path.
        path: PathBuf,
        /// The kernel's answer.
        reason: String,
    },
    /// Landlock refused.
    #[error("confine: Landlock: {0}")]
    Landlock(String),
    /// The kernel has no Landlock.
    #[error(
        "confine: this kernel does not enforce Landlock; it needs Linux 5.13 with \
         CONFIG_SECURITY_LANDLOCK, and `landlock` among the boot parameter lsm="
    )]
    NoLandlock,
    /// The system call filter has an impossible length; this one.
    #[error("confine: a filter of {0} bytes; it must be 1 to 4096 instructions of 8")]
    FilterLength(usize),
    /// The kernel refused the system call filter.
    #[error("confine: the kernel refused the filter: {0}")]
    Filter(#[source] io::Error),
}

impl ConfineError {
    pub(super) fn step(step: &'static str) -> impl FnOnce(io::Error) -> ConfineError {
        move |source| ConfineError::Step { step, source }
    }
}
