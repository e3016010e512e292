//! coldshoed, as the relay uses it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coldshoe_control::client::{
    Body, Envelope, ErrorCode, Hello, Initialised, LIBCAMERA, OpenLibcamera,
};
use coldshoe_control::{Received, Receiver, RecvError, Trouble, try_send};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};

use crate::error::Error;

/// The control socket of the system's daemon.
pub(crate) const SYSTEM: &str = "/run/coldshoe/control.sock";
const SOFTWARE: &str = concat!("coldshoe-libcamera ", env!("CARGO_PKG_VERSION"));
/// Longer than the daemon gives a worker, so that its own verdict arrives first.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same with a daemon that knows already why a worker has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The control socket of the user's own daemon if there is one, else the system's.
pub(crate) fn socket() -> Result<PathBuf, Error> {
    let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let own = dir.map(|dir| PathBuf::from(dir).join("coldshoe/control.sock"));
    match own {
        Some(own) if own.exists() => Ok(own),
        _ if Path::new(SYSTEM).exists() => Ok(SYSTEM.into()),
        own => own.ok_or(Error::NoSocket),
    }
}

/// A connection to a daemon.
pub(crate) struct Daemon {
    socket: OwnedFd,
    receiver: Receiver,
    session: u64,
}

impl Daemon {
    /// Connects and says Hello.
    pub(crate) fn connect(path: &Path) -> Result<Self, Error> {
        let unreachable = |error: rustix::io::Errno| Error::Unreachable {
            path: path.to_owned(),
            source: error.into(),
        };
        let address = SocketAddrUnix::new(path).map_err(unreachable)?;
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).map_err(unreachable)?;
        connect(&socket, &address).map_err(unreachable)?;
        let mut daemon = Self {
            socket,
            receiver: Receiver::new(),
            session: 0,
        };
        daemon.say(1, Hello::offer(&[LIBCAMERA], SOFTWARE))?;
        match daemon.answer(PATIENCE)? {
            (Body::Hello(hello), _) if hello.features.iter().any(|name| name == LIBCAMERA) => {
                Ok(daemon)
            }
            (Body::Hello(_), _) => Err(Error::Older),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Asks for a worker of libcamera's; its socket.
    pub(crate) fn open(&mut self, ipa: &str, module: &str) -> Result<OwnedFd, Error> {
        let request = OpenLibcamera {
            ipa: ipa.to_owned(),
            module: module.to_owned(),
        };
        self.say(2, request)?;
        match self.answer(PATIENCE)? {
            (Body::LibcameraOpened(opened), fds) => {
                self.session = opened.session;
                let socket = fds.into_iter().next();
                socket.ok_or_else(|| Error::Daemon("the worker's socket is missing".to_owned()))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The worker has answered init().
    pub(crate) fn initialised(&self) -> Result<(), Error> {
        let session = self.session;
        self.say(0, Initialised { session })
    }

    /// What the daemon says of a worker that has ended: nothing, if it ended as it was told.
    pub(crate) fn last_words(&mut self) -> Result<(), Error> {
        match self.answer(LAST_WORDS)? {
            (Body::Done(_), _) => Ok(()),
            (Body::SessionFault(fault), _) => Err(Error::Refused(Trouble::new(
                ErrorCode::ModuleFailed,
                fault.what,
                fault.why,
                fault.remedy,
            ))),
            (other, _) => Err(unexpected(&other)),
        }
    }

    fn say(&self, serial: u32, body: impl Into<Body>) -> Result<(), Error> {
        try_send(self.socket.as_fd(), &Envelope::new(serial, body), &[])
            .map_err(|error| Error::Daemon(error.to_string()))
    }

    fn answer(&mut self, patience: Duration) -> Result<(Body, Vec<OwnedFd>), Error> {
        let deadline = Instant::now() + patience;
        loop {
            let socket = self.socket.as_fd();
            match self.receiver.recv::<Envelope>(socket, RecvFlags::DONTWAIT) {
                Ok(Received { message, fds }) => match message.body {
                    Some(Body::Error(error)) => return Err(Error::Refused(error.into())),
                    Some(body) => return Ok((body, fds)),
                    None => return Err(Error::Daemon("it says nothing".to_owned())),
                },
                Err(RecvError::WouldBlock) => {}
                Err(error) => return Err(Error::Daemon(error.to_string())),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Daemon(format!("no answer in {patience:?}")));
            }
            let timeout = Timespec::try_from(left).ok();
            let _ = poll(
                &mut [PollFd::new(&self.socket, PollFlags::IN)],
                timeout.as_ref(),
            );
        }
    }
}

impl AsFd for Daemon {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn unexpected(body: &Body) -> Error {
    Error::Daemon(format!("it says {}", body.kind()))
}
