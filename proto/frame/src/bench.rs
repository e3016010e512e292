//! Two words that two processes share, and nothing else: what a bench needs to measure the limit
//! of a sleeping and of a spinning peer. No part of the frame path uses this.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU32;

use crate::geometry::LINE;
use crate::mapping::{Access, Mapping};
use crate::segment::{self, SegmentError};

const QUESTION: usize = 0;
const ANSWER: usize = LINE;
const LEN: usize = 4096;

/// A question word and an answer word, each on a line of its own, both writable by either side.
/// They start at zero and may be slept on by futex.
#[derive(Debug)]
pub struct Words(Mapping);

impl Words {
    /// Makes and maps a page for two words. The descriptor is for the other process.
    pub fn create() -> Result<(Self, OwnedFd), SegmentError> {
        let fd = segment::create("coldshoe-bench", LEN)?;
        Ok((Self::map(fd.as_fd())?, fd))
    }

    /// Maps what [`Words::create`] made. The descriptor is trusted: a peer that truncates it ends
    /// this process with SIGBUS.
    pub fn map(fd: BorrowedFd<'_>) -> Result<Self, SegmentError> {
        Mapping::new(fd, LEN, Access::Write)
            .map(Self)
            .map_err(|error| SegmentError::kernel("map", error))
    }

    /// The word of the side that asks.
    pub fn question(&self) -> &AtomicU32 {
        self.0.word(QUESTION)
    }

    /// The word of the side that answers.
    pub fn answer(&self) -> &AtomicU32 {
        self.0.word(ANSWER)
    }
}
