//! The limit of an awake peer: two processes that look at each other's word without pause.

use std::hint::spin_loop;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};

use anyhow::Result;
use coldshoe_frame::bench::Words;

use crate::contest::{Contestant, Exchange, Kind, Pair};
use crate::launch::{Launch, Seat};

pub(crate) struct Spin;

struct Client {
    words: Words,
    seq: u32,
}

fn until(word: &AtomicU32, value: u32) {
    while word.load(Acquire) != value {
        spin_loop();
    }
}

impl Contestant for Spin {
    fn name(&self) -> &'static str {
        "spin"
    }

    fn about(&self) -> &'static str {
        "spin on a word"
    }

    fn kind(&self) -> Kind {
        Kind::Awake
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let (words, fd) = Words::create()?;
        let peer = launch.peer(self, &[fd.as_fd()])?;
        Ok(Pair::new(Client { words, seq: 0 }, peer))
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let words = Words::map(seat.fd()?.as_fd())?;
        seat.ready()?;
        for seq in 1..=seat.trips as u32 {
            until(words.question(), seq);
            words.answer().store(seq, Release);
        }
        Ok(())
    }
}

impl Exchange for Client {
    fn trip(&mut self) -> Result<()> {
        self.seq += 1;
        self.words.question().store(self.seq, Release);
        until(self.words.answer(), self.seq);
        Ok(())
    }
}
