//! Is there anything in this process that confinement would miss?

use super::ConfineError;
use crate::FDS;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{CWD, Dir, Mode, OFlags};
use std::io;

/// Landlock and seccomp hold for the calling thread and its descendants, so there must be no other;
/// and nothing confines the use of a descriptor that is already open, so those must be the ones the
/// daemon meant: those of the table, and `given`.
pub(super) fn check_alone(given: &[BorrowedFd<'_>]) -> Result<(), ConfineError> {
    let (threads, _) = numbers("/proc/self/task")?;
    if threads.len() != 1 {
        return Err(ConfineError::Threads(threads.len()));
    }
    let (mut fds, listing) = numbers("/proc/self/fd")?;
    fds.retain(|fd| *fd != listing);
    if let Some(missing) = FDS.iter().find(|fd| !fds.contains(fd)) {
        return Err(ConfineError::MissingFd(*missing));
    }
    let known = |fd: &i32| FDS.contains(fd) || given.iter().any(|known| known.as_raw_fd() == *fd);
    if let Some(surplus) = fds.iter().find(|fd| !known(fd)) {
        let target = std::fs::read_link(format!("/proc/self/fd/{surplus}"));
        return Err(ConfineError::SurplusFd {
            fd: *surplus,
            target: target.unwrap_or_default(),
        });
    }
    Ok(())
}

/// The numbers that name the entries of a directory, and the descriptor it was read by, which is
/// closed again.
fn numbers(directory: &'static str) -> Result<(Vec<i32>, i32), ConfineError> {
    let look = || -> io::Result<(Vec<i32>, i32)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
        let number = fd.as_raw_fd();
        let mut numbers: Vec<i32> = Vec::new();
        for entry in Dir::new(fd)? {
            let entry = entry?;
            numbers.extend(
                entry
                    .file_name()
                    .to_str()
                    .ok()
                    .and_then(|n| n.parse::<i32>().ok()),
            );
        }
        Ok((numbers, number))
    };
    look().map_err(|source| ConfineError::Look { directory, source })
}
