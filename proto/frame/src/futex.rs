//! Sleeping on a control word and waking who sleeps on it.

use std::num::NonZeroU32;

use rustix::io::Errno;
use rustix::thread::futex::{Flags, wait_bitset, wake};
use rustix::time::Timespec;

use crate::sync::AtomicU32;

// Not private: the two sides are different processes.
const FLAGS: Flags = Flags::empty();

/// Sleeps while `word` holds `seen`, until a wake or an absolute CLOCK_MONOTONIC moment.
/// Returns for any reason at all: the caller looks at the word again. `false` if it was for a
/// signal of this process, which is nobody else's doing.
pub(crate) fn sleep(word: &AtomicU32, seen: u32, until_ns: Option<u64>) -> bool {
    const EVERY: NonZeroU32 = NonZeroU32::MAX;
    let until = until_ns.map(|ns| Timespec {
        tv_sec: (ns / 1_000_000_000).try_into().unwrap_or(i64::MAX),
        tv_nsec: (ns % 1_000_000_000) as _,
    });
    let ended = wait_bitset(word, FLAGS, seen, until.as_ref(), EVERY);
    match ended {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
        // A peer can make the word one that cannot be slept on, by FUTEX_WAIT_REQUEUE_PI. Each
        // caller's loop ends in any case.
        Err(_) => {}
    }
    ended != Err(Errno::INTR)
}

/// Wakes one sleeper.
pub(crate) fn ring(word: &AtomicU32) {
    // It can fail where a peer sleeps in a way of its own, and harms nobody else then.
    let _ = wake(word, FLAGS, 1);
}
