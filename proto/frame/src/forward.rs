//! The forward segment: frames from the pipeline to the worker.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::geometry::LINE;
use crate::mapping::{Access, Mapping};
use crate::record::FrameContext;
use crate::reply::{Outbox, Replies};
use crate::segment::{self, SegmentError};
use crate::sync::fence;
use crate::{Geometry, futex, monotonic_ns};

/// Word that the worker sleeps on: the low half of the newest published `seq`.
const DOORBELL: usize = 0;
/// How the pipeline wants to hear of a reply, a [`Waiting`].
const PIPELINE_WAITS: usize = LINE;

// Slot header, 64 bytes in a line of its own.
const SEQ_BEGIN: usize = 0;
const GENERATION: usize = 8;
const STATS_LEN: usize = 12;
const KIND: usize = 16;
const BUFFER: usize = 20;
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

/// Where a frame's statistics are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// The first bytes of the frame's own slot.
    Slot {
        /// How many.
        len: usize,
    },
    /// The first bytes of a registered buffer.
    Buffer {
        /// Its place among the registered ones, from 0.
        index: u32,
        /// How many.
        len: usize,
    },
}

impl Statistics {
    /// None.
    pub const NONE: Self = Self::Slot { len: 0 };
}

/// How the pipeline hears of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It looks for itself.
    No,
    /// It sleeps on the reply's `done` word.
    Futex,
    /// It watches the bell.
    Bell,
}

impl Waiting {
    const fn raw(self) -> u32 {
        match self {
            Self::No => 0,
            Self::Futex => 1,
            Self::Bell => 2,
        }
    }

    const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Futex,
            2 => Self::Bell,
            _ => Self::No,
        }
    }
}

/// The forward segment, as its writer sees it.
#[derive(Debug)]
pub struct Forward {
    pub(crate) mapping: Mapping,
    pub(crate) geometry: Geometry,
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

    /// Describes frame `seq`, whose statistics are in place. The worker takes no notice before
    /// [`ring`](Self::ring).
    pub fn put(
        &mut self,
        seq: u64,
        generation: u32,
        header: FrameHeader,
        context: &FrameContext,
        statistics: Statistics,
    ) {
        let slot = self.geometry.slot(seq);
        let at = self.geometry.header(slot);
        let (buffer, stats_len) = match statistics {
            Statistics::Slot { len } => (0, len.min(self.geometry.stats_capacity()) as u32),
            Statistics::Buffer { index, len } => (
                index.saturating_add(1),
                u32::try_from(len).unwrap_or(u32::MAX),
            ),
        };
        self.mapping.word(at + BUFFER).store(buffer, Relaxed);
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
    }

    /// Puts a frame that lies in its slot under a later number that has the same slot, addressed to
    /// another worker. The worker takes no notice before [`ring`](Self::ring).
    pub fn renew(&mut self, seq: u64, later: u64, generation: u32) {
        assert_eq!(self.geometry.slot(seq), self.geometry.slot(later));
        self.begin(later);
        let at = self.geometry.header(self.geometry.slot(later));
        self.mapping
            .word(at + GENERATION)
            .store(generation, Relaxed);
        self.mapping.wide_word(at + SEQ_END).store(later, Release);
    }

    /// Publishes every frame up to `seq`, and wakes the worker if it sleeps.
    pub fn ring(&mut self, seq: u64, worker: &Replies) {
        self.mapping.word(DOORBELL).store(seq as u32, SeqCst);
        if worker.worker_waits() {
            futex::ring(self.mapping.word(DOORBELL));
        }
    }

    /// Says how the pipeline wants to hear of replies from now on. It looks for a reply once more
    /// before it relies on that.
    pub fn set_waiting(&mut self, waiting: Waiting) {
        self.mapping
            .word(PIPELINE_WAITS)
            .store(waiting.raw(), SeqCst);
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
    buffers: Vec<Mapping>,
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
            buffers: Vec::new(),
            next: 1,
        })
    }

    /// Maps the next registered buffer for reading.
    pub fn register(&mut self, fd: BorrowedFd<'_>) -> Result<(), SegmentError> {
        let len = segment::verify_buffer(fd)?;
        let mapping = Mapping::new(fd, len, Access::Read)
            .map_err(|error| SegmentError::kernel("map", error))?;
        self.buffers.push(mapping);
        Ok(())
    }

    /// Bytes that the statistics of a frame can have, wherever they are.
    pub fn stats_room(&self) -> usize {
        let buffers = self.buffers.iter().map(|buffer| buffer.len());
        buffers.fold(self.geometry.stats_capacity(), usize::max)
    }

    /// Takes the next frame that is there and still whole, and copies its statistics to `stats`,
    /// which has room for [`stats_room`](Self::stats_room) bytes. Frames that the pipeline has given up
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
        let buffer = self.mapping.word(at + BUFFER).load(Relaxed);
        let (source, offset, capacity) = self.statistics(slot, buffer)?;
        let stats_len = (self.mapping.word(at + STATS_LEN).load(Relaxed) as usize)
            .min(capacity)
            .min(stats.len());
        let kind = self.mapping.word(at + KIND).load(Relaxed);
        let frame = self.mapping.wide_word(at + FRAME).load(Relaxed);
        let sensor_timestamp_ns = self.mapping.wide_word(at + SENSOR_TIMESTAMP).load(Relaxed);
        let deadline_ns = self.mapping.wide_word(at + DEADLINE).load(Relaxed);
        let mut context = [0; FrameContext::SIZE];
        self.mapping.read(self.geometry.context(slot), &mut context);
        source.read(offset, &mut stats[..stats_len]);
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

    /// Where the statistics of a frame are: mapping, offset and room.
    fn statistics(&self, slot: usize, buffer: u32) -> Option<(&Mapping, usize, usize)> {
        let Some(index) = buffer.checked_sub(1) else {
            let offset = self.geometry.stats(slot);
            return Some((&self.mapping, offset, self.geometry.stats_capacity()));
        };
        let buffer = self.buffers.get(index as usize)?;
        Some((buffer, 0, buffer.len()))
    }

    /// Leaves out every frame that has been published so far.
    pub fn skip(&mut self) {
        let newest = self.mapping.word(DOORBELL).load(SeqCst);
        self.next += u64::from(self.ahead(newest));
    }

    /// Sleeps until a frame is published, somebody rings the doorbell, or `until_ns`
    /// (CLOCK_MONOTONIC). `false` if a frame was there already.
    pub fn sleep(&self, outbox: &Outbox, until_ns: Option<u64>) -> bool {
        outbox.set_waiting(true);
        let newest = self.mapping.word(DOORBELL).load(SeqCst);
        let asleep = self.ahead(newest) == 0;
        if asleep {
            futex::sleep(self.mapping.word(DOORBELL), newest, until_ns);
        }
        outbox.set_waiting(false);
        asleep
    }

    /// Stays awake until a frame is published or `until_ns` has passed.
    pub fn spin(&self, until_ns: u64) -> bool {
        loop {
            if self.ahead(self.mapping.word(DOORBELL).load(SeqCst)) > 0 {
                return true;
            }
            if monotonic_ns() >= until_ns {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    /// How many frames have been published that were not taken. A doorbell that went backwards is
    /// a pipeline's mistake, and brings none.
    fn ahead(&self, newest: u32) -> u32 {
        let ahead = newest.wrapping_sub(self.next as u32).wrapping_add(1);
        if ahead > u32::MAX / 2 { 0 } else { ahead }
    }

    /// How the pipeline wants to hear of a reply.
    pub(crate) fn pipeline_waits(&self) -> Waiting {
        Waiting::from_raw(self.mapping.word(PIPELINE_WAITS).load(SeqCst))
    }
}

/// The daemon's hand on the doorbell: wakes a worker out of its sleep so that it looks at its
/// control socket, and tells how far the pipeline has come and what it has counted. The mapping is read-only; ringing needs
/// no more.
#[derive(Debug)]
pub struct Nudge {
    pub(crate) mapping: Mapping,
    pub(crate) geometry: Geometry,
}

// SAFETY: all it does is a system call on an address, and loads of atomics.
unsafe impl Sync for Nudge {}

/// The newest frame that a pipeline has published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// The low half of its sequence number.
    pub seq: u32,
    /// The pipeline's number of it, as far as it can be told: the pipeline may be writing.
    pub frame: u64,
}

impl Nudge {
    /// Maps a forward segment that has been verified.
    pub fn map(fd: BorrowedFd<'_>, geometry: &Geometry) -> Result<Self, SegmentError> {
        segment::verify_forward(fd, geometry)?;
        // No statistics.
        let mapping = Mapping::new(fd, geometry.context(0), Access::Read)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self {
            mapping,
            geometry: *geometry,
        })
    }

    /// Wakes the worker if it sleeps.
    pub fn ring(&self) {
        futex::ring(self.mapping.word(DOORBELL));
    }

    /// How far the pipeline has come.
    pub fn newest(&self) -> Newest {
        let seq = self.mapping.word(DOORBELL).load(SeqCst);
        if seq == 0 {
            return Newest::default();
        }
        let at = self.geometry.header(self.geometry.slot(seq.into()));
        let frame = self.mapping.wide_word(at + FRAME).load(Relaxed);
        Newest { seq, frame }
    }
}
