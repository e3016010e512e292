//! Saved states of a module, in the return segment: what the next worker goes on from.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u64 | number of the checkpoint, from 1, before the state is written |
//! | 8 | u64 | the same, after |
//! | 16 | u32 | bytes of the state |
//! | 128 | u8\[\] | the state, at most [`MAX_STATE`] bytes |
//!
//! There is room for two, written in turn, so that one is whole whenever the worker ends. What they
//! hold is the module's affair; the daemon copies it out and hands it on.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use crate::geometry::{CHECKPOINTS, LINE, MAX_STATE};
use crate::mapping::{Access, Mapping};
use crate::reply::{DONE, NOTICE};
use crate::segment::{self, SegmentError};
use crate::sync::fence;
use crate::{Geometry, futex};

const BEGIN: usize = 0;
const END: usize = 8;
const LEN: usize = 16;

/// Writes checkpoint `number` over the one before the last.
pub(crate) fn write(mapping: &Mapping, geometry: &Geometry, number: u64, state: &[u8]) {
    let at = geometry.checkpoint((number % CHECKPOINTS as u64) as usize);
    let state = &state[..state.len().min(MAX_STATE)];
    mapping.wide_word(at + BEGIN).store(number, Relaxed);
    fence(Release);
    mapping.word(at + LEN).store(state.len() as u32, Relaxed);
    mapping.write(at + LINE, state);
    mapping.wide_word(at + END).store(number, Release);
}

/// The return segment, as the daemon sees it, which made it.
#[derive(Debug)]
pub struct Custody {
    mapping: Mapping,
    geometry: Geometry,
}

// SAFETY: control words are atomics, and the rest is copied out of memory that others write to in
// any case.
unsafe impl Sync for Custody {}

impl Custody {
    /// Maps a return segment.
    pub fn map(fd: BorrowedFd<'_>, geometry: Geometry) -> Result<Self, SegmentError> {
        segment::verify_return(fd, &geometry)?;
        let mapping = Mapping::new(fd, geometry.return_len(), Access::Write)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self { mapping, geometry })
    }

    /// Tells a pipeline to look at its control socket, once, at the latest with its next frame. One that
    /// sleeps is woken; a wake that comes right before it falls asleep is lost, so do it again.
    pub fn notify(&self) {
        self.mapping.word(NOTICE).fetch_add(1, SeqCst);
        for slot in 0..self.geometry.slots() as usize {
            futex::ring(self.mapping.word(self.geometry.header(slot) + DONE));
        }
    }

    /// Copies of the checkpoints that are whole, the newest first as their writer says. Nothing in
    /// them may be believed.
    pub fn checkpoints(&self) -> Vec<Vec<u8>> {
        let mut found: Vec<_> = (0..CHECKPOINTS).filter_map(|at| self.read(at)).collect();
        found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        found.into_iter().map(|(_, state)| state).collect()
    }

    fn read(&self, index: usize) -> Option<(u64, Vec<u8>)> {
        let at = self.geometry.checkpoint(index);
        let number = self.mapping.wide_word(at + END).load(Acquire);
        let len = self.mapping.word(at + LEN).load(Relaxed) as usize;
        if number == 0 || len > MAX_STATE {
            return None;
        }
        let mut state = vec![0; len];
        self.mapping.read(at + LINE, &mut state);
        fence(Acquire);
        (self.mapping.wide_word(at + BEGIN).load(Relaxed) == number).then_some((number, state))
    }
}
