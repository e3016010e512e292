//! The control socket: one daemon on it, many clients.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::cgroup::Cgroups;
use crate::history::History;
use crate::jailer::Jailer;
use crate::place::{Place, PlaceError};
use crate::registry::Registry;
use crate::session::Context;
use crate::trust::TrustStore;
use crate::{Config, CpuList, channel, connection};

const SOCKET: &str = "control.sock";
const LOCK: &str = "control.lock";
const BACKLOG: i32 = 64;

/// Why a daemon cannot serve. Each message says what, why and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Nobody said where.
    #[error(
        "no place for the control socket\n  why: XDG_RUNTIME_DIR is not set\n  try: give --runtime-dir DIR"
    )]
    NoRuntimeDir,
    /// Nobody said where, again.
    #[error(
        "no place for the state of coldshoed\n  why: neither XDG_STATE_HOME nor HOME is set\n  try: give --state-dir DIR"
    )]
    NoStateDir,
    /// What modules are trusted is kept where somebody else could change it, or cannot be kept.
    #[error(
        "the state directory {} cannot be used\n  why: {why}\n  try: {remedy}, or give another --state-dir", dir.display()
    )]
    State {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// Another daemon is there.
    #[error(
        "another coldshoed serves {}\n  why: it holds the lock beside its socket\n  try: stop it, or give another --runtime-dir", .0.display()
    )]
    AlreadyServed(PathBuf),
    /// The runtime directory belongs to somebody else.
    #[error(
        "the runtime directory {} is not safe\n  why: {why}\n  try: give a --runtime-dir that only you can write", dir.display()
    )]
    Unsafe {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Processors cannot be set aside.
    #[error("processors {0} cannot be set aside\n  why: {1}\n  try: name others in --reserve-cpus")]
    Reserve(CpuList, String),
    /// The kernel refused.
    #[error("cannot {step} {}\n  why: {source}\n  try: check the directory and its permissions", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The jail cannot be built.
    #[error(
        "cannot build the jail\n  why: {0}\n  try: see policy/jail; nothing is loaded without it"
    )]
    Jail(String),
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    sessions: Arc<Semaphore>,
    last_session: AtomicU64,
}

impl Shared {
    /// Only the daemon's own user and root may talk to it.
    pub(crate) fn admit(&self, socket: BorrowedFd<'_>) -> Result<(), Trouble> {
        let denied = |why: String| {
            Trouble::new(
                ErrorCode::Denied,
                "the client is not welcome",
                why,
                "run a coldshoed of your own, or use one that serves you",
            )
        };
        let peer = socket_peercred(socket)
            .map_err(|error| denied(format!("the kernel does not say who it is: {error}")))?;
        let own = rustix::process::geteuid();
        if peer.uid != own && !peer.uid.is_root() {
            let (peer, own) = (peer.uid.as_raw(), own.as_raw());
            return Err(denied(format!(
                "this daemon serves user {own}, the client is user {peer}"
            )));
        }
        Ok(())
    }

    pub(crate) fn session_permit(&self) -> Result<OwnedSemaphorePermit, Trouble> {
        Arc::clone(&self.sessions).try_acquire_owned().map_err(|_| {
            Trouble::new(
                ErrorCode::Limit,
                "no session is free",
                format!("all {} are open", self.context.config.max_sessions),
                "close a session that is not needed",
            )
        })
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.last_session.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A daemon with its socket bound, ready to serve.
pub struct Server {
    listener: AsyncFd<OwnedFd>,
    socket: PathBuf,
    shared: Arc<Shared>,
    /// Held as long as this daemon serves.
    _lock: File,
}

impl Server {
    /// Takes the runtime directory's lock, binds its socket, builds the jail, and then listens. Needs
    /// a tokio runtime.
    pub fn bind(config: Config) -> Result<Self, ServeError> {
        let dir = config.runtime_dir.clone().ok_or(ServeError::NoRuntimeDir)?;
        make_private(&dir)?;
        let lock = lock(&dir)?;
        let path = dir.join(SOCKET);
        let socket = bound(&path)?;
        let (registry, history, state) = state(&config)?;
        tokio::spawn(Arc::clone(&history).keep(state));
        let context = Context {
            registry,
            history,
            roster: Arc::default(),
            jailer: Jailer::new(&config)?,
            cgroups: Cgroups::discover(),
            config,
        };
        let shared = Shared {
            sessions: Arc::new(Semaphore::new(context.config.max_sessions)),
            last_session: AtomicU64::new(0),
            context: Arc::new(context),
        };
        // Last: whoever can connect is served at once.
        let listener = listening(socket, &path)?;
        tracing::info!(socket = %path.display(), "ready");
        Ok(Self {
            listener,
            socket: path,
            shared: Arc::new(shared),
            _lock: lock,
        })
    }

    /// Path of the control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Serves until `stop` resolves; then ends every session, waits for its worker to be gone, and
    /// removes the socket.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        let max_clients = self.shared.context.config.max_clients;
        tokio::pin!(stop);
        loop {
            let client = tokio::select! {
                client = self.accept() => client,
                Some(_) = clients.join_next() => continue,
                () = &mut stop => break,
            };
            // Those that have gone make room, whichever was noticed first.
            while clients.try_join_next().is_some() {}
            match client {
                Ok(socket) if clients.len() >= max_clients => {
                    tracing::warn!("client turned away: too many at a time");
                    connection::turn_away(&socket, max_clients);
                }
                Ok(socket) => {
                    let serve =
                        connection::serve(socket, Arc::clone(&self.shared), stopped.clone());
                    clients.spawn(serve);
                }
                Err(error) => {
                    tracing::error!(%error, "cannot accept");
                    // Out of descriptors, most likely: the next try at once would spin.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
        tracing::info!("stopping");
        stopping.send_replace(true);
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::warn!(%error, socket = %self.socket.display(), "socket not removed");
        }
        while clients.join_next().await.is_some() {}
    }

    async fn accept(&self) -> io::Result<OwnedFd> {
        loop {
            let mut ready = self.listener.readable().await?;
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(&self.listener, flags) {
                Ok(socket) => return Ok(socket),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What the state directory holds: trust, and the history of faults.
fn state(config: &Config) -> Result<(Registry, Arc<History>, Place), ServeError> {
    let dir = config.state_dir.as_deref().ok_or(ServeError::NoStateDir)?;
    let own = rustix::process::geteuid();
    let unusable = |error: PlaceError| ServeError::State {
        dir: dir.to_owned(),
        why: error.to_string(),
        remedy: error.remedy(),
    };
    let trust = TrustStore::open(dir, own).map_err(unusable)?;
    let place = Place::open(dir, own).map_err(unusable)?;
    let registry = Registry::new(
        &config.module_dirs,
        &config.installed_module_dirs,
        trust,
        own,
    );
    let history = History::open(dir, own, config.patience.sessions);
    Ok((registry, Arc::new(history), place))
}

/// The runtime directory, mode 0700 and ours.
fn make_private(dir: &Path) -> Result<(), ServeError> {
    let io = |step| {
        move |source| ServeError::Io {
            step,
            path: dir.to_owned(),
            source,
        }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io("create"))?;
    let stat = rustix::fs::lstat(dir).map_err(|error| io("look at")(error.into()))?;
    let own = rustix::process::geteuid().as_raw();
    let unsafe_because = |why: String| ServeError::Unsafe {
        dir: dir.to_owned(),
        why,
    };
    if stat.st_uid != own {
        return Err(unsafe_because(format!(
            "it belongs to user {}",
            stat.st_uid
        )));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(unsafe_because("others may write to it".to_owned()));
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, ServeError> {
    let path = dir.join(LOCK);
    let io = |step| {
        let path = path.clone();
        move |source| ServeError::Io { step, path, source }
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io("open"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::AGAIN) => Err(ServeError::AlreadyServed(dir.to_owned())),
        Err(error) => Err(io("lock")(error.into())),
    }
}

/// Binds the socket. One that is there already was left by a daemon that died: the lock is ours.
fn bound(path: &Path) -> Result<OwnedFd, ServeError> {
    let io = |step| failed(step, path);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io("replace")(error));
        }
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let address = SocketAddrUnix::new(path).map_err(|error| io("name")(error.into()))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|error| io("make")(error.into()))?;
    bind(&socket, &address).map_err(|error| io("bind")(error.into()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(io("protect"))?;
    Ok(socket)
}

/// Lets clients in.
fn listening(socket: OwnedFd, path: &Path) -> Result<AsyncFd<OwnedFd>, ServeError> {
    listen(socket.as_fd(), BACKLOG).map_err(|error| failed("listen on", path)(error.into()))?;
    channel::watch(socket).map_err(failed("watch", path))
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServeError {
    let path = path.to_owned();
    move |source| ServeError::Io { step, path, source }
}
