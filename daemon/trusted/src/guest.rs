//! Who talks to the daemon, by the kernel's word, and what of it is his.

use std::os::fd::BorrowedFd;
use std::path::Path;

use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;
use rustix::fs::Uid;
use rustix::net::sockopt::socket_peercred;

/// Whom a daemon serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenTo {
    /// Its own user and root.
    Own,
    /// Whoever may open its socket: the service manager made it for a group, or for everybody.
    All,
}

impl OpenTo {
    /// By the mode of a socket that the daemon did not make itself.
    pub(crate) fn whom(socket: &Path) -> Self {
        match rustix::fs::lstat(socket) {
            Ok(stat) if stat.st_mode & 0o022 != 0 => Self::All,
            _ => Self::Own,
        }
    }
}

/// A client's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    uid: Uid,
    /// His process; 0: none that is known.
    pid: u32,
    host: bool,
}

impl Guest {
    /// Who is at the other end, if he may be.
    pub(crate) fn admit(socket: BorrowedFd<'_>, open_to: OpenTo) -> Result<Self, Trouble> {
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
        let host = peer.uid == own || peer.uid.is_root();
        if !host && open_to == OpenTo::Own {
            let (peer, own) = (peer.uid.as_raw(), own.as_raw());
            return Err(denied(format!(
                "this daemon serves user {own}, the client is user {peer}"
            )));
        }
        Ok(Self {
            uid: peer.uid,
            pid: peer.pid.as_raw_nonzero().get().unsigned_abs(),
            host,
        })
    }

    /// Whom all is shown.
    pub(crate) fn host() -> Self {
        Self {
            uid: rustix::process::geteuid(),
            pid: 0,
            host: true,
        }
    }

    /// Somebody who is not the host.
    #[cfg(test)]
    pub(crate) fn stranger(uid: u32) -> Self {
        Self {
            uid: Uid::from_raw(uid),
            pid: 0,
            host: false,
        }
    }

    /// His user id.
    pub(crate) fn uid(self) -> u32 {
        self.uid.as_raw()
    }

    /// The process that connected.
    pub(crate) fn pid(self) -> u32 {
        self.pid
    }

    /// Whether all is his: he is root or the daemon's own user.
    pub(crate) fn is_host(self) -> bool {
        self.host
    }

    /// Whether what belongs to this user is for him to see, and to change.
    pub(crate) fn may(self, owner: u32) -> bool {
        self.host || self.uid() == owner
    }
}
