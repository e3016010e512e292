//! Parameters of a session's frames as they are sent, for whoever audits them.
//!
//! They are read out of the return segment beside the pipeline, which does not notice. A frame that has
//! been overwritten before it was looked at is left out. It is the worker's memory: one that rewrites
//! its answer after the pipeline has taken it shows something else here, and what the pipeline itself
//! has refused is in the ledger.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldshoe_contract::MAX_DUMPED;
use coldshoe_frame::{Nudge, Replies, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::{self, Sender};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::roster::{Roster, Source};

/// A slot holds its answer for longer at any frame rate.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// However slowly frames come.
const LONGEST: Duration = Duration::from_secs(600);
/// Patience with whoever reads.
const READ: Duration = Duration::from_secs(5);

/// Begins to write the parameters of the next `frames` frames into a pipe, and returns its other end.
pub(crate) fn begin(
    roster: Arc<Roster>,
    session: u64,
    source: Source,
    frames: u32,
) -> io::Result<OwnedFd> {
    let permit = roster.permit_trace().ok_or_else(|| {
        io::Error::other("as many sessions as can be at a time are traced already")
    })?;
    let memory = &source.memory;
    let nudge = Nudge::map(memory.forward.as_fd(), &memory.geometry).map_err(io::Error::other)?;
    let replies = Replies::map(source.replies.as_fd(), memory.geometry, source.generation)
        .map_err(io::Error::other)?;
    let (into, out_of) = pipe::pipe()?;
    let out_of = out_of.into_blocking_fd()?;
    let tracer = Tracer {
        roster,
        session,
        generation: source.generation,
        slots: memory.geometry.slots(),
        params: vec![0; memory.geometry.params_capacity()],
        next: nudge.newest().seq.wrapping_add(1),
        nudge,
        replies,
        into,
        _permit: permit,
    };
    tokio::spawn(tracer.run(frames));
    Ok(out_of)
}

/// An answer that may be half of the next one.
struct Torn;

struct Tracer {
    roster: Arc<Roster>,
    session: u64,
    generation: u32,
    slots: u32,
    params: Vec<u8>,
    nudge: Nudge,
    replies: Replies,
    /// The frame to read next, by the low half of its number on the wire.
    next: u32,
    into: Sender,
    _permit: OwnedSemaphorePermit,
}

impl Tracer {
    async fn run(mut self, frames: u32) {
        let began = Instant::now();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left = frames;
        while left > 0 && began.elapsed() < LONGEST {
            look.tick().await;
            if self.nobody_reads() {
                return;
            }
            // Looked at before the frames: what it answered until its end is still told.
            let on_duty = self.roster.has(self.session, self.generation);
            let newest = self.nudge.newest().seq;
            let ahead = newest.wrapping_sub(self.next).wrapping_add(1);
            // A doorbell that goes backwards brings none.
            let mut ahead = if ahead > u32::MAX / 2 { 0 } else { ahead };
            // What has been written over is left out, however far the doorbell says that it went.
            let gone = ahead.saturating_sub(self.slots);
            self.next = self.next.wrapping_add(gone);
            ahead -= gone;
            while ahead > 0 && left > 0 {
                match self.read(self.next) {
                    // Longer than a trace can hold: no contract allows it.
                    Some(Ok(len)) if len > MAX_DUMPED => left -= 1,
                    Some(Ok(len)) if len > 0 => {
                        if self.write(len).await.is_err() {
                            return;
                        }
                        left -= 1;
                    }
                    // It has none, and the last ones stay.
                    Some(Ok(_)) => left -= 1,
                    Some(Err(Torn)) => {}
                    // It may still come, as long as its slot is its own and its worker lives.
                    None if on_duty => break,
                    None => {}
                }
                self.next = self.next.wrapping_add(1);
                ahead -= 1;
            }
            if !on_duty {
                return;
            }
        }
    }

    fn nobody_reads(&self) -> bool {
        let mut pipe = [PollFd::new(&self.into, PollFlags::empty())];
        let polled = poll(&mut pipe, Some(&Timespec::default()));
        polled.is_ok() && pipe[0].revents().contains(PollFlags::ERR)
    }

    /// The length of a frame's parameters, which are in private memory then.
    fn read(&mut self, seq: u32) -> Option<Result<usize, Torn>> {
        let seq = u64::from(seq);
        if !self.replies.is_done(seq) {
            return None;
        }
        let reply = self.replies.take(seq, &mut self.params)?;
        // If the slot has been given away its worker may have been writing the next answer: what is
        // torn would be held against it.
        if self.nudge.newest().seq.wrapping_sub(seq as u32) >= self.slots {
            return Some(Err(Torn));
        }
        // What breaks the frame protocol, and what comes with an error, the pipeline does not look at.
        let good = reply.ok().filter(|reply| reply.status == Status::Done);
        Some(Ok(good.map_or(0, |reply| reply.params_len)))
    }

    async fn write(&mut self, len: usize) -> io::Result<()> {
        let head = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        let record = async {
            self.into.write_all(&head).await?;
            self.into.write_all(&self.params[..len]).await
        };
        timeout(READ, record)
            .await
            .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    }
}
