//! What the host says, and what the worker is told of it.

use std::sync::Arc;
use std::time::Instant;

use super::{Awaited, EVENTS_PER_CALL, EXIT, Firewall, Pending, Phase, Unanswered, Waiting};
use crate::Wrong;
use crate::body::{Side, Walk, Walked};
use crate::buffers::Buffers;
use crate::interface::Dialect;
use crate::message::{Broken, Message, number};
use crate::record::Said;

/// Where init() is among the host's messages.
const FIRST: u64 = 1;
/// Calls of the host that may wait for an answer. It waits for one at a time.
const MAX_PENDING: usize = 16;
/// Calls of an interface that is not known may all wait for an answer.
const MAX_UNKNOWN: usize = 256;
/// Calls without an answer of their own that are kept, and those that an event answers.
const MAX_UNANSWERED: usize = 8;
const MAX_AWAITED: usize = 64;
/// The first call, and the field of it with the sensor's name.
const INIT: &str = "init";
const SENSOR: &str = "sensorModel";
/// Longest name that is kept.
const MAX_NAME: usize = 128;
/// Events that may be owed at a time.
const MAX_CREDIT: u32 = 256;

impl<F, B: Buffers<F>> Firewall<F, B> {
    /// A datagram of the host's.
    ///
    /// # Errors
    ///
    /// What makes no message: it is no libcamera then.
    pub fn host(&mut self, bytes: &[u8], fds: Vec<F>, now: Instant) -> Result<(), Broken> {
        if let Some(message) = self.from_host.datagram(bytes, fds)? {
            self.order += 1;
            self.waiting.push_back(Waiting {
                order: self.order,
                message,
                since: now,
                again: false,
            });
        }
        Ok(())
    }

    /// What the worker is told next, until there is nothing: after every other call.
    pub fn next(&mut self, now: Instant) -> Option<Message<F>> {
        if let Phase::Replay { left, asked, .. } = &mut self.phase {
            if *asked {
                return None;
            }
            if let Some(said) = left.front() {
                *asked = true;
                let name = self.dialect.as_ref()?.call(said.message.command());
                if name.is_some_and(|call| call.name == "configure") {
                    self.handles.another_worker();
                }
                self.handles.seen(&said.announced);
                return Some(said.message.clone());
            }
            self.phase = Phase::Live;
        }
        let waiting = self.waiting.pop_front()?;
        Some(self.say(waiting, now))
    }

    /// A call of the host's, as the worker is told it.
    fn say(&mut self, waiting: Waiting<F>, now: Instant) -> Message<F> {
        let Waiting {
            order,
            message: original,
            since,
            again,
        } = waiting;
        self.credit = (self.credit + EVENTS_PER_CALL).min(MAX_CREDIT);
        self.may_wait_for_0 = false;
        let command = original.command();
        if command == EXIT {
            return original;
        }
        let Some(dialect) = self.dialect.clone() else {
            let since = self.give_up(since);
            self.expect(order, original.clone(), since);
            return original;
        };
        let Some(call) = dialect.call(command) else {
            let why = Wrong::new(format!("the host makes call {command}"));
            return self.misunderstood(why, order, original, since);
        };
        match call.name.as_str() {
            // The host has forgotten once, and knows what it has heard since.
            "configure" if again => self.handles.another_worker(),
            "configure" => self.handles.forget(),
            _ => {}
        }
        let before = self.handles.all_seen();
        let prefix = original.bytes.get(..8).unwrap_or_default();
        let walk = Walk::new(dialect.vocabulary(), &mut self.handles, Side::Host, prefix);
        let walked = walk.parameters(&call.parameters, original.arguments(), original.fds.len());
        let walked = match walked {
            Ok(walked) => walked,
            Err(Wrong(why)) => {
                let why = Wrong::new(format!("the host's {}(): {why}", call.name));
                return self.misunderstood(why, order, original, since);
            }
        };
        let due = now + self.limits.answer;
        if call.name == INIT {
            self.sensor = walked.named(SENSOR).next().and_then(name);
        }
        if call.answer.is_some() {
            let ids = walked.named("id").chain(walked.named("ids"));
            let ids: Vec<_> = ids.map(<[u8]>::to_vec).collect();
            let fds = self.shared(&dialect, &call.name, &walked, &ids, &original.fds);
            let message = Message {
                bytes: walked.bytes,
                fds: fds.unwrap_or_else(|| original.fds.clone()),
            };
            let mut announced = self.handles.all_seen();
            announced.retain(|handle| !before.contains(handle));
            // libcamera starts a worker and waits for it at once: another one would have no time.
            let due = self.initialised.then_some(due);
            let since = self.give_up(since);
            self.remember(Pending {
                order,
                said: Said {
                    message: message.clone(),
                    announced,
                },
                original,
                ids,
                since,
                due,
                given_up: false,
            });
            return message;
        }
        let awaited = dialect.answers(command).map(|answers| {
            let by = answers.by.as_deref();
            let field = by.and_then(|by| walked.named(by).next());
            let fills = answers.fills.as_deref();
            Awaited {
                field: field.map(<[u8]>::to_vec),
                due,
                fills: fills.and_then(|fills| walked.number(fills)),
            }
        });
        let reads = call.reads.as_deref().and_then(|field| walked.number(field));
        if let Some(id) = reads
            && let Err(why) = self.buffers.refresh(id)
        {
            self.strange = Some(why);
        }
        let message = Message {
            bytes: walked.bytes,
            fds: original.fds.clone(),
        };
        self.await_event(order, original, awaited);
        message
    }

    /// What becomes of the buffers that a call is about: what the worker gets in place of the host's.
    fn shared(
        &mut self,
        dialect: &Dialect,
        call: &str,
        walked: &Walked<'_>,
        ids: &[Vec<u8>],
        fds: &[F],
    ) -> Option<Arc<[F]>> {
        let parameters = dialect.parameters()?;
        let shared = match call {
            "configure" => {
                let field = parameters.field.as_deref()?;
                let found = walked.named(field).next().unwrap_or_default();
                self.is_contracted = found == parameters.value.as_bytes();
                if self.is_contracted {
                    Ok(None)
                } else {
                    let found = String::from_utf8_lossy(found);
                    let why = format!("no contract is about parameters of format {found:?}");
                    Err(Wrong::new(why))
                }
            }
            "mapBuffers" if self.is_contracted => self
                .buffers
                .share(&parameters.contract, &walked.planes(fds)),
            "unmapBuffers" => {
                for id in ids {
                    self.buffers.forget(number(id, 0));
                }
                Ok(None)
            }
            _ => Ok(None),
        };
        match shared {
            Ok(shared) => shared.map(Arc::from),
            Err(why) => {
                self.strange = Some(why);
                None
            }
        }
    }

    /// The data files do not say what this libcamera says: from now on nothing is looked at that they
    /// are about.
    fn misunderstood(
        &mut self,
        why: Wrong,
        order: u64,
        message: Message<F>,
        since: Instant,
    ) -> Message<F> {
        self.strange = Some(why);
        self.dialect = None;
        self.expect(order, message.clone(), since);
        message
    }

    /// An answer to a call of which nothing else is known.
    fn expect(&mut self, order: u64, original: Message<F>, since: Instant) {
        self.remember(Pending {
            order,
            said: Said {
                message: original.clone(),
                announced: Vec::new(),
            },
            original,
            ids: Vec::new(),
            since,
            due: None,
            given_up: false,
        });
    }

    /// The host waits for one answer at a time: with another call it has given up those before. Returns when
    /// it can have called at the earliest. Of an interface that is not known only init() is known to be
    /// waited for.
    fn give_up(&mut self, since: Instant) -> Instant {
        let (patience, known) = (self.limits.patience, self.dialect.is_some());
        let waited_for = |pending: &&mut Pending<F>| known || pending.order == FIRST;
        let waited_for = self.pending.iter_mut().filter(waited_for);
        waited_for.fold(since, |since, pending| {
            pending.given_up = true;
            since.max(pending.since + patience)
        })
    }

    fn remember(&mut self, pending: Pending<F>) {
        let most = match self.dialect {
            Some(_) => MAX_PENDING,
            None => MAX_UNKNOWN,
        };
        if self.pending.len() >= most {
            self.pending.pop_front();
        }
        self.pending.push_back(pending);
    }

    fn await_event(&mut self, order: u64, original: Message<F>, awaited: Option<Awaited>) {
        let alike = |call: &Unanswered<F>| call.awaited.is_some() == awaited.is_some();
        let most = match awaited {
            Some(_) => MAX_AWAITED,
            None => MAX_UNANSWERED,
        };
        let count = self.unanswered.iter().filter(|call| alike(call)).count();
        if count >= most
            && let Some(oldest) = self.unanswered.iter().position(alike)
        {
            self.unanswered.remove(oldest);
        }
        self.unanswered.push_back(Unanswered {
            order,
            original,
            awaited,
        });
    }
}

/// A name that can be shown.
fn name(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let shown = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    shown.then(|| text.to_owned())
}
