//! The daemon's end of a worker's gate: system calls that wait for an answer.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What the kernel calls a listener.
const LINK: &str = "anon_inode:seccomp notify";

/// A system call that waits. Its arguments are registers: what they point at is the worker's
/// memory, which can change at any time, and is never looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Names it in the answer.
    pub id: u64,
    /// The thread that waits.
    pub pid: u32,
    /// Number of the system call.
    pub nr: u32,
    /// Its arguments.
    pub args: [u64; 6],
    /// Address of the instruction after the call.
    pub ip: u64,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel carries it out as it stands.
    Continue,
    /// It fails with this error number.
    Errno(i32),
}

/// The gate of one worker. Once this is closed, what waits and what comes fails with ENOSYS: a
/// gate without a keeper stays shut.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// The kernel's structure, with room for what it may grow by.
#[repr(C)]
struct Buffer {
    notification: libc::seccomp_notif,
    room: [u64; 32],
}

impl Listener {
    /// Takes a descriptor that is said to be one.
    ///
    /// # Errors
    /// It is none.
    pub fn new(fd: OwnedFd) -> io::Result<Listener> {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        if link.as_os_str() != LINK {
            let what = format!("it is no seccomp listener but {}", link.display());
            return Err(io::Error::other(what));
        }
        Ok(Listener(fd))
    }

    /// The next one that waits, if any. Does not wait itself. Only one thread may ask at a time.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when no process is left behind the gate.
    pub fn recv(&self) -> io::Result<Option<Notification>> {
        // Asking for one where none waits would block.
        let mut ready = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut ready, Some(&Timespec::default()))?;
        if !ready[0].revents().contains(PollFlags::IN) {
            return match ready[0].revents().is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::NotConnected.into()),
            };
        }
        // SAFETY: all zeros is a valid value of each field; the kernel asks for zeros.
        let mut buffer: Buffer = unsafe { std::mem::zeroed() };
        // SAFETY: a valid descriptor, and a buffer that outlives the call and has room for the
        // kernel's structure.
        let answer = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV,
                &raw mut buffer,
            )
        };
        if answer != 0 {
            return match io::Error::last_os_error() {
                // It was killed while it waited, or a signal came.
                error if is_one_of(&error, &[libc::ENOENT, libc::EINTR]) => Ok(None),
                error => Err(error),
            };
        }
        let libc::seccomp_notif { id, pid, data, .. } = buffer.notification;
        Ok(Some(Notification {
            id,
            pid,
            nr: data.nr.cast_unsigned(),
            args: data.args,
            ip: data.instruction_pointer,
        }))
    }

    /// Answers one. That it does not wait any more, because it was killed, is no error.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn respond(&self, id: u64, answer: Answer) -> io::Result<()> {
        let (error, flags) = match answer {
            Answer::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Answer::Errno(errno) => (-errno.abs(), 0),
        };
        let response = libc::seccomp_notif_resp {
            id,
            val: 0,
            error,
            flags,
        };
        // SAFETY: a valid descriptor, and a structure that the kernel only reads.
        let answer = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND,
                &raw const response,
            )
        };
        if answer == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if is_one_of(&error, &[libc::ENOENT, libc::EINPROGRESS]) => Ok(()),
            error => Err(error),
        }
    }
}

fn is_one_of(error: &io::Error, errnos: &[i32]) -> bool {
    error
        .raw_os_error()
        .is_some_and(|errno| errnos.contains(&errno))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_descriptor_is_no_listener() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let error = Listener::new(null.into()).unwrap_err();
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }
}
