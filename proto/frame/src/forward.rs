//! The forward segment: frames from the pipeline to the worker.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::geometry::LINE;
use crate::mapping::{Access, Mapping};
use crate::record::FrameContext;
use crate::reply::{Outbox, Replies};
use crate::segment::{self, SegmentError};
use crate::sync::fence;
use crate::{Geometry, futex};

/// Word that the worker sleeps on: the low half of the newest published `seq`.
const DOORBELL: usize = 0;
/// Not zero while the pipeline sleeps on a reply.
const PIPELINE_WAITS: usize = LINE;

// Slot header, 64 bytes in a line of its own.
const SEQ_BEGIN: usize = 0;
const GENERATION: usize = 8;
const STATS_LEN: usize = 12;
const KIND: usize = 16;
const FRAME: usize = 24;
const SENSOR_TIMESTAMP: usize = 32;
const DEADLINE: usize = 40;
const SEQ_END: usize = 48;

/// What a published frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Parameters before the first frame; there are no statistics.
    Prepare,
    /// Work on the statistics.
    Process,
}

impl FrameKind {
    const fn raw(self) -> u32 {
        match self {
            Self::Process => 1,
            Self::Prepare => 2,
        }
    }
}

/// What the pipeline says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// With or without statistics.
    pub kind: FrameKind,
    /// The pipeline's frame number.
    pub frame: u64,
    /// CLOCK_MONOTONIC.
    pub sensor_timestamp_ns: u64,
    /// CLOCK_MONOTONIC; an answer past it is not used.
    pub deadline_ns: u64,
}

/// The forward segment, as its writer sees it.
#[derive(Debug)]
pub struct Forward {
    mapping: Mapping,
    geometry: Geometry,
}

impl Forward {
    /// Makes, maps and seals a forward segment. The descriptor is for the daemon.
    pub fn create(geometry: Geometry) -> Result<(Self, OwnedFd), SegmentError> {
        let len = geometry.forward_len();
        let fd = segment::create("coldshoe-forward", len)?;
        let mapping = Mapping::new(fd.as_fd(), len, Access::Write)
            .map_err(|error| SegmentError::kernel("map", error))?;
        segment::seal_forward(fd.as_fd())?;
        Ok((Self { mapping, geometry }, fd))
    }

    /// Writes statistics of frame `seq` into its slot, `offset` bytes in, a multiple of 16.
    /// `false`, and nothing is written, if they would not fit.
    #[must_use]
    pub fn write_stats(&mut self, seq: u64, offset: usize, bytes: &[u8]) -> bool {
        let capacity = self.geometry.stats_capacity();
        let fits =
            offset.is_multiple_of(16) && offset <= capacity && bytes.len() <= capacity - offset;
        if fits {
            let slot = self.geometry.slot(seq);
            self.mapping
                .write(self.geometry.stats(slot) + offset, bytes);
        }
        fits
    }

    /// Where the statistics of frame `seq` go, for hardware or foreign code that writes them:
    /// [`Geometry::stats_capacity`] bytes, valid as long as this segment.
    pub fn stats_address(&mut self, seq: u64) -> *mut u8 {
        let slot = self.geometry.slot(seq);
        self.mapping
            .address(self.geometry.stats(slot), self.geometry.stats_capacity())
    }

    /// Marks the slot of `seq` as being rewritten: a late worker still reading what the slot held
    /// before will notice. Goes before the statistics are written.
    pub fn begin(&mut self, seq: u64) {
        let header = self.geometry.header(self.geometry.slot(seq));
        self.mapping
            .wide_word(header + SEQ_BEGIN)
            .store(seq, Relaxed);
        fence(Release);
    }

    /// Publishes frame `seq`, whose statistics are in its slot, and wakes the worker if it sleeps.
    pub fn publish(
        &mut self,
        seq: u64,
        generation: u32,
        header: FrameHeader,
        context: &FrameContext,
        stats_len: usize,
        worker: &Replies,
    ) {
        let slot = self.geometry.slot(seq);
        let at = self.geometry.header(slot);
        let stats_len = stats_len.min(self.geometry.stats_capacity()) as u32;
        self.mapping
            .word(at + GENERATION)
            .store(generation, Relaxed);
        self.mapping.word(at + STATS_LEN).store(stats_len, Relaxed);
        self.mapping
            .word(at + KIND)
            .store(header.kind.raw(), Relaxed);
        self.mapping
            .wide_word(at + FRAME)
            .store(header.frame, Relaxed);
        self.mapping
            .wide_word(at + SENSOR_TIMESTAMP)
            .store(header.sensor_timestamp_ns, Relaxed);
        self.mapping
            .wide_word(at + DEADLINE)
            .store(header.deadline_ns, Relaxed);
        self.mapping
            .write(self.geometry.context(slot), &context.encode());
        self.mapping.wide_word(at + SEQ_END).store(seq, Release);
        self.mapping.word(DOORBELL).store(seq as u32, SeqCst);
        if worker.worker_waits() {
            futex::ring(self.mapping.word(DOORBELL));
        }
    }

    /// Says whether the pipeline is about to sleep on a reply, so that the worker wakes it.
    pub(crate) fn set_waiting(&mut self, waiting: bool) {
        self.mapping
            .word(PIPELINE_WAITS)
            .store(u32::from(waiting), SeqCst);
    }
}

/// A frame as the worker takes it out of its slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// Sequence number; the reply goes under the same one.
    pub seq: u64,
    /// Generation that the pipeline addressed.
    pub generation: u32,
    /// What the pipeline says of it.
    pub header: FrameHeader,
    /// Beside the statistics.
    pub context: FrameContext,
    /// Bytes of statistics that were copied out.
    pub stats_len: usize,
}

/// The forward segment, as the worker sees it.
#[derive(Debug)]
pub struct Inbox {
    mapping: Mapping,
    geometry: Geometry,
    /// The next frame to take.
    next: u64,
}

impl Inbox {
    /// Maps a forward segment for reading.
    pub fn map(fd: BorrowedFd<'_>, geometry: Geometry) -> Result<Self, SegmentError> {
        segment::verify_forward(fd, &geometry)?;
        let mapping = Mapping::new(fd, geometry.forward_len(), Access::Read)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self {
            mapping,
            geometry,
            next: 1,
        })
    }

    /// Takes the next frame that is there and still whole, and copies its statistics to `stats`,
    /// which has room for [`Geometry::stats_capacity`] bytes. Frames that the pipeline has given up
    /// and overwritten are left out.
    pub fn take(&mut self, stats: &mut [u8]) -> Option<Taken> {
        loop {
            let newest = self.mapping.word(DOORBELL).load(SeqCst);
            let ahead = self.ahead(newest);
            if ahead == 0 {
                return None;
            }
            // More than a full ring ahead: the oldest have been overwritten.
            self.next += u64::from(ahead.saturating_sub(self.geometry.slots()));
            let seq = self.next;
            self.next += 1;
            if let Some(taken) = self.read(seq, stats) {
                return Some(taken);
            }
        }
    }

    fn read(&self, seq: u64, stats: &mut [u8]) -> Option<Taken> {
        let slot = self.geometry.slot(seq);
        let at = self.geometry.header(slot);
        if self.mapping.wide_word(at + SEQ_END).load(Acquire) != seq {
            return None;
        }
        let generation = self.mapping.word(at + GENERATION).load(Relaxed);
        let stats_len = (self.mapping.word(at + STATS_LEN).load(Relaxed) as usize)
            .min(self.geometry.stats_capacity())
            .min(stats.len());
        let kind = self.mapping.word(at + KIND).load(Relaxed);
        let frame = self.mapping.wide_word(at + FRAME).load(Relaxed);
        let sensor_timestamp_ns = self.mapping.wide_word(at + SENSOR_TIMESTAMP).load(Relaxed);
        let deadline_ns = self.mapping.wide_word(at + DEADLINE).load(Relaxed);
        let mut context = [0; FrameContext::SIZE];
        self.mapping.read(self.geometry.context(slot), &mut context);
        self.mapping
            .read(self.geometry.stats(slot), &mut stats[..stats_len]);
        fence(Acquire);
        if self.mapping.wide_word(at + SEQ_BEGIN).load(Relaxed) != seq {
            return None;
        }
        let kind = [FrameKind::Process, FrameKind::Prepare]
            .into_iter()
            .find(|known| known.raw() == kind)?;
        Some(Taken {
            seq,
            generation,
            header: FrameHeader {
                kind,
                frame,
                sensor_timestamp_ns,
                deadline_ns,
            },
            context: FrameContext::decode(&context),
            stats_len,
        })
    }

    /// Leaves out every frame that has been published so far.
    pub fn skip(&mut self) {
        let newest = self.mapping.word(DOORBELL).load(SeqCst);
        self.next += u64::from(self.ahead(newest));
    }

    /// Sleeps until a frame is published or somebody rings the doorbell. `last_look` is asked once
    /// the pipeline has been told to wake us; `false` from it skips the sleep.
    pub fn sleep(&self, outbox: &Outbox, last_look: impl FnOnce() -> bool) {
        outbox.set_waiting(true);
        let newest = self.mapping.word(DOORBELL).load(SeqCst);
        if self.ahead(newest) == 0 && last_look() {
            futex::sleep(self.mapping.word(DOORBELL), newest, None);
        }
        outbox.set_waiting(false);
    }

    /// How many frames have been published that were not taken. A doorbell that went backwards is
    /// a pipeline's mistake, and brings none.
    fn ahead(&self, newest: u32) -> u32 {
        let ahead = newest.wrapping_sub(self.next as u32).wrapping_add(1);
        if ahead > u32::MAX / 2 { 0 } else { ahead }
    }

    /// Whether the pipeline asked to be woken.
    pub(crate) fn pipeline_waits(&self) -> bool {
        self.mapping.word(PIPELINE_WAITS).load(SeqCst) != 0
    }
}

/// The daemon's hand on the doorbell: wakes a worker out of its sleep so that it looks at its
/// control socket. The mapping is read-only; ringing needs no more.
#[derive(Debug)]
pub struct Nudge(Mapping);

// SAFETY: all it does is a system call on an address; nothing is read or written.
unsafe impl Sync for Nudge {}

impl Nudge {
    /// Maps a forward segment that has been verified.
    pub fn map(fd: BorrowedFd<'_>, geometry: &Geometry) -> Result<Self, SegmentError> {
        segment::verify_forward(fd, geometry)?;
        Mapping::new(fd, LINE, Access::Read)
            .map(Self)
            .map_err(|error| SegmentError::kernel("map", error))
    }

    /// Wakes the worker if it sleeps.
    pub fn ring(&self) {
        futex::ring(self.0.word(DOORBELL));
    }
}
