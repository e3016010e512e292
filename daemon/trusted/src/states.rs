//! What a module had saved: two states, the newer one first in line.
//!
//! A state may be what kills its reader. So a worker that ends soon after it was given one takes it
//! out of the line: the next gets the older one, and the one after that none.

use std::collections::VecDeque;

/// States that are kept.
const KEPT: usize = 2;
/// A worker that was given fewer frames than this had not come to terms with its state.
pub(crate) const TRIAL_FRAMES: u64 = 4;

/// The states of one session's module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct States(VecDeque<Vec<u8>>);

impl States {
    /// Of states that were saved elsewhere, the newest first.
    pub(crate) fn of(saved: Vec<Vec<u8>>) -> Self {
        Self(saved.into_iter().take(KEPT).collect())
    }

    /// What the next worker goes on from.
    pub(crate) fn next(&self) -> Option<&[u8]> {
        self.0.front().map(Vec::as_slice)
    }

    /// All of them, the newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// A worker has ended: `frames` since it started, `restored` if it had been given the state at
    /// the front, `saved` what it left, the newest first.
    pub(crate) fn after(&mut self, restored: bool, frames: u64, saved: Vec<Vec<u8>>) {
        if frames < TRIAL_FRAMES {
            if restored {
                self.0.pop_front();
            }
            return;
        }
        for state in saved.into_iter().rev() {
            self.0.push_front(state);
        }
        self.0.truncate(KEPT);
    }

    /// The module has no use for the state at the front.
    pub(crate) fn refused(&mut self) {
        self.0.pop_front();
    }

    /// Nothing that was saved is of use any more.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    fn line(states: &States) -> Vec<&str> {
        let names = states.all().map(|state| std::str::from_utf8(state));
        names.map(|name| name.unwrap()).collect()
    }

    #[test]
    fn the_newest_is_next_and_two_are_kept() {
        let mut kept = States::default();
        assert_eq!(kept.next(), None);
        kept.after(false, 100, states(&["b", "a"]));
        assert_eq!(line(&kept), ["b", "a"]);
        kept.after(true, 100, states(&["c"]));
        assert_eq!(line(&kept), ["c", "b"]);
        kept.after(true, 100, Vec::new());
        assert_eq!(line(&kept), ["c", "b"]);
    }

    #[test]
    fn a_worker_that_ends_soon_gets_the_older_one_and_then_none() {
        let mut kept = States::of(states(&["new", "old", "older"]));
        kept.after(
            true,
            TRIAL_FRAMES - 1,
            states(&["of one that was about to die"]),
        );
        assert_eq!(line(&kept), ["old"]);
        kept.after(true, 0, Vec::new());
        assert_eq!(kept.next(), None);
        kept.after(false, 0, Vec::new());
        assert_eq!(kept.next(), None);
    }

    #[test]
    fn one_that_was_given_nothing_takes_nothing_with_it() {
        let mut kept = States::of(states(&["new", "old"]));
        kept.after(false, 0, Vec::new());
        assert_eq!(line(&kept), ["new", "old"]);
    }

    #[test]
    fn one_that_lived_long_enough_did_not_die_of_its_state() {
        let mut kept = States::of(states(&["new", "old"]));
        kept.after(true, TRIAL_FRAMES, Vec::new());
        assert_eq!(line(&kept), ["new", "old"]);
    }
}
