//! Namespaces, and the second stage that lives in them.

use super::alone::check_alone;
use super::{ConfineError, Confinement, Divided};
use crate::Namespace;
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};
use std::fs::{self, File};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Which of the two this process is now.
#[derive(Debug)]
pub enum Stage {
    /// The first: it hands over the pidfd of the second, and ends.
    First(OwnedFd),
    /// The second: it goes on.
    Second(Divided),
}

/// Leaves the namespaces and divides this process in two: a pid namespace begins with the next
/// process. The second stage is the daemon's own child, whether or not there is a pid namespace,
/// so that the daemon has one way with both. `fds` are the descriptors it was given besides
/// [`FDS`](crate::FDS).
///
/// # Errors
/// [`ConfineError`] names the step and the kernel's answer; the process should end.
pub fn divide(confinement: &Confinement, fds: &[BorrowedFd<'_>]) -> Result<Stage, ConfineError> {
    // What can be refused is refused before the first thing that cannot be undone.
    confinement.check_filter()?;
    check_alone(fds)?;
    leave_namespaces(&confinement.namespaces)?;
    let failed = ConfineError::step("make the second stage (clone)");
    let Some(second) = clone_beside().map_err(failed)? else {
        // A daemon that dies before this line closes its socket: the second stage, which waits for
        // a message next, sees that.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| {
            ConfineError::step("tie itself to the daemon's life (PR_SET_PDEATHSIG)")(errno.into())
        })?;
        return Ok(Stage::Second(Divided(PhantomData)));
    };
    Ok(Stage::First(second))
}

impl Divided {
    /// Its memory map, which stays readable for its life whoever holds it. There is no `/proc`
    /// after the next stage.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn maps(&self) -> Result<OwnedFd, ConfineError> {
        let path = "/proc/self/maps";
        let file = File::open(path).map_err(ConfineError::step("open /proc/self/maps"))?;
        Ok(file.into())
    }
}

/// Leaves all of `namespaces` in one go; ids stay what they are.
pub(crate) fn leave_namespaces(namespaces: &[Namespace]) -> Result<(), ConfineError> {
    if namespaces.is_empty() {
        return Ok(());
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let flags = namespaces.iter().fold(0, |flags, kind| flags | kind.flag());
    // SAFETY: takes numbers only, and no flag that would divide the table of descriptors.
    if unsafe { libc::unshare(flags) } != 0 {
        let names: Vec<_> = namespaces.iter().map(|kind| kind.name()).collect();
        return Err(ConfineError::Namespaces {
            names: names.join(", "),
            source: io::Error::last_os_error(),
        });
    }
    if namespaces.contains(&Namespace::User) {
        map_ids(uid, gid)?;
    }
    Ok(())
}

/// Gives this process's own ids a meaning in its new user namespace, and no others.
fn map_ids(uid: u32, gid: u32) -> Result<(), ConfineError> {
    for (path, content) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{uid} {uid} 1")),
        ("/proc/self/gid_map", format!("{gid} {gid} 1")),
    ] {
        fs::write(path, content).map_err(|source| ConfineError::Map { path, source })?;
    }
    Ok(())
}

/// Forks a sibling: a child of this process's parent. `None` in the new process.
fn clone_beside() -> io::Result<Option<OwnedFd>> {
    let flags = (libc::CLONE_PARENT | libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_ulong;
    let mut pidfd: libc::c_int = -1;
    // The first three arguments are in the same order on all three architectures; the others,
    // which are not, are null.
    // SAFETY: without CLONE_VM this is fork: the copy runs on its copy of this stack, and this
    // process has one thread, so no lock is held by another. `pidfd` is where the kernel writes
    // one int.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags,
            ptr::null_mut::<libc::c_void>(),
            &raw mut pidfd,
            ptr::null_mut::<libc::c_void>(),
            ptr::null_mut::<libc::c_void>(),
        )
    };
    match pid {
        0 => Ok(None),
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        pid if pid > 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(pidfd) })),
        _ => Err(io::Error::last_os_error()),
    }
}
