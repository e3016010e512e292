//! Threads that have nothing to do with sessions, one on each processor: what holds them up is the
//! machine. A virtual machine loses its processors for tens of milliseconds now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::process::run_delay;

const NAP: Duration = Duration::from_millis(1);
/// What is noted: a frame that has so much less time is late.
const LONG: Duration = Duration::from_millis(10);

/// A nap that took long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    from: Instant,
    to: Instant,
    /// Of that, ready to run while others ran.
    pub(crate) kept: Duration,
}

/// They nap until they are asked.
pub(crate) struct Control {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Held>>>,
}

impl Control {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let allowed = sched_getaffinity(None).expect("our own");
        let processors = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let threads = processors
            .map(|processor| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || nap(processor, &stop))
            })
            .collect();
        Self { stop, threads }
    }

    pub(crate) fn stop(self) -> Vec<Held> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.threads.into_iter().map(JoinHandle::join);
        joined
            .flat_map(|held| held.expect("it only naps"))
            .collect()
    }
}

fn nap(processor: usize, stop: &AtomicBool) -> Vec<Held> {
    let mut own = CpuSet::new();
    own.set(processor);
    sched_setaffinity(None, &own).expect("one of those that are allowed");
    let mut held = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (from, kept) = (Instant::now(), run_delay());
        thread::sleep(NAP);
        let (to, kept) = (Instant::now(), run_delay().saturating_sub(kept));
        if to - from > LONG {
            held.push(Held { from, to, kept });
        }
    }
    held
}

impl Held {
    pub(crate) fn took(&self) -> Duration {
        self.to - self.from
    }

    pub(crate) fn overlaps(&self, from: Instant, to: Instant) -> bool {
        self.from < to && from < self.to
    }
}
