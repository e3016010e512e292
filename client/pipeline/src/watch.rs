//! Waiting in an event loop instead of in a call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe_frame::Bell;

use crate::Error;
use crate::connection::Connection;

/// So many rings that bring no answer are heard a frame. After that a worker that rings for fun
/// is not listened to until something lands.
const SPURIOUS_RINGS: u32 = 4;

/// What an event loop watches.
#[derive(Debug)]
pub(crate) struct Watch {
    bell: Bell,
    /// Times that it was armed since the last answer.
    armed: u32,
    #[cfg(feature = "tokio")]
    reactor: Option<tokio::io::unix::AsyncFd<OwnedFd>>,
}

impl Watch {
    pub(crate) fn new(bell: &OwnedFd, connection: &Connection) -> Result<Self, Error> {
        let bell = bell.try_clone().map_err(Error::Watch)?;
        Ok(Self {
            bell: Bell::watch(bell, connection.as_fd()).map_err(|e| Error::Watch(e.into()))?,
            armed: 0,
            #[cfg(feature = "tokio")]
            reactor: None,
        })
    }

    /// Asks to hear of the next answer, of `deadline_ns`, and of the daemon.
    pub(crate) fn arm(
        &mut self,
        deadline_ns: u64,
        connection: &mut Connection,
    ) -> Result<(), Error> {
        let listen = self.armed <= SPURIOUS_RINGS;
        self.armed = self.armed.saturating_add(1);
        let heard = self.bell.arm(deadline_ns, listen, connection.as_fd());
        if heard.map_err(|error| Error::Watch(error.into()))?.other {
            connection.fault();
        }
        Ok(())
    }

    /// Takes note of what has been heard, so that it is not heard again.
    pub(crate) fn hear(&mut self, connection: &Connection) {
        // What fails here fails when it is armed, too, where it can be told.
        let _ = self.bell.hear(connection.as_fd());
    }

    /// An answer was there. Returns how many rings had been for nothing.
    pub(crate) fn landed(&mut self) -> u32 {
        std::mem::take(&mut self.armed).saturating_sub(1)
    }

    /// Resolves when what was asked for may have come.
    #[cfg(feature = "tokio")]
    pub(crate) async fn heard(&mut self) -> std::io::Result<()> {
        let reactor = match self.reactor.take() {
            Some(reactor) => reactor,
            None => register(self.bell.as_fd().try_clone_to_owned()?)?,
        };
        let reactor = self.reactor.insert(reactor);
        reactor.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(feature = "tokio")]
#[expect(
    deprecated,
    reason = "its successor gives the descriptor back in the error"
)]
fn register(fd: OwnedFd) -> std::io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
