//! Moments on the clock that the kernel stamps frames with.

use std::ops::Add;
use std::time::Duration;

use coldshoe_frame::monotonic_ns;

/// A moment on CLOCK_MONOTONIC, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self(monotonic_ns())
    }

    /// From nanoseconds, as V4L2 buffers carry them.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// In nanoseconds.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it was not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let late = Moment::from_ns(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Moment::from_ns(u64::MAX));
        assert_eq!(Moment::from_ns(1).since(late), Duration::ZERO);
        assert_eq!(
            Moment::from_ns(1_500).since(Moment::from_ns(500)),
            Duration::from_micros(1)
        );
    }
}
