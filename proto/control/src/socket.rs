//! Datagrams and file descriptors over an `AF_UNIX` `SOCK_SEQPACKET` socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::codec::{DecodeError, EncodeError, MAX_DATAGRAM, MAX_FDS, Message, decode, encode};

/// A message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer would refuse it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Another number of descriptors was given than the envelope declares.
    #[error("{kind} declares {declared} file descriptors, {given} were given")]
    Fds {
        /// Name of the message.
        kind: &'static str,
        /// Number that the envelope declares.
        declared: u32,
        /// Number that was given.
        given: usize,
    },
    /// The peer is gone.
    #[error("the peer closed the control socket")]
    Closed,
    /// The peer's queue is full, and the caller does not want to wait.
    #[error("the peer does not read its control socket")]
    WouldBlock,
    /// The kernel refused it.
    #[error("cannot send on the control socket: {0}")]
    Io(io::Error),
}

/// No message was received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// A datagram came, and was refused together with its descriptors.
    #[error(transparent)]
    Refused(#[from] DecodeError),
    /// The peer is gone, or sent an empty datagram, which looks the same.
    #[error("the peer closed the control socket")]
    Closed,
    /// Nothing is there yet, and the caller does not want to wait.
    #[error("no message on the control socket yet")]
    WouldBlock,
    /// The kernel refused it.
    #[error("cannot receive from the control socket: {0}")]
    Io(io::Error),
}

/// A message with its descriptors, as many as it requires.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// Its descriptors, in the order that the protocol file gives; close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Sends a message with its descriptors; waits if the socket blocks.
///
/// # Errors
/// [`SendError`]; nothing was sent then.
pub fn send<M: Message>(
    socket: BorrowedFd<'_>,
    message: &M,
    fds: &[BorrowedFd<'_>],
) -> Result<(), SendError> {
    send_datagram(socket, message, fds, SendFlags::empty())
}

/// Sends a message with its descriptors, never waits.
///
/// # Errors
/// [`SendError::WouldBlock`] if the peer's queue is full, or another
/// [`SendError`]; nothing was sent then.
pub fn try_send<M: Message>(
    socket: BorrowedFd<'_>,
    message: &M,
    fds: &[BorrowedFd<'_>],
) -> Result<(), SendError> {
    send_datagram(socket, message, fds, SendFlags::DONTWAIT)
}

fn send_datagram<M: Message>(
    socket: BorrowedFd<'_>,
    message: &M,
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<(), SendError> {
    let datagram = encode(message)?;
    if usize::try_from(message.declared_fds()) != Ok(fds.len()) {
        return Err(SendError::Fds {
            kind: message.kind(),
            declared: message.declared_fds(),
            given: fds.len(),
        });
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // A message declares at most MAX_FDS descriptors, so that they always fit.
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(SendError::Io(Errno::TOOMANYREFS.into()));
    }
    let flags = flags | SendFlags::NOSIGNAL;
    let data = [IoSlice::new(&datagram)];
    match retry_on_intr(|| sendmsg(socket, &data, &mut control, flags)) {
        // A datagram goes whole or not at all.
        Ok(_) => Ok(()),
        Err(Errno::PIPE | Errno::CONNRESET) => Err(SendError::Closed),
        Err(Errno::AGAIN) => Err(SendError::WouldBlock),
        Err(errno) => Err(SendError::Io(errno.into())),
    }
}

/// Receives messages into one buffer, so that none is allocated per datagram.
#[derive(Debug)]
pub struct Receiver {
    /// One byte more than a datagram may have tells that it has too many.
    buffer: Box<[u8]>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Allocates the buffer, [`MAX_DATAGRAM`] bytes and one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: vec![0; MAX_DATAGRAM + 1].into(),
        }
    }

    /// Receives one message. Of `flags` only `DONTWAIT` counts: others change
    /// what a returned length or descriptor means.
    ///
    /// The socket must not have `SO_PASSCRED` or `SO_PASSPIDFD` set: what they add
    /// takes the room of descriptors, and a pidfd among it would leak. Ask for the
    /// peer's identity with `SO_PEERCRED` and `SO_PEERPIDFD` instead.
    ///
    /// # Errors
    /// [`RecvError`]; the descriptors of a refused datagram are closed.
    pub fn recv<M: Message>(
        &mut self,
        socket: BorrowedFd<'_>,
        flags: RecvFlags,
    ) -> Result<Received<M>, RecvError> {
        let flags = (flags & RecvFlags::DONTWAIT) | RecvFlags::CMSG_CLOEXEC;
        // Room for one more than allowed, so that a surplus is seen. There is
        // always room: without it the kernel drops descriptors and says nothing.
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS + 1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut receive = || {
            retry_on_intr(|| {
                let mut data = [IoSliceMut::new(&mut self.buffer)];
                recvmsg(socket, &mut data, &mut control, flags)
            })
        };
        // A peer that hangs up before it has read everything resets the connection. The kernel
        // says so once; what the peer said before is still there, and may be the reason.
        let answer = match receive() {
            Err(Errno::CONNRESET) => receive(),
            answer => answer,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Errno::AGAIN) => return Err(RecvError::WouldBlock),
            Err(Errno::CONNRESET) => return Err(RecvError::Closed),
            Err(errno) => return Err(RecvError::Io(errno.into())),
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if answer.bytes == 0 {
            return Err(RecvError::Closed);
        }
        let truncated = answer
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        let datagram = self.buffer.get(..answer.bytes).unwrap_or(&self.buffer);
        let message = decode(datagram, fds.len(), truncated)?;
        Ok(Received { message, fds })
    }
}

/// Receives one message into a buffer of its own, see [`Receiver::recv`].
///
/// # Errors
/// [`RecvError`]; the descriptors of a refused datagram are closed.
pub fn recv<M: Message>(
    socket: BorrowedFd<'_>,
    flags: RecvFlags,
) -> Result<Received<M>, RecvError> {
    Receiver::new().recv(socket, flags)
}
