//! coldshoed, as the relay uses it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coldshoe_control::client::{
    Body, Envelope, ErrorCode, FaultReason, Hello, Initialised, LIBCAMERA, OpenLibcamera,
    ReplaceWorker, Withheld,
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
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

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

/// A worker in its jail.
pub(crate) struct Worker {
    pub(crate) socket: OwnedFd,
    /// Of the libcamera that it is of; empty: unknown.
    pub(crate) series: String,
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

    /// One that has said Hello.
    #[cfg(test)]
    pub(crate) fn greeted(socket: OwnedFd) -> Self {
        Self {
            socket,
            receiver: Receiver::new(),
            session: 1,
        }
    }

    /// Asks for a worker of libcamera's.
    pub(crate) fn open(&mut self, ipa: &str, module: &str) -> Result<Worker, Error> {
        let request = OpenLibcamera {
            ipa: ipa.to_owned(),
            module: module.to_owned(),
        };
        self.say(2, request)?;
        self.worker()
    }

    /// Asks for another one, which is overheard within [`PATIENCE`].
    pub(crate) fn replace(&mut self, reason: FaultReason, why: String) -> Result<(), Error> {
        let request = ReplaceWorker {
            session: self.session,
            reason: reason.into(),
            why,
        };
        self.say(3, request)
    }

    fn worker(&mut self) -> Result<Worker, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (body, fds) = self.answer(left)?;
            if let Some(worker) = self.opened(body, fds)? {
                return Ok(worker);
            }
        }
    }

    fn opened(&mut self, body: Body, fds: Vec<OwnedFd>) -> Result<Option<Worker>, Error> {
        match body {
            Body::LibcameraOpened(opened) => {
                self.session = opened.session;
                let missing = || Error::Daemon("the worker's socket is missing".to_owned());
                let socket = fds.into_iter().next().ok_or_else(missing)?;
                let series = opened.series;
                Ok(Some(Worker { socket, series }))
            }
            Body::SessionFault(fault) if fault.quarantined => {
                let code = ErrorCode::ModuleFailed;
                let trouble = Trouble::new(code, fault.what, fault.why, fault.remedy);
                Err(Error::Refused(trouble))
            }
            // It sees the end of the worker, too.
            Body::SessionFault(_) | Body::Done(_) => Ok(None),
            other => Err(unexpected(&other)),
        }
    }

    /// The worker has answered init().
    pub(crate) fn initialised(&self, sensor: Option<&str>) -> Result<(), Error> {
        let session = self.session;
        let sensor = sensor.unwrap_or_default().to_owned();
        self.say(0, Initialised { session, sensor })
    }

    /// So many messages have not passed, or they are not looked at.
    pub(crate) fn withheld(&self, messages: u64, why: String, shallow: bool) -> Result<(), Error> {
        let session = self.session;
        let withheld = Withheld {
            session,
            messages,
            why,
            shallow,
        };
        self.say(0, withheld)
    }

    /// What is said while nobody waits: of that, another worker alone has to be known.
    pub(crate) fn overheard(&mut self) -> Result<Option<Worker>, Error> {
        match self.answer(Duration::ZERO) {
            Ok((body, fds)) => self.opened(body, fds),
            Err(Error::Patience) => Ok(None),
            Err(error) => Err(error),
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
                return Err(Error::Patience);
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
