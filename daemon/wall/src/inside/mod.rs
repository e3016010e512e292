//! The worker's face: give everything up, before any foreign code runs.
//!
//! [`confine`] goes through its stages in one order, and each stage can only be had from the one
//! before: a process found alone, its limits lowered, new privileges renounced, its files fenced
//! in, its system calls filtered. Only what is needed later is still possible after each. The
//! [`Confined`] at the end is the permit to load a module.
//!
//! Namespaces and the daemon's gate are not part of it yet; the first belong between the check
//! and the limits, the second after the filters.

mod alone;
mod error;
mod fence;
mod filter;

use crate::Limit;
pub use error::ConfineError;
use filter::Filters;
use std::marker::PhantomData;
use std::path::PathBuf;

/// What is decided about this worker, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Classic-BPF programs for system calls, in the order of installation, 8 bytes an
    /// instruction. At least one.
    pub filters: Vec<Vec<u8>>,
    /// Files and directories that may be read; a directory stands for all beneath it. What does
    /// not exist grants nothing and is passed over.
    pub readable: Vec<PathBuf>,
    /// Limits to lower to, soft and hard.
    pub limits: Vec<(Limit, u64)>,
}

/// Proof that this process is confined: foreign code may run now.
///
/// It stays on the thread that was confined; threads started afterwards inherit the confinement.
#[derive(Debug)]
pub struct Confined(PhantomData<*const ()>);

/// One thread, and no file descriptors but [`FDS`](crate::FDS).
struct Alone(());
/// Resource limits are lowered, and a crash is the kernel's matter alone.
struct Limited(());
/// `NO_NEW_PRIVS` is set.
struct Renounced(());
/// Landlock is in force.
struct Fenced(());

/// Confines this process for good.
///
/// Everything that can be refused is checked before the first thing that cannot be undone.
///
/// # Errors
/// [`ConfineError`] names the step and the kernel's answer. The process may then be confined in
/// part: it should end, and in no case load a module.
pub fn confine(confinement: &Confinement) -> Result<Confined, ConfineError> {
    let filters = Filters::check(&confinement.filters)?;
    Alone::check()?
        .limit(&confinement.limits)?
        .renounce()?
        .fence(&confinement.readable)?
        .filter(&filters)
}

/// Ends this process at once, without destructors or exit handlers: those of the language
/// runtimes need calls that a confined process no longer has, and those of a module are foreign.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit takes no memory and does not return.
    unsafe { libc::_exit(code) }
}

impl Alone {
    fn limit(self, limits: &[(Limit, u64)]) -> Result<Limited, ConfineError> {
        for (limit, value) in limits {
            limit.set(*value).map_err(|source| ConfineError::Limit {
                limit: limit.name(),
                value: *value,
                source,
            })?;
        }
        // The language runtime's handlers for these look for a stack overflow and then need calls
        // that will be gone: a plain crash would look like an attempt to break out.
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // SAFETY: the default action runs no code of ours.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(Limited(()))
    }
}

impl Limited {
    fn renounce(self) -> Result<Renounced, ConfineError> {
        rustix::thread::set_no_new_privs(true)
            .map_err(|errno| ConfineError::NoNewPrivs(errno.into()))?;
        Ok(Renounced(()))
    }
}
