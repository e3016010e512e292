//! From a ticket to an outcome.

use std::os::fd::{AsFd, BorrowedFd};

use coldshoe_frame::{Status, Waited, Waiting, monotonic_ns};
use coldshoe_isp::{Blocks, FormatTable};

use crate::flight::InFlight;
use crate::outcome::{Outcome, WhyHeld};
use crate::watch::Watch;
use crate::{Error, Session, Ticket};

impl Session {
    /// Waits for a frame's answer, at most to its deadline.
    pub fn wait(&mut self, ticket: Ticket) -> Outcome<'_> {
        self.ring();
        let seq = match ticket.asked {
            Ok(seq) if ticket.session == self.id => seq,
            Ok(_) => return self.held(WhyHeld::NotInFlight),
            Err(why) => {
                let last = self.last.answer();
                return Outcome::Skipped { why, last };
            }
        };
        let Some(flying) = self.flight.land(seq) else {
            return self.held(WhyHeld::NotInFlight);
        };
        // A worker that is known to be dead is not waited for.
        let deadline = if self.connection.knows_fault() {
            0
        } else {
            flying.deadline_ns
        };
        let was_there = self.replies.is_done(seq);
        let Waited { done, spurious } = self.sleep(seq, deadline);
        self.counters.spurious_wakes += u64::from(spurious);
        self.landed(was_there);
        if done {
            return self.accept(flying);
        }
        self.counters.missed += 1;
        self.flight.give_up(flying.seq);
        let faulted = self.connection.fault().is_some();
        self.held(if faulted {
            WhyHeld::Fault
        } else {
            WhyHeld::Deadline
        })
    }

    /// Asks for what else is in flight, where somebody watches and what was asked for before does
    /// not hold any more.
    fn landed(&mut self, was_there: bool) {
        let last = self.flight.is_empty();
        if last {
            self.forward.set_waiting(Waiting::No);
        }
        let Some(watch) = &mut self.watch else {
            return;
        };
        let (spurious, stale) = watch.landed();
        self.counters.spurious_wakes += u64::from(spurious);
        // What cannot be asked for here cannot be when a ticket is tried, either, where it matters.
        let _ = match (last, stale || !was_there) {
            (true, true) => watch.alarm(false, None),
            (false, true) => self.listen(),
            (_, false) => Ok(()),
        };
    }

    fn sleep(&mut self, seq: u64, deadline_ns: u64) -> Waited {
        let Some(patience) = &mut self.patience else {
            return self.replies.wait(seq, deadline_ns, &mut self.forward);
        };
        let began = monotonic_ns();
        let awake = patience.awake_ns();
        let spun = awake.is_some_and(|awake| {
            let until = began.saturating_add(awake).min(deadline_ns);
            self.replies.spin(seq, until)
        });
        let waited = if spun {
            Waited {
                done: true,
                spurious: 0,
            }
        } else {
            self.replies.wait(seq, deadline_ns, &mut self.forward)
        };
        patience.took(monotonic_ns().saturating_sub(began));
        waited
    }

    /// The outcome of a frame if it can be told by now: the answer is there, or nothing will come
    /// any more. Else gives the ticket back, and [`poll_fd`](Self::poll_fd) becomes readable when it
    /// is worth while to try again, at its deadline at the latest. Never waits.
    ///
    /// When that descriptor is readable, ask for the [`fault`](Self::fault), then try every frame in
    /// flight: what can be told of a frame makes it readable once.
    ///
    /// # Errors
    /// The ticket, to try again with.
    pub fn try_wait(&mut self, ticket: Ticket) -> Result<Outcome<'_>, Ticket> {
        if self.pending(&ticket) {
            // Where nothing can be watched, it is the caller's affair when to try again: `poll_fd`
            // says so.
            let _ = self.listen();
            if self.pending(&ticket) {
                return Err(ticket);
            }
        }
        Ok(self.wait(ticket))
    }

    /// For event loops: readable when [`try_wait`](Self::try_wait) may have an outcome for a
    /// ticket that it gave back, and when the daemon has something to say. Not to be read from.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>, Error> {
        let watch: &Watch = self.watch()?;
        Ok(watch.as_fd())
    }

    /// The outcome of a frame, on tokio. One frame can be awaited at a time; with several in
    /// flight, await them in their order. If the future is dropped the ticket is gone, and its
    /// slot is free again at the frame's deadline.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or in one without I/O.
    #[cfg(feature = "tokio")]
    pub async fn answered(&mut self, ticket: Ticket) -> Outcome<'_> {
        while self.pending(&ticket) && self.listen().is_ok() && self.pending(&ticket) {
            let Ok(watch) = self.watch() else { break };
            if watch.heard().await.is_err() {
                break;
            }
            self.flight.heard();
        }
        // If nothing could be watched, this waits on the thread, and no longer than to the deadline.
        self.wait(ticket)
    }

    fn watch(&mut self) -> Result<&mut Watch, Error> {
        let watch = match self.watch.take() {
            Some(watch) => watch,
            None => Watch::new(&self.bell, &self.connection)?,
        };
        Ok(self.watch.insert(watch))
    }

    /// Whether nothing can be told of a frame yet.
    fn pending(&mut self, ticket: &Ticket) -> bool {
        self.ring();
        let Ok(seq) = ticket.asked else {
            return false;
        };
        let own = ticket.session == self.id;
        match own.then(|| self.flight.flying(seq)).flatten() {
            Some(flying) => {
                !self.connection.knows_fault()
                    && !self.replies.is_done(seq)
                    && monotonic_ns() < flying.deadline_ns
            }
            None => false,
        }
    }

    /// Sees to it that the watched descriptor becomes readable when something can be told of a
    /// frame in flight of which nothing has been told yet.
    pub(crate) fn listen(&mut self) -> Result<(), Error> {
        // Before the look below: an answer that it does not see rings.
        if !self.flight.is_empty() {
            self.forward.set_waiting(Waiting::Bell);
        }
        self.watch()?;
        let Self {
            watch: Some(watch),
            connection,
            flight,
            replies,
            ..
        } = self
        else {
            return Ok(());
        };
        watch.hear(connection)?;
        watch.listen()?;
        let (now, over) = (monotonic_ns(), connection.knows_fault());
        let tell = flight.tell(|f| over || replies.is_done(f.seq) || f.deadline_ns <= now);
        watch.alarm(tell, flight.next_deadline(now))
    }

    fn accept(&mut self, flying: InFlight) -> Outcome<'_> {
        let reply = match self.replies.take(flying.seq, &mut self.incoming) {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => {
                tracing::warn!(session = self.id, frame = flying.frame, %error, "reply rejected");
                self.counters.rejected += 1;
                return self.held(WhyHeld::Protocol);
            }
            None => return self.held(WhyHeld::Deadline),
        };
        if reply.status == Status::ModuleError {
            self.counters.module_errors += 1;
            return self.held(WhyHeld::ModuleError);
        }
        if reply.params_len > 0
            && let Err(error) = check(&self.incoming[..reply.params_len], self.format)
        {
            tracing::warn!(
                session = self.id,
                frame = flying.frame,
                error,
                "parameters rejected"
            );
            self.counters.rejected += 1;
            return self.held(WhyHeld::Malformed);
        }
        self.counters.refused_requests += u64::from(reply.refused.0);
        self.last.replace(
            flying.frame,
            reply.reply,
            &mut self.incoming,
            reply.params_len,
        );
        let late = monotonic_ns() > flying.deadline_ns;
        let counter = match late {
            true => &mut self.counters.late,
            false => &mut self.counters.fresh,
        };
        *counter += 1;
        match self.last.answer() {
            Some(answer) if late => Outcome::Late(answer),
            Some(answer) => Outcome::Fresh(answer),
            // It has just been put there.
            None => self.held(WhyHeld::Protocol),
        }
    }

    fn held(&self, why: WhyHeld) -> Outcome<'_> {
        let last = self.last.answer();
        Outcome::Held { why, last }
    }
}

/// Framing of any format; version, types and sizes of a known one.
fn check(params: &[u8], format: Option<FormatTable<'_>>) -> Result<(), String> {
    let blocks = Blocks::parse(params).map_err(|error| error.to_string())?;
    match format {
        Some(table) => table.check(&blocks).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}
