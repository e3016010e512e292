//! Descriptors that a service manager passes at the start, by sd_listen_fds(3)'s protocol.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};

/// The number of the first one.
const FIRST: RawFd = 3;
/// Most that are taken.
const MOST: RawFd = 4096;

/// The descriptors that were passed to this process, with their names. None if the environment speaks
/// of none, or to another process. To be called once, before anything else opens descriptors.
///
/// # Errors
/// It was called before, or the environment speaks of descriptors that are not there.
pub fn inherited() -> io::Result<Vec<(String, OwnedFd)>> {
    static CALLED: AtomicBool = AtomicBool::new(false);
    if CALLED.swap(true, Ordering::Relaxed) {
        return Err(io::Error::other("passed descriptors are taken once"));
    }
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").and_then(|count| RawFd::try_from(count).ok());
    let count = count.unwrap_or(0).min(MOST);
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = Vec::new();
    for number in FIRST..FIRST + count {
        // SAFETY: whoever started this process left it there for it, and nothing here has opened or
        // closed a descriptor yet; each number is taken once.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        if let Err(error) = fcntl_setfd(&fd, FdFlags::CLOEXEC) {
            // Not there: it is nobody's, and must not be closed.
            std::mem::forget(fd);
            return Err(error.into());
        }
        let name = names.next().unwrap_or_default();
        passed.push((name.to_owned(), fd));
    }
    Ok(passed)
}
