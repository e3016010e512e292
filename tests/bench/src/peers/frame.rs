//! The frame path of this project between two processes, statistics and parameters written and
//! read in full, with a worker that does nothing else.

use std::hint::spin_loop;
use std::os::fd::AsFd;

use anyhow::{Result, ensure};
use coldshoe_frame::monotonic_ns;

use super::path::{Pipeline, Worker};
use super::stamp;
use crate::contest::{Contestant, Exchange, Kind, LARGE, Pair, SMALL};
use crate::jail;
use crate::launch::{Launch, Seat};

/// Far beyond any answer: who waits this long has lost its peer.
const PATIENCE_NS: u64 = 5_000_000_000;

/// What the worker is under.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walls {
    None,
    Filters,
}

pub(crate) struct Frame {
    name: &'static str,
    about: &'static str,
    stats: usize,
    walls: Walls,
    kind: Kind,
}

impl Frame {
    pub(crate) const SMALL: Self = Self {
        name: "frame-4k",
        about: "frame path, 4 KiB both ways",
        stats: SMALL,
        walls: Walls::None,
        kind: Kind::Asleep,
    };
    pub(crate) const SMALL_JAILED: Self = Self {
        name: "frame-jailed-4k",
        about: "the same under the jail's filters",
        walls: Walls::Filters,
        ..Self::SMALL
    };
    pub(crate) const LARGE: Self = Self {
        name: "frame-64k",
        about: "frame path, 64 KiB there, 4 KiB back",
        stats: LARGE,
        ..Self::SMALL
    };
    pub(crate) const LARGE_JAILED: Self = Self {
        name: "frame-jailed-64k",
        about: "the same under the jail's filters",
        walls: Walls::Filters,
        ..Self::LARGE
    };
    pub(crate) const AWAKE: Self = Self {
        name: "frame-awake-4k",
        about: "frame path, both awake, 4 KiB both ways",
        kind: Kind::Awake,
        ..Self::SMALL
    };
}

struct Client {
    pipeline: Pipeline,
    kind: Kind,
    stats: Vec<u8>,
    params: Vec<u8>,
}

impl Contestant for Frame {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let (pipeline, [forward, back]) = Pipeline::new(self.stats)?;
        let peer = launch.peer(self, &[forward.as_fd(), back.as_fd()])?;
        let client = Client {
            pipeline,
            kind: self.kind,
            stats: vec![2; self.stats],
            params: vec![0; SMALL],
        };
        Ok(Pair::new(client, peer))
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let mut worker = Worker::new(self.stats, &[seat.fd()?, seat.fd()?])?;
        if self.walls == Walls::Filters {
            jail::enter()?;
        }
        seat.ready()?;
        let mut answered = 0;
        while answered < seat.trips {
            if let Some(seq) = worker.take() {
                seat.work();
                let Worker { stats, params, .. } = &mut worker;
                params[..8].copy_from_slice(&stats[..8]);
                worker.answer(seq);
                answered += 1;
            } else if self.kind == Kind::Awake {
                spin_loop();
            } else {
                worker.sleep();
            }
        }
        Ok(())
    }
}

impl Exchange for Client {
    fn trip(&mut self) -> Result<()> {
        let deadline_ns = monotonic_ns() + PATIENCE_NS;
        stamp(&mut self.stats, self.pipeline.next());
        let seq = self.pipeline.submit(&self.stats, deadline_ns)?;
        if self.kind == Kind::Awake {
            self.pipeline.spin(seq);
        } else {
            let wake = self.pipeline.sleep(seq, deadline_ns);
            ensure!(wake.done, "the worker is gone");
        }
        self.pipeline.accept(seq, &mut self.params)
    }
}
