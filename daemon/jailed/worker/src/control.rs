//! The control socket, as the worker uses it.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use coldshoe_control::worker::{
    Body, Divided, Done, Entered, Envelope, Failed, Gated, Loaded, Stage,
};
use coldshoe_control::{Received, Receiver, RecvError, clean, send};
use rustix::net::RecvFlags;

/// The daemon's end of the session.
pub(crate) struct Control {
    socket: OwnedFd,
    receiver: Receiver,
}

/// The bell that the daemon left at its place.
pub(crate) fn inherited_bell() -> OwnedFd {
    // SAFETY: the spawner puts an eventfd at this number, `divide` has seen that it is there, and
    // nothing else in this process owns it. It is asked for once.
    unsafe { OwnedFd::from_raw_fd(coldshoe_wall::FD_BELL) }
}

/// One message of the daemon.
pub(crate) struct Order {
    pub(crate) serial: u32,
    pub(crate) body: Body,
    pub(crate) fds: Vec<OwnedFd>,
}

/// What a look at the control socket brought.
#[expect(
    clippy::large_enum_variant,
    reason = "on the stack of its one reader; a box would allocate"
)]
pub(crate) enum Polled {
    Nothing,
    Order(Order),
    HungUp,
}

impl Control {
    /// The socket that the daemon left at its place.
    pub(crate) fn inherited() -> Self {
        // SAFETY: the spawner puts the control socket at this number, and nothing in this process
        // has opened or closed a descriptor yet.
        let socket = unsafe { OwnedFd::from_raw_fd(coldshoe_wall::FD_CONTROL) };
        Self {
            socket,
            receiver: Receiver::new(),
        }
    }

    /// Waits for an order; `None` when the daemon has hung up.
    pub(crate) fn next(&mut self) -> Result<Option<Order>, Failed> {
        loop {
            match self.receive(RecvFlags::empty())? {
                Polled::Order(order) => return Ok(Some(order)),
                Polled::HungUp => return Ok(None),
                Polled::Nothing => {}
            }
        }
    }

    /// Takes an order if one is there.
    pub(crate) fn poll(&mut self) -> Result<Polled, Failed> {
        self.receive(RecvFlags::DONTWAIT)
    }

    fn receive(&mut self, flags: RecvFlags) -> Result<Polled, Failed> {
        match self.receiver.recv::<Envelope>(self.socket.as_fd(), flags) {
            Ok(Received {
                message:
                    Envelope {
                        serial,
                        body: Some(body),
                        ..
                    },
                fds,
            }) => Ok(Polled::Order(Order { serial, body, fds })),
            Ok(_) | Err(RecvError::Closed) => Ok(Polled::HungUp),
            Err(RecvError::WouldBlock) => Ok(Polled::Nothing),
            Err(error) => Err(Failed::new(
                Stage::Protocol,
                "an order of the daemon cannot be read",
                &error.to_string(),
            )),
        }
    }

    /// No call on the socket waits from now on.
    pub(crate) fn never_wait(&self) -> std::io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.socket, true)?)
    }

    /// Hands over the second stage: it is the daemon's own child.
    pub(crate) fn divided(&self, serial: u32, pidfd: &OwnedFd) -> Result<(), Failed> {
        self.send_with(serial, Divided {}, &[pidfd.as_fd()])
    }

    /// Tells that this is the second stage, ready to be looked at.
    pub(crate) fn entered(&self, serial: u32, maps: OwnedFd) -> Result<(), Failed> {
        self.send_with(serial, Entered {}, &[maps.as_fd()])
    }

    /// Waits until the daemon has looked; `false` when it has hung up.
    pub(crate) fn proceed(&mut self) -> Result<bool, Failed> {
        match self.next()? {
            None => Ok(false),
            Some(Order {
                body: Body::Proceed(_),
                ..
            }) => Ok(true),
            Some(Order { body, .. }) => Err(Failed::new(
                Stage::Protocol,
                "an order came before its time",
                &format!("it is {}, where Proceed goes", body.kind()),
            )),
        }
    }

    /// Hands over the gate.
    pub(crate) fn gated(&self, serial: u32, listener: BorrowedFd<'_>) -> Result<(), Failed> {
        self.send_with(serial, Gated {}, &[listener])
    }

    /// Answers an order.
    pub(crate) fn answer(&self, serial: u32, result: Result<(), Failed>) -> Result<(), Failed> {
        self.answer_start(serial, result, None)
    }

    /// Answers Start; `not_restored`: why the module does without the state that came with it.
    pub(crate) fn answer_start(
        &self,
        serial: u32,
        result: Result<(), Failed>,
        not_restored: Option<String>,
    ) -> Result<(), Failed> {
        match result {
            Ok(()) => {
                let not_restored = clean(&not_restored.unwrap_or_default());
                self.send(serial, Done { not_restored })
            }
            Err(failed) => self.send(serial, failed),
        }
    }

    /// Answers the assignment: the module is loaded.
    pub(crate) fn loaded(&self, serial: u32, module: &Loaded) -> Result<(), Failed> {
        self.send(serial, module.clone())
    }

    /// Why this life ends early. Nobody is left to hear of an error: the daemon sees the exit.
    pub(crate) fn last_words(&self, failed: Failed) {
        let _ = self.send(0, failed);
    }

    fn send(&self, serial: u32, body: impl Into<Body>) -> Result<(), Failed> {
        self.send_with(serial, body, &[])
    }

    fn send_with(
        &self,
        serial: u32,
        body: impl Into<Body>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Failed> {
        send(self.socket.as_fd(), &Envelope::new(serial, body), fds).map_err(|error| {
            Failed::new(
                Stage::Protocol,
                "an answer cannot be sent",
                &error.to_string(),
            )
        })
    }
}
