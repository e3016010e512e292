//! Datagrams from one socket to the other, whole, with their descriptors, until one end is gone.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::daemon::Daemon;
use crate::error::Error;

/// More than a datagram can have with the kernel's default buffers, which libcamera leaves alone.
const MAX_DATAGRAM: usize = 256 << 10;
/// Most descriptors of a datagram: the kernel's own bound.
const MAX_FDS: usize = 253;
/// Patience with an end that does not read: libcamera's with an answer.
const PATIENCE: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};
/// Datagrams of a message; the worker's first is its answer to init().
const MESSAGE: u32 = 2;

/// Relays until the application has ended, or the worker.
pub(crate) fn relay(
    application: &OwnedFd,
    application_pidfd: &OwnedFd,
    worker: &OwnedFd,
    daemon: &mut Daemon,
) -> Result<(), Error> {
    let mut buffer = vec![0; MAX_DATAGRAM + 1];
    let mut until_initialised = MESSAGE;
    loop {
        let mut ready = [
            PollFd::new(application_pidfd, PollFlags::IN),
            PollFd::new(worker, PollFlags::IN),
            PollFd::new(application, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(broken("poll", error)),
        }
        let [gone, from_worker, from_application] = ready.map(|fd| !fd.revents().is_empty());
        if gone {
            // The daemon ends the worker when it sees our end.
            return Ok(());
        }
        if from_worker {
            match receive(worker.as_fd(), &mut buffer)? {
                Received::Nothing => {}
                Received::Closed => return daemon.last_words(),
                Received::Datagram(length, fds) => {
                    // The daemon is told before the application hears of it.
                    if until_initialised == 1 {
                        daemon.initialised()?;
                    }
                    until_initialised = until_initialised.saturating_sub(1);
                    let datagram = buffer.get(..length).unwrap_or_default();
                    if !send(application.as_fd(), datagram, &fds)? {
                        return Ok(());
                    }
                }
            }
        }
        if from_application {
            match receive(application.as_fd(), &mut buffer)? {
                Received::Nothing => {}
                Received::Closed => return Ok(()),
                Received::Datagram(length, fds) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    if !send(worker.as_fd(), datagram, &fds)? {
                        return daemon.last_words();
                    }
                }
            }
        }
    }
}

enum Received {
    Nothing,
    Closed,
    /// Bytes in the buffer, and descriptors.
    Datagram(usize, Vec<OwnedFd>),
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, Error> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags);
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    match received {
        Ok(message) if message.bytes == 0 && fds.is_empty() => Ok(Received::Closed),
        Ok(message) => {
            let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
            if message.flags.intersects(cut) || message.bytes > MAX_DATAGRAM {
                let why = "a message is larger than libcamera's can be";
                return Err(Error::Relay(why.to_owned()));
            }
            Ok(Received::Datagram(message.bytes, fds))
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
        Err(Errno::CONNRESET) => Ok(Received::Closed),
        Err(error) => Err(broken("receive", error)),
    }
}

/// Whether there was somebody to send to.
fn send(socket: BorrowedFd<'_>, datagram: &[u8], fds: &[OwnedFd]) -> Result<bool, Error> {
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Error::Relay(
                "a message has too many descriptors".to_owned(),
            ));
        }
        match sendmsg(socket, &[IoSlice::new(datagram)], &mut control, flags) {
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN) => {
                return Ok(false);
            }
            Err(Errno::AGAIN) => {
                let mut room = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
                if poll(&mut room, Some(&PATIENCE)) == Ok(0) {
                    let why = "one end does not read what the other says";
                    return Err(Error::Relay(why.to_owned()));
                }
            }
            Err(error) => return Err(broken("send", error)),
        }
    }
}

fn broken(step: &str, error: Errno) -> Error {
    Error::Relay(format!("{step}: {error}"))
}
