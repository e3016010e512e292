//! What is in force at which frame.

use super::limits::MAX_DELAY;

/// Values that may be on their way at once, and one more.
const PENDING: usize = MAX_DELAY as usize + 2;

/// A value now, and those that are on their way, each with the frame from which it is in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    now: f64,
    pending: [(u64, f64); PENDING],
    len: usize,
}

impl Schedule {
    pub(super) const fn new(now: f64) -> Self {
        Self {
            now,
            pending: [(0, 0.0); PENDING],
            len: 0,
        }
    }

    fn pending(&self) -> &[(u64, f64)] {
        &self.pending[..self.len]
    }

    /// What will be in force when all has arrived.
    pub(super) fn last(&self) -> f64 {
        self.pending().last().map_or(self.now, |(_, value)| *value)
    }

    /// What was in force before `frame` is told no more.
    pub(super) fn forget_before(&mut self, frame: u64) {
        let gone = self.pending().iter().take_while(|(from, _)| *from <= frame);
        let gone = gone.count();
        if gone > 0 {
            self.now = self.pending[gone - 1].1;
            self.pending.copy_within(gone..self.len, 0);
            self.len -= gone;
        }
    }

    /// `value` is in force from `frame` on, instead of whatever was to be from then on.
    pub(super) fn set(&mut self, frame: u64, value: f64) {
        self.len = self
            .pending()
            .iter()
            .take_while(|(from, _)| *from < frame)
            .count();
        // Frames go on, and those that have arrived are forgotten: there is room.
        if let Some(place) = self.pending.get_mut(self.len) {
            *place = (frame, value);
            self.len += 1;
        }
    }

    /// The values in force at the frames `from..to`, each once; none if there is no frame.
    pub(super) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = f64> + '_ {
        let starts = std::iter::once((0, self.now)).chain(self.pending().iter().copied());
        let ends = self.pending().iter().map(|(from, _)| *from);
        let ends = ends.chain(std::iter::once(u64::MAX));
        starts
            .zip(ends)
            .filter(move |((start, _), end)| from < to && *start < to && from < *end)
            .map(|((_, value), _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_force_from_its_frame_on() {
        let mut schedule = Schedule::new(1.0);
        schedule.set(5, 2.0);
        schedule.set(7, 3.0);
        let at =
            |schedule: &Schedule, frame| schedule.between(frame, frame + 1).collect::<Vec<_>>();
        let all: Vec<_> = (3..9).flat_map(|frame| at(&schedule, frame)).collect();
        assert_eq!(all, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(schedule.between(4, 8).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        assert_eq!(schedule.between(4, 4).count(), 0);
        schedule.forget_before(6);
        assert_eq!((at(&schedule, 6), schedule.last()), (vec![2.0], 3.0));
        schedule.set(7, 4.0);
        assert_eq!((at(&schedule, 7), schedule.last()), (vec![4.0], 4.0));
    }

    #[test]
    fn as_many_as_may_be_on_their_way_have_room() {
        let mut schedule = Schedule::new(0.0);
        for frame in 0..1000_u64 {
            schedule.forget_before(frame);
            let due = frame + u64::from(MAX_DELAY);
            schedule.set(due, due as f64);
            assert_eq!(schedule.last(), due as f64);
            let now = schedule.between(frame, frame + 1).next();
            let want = if frame < u64::from(MAX_DELAY) {
                0.0
            } else {
                frame as f64
            };
            assert_eq!(now, Some(want));
        }
    }
}
