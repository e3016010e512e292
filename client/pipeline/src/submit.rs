//! From the pipeline's statistics to a published frame.

use coldshoe_frame::{
    Applied, Buffer, Controls, FrameContext, FrameHeader, FrameKind, Statistics, monotonic_ns,
};

use crate::flight::{Given, InFlight, Slot};
use crate::guard::by_hand;
use crate::takeover::Duty;
use crate::{Moment, Session, SubmitError, WhySkipped};

/// A frame, as the pipeline knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// The pipeline's frame number.
    pub number: u64,
    /// When the sensor exposed it.
    pub sensor_timestamp: Moment,
    /// When the pipeline goes on without an answer.
    pub deadline: Moment,
    /// What the sensor really applied to it.
    pub applied: Applied,
    /// What the application asks for. Others that may steer the session, on the bus, go before it.
    pub controls: Controls,
}

/// A frame that has been submitted. Each has an [`Outcome`](crate::Outcome).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "wait for the frame, or its slot stays taken until its deadline"]
pub struct Ticket {
    pub(crate) session: u64,
    pub(crate) asked: Result<u64, WhySkipped>,
}

impl Ticket {
    /// Why the module is not asked about the frame; `None` if it is.
    pub fn skipped(&self) -> Option<WhySkipped> {
        self.asked.err()
    }
}

impl Session {
    /// Submits a frame with its statistics, which are copied into its slot. Never waits: without a
    /// free slot the frame is skipped, which its outcome says.
    pub fn submit(&mut self, frame: &Frame, stats: &[u8]) -> Result<Ticket, SubmitError> {
        let submitted = self.statistics().and_then(|mut slot| {
            slot.write(0, stats)?;
            Ok(slot.submit(frame, stats.len()))
        });
        self.or_skipped(submitted)
    }

    /// Submits a frame whose statistics are the first `len` bytes of a buffer that the session was
    /// opened with. The buffer must not be written to before the frame has its outcome.
    pub fn submit_buffer(
        &mut self,
        frame: &Frame,
        buffer: u32,
        len: usize,
    ) -> Result<Ticket, SubmitError> {
        let capacity = self.buffer(buffer)?.capacity();
        if len > capacity {
            return Err(SubmitError::TooLarge { len, capacity });
        }
        let index = buffer;
        let claimed = self.claim();
        let submitted = claimed.map(|seq| {
            self.forward.begin(seq);
            let statistics = Statistics::Buffer { index, len };
            let ticket = self.put(FrameKind::Process, frame, statistics);
            self.ring();
            ticket
        });
        self.or_skipped(submitted)
    }

    /// Asks for parameters before the first frame: there are no statistics yet.
    pub fn prepare(&mut self, frame: &Frame) -> Result<Ticket, SubmitError> {
        let claimed = self.claim();
        let submitted = claimed.map(|seq| {
            self.forward.begin(seq);
            let ticket = self.put(FrameKind::Prepare, frame, Statistics::NONE);
            self.ring();
            ticket
        });
        self.or_skipped(submitted)
    }

    /// A slot to write statistics into without copying them twice. Submitting it publishes the
    /// frame; so does [`ring`](Self::ring) after it was queued.
    pub fn statistics(&mut self) -> Result<StatisticsGuard<'_>, SubmitError> {
        let seq = self.claim()?;
        self.forward.begin(seq);
        Ok(StatisticsGuard { session: self, seq })
    }

    /// One of the buffers that the session was opened with.
    pub fn buffer(&mut self, buffer: u32) -> Result<&mut Buffer, SubmitError> {
        let found = self.buffers.get_mut(buffer as usize);
        found.ok_or(SubmitError::NoSuchBuffer(buffer))
    }

    /// Publishes all frames that were queued, with one wake-up. Waiting for a frame does so, too.
    pub fn ring(&mut self) {
        if let Some(seq) = self.unrung.take() {
            self.forward.ring(seq, &self.replies);
        }
    }

    /// A ticket for a frame that found no slot: its outcome says so. Anything else stays what it is.
    pub fn or_skipped(
        &self,
        submitted: Result<Ticket, SubmitError>,
    ) -> Result<Ticket, SubmitError> {
        match submitted {
            Err(SubmitError::Skipped(why)) => Ok(Ticket {
                session: self.key,
                asked: Err(why),
            }),
            submitted => submitted,
        }
    }

    fn claim(&mut self) -> Result<u64, SubmitError> {
        if !self.started {
            return Err(SubmitError::NotStarted);
        }
        // A daemon that has something to say has said so in the segment, where looking costs nothing.
        if self.duty != Duty::Working || !self.link.is_up() || self.replies.noticed() {
            self.attend();
        }
        if self.duty == Duty::Over {
            self.counters.skipped += 1;
            return Err(SubmitError::Skipped(WhySkipped::Fault));
        }
        let now = monotonic_ns();
        let Some((seq, held)) = self.flight.claim(now) else {
            self.counters.skipped += 1;
            return Err(SubmitError::Skipped(WhySkipped::Full));
        };
        match held {
            Slot::Free => {}
            // Answered after all, some time after its deadline.
            Slot::GivenUp(seq) => self.counters.late += u64::from(self.replies.is_done(seq)),
            // Never waited for: whether the answer came in time nobody knows.
            Slot::Flying(flying) => {
                self.counters.missed += u64::from(!self.replies.is_done(flying.seq));
            }
        }
        Ok(seq)
    }

    fn put(&mut self, kind: FrameKind, frame: &Frame, statistics: Statistics) -> Ticket {
        let header = FrameHeader {
            kind,
            frame: frame.number,
            sensor_timestamp_ns: frame.sensor_timestamp.as_ns(),
            deadline_ns: frame.deadline.as_ns(),
        };
        let context = FrameContext {
            applied: frame.applied,
            controls: self.steering.over(&frame.controls),
        };
        // Before the first frame nothing was applied.
        if kind == FrameKind::Process {
            self.guard.applied(&frame.applied);
        }
        let by_hand = by_hand(&context.controls);
        let given = match self.duty {
            Duty::Working => Given::Once,
            Duty::Awaited | Duty::Over => Given::NotYet,
        };
        let InFlight { seq, .. } = {
            let deadline_ns = header.deadline_ns;
            self.flight
                .published(frame.number, deadline_ns, given, monotonic_ns(), by_hand)
        };
        let generation = self.replies.generation();
        self.forward
            .put(seq, generation, header, &context, statistics);
        self.unrung = Some(seq);
        Ticket {
            session: self.key,
            asked: Ok(seq),
        }
    }
}

/// A slot of the forward segment that the pipeline fills. Dropping it without submitting leaves
/// the slot free: the next frame gets it, and what was written there is in place until then.
#[derive(Debug)]
pub struct StatisticsGuard<'a> {
    session: &'a mut Session,
    seq: u64,
}

impl StatisticsGuard<'_> {
    /// Bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.session.geometry.stats_capacity()
    }

    /// Writes `bytes` at `offset`, a multiple of 16.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), SubmitError> {
        if !offset.is_multiple_of(16) {
            return Err(SubmitError::Unaligned(offset));
        }
        if self.session.forward.write_stats(self.seq, offset, bytes) {
            return Ok(());
        }
        let (len, capacity) = (offset.saturating_add(bytes.len()), self.capacity());
        Err(SubmitError::TooLarge { len, capacity })
    }

    /// Where the statistics go, for hardware or foreign code that writes them, aligned to 16 and
    /// with room for [`Self::capacity`] bytes. Shared with the worker, which can only read; valid
    /// until the frame is submitted.
    pub fn address(&mut self) -> *mut u8 {
        self.session.forward.stats_address(self.seq)
    }

    /// Publishes the frame with the first `len` bytes of the slot as its statistics; more than
    /// the capacity counts as the capacity.
    pub fn submit(self, frame: &Frame, len: usize) -> Ticket {
        let Self { session, .. } = self;
        let ticket = session.put(FrameKind::Process, frame, Statistics::Slot { len });
        session.ring();
        ticket
    }

    /// The same, without waking the worker yet: for several frames that are ready at once. See
    /// [`Session::ring`].
    pub fn queue(self, frame: &Frame, len: usize) -> Ticket {
        self.session
            .put(FrameKind::Process, frame, Statistics::Slot { len })
    }
}
