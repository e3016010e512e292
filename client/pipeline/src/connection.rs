//! The control socket, as a client uses it: one question, one answer, in order.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use coldshoe_control::client::{Body, Envelope, Hello, SessionFault, Steer, WorkerReplaced};
use coldshoe_control::{Received, Receiver, RecvError, SendError, Trouble, try_send};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};

use crate::Error;

const SOFTWARE: &str = concat!("coldshoe ", env!("CARGO_PKG_VERSION"));
/// Longer than the daemon gives a worker, so that its own verdict arrives first.
const PATIENCE: Duration = Duration::from_secs(10);
/// Notices that are kept while something else is awaited.
const NOTICES: usize = 16;

/// A connection to a daemon.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    receiver: Receiver,
    serial: u32,
    /// What came while something else was awaited.
    notices: VecDeque<Notice>,
}

/// What a daemon says without being asked.
#[derive(Debug)]
pub(crate) enum Notice {
    Fault(SessionFault),
    Replaced(WorkerReplaced, Vec<OwnedFd>),
    Steer(Steer),
}

/// What became of a request that is not waited for.
#[expect(
    clippy::large_enum_variant,
    reason = "moved once or twice, off the frame path"
)]
#[derive(Debug)]
pub(crate) enum Answer {
    Pending,
    Body(Body, Vec<OwnedFd>),
    Refused(Trouble),
}

impl Connection {
    /// Connects and says Hello.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut connection = Self::connect(path, SocketFlags::CLOEXEC)?;
        match connection.ask(hello(), &[])?.0 {
            Body::Hello(_) => Ok(connection),
            other => Err(Error::Unexpected("Hello", other.kind())),
        }
    }

    /// Connects without waiting for anything, and says Hello.
    pub(crate) fn begin(path: &Path) -> Result<Self, Error> {
        let mut connection = Self::connect(path, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        connection.request(hello(), &[])?;
        Ok(connection)
    }

    fn connect(path: &Path, flags: SocketFlags) -> Result<Self, Error> {
        let unreachable = |error: rustix::io::Errno| Error::Unreachable {
            path: path.to_owned(),
            source: error.into(),
        };
        let address = SocketAddrUnix::new(path).map_err(unreachable)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(unreachable)?;
        connect(&socket, &address).map_err(unreachable)?;
        Ok(Self {
            socket,
            receiver: Receiver::new(),
            serial: 0,
            notices: VecDeque::new(),
        })
    }

    /// Sends a request, without waiting for room or for its answer.
    pub(crate) fn request(&mut self, body: Body, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        self.serial = self.serial.wrapping_add(1).max(1);
        let request = Envelope::new(self.serial, body);
        try_send(self.socket.as_fd(), &request, fds).map_err(Error::Send)
    }

    /// The answer to the last request, if it is there.
    pub(crate) fn answer(&mut self) -> Result<Answer, Error> {
        loop {
            let (serial, body, fds) = match self.receive() {
                Err(RecvError::WouldBlock) => return Ok(Answer::Pending),
                received => received?,
            };
            match body {
                Body::SessionFault(fault) => self.note(Notice::Fault(fault)),
                Body::WorkerReplaced(replaced) => self.note(Notice::Replaced(replaced, fds)),
                Body::Steer(steer) => self.note(Notice::Steer(steer)),
                // Serial 0: the daemon could not tell what it refused.
                Body::Error(error) if serial == self.serial || serial == 0 => {
                    return Ok(Answer::Refused(error.into()));
                }
                body if serial == self.serial => return Ok(Answer::Body(body, fds)),
                // The late answer to a question that was given up.
                _ => {}
            }
        }
    }

    /// Says something that is not answered. What cannot be said at once is not said.
    pub(crate) fn tell(&self, body: Body) -> bool {
        try_send(self.socket.as_fd(), &Envelope::new(0, body), &[]).is_ok()
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
            match self.answer()? {
                Answer::Pending => self.sleep(kind, PollFlags::IN, deadline)?,
                Answer::Body(body, fds) => return Ok((body, fds)),
                Answer::Refused(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// What the daemon said without being asked, if there is something. Never waits.
    pub(crate) fn notice(&mut self) -> Result<Option<Notice>, RecvError> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Ok(Some(notice));
            }
            match self.receive() {
                Ok((_, Body::SessionFault(fault), _)) => self.note(Notice::Fault(fault)),
                Ok((_, Body::WorkerReplaced(replaced), fds)) => {
                    self.note(Notice::Replaced(replaced, fds));
                }
                Ok((_, Body::Steer(steer), _)) => self.note(Notice::Steer(steer)),
                Ok(_) => {}
                Err(RecvError::WouldBlock) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The newest are what counts. Of what steers, the newest alone.
    fn note(&mut self, notice: Notice) {
        if matches!(notice, Notice::Steer(_)) {
            self.notices
                .retain(|earlier| !matches!(earlier, Notice::Steer(_)));
        }
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
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

fn hello() -> Body {
    Hello::offer(&[], SOFTWARE).into()
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
            notices: VecDeque::new(),
        };
        let mut ask = || connection.ask(Hello::offer(&[], SOFTWARE).into(), &[]);
        assert!(matches!(ask(), Err(Error::Refused(told)) if told == reason));
        assert!(matches!(ask(), Err(Error::Send(SendError::Closed))));
    }
}
