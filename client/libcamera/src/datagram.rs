//! Datagrams with descriptors, on sockets that do not wait.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe_libcamera_wire::{MAX_FDS, MAX_MESSAGE};
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::error::Error;

/// What a socket has.
pub(crate) enum Received {
    Nothing,
    Closed,
    /// Bytes in the buffer, and descriptors.
    Datagram(usize, Vec<OwnedFd>),
    /// What libcamera does not send.
    Broken(String),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// There is no room.
    Full,
    /// There is nobody.
    Gone,
}

/// The next datagram, if there is one.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Received {
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
        Ok(message) if message.bytes == 0 && fds.is_empty() => Received::Closed,
        Ok(message) => {
            let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
            if message.flags.intersects(cut) || message.bytes > MAX_MESSAGE {
                return Received::Broken("a message is larger than libcamera's can be".to_owned());
            }
            Received::Datagram(message.bytes, fds)
        }
        Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
        Err(Errno::CONNRESET) => Received::Closed,
        Err(error) => Received::Broken(format!("receive: {error}")),
    }
}

/// Sends, if there is room.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    datagram: &[u8],
    fds: &[OwnedFd],
) -> Result<Sent, Error> {
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
            Ok(_) => return Ok(Sent::Yes),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN) => {
                return Ok(Sent::Gone);
            }
            Err(Errno::AGAIN) => return Ok(Sent::Full),
            Err(error) => return Err(broken("send", error)),
        }
    }
}

pub(crate) fn broken(step: &str, error: Errno) -> Error {
    Error::Relay(format!("{step}: {error}"))
}
