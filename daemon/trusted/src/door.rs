//! The control socket: the daemon's own, or one that the service manager passed.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, fcntl_setfl, flock};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname, listen,
    socket_with,
};
use tokio::io::unix::AsyncFd;

use crate::channel;
use crate::guest::OpenTo;
use crate::server::ServeError;
use crate::store::Store;

const SOCKET: &str = "control.sock";
const LOCK: &str = "control.lock";
const BACKLOG: i32 = 64;

/// Where clients come in.
pub(crate) struct Door {
    path: PathBuf,
    open_to: OpenTo,
    socket: Socket,
    /// Held as long as this daemon serves, where the directory is its own.
    _lock: Option<File>,
}

enum Socket {
    /// Listens already, and stays when the daemon ends.
    Passed(OwnedFd),
    /// Is only bound as yet.
    Own(OwnedFd),
}

impl Door {
    /// Takes what was passed; else takes the runtime directory's lock and binds a socket there.
    pub(crate) fn find(dir: Option<&Path>, passed: Option<OwnedFd>) -> Result<Self, ServeError> {
        if let Some(socket) = passed {
            let path = path_of(&socket).map_err(ServeError::Passed)?;
            let dir = path.parent().unwrap_or(Path::new("/"));
            let lock = match is_own(dir) {
                true => Some(lock(dir)?),
                // Nobody but the service manager can make a socket there.
                false => None,
            };
            return Ok(Self {
                open_to: OpenTo::whom(&path),
                path,
                socket: Socket::Passed(socket),
                _lock: lock,
            });
        }
        let dir = dir.ok_or(ServeError::NoRuntimeDir)?;
        make_private(dir)?;
        let lock = lock(dir)?;
        let path = dir.join(SOCKET);
        Ok(Self {
            socket: Socket::Own(bound(&path)?),
            open_to: OpenTo::Own,
            path,
            _lock: Some(lock),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn open_to(&self) -> OpenTo {
        self.open_to
    }

    /// Lets clients in.
    pub(crate) fn open(&self, store: Store) -> Result<AsyncFd<OwnedFd>, ServeError> {
        let io = |step| failed(step, &self.path);
        let copy = |socket: &OwnedFd| socket.try_clone();
        match &self.socket {
            Socket::Passed(socket) => {
                channel::watch(copy(socket).map_err(io("copy"))?).map_err(io("watch"))
            }
            Socket::Own(socket) => {
                listen(socket, BACKLOG).map_err(|error| io("listen on")(error.into()))?;
                store.keep("control", socket.as_fd());
                channel::watch(copy(socket).map_err(io("copy"))?).map_err(io("watch"))
            }
        }
    }

    /// Removes a socket of the daemon's own: one that was passed is listened on by who passed it.
    pub(crate) fn close(&self) {
        if let Socket::Own(_) = self.socket
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, socket = %self.path.display(), "socket not removed");
        }
    }
}

/// The path of a socket that was passed, if it is one that clients can come through.
fn path_of(socket: &OwnedFd) -> Result<PathBuf, String> {
    let wrong = |error: Errno| format!("it is no socket: {error}");
    if socket_type(socket).map_err(wrong)? != SocketType::SEQPACKET {
        return Err("it is not of the type SEQPACKET".to_owned());
    }
    if !socket_acceptconn(socket).map_err(wrong)? {
        return Err("nobody listens on it".to_owned());
    }
    let address = getsockname(socket).map_err(wrong)?;
    let address = SocketAddrUnix::try_from(address).map_err(|_| "it is no Unix socket")?;
    let path = address.path_bytes().ok_or("it has no path")?;
    // Systemd passes sockets that wait, and a client can be gone before it is accepted.
    let flags = fcntl_getfl(socket).map_err(wrong)?;
    fcntl_setfl(socket, flags | OFlags::NONBLOCK).map_err(wrong)?;
    let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(path);
    Ok(path.into())
}

fn is_own(dir: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    rustix::fs::lstat(dir).is_ok_and(|stat| stat.st_uid == own)
}

/// Whether somebody can be reached through a socket that is there already.
fn is_listened_on(path: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok(address) = SocketAddrUnix::new(path) else {
        return false;
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    match socket.and_then(|socket| connect(&socket, &address)) {
        // So many come that there is no room.
        Err(Errno::AGAIN) | Ok(()) => true,
        Err(_) => false,
    }
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

/// Binds the socket. One that is there already and that nobody listens on was left by a daemon that
/// died: the lock is ours. A service manager that listens for its daemon holds none.
fn bound(path: &Path) -> Result<OwnedFd, ServeError> {
    let io = |step| failed(step, path);
    if is_listened_on(path) {
        return Err(ServeError::AlreadyServed(path.to_owned()));
    }
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

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServeError {
    let path = path.to_owned();
    move |source| ServeError::Io { step, path, source }
}
