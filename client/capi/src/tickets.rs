//! Tickets as numbers.
//!
//! A program in C can copy a number, change it, use it twice or in another session. So a ticket stays
//! here, in as many places as frames can be in flight, and the number only names it: which session,
//! which of its frames. What is not found here is not in flight.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use coldshoe::Ticket;

/// As many as a session has slots at most. A ticket that so many later ones followed has lost its
/// slot, too.
const PLACES: usize = 16;

/// From the top: 24 bits of the session, one of the ring, 39 of the frame. 0 names no ticket.
const SESSION: u32 = 40;
const SKIPPED: u64 = 1 << 39;
const FRAME: u64 = SKIPPED - 1;

/// The tickets of a session.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// In the top bits, different from that of other sessions of this process.
    session: u64,
    asked: Ring,
    /// In a ring of their own: frames that are skipped do not push out those in flight.
    skipped: Ring,
}

#[derive(Debug, Default)]
struct Ring {
    count: u64,
    places: [Option<(u64, Ticket)>; PLACES],
}

impl Tickets {
    pub(crate) fn new() -> Self {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        Self {
            session: SESSIONS.fetch_add(1, Relaxed) << SESSION,
            asked: Ring::default(),
            skipped: Ring::default(),
        }
    }

    /// Keeps a ticket under a number.
    pub(crate) fn put(&mut self, ticket: Ticket) -> u64 {
        let (ring, flag) = match ticket.skipped() {
            None => (&mut self.asked, 0),
            Some(_) => (&mut self.skipped, SKIPPED),
        };
        ring.count += 1;
        let number = self.session | flag | ring.count & FRAME;
        *ring.place(number) = Some((number, ticket));
        number
    }

    /// The ticket of that number, once.
    pub(crate) fn take(&mut self, number: u64) -> Option<Ticket> {
        let place = self.place(number);
        place
            .take_if(|(held, _)| *held == number)
            .map(|held| held.1)
    }

    /// Keeps a ticket that was taken for nothing.
    pub(crate) fn put_back(&mut self, number: u64, ticket: Ticket) {
        *self.place(number) = Some((number, ticket));
    }

    fn place(&mut self, number: u64) -> &mut Option<(u64, Ticket)> {
        match number & SKIPPED {
            0 => self.asked.place(number),
            _ => self.skipped.place(number),
        }
    }
}

impl Ring {
    fn place(&mut self, number: u64) -> &mut Option<(u64, Ticket)> {
        &mut self.places[((number & FRAME) % PLACES as u64) as usize]
    }
}
