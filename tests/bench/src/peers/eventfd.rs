//! Two eventfds, read and written by both sides: fast, and unfit for a hostile peer, who can make
//! the other side's read or write block for ever.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, ensure};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use crate::contest::{Contestant, Exchange, Kind, Pair};
use crate::launch::{Launch, Seat};

pub(crate) struct Eventfd;

struct Client {
    question: OwnedFd,
    answer: OwnedFd,
}

fn until(fd: &OwnedFd) -> Result<()> {
    let mut count = [0; 8];
    ensure!(read(fd, &mut count)? == count.len());
    Ok(())
}

fn ring(fd: &OwnedFd) -> Result<()> {
    ensure!(write(fd, &1_u64.to_ne_bytes())? == 8);
    Ok(())
}

impl Contestant for Eventfd {
    fn name(&self) -> &'static str {
        "eventfd"
    }

    fn about(&self) -> &'static str {
        "eventfd pair"
    }

    fn kind(&self) -> Kind {
        Kind::Asleep
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let question = eventfd(0, EventfdFlags::CLOEXEC)?;
        let answer = eventfd(0, EventfdFlags::CLOEXEC)?;
        let peer = launch.peer(self, &[question.as_fd(), answer.as_fd()])?;
        Ok(Pair::new(Client { question, answer }, peer))
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let (question, answer) = (seat.fd()?, seat.fd()?);
        seat.ready()?;
        for _ in 0..seat.trips {
            until(&question)?;
            ring(&answer)?;
        }
        Ok(())
    }
}

impl Exchange for Client {
    fn trip(&mut self) -> Result<()> {
        ring(&self.question)?;
        until(&self.answer)
    }
}
