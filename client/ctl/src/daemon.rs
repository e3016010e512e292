//! Talking to a running daemon.

use std::path::PathBuf;

use clap::Args;
use coldshoe::{ErrorCode, Overview, default_socket};

/// Which daemon.
#[derive(Args)]
pub(crate) struct Daemon {
    /// Control socket of the daemon [default: $XDG_RUNTIME_DIR/coldshoe/control.sock, else
    /// /run/coldshoe/control.sock]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

/// Why a daemon cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Error(#[from] coldshoe::Error);

impl Error {
    /// Exit code: 4 without a daemon, 5 if it does not want us, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match &self.0 {
            coldshoe::Error::Unreachable { .. } | coldshoe::Error::NoSocket => 4,
            coldshoe::Error::Refused(trouble) if trouble.code == ErrorCode::Denied => 5,
            _ => 1,
        }
    }
}

impl Daemon {
    pub(crate) fn ask(&self) -> Result<Overview, Error> {
        let socket = self.socket.clone().map_or_else(default_socket, Ok)?;
        Ok(Overview::connect(&socket)?)
    }
}
