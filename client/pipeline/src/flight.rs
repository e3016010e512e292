//! Frames in flight: private state, never read back from shared memory.

use coldshoe_frame::{Geometry, MAX_SLOTS};

/// A frame that has been published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InFlight {
    pub(crate) seq: u64,
    pub(crate) frame: u64,
    pub(crate) deadline_ns: u64,
}

/// What each slot holds.
#[derive(Debug)]
pub(crate) struct Flight {
    slots: [Option<InFlight>; MAX_SLOTS as usize],
    len: u64,
    next: u64,
}

impl Flight {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        Self {
            slots: [None; MAX_SLOTS as usize],
            len: u64::from(geometry.slots()),
            next: 1,
        }
    }

    /// Sequence number of the next frame, if its slot is free by `now_ns`: a frame past its
    /// deadline gives its slot up, and is returned.
    pub(crate) fn claim(&mut self, now_ns: u64) -> Option<(u64, Option<InFlight>)> {
        let slot = &mut self.slots[(self.next % self.len) as usize];
        match *slot {
            Some(busy) if busy.deadline_ns > now_ns => None,
            expired => {
                *slot = None;
                Some((self.next, expired))
            }
        }
    }

    /// The claimed frame has been published.
    pub(crate) fn published(&mut self, frame: u64, deadline_ns: u64) -> InFlight {
        let flying = InFlight {
            seq: self.next,
            frame,
            deadline_ns,
        };
        self.slots[(flying.seq % self.len) as usize] = Some(flying);
        self.next += 1;
        flying
    }

    /// Takes a frame out of flight.
    pub(crate) fn land(&mut self, seq: u64) -> Option<InFlight> {
        let slot = &mut self.slots[(seq % self.len) as usize];
        slot.take_if(|flying| flying.seq == seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_gives_no_slot_until_one_lands_or_expires() {
        let mut flight = Flight::new(&Geometry::new(2, 1, 1).unwrap());
        for frame in 0..2 {
            assert!(flight.claim(0).is_some());
            flight.published(frame, 100);
        }
        assert_eq!(flight.claim(99), None);
        let (seq, expired) = flight.claim(100).unwrap();
        assert_eq!((seq, expired.unwrap().seq), (3, 1));
        flight.published(2, 200);
        assert_eq!(flight.land(1), None);
        assert_eq!(flight.land(3).unwrap().frame, 2);
        assert_eq!(flight.land(3), None);
        assert_eq!(flight.land(2).unwrap().frame, 1);
        assert_eq!(flight.claim(0), Some((4, None)));
    }
}
