//! A host as naive as libcamera's, but for saying where it would break.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coldshoe_libcamera_wire::Message;

use super::pen::drivers;
use super::schema::{Call, Field, Kind, Schema};

/// What breaks it.
pub type Break = String;

/// After this it does not wait any more.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Host<'a> {
    schema: &'a Schema,
    /// Maps that it knows: whether they are libcamera's own, and the types of a driver's controls.
    maps: BTreeMap<u32, (bool, BTreeMap<u32, u8>)>,
    /// The call that it waits for.
    pub pending: Option<(u32, u32, Instant)>,
    /// Calls that an event answers, and the field that both have.
    asked: Vec<(u32, Vec<u8>)>,
}

impl<'a> Host<'a> {
    pub fn new(schema: &'a Schema) -> Self {
        Self {
            schema,
            maps: BTreeMap::new(),
            pending: None,
            asked: Vec::new(),
        }
    }

    /// Before it writes the arguments.
    pub fn begins(&mut self, call: &Call) {
        if call.name == "configure" {
            self.maps.clear();
        }
    }

    /// It has made a call, which has the maps of these handles; `by` is the field that an event has,
    /// too.
    pub fn asks(&mut self, command: u32, cookie: u32, own: &[u32], by: &[u8], now: Instant) {
        for handle in own {
            self.maps.insert(*handle, (false, drivers(self.schema)));
        }
        if self.schema.calls[command as usize - 1].answer.is_some() {
            self.pending = Some((command, cookie, now));
        } else if self.schema.answering(command).is_some() {
            self.asked.push((command, by.to_vec()));
        }
    }

    pub fn handles(&self) -> impl Iterator<Item = u32> {
        self.maps.keys().copied()
    }

    pub fn waits(&mut self, now: Instant) -> bool {
        self.pending = self
            .pending
            .take()
            .filter(|(.., since)| now - *since < PATIENCE);
        self.pending.is_some()
    }

    /// What the firewall lets through.
    pub fn hears<F>(&mut self, message: &Message<F>, now: Instant) -> Result<(), Break> {
        self.waits(now);
        if message.bytes.len() < 8 {
            return Err("shorter than its front".into());
        }
        let (command, cookie) = (number(&message.bytes, 0)?, number(&message.bytes, 4)?);
        let body = &message.bytes[8..];
        let mut reader = Reader {
            host: self,
            by: None,
            found: Vec::new(),
        };
        match reader.host.pending {
            Some((asked, with, _)) if with == cookie => {
                if asked != command {
                    return Err(format!("{command} answers {asked}"));
                }
                reader.host.pending = None;
                let (result, fields) = reader.host.schema.calls[asked as usize - 1]
                    .answer
                    .as_ref()
                    .unwrap();
                let body = if *result {
                    number(body, 0)?;
                    &body[4..]
                } else {
                    body
                };
                reader.parameters(fields, body, message.fds.len())
            }
            _ => {
                if cookie != 0 {
                    return Err(format!("an answer to {cookie} is taken for an event"));
                }
                let event = reader.host.schema.event(command);
                let event = event.ok_or(format!("event {command}"))?;
                if let Some((_, by)) = &event.answers {
                    reader.by = by.as_deref();
                }
                reader.parameters(&event.parameters, body, message.fds.len())?;
                let Some((call, _)) = event.answers else {
                    return Ok(());
                };
                let found = reader.found;
                let asked = self
                    .asked
                    .iter()
                    .position(|(of, by)| *of == call && *by == found);
                let asked = asked.ok_or(format!("{} for {found:?}", event.name))?;
                self.asked.remove(asked);
                Ok(())
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Result<u32, Break> {
    let four = bytes.get(at..at + 4).ok_or("a number past the end")?;
    Ok(u32::from_ne_bytes(four.try_into().unwrap()))
}

fn cut<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], Break> {
    let (front, rest) = bytes.split_at_checked(length).ok_or("past the end")?;
    *bytes = rest;
    Ok(front)
}

fn size(bytes: &mut &[u8]) -> Result<usize, Break> {
    Ok(number(cut(bytes, 4)?, 0)? as usize)
}

/// Handle, kind of identifiers, entries and values.
type Controls<'b> = (u32, u32, Vec<&'b [u8]>, &'b [u8]);

struct Reader<'h, 'a> {
    host: &'h mut Host<'a>,
    by: Option<&'a str>,
    /// What is in the field of that name.
    found: Vec<u8>,
}

impl Reader<'_, '_> {
    fn parameters(&mut self, fields: &[Field], mut bytes: &[u8], fds: usize) -> Result<(), Break> {
        // No interface has descriptors in this direction.
        if fds != 0 {
            return Err(format!("{fds} descriptors"));
        }
        if let [field] = fields {
            return self.whole(&field.name, &field.kind, bytes);
        }
        let sizes: Result<Vec<_>, _> = fields.iter().map(|_| size(&mut bytes)).collect();
        for (field, length) in fields.iter().zip(sizes?) {
            let part = cut(&mut bytes, length)?;
            self.whole(&field.name, &field.kind, part)?;
        }
        end(bytes)
    }

    fn field(&mut self, name: &str, kind: &Kind, bytes: &mut &[u8]) -> Result<(), Break> {
        let length = match kind {
            Kind::Plain(length) => *length,
            Kind::Bool => 1,
            Kind::Fd => return Err("a descriptor".into()),
            _ => size(bytes)?,
        };
        let part = cut(bytes, length)?;
        self.whole(name, kind, part)
    }

    fn whole(&mut self, name: &str, kind: &Kind, mut bytes: &[u8]) -> Result<(), Break> {
        if self.by == Some(name) {
            self.found = bytes.to_vec();
        }
        match kind {
            Kind::Plain(length) => end(&bytes[bytes.len().min(*length)..]).and_then(|()| {
                (bytes.len() == *length)
                    .then_some(())
                    .ok_or("too short".into())
            }),
            Kind::Bool => (bytes == [0] || bytes == [1])
                .then_some(())
                .ok_or("no truth".into()),
            Kind::Text => Ok(()),
            Kind::Fd => Err("a descriptor".into()),
            Kind::Struct(fields) => {
                for of in fields {
                    self.field(&of.name, &of.kind, &mut bytes)?;
                }
                end(bytes)
            }
            Kind::Array(of) => {
                for _ in 0..size(&mut bytes)? {
                    self.element(name, of, &mut bytes)?;
                }
                end(bytes)
            }
            Kind::Pairs(key, value) => {
                for _ in 0..size(&mut bytes)? {
                    self.element(name, key, &mut bytes)?;
                    self.element(name, value, &mut bytes)?;
                }
                end(bytes)
            }
            // Those that a serialiser has failed at.
            Kind::Map | Kind::List if bytes.is_empty() => Ok(()),
            Kind::Map => {
                let length = size(&mut bytes)?;
                let handle = self.map(cut(&mut bytes, length)?)?;
                let known = handle.and_then(|handle| self.host.maps.get(&handle));
                if known.is_some_and(|(global, types)| !global && !types.is_empty()) {
                    return Err("a camera with a driver's controls".into());
                }
                end(bytes)
            }
            Kind::List => {
                let (map, list) = (size(&mut bytes)?, size(&mut bytes)?);
                let map = cut(&mut bytes, map)?;
                if !map.is_empty() {
                    self.map(map)?;
                }
                self.list(name, cut(&mut bytes, list)?)?;
                end(bytes)
            }
        }
    }

    fn element(&mut self, name: &str, kind: &Kind, bytes: &mut &[u8]) -> Result<(), Break> {
        let (length, fds) = (size(bytes)?, size(bytes)?);
        let part = cut(bytes, length)?;
        if fds != 0 {
            return Err("descriptors".into());
        }
        self.whole(name, kind, part)
    }

    /// What a list or a map is made of.
    fn controls<'b>(&self, body: &'b [u8], entry: usize) -> Result<Controls<'b>, Break> {
        let word = |index: usize| number(body, index * 4);
        let (entries, size, values) = (word(2)? as usize, word(3)? as usize, word(4)? as usize);
        word(7)?;
        if word(0)? != self.host.schema.format || size != body.len() {
            return Err("a version, a size".into());
        }
        let list = body.get(32..values).ok_or("values in the header")?;
        if list.len() / entry != entries || list.len() % entry != 0 {
            return Err("entries past the end".into());
        }
        Ok((
            word(1)?,
            word(5)?,
            list.chunks(entry).collect(),
            &body[values..],
        ))
    }

    /// Type, array and length of a value, behind which `at` is then.
    fn value(
        &self,
        entry: &[u8],
        at: &mut usize,
        values: &[u8],
    ) -> Result<(u8, bool, usize), Break> {
        let schema = self.host.schema;
        let (kind, array) = (entry[0], entry[1] != 0);
        let count = if array {
            usize::from(u16::from_ne_bytes([entry[2], entry[3]]))
        } else {
            1
        };
        if number(entry, 4)? as usize != *at {
            return Err("a value elsewhere".into());
        }
        let (_, size) = schema
            .types
            .get(usize::from(kind))
            .ok_or("outside of the table of types")?;
        if schema.tagged {
            if number(values, *at)? != u32::from(kind) {
                return Err("two types".into());
            }
            *at += 4;
        }
        *at += size * count;
        if *at > values.len() {
            return Err("a value past the end".into());
        }
        Ok((kind, array, count))
    }

    fn map(&mut self, body: &[u8]) -> Result<Option<u32>, Break> {
        // A map that the other side takes for known.
        if body.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let schema = self.host.schema;
        let width = if schema.format == 1 { 16 } else { 64 };
        let (handle, ids, entries, values) = self.controls(body, width)?;
        if self.host.maps.contains_key(&handle) {
            return Ok(Some(handle));
        }
        if handle == 0 || handle % 2 != 0 || ids != 0 && ids != 2 {
            return Err(format!("handle {handle}, identifiers {ids}"));
        }
        let (mut at, mut types) = (0, BTreeMap::new());
        for entry in entries {
            let (id, kind) = (number(entry, 0)?, number(entry, 4)?);
            let known = schema.controls.get(&id);
            if ids == 0 && known.is_none() {
                return Err(format!("no control {id}"));
            }
            let kind = if ids == 0 {
                u32::from(known.unwrap().kind)
            } else {
                kind
            };
            if kind as usize >= schema.types.len() {
                return Err("a type".into());
            }
            if ids == 2 && types.insert(id, kind as u8).is_some() {
                return Err("assert: not in its own map".into());
            }
            for limit in 0..3 {
                let of = if schema.format == 1 {
                    let kind = number(values, at)?.to_ne_bytes()[0];
                    let place = if limit == 0 {
                        number(entry, 8)?
                    } else {
                        at as u32
                    };
                    [[kind, 0, 1, 0], place.to_ne_bytes()].concat()
                } else {
                    entry[16 + limit * 16..][..8].to_vec()
                };
                let (min, ..) = self.value(&of, &mut at, values)?;
                let text = u32::from(schema.kind("string"));
                let range = if kind == text {
                    schema.kind("i32").into()
                } else {
                    kind
                };
                if limit == 0 && u32::from(min) != range {
                    return Err("assert: type of the least value".into());
                }
            }
        }
        self.host.maps.insert(handle, (ids == 0, types));
        Ok(Some(handle))
    }

    fn list(&mut self, name: &str, body: &[u8]) -> Result<(), Break> {
        let schema = self.host.schema;
        let width = if schema.format == 1 { 16 } else { 20 };
        let (handle, ids, entries, values) = self.controls(body, width)?;
        let global = match handle {
            _ if entries.is_empty() => true,
            0 if ids == 0 => true,
            0 => return Err("fatal: a list without a map".into()),
            handle => {
                self.host
                    .maps
                    .get(&handle)
                    .ok_or(format!("unknown handle {handle}"))?
                    .0
            }
        };
        if name == "metadata" && !global {
            return Err("metadata that nobody can look up".into());
        }
        let (drivers, mut at) = (drivers(schema), 0);
        for entry in entries {
            let id = number(entry, 0)?;
            let (kind, array, count) = self.value(&entry[4..], &mut at, values)?;
            if global {
                let control = schema.controls.get(&id).ok_or(format!("no control {id}"))?;
                let text = control.kind == schema.kind("string");
                let arity = match control.array {
                    Some(Some(exactly)) => array && count == usize::from(exactly),
                    Some(None) => array,
                    None => array == text,
                };
                if kind != control.kind || !arity {
                    return Err(format!("assert: control {id} has type {kind}"));
                }
            } else if let Some(driver) = drivers.get(&id) {
                // What is no number of a type of its own is asked for as a 32-bit one.
                let (byte, truth) = (schema.kind("byte"), schema.kind("bool"));
                let asked = if *driver == truth {
                    schema.kind("i32")
                } else {
                    *driver
                };
                if kind != asked || array && *driver != byte {
                    return Err(format!(
                        "assert: control {id:x} has type {kind}, array {array}"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn end(rest: &[u8]) -> Result<(), Break> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(format!("{} bytes too many", rest.len()))
    }
}
