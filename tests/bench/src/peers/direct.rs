//! No wall at all: pipeline and module in one thread, where the cost of copies and checks is not
//! drowned by the cost of waking somebody.
//!
//! In all three the pipeline has statistics in its own memory and copies them to where the module
//! finds them; the module reads all of them and writes all parameters; the pipeline reads all of
//! these. They differ in what happens between.

use std::hint::black_box;

use anyhow::{Context, Result};

use super::path::{Pipeline, Worker};
use super::{check, stamp};
use crate::contest::{Contestant, Exchange, Kind, LARGE, Pair, SMALL};
use crate::launch::{Launch, Seat};

/// What lies between pipeline and module.
#[derive(Clone, Copy)]
enum Between {
    /// Nothing: each reads where the other wrote, and believes it.
    Trust,
    /// Plain copies, as many as the frame path makes.
    Copies,
    /// The frame path with all its copies and checks, without a wake.
    FramePath,
}

pub(crate) struct Inline {
    name: &'static str,
    about: &'static str,
    stats: usize,
    between: Between,
}

impl Inline {
    pub(crate) const TRUSTING_SMALL: Self = Self {
        name: "trusting-4k",
        about: "in one thread: zero-copy, unchecked, 4 KiB",
        stats: SMALL,
        between: Between::Trust,
    };
    pub(crate) const DIRECT_SMALL: Self = Self {
        name: "direct-4k",
        about: "in one thread: direct call, copies, 4 KiB",
        between: Between::Copies,
        ..Self::TRUSTING_SMALL
    };
    pub(crate) const FRAME_SMALL: Self = Self {
        name: "inline-4k",
        about: "in one thread: frame path, 4 KiB",
        between: Between::FramePath,
        ..Self::TRUSTING_SMALL
    };
    pub(crate) const TRUSTING_LARGE: Self = Self {
        name: "trusting-64k",
        about: "in one thread: zero-copy, unchecked, 64 KiB",
        stats: LARGE,
        ..Self::TRUSTING_SMALL
    };
    pub(crate) const DIRECT_LARGE: Self = Self {
        name: "direct-64k",
        about: "in one thread: direct call, copies, 64 KiB",
        between: Between::Copies,
        ..Self::TRUSTING_LARGE
    };
    pub(crate) const FRAME_LARGE: Self = Self {
        name: "inline-64k",
        about: "in one thread: frame path, 64 KiB",
        between: Between::FramePath,
        ..Self::TRUSTING_LARGE
    };
}

/// Reads every byte.
fn consume(bytes: &[u8]) {
    let words = bytes.as_chunks::<8>().0.iter();
    black_box(words.fold(0_u64, |sum, word| {
        sum.wrapping_add(u64::from_ne_bytes(*word))
    }));
}

/// Writes every byte: what a module does to its parameters.
fn produce(params: &mut [u8], seq: u64) {
    params.fill(seq as u8);
    stamp(params, seq);
}

/// Statistics where the pipeline has them, and where the module finds them.
struct Buffers {
    produced: Vec<u8>,
    slot: Vec<u8>,
    params: Vec<u8>,
    seq: u64,
}

impl Buffers {
    fn new(stats: usize) -> Self {
        Self {
            produced: vec![2; stats],
            slot: vec![0; stats],
            params: vec![0; SMALL],
            seq: 0,
        }
    }

    fn publish(&mut self) {
        self.seq += 1;
        stamp(&mut self.produced, self.seq);
        self.slot.copy_from_slice(black_box(&self.produced));
    }
}

struct Trusting(Buffers);

impl Exchange for Trusting {
    fn trip(&mut self) -> Result<()> {
        let b = &mut self.0;
        b.publish();
        consume(black_box(&b.slot));
        produce(black_box(&mut b.params), b.seq);
        consume(black_box(&b.params));
        check(&b.params, b.seq)
    }
}

struct Direct {
    buffers: Buffers,
    stats: Vec<u8>,
    returned: Vec<u8>,
    accepted: Vec<u8>,
}

impl Exchange for Direct {
    fn trip(&mut self) -> Result<()> {
        let b = &mut self.buffers;
        b.publish();
        self.stats.copy_from_slice(black_box(&b.slot));
        consume(black_box(&self.stats));
        produce(black_box(&mut b.params), b.seq);
        self.returned.copy_from_slice(black_box(&b.params));
        self.accepted.copy_from_slice(black_box(&self.returned));
        consume(black_box(&self.accepted));
        check(&self.accepted, b.seq)
    }
}

struct FramePath {
    pipeline: Pipeline,
    worker: Worker,
    produced: Vec<u8>,
    accepted: Vec<u8>,
}

impl Exchange for FramePath {
    fn trip(&mut self) -> Result<()> {
        stamp(&mut self.produced, self.pipeline.next());
        let seq = self.pipeline.submit(black_box(&self.produced), u64::MAX)?;
        self.worker.take().context("the frame is not there")?;
        consume(black_box(&self.worker.stats));
        produce(black_box(&mut self.worker.params), seq);
        self.worker.answer(seq);
        self.pipeline.accept(seq, &mut self.accepted)?;
        consume(black_box(&self.accepted));
        Ok(())
    }
}

impl Contestant for Inline {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn kind(&self) -> Kind {
        Kind::Inline
    }

    fn open(&self, _: &Launch) -> Result<Pair> {
        let buffers = Buffers::new(self.stats);
        Ok(match self.between {
            Between::Trust => Pair::inline(Trusting(buffers)),
            Between::Copies => Pair::inline(Direct {
                stats: vec![0; self.stats],
                returned: vec![0; SMALL],
                accepted: vec![0; SMALL],
                buffers,
            }),
            Between::FramePath => {
                let (pipeline, segments) = Pipeline::new(self.stats)?;
                Pair::inline(FramePath {
                    worker: Worker::new(self.stats, &segments)?,
                    pipeline,
                    produced: buffers.produced,
                    accepted: buffers.params,
                })
            }
        })
    }

    fn serve(&self, _: Seat) -> Result<()> {
        anyhow::bail!("{} has no peer", self.name)
    }
}
