//! What the worker says, and what the host hears of it.

use std::time::Instant;

use super::{EXIT, Firewall, Pending, Phase, Verdict};
use crate::Wrong;
use crate::body::{Side, Walk, Walked};
use crate::buffers::Buffers;
use crate::handles::Handles;
use crate::interface::{Dialect, Event};
use crate::message::Message;

/// Largest number of an event of an interface that is not known.
const MAX_EVENT: u32 = 32;
/// Field of an event with the bytes of parameters.
const USED: &str = "bytesused";

/// Why a message does not pass.
pub(super) enum Refused {
    /// A worker may be as slow as that.
    Untimely(Wrong),
    /// No worker of libcamera's says it.
    Malformed(Wrong),
}

impl<F, B: Buffers<F>> Firewall<F, B> {
    /// A datagram of the worker's.
    pub fn worker(&mut self, bytes: &[u8], fds: Vec<F>, now: Instant) -> Verdict<F> {
        let message = match self.from_worker.datagram(bytes, fds) {
            Ok(None) => return Verdict::Half,
            Ok(Some(message)) => message,
            Err(broken) => return self.fault(Wrong::new(broken.to_string())),
        };
        let replaying = matches!(self.phase, Phase::Replay { .. });
        let verdict = if replaying {
            self.replayed(&message, now)
        } else if self.is_answer(&message) {
            self.answer(message, now)
        } else {
            self.event(&message)
        };
        self.handles.hears(matches!(verdict, Ok(Some(_))));
        match verdict {
            Ok(Some(message)) => {
                self.counts.passed += 1;
                Verdict::Pass(message)
            }
            Ok(None) => Verdict::Swallowed,
            Err(Refused::Untimely(why)) => {
                self.strikes += 1;
                if self.strikes > self.limits.drops {
                    let Wrong(why) = why;
                    return self.fault(Wrong::new(format!("once too often: {why}")));
                }
                self.counts.dropped += 1;
                Verdict::Dropped(why)
            }
            Err(Refused::Malformed(why)) => self.fault(why),
        }
    }

    fn fault(&mut self, why: Wrong) -> Verdict<F> {
        self.counts.dropped += 1;
        Verdict::Fault(why)
    }

    /// Cookie 0 is that of events and of init(), and of another call once the host has counted through.
    fn is_answer(&self, message: &Message<F>) -> bool {
        let mut pending = self.pending.iter();
        message.cookie() != 0
            || !self.initialised
            || self.may_wait_for_0
            || pending.any(|call| call.original.cookie() == 0)
    }

    fn answer(&mut self, message: Message<F>, now: Instant) -> Result<Option<Message<F>>, Refused> {
        let (command, cookie) = (message.command(), message.cookie());
        let waits = |pending: &Pending<F>| pending.said.message.cookie() == cookie;
        let Some(index) = self.pending.iter().position(waits) else {
            return Err(untimely(format!("it answers {cookie}, and nobody asked")));
        };
        let Some(asked) = self.pending.get(index) else {
            return Ok(None);
        };
        if asked.said.message.command() != command {
            let call = asked.said.message.command();
            let why = format!("it answers call {call} with {command}");
            return Err(untimely(why));
        }
        let waited = now.saturating_duration_since(asked.since);
        let late = asked.given_up || waited > self.limits.patience;
        self.may_wait_for_0 = late && cookie == 0 && !asked.given_up;
        let too_late = || untimely(format!("it answers {cookie} too late"));
        let Some(dialect) = self.dialect.clone() else {
            self.pending.remove(index);
            (self.initialised, self.loaded) = (true, true);
            return if late {
                Err(too_late())
            } else {
                Ok(Some(message))
            };
        };
        let (well, bytes) = self.checked_answer(&dialect, &message, !late)?;
        if let Some(asked) = self.pending.remove(index)
            && let Some(call) = dialect.call(command)
            && well
        {
            self.record.keep(&call.name, asked.said, asked.ids);
            if call.name == "stop" {
                self.unanswered.clear();
            }
        }
        // The host may not hear of it, and yet it is what the worker is now.
        (self.initialised, self.loaded) = (true, true);
        if late {
            return Err(too_late());
        }
        Ok(Some(Message {
            bytes,
            fds: message.fds,
        }))
    }

    /// Whether the call went well, and the answer as the host may see it.
    pub(super) fn checked_answer(
        &mut self,
        dialect: &Dialect,
        message: &Message<F>,
        heard: bool,
    ) -> Result<(bool, Vec<u8>), Refused> {
        let call = dialect.call(message.command());
        let Some((call, answer)) = call.and_then(|call| Some((call, call.answer.as_ref()?))) else {
            let command = message.command();
            return Err(untimely(format!(
                "it answers call {command}, which has no answer"
            )));
        };
        let malformed = |Wrong(why): Wrong| {
            Refused::Malformed(Wrong::new(format!("its answer to {}(): {why}", call.name)))
        };
        let prefix = if answer.result { 12 } else { 8 };
        let Some((front, arguments)) = message.bytes.split_at_checked(prefix) else {
            return Err(malformed(Wrong::new("it has no result")));
        };
        let well = !answer.result || front.get(8..) == Some(&[0; 4]);
        let side = Side::Worker(heard);
        let walk = Walk::new(dialect.vocabulary(), &mut self.handles, side, front);
        let walked = walk.parameters(&answer.parameters, arguments, message.fds.len());
        Ok((well, walked.map_err(malformed)?.bytes))
    }

    fn event(&mut self, message: &Message<F>) -> Result<Option<Message<F>>, Refused> {
        let command = message.command();
        let Some(dialect) = self.dialect.clone() else {
            if command > MAX_EVENT || command == EXIT {
                return Err(untimely(format!("event {command}")));
            }
            self.spend()?;
            return Ok(Some(message.clone()));
        };
        let Some(event) = dialect.event(command) else {
            return Err(untimely(format!("there is no event {command}")));
        };
        let walked = checked_event(&mut self.handles, &dialect, event, message, true);
        let mut walked = walked.map_err(|refused| match refused {
            // It may have been said before the worker had configure(), with the handles from before.
            Refused::Malformed(why) if self.is_configured_now() => Refused::Untimely(why),
            other => other,
        })?;
        match &event.answers {
            None => self.spend()?,
            Some(answers) => {
                let by = answers.by.as_deref();
                let field = by.and_then(|by| walked.named(by).next());
                let answered = self.unanswered.iter().position(|call| {
                    let asked = call.awaited.as_ref();
                    call.original.command() == answers.call
                        && asked.is_some_and(|asked| asked.field.as_deref() == field)
                });
                let Some(answered) = answered else {
                    let name = &event.name;
                    return Err(untimely(format!("{name}() answers nothing that was asked")));
                };
                let call = self.unanswered.get(answered);
                let awaited = call.and_then(|call| call.awaited.as_ref());
                if let Some(id) = awaited.and_then(|awaited| awaited.fills) {
                    let used = walked.number(USED);
                    let admitted = self.buffers.admit(id, used).map_err(Refused::Malformed)?;
                    if let Some(used) = admitted {
                        walked.change(USED, used);
                    }
                }
                // Not before: what is refused is asked of the next worker.
                self.unanswered.remove(answered);
            }
        }
        Ok(Some(Message {
            bytes: walked.bytes,
            fds: message.fds.clone(),
        }))
    }

    fn is_configured_now(&self) -> bool {
        let name = |pending: &Pending<F>| {
            let command = pending.original.command();
            let call = self.dialect.as_ref().and_then(|known| known.call(command));
            call.is_some_and(|call| call.name == "configure")
        };
        self.pending.iter().any(name)
    }

    pub(super) fn spend(&mut self) -> Result<(), Refused> {
        let left = self.credit.checked_sub(1);
        self.credit = left.ok_or_else(|| untimely("more events than calls can cause".into()))?;
        Ok(())
    }
}

/// An event as the host may see it.
pub(super) fn checked_event<'a, F>(
    handles: &mut Handles,
    dialect: &Dialect,
    event: &'a Event,
    message: &Message<F>,
    heard: bool,
) -> Result<Walked<'a>, Refused> {
    let prefix = message.bytes.get(..8).unwrap_or_default();
    let walk = Walk::new(dialect.vocabulary(), handles, Side::Worker(heard), prefix);
    let walked = walk.parameters(&event.parameters, message.arguments(), message.fds.len());
    walked.map_err(|Wrong(why)| Refused::Malformed(Wrong::new(format!("{}(): {why}", event.name))))
}

pub(super) fn untimely(why: String) -> Refused {
    Refused::Untimely(Wrong::new(why))
}
