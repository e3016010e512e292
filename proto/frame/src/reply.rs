//! The return segment: replies from the worker to the pipeline.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

use crate::forward::{Forward, Inbox};
use crate::mapping::{Access, Mapping};
use crate::record::{FrameReply, Refused};
use crate::segment::{self, SegmentError};
use crate::{Geometry, clock, futex, monotonic_ns};

/// Not zero while the worker sleeps on the doorbell.
const WORKER_WAITS: usize = 0;

// Slot header, in a line of its own.
const DONE: usize = 0;
const PARAMS_LEN: usize = 8;
const STATUS: usize = 12;

/// After this many wakes that brought nothing, a waiting pipeline stops listening until its
/// deadline: a worker that rings for fun costs a bounded number of wake-ups a frame.
const SPURIOUS_WAKES: u32 = 4;

fn done_word(generation: u32, seq: u64) -> u64 {
    u64::from(generation) << 32 | u64::from(seq as u32)
}

/// How a frame went, as the worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Parameters and requests are there.
    Done,
    /// The module answered an error to this frame.
    ModuleError,
}

impl Status {
    const fn raw(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::ModuleError => 1,
        }
    }
}

/// Why a reply cannot be used: the worker broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Longer than the slot.
    #[error("the worker claims {found} bytes of parameters in a slot of {capacity}")]
    Length {
        /// What it wrote.
        found: u32,
        /// What there is room for.
        capacity: usize,
    },
    /// Not a status.
    #[error("the worker answered with the unknown status {0}")]
    Status(u32),
}

/// A reply, copied out of the segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reply {
    /// How it went.
    pub status: Status,
    /// Requests and findings.
    pub reply: FrameReply,
    /// Requests that were no numbers.
    pub refused: Refused,
    /// Bytes of parameters that were copied out; not validated yet.
    pub params_len: usize,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The reply is there.
    Done,
    /// The deadline has passed.
    Deadline,
}

/// The return segment, as the pipeline sees it.
#[derive(Debug)]
pub struct Replies {
    mapping: Mapping,
    geometry: Geometry,
    generation: u32,
}

impl Replies {
    /// Maps a return segment for reading.
    pub fn map(
        fd: BorrowedFd<'_>,
        geometry: Geometry,
        generation: u32,
    ) -> Result<Self, SegmentError> {
        segment::verify_return(fd, &geometry)?;
        let mapping = Mapping::new(fd, geometry.return_len(), Access::Read)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self {
            mapping,
            geometry,
            generation,
        })
    }

    /// Generation of the worker that writes here.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether the reply to frame `seq` is there.
    pub fn is_done(&self, seq: u64) -> bool {
        self.done(seq, Acquire) == done_word(self.generation, seq)
    }

    /// Sleeps until the reply to `seq` is there or `deadline_ns` (CLOCK_MONOTONIC) has passed,
    /// whatever the worker does.
    pub fn wait(&self, seq: u64, deadline_ns: u64, forward: &mut Forward) -> Wake {
        if self.is_done(seq) {
            return Wake::Done;
        }
        forward.set_waiting(true);
        let outcome = self.sleep(seq, deadline_ns);
        forward.set_waiting(false);
        outcome
    }

    fn sleep(&self, seq: u64, deadline_ns: u64) -> Wake {
        let expected = done_word(self.generation, seq);
        let mut spurious = 0;
        loop {
            let seen = self.done(seq, SeqCst);
            if seen == expected {
                return Wake::Done;
            }
            if monotonic_ns() >= deadline_ns {
                return Wake::Deadline;
            }
            if spurious == SPURIOUS_WAKES {
                return self.sleep_deaf(seq, deadline_ns);
            }
            let word = self.mapping.word(self.header(seq) + DONE);
            spurious += u32::from(futex::sleep(word, seen as u32, Some(deadline_ns)));
        }
    }

    /// Sleeps to the deadline without listening to the worker.
    fn sleep_deaf(&self, seq: u64, deadline_ns: u64) -> Wake {
        clock::sleep_until(deadline_ns);
        if self.is_done(seq) {
            Wake::Done
        } else {
            Wake::Deadline
        }
    }

    /// Copies the reply to `seq` out; `params` has room for [`Geometry::params_capacity`] bytes.
    /// `None` if the reply is not there.
    pub fn take(&self, seq: u64, params: &mut [u8]) -> Option<Result<Reply, ReplyError>> {
        self.is_done(seq).then(|| self.read(seq, params))
    }

    fn read(&self, seq: u64, params: &mut [u8]) -> Result<Reply, ReplyError> {
        let at = self.header(seq);
        let slot = self.geometry.slot(seq);
        let found = self.mapping.word(at + PARAMS_LEN).load(Relaxed);
        let status = self.mapping.word(at + STATUS).load(Relaxed);
        let status = [Status::Done, Status::ModuleError]
            .into_iter()
            .find(|known| known.raw() == status)
            .ok_or(ReplyError::Status(status))?;
        let capacity = self.geometry.params_capacity().min(params.len());
        let params_len = found as usize;
        if params_len > capacity {
            return Err(ReplyError::Length { found, capacity });
        }
        let mut record = [0; FrameReply::SIZE];
        self.mapping.read(self.geometry.reply(slot), &mut record);
        self.mapping
            .read(self.geometry.params(slot), &mut params[..params_len]);
        let (reply, refused) = FrameReply::decode(&record);
        Ok(Reply {
            status,
            reply,
            refused,
            params_len,
        })
    }

    /// Whether the worker asked to be woken. A lie costs one system call.
    pub(crate) fn worker_waits(&self) -> bool {
        self.mapping.word(WORKER_WAITS).load(SeqCst) != 0
    }

    fn done(&self, seq: u64, order: std::sync::atomic::Ordering) -> u64 {
        self.mapping.wide_word(self.header(seq) + DONE).load(order)
    }

    fn header(&self, seq: u64) -> usize {
        self.geometry.header(self.geometry.slot(seq))
    }
}

/// The return segment, as the worker sees it.
#[derive(Debug)]
pub struct Outbox {
    mapping: Mapping,
    geometry: Geometry,
    generation: u32,
}

impl Outbox {
    /// Maps a return segment for writing.
    pub fn map(
        fd: BorrowedFd<'_>,
        geometry: Geometry,
        generation: u32,
    ) -> Result<Self, SegmentError> {
        segment::verify_return(fd, &geometry)?;
        let mapping = Mapping::new(fd, geometry.return_len(), Access::Write)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self {
            mapping,
            geometry,
            generation,
        })
    }

    /// Answers frame `seq` and wakes the pipeline if it sleeps. Parameters that do not fit the slot
    /// are cut; the host checks their length before.
    pub fn answer(
        &mut self,
        seq: u64,
        status: Status,
        reply: &FrameReply,
        params: &[u8],
        inbox: &Inbox,
    ) {
        let slot = self.geometry.slot(seq);
        let at = self.geometry.header(slot);
        let params = &params[..params.len().min(self.geometry.params_capacity())];
        self.mapping
            .write(self.geometry.reply(slot), &reply.encode());
        self.mapping.write(self.geometry.params(slot), params);
        self.mapping
            .word(at + PARAMS_LEN)
            .store(params.len() as u32, Relaxed);
        self.mapping.word(at + STATUS).store(status.raw(), Relaxed);
        self.mapping
            .wide_word(at + DONE)
            .store(done_word(self.generation, seq), SeqCst);
        if inbox.pipeline_waits() {
            futex::ring(self.mapping.word(at + DONE));
        }
    }

    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.mapping
            .word(WORKER_WAITS)
            .store(u32::from(waiting), SeqCst);
    }
}
