//! A worker, held by its pidfd: the number of a process can be reused, the descriptor cannot.

use super::reaper;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid,
};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal.
    Signaled {
        /// Its number.
        signal: i32,
        /// Whether a core dump was written.
        core: bool,
    },
}

impl Exit {
    /// Whether its system call filter killed it, as for calls in another architecture's way. For
    /// all others the filter asks the daemon.
    pub fn is_violation(self) -> bool {
        matches!(self, Exit::Signaled { signal, .. } if signal == libc::SIGSYS)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Exited(code) => write!(f, "exited with code {code}"),
            Exit::Signaled { signal, .. } => match signal {
                libc::SIGSYS => write!(
                    f,
                    "killed by its system call filter (SIGSYS): it made a call in another \
                     architecture's way"
                ),
                libc::SIGSEGV => write!(f, "crashed (SIGSEGV)"),
                libc::SIGBUS => write!(f, "crashed (SIGBUS)"),
                libc::SIGILL => write!(f, "crashed (SIGILL)"),
                libc::SIGFPE => write!(f, "crashed (SIGFPE)"),
                libc::SIGABRT => write!(f, "aborted (SIGABRT)"),
                libc::SIGKILL => write!(f, "killed (SIGKILL)"),
                other => write!(f, "killed by signal {other}"),
            },
        }
    }
}

/// A worker process. Dropping it kills the worker without waiting; who is not gone at once is reaped
/// by a thread of its own: no orphan, no zombie.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    exit: Option<Exit>,
}

impl Child {
    pub(super) fn new(pid: Pid, pidfd: OwnedFd) -> Child {
        let exit = None;
        Child { pid, pidfd, exit }
    }

    /// The process behind `pidfd`, once it is known to be this daemon's own child.
    ///
    /// # Errors
    /// It is no pidfd, or of another's child: nothing to take over.
    pub fn adopt(pidfd: OwnedFd) -> io::Result<Child> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(pidfd.as_fd()), look)?;
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
        let pid = info
            .lines()
            .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
            .filter(|number| *number > 0)
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the kernel does not tell its number"))?;
        Ok(Child::new(pid, pidfd))
    }

    /// Its process number, for messages and `/proc`. Reused by the kernel once it is reaped.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// A duplicate of its pidfd, for whoever must know when it ends: it becomes readable then.
    ///
    /// # Errors
    /// The daemon is out of descriptors.
    pub fn pidfd(&self) -> io::Result<OwnedFd> {
        self.pidfd.try_clone()
    }

    /// Kills it (SIGKILL). One that has ended already counts as killed.
    ///
    /// # Errors
    /// The kernel's answer; not expected of one's own child.
    pub fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// How it ended, or `None` while it lives. Reaps it.
    ///
    /// # Errors
    /// The kernel's answer; not expected of one's own child.
    pub fn try_wait(&mut self) -> io::Result<Option<Exit>> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Waits until it ends, and reaps it. Blocks the thread.
    ///
    /// # Errors
    /// The kernel's answer; not expected of one's own child.
    pub fn wait(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.reap(WaitIdOptions::EXITED)? {
                return Ok(exit);
            }
        }
    }

    fn reap(&mut self, options: WaitIdOptions) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            let status = loop {
                match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                    Err(Errno::INTR) => {}
                    other => break other?,
                }
            };
            self.exit = status.as_ref().and_then(exit);
        }
        Ok(self.exit)
    }
}

fn exit(status: &WaitIdStatus) -> Option<Exit> {
    if let Some(code) = status.exit_status() {
        return Some(Exit::Exited(code));
    }
    status.terminating_signal().map(|signal| Exit::Signaled {
        signal,
        core: status.dumped(),
    })
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nothing to do about an error here.
        if self.exit.is_some() || self.kill().is_err() {
            return;
        }
        // One that the kernel holds up, in a read of a dead file server say, dies when it can.
        if let Ok(None) = self.try_wait()
            && let Ok(pidfd) = self.pidfd.try_clone()
        {
            reaper::reap(pidfd);
        }
    }
}
