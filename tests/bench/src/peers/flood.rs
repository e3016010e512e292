//! A worker that answers nothing, and one that instead rings the pipeline's futex as fast as it
//! can. Every frame ends at its deadline; what is measured is the pipeline's CPU time until then.
//! The control is a pipeline that listens to every wake: the same flood takes all of its CPU.

use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Result, ensure};
use coldshoe_frame::bench::Words;
use coldshoe_frame::monotonic_ns;
use rustix::thread::futex::{Flags, wait_bitset, wake};
use rustix::time::Timespec;

use super::path::{Pipeline, SLOTS, Worker};
use crate::contest::{Contestant, Exchange, Kind, Pair, SMALL};
use crate::launch::{Launch, Seat};

/// How long the pipeline waits for a frame.
const DEADLINE_NS: u64 = 4_000_000;

pub(crate) struct Flood;
pub(crate) struct Silence;

struct Client {
    pipeline: Pipeline,
    stats: Vec<u8>,
}

fn open(contestant: &dyn Contestant, launch: &Launch) -> Result<Pair> {
    let (pipeline, [forward, back]) = Pipeline::new(SMALL)?;
    let peer = launch.peer(contestant, &[forward.as_fd(), back.as_fd()])?;
    let stats = vec![2; SMALL];
    Ok(Pair::new(Client { pipeline, stats }, peer))
}

impl Contestant for Flood {
    fn name(&self) -> &'static str {
        "flood"
    }

    fn about(&self) -> &'static str {
        "frames of 4 ms, flooded with wakes"
    }

    fn kind(&self) -> Kind {
        Kind::Hostile
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        open(self, launch)
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let mut worker = Worker::new(SMALL, &[seat.fd()?, seat.fd()?])?;
        seat.ready()?;
        let mut seq = 0;
        let mut turns = 1;
        // Until the other side ends this process.
        loop {
            seq = worker.take().unwrap_or(seq);
            // An answer of long ago, in the slot on whose word the pipeline sleeps; never twice
            // the same, so that the sleep also ends before it began.
            worker.ring(u64::wrapping_sub(seq, u64::from(turns * SLOTS)));
            turns = turns % 1000 + 1;
        }
    }
}

impl Contestant for Silence {
    fn name(&self) -> &'static str {
        "silence"
    }

    fn about(&self) -> &'static str {
        "frames of 4 ms, never answered"
    }

    fn kind(&self) -> Kind {
        Kind::Hostile
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        open(self, launch)
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let mut worker = Worker::new(SMALL, &[seat.fd()?, seat.fd()?])?;
        seat.ready()?;
        loop {
            if worker.take().is_none() {
                worker.sleep();
            }
        }
    }
}

impl Exchange for Client {
    fn trip(&mut self) -> Result<()> {
        let deadline_ns = monotonic_ns() + DEADLINE_NS;
        let seq = self.pipeline.submit(&self.stats, deadline_ns)?;
        let wake = self.pipeline.sleep(seq, deadline_ns);
        ensure!(!wake.done, "a false answer was taken");
        Ok(())
    }
}

/// Listens to every wake until the deadline.
pub(crate) struct Naive;

struct NaiveClient(Words);

impl Contestant for Naive {
    fn name(&self) -> &'static str {
        "flood-naive"
    }

    fn about(&self) -> &'static str {
        "the same flood, every wake listened to"
    }

    fn kind(&self) -> Kind {
        Kind::Hostile
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let (words, fd) = Words::create()?;
        let peer = launch.peer(self, &[fd.as_fd()])?;
        Ok(Pair::new(NaiveClient(words), peer))
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let words = Words::map(seat.fd()?.as_fd())?;
        seat.ready()?;
        loop {
            words.answer().fetch_add(1, SeqCst);
            wake(words.answer(), Flags::empty(), 1)?;
        }
    }
}

impl Exchange for NaiveClient {
    fn trip(&mut self) -> Result<()> {
        let deadline_ns = monotonic_ns() + DEADLINE_NS;
        let until = Timespec {
            tv_sec: (deadline_ns / 1_000_000_000) as i64,
            tv_nsec: (deadline_ns % 1_000_000_000) as _,
        };
        let word = self.0.answer();
        while monotonic_ns() < deadline_ns {
            let seen = word.load(SeqCst);
            // Whatever ends it, the clock decides.
            let _ = wait_bitset(word, Flags::empty(), seen, Some(&until), NonZeroU32::MAX);
        }
        Ok(())
    }
}
