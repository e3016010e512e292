//! When the next frame is due.
//!
//! Waking a processor that sleeps costs more than everything else about a frame. A worker with a
//! processor of its own can be awake when the frame comes: it sleeps until shortly before, and
//! stays awake for a moment around the time that the last frames make likely. The moment is a
//! bounded share of the time between frames.

/// Frames that are looked at before anything is predicted.
const HISTORY: u32 = 4;
/// How fast period and spread follow: one part in so many of each difference.
const SMOOTHING: i64 = 8;
/// Before and after the expected time, at least.
const MIN_GUARD_NS: u64 = 20_000;
/// At most this part of a period on either side of the expected time: 1/96 twice is 2.1 % of a
/// processor in the worst case.
const MAX_GUARD: u64 = 96;
/// A frame this part of a period too early or too late begins a new rhythm.
const MAX_SPREAD: u64 = 4;

/// When to be awake, on CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here.
    pub from_ns: u64,
    /// To here.
    pub until_ns: u64,
}

/// Learns the rhythm of the frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Predictor {
    last_ns: u64,
    period_ns: u64,
    spread_ns: u64,
    seen: u32,
}

impl Predictor {
    /// A frame has come at `now_ns`.
    pub fn arrived(&mut self, now_ns: u64) {
        let interval = now_ns.saturating_sub(self.last_ns);
        let off = interval.abs_diff(self.period_ns);
        self.last_ns = now_ns;
        if self.seen < 2 || off > self.period_ns / MAX_SPREAD {
            self.period_ns = interval;
            self.spread_ns = interval / MAX_SPREAD;
            self.seen = (self.seen + 1).min(2);
            return;
        }
        let follow = |value: u64, to: u64| {
            let step = (to as i64 - value as i64) / SMOOTHING;
            value.saturating_add_signed(step)
        };
        self.period_ns = follow(self.period_ns, interval);
        self.spread_ns = follow(self.spread_ns, off);
        self.seen = (self.seen + 1).min(HISTORY);
    }

    /// When to be awake for the next frame. None while there is no rhythm, and none when that
    /// time is over by `now_ns`.
    pub fn next(&self, now_ns: u64) -> Option<Window> {
        let due = self.last_ns.checked_add(self.period_ns)?;
        let guard = (4 * self.spread_ns)
            .max(MIN_GUARD_NS)
            .min(self.period_ns / MAX_GUARD);
        let window = Window {
            from_ns: due.saturating_sub(guard),
            until_ns: due.saturating_add(guard),
        };
        (self.seen == HISTORY && now_ns < window.until_ns).then_some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: u64 = 8_333_333;

    fn steady(frames: u64) -> Predictor {
        let mut predictor = Predictor::default();
        for frame in 1..=frames {
            predictor.arrived(frame * PERIOD);
        }
        predictor
    }

    #[test]
    fn nothing_is_predicted_from_nothing() {
        for frames in 0..HISTORY as u64 {
            assert_eq!(steady(frames).next(0), None, "{frames}");
        }
    }

    #[test]
    fn a_steady_rhythm_is_met_by_a_small_window() {
        let window = steady(60).next(60 * PERIOD).unwrap();
        let due = 61 * PERIOD;
        assert!(window.from_ns < due && due < window.until_ns);
        assert!(window.until_ns - window.from_ns <= 2 * MIN_GUARD_NS);
    }

    #[test]
    fn what_is_over_is_not_waited_for() {
        assert_eq!(steady(60).next(61 * PERIOD + MIN_GUARD_NS), None);
    }

    #[test]
    fn a_pause_begins_a_new_rhythm() {
        let mut predictor = steady(60);
        predictor.arrived(63 * PERIOD);
        assert_eq!(predictor.next(63 * PERIOD), None);
    }

    proptest! {
        #[test]
        fn being_awake_costs_a_bounded_share(times in proptest::collection::vec(0..u64::MAX / 2, 0..40)) {
            let mut predictor = Predictor::default();
            for time in times {
                predictor.arrived(time);
                if let Some(window) = predictor.next(time) {
                    let awake = window.until_ns - window.from_ns;
                    prop_assert!(awake <= predictor.period_ns / (MAX_GUARD / 2) + 1);
                }
            }
        }

        #[test]
        fn jitter_is_met(jitter in proptest::collection::vec(-20_000_i64..20_000, 100)) {
            let mut predictor = Predictor::default();
            let mut met = 0;
            for (frame, jitter) in (1_u64..).zip(jitter) {
                let at = (frame * PERIOD).saturating_add_signed(jitter);
                met += u32::from(
                    predictor
                        .next(at - PERIOD / 2)
                        .is_some_and(|window| (window.from_ns..window.until_ns).contains(&at)),
                );
                predictor.arrived(at);
            }
            prop_assert!(met >= 80, "{met} of 100");
        }
    }
}
