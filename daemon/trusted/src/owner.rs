//! Who opened a session.

use std::os::fd::AsFd;

use rustix::net::sockopt::socket_peercred;

/// Whose a session is: as the kernel says, but for what the program calls itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) pid: u32,
    /// Name and version of its program.
    pub(crate) software: String,
}

impl Owner {
    /// Whoever is at the other end of a connection. Where nobody is, or the kernel does not say, it
    /// counts as the daemon's own user.
    pub(crate) fn of(socket: Option<impl AsFd>, software: String) -> Self {
        let peer = socket.and_then(|socket| socket_peercred(socket).ok());
        match peer {
            Some(peer) => Self {
                uid: peer.uid.as_raw(),
                pid: peer.pid.as_raw_nonzero().get().unsigned_abs(),
                software,
            },
            None => Self {
                uid: rustix::process::geteuid().as_raw(),
                pid: 0,
                software,
            },
        }
    }
}
