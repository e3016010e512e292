//! From a ticket to an outcome.

use std::os::fd::{AsFd, BorrowedFd};

use coldshoe_contract::Class;
use coldshoe_control::client::{Course, FaultReason};
use coldshoe_frame::{Count, SPURIOUS_WAKES, Status, Waited, Waiting, monotonic_ns};

use crate::flight::{Given, InFlight};
use crate::outcome::{Outcome, WhyHeld, WhySkipped};
use crate::takeover::Duty;
use crate::watch::Watch;
use crate::{Error, Session, Ticket};

/// Notices that are looked into while a frame is waited for.
const MOST_LOOKS: u32 = 4;

/// How a frame ended.
enum Landing {
    Fresh,
    Late,
    Held(WhyHeld),
    Skipped(WhySkipped),
}

impl Session {
    /// Waits for a frame's answer, at most to its deadline.
    pub fn wait(&mut self, ticket: Ticket) -> Outcome<'_> {
        let landing = self.land(ticket);
        self.account();
        let last = self.last.answer();
        match (landing, last) {
            (Landing::Fresh, Some(answer)) => Outcome::Fresh(answer),
            (Landing::Late, Some(answer)) => Outcome::Late(answer),
            (Landing::Skipped(why), last) => Outcome::Skipped { why, last },
            (Landing::Held(why), last) => Outcome::Held { why, last },
            // An answer is there once it was accepted.
            (Landing::Fresh | Landing::Late, None) => Outcome::Held {
                why: WhyHeld::Protocol,
                last: None,
            },
        }
    }

    fn land(&mut self, ticket: Ticket) -> Landing {
        self.ring();
        let id = match ticket.asked {
            Ok(id) if ticket.session == self.key => id,
            Ok(_) => return Landing::Held(WhyHeld::NotInFlight),
            Err(why) => return Landing::Skipped(why),
        };
        let (mut was_there, mut looks) = (true, 0);
        let (flying, done) = loop {
            // Another worker that takes over gives it another number.
            let Some(flying) = self.flight.flying(id) else {
                return Landing::Held(WhyHeld::NotInFlight);
            };
            match self.duty {
                _ if flying.given == Given::Lost => break (flying, false),
                Duty::Working => {
                    was_there = self.replies.is_done(flying.seq);
                    let waited = self.sleep(flying.seq, flying.deadline_ns, looks < MOST_LOOKS);
                    self.counters.spurious_wakes += u64::from(waited.spurious);
                    if !waited.done && waited.noticed && monotonic_ns() < flying.deadline_ns {
                        looks += 1;
                        // Of a worker that is gone there is news to come. One that lives may have
                        // given the notice itself, over and over, and its answer may come first.
                        match self.worker_lives() {
                            true => self.attend(),
                            false => self.await_news(flying.deadline_ns),
                        }
                        continue;
                    }
                    self.noise(waited.spurious, flying.frame);
                    break (flying, waited.done);
                }
                Duty::Awaited if monotonic_ns() < flying.deadline_ns => {
                    self.await_news(flying.deadline_ns);
                }
                Duty::Awaited | Duty::Over => break (flying, false),
            }
        };
        self.flight.land(id);
        self.took(monotonic_ns().saturating_sub(flying.begun_ns));
        self.landed(was_there);
        if done {
            return self.accept(flying);
        }
        self.counters.missed += 1;
        self.flight.give_up(flying.seq);
        self.attend();
        if flying.given == Given::Lost || self.duty != Duty::Working {
            return Landing::Held(WhyHeld::Fault);
        }
        self.missed(flying.frame, FaultReason::Deadline);
        Landing::Held(WhyHeld::Deadline)
    }

    fn took(&mut self, ns: u64) {
        self.longest_ns = self.longest_ns.max(ns);
        self.forward.note_latency(ns);
    }

    /// Writes down where whoever asks the daemon finds it.
    fn account(&mut self) {
        let counters = self.counters;
        let states = self.last.answer().map_or([0; 3], |answer| {
            let found = answer.metadata;
            [found.ae_state, found.awb_state, found.af_state].map(|state| state as u64)
        });
        for (count, value) in [
            (Count::Fresh, counters.fresh),
            (Count::Missed, counters.missed),
            (Count::Late, counters.late),
            (Count::Skipped, counters.skipped),
            (Count::ModuleErrors, counters.module_errors),
            (Count::Rejected, counters.rejected),
            (Count::RefusedBlocks, counters.refused_blocks),
            (Count::RefusedRequests, counters.refused_requests),
            (Count::ClampedRequests, counters.clamped_requests),
            (Count::Faults, counters.faults),
            (Count::Replaced, counters.replaced),
            (Count::LongestNs, self.longest_ns),
            (Count::States, states[0] | states[1] << 8 | states[2] << 16),
        ] {
            self.forward.note(count, value);
        }
    }

    /// Counts an answer that did not come or cannot be used, and speaks up when it is time.
    fn missed(&mut self, frame: u64, reason: FaultReason) {
        if self.duty == Duty::Working
            && let Some(course) = self.ladder.missed(monotonic_ns())
        {
            self.report(self.generation, course, reason, frame);
        }
    }

    fn noise(&mut self, spurious: u32, frame: u64) {
        let noisy = spurious >= SPURIOUS_WAKES;
        if let Some((course, reason)) = self.ladder.woken(noisy) {
            self.report(self.generation, course, reason, frame);
        }
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

    /// `listen`: to what the daemon has to say, too.
    fn sleep(&mut self, seq: u64, deadline_ns: u64, listen: bool) -> Waited {
        if !listen {
            return self
                .replies
                .wait_unnoticed(seq, deadline_ns, &mut self.forward);
        }
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
            Waited::AT_ONCE
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
            None => Watch::new(&self.bell, self.link.socket())?,
        };
        Ok(self.watch.insert(watch))
    }

    /// Whether nothing can be told of a frame yet.
    fn pending(&mut self, ticket: &Ticket) -> bool {
        self.ring();
        let Ok(seq) = ticket.asked else {
            return false;
        };
        let own = ticket.session == self.key;
        match own.then(|| self.flight.flying(seq)).flatten() {
            Some(flying) => {
                self.duty != Duty::Over
                    && flying.given != Given::Lost
                    && !self.replies.is_done(flying.seq)
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
        let news = match (&mut self.watch, self.link.socket()) {
            (Some(watch), socket) => watch.hear(socket)?,
            (None, _) => false,
        };
        if news || !self.link.is_up() {
            self.attend();
        }
        let Self {
            watch: Some(watch),
            duty,
            flight,
            replies,
            ..
        } = self
        else {
            return Ok(());
        };
        watch.listen()?;
        let (now, over) = (monotonic_ns(), *duty == Duty::Over);
        let over = |f: &InFlight| over || f.given == Given::Lost || f.deadline_ns <= now;
        let tell = flight.tell(|f| over(f) || replies.is_done(f.seq));
        watch.alarm(tell, flight.next_deadline(now))
    }

    fn accept(&mut self, flying: InFlight) -> Landing {
        let reply = match self.replies.take(flying.seq, &mut self.incoming) {
            Some(Ok(reply)) => reply,
            Some(Err(error)) => {
                tracing::warn!(session = self.id, frame = flying.frame, %error, "reply rejected");
                self.counters.rejected += 1;
                self.missed(flying.frame, FaultReason::Protocol);
                return Landing::Held(WhyHeld::Protocol);
            }
            None => return Landing::Held(WhyHeld::Deadline),
        };
        if reply.status == Status::ModuleError {
            self.progressed(flying.frame);
            self.counters.module_errors += 1;
            return Landing::Held(WhyHeld::ModuleError);
        }
        let Some((params_len, refused)) = self.admit(flying.frame, reply.params_len) else {
            self.counters.rejected += 1;
            self.missed(flying.frame, FaultReason::Protocol);
            self.judge(true, flying.frame);
            return Landing::Held(WhyHeld::Malformed);
        };
        self.progressed(flying.frame);
        let mut answer = reply.reply;
        let grant = self
            .guard
            .grant(flying.frame, &answer.wanted, &flying.by_hand);
        answer.wanted = grant.wanted;
        self.counters.refused_requests += u64::from(reply.refused.0) + grant.refused;
        self.counters.clamped_requests += grant.clamped;
        let violated = refused > 0 || reply.refused.0 > 0 || grant.violated;
        self.judge(violated, flying.frame);
        self.last
            .replace(flying.frame, answer, self.guard.admitted(), params_len);
        if monotonic_ns() > flying.deadline_ns {
            self.counters.late += 1;
            return Landing::Late;
        }
        self.counters.fresh += 1;
        Landing::Fresh
    }

    /// Holds the first bytes of what came against the contract: how many passed, and how many blocks
    /// did not; `None` if nothing did.
    fn admit(&mut self, frame: u64, len: usize) -> Option<(usize, u32)> {
        if len == 0 {
            return Some((0, 0));
        }
        let admitted = self.guard.admit(&self.incoming[..len]);
        let (whole, refused) = (admitted.err(), self.guard.report().refused());
        if refused > 0 {
            self.note_refusals(frame);
        }
        if let Some(error) = whole {
            // A module that goes on like this is heard of again, but not in each frame.
            if self.guard.tally().buffers().is_power_of_two() {
                tracing::warn!(session = self.id, frame, %error, "parameters rejected");
            }
        }
        Some((admitted.ok()?, refused))
    }

    fn note_refusals(&mut self, frame: u64) {
        let Self {
            guard,
            forward,
            counters,
            ..
        } = self;
        counters.refused_blocks += u64::from(guard.report().refused());
        let unknown = guard.report().unknown() as u64;
        let mut told = false;
        for refusal in guard.report().refusals() {
            let (kind, class) = (refusal.kind, refusal.reason.class());
            let (so_far, times) = match class {
                Class::Unknown => (guard.tally().unknown(), unknown),
                class => (guard.tally().count(kind, class), refusal.times.into()),
            };
            forward.note_refusal(kind.into(), class as usize, refusal.times);
            // Again and again, and rarely: each time that there are twice as many.
            let before = so_far.saturating_sub(times);
            let doubled = before.checked_ilog2() != so_far.checked_ilog2();
            if doubled && !(told && class == Class::Unknown) {
                told |= class == Class::Unknown;
                let why = guard.contract().why(refusal);
                tracing::warn!(session = self.id, frame, kind, so_far, why, "block refused");
            }
        }
        let named = guard.report().refusals().iter();
        let named = named.filter(|refusal| refusal.reason.class() == Class::Unknown);
        if let Ok(unnamed) = u32::try_from(unknown.saturating_sub(named.count() as u64))
            && unnamed > 0
        {
            // Of types that are not told apart.
            forward.note_refusal(usize::MAX, Class::Unknown as usize, unnamed);
        }
    }

    /// Takes note of whether a frame kept to the contract, and speaks up when it was one too many.
    fn judge(&mut self, violated: bool, frame: u64) {
        if self.guard.judge(violated) {
            let (generation, reason) = (self.generation, FaultReason::Contract);
            if !self.report(generation, Course::Stalled, reason, frame) {
                self.guard.not_heard();
            }
        }
    }

    fn progressed(&mut self, frame: u64) {
        if let Some(course) = self.ladder.answered(monotonic_ns()) {
            self.report(self.generation, course, FaultReason::Unspecified, frame);
        }
    }
}
