//! When missed answers are a reason to speak up.

use coldshoe_control::client::{Course, FaultReason};

/// Misses in a row that make a session degraded.
const DEGRADED: u32 = 3;
/// Misses in a row with which its worker must go.
const STALLED: u32 = 8;
/// So long without progress, and it must go as soon as the session is degraded.
const PATIENCE_NS: u64 = 250_000_000;
/// Frames in a row with as many empty wakes as are listened to, with which it must go.
const NOISY: u32 = 8;

/// Counts misses in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ladder {
    misses: u32,
    noisy: u32,
    /// When there was an answer last, or a beginning.
    progress_ns: u64,
    told: Course,
}

impl Ladder {
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            misses: 0,
            noisy: 0,
            progress_ns: now_ns,
            told: Course::Well,
        }
    }

    /// Whether the session is degraded, or worse.
    pub(crate) fn is_degraded(&self) -> bool {
        self.told != Course::Well
    }

    /// Frames begin to flow, or time has passed without any.
    pub(crate) fn begin(&mut self, now_ns: u64) {
        if self.misses == 0 {
            self.progress_ns = now_ns;
        }
    }

    /// An answer that can be used. What to tell the daemon, if anything.
    pub(crate) fn answered(&mut self, now_ns: u64) -> Option<Course> {
        self.misses = 0;
        self.progress_ns = now_ns;
        self.tell(Course::Well)
    }

    /// None. What to tell the daemon, if anything.
    pub(crate) fn missed(&mut self, now_ns: u64) -> Option<Course> {
        self.misses = self.misses.saturating_add(1);
        let waited = now_ns.saturating_sub(self.progress_ns);
        let stalled = self.misses >= STALLED || (self.misses >= DEGRADED && waited >= PATIENCE_NS);
        match self.misses {
            _ if stalled => self.tell(Course::Stalled),
            DEGRADED.. => self.tell(Course::Degraded),
            _ => None,
        }
    }

    /// A frame's wait was, or was not, full of wakes for nothing.
    pub(crate) fn woken(&mut self, noisy: bool) -> Option<(Course, FaultReason)> {
        self.noisy = if noisy {
            self.noisy.saturating_add(1)
        } else {
            0
        };
        let told = (self.noisy >= NOISY).then(|| self.tell(Course::Stalled));
        told.flatten().map(|course| (course, FaultReason::Protocol))
    }

    fn tell(&mut self, course: Course) -> Option<Course> {
        // Who is to go is not well again.
        let news = self.told != course && self.told != Course::Stalled;
        if news {
            self.told = course;
        }
        news.then_some(course)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_NS: u64 = 16_666_667;

    fn courses(frame_ns: u64, misses: u64) -> Vec<(u64, Course)> {
        let mut ladder = Ladder::new(0);
        let told = |n| Some((n, ladder.missed(n * frame_ns)?));
        (1..=misses).filter_map(told).collect()
    }

    #[test]
    fn three_misses_degrade_and_eight_end_it() {
        let expected = [(3, Course::Degraded), (8, Course::Stalled)];
        assert_eq!(courses(FRAME_NS, 100), expected);
    }

    #[test]
    fn a_quarter_of_a_second_without_progress_ends_it_sooner() {
        let expected = [(3, Course::Degraded), (5, Course::Stalled)];
        assert_eq!(courses(50_000_000, 100), expected);
        assert_eq!(courses(200_000_000, 100), [(3, Course::Stalled)]);
    }

    #[test]
    fn an_answer_in_between_is_told_once_and_counts_anew() {
        let mut ladder = Ladder::new(0);
        assert_eq!(ladder.answered(1), None);
        for now in 2..4 {
            assert_eq!(ladder.missed(now), None);
        }
        assert_eq!(ladder.missed(4), Some(Course::Degraded));
        assert!(ladder.is_degraded());
        assert_eq!(ladder.answered(5), Some(Course::Well));
        assert_eq!(ladder.answered(6), None);
        assert_eq!(ladder.missed(7), None);
    }

    #[test]
    fn eight_noisy_frames_in_a_row_end_it() {
        let mut ladder = Ladder::new(0);
        for _ in 0..7 {
            assert_eq!(ladder.woken(true), None);
        }
        assert_eq!(ladder.woken(false), None);
        let told: Vec<_> = (0..20).filter_map(|_| ladder.woken(true)).collect();
        assert_eq!(told, [(Course::Stalled, FaultReason::Protocol)]);
    }
}
