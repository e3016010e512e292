//! What may pass between a host and a worker.
//!
//! The host is trusted, and its messages go to the worker as they are. Of the worker's, answers pass if
//! a call waits for them, events if they are due, and both if they are well formed. What comes at the
//! wrong time is dropped; what no worker of libcamera's says is a fault, after which nothing of this
//! worker is heard. A new worker is told what made the last one what it was, and then what is
//! unanswered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Wrong;
use crate::body::{Side, Walk, Walked};
use crate::handles::Handles;
use crate::interface::{Dialect, Event};
use crate::message::{Frames, Message};
use crate::record::{Record, Said};

/// The command that ends a worker.
const EXIT: u32 = 0;
/// Where init() is among the host's messages.
const FIRST: u64 = 1;
/// Largest number of an event of an interface that is not known.
const MAX_EVENT: u32 = 32;
/// Calls of the host that may wait for an answer. It waits for one at a time.
const MAX_PENDING: usize = 16;
/// Calls of an interface that is not known may all wait for an answer.
const MAX_UNKNOWN: usize = 256;
/// Calls without an answer of their own that are kept, and those that an event answers.
const MAX_UNANSWERED: usize = 8;
const MAX_AWAITED: usize = 64;
/// Events that a call may cause: interfaces have seven at most, each once or twice.
const EVENTS_PER_CALL: u32 = 8;
const MAX_CREDIT: u32 = 256;

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For an answer. Twice that, and the time that a new worker takes, must be less than
    /// libcamera's 2 s.
    pub answer: Duration,
    /// After this a host has given up waiting, and would take an answer for an event. A worker that
    /// takes another one's place has as long for init() as the first one had.
    pub patience: Duration,
    /// Messages of one worker that are dropped before it is at fault.
    pub drops: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_millis(900),
            patience: Duration::from_millis(1950),
            drops: 16,
        }
    }
}

/// What becomes of a worker's datagram.
#[derive(Debug)]
pub enum Verdict<F> {
    /// It is the first of a message.
    Half,
    /// The host gets this.
    Pass(Message<F>),
    /// The host has had it from another worker.
    Swallowed,
    /// The host does not get it.
    Dropped(Wrong),
    /// Nothing of this worker is heard any more: it must be replaced.
    Fault(Wrong),
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages of workers that the host got.
    pub passed: u64,
    /// Messages that it did not get.
    pub dropped: u64,
    /// Workers that were replaced.
    pub replaced: u64,
}

/// A call that the host waits for.
#[derive(Debug)]
struct Pending<F> {
    order: u64,
    said: Said<F>,
    /// As the host said it.
    original: Message<F>,
    ids: Vec<Vec<u8>>,
    /// The host said it then, or later.
    since: Instant,
    due: Option<Instant>,
    /// The host has called again meanwhile, and hears the answer no more.
    given_up: bool,
}

/// A call that the host does not wait for.
#[derive(Debug)]
struct Unanswered<F> {
    order: u64,
    original: Message<F>,
    /// The field that its answer has, too, if an event answers it.
    awaited: Option<(Option<Vec<u8>>, Instant)>,
}

#[derive(Debug)]
enum Phase<F> {
    Live,
    /// A new worker is told these, and answers the first.
    Replay {
        left: VecDeque<Said<F>>,
        asked: bool,
        due: Instant,
    },
}

/// Between a host and its worker. `F` is a descriptor.
#[derive(Debug)]
pub struct Firewall<F> {
    dialect: Option<Dialect>,
    limits: Limits,
    handles: Handles,
    record: Record<F>,
    from_host: Frames,
    from_worker: Frames,
    /// Of the host's messages those that the worker has not got, and when they came.
    waiting: VecDeque<(u64, Message<F>, Instant)>,
    order: u64,
    pending: VecDeque<Pending<F>>,
    unanswered: VecDeque<Unanswered<F>>,
    phase: Phase<F>,
    initialised: bool,
    /// It has answered init(), but too late.
    initialised_late: bool,
    credit: u32,
    strikes: u32,
    counts: Counts,
    /// Why the interface is not what it was taken for.
    strange: Option<Wrong>,
}

impl<F> Firewall<F> {
    /// Without a dialect, messages are looked at no deeper than their framing, commands and cookies.
    #[must_use]
    pub fn new(dialect: Option<Dialect>, limits: Limits) -> Self {
        Self {
            dialect,
            limits,
            handles: Handles::default(),
            record: Record::default(),
            from_host: Frames::default(),
            from_worker: Frames::default(),
            waiting: VecDeque::new(),
            order: 0,
            pending: VecDeque::new(),
            unanswered: VecDeque::new(),
            phase: Phase::Live,
            initialised: false,
            initialised_late: false,
            credit: EVENTS_PER_CALL,
            strikes: 0,
            counts: Counts::default(),
            strange: None,
        }
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether what is in messages is looked at, too.
    #[must_use]
    pub fn is_deep(&self) -> bool {
        self.dialect.is_some()
    }

    /// Why it is not looked at any more, once.
    pub fn strange(&mut self) -> Option<Wrong> {
        self.strange.take()
    }

    /// Whether a worker has answered init().
    #[must_use]
    pub fn is_initialised(&self) -> bool {
        self.initialised || self.initialised_late
    }

    /// Whether the host's messages have to wait.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || matches!(self.phase, Phase::Replay { .. })
    }

    /// A datagram of the host's, which was said at `now` or, if that is not known, at no earlier time.
    ///
    /// # Errors
    ///
    /// What makes no message: it is no libcamera then.
    pub fn host(
        &mut self,
        bytes: &[u8],
        fds: Vec<F>,
        now: Instant,
    ) -> Result<(), crate::message::Broken> {
        if let Some(message) = self.from_host.datagram(bytes, fds)? {
            self.order += 1;
            self.waiting.push_back((self.order, message, now));
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
        let (order, message, since) = self.waiting.pop_front()?;
        Some(self.say(order, message, since, now))
    }

    /// A call of the host's, as the worker is told it.
    fn say(
        &mut self,
        order: u64,
        original: Message<F>,
        since: Instant,
        now: Instant,
    ) -> Message<F> {
        self.credit = (self.credit + EVENTS_PER_CALL).min(MAX_CREDIT);
        self.initialised |= self.initialised_late;
        let command = original.command();
        if command == EXIT {
            return original;
        }
        let Some(dialect) = self.dialect.clone() else {
            let since = self.give_up(since);
            self.expect(order, original.clone(), Vec::new(), since, None);
            return original;
        };
        let Some(call) = dialect.call(command) else {
            let why = Wrong::new(format!("the host makes call {command}"));
            return self.misunderstood(why, order, original, since);
        };
        if call.name == "configure" {
            self.handles.forget();
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
        if call.answer.is_some() {
            let ids = walked.named("id").chain(walked.named("ids"));
            let ids = ids.map(<[u8]>::to_vec).collect();
            let message = Message {
                bytes: walked.bytes,
                fds: original.fds.clone(),
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
            (field.map(<[u8]>::to_vec), due)
        });
        let message = Message {
            bytes: walked.bytes,
            fds: original.fds.clone(),
        };
        self.await_event(order, original, awaited);
        message
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
        self.expect(order, message.clone(), Vec::new(), since, None);
        message
    }

    fn expect(
        &mut self,
        order: u64,
        original: Message<F>,
        ids: Vec<Vec<u8>>,
        since: Instant,
        due: Option<Instant>,
    ) {
        self.remember(Pending {
            order,
            said: Said {
                message: original.clone(),
                announced: Vec::new(),
            },
            original,
            ids,
            since,
            due,
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

    fn await_event(
        &mut self,
        order: u64,
        original: Message<F>,
        awaited: Option<(Option<Vec<u8>>, Instant)>,
    ) {
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

    /// Cookie 0 is that of events and of init().
    fn is_answer(&self, message: &Message<F>) -> bool {
        message.cookie() != 0 || !self.initialised
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
        // What the worker has done counts, whether the host hears of it or not.
        let waited = now.saturating_duration_since(asked.since);
        let late = asked.given_up || waited > self.limits.patience;
        let too_late = || Err(untimely(format!("it answers {cookie} too late")));
        // Until it calls again, the host may take an event for the answer to init(): both have cookie 0.
        let may_wait = late && !asked.given_up && cookie == 0;
        let Some(dialect) = self.dialect.clone() else {
            self.pending.remove(index);
            (self.initialised, self.initialised_late) = (!may_wait, may_wait);
            return if late { too_late() } else { Ok(Some(message)) };
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
        (self.initialised, self.initialised_late) = (!may_wait, may_wait);
        if late {
            return too_late();
        }
        Ok(Some(Message {
            bytes,
            fds: message.fds,
        }))
    }

    /// Whether the call went well, and the answer as the host may see it.
    fn checked_answer(
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
        let walked = walked.map_err(|refused| match refused {
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
                        && asked.is_some_and(|(asked, _)| asked.as_deref() == field)
                });
                let Some(answered) = answered else {
                    let name = &event.name;
                    return Err(untimely(format!("{name}() answers nothing that was asked")));
                };
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

    fn spend(&mut self) -> Result<(), Refused> {
        let left = self.credit.checked_sub(1);
        self.credit = left.ok_or_else(|| untimely("more events than calls can cause".into()))?;
        Ok(())
    }

    /// What a new worker says while it is told what the last one knew. The maps in it count.
    fn replayed(
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
            let call = dialect.call(message.command());
            if call.is_some_and(|call| call.name == "init") {
                *due = now + self.limits.answer;
            }
        }
        Ok(None)
    }

    /// When [`Self::overdue`] is worth asking.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let pending = self.pending.iter().filter_map(|pending| pending.due);
        let awaited = self
            .unanswered
            .iter()
            .filter_map(|call| call.awaited.as_ref().map(|(_, due)| *due));
        let replay = match self.phase {
            Phase::Replay { due, .. } => Some(due),
            Phase::Live => None,
        };
        pending.chain(awaited).chain(replay).min()
    }

    /// The call that has not been answered in time.
    #[must_use]
    pub fn overdue(&self, now: Instant) -> Option<Wrong> {
        let answer = self.limits.answer.as_millis();
        if let Phase::Replay { due, .. } = self.phase {
            let why = "what the worker before was told takes it too long";
            return (due <= now).then(|| Wrong::new(why));
        }
        let late = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let pending = self.pending.iter().filter(|pending| late(pending.due));
        let pending = pending.map(|pending| pending.original.command());
        let awaited = self.unanswered.iter();
        let awaited = awaited.filter(|call| late(call.awaited.as_ref().map(|(_, due)| *due)));
        let awaited = awaited.map(|call| call.original.command());
        let command = pending.chain(awaited).next()?;
        let call = self
            .dialect
            .as_ref()
            .and_then(|dialect| dialect.call(command));
        let name = call.map_or_else(
            || format!("call {command}"),
            |call| format!("{}()", call.name),
        );
        Some(Wrong::new(format!("{name} is not answered in {answer} ms")))
    }

    /// Whether another worker can be told what it needs to know.
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
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
        let mut again: Vec<_> = pending.chain(unanswered).collect();
        again.sort_by_key(|(order, ..)| *order);
        for call in again.into_iter().rev() {
            self.waiting.push_front(call);
        }
        true
    }
}

/// Why a message does not pass.
enum Refused {
    /// A worker may be as slow as that.
    Untimely(Wrong),
    /// No worker of libcamera's says it.
    Malformed(Wrong),
}

/// An event as the host may see it.
fn checked_event<'a, F>(
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

fn untimely(why: String) -> Refused {
    Refused::Untimely(Wrong::new(why))
}
