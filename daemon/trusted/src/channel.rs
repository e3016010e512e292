//! A control socket on the runtime: the protocol crate does the framing, tokio the waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use coldshoe_control::{Message, Received, Receiver, RecvError, SendError, try_send};
use rustix::net::RecvFlags;
use tokio::io::unix::AsyncFd;

/// Puts a descriptor under the runtime's watch.
#[expect(
    deprecated,
    reason = "unsound only for types that do not own their descriptor; the replacement is unsafe"
)]
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

/// One end of a SEQPACKET connection.
pub(crate) struct Channel {
    socket: AsyncFd<OwnedFd>,
    receiver: Mutex<Receiver>,
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = watch(socket)?;
        Ok(Self {
            socket,
            receiver: Mutex::new(Receiver::new()),
        })
    }

    /// The next message. Nothing is lost if the future is dropped.
    pub(crate) async fn recv<M: Message>(&self) -> Result<Received<M>, RecvError> {
        loop {
            let mut ready = self.socket.readable().await.map_err(RecvError::Io)?;
            match self.try_recv() {
                Err(RecvError::WouldBlock) => ready.clear_ready(),
                other => return other,
            }
        }
    }

    /// The next message if one is there.
    pub(crate) fn try_recv<M: Message>(&self) -> Result<Received<M>, RecvError> {
        let socket = self.socket.as_fd();
        let mut receiver = self
            .receiver
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        receiver.recv(socket, RecvFlags::DONTWAIT)
    }

    /// Sends one message, waiting for room. Nothing is sent if the future is dropped.
    pub(crate) async fn send<M: Message>(
        &self,
        message: &M,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        loop {
            let mut ready = self.socket.writable().await.map_err(SendError::Io)?;
            match try_send(self.socket.as_fd(), message, fds) {
                Err(SendError::WouldBlock) => ready.clear_ready(),
                other => return other,
            }
        }
    }

    /// The socket, for somebody else to use.
    pub(crate) fn into_inner(self) -> OwnedFd {
        self.socket.into_inner()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
