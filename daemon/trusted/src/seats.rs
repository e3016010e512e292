//! Places for clients and sessions: so many at a time, and of these a guest has half at most, so that no
//! user of a daemon that serves several can keep the others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;

use crate::guest::Guest;

/// A number of places.
#[derive(Debug)]
pub(crate) struct Seats {
    most: usize,
    /// What sits there, in words.
    what: &'static str,
    /// By user.
    taken: Mutex<HashMap<u32, usize>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    uid: u32,
}

impl Seats {
    pub(crate) fn new(most: usize, what: &'static str) -> Arc<Self> {
        let taken = Mutex::default();
        Arc::new(Self { most, what, taken })
    }

    /// A place for somebody, if there is one for him.
    pub(crate) fn take(self: &Arc<Self>, guest: Guest) -> Result<Seat, Trouble> {
        let mut taken = self.lock();
        let all: usize = taken.values().sum();
        let his = taken.get(&guest.uid());
        let his: usize = his.copied().unwrap_or(0);
        // One of one is not half, but is better than none.
        let share = (self.most / 2).max(1);
        let refused = |why: String| {
            let (what, remedy) = (
                self.what,
                format!("close a {} that is not needed", self.what),
            );
            Err(Trouble::new(
                ErrorCode::Limit,
                format!("no {what} is free"),
                why,
                remedy,
            ))
        };
        if all >= self.most {
            return refused(format!("all {} are open", self.most));
        }
        if !guest.is_host() && his >= share {
            return refused(format!(
                "user {} has {his}, and may have no more",
                guest.uid()
            ));
        }
        taken.insert(guest.uid(), his + 1);
        Ok(Seat {
            seats: Arc::clone(self),
            uid: guest.uid(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// It is this user's.
    pub(crate) fn pass_to(&mut self, uid: u32) {
        let mut taken = self.seats.lock();
        leave(&mut taken, self.uid);
        *taken.entry(uid).or_default() += 1;
        self.uid = uid;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        leave(&mut self.seats.lock(), self.uid);
    }
}

fn leave(taken: &mut HashMap<u32, usize>, uid: u32) {
    if let Some(his) = taken.get_mut(&uid) {
        *his -= 1;
        if *his == 0 {
            taken.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(refused: Result<Seat, Trouble>) -> String {
        refused.unwrap_err().why
    }

    #[test]
    fn a_guest_has_half_and_the_host_what_is_left() {
        let seats = Seats::new(4, "session");
        let (ada, bob, host) = (Guest::stranger(1), Guest::stranger(2), Guest::host());
        let first = seats.take(ada).unwrap();
        let _second = seats.take(ada).unwrap();
        assert_eq!(why(seats.take(ada)), "user 1 has 2, and may have no more");
        let _bobs = seats.take(bob).unwrap();
        let _hosts = seats.take(host).unwrap();
        assert_eq!(why(seats.take(host)), "all 4 are open");
        assert_eq!(why(seats.take(bob)), "all 4 are open");
        drop(first);
        seats.take(ada).unwrap();
    }

    #[test]
    fn a_seat_that_is_passed_on_counts_for_who_has_it() {
        let seats = Seats::new(4, "session");
        let mut adopted = [
            seats.take(Guest::host()).unwrap(),
            seats.take(Guest::host()).unwrap(),
        ];
        adopted.iter_mut().for_each(|seat| seat.pass_to(1));
        assert!(seats.take(Guest::stranger(1)).is_err());
        drop(adopted);
        assert!(seats.lock().is_empty());
    }

    #[test]
    fn of_one_place_a_guest_has_it() {
        let seats = Seats::new(1, "session");
        assert!(seats.take(Guest::stranger(1)).is_ok());
    }
}
