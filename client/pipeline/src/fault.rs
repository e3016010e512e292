//! How a session does, and what went wrong.

use std::fmt;

use coldshoe_control::Trouble;
use coldshoe_control::client::{ErrorCode, FaultReason, SessionFault};

/// How a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Answers come.
    Running,
    /// The last answers were missed: three in a row at least.
    Degraded,
    /// The worker failed. Another one is on its way; the last parameters hold meanwhile.
    Replacing,
    /// The module failed too often, and nothing stands in for it. The last parameters hold until it
    /// is released, or the session is closed.
    Quarantined,
}

/// A worker that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// Why, for programs.
    pub reason: FaultReason,
    /// Name of the module that it ran.
    pub module: String,
    /// Which worker of the session it was, from 1.
    pub generation: u32,
    /// Number of the last frame that it was given; 0: none.
    pub frame: u64,
    /// What happened, why, and what to do, for people.
    pub trouble: Trouble,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trouble.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl From<SessionFault> for Fault {
    fn from(fault: SessionFault) -> Self {
        Self {
            reason: fault.reason(),
            module: fault.module.clone(),
            generation: fault.generation,
            frame: fault.frame,
            trouble: fault.into(),
        }
    }
}

impl Fault {
    /// Of a worker whose daemon cannot tell any more.
    pub(crate) fn untold(module: &str, generation: u32, trouble: Trouble) -> Self {
        Self {
            reason: FaultReason::Unspecified,
            module: module.to_owned(),
            generation,
            frame: 0,
            trouble,
        }
    }

    pub(crate) fn daemon_gone(why: impl fmt::Display) -> Trouble {
        Trouble::new(
            ErrorCode::Internal,
            "the daemon is gone",
            why.to_string(),
            "restart coldshoed: the session goes on with it",
        )
    }
}
