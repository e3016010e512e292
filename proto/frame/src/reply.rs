//! The return segment: replies from the worker to the pipeline.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::checkpoint;
use crate::forward::{Forward, Inbox, Waiting};
use crate::geometry::LINE;
use crate::mapping::{Access, Mapping};
use crate::record::{FrameReply, Refused};
use crate::segment::{self, SegmentError};
use crate::{Geometry, clock, futex, monotonic_ns};

/// Not zero while the worker sleeps on the doorbell.
const WORKER_WAITS: usize = 0;
/// Counts how often the daemon had something to say.
pub(crate) const NOTICE: usize = LINE;

// Slot header, in a line of its own.
pub(crate) const DONE: usize = 0;
const PARAMS_LEN: usize = 8;
const STATUS: usize = 12;

/// After this many wakes that brought nothing, a waiting pipeline stops listening until its
/// deadline: a worker that rings for fun costs a bounded number of wake-ups a frame.
pub const SPURIOUS_WAKES: u32 = 4;

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
pub struct Waited {
    /// The reply is there; if not, the deadline has passed.
    pub done: bool,
    /// Wakes that brought nothing, four at most.
    pub spurious: u32,
    /// It ended early: see [`Replies::noticed`].
    pub noticed: bool,
}

impl Waited {
    /// The reply was there without waiting.
    pub const AT_ONCE: Self = Self {
        done: true,
        spurious: 0,
        noticed: false,
    };
}

/// The return segment, as the pipeline sees it.
#[derive(Debug)]
pub struct Replies {
    mapping: Mapping,
    geometry: Geometry,
    generation: u32,
    /// The count of notices that were heeded.
    heeded: AtomicU32,
}

impl Replies {
    /// Maps a return segment for reading.
    pub fn map(
        fd: BorrowedFd<'_>,
        geometry: Geometry,
        generation: u32,
    ) -> Result<Self, SegmentError> {
        segment::verify_return(fd, &geometry)?;
        let mapping = Mapping::new(fd, geometry.replies_len(), Access::Read)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self {
            mapping,
            geometry,
            generation,
            heeded: AtomicU32::new(0),
        })
    }

    /// Generation of the worker that writes here.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether the reply to frame `seq` is there. After [`Forward::set_waiting`], one that is not
    /// seen will be told.
    pub fn is_done(&self, seq: u64) -> bool {
        self.done(seq) == done_word(self.generation, seq)
    }

    /// Whether the daemon has had something to say since [`Self::heed`]: that the worker is gone, most
    /// likely. A worker can say so, too: then a look at the control socket brings nothing.
    pub fn noticed(&self) -> bool {
        self.mapping.word(NOTICE).load(SeqCst) != self.heeded.load(Relaxed)
    }

    /// To be called before the control socket is looked at, so that a notice costs one look and none
    /// is missed.
    pub fn heed(&self) {
        let count = self.mapping.word(NOTICE).load(SeqCst);
        self.heeded.store(count, Relaxed);
    }

    /// Sleeps until the reply to `seq` is there, the daemon has something to say, or `deadline_ns`
    /// (CLOCK_MONOTONIC) has passed, whatever the worker does.
    pub fn wait(&self, seq: u64, deadline_ns: u64, forward: &mut Forward) -> Waited {
        if self.is_done(seq) {
            return Waited::AT_ONCE;
        }
        forward.set_waiting(Waiting::Futex);
        let waited = self.sleep(seq, deadline_ns, true);
        forward.set_waiting(Waiting::No);
        waited
    }

    /// The same, whatever the daemon has to say.
    pub fn wait_unnoticed(&self, seq: u64, deadline_ns: u64, forward: &mut Forward) -> Waited {
        if self.is_done(seq) {
            return Waited::AT_ONCE;
        }
        forward.set_waiting(Waiting::Futex);
        let waited = self.sleep(seq, deadline_ns, false);
        forward.set_waiting(Waiting::No);
        waited
    }

    /// Stays awake until the reply to `seq` is there or `until_ns` has passed.
    pub fn spin(&self, seq: u64, until_ns: u64) -> bool {
        while !self.is_done(seq) {
            if monotonic_ns() >= until_ns {
                return false;
            }
            std::hint::spin_loop();
        }
        true
    }

    fn sleep(&self, seq: u64, deadline_ns: u64, listen: bool) -> Waited {
        let expected = done_word(self.generation, seq);
        let mut woken = 0;
        loop {
            let seen = self.done(seq);
            let done = seen == expected;
            let noticed = listen && !done && self.noticed();
            if done || noticed || monotonic_ns() >= deadline_ns {
                return Waited {
                    done,
                    // The last wake is the one that ended it.
                    spurious: u32::saturating_sub(woken, 1),
                    noticed,
                };
            }
            if woken == SPURIOUS_WAKES {
                return Waited {
                    done: self.sleep_deaf(seq, deadline_ns),
                    spurious: woken,
                    noticed: false,
                };
            }
            let word = self.mapping.word(self.header(seq) + DONE);
            woken += u32::from(futex::sleep(word, seen as u32, Some(deadline_ns)));
        }
    }

    /// Sleeps to the deadline without listening to the worker. Whether the reply is there then.
    fn sleep_deaf(&self, seq: u64, deadline_ns: u64) -> bool {
        clock::sleep_until(deadline_ns);
        self.is_done(seq)
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

    fn done(&self, seq: u64) -> u64 {
        self.mapping.wide_word(self.header(seq) + DONE).load(SeqCst)
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
    bell: OwnedFd,
    /// Checkpoints that were written.
    saved: u64,
}

impl Outbox {
    /// Maps a return segment for writing. `bell`: an eventfd.
    pub fn map(
        fd: BorrowedFd<'_>,
        geometry: Geometry,
        generation: u32,
        bell: OwnedFd,
    ) -> Result<Self, SegmentError> {
        segment::verify_return(fd, &geometry)?;
        let mapping = Mapping::new(fd, geometry.return_len(), Access::Write)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self {
            mapping,
            geometry,
            generation,
            bell,
            saved: 0,
        })
    }

    /// Keeps a state of the module for a worker that comes after this one; one that is larger than
    /// [`MAX_STATE`](crate::MAX_STATE) is cut. The one before stays.
    pub fn save(&mut self, state: &[u8]) {
        self.saved += 1;
        checkpoint::write(&self.mapping, &self.geometry, self.saved, state);
    }

    /// Answers frame `seq` and tells the pipeline in the way it wants. Parameters that do not fit the slot
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
        match inbox.pipeline_waits() {
            Waiting::No => {}
            Waiting::Futex => futex::ring(self.mapping.word(at + DONE)),
            // A full counter has been rung before, and nobody has come yet.
            Waiting::Bell => drop(rustix::io::write(&self.bell, &1_u64.to_ne_bytes())),
        }
    }

    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.mapping
            .word(WORKER_WAITS)
            .store(u32::from(waiting), SeqCst);
    }
}
