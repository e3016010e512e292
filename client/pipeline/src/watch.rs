//! Waiting in an event loop instead of in a call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe_frame::Bell;

use crate::Error;

/// So many rings that bring no answer are heard; with one more a worker that rings for fun is not
/// listened to until a frame has its outcome.
const SPURIOUS_RINGS: u32 = 4;
/// A moment that is over.
const AT_ONCE: u64 = 1;

/// What an event loop watches.
#[derive(Debug)]
pub(crate) struct Watch {
    bell: Bell,
    /// Rings since the last outcome.
    rings: u32,
    /// The descriptor was made readable for something that can be told.
    told: bool,
    #[cfg(feature = "tokio")]
    reactor: Option<tokio::io::unix::AsyncFd<OwnedFd>>,
}

impl Watch {
    pub(crate) fn new(bell: &OwnedFd, daemon: Option<BorrowedFd<'_>>) -> Result<Self, Error> {
        let bell = bell.try_clone().map_err(Error::Watch)?;
        Ok(Self {
            bell: Bell::watch(bell, daemon).map_err(failed)?,
            rings: 0,
            told: false,
            #[cfg(feature = "tokio")]
            reactor: None,
        })
    }

    /// Watches another worker's bell from now on.
    pub(crate) fn change_bell(&mut self, bell: &OwnedFd) -> Result<(), Error> {
        let bell = bell.try_clone().map_err(Error::Watch)?;
        self.rings = 0;
        self.bell.change(bell).map_err(failed)
    }

    /// Watches another connection from now on.
    pub(crate) fn add_daemon(&mut self, daemon: BorrowedFd<'_>) -> Result<(), Error> {
        self.bell.add_other(daemon).map_err(failed)
    }

    /// Leaves a connection.
    pub(crate) fn remove_daemon(&mut self, daemon: BorrowedFd<'_>) {
        self.bell.remove_other(daemon);
    }

    /// Takes note of what has been heard, so that it is not heard again. Whether the daemon has
    /// something to say.
    pub(crate) fn hear(&mut self, daemon: Option<BorrowedFd<'_>>) -> Result<bool, Error> {
        let heard = self.bell.hear(daemon).map_err(failed)?;
        self.rings = self.rings.saturating_add(u32::from(heard.rung));
        Ok(heard.other)
    }

    /// Asks to hear of the next answer. Answers that are there by now are not told: look for them
    /// after this.
    pub(crate) fn listen(&mut self) -> Result<(), Error> {
        match self.rings <= SPURIOUS_RINGS {
            true => self.bell.listen().map_err(failed),
            false => Ok(()),
        }
    }

    /// Asks to hear of `deadline_ns`; at once, if there is something to tell.
    pub(crate) fn alarm(&mut self, tell: bool, deadline_ns: Option<u64>) -> Result<(), Error> {
        self.told = tell;
        let moment = if tell { Some(AT_ONCE) } else { deadline_ns };
        self.bell.alarm(moment).map_err(failed)
    }

    /// A frame has its outcome. Returns how many rings had been for nothing, and whether to ask
    /// anew for what else there is.
    pub(crate) fn landed(&mut self) -> (u32, bool) {
        let rings = std::mem::take(&mut self.rings);
        (rings.saturating_sub(1), self.told || self.bell.is_deaf())
    }

    /// Resolves when what was asked for may have come. Nothing is lost if the future is dropped.
    #[cfg(feature = "tokio")]
    pub(crate) async fn heard(&mut self) -> std::io::Result<()> {
        if let Some(reactor) = &self.reactor {
            match reactor.readable().await {
                Ok(mut ready) => {
                    ready.clear_ready();
                    return Ok(());
                }
                // Its runtime is gone; there is another one now.
                Err(_) => self.reactor = None,
            }
        }
        let reactor = register(self.bell.as_fd().try_clone_to_owned()?)?;
        let reactor = self.reactor.insert(reactor);
        reactor.readable().await?.clear_ready();
        Ok(())
    }
}

fn failed(error: rustix::io::Errno) -> Error {
    Error::Watch(error.into())
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
