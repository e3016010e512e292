//! Threads that have nothing to do with sessions, one on each processor: what holds them up is the
//! machine. A virtual machine loses its processors for tens of milliseconds now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const NAP: Duration = Duration::from_millis(1);
/// What is noted: a frame that has so much less time is late.
const LONG: Duration = Duration::from_millis(10);

/// A nap that took long.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    from: Instant,
    to: Instant,
    /// Of that, ready to run while others ran.
    pub kept: Duration,
}

/// They nap until they are asked.
#[derive(Debug)]
pub struct Control {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Held>>>,
}

impl Control {
    /// Lets them nap.
    pub fn start() -> Self {
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

    /// Ends it: the naps that took long.
    pub fn stop(self) -> Vec<Held> {
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

/// For how long this thread was ready to run and others ran; zero where the kernel does not count.
pub fn run_delay() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = counted.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Whether something would have taken less than `limit` without as long as the machine held up a
/// thread that only naps, meanwhile. What others kept a processor for is not the machine's doing:
/// they may be ours.
pub fn is_in_time(held: &[Held], begun: Instant, over: Instant, limit: Duration) -> bool {
    let longest = held.iter().map(|held| held.between(begun, over)).max();
    (over - begun).saturating_sub(longest.unwrap_or_default()) < limit
}

impl Held {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.to - self.from
    }

    /// How much of it the machine held it up between two moments, at least.
    fn between(&self, from: Instant, to: Instant) -> Duration {
        let common = self
            .to
            .min(to)
            .saturating_duration_since(self.from.max(from));
        common.saturating_sub(self.kept)
    }

    /// Whether any of it was between two moments.
    pub fn overlaps(&self, from: Instant, to: Instant) -> bool {
        self.from < to && from < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A nap of `nap` ms from 10 ms on, of which others ran `kept`, beside a frame from 0 ms to 30.
    fn in_time(nap: u64, kept: u64, limit: u64) -> bool {
        let (begun, ms) = (Instant::now(), Duration::from_millis);
        let held = Held {
            from: begun + ms(10),
            to: begun + ms(10 + nap),
            kept: ms(kept),
        };
        is_in_time(&[held], begun, begun + ms(30), ms(limit))
    }

    #[test]
    fn only_what_the_machine_took_out_of_the_frame_is_taken_off() {
        assert!(!in_time(0, 0, 30));
        assert!(in_time(12, 0, 20));
        assert!(!in_time(12, 3, 20), "others ran");
        assert!(!in_time(100, 0, 10), "after the frame nothing counts");
        assert!(in_time(100, 0, 11));
        assert!(!in_time(100, 5, 11));
    }
}
