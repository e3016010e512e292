//! Messages between a daemon and the keeper of its workers.

pub use crate::wire::coldshoe::keeper::v1::envelope::Body;
pub use crate::wire::coldshoe::keeper::v1::*;

use crate::check::{self, Check, Invalid};
use crate::codec::Message;

/// Most process numbers in a [`Retain`].
const MAX_PIDS: usize = 1024;

impl Envelope {
    /// Wraps a message and declares the descriptors that it requires.
    #[must_use]
    pub fn new(serial: u32, body: Body) -> Self {
        Self {
            serial,
            fds: body.fds(),
            body: Some(body),
        }
    }
}

impl Body {
    /// Number of descriptors that must travel with this message.
    #[must_use]
    pub fn fds(&self) -> u32 {
        match self {
            Self::Spawn(_) => 3,
            Self::Started(_) => 1,
            Self::Retain(_)
            | Self::Ping(_)
            | Self::NotStarted(_)
            | Self::Here(_)
            | Self::Ended(_) => 0,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Spawn(_) => "Spawn",
            Self::Retain(_) => "Retain",
            Self::Ping(_) => "Ping",
            Self::Started(_) => "Started",
            Self::NotStarted(_) => "NotStarted",
            Self::Here(_) => "Here",
            Self::Ended(_) => "Ended",
        }
    }

    fn validate(&self) -> Check {
        match self {
            Self::Spawn(spawn) => check::path("program", &spawn.program),
            Self::Retain(retain) => check::at_most("pids", &retain.pids, MAX_PIDS),
            Self::NotStarted(not) => check::text("why", &not.why),
            Self::Started(Started { pid }) | Self::Here(Here { pid }) => positive(*pid),
            Self::Ended(ended) => positive(ended.pid),
            Self::Ping(_) => Ok(()),
        }
    }
}

fn positive(pid: i32) -> Check {
    match pid > 0 {
        true => Ok(()),
        false => Err(Invalid::new("pid", "is no process number")),
    }
}

impl Message for Envelope {
    fn serial(&self) -> u32 {
        self.serial
    }

    fn declared_fds(&self) -> u32 {
        self.fds
    }

    fn required_fds(&self) -> Option<u32> {
        self.body.as_ref().map(Body::fds)
    }

    fn kind(&self) -> &'static str {
        self.body.as_ref().map_or("empty envelope", Body::kind)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.body.as_ref().map_or(Ok(()), Body::validate)
    }
}
