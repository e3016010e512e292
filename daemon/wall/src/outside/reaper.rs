//! One thread that reaps workers which nobody waits for any more.
//!
//! A killed process takes a moment to end, and one that the kernel holds up takes as long as it
//! takes. Whoever drops a worker should not wait for that, least of all a thread of a runtime.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock, mpsc};

/// Between two looks at one that has ended and cannot be reaped: somebody traces it.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

struct Reaper {
    dead: mpsc::Sender<OwnedFd>,
    bell: Arc<OwnedFd>,
}

static REAPER: OnceLock<Option<Reaper>> = OnceLock::new();

/// Starts the thread, if it does not run yet, so that it is there when it is needed.
///
/// # Errors
/// The system has no thread or no descriptor to give. It is not tried again.
pub(super) fn start() -> io::Result<()> {
    let mut failed = None;
    let reaper = REAPER.get_or_init(|| run().map_err(|error| failed = Some(error)).ok());
    match (reaper, failed) {
        (Some(_), _) => Ok(()),
        (None, error) => Err(error.unwrap_or_else(|| io::Error::other("no reaper runs"))),
    }
}

/// Reaps the process of `pidfd`, a child that has been killed, when it ends. Never waits. Without
/// the thread the child stays a zombie until this process ends.
pub(super) fn reap(pidfd: OwnedFd) {
    if start().is_err() {
        return;
    }
    if let Some(Some(Reaper { dead, bell })) = REAPER.get()
        && dead.send(pidfd).is_ok()
    {
        // The counter is far from full: every wake empties it.
        let _ = rustix::io::write(&**bell, &1_u64.to_ne_bytes());
    }
}

fn run() -> io::Result<Reaper> {
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (dead, come) = mpsc::channel();
    let rung = Arc::clone(&bell);
    std::thread::Builder::new()
        .name("wall-reaper".to_owned())
        .spawn(move || attend(&rung, &come))?;
    Ok(Reaper { dead, bell })
}

fn attend(bell: &OwnedFd, come: &mpsc::Receiver<OwnedFd>) {
    let mut dying: Vec<OwnedFd> = Vec::new();
    let mut held = false;
    loop {
        held = {
            // Those that have ended would wake it at once.
            let watched = if held { &[] } else { dying.as_slice() };
            let fds = std::iter::once(bell).chain(watched);
            let mut ready: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            // Interrupted, it looks as if it had been woken.
            let _ = poll(&mut ready, held.then_some(&PAUSE));
            ready.iter().skip(1).any(|fd| !fd.revents().is_empty())
        };
        let _ = rustix::io::read(bell, &mut [0; 8]);
        dying.extend(come.try_iter());
        let before = dying.len();
        dying.retain(|pidfd| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            // An error: somebody else has reaped it.
            matches!(waitid(WaitId::PidFd(pidfd.as_fd()), options), Ok(None))
        });
        held = held && dying.len() == before;
    }
}
