//! How often a session is told of, at most.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Within a window.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Counts what is told of each session.
#[derive(Debug, Default)]
pub(super) struct Rate<T> {
    sessions: BTreeMap<u64, Told<T>>,
}

#[derive(Debug)]
struct Told<T> {
    since: Instant,
    told: u32,
    left_out: u32,
    /// The last that was left out.
    last: Option<T>,
}

impl<T> Rate<T> {
    /// Whether this is to be told; if not, it is kept until the window is over.
    pub(super) fn admit(&mut self, session: u64, what: T, now: Instant) -> Option<T> {
        let entry = self.sessions.entry(session).or_insert(Told {
            since: now,
            told: 0,
            left_out: 0,
            last: None,
        });
        if entry.told < MOST {
            entry.told += 1;
            return Some(what);
        }
        entry.left_out = entry.left_out.saturating_add(1);
        entry.last = Some(what);
        None
    }

    /// Windows that are over: of each the last that was left out, and how many were.
    pub(super) fn over(&mut self, now: Instant) -> Vec<(T, u32)> {
        let mut summaries = Vec::new();
        self.sessions.retain(|_, entry| {
            if now.saturating_duration_since(entry.since) < WINDOW {
                return true;
            }
            if let Some(last) = entry.last.take() {
                summaries.push((last, entry.left_out));
            }
            false
        });
        summaries
    }

    /// When the next window is over.
    pub(super) fn next(&self) -> Option<Instant> {
        let ends = self.sessions.values().map(|entry| entry.since + WINDOW);
        ends.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_are_told_and_then_how_many_were_left_out() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let told = (0..25).filter(|n| rate.admit(1, *n, start).is_some());
        assert_eq!(told.count(), 10);
        assert_eq!(rate.admit(2, 99, start), Some(99));
        assert!(rate.over(start).is_empty());
        let end = rate.next().unwrap();
        assert_eq!(rate.over(end), [(24, 15)]);
        assert_eq!(rate.next(), None);
        assert_eq!(rate.admit(1, 7, end), Some(7));
    }
}
