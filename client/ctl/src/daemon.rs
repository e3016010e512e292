//! Talking to a running daemon over its control socket.

use std::path::PathBuf;

use clap::Args;
use coldshoe::{ErrorCode, Overview, SYSTEM_SOCKET, default_socket};

/// Whose daemon: the system's, or the user's own.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Whose {
    /// The system's daemon [default: your own, if it is there]
    #[arg(long)]
    pub(crate) system: bool,
    /// Your own daemon
    #[arg(long, conflicts_with = "system")]
    pub(crate) user: bool,
}

/// Which daemon.
#[derive(Args)]
pub(crate) struct Daemon {
    /// Control socket of the daemon [default: $XDG_RUNTIME_DIR/coldshoe/control.sock, else
    /// /run/coldshoe/control.sock]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["system", "user"])]
    pub(crate) socket: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) whose: Whose,
}

/// Why a daemon cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Error(#[from] coldshoe::Error);

impl Error {
    /// Exit code: 4 without a daemon, 5 if it does not want us, 3 if it has no such thing, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match &self.0 {
            coldshoe::Error::Unreachable { .. } | coldshoe::Error::NoSocket => 4,
            coldshoe::Error::Refused(trouble) => match trouble.code {
                ErrorCode::Denied => 5,
                ErrorCode::NoSuchSession | ErrorCode::NoSuchModule => 3,
                _ => 1,
            },
            _ => 1,
        }
    }
}

impl Whose {
    fn socket(self) -> Result<PathBuf, coldshoe::Error> {
        if self.system {
            return Ok(SYSTEM_SOCKET.into());
        }
        if !self.user {
            return default_socket();
        }
        let dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        dir.map(|dir| PathBuf::from(dir).join("coldshoe/control.sock"))
            .ok_or(coldshoe::Error::NoSocket)
    }
}

impl Daemon {
    pub(crate) fn ask(&self) -> Result<Overview, Error> {
        let socket = self
            .socket
            .clone()
            .map_or_else(|| self.whose.socket(), Ok)?;
        Ok(Overview::connect(&socket)?)
    }
}
