//! The limit of a sleeping peer: two processes that wake each other through two words.

use std::os::fd::AsFd;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::Result;
use coldshoe_frame::bench::Words;
use rustix::thread::futex::{Flags, wait, wake};

use crate::contest::{Contestant, Exchange, Kind, Pair};
use crate::launch::{Launch, Seat};

pub(crate) struct Futex;

struct Client {
    words: Words,
    seq: u32,
}

fn until(word: &AtomicU32, value: u32) {
    loop {
        let seen = word.load(SeqCst);
        if seen == value {
            return;
        }
        // Whatever ends it, the word is looked at again.
        let _ = wait(word, Flags::empty(), seen, None);
    }
}

fn set(word: &AtomicU32, value: u32) {
    word.store(value, SeqCst);
    let _ = wake(word, Flags::empty(), 1);
}

impl Contestant for Futex {
    fn name(&self) -> &'static str {
        "futex"
    }

    fn about(&self) -> &'static str {
        "raw futex ping-pong"
    }

    fn kind(&self) -> Kind {
        Kind::Asleep
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
            set(words.answer(), seq);
        }
        Ok(())
    }
}

impl Exchange for Client {
    fn trip(&mut self) -> Result<()> {
        self.seq += 1;
        set(self.words.question(), self.seq);
        until(self.words.answer(), self.seq);
        Ok(())
    }
}
