//! Landlock: which files can be opened at all. And the last look at what is open already.

use super::Confinement;
use super::{ConfineError, Fenced, Renounced};
use crate::FD_BELL;
use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The newest ABI that can be used: what came later has no name here yet.
pub(crate) const NEWEST: u32 = ABI::V10 as u32;

impl Renounced {
    /// Loads the system libraries that were asked for, closes every descriptor but those of the
    /// table, and fences the process in.
    ///
    /// # Errors
    /// [`ConfineError`] names the step and the kernel's answer.
    pub fn fence(self, confinement: &Confinement) -> Result<Fenced, ConfineError> {
        confinement.preload.iter().for_each(|name| preload(name));
        let kept = self.place.memory.as_ref().map(AsRawFd::as_raw_fd);
        close_others(kept).map_err(ConfineError::step(
            "close surplus descriptors (close_range)",
        ))?;
        restrict(confinement.landlock_abi, &self.readable, &self.executable)?;
        Ok(Fenced {
            place: self.place,
            proof: PhantomData,
        })
    }
}

/// What does not load now the module will miss, and the loader then says so.
fn preload(name: &str) {
    let Ok(name) = CString::new(name) else {
        return;
    };
    // SAFETY: a valid string; the code that runs is the system's own library, found where only
    // such libraries are.
    unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
}

/// Nothing confines the use of a descriptor that is open already.
fn close_others(kept: Option<i32>) -> io::Result<()> {
    let first = FD_BELL + 1;
    let ranges = match kept {
        Some(kept) => [(first, kept - 1), (kept.max(FD_BELL) + 1, i32::MAX)],
        None => [(first, i32::MAX), (first, i32::MAX)],
    };
    for (from, to) in ranges.into_iter().filter(|(from, to)| from <= to) {
        let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
        // SAFETY: nobody owns a descriptor in these ranges any more; those that were given have
        // been mapped and closed by their owners.
        if unsafe { libc::syscall(libc::SYS_close_range, from, to, 0_u32) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Handles, and so refuses, every right and scope up to `abi`; then allows reading `readable`.
/// Loading code needs no right to execute: that one is about `execve`, of `executable`.
fn restrict(abi: u32, readable: &[PathBuf], executable: &[PathBuf]) -> Result<(), ConfineError> {
    let refused = |source: landlock::RulesetError| ConfineError::Landlock(source.to_string());
    let abi = ABI::from(abi.min(NEWEST).cast_signed());
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .map_err(refused)?;
    // An empty set is refused, so these wait for the kernels that have them.
    if !AccessNet::from_all(abi).is_empty() {
        ruleset = ruleset
            .handle_access(AccessNet::from_all(abi))
            .map_err(refused)?;
    }
    if !Scope::from_all(abi).is_empty() {
        ruleset = ruleset.scope(Scope::from_all(abi)).map_err(refused)?;
    }
    let mut ruleset = ruleset.create().map_err(refused)?;
    for path in readable {
        if let Some(fd) = open(path)? {
            ruleset = ruleset
                .add_rule(PathBeneath::new(fd, AccessFs::ReadFile))
                .map_err(refused)?;
        }
    }
    for path in executable {
        if let Some(fd) = open(path)? {
            ruleset = ruleset
                .add_rule(PathBeneath::new(fd, AccessFs::ReadFile | AccessFs::Execute))
                .map_err(refused)?;
        }
    }
    let status = ruleset.restrict_self().map_err(refused)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(ConfineError::NoLandlock);
    }
    Ok(())
}

fn open(path: &Path) -> Result<Option<PathFd>, ConfineError> {
    match PathFd::new(path) {
        Ok(fd) => Ok(Some(fd)),
        Err(PathFdError::OpenCall { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(ConfineError::Readable {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}
