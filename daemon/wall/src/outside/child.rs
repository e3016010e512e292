//! A worker, held by its pidfd: the number of a process can be reused, the descriptor cannot.

use super::kept::Kept;
use super::reaper;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Longer than anybody waits.
const FOREVER: Timespec = Timespec {
    tv_sec: 1 << 30,
    tv_nsec: 0,
};

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
    /// Whoever reaped it has not told.
    Unknown,
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
            Exit::Unknown => f.write_str("ended, and nobody knows how"),
            Exit::Signaled { signal, .. } => match signal {
                libc::SIGSYS => write!(
                    f,
                    "was killed by its system call filter (SIGSYS): it made a call in another \
                     architecture's way"
                ),
                libc::SIGSEGV => write!(f, "crashed (SIGSEGV)"),
                libc::SIGBUS => write!(f, "crashed (SIGBUS)"),
                libc::SIGILL => write!(f, "crashed (SIGILL)"),
                libc::SIGFPE => write!(f, "crashed (SIGFPE)"),
                libc::SIGABRT => write!(f, "aborted (SIGABRT)"),
                libc::SIGKILL => write!(f, "was killed (SIGKILL)"),
                other => write!(f, "was killed by signal {other}"),
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
    /// The most memory that it had at a time, in bytes, once that is known.
    peak: Option<u64>,
    /// Whose child it is, if it is not our own.
    kept: Option<Arc<Kept>>,
}

impl Child {
    pub(super) fn new(pid: Pid, pidfd: OwnedFd) -> Child {
        Child {
            pid,
            pidfd,
            exit: None,
            peak: None,
            kept: None,
        }
    }

    /// A child of the keeper's.
    pub(super) fn kept(pid: Pid, pidfd: OwnedFd, kept: Arc<Kept>) -> Child {
        let mut child = Child::new(pid, pidfd);
        child.kept = Some(kept);
        child
    }

    /// Its handle, without ending it.
    pub(super) fn let_go(mut self) -> io::Result<OwnedFd> {
        let pidfd = self.pidfd.try_clone()?;
        // What is not to be killed counts as ended.
        self.exit = Some(Exit::Unknown);
        Ok(pidfd)
    }

    /// The process behind `pidfd`, once it is known to be this daemon's own child.
    ///
    /// # Errors
    /// It is no pidfd, or of another's child: nothing to take over.
    pub(super) fn adopt(pidfd: OwnedFd) -> io::Result<Child> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(pidfd.as_fd()), look)?;
        let pid = pid_of(&pidfd)?;
        Ok(Child::new(pid, pidfd))
    }

    /// The most memory that it had at a time, in bytes; known once it has been waited for.
    pub fn peak_memory(&self) -> Option<u64> {
        self.peak
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
        if self.exit.is_some() {
            return Ok(self.exit);
        }
        if let Some(kept) = &self.kept {
            let patience = match options.contains(WaitIdOptions::NOHANG) {
                true => Timespec::default(),
                false => FOREVER,
            };
            if let Some(end) = kept.end_of(self.pid, &self.pidfd, &patience)? {
                (self.exit, self.peak) = (Some(end.exit), end.peak);
            }
            return Ok(self.exit);
        }
        if let Some(end) = wait(Who::Pidfd(self.pidfd.as_fd()), options)? {
            (self.exit, self.peak) = (Some(end.exit), end.peak);
        }
        Ok(self.exit)
    }
}

/// How a process ended, and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) pid: i32,
    pub(super) exit: Exit,
    /// Bytes.
    pub(super) peak: Option<u64>,
}

/// Whose end is waited for.
pub(super) enum Who<'a> {
    Pidfd(BorrowedFd<'a>),
    Any,
}

/// Reaps a child. The plain call is used: the library's does not tell what the child took.
pub(super) fn wait(who: Who<'_>, options: WaitIdOptions) -> io::Result<Option<End>> {
    let (kind, id) = match who {
        Who::Pidfd(pidfd) => (libc::P_PIDFD, pidfd.as_raw_fd()),
        Who::Any => (libc::P_ALL, 0),
    };
    // SAFETY: all zeros is a valid value of each field.
    let (mut info, mut usage): (libc::siginfo_t, libc::rusage) = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: two structures that outlive the call, which the kernel fills.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                kind,
                id,
                &raw mut info,
                options.bits(),
                &raw mut usage,
            )
        };
        if answer == 0 {
            break;
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
    // SAFETY: the kernel has filled it as for SIGCHLD, or left it zeroed.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let exit = match info.si_code {
        _ if pid == 0 => return Ok(None),
        libc::CLD_EXITED => Exit::Exited(status),
        code => Exit::Signaled {
            signal: status,
            core: code == libc::CLD_DUMPED,
        },
    };
    // In KiB.
    let peak = u64::try_from(usage.ru_maxrss).ok();
    let peak = peak.map(|kib| kib.saturating_mul(1024));
    Ok(Some(End { pid, exit, peak }))
}

/// The number of a pidfd's process; one that has been reaped has none.
pub(super) fn pid_of(pidfd: &OwnedFd) -> io::Result<Pid> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    info.lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
        .filter(|number| *number > 0)
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the kernel does not tell its number"))
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
        if let Some(kept) = &self.kept {
            return kept.disown(self.pid);
        }
        // One that the kernel holds up, in a read of a dead file server say, dies when it can.
        if let Ok(None) = self.try_wait()
            && let Ok(pidfd) = self.pidfd.try_clone()
        {
            reaper::reap(pidfd);
        }
    }
}
