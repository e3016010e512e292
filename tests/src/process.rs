//! Processes, as the kernel shows them.

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::PATIENCE;

/// The processes whose parent is `pid`, zombies included.
pub fn children(pid: u32) -> Vec<u32> {
    let parent_of = |entry: &str| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{entry}/stat")).ok()?;
        // The name may hold spaces and brackets: fields count from the last closing bracket.
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(1)?.parse().ok()
    };
    fs::read_dir("/proc")
        .expect("/proc is mounted")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| parent_of(name) == Some(pid))
        .filter_map(|name| name.parse().ok())
        .collect()
}

/// How many file descriptors `pid` has open.
pub fn open_fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the process is there and ours")
        .count()
}

/// Waits until a descriptor is readable, which for a pidfd means that its process has ended.
/// `false` if that takes longer than a test waits.
pub fn ends(pidfd: impl AsFd) -> bool {
    readable(pidfd, PATIENCE)
}

/// Whether the process of a pidfd has ended by now.
pub fn gone(pidfd: impl AsFd) -> bool {
    readable(pidfd, Duration::ZERO)
}

/// Whether a descriptor becomes readable in time.
pub fn readable(fd: impl AsFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a short time");
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) if !left.is_zero() => {}
            answer => return answer.expect("poll") > 0,
        }
    }
}

/// Asks `seen` again and again until it is true, with a `turn` in between that gives the other
/// side something to do and waits for it.
pub fn until(what: &str, mut seen: impl FnMut() -> bool, mut turn: impl FnMut()) {
    let deadline = Instant::now() + PATIENCE;
    while !seen() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        turn();
    }
}
