//! When a worker that failed is followed by another, and when not any more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much failing is put up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// With this many faults of a session within the window, its module is quarantined there.
    pub faults: u32,
    /// The window.
    pub window: Duration,
    /// The pause before the second fault's successor; it doubles with each further one. The first
    /// is followed at once.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// With this many sessions in quarantine, the module is quarantined for the machine.
    pub sessions: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            faults: 6,
            window: Duration::from_secs(60),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(5),
            sessions: 3,
        }
    }
}

/// What follows a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another worker, made after this pause.
    Replace(Duration),
    /// None.
    Quarantine,
}

/// The faults of one session's module.
#[derive(Debug)]
pub(crate) struct Supervision {
    patience: Patience,
    recent: VecDeque<Instant>,
}

impl Supervision {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            patience,
            recent: VecDeque::new(),
        }
    }

    /// Another fault. `jitter`, 0 to 1, spreads the pauses of sessions that fail together by a
    /// quarter to either side.
    pub(crate) fn fault(&mut self, now: Instant, jitter: f64) -> Verdict {
        let window = self.patience.window;
        self.recent
            .retain(|then| now.saturating_duration_since(*then) < window);
        self.recent.push_back(now);
        let faults = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if faults >= self.patience.faults {
            self.recent.clear();
            return Verdict::Quarantine;
        }
        let Some(doublings) = faults.checked_sub(2) else {
            return Verdict::Replace(Duration::ZERO);
        };
        let pause = self
            .patience
            .first_pause
            .saturating_mul(1 << doublings.min(20))
            .min(self.patience.longest_pause);
        Verdict::Replace(pause.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        faults: 6,
        window: Duration::from_secs(60),
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_millis(250),
        sessions: 3,
    };

    fn verdicts(gap: Duration, number: usize, jitter: f64) -> Vec<Verdict> {
        let (mut supervision, start) = (Supervision::new(PATIENCE), Instant::now());
        let times = (0_u32..).map(|n| start + gap * n).take(number);
        times.map(|now| supervision.fault(now, jitter)).collect()
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_then_there_is_quarantine() {
        let millis = |ms| Verdict::Replace(Duration::from_millis(ms));
        let expected = [
            millis(0),
            millis(100),
            millis(200),
            millis(250),
            millis(250),
            Verdict::Quarantine,
        ];
        assert_eq!(verdicts(Duration::from_secs(1), 6, 0.5), expected);
    }

    #[test]
    fn faults_that_are_far_apart_are_followed_at_once_for_ever() {
        let verdicts = verdicts(PATIENCE.window, 100, 0.5);
        let at_once = |verdict: &Verdict| *verdict == Verdict::Replace(Duration::ZERO);
        assert!(verdicts.iter().all(at_once), "{verdicts:?}");
    }

    #[test]
    fn jitter_spreads_pauses_by_a_quarter() {
        let second = |jitter| verdicts(Duration::ZERO, 2, jitter)[1];
        assert_eq!(second(0.0), Verdict::Replace(Duration::from_millis(75)));
        assert_eq!(second(1.0), Verdict::Replace(Duration::from_millis(125)));
    }

    #[test]
    fn after_a_quarantine_counting_begins_anew() {
        let verdicts = verdicts(Duration::ZERO, 7, 0.5);
        assert_eq!(verdicts[6], Verdict::Replace(Duration::ZERO));
    }
}
