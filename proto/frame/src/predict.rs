//! When the next frame is due.
//!
//! Waking a processor that sleeps costs more than everything else about a frame. A worker with a
//! processor of its own can be awake when the frame comes: it sleeps until shortly before, and
//! stays awake for a moment around the time that the last frames make likely. Its own wake-up takes
//! its time, too, so that it is ordered that much earlier. The moment is a bounded share of the time
//! between frames.

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

/// A wake-up is ordered at most this part of a period before its time.
const MAX_LEAD: u64 = 32;
/// How fast the time that waking up takes follows when it grows, and when it shrinks.
const LEAD_UP: i64 = 4;
const LEAD_DOWN: i64 = 32;

/// When to be awake, on CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When to order the wake-up for.
    pub wake_ns: u64,
    /// The frame is not expected any more.
    pub until_ns: u64,
    /// Awake for no longer than this, whenever that begins.
    pub awake_ns: u64,
}

impl Window {
    /// To when to stay awake, from waking up at `now_ns` on.
    pub fn end(&self, now_ns: u64) -> u64 {
        self.until_ns.min(now_ns.saturating_add(self.awake_ns))
    }
}

/// Learns the rhythm of the frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Predictor {
    last_ns: u64,
    period_ns: u64,
    spread_ns: u64,
    lead_ns: u64,
    seen: u32,
}

fn follow(value: u64, to: u64, smoothing: i64) -> u64 {
    let step = (to as i64).wrapping_sub(value as i64) / smoothing;
    value.saturating_add_signed(step)
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
        self.period_ns = follow(self.period_ns, interval, SMOOTHING);
        self.spread_ns = follow(self.spread_ns, off, SMOOTHING);
        self.seen = (self.seen + 1).min(HISTORY);
    }

    /// A wake-up that was ordered for `wake_ns` has come at `now_ns`.
    pub fn woke(&mut self, wake_ns: u64, now_ns: u64) {
        let late = now_ns
            .saturating_sub(wake_ns)
            .min(self.period_ns / MAX_LEAD);
        let smoothing = match late > self.lead_ns {
            true => LEAD_UP,
            false => LEAD_DOWN,
        };
        self.lead_ns = follow(self.lead_ns, late, smoothing);
    }

    /// When to be awake for the next frame. None while there is no rhythm, and none when that
    /// time is over by `now_ns`.
    pub fn next(&self, now_ns: u64) -> Option<Window> {
        let due = self.last_ns.checked_add(self.period_ns)?;
        let guard = self
            .spread_ns
            .saturating_mul(4)
            .max(MIN_GUARD_NS)
            .min(self.period_ns / MAX_GUARD);
        let window = Window {
            wake_ns: due.saturating_sub(guard + self.lead_ns),
            until_ns: due.saturating_add(guard),
            awake_ns: 2 * guard,
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
        assert!(window.wake_ns < due && due < window.until_ns);
        assert!(window.until_ns - window.wake_ns <= 2 * MIN_GUARD_NS);
    }

    #[test]
    fn a_slow_wake_up_is_ordered_earlier_and_makes_nobody_stay_awake_longer() {
        let mut predictor = steady(60);
        let before = predictor.next(60 * PERIOD).unwrap();
        for _ in 0..40 {
            predictor.woke(1_000, 1_000 + 50_000);
        }
        let after = predictor.next(60 * PERIOD).unwrap();
        let earlier = before.wake_ns - after.wake_ns;
        assert!((49_000..=50_000).contains(&earlier), "{earlier}");
        assert_eq!(
            (after.until_ns, after.awake_ns),
            (before.until_ns, before.awake_ns)
        );
        assert_eq!(after.end(after.wake_ns + 50_000), after.until_ns);
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
        #![proptest_config(crate::cases())]

        #[test]
        fn being_awake_costs_a_bounded_share(times in proptest::collection::vec(0..u64::MAX / 2, 0..40)) {
            let mut predictor = Predictor::default();
            for time in times {
                predictor.arrived(time);
                if let Some(window) = predictor.next(time) {
                    predictor.woke(window.wake_ns, time);
                    let awake = window.end(window.wake_ns) - window.wake_ns;
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
                        .is_some_and(|window| (window.wake_ns..window.until_ns).contains(&at)),
                );
                predictor.arrived(at);
            }
            prop_assert!(met >= 80, "{met} of 100");
        }
    }
}
