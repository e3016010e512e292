//! Is there anything in this process that confinement would miss?

use super::{Alone, ConfineError};
use crate::FDS;
use rustix::fd::AsRawFd;
use rustix::fs::{CWD, Dir, Mode, OFlags};
use std::io;

impl Alone {
    /// Landlock and seccomp hold for the calling thread and its descendants, so there must be no
    /// other; and nothing confines the use of a descriptor that is already open, so those must be
    /// the ones the daemon meant.
    pub(super) fn check() -> Result<Alone, ConfineError> {
        let (threads, _) = numbers("/proc/self/task")?;
        if threads.len() != 1 {
            return Err(ConfineError::Threads(threads.len()));
        }
        let (mut fds, listing) = numbers("/proc/self/fd")?;
        fds.retain(|fd| *fd != listing);
        if let Some(missing) = FDS.iter().find(|fd| !fds.contains(fd)) {
            return Err(ConfineError::MissingFd(*missing));
        }
        if let Some(surplus) = fds.iter().find(|fd| !FDS.contains(fd)) {
            let target = std::fs::read_link(format!("/proc/self/fd/{surplus}"));
            return Err(ConfineError::SurplusFd {
                fd: *surplus,
                target: target.unwrap_or_default(),
            });
        }
        Ok(Alone(()))
    }
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
