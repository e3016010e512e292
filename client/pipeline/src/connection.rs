//! The control socket, as a client uses it: one question, one answer, in order.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use coldshoe_control::client::{Body, Envelope, Hello};
use coldshoe_control::{Received, Receiver, RecvError, SendError, Trouble, try_send};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};

use crate::Error;

const SOFTWARE: &str = concat!("coldshoe ", env!("CARGO_PKG_VERSION"));
/// Longer than the daemon gives a worker, so that its own verdict arrives first.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that has said Hello.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    receiver: Receiver,
    serial: u32,
    /// A fault that came while something else was awaited.
    fault: Option<Trouble>,
}

impl Connection {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let unreachable = |error: rustix::io::Errno| Error::Unreachable {
            path: path.to_owned(),
            source: error.into(),
        };
        let address = SocketAddrUnix::new(path).map_err(unreachable)?;
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(unreachable)?;
        connect(&socket, &address).map_err(unreachable)?;
        let mut connection = Self {
            socket,
            receiver: Receiver::new(),
            serial: 0,
            fault: None,
        };
        match connection.ask(Hello::offer(&[], SOFTWARE).into(), &[])?.0 {
            Body::Hello(_) => Ok(connection),
            other => Err(Error::Unexpected("Hello", other.kind())),
        }
    }

    /// Sends a request and waits for its answer. An Error comes out as [`Error::Refused`].
    pub(crate) fn ask(
        &mut self,
        body: Body,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Body, Vec<OwnedFd>), Error> {
        let kind = body.kind();
        self.serial = self.serial.wrapping_add(1).max(1);
        let request = Envelope::new(self.serial, body);
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = try_send(self.socket.as_fd(), &request, fds) {
            match error {
                SendError::WouldBlock => self.sleep(kind, PollFlags::OUT, deadline)?,
                // The daemon hung up, and may have said why.
                SendError::Closed => match self.receive() {
                    Ok((0, Body::Error(reason), _)) => return Err(Trouble::from(reason).into()),
                    _ => return Err(error.into()),
                },
                error => return Err(error.into()),
            }
        }
        loop {
            let (serial, body, fds) = match self.receive() {
                Err(RecvError::WouldBlock) => {
                    self.sleep(kind, PollFlags::IN, deadline)?;
                    continue;
                }
                received => received?,
            };
            match body {
                Body::SessionFault(fault) => self.fault = Some(fault.into()),
                // Serial 0: the daemon could not tell what it refused.
                Body::Error(error) if serial == self.serial || serial == 0 => {
                    return Err(Trouble::from(error).into());
                }
                body if serial == self.serial => return Ok((body, fds)),
                // The late answer to a question that was given up.
                _ => {}
            }
        }
    }

    /// Why the session's worker failed, if it has. Never waits.
    pub(crate) fn fault(&mut self) -> Option<&Trouble> {
        while self.fault.is_none() {
            match self.receive() {
                Ok((_, Body::SessionFault(fault), _)) => self.fault = Some(fault.into()),
                Ok(_) => {}
                Err(RecvError::WouldBlock) => break,
                Err(error) => self.fault = Some(daemon_gone(&error)),
            }
        }
        self.fault.as_ref()
    }

    /// Whether a fault has been seen so far. Does not look for a new one.
    pub(crate) fn knows_fault(&self) -> bool {
        self.fault.is_some()
    }

    fn receive(&mut self) -> Result<(u32, Body, Vec<OwnedFd>), RecvError> {
        let received = self
            .receiver
            .recv::<Envelope>(self.socket.as_fd(), RecvFlags::DONTWAIT)?;
        match received {
            Received {
                message:
                    Envelope {
                        serial,
                        body: Some(body),
                        ..
                    },
                fds,
            } => Ok((serial, body, fds)),
            _ => Err(RecvError::Closed),
        }
    }

    /// Sleeps until the socket is ready. Whatever ends it, the caller tries again.
    fn sleep(&self, asked: &'static str, event: PollFlags, deadline: Instant) -> Result<(), Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Late(asked, PATIENCE.as_secs()));
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let _ = poll(&mut [PollFd::new(&self.socket, event)], Some(&timeout));
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn daemon_gone(error: &RecvError) -> Trouble {
    Trouble::new(
        coldshoe_control::client::ErrorCode::Internal,
        "the daemon is gone",
        error.to_string(),
        "restart coldshoed and open the session again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_control::client::{Error as Refusal, ErrorCode};
    use rustix::net::socketpair;

    #[test]
    fn a_daemon_that_has_hung_up_is_asked_for_its_last_words() {
        let flags = SocketFlags::CLOEXEC;
        let (socket, daemon) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let reason = Trouble::new(ErrorCode::Limit, "no room", "64 are there", "come back");
        let last_words = Envelope::new(0, Refusal::from(reason.clone()));
        try_send(daemon.as_fd(), &last_words, &[]).unwrap();
        drop(daemon);
        let mut connection = Connection {
            socket,
            receiver: Receiver::new(),
            serial: 0,
            fault: None,
        };
        let mut ask = || connection.ask(Hello::offer(&[], SOFTWARE).into(), &[]);
        assert!(matches!(ask(), Err(Error::Refused(told)) if told == reason));
        assert!(matches!(ask(), Err(Error::Send(SendError::Closed))));
    }
}
