//! What may pass between a host and a worker.
//!
//! The host is trusted, and its messages go to the worker as they are. Of the worker's, answers pass if
//! a call waits for them, events if they are due, and both if they are well formed. What comes at the
//! wrong time is dropped; what no worker of libcamera's says is a fault, after which nothing of this
//! worker is heard. A new worker is told what made the last one what it was, and then what is
//! unanswered.

mod host;
mod succession;
mod worker;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Wrong;
use crate::buffers::Buffers;
use crate::handles::Handles;
use crate::interface::Dialect;
use crate::message::{Frames, Message};
use crate::record::{Record, Said};

/// The command that ends a worker.
const EXIT: u32 = 0;
/// Messages of the host that may wait for a worker: some seconds of a fast camera.
const MAX_WAITING: usize = 1024;
/// Events that a call may cause: interfaces have seven at most, each once or twice.
const EVENTS_PER_CALL: u32 = 8;

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For an answer. Twice that, and the time that a new worker takes, must be less than
    /// libcamera's 2 s.
    pub answer: Duration,
    /// After this a host has given up waiting, and would take an answer for an event. A worker that
    /// takes another one's place has as long for init() as the first one had.
    pub patience: Duration,
    /// Messages of one worker that are dropped before it is at fault.
    pub drops: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_millis(900),
            patience: Duration::from_millis(1950),
            drops: 16,
        }
    }
}

/// What becomes of a worker's datagram.
#[derive(Debug)]
pub enum Verdict<F> {
    /// It is the first of a message.
    Half,
    /// The host gets this.
    Pass(Message<F>),
    /// The host has had it from another worker.
    Swallowed,
    /// The host does not get it.
    Dropped(Wrong),
    /// Nothing of this worker is heard any more: it must be replaced.
    Fault(Wrong),
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages of workers that the host got.
    pub passed: u64,
    /// Messages that it did not get.
    pub dropped: u64,
    /// Workers that were replaced.
    pub replaced: u64,
}

/// A message of the host's on its way.
#[derive(Debug)]
struct Waiting<F> {
    order: u64,
    message: Message<F>,
    /// When the host said it.
    since: Instant,
    /// Another worker has had it.
    again: bool,
}

/// A call that the host waits for.
#[derive(Debug)]
struct Pending<F> {
    order: u64,
    said: Said<F>,
    /// As the host said it.
    original: Message<F>,
    ids: Vec<Vec<u8>>,
    /// When the host said it.
    since: Instant,
    due: Option<Instant>,
    /// The host has called again meanwhile, and hears the answer no more.
    given_up: bool,
}

/// A call that the host does not wait for.
#[derive(Debug)]
struct Unanswered<F> {
    order: u64,
    original: Message<F>,
    awaited: Option<Awaited>,
}

/// The event that answers a call.
#[derive(Debug)]
struct Awaited {
    /// The field that both have in common.
    field: Option<Vec<u8>>,
    due: Instant,
    /// The buffer that is filled then.
    fills: Option<u32>,
}

#[derive(Debug)]
enum Phase<F> {
    Live,
    /// A new worker is told these, and answers the first.
    Replay {
        left: VecDeque<Said<F>>,
        asked: bool,
        due: Instant,
    },
}

/// Between a host and its worker. `F` is a descriptor, and `B` what is behind those of buffers.
#[derive(Debug)]
pub struct Firewall<F, B = ()> {
    dialect: Option<Dialect>,
    limits: Limits,
    buffers: B,
    /// What the worker writes is what its contract is about.
    is_contracted: bool,
    handles: Handles,
    record: Record<F>,
    from_host: Frames,
    from_worker: Frames,
    /// Of the host's messages those that the worker has not got.
    waiting: VecDeque<Waiting<F>>,
    order: u64,
    pending: VecDeque<Pending<F>>,
    unanswered: VecDeque<Unanswered<F>>,
    phase: Phase<F>,
    initialised: bool,
    /// This worker, too.
    loaded: bool,
    credit: u32,
    strikes: u32,
    counts: Counts,
    sensor: Option<String>,
    /// The call with the cookie of events was answered too late, and the host has said nothing since: it
    /// may wait for that all the same.
    may_wait_for_0: bool,
    /// Why the interface is not what it was taken for.
    strange: Option<Wrong>,
}

impl<F, B: Buffers<F>> Firewall<F, B> {
    /// Without a dialect, messages are looked at no deeper than their framing, commands and cookies.
    #[must_use]
    pub fn new(dialect: Option<Dialect>, limits: Limits, buffers: B) -> Self {
        Self {
            is_contracted: true,
            dialect,
            limits,
            buffers,
            handles: Handles::default(),
            record: Record::default(),
            from_host: Frames::default(),
            from_worker: Frames::default(),
            waiting: VecDeque::new(),
            order: 0,
            pending: VecDeque::new(),
            unanswered: VecDeque::new(),
            phase: Phase::Live,
            initialised: false,
            loaded: false,
            credit: EVENTS_PER_CALL,
            strikes: 0,
            counts: Counts::default(),
            sensor: None,
            may_wait_for_0: false,
            strange: None,
        }
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What is behind the buffers.
    #[must_use]
    pub fn buffers(&self) -> &B {
        &self.buffers
    }

    /// Whether what is in messages is looked at, too.
    #[must_use]
    pub fn is_deep(&self) -> bool {
        self.dialect.is_some()
    }

    /// Why it is not looked at any more, once.
    pub fn strange(&mut self) -> Option<Wrong> {
        self.strange.take()
    }

    /// The sensor that the host has named in init().
    #[must_use]
    pub fn sensor(&self) -> Option<&str> {
        self.sensor.as_deref()
    }

    /// Whether a worker has answered init().
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.initialised
    }

    /// Whether this worker has answered init().
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether more of the host's messages can wait. When they came is known of those alone that have
    /// been taken from its socket: an answer to one that was left there could come too late and pass.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Whether the host's messages have to wait.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || matches!(self.phase, Phase::Replay { .. })
    }

    /// When [`Self::overdue`] is worth asking.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let pending = self.pending.iter().filter_map(|pending| pending.due);
        let awaited = self
            .unanswered
            .iter()
            .filter_map(|call| call.awaited.as_ref().map(|awaited| awaited.due));
        let replay = match self.phase {
            Phase::Replay { due, .. } => Some(due),
            Phase::Live => None,
        };
        pending.chain(awaited).chain(replay).min()
    }

    /// The call that has not been answered in time.
    #[must_use]
    pub fn overdue(&self, now: Instant) -> Option<Wrong> {
        let answer = self.limits.answer.as_millis();
        if let Phase::Replay { due, .. } = self.phase {
            let why = "what the worker before was told takes it too long";
            return (due <= now).then(|| Wrong::new(why));
        }
        let late = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let pending = self.pending.iter().filter(|pending| late(pending.due));
        let pending = pending.map(|pending| pending.original.command());
        let awaited = self.unanswered.iter();
        let awaited = awaited.filter(|call| late(call.awaited.as_ref().map(|awaited| awaited.due)));
        let awaited = awaited.map(|call| call.original.command());
        let command = pending.chain(awaited).next()?;
        let call = self
            .dialect
            .as_ref()
            .and_then(|dialect| dialect.call(command));
        let name = call.map_or_else(
            || format!("call {command}"),
            |call| format!("{}()", call.name),
        );
        Some(Wrong::new(format!("{name} is not answered in {answer} ms")))
    }
}
