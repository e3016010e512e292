//! What has happened in a session so far, as its pipeline counts: a page of the forward segment that
//! the daemon reads when somebody asks. Nothing of it decides anything.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u64\[16\] | counters, in the order of [`Count`] |
//! | 128 | u64\[96\] | frames by the time from submitting to the outcome, four to an octave from 1.024 µs |
//! | 1024 | u32\[64\]\[8\] | refused blocks by type and by reason |
//!
//! Each word is written by itself: a reader sees every counter as it was at some moment, and not all
//! of them as of the same one.

use std::sync::atomic::Ordering::Relaxed;

use crate::forward::{Forward, Nudge};

/// Types of blocks that are counted apart.
pub const KINDS: usize = 64;
/// Reasons that are counted apart.
pub const REASONS: usize = 8;
/// Times that are told apart.
const BUCKETS: usize = 96;
/// The shortest time that is told from shorter ones: its logarithm, in ns.
const SHORTEST: u32 = 10;
/// Times that are told apart in an octave: the logarithm of their number.
const STEPS: u32 = 2;

const LATENCIES: usize = 128;
const REFUSALS: usize = 1024;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Frames answered in time.
    Fresh,
    /// Frames without an answer at their deadline.
    Missed,
    /// Answers that came after that.
    Late,
    /// Frames that the module was not asked about.
    Skipped,
    /// Frames that the module answered with an error.
    ModuleErrors,
    /// Answers that were refused whole.
    Rejected,
    /// Blocks that the contract does not allow.
    RefusedBlocks,
    /// Requests to sensor and lens that are no quantity.
    RefusedRequests,
    /// Requests to sensor and lens that were granted otherwise.
    ClampedRequests,
    /// Workers that failed.
    Faults,
    /// Workers that took over.
    Replaced,
    /// The longest time from submitting a frame to its outcome, in ns.
    LongestNs,
    /// How far exposure, white balance and focus are: a byte each, from the lowest.
    States,
}

impl Count {
    const ALL: usize = Self::States as usize + 1;
}

/// A copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    counts: [u64; Count::ALL],
    latencies: [u64; BUCKETS],
    refusals: [[u32; REASONS]; KINDS],
}

impl Ledger {
    /// A counter.
    pub fn count(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// The time in which `share` (0 to 1) of the frames had their outcome, in ns, rounded up to a
    /// quarter of an octave; 0 if there was none.
    pub fn latency_ns(&self, share: f64) -> u64 {
        let all = self
            .latencies
            .iter()
            .fold(0_u64, |sum, n| sum.saturating_add(*n));
        let wanted = (all as f64 * share.clamp(0.0, 1.0)).ceil() as u64;
        let mut sum = 0_u64;
        for (bucket, frames) in self.latencies.iter().enumerate() {
            sum = sum.saturating_add(*frames);
            if sum >= wanted && sum > 0 {
                return end(bucket).min(self.count(Count::LongestNs));
            }
        }
        0
    }

    /// Blocks that were refused: type, reason, how often.
    pub fn refusals(&self) -> impl Iterator<Item = (usize, usize, u32)> + '_ {
        self.refusals.iter().enumerate().flat_map(|(kind, counts)| {
            let some = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            some.map(move |(reason, count)| (kind, reason, *count))
        })
    }
}

fn bucket(ns: u64) -> usize {
    let octave = ns.max(1).ilog2();
    if octave < SHORTEST {
        return 0;
    }
    let step = (ns >> (octave - STEPS)) as usize & ((1 << STEPS) - 1);
    let bucket = ((octave - SHORTEST) << STEPS) as usize + step;
    bucket.min(BUCKETS - 1)
}

/// The first time that is too long for a bucket.
fn end(bucket: usize) -> u64 {
    let (octave, step) = (bucket >> STEPS, bucket & ((1 << STEPS) - 1));
    let unit = 1_u64 << (octave as u32 + SHORTEST - STEPS);
    unit * ((1 << STEPS) + step as u64 + 1)
}

impl Forward {
    /// States a counter.
    pub fn note(&self, count: Count, value: u64) {
        let at = self.geometry.ledger() + count as usize * 8;
        self.mapping.wide_word(at).store(value, Relaxed);
    }

    /// A frame had its outcome so long after it was submitted.
    pub fn note_latency(&self, ns: u64) {
        let at = self.geometry.ledger() + LATENCIES + bucket(ns) * 8;
        let word = self.mapping.wide_word(at);
        word.store(word.load(Relaxed).saturating_add(1), Relaxed);
    }

    /// A block of a type was refused, for a reason, so many times. Types and reasons beyond those
    /// that are counted apart count as the last.
    pub fn note_refusal(&self, kind: usize, reason: usize, times: u32) {
        let (kind, reason) = (kind.min(KINDS - 1), reason.min(REASONS - 1));
        let at = self.geometry.ledger() + REFUSALS + (kind * REASONS + reason) * 4;
        let word = self.mapping.word(at);
        word.store(word.load(Relaxed).saturating_add(times), Relaxed);
    }
}

impl Nudge {
    /// What the pipeline has counted by now.
    pub fn ledger(&self) -> Ledger {
        let base = self.geometry.ledger();
        let wide = |at: usize| self.mapping.wide_word(base + at).load(Relaxed);
        let word = |at: usize| self.mapping.word(base + at).load(Relaxed);
        Ledger {
            counts: std::array::from_fn(|at| wide(at * 8)),
            latencies: std::array::from_fn(|at| wide(LATENCIES + at * 8)),
            refusals: std::array::from_fn(|kind| {
                std::array::from_fn(|reason| word(REFUSALS + (kind * REASONS + reason) * 4))
            }),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Geometry;
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no files")]
    fn what_the_pipeline_counts_the_daemon_reads() {
        let geometry = Geometry::new(4, 100, 100).unwrap();
        let (forward, fd) = Forward::create(geometry).unwrap();
        let nudge = Nudge::map(fd.as_fd(), &geometry).unwrap();
        assert_eq!(nudge.ledger().latency_ns(0.5), 0);
        assert_eq!(nudge.ledger().refusals().count(), 0);
        forward.note(Count::Fresh, 7);
        forward.note(Count::States, u64::MAX);
        forward.note(Count::LongestNs, 3_000_000);
        for ns in [100_000, 200_000, 3_000_000] {
            forward.note_latency(ns);
        }
        forward.note_refusal(63, 7, 2);
        forward.note_refusal(usize::MAX, usize::MAX, 1);
        forward.note_refusal(1, 0, u32::MAX);
        forward.note_refusal(1, 0, 1);
        let ledger = nudge.ledger();
        assert_eq!(ledger.count(Count::Fresh), 7);
        assert_eq!(ledger.count(Count::Missed), 0);
        assert_eq!(ledger.count(Count::States), u64::MAX);
        let found: Vec<_> = ledger.refusals().collect();
        assert_eq!(found, [(1, 0, u32::MAX), (63, 7, 3)]);
        assert!((200_000..250_000).contains(&ledger.latency_ns(0.5)));
        assert_eq!(ledger.latency_ns(1.0), 3_000_000);
    }

    proptest! {
        #![proptest_config(crate::cases())]

        #[test]
        fn a_time_lies_in_its_bucket(ns in prop_oneof![any::<u64>(), 0..1_u64 << 35]) {
            let at = bucket(ns);
            prop_assert!(at < BUCKETS);
            prop_assert!(at == BUCKETS - 1 || ns < end(at));
            prop_assert!(at == 0 || ns >= end(at - 1));
        }
    }
}
