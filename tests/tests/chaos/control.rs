//! A thread that has nothing to do with sessions: what holds it up is the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
    kept: Duration,
}

/// Naps until it is asked.
pub(crate) struct Control {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Held>>,
}

impl Control {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut held = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let (from, kept) = (Instant::now(), run_delay());
                thread::sleep(NAP);
                let (to, kept) = (Instant::now(), run_delay().saturating_sub(kept));
                if to - from > LONG {
                    held.push(Held { from, to, kept });
                }
            }
            held
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Vec<Held> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only naps")
    }
}

impl Held {
    pub(crate) fn took(&self) -> Duration {
        self.to - self.from
    }

    /// Beyond what others took.
    pub(crate) fn unexplained(&self) -> Duration {
        self.took().saturating_sub(self.kept)
    }

    pub(crate) fn overlaps(&self, from: Instant, to: Instant) -> bool {
        self.from < to && from < self.to
    }
}
