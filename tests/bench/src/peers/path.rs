//! The two ends of the frame path, as the contestants and the flood use them.

use std::hint::spin_loop;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use coldshoe_frame::{
    Applied, Controls, Forward, FrameContext, FrameHeader, FrameKind, FrameReply, Geometry, Inbox,
    Outbox, Replies, Statistics, Status, Waited, create_bell, create_return,
};

use super::check;
use crate::contest::SMALL;

const GENERATION: u32 = 1;

/// Frames that can be in flight.
pub(crate) const SLOTS: u32 = 4;

fn geometry(stats: usize) -> Result<Geometry> {
    Ok(Geometry::new(SLOTS, stats as u32, SMALL as u32)?)
}

/// The pipeline's end.
pub(crate) struct Pipeline {
    forward: Forward,
    replies: Replies,
    context: FrameContext,
    seq: u64,
}

impl Pipeline {
    /// Makes both segments for `stats` bytes of statistics. The descriptors are for the worker.
    pub(crate) fn new(stats: usize) -> Result<(Self, [OwnedFd; 2])> {
        let geometry = geometry(stats)?;
        let (forward, forward_fd) = Forward::create(geometry)?;
        let return_fd = create_return(&geometry)?;
        let replies = Replies::map(return_fd.as_fd(), geometry, GENERATION)?;
        let applied = Applied {
            exposure_us: 1e4,
            analogue_gain: 1.0,
            digital_gain: 1.0,
            black_level: 0.0,
            lens_position: None,
        };
        let context = FrameContext {
            applied,
            controls: Controls::default(),
        };
        let pipeline = Self {
            forward,
            replies,
            context,
            seq: 0,
        };
        Ok((pipeline, [forward_fd, return_fd]))
    }

    /// Number of the frame that is submitted next.
    pub(crate) fn next(&self) -> u64 {
        self.seq + 1
    }

    /// Publishes a frame with `stats`, and returns its number.
    pub(crate) fn submit(&mut self, stats: &[u8], deadline_ns: u64) -> Result<u64> {
        self.seq += 1;
        let seq = self.seq;
        let header = FrameHeader {
            kind: FrameKind::Process,
            frame: seq,
            sensor_timestamp_ns: 0,
            deadline_ns,
        };
        self.forward.begin(seq);
        let written = self.forward.write_stats(seq, 0, stats);
        ensure!(written, "statistics do not fit");
        let statistics = Statistics::Slot { len: stats.len() };
        self.forward
            .put(seq, GENERATION, header, &self.context, statistics);
        self.forward.ring(seq, &self.replies);
        Ok(seq)
    }

    /// Sleeps until the answer is there or the deadline has passed.
    pub(crate) fn sleep(&mut self, seq: u64, deadline_ns: u64) -> Waited {
        self.replies.wait(seq, deadline_ns, &mut self.forward)
    }

    /// Looks until the answer is there.
    pub(crate) fn spin(&self, seq: u64) {
        while !self.replies.is_done(seq) {
            spin_loop();
        }
    }

    /// Copies the answer to `seq` out and looks whether it is whole.
    pub(crate) fn accept(&self, seq: u64, params: &mut [u8]) -> Result<()> {
        let reply = self.replies.take(seq, params).context("no answer")??;
        ensure!(reply.params_len == params.len(), "parameters are missing");
        check(params, seq)
    }
}

/// The worker's end.
pub(crate) struct Worker {
    inbox: Inbox,
    outbox: Outbox,
    pub(crate) stats: Vec<u8>,
    pub(crate) params: Vec<u8>,
}

impl Worker {
    /// Maps the segments of [`Pipeline::new`].
    pub(crate) fn new(stats: usize, [forward, back]: &[OwnedFd; 2]) -> Result<Self> {
        let geometry = geometry(stats)?;
        Ok(Self {
            inbox: Inbox::map(forward.as_fd(), geometry)?,
            outbox: Outbox::map(back.as_fd(), geometry, GENERATION, create_bell()?)?,
            stats: vec![0; stats],
            params: vec![1; SMALL],
        })
    }

    /// Copies the next frame's statistics out, if it is there, and returns its number.
    pub(crate) fn take(&mut self) -> Option<u64> {
        self.inbox.take(&mut self.stats).map(|taken| taken.seq)
    }

    /// Answers frame `seq` with all parameters.
    pub(crate) fn answer(&mut self, seq: u64) {
        let Self { inbox, outbox, .. } = self;
        let reply = FrameReply::default();
        outbox.answer(seq, Status::Done, &reply, &self.params, inbox);
    }

    /// Writes the `done` word of `seq` and little else, and rings.
    pub(crate) fn ring(&mut self, seq: u64) {
        let reply = FrameReply::default();
        self.outbox
            .answer(seq, Status::Done, &reply, &[], &self.inbox);
    }

    /// Sleeps until the doorbell rings.
    pub(crate) fn sleep(&self) {
        self.inbox.sleep(&self.outbox, None);
    }
}
