//! What became of a frame.

use std::fmt;

use coldshoe_frame::{Metadata, Wanted};

/// What a module answered, checked and in private memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    /// Number of the frame that it answers.
    pub frame: u64,
    /// Parameter buffer: those of the module's blocks that the contract allows. What is not there stays
    /// as it was. Empty until the module has sent the first one.
    pub params: &'a [u8],
    /// Sensor and lens requests, as they are granted.
    pub wanted: Wanted,
    /// What the module says it found out.
    pub metadata: Metadata,
}

/// How waiting for a frame ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome<'a> {
    /// The module has answered in time.
    Fresh(Answer<'a>),
    /// The module has answered, and nobody looked before the deadline had passed. It is the newest
    /// there is; a pipeline that has gone on already leaves it out.
    Late(Answer<'a>),
    /// It has not: go on with what it answered last.
    Held {
        /// The reason.
        why: WhyHeld,
        /// The last good answer, if there has been one.
        last: Option<Answer<'a>>,
    },
    /// The module was not asked: go on with what it answered last.
    Skipped {
        /// The reason.
        why: WhySkipped,
        /// The last good answer, if there has been one.
        last: Option<Answer<'a>>,
    },
}

impl<'a> Outcome<'a> {
    /// The answer to go on with, fresh or not.
    pub fn answer(&self) -> Option<Answer<'a>> {
        match self {
            Self::Fresh(answer) | Self::Late(answer) => Some(*answer),
            Self::Held { last, .. } | Self::Skipped { last, .. } => *last,
        }
    }

    /// Whether the module answered in time.
    pub fn is_fresh(&self) -> bool {
        matches!(self, Self::Fresh(_))
    }
}

/// Why the last parameters stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyHeld {
    /// The deadline has passed.
    Deadline,
    /// The module answered an error to this frame.
    ModuleError,
    /// The answer broke the frame protocol.
    Protocol,
    /// The parameter buffer is malformed, or its contract refuses it whole.
    Malformed,
    /// The worker has failed, and no other one answered before the deadline; see
    /// [`Session::fault`](crate::Session::fault).
    Fault,
    /// The frame is not in flight: waited for already, given up by stopping or because its slot was
    /// needed after its deadline, or of another session.
    NotInFlight,
}

impl fmt::Display for WhyHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the deadline has passed",
            Self::ModuleError => "the module answered an error",
            Self::Protocol => "the worker broke the frame protocol",
            Self::Malformed => "the parameter buffer is malformed",
            Self::Fault => "the worker has failed",
            Self::NotInFlight => "the frame is not in flight",
        })
    }
}

/// Why the module was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhySkipped {
    /// As many frames are in flight as there are slots.
    Full,
    /// The module has failed too often; see [`Session::fault`](crate::Session::fault).
    Fault,
}

impl fmt::Display for WhySkipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "all slots are in flight",
            Self::Fault => "the worker has failed",
        })
    }
}

/// What has happened in a session so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames answered in time.
    pub fresh: u64,
    /// Frames without an answer at their deadline, or given up by stopping.
    pub missed: u64,
    /// Answers that came after that, counted when the frame's slot is used again; and answers
    /// that nobody looked for before their deadline.
    pub late: u64,
    /// Frames that the module was not asked about.
    pub skipped: u64,
    /// Times that the worker woke this side for nothing.
    pub spurious_wakes: u64,
    /// Frames that the module answered with an error.
    pub module_errors: u64,
    /// Answers that broke the frame protocol or carried a parameter buffer that was refused whole.
    pub rejected: u64,
    /// Blocks that the contract does not allow; [`Session::refusals`](crate::Session::refusals) tells
    /// which and why.
    pub refused_blocks: u64,
    /// Sensor or lens requests that were no numbers an actuator can take, or to a lens that is not there.
    pub refused_requests: u64,
    /// Sensor or lens requests that were granted otherwise: beyond the sensor's limits, or faster
    /// than the contract allows.
    pub clamped_requests: u64,
    /// Workers that failed.
    pub faults: u64,
    /// Workers that took over.
    pub replaced: u64,
}
