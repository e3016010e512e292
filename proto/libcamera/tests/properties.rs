//! What holds whatever a worker says, and whenever: a host that breaks where libcamera's does never
//! breaks, and what is well formed passes.

mod peers;

use std::time::{Duration, Instant};

use coldshoe_libcamera_wire::{Dialect, Firewall, Limits, Message, Verdict, header};
use peers::host::Host;
use peers::pen::{Dice, Pen};
use peers::schema::Schema;
use proptest::prelude::*;
use proptest::sample::Index;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The host's next call, or this one of those that have no place in its life.
    Call(Index),
    /// The worker answers the oldest call, or says something else that it may; changed by these.
    Answer(Vec<Change>),
    Event(Index, Vec<Change>),
    /// A message that has its form in its front alone.
    Message(u32, u32, Vec<u8>),
    Datagram(Vec<u8>, usize),
    Wait(u64),
    Replace,
}

#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Word(Index, u32),
    Cut(Index),
    Add(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let word = prop_oneof![Just(0), Just(u32::MAX), 0_u32..64, any::<u32>()];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (any::<Index>(), word).prop_map(|(at, word)| Change::Word(at, word)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..9).prop_map(Change::Add),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(change(), 1..4),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..80);
    prop_oneof![
        8 => any::<Index>().prop_map(Step::Call),
        8 => changes().prop_map(Step::Answer),
        4 => (any::<Index>(), changes()).prop_map(|(which, how)| Step::Event(which, how)),
        1 => (0_u32..12, 0_u32..12, bytes()).prop_map(|(a, b, rest)| Step::Message(a, b, rest)),
        1 => (bytes(), 0_usize..3).prop_map(|(bytes, fds)| Step::Datagram(bytes, fds)),
        1 => (0_u64..2500).prop_map(Step::Wait),
        1 => Just(Step::Replace),
    ]
}

/// The calls with which a camera's life begins.
const LIFE: [&str; 3] = ["init", "configure", "start"];

/// All three, and what each of the two knows.
struct Scene<'a> {
    schema: &'a Schema,
    firewall: Firewall<u8>,
    now: Instant,
    dice: Dice,
    host: Host<'a>,
    host_pen: Pen,
    cookie: u32,
    lived: usize,
    worker_pen: Pen,
    /// The worker counts its handles on at configure(), so that nothing has to be translated.
    counts_on: bool,
    /// What the worker was told, and has not answered.
    told: Vec<(Message<u8>, Vec<u8>)>,
    /// Of the calls that the host has made, the field that an event has, too.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Scene<'a> {
    fn new(schema: &'a Schema, seed: u64) -> Self {
        let dialect = Dialect::find(&schema.ipa, &schema.series).unwrap();
        Self {
            schema,
            firewall: Firewall::new(Some(dialect), Limits::default(), ()),
            now: Instant::now(),
            dice: Dice(seed),
            host: Host::new(schema),
            host_pen: Pen::new(true),
            cookie: 0,
            lived: 0,
            worker_pen: Pen::new(false),
            counts_on: false,
            told: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// The number of the host's next call.
    fn next(&mut self, which: Index) -> u32 {
        let next = LIFE.get(self.lived).map(|name| self.schema.command(name));
        self.lived += 1;
        // init() comes once.
        next.unwrap_or_else(|| 2 + which.index(self.schema.calls.len() - 1) as u32)
    }

    /// The host makes a call, unless it waits for one. What it says.
    fn call(&mut self, command: u32) -> Option<Message<u8>> {
        if self.host.waits(self.now) {
            return None;
        }
        let call = self.schema.call(command).unwrap();
        self.host.begins(call);
        if call.name == "configure" {
            self.host_pen = Pen::new(true);
        }
        let event = self.schema.answering(command);
        let by = event.and_then(|(_, event)| event.answers.as_ref()?.1.as_deref());
        let field = by.map_or_else(Vec::new, |name| {
            let field = field(&call.parameters, name).unwrap();
            let fields = std::slice::from_ref(field);
            self.host_pen
                .parameters(self.schema, fields, None, &mut self.dice)
                .bytes
        });
        let fixed = by.map(|name| (name, &field[..]));
        let written =
            self.host_pen
                .parameters(self.schema, &call.parameters, fixed, &mut self.dice);
        let own = self.host_pen.own();
        self.host.asks(command, self.cookie, own, &field, self.now);
        let said = Message {
            bytes: [&front(command, self.cookie)[..], &written.bytes].concat(),
            fds: vec![7; written.fds].into(),
        };
        self.cookie += 1;
        self.fields.push((said.bytes[..8].to_vec(), field));
        for (datagram, fds) in [(&header(&said)[..], 0), (&said.bytes, written.fds)] {
            self.firewall
                .host(datagram, vec![7; fds], self.now)
                .unwrap();
        }
        Some(said)
    }

    /// The worker gets all that there is. What it is told.
    fn tell(&mut self) -> Vec<Message<u8>> {
        let mut all = Vec::new();
        while let Some(message) = self.firewall.next(self.now) {
            let command = message.command();
            let call = self.schema.call(command).unwrap();
            if call.name == "configure" {
                self.worker_pen.forget(self.counts_on);
            }
            self.worker_pen.others = self.host_pen.own().to_vec();
            let field = self
                .fields
                .iter()
                .find(|(front, _)| message.bytes.starts_with(front));
            let field = field.map_or_else(Vec::new, |(_, field)| field.clone());
            if call.answer.is_some() || self.schema.answering(command).is_some() {
                self.told.push((message.clone(), field));
            }
            all.push(message);
        }
        // That parameters have no contract is another matter.
        assert!(self.firewall.is_deep());
        all
    }

    /// What a good worker answers to the oldest that it was told.
    fn answer(&mut self) -> Option<Message<u8>> {
        if self.told.is_empty() {
            return None;
        }
        let (told, field) = self.told.remove(0);
        let call = self.schema.call(told.command()).unwrap();
        Some(match &call.answer {
            Some((result, fields)) => {
                let body = self
                    .worker_pen
                    .parameters(self.schema, fields, None, &mut self.dice);
                let result = if *result { &[0; 4][..] } else { &[] };
                message(&[&told.bytes[..8], result, &body.bytes].concat())
            }
            None => {
                let (number, event) = self.schema.answering(told.command()).unwrap();
                let by = event.answers.as_ref().unwrap().1.as_deref();
                let fixed = by.map(|name| (name, &field[..]));
                let pen = &mut self.worker_pen;
                let body = pen.parameters(self.schema, &event.parameters, fixed, &mut self.dice);
                message(&[&front(number, 0)[..], &body.bytes].concat())
            }
        })
    }

    /// An event that answers nothing, if there is any.
    fn event(&mut self, which: Index) -> Option<Message<u8>> {
        if self.schema.events.is_empty() {
            return None;
        }
        let index = which.index(self.schema.events.len());
        let event = &self.schema.events[index];
        let pen = &mut self.worker_pen;
        let body = pen.parameters(self.schema, &event.parameters, None, &mut self.dice);
        Some(message(
            &[&front(index as u32 + 1, 0)[..], &body.bytes].concat(),
        ))
    }

    /// The worker says it; what the host gets of it.
    fn say(&mut self, said: &Message<u8>) -> Result<Option<Message<u8>>, TestCaseError> {
        self.datagram(&header(said), 0)?;
        self.datagram(&said.bytes, said.fds.len())
    }

    fn datagram(&mut self, bytes: &[u8], fds: usize) -> Result<Option<Message<u8>>, TestCaseError> {
        match self.firewall.worker(bytes, vec![7; fds], self.now) {
            Verdict::Pass(message) => {
                let heard = self.host.hears(&message, self.now);
                prop_assert!(heard.is_ok(), "{}: {heard:?}: {message:?}", self.schema.ipa);
                Ok(Some(message))
            }
            Verdict::Fault(_) => {
                self.replace()?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn replace(&mut self) -> Result<(), TestCaseError> {
        self.worker_pen = Pen::new(false);
        self.told.clear();
        prop_assert!(self.firewall.worker_replaced(self.now));
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let said = match step {
            Step::Call(which) => {
                let command = self.next(*which);
                self.call(command);
                None
            }
            Step::Answer(changes) => self.answer().map(|said| changed(said, changes)),
            Step::Event(which, changes) => self.event(*which).map(|said| changed(said, changes)),
            Step::Message(command, cookie, rest) => {
                Some(message(&[&front(*command, *cookie)[..], rest].concat()))
            }
            Step::Datagram(bytes, fds) => {
                self.datagram(bytes, *fds)?;
                None
            }
            Step::Wait(milliseconds) => {
                self.now += Duration::from_millis(*milliseconds);
                if self.firewall.overdue(self.now).is_some() {
                    self.replace()?;
                }
                None
            }
            Step::Replace => {
                self.replace()?;
                None
            }
        };
        if let Some(said) = said {
            self.say(&said)?;
        }
        self.tell();
        Ok(())
    }
}

fn front(command: u32, cookie: u32) -> [u8; 8] {
    let mut front = [0; 8];
    front[..4].copy_from_slice(&command.to_ne_bytes());
    front[4..].copy_from_slice(&cookie.to_ne_bytes());
    front
}

fn message(bytes: &[u8]) -> Message<u8> {
    Message {
        bytes: bytes.to_vec(),
        fds: Vec::new().into(),
    }
}

fn changed(mut said: Message<u8>, changes: &[Change]) -> Message<u8> {
    let bytes = &mut said.bytes;
    for change in changes {
        match change {
            Change::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Change::Word(at, word) => {
                let at = at.index(bytes.len() / 4) * 4;
                bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            }
            Change::Cut(at) => bytes.truncate(8.max(at.index(bytes.len()))),
            Change::Add(more) => bytes.extend(more),
        }
    }
    said
}

/// The field of that name, wherever it is.
fn field<'a>(fields: &'a [peers::schema::Field], name: &str) -> Option<&'a peers::schema::Field> {
    use peers::schema::Kind;
    fields.iter().find_map(|of| match &of.kind {
        _ if of.name == name => Some(of),
        Kind::Struct(inner) => field(inner, name),
        _ => None,
    })
}

fn schema() -> impl Strategy<Value = Schema> {
    prop::sample::select(Schema::all())
}

proptest! {
    #[test]
    fn a_host_never_breaks(
        schema in schema(),
        seed: u64,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut scene = Scene::new(&schema, seed);
        for step in steps {
            scene.step(&step)?;
        }
    }

    #[test]
    fn what_is_well_formed_passes_as_it_is(schema in schema(), seed: u64, which: Index) {
        let mut scene = Scene::new(&schema, seed);
        scene.counts_on = true;
        let life = LIFE.map(|name| schema.command(name));
        let others = 2..=schema.calls.len() as u32;
        for command in life.into_iter().chain(others.clone()).chain(others) {
            let said = scene.call(command).unwrap();
            let told = scene.tell();
            prop_assert_eq!(told.len(), 1);
            prop_assert_eq!(&told[0].bytes, &said.bytes);
            prop_assert_eq!(told[0].fds.len(), said.fds.len());
            if let Some(answer) = scene.answer() {
                let heard = scene.say(&answer)?;
                prop_assert_eq!(heard.map(|heard| heard.bytes), Some(answer.bytes));
            }
            if let Some(event) = scene.event(which).filter(|event| {
                schema.event(event.command()).unwrap().answers.is_none()
            }) {
                let heard = scene.say(&event)?;
                prop_assert_eq!(heard.map(|heard| heard.bytes), Some(event.bytes));
            }
        }
        prop_assert_eq!(scene.firewall.counts().dropped, 0);
    }
}
