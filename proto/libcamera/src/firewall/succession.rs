//! Another worker in the place of the last one.

use std::time::Instant;

use super::worker::{Refused, checked_event, untimely};
use super::{EVENTS_PER_CALL, Firewall, Phase, Waiting};
use crate::Wrong;
use crate::buffers::Buffers;
use crate::message::{Frames, Message};

impl<F, B: Buffers<F>> Firewall<F, B> {
    /// What a new worker says while it is told what the last one knew. The maps in it count.
    pub(super) fn replayed(
        &mut self,
        message: &Message<F>,
        now: Instant,
    ) -> Result<Option<Message<F>>, Refused> {
        let Some(dialect) = self.dialect.clone() else {
            return Ok(None);
        };
        let Phase::Replay { left, asked, .. } = &self.phase else {
            return Ok(None);
        };
        let answers = left.front().is_some_and(|said| {
            let of = &said.message;
            *asked && (of.command(), of.cookie()) == (message.command(), message.cookie())
        });
        if !answers {
            let event = dialect.event(message.command());
            if let Some(event) = event.filter(|_| message.cookie() == 0) {
                self.spend()?;
                checked_event(&mut self.handles, &dialect, event, message, false)?;
                return Ok(None);
            }
            let why = "what it says answers nothing that it was asked";
            return Err(untimely(why.to_owned()));
        }
        let (well, _) = self.checked_answer(&dialect, message, false)?;
        if !well {
            let call = dialect.call(message.command());
            let name = call.map_or("a call", |call| call.name.as_str());
            let why = format!("{name}() went well in the worker before, and fails now");
            return Err(Refused::Malformed(Wrong::new(why)));
        }
        if let Phase::Replay { left, asked, due } = &mut self.phase {
            left.pop_front();
            *asked = false;
            if !self.loaded {
                *due = now + self.limits.answer;
            }
        }
        // init() comes first.
        self.loaded = true;
        Ok(None)
    }

    /// Whether another worker could be told what it needs to know.
    #[must_use]
    pub fn can_replace(&self) -> bool {
        self.dialect.is_some() && self.record.is_complete()
    }

    /// There is another worker, which knows nothing yet. False: it cannot be told what it needs to
    /// know.
    #[must_use]
    pub fn worker_replaced(&mut self, now: Instant) -> bool {
        let Some(left) = self.record.all().filter(|_| self.dialect.is_some()) else {
            return false;
        };
        self.counts.replaced += 1;
        self.loaded = false;
        self.from_worker = Frames::default();
        self.handles.another_worker();
        self.strikes = 0;
        self.credit = EVENTS_PER_CALL;
        self.phase = Phase::Replay {
            left: left.into(),
            asked: false,
            due: now + self.limits.patience,
        };
        let pending = self.pending.drain(..);
        let pending = pending.map(|call| (call.order, call.original, call.since));
        let unanswered = self.unanswered.drain(..);
        let unanswered = unanswered.map(|call| (call.order, call.original, now));
        let again = pending.chain(unanswered);
        let mut again: Vec<_> = again
            .map(|(order, message, since)| Waiting {
                order,
                message,
                since,
                again: true,
            })
            .collect();
        again.sort_by_key(|call| call.order);
        for call in again.into_iter().rev() {
            self.waiting.push_front(call);
        }
        true
    }
}
