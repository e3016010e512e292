//! Frames in flight: private state, never read back from shared memory.

use coldshoe_contract::Wanted;
use coldshoe_frame::{Geometry, MAX_SLOTS};

/// A frame that has been published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct InFlight {
    /// What its ticket names it by: its first sequence number.
    pub(crate) id: u64,
    pub(crate) seq: u64,
    pub(crate) frame: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) given: Given,
    /// When it was published.
    pub(crate) begun_ns: u64,
    /// What the application sets by hand with it.
    pub(crate) by_hand: Wanted,
}

/// Whom a frame was given to. Two workers that fail with it are enough: it may be what they fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// There was none.
    NotYet,
    Once,
    Twice,
    /// To nobody any more.
    Lost,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slot {
    Free,
    /// Published, and not past its deadline when last looked at.
    Flying(InFlight),
    /// The answer to this sequence number is not waited for any more; it may still come.
    GivenUp(u64),
}

/// What each slot holds.
#[derive(Debug)]
pub(crate) struct Flight {
    slots: [Slot; MAX_SLOTS as usize],
    /// Bit n: that the frame in slot n has an outcome has been told.
    told: u32,
    /// Bit n: and it has been heard.
    heard: u32,
    len: u64,
    next: u64,
}

impl Flight {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        Self {
            slots: [Slot::Free; MAX_SLOTS as usize],
            told: 0,
            heard: 0,
            len: u64::from(geometry.slots()),
            next: 1,
        }
    }

    /// Frees the slot of the next frame, if its frame has landed or is past its deadline by
    /// `now_ns`. Returns the next frame's sequence number and what the slot held.
    pub(crate) fn claim(&mut self, now_ns: u64) -> Option<(u64, Slot)> {
        let next = self.next;
        match self.slot(next) {
            Slot::Flying(busy) if busy.deadline_ns > now_ns => None,
            slot => Some((next, std::mem::replace(slot, Slot::Free))),
        }
    }

    /// The claimed frame has been published.
    pub(crate) fn published(
        &mut self,
        frame: u64,
        deadline_ns: u64,
        given: Given,
        begun_ns: u64,
        by_hand: Wanted,
    ) -> InFlight {
        let flying = InFlight {
            begun_ns,
            by_hand,
            id: self.next,
            seq: self.next,
            frame,
            deadline_ns,
            given,
        };
        *self.slot(flying.seq) = Slot::Flying(flying);
        let bit = 1 << (flying.seq % self.len);
        self.told &= !bit;
        self.heard &= !bit;
        self.next += 1;
        flying
    }

    /// Takes a frame out of flight.
    pub(crate) fn land(&mut self, id: u64) -> Option<InFlight> {
        match *self.slot(id) {
            Slot::Flying(flying) if flying.id == id => {
                *self.slot(id) = Slot::Free;
                Some(flying)
            }
            _ => None,
        }
    }

    /// A frame that has not landed.
    pub(crate) fn flying(&mut self, id: u64) -> Option<InFlight> {
        match *self.slot(id) {
            Slot::Flying(flying) if flying.id == id => Some(flying),
            _ => None,
        }
    }

    /// Whether every frame has landed or been given up.
    pub(crate) fn is_empty(&self) -> bool {
        let flying = |slot: &Slot| matches!(slot, Slot::Flying(_));
        !self.slots.iter().any(flying)
    }

    /// Notes that it is told of all that have an outcome by now, as `has_one` says. Whether there is
    /// one that has not been heard of.
    pub(crate) fn tell(&mut self, has_one: impl Fn(&InFlight) -> bool) -> bool {
        let mut unheard = false;
        for (bit, slot) in self.slots.iter().enumerate() {
            if matches!(slot, Slot::Flying(flying) if has_one(flying)) {
                self.told |= 1 << bit;
                unheard |= self.heard & 1 << bit == 0;
            }
        }
        unheard
    }

    /// Whatever has been told has been heard: it is not told again.
    pub(crate) fn heard(&mut self) {
        self.heard |= self.told;
    }

    /// The earliest deadline to come. Of those with an answer, too: a worker may take it back.
    pub(crate) fn next_deadline(&self, now_ns: u64) -> Option<u64> {
        let flying = self.slots.iter().filter_map(|slot| match slot {
            Slot::Flying(flying) if flying.deadline_ns > now_ns => Some(flying.deadline_ns),
            _ => None,
        });
        flying.min()
    }

    /// Gives frames that are not past their deadline by `now_ns`, to two workers each at most, a later sequence number
    /// with the same slot, for another worker, and tells the old and the new one of each. Answers of the worker
    /// before do not come any more.
    pub(crate) fn renew(&mut self, now_ns: u64, mut renewed: impl FnMut(u64, u64)) -> bool {
        let mut any = false;
        for slot in &mut self.slots {
            match slot {
                Slot::Flying(flying) if flying.deadline_ns > now_ns => {
                    flying.given = match flying.given {
                        Given::NotYet => Given::Once,
                        Given::Once => Given::Twice,
                        Given::Twice | Given::Lost => {
                            flying.given = Given::Lost;
                            continue;
                        }
                    };
                    let old = flying.seq;
                    flying.seq += self.len;
                    renewed(old, flying.seq);
                    any = true;
                }
                Slot::GivenUp(_) => *slot = Slot::Free,
                _ => {}
            }
        }
        // Whatever was told of them does not hold for the new worker.
        (self.told, self.heard) = (0, 0);
        if any {
            self.next += self.len;
        }
        any
    }

    /// The newest frame, if there was one.
    pub(crate) fn newest(&self) -> u64 {
        self.next - 1
    }

    /// A landed frame's answer may still come.
    pub(crate) fn give_up(&mut self, seq: u64) {
        *self.slot(seq) = Slot::GivenUp(seq);
    }

    /// Gives up every frame in flight, and returns their number.
    pub(crate) fn give_up_all(&mut self) -> u64 {
        let mut number = 0;
        for slot in &mut self.slots {
            if let Slot::Flying(InFlight { seq, .. }) = *slot {
                *slot = Slot::GivenUp(seq);
                number += 1;
            }
        }
        number
    }

    fn slot(&mut self, seq: u64) -> &mut Slot {
        &mut self.slots[(seq % self.len) as usize]
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
            flight.published(frame, 100, Given::Once, 0, Wanted::default());
        }
        assert_eq!(flight.claim(99), None);
        let (seq, held) = flight.claim(100).unwrap();
        assert!(seq == 3 && matches!(held, Slot::Flying(InFlight { seq: 1, .. })));
        flight.published(2, 200, Given::Once, 0, Wanted::default());
        assert_eq!(flight.land(1), None);
        assert_eq!(flight.land(3).unwrap().frame, 2);
        assert_eq!(flight.land(3), None);
        assert_eq!(flight.land(2).unwrap().frame, 1);
        assert_eq!(flight.claim(0), Some((4, Slot::Free)));
    }

    #[test]
    fn what_was_told_is_told_once_and_its_deadline_comes_all_the_same() {
        let mut flight = Flight::new(&Geometry::new(4, 1, 1).unwrap());
        for frame in 0..2 {
            flight.published(frame, 100 + frame, Given::Once, 0, Wanted::default());
        }
        let of = |seq| move |flying: &InFlight| flying.seq == seq;
        assert!(
            flight.tell(of(1)) && flight.tell(of(1)),
            "nobody has heard of it"
        );
        flight.heard();
        assert!(!flight.tell(of(1)) && flight.tell(of(2)));
        assert_eq!(
            flight.next_deadline(99),
            Some(100),
            "the answer may be gone again"
        );
        assert_eq!(flight.next_deadline(100), Some(101));
        assert_eq!(flight.next_deadline(101), None);
        flight.land(1).unwrap();
        for frame in 2..5 {
            flight.published(frame, 200, Given::Once, 0, Wanted::default());
        }
        assert!(
            flight.tell(of(5)),
            "the next frame in its slot is another one"
        );
    }

    #[test]
    fn renewed_frames_keep_their_ticket_and_their_slot_and_the_next_one_comes_after_them() {
        let mut flight = Flight::new(&Geometry::new(4, 1, 1).unwrap());
        for frame in 0..3 {
            flight.published(frame, 100 + frame, Given::Once, 0, Wanted::default());
        }
        flight.give_up(2);
        let mut renewed = Vec::new();
        assert!(flight.renew(100, |old, new| renewed.push((old, new))));
        assert_eq!(
            renewed,
            [(3, 7)],
            "one is past its deadline, one was given up"
        );
        assert_eq!(flight.flying(3).unwrap().seq, 7);
        assert_eq!(flight.flying(1).unwrap().seq, 1);
        let (next, _) = flight.claim(101).unwrap();
        assert_eq!((next, flight.newest()), (8, 7));
        flight.published(3, 200, Given::Once, 0, Wanted::default());
        renewed.clear();
        assert!(flight.renew(101, |old, new| renewed.push((old, new))));
        assert_eq!(renewed, [(8, 12)], "no frame is given to a third worker");
        let lost = flight.land(3).unwrap();
        assert_eq!((lost.frame, lost.given), (2, Given::Lost));
        assert_eq!(flight.land(8).unwrap().frame, 3);
        assert!(!flight.renew(1000, |_, _| panic!("none flies")));
        assert_eq!(flight.claim(1000).unwrap().0, 13);
    }

    #[test]
    fn what_was_given_up_is_free_and_remembered() {
        let mut flight = Flight::new(&Geometry::new(2, 1, 1).unwrap());
        for frame in 0..2 {
            flight.published(frame, u64::MAX, Given::Once, 0, Wanted::default());
        }
        assert_eq!(flight.give_up_all(), 2);
        assert_eq!(flight.give_up_all(), 0);
        assert_eq!(flight.land(1), None);
        assert_eq!(flight.claim(0), Some((3, Slot::GivenUp(1))));
    }
}
