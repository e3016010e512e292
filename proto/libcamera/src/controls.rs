//! Lists and maps of controls, as libcamera writes them: a header, entries, values.
//!
//! A host reads them without looking: a type that it does not have is read outside of a table, an
//! identifier that it does not have is an exception, a value of the wrong type aborts whoever asks for
//! it.

use std::collections::BTreeMap;

use crate::Wrong;
use crate::interface::{Defined, Series};
use crate::message::number;

/// Bytes of a header: version, handle, entries, size, offset of the values, kind of identifiers, two
/// that are reserved.
pub(crate) const HEADER: usize = 32;
/// Place of the handle in it.
pub(crate) const HANDLE: std::ops::Range<usize> = 4..8;
/// Kinds of identifiers: libcamera's controls, and those of a map's own.
const CONTROLS: u32 = 0;
const V4L2: u32 = 2;
/// Type of no value.
const NONE: u8 = 0;

/// Number of values of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arity {
    One,
    Array(Option<u16>),
}

/// Types and controls of a series, and how it writes them.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    format: u32,
    /// The type stands in front of each value once more.
    tagged: bool,
    /// Bytes of a value of each type.
    sizes: Vec<usize>,
    string: u8,
    controls: BTreeMap<u32, (u8, Arity)>,
}

impl Vocabulary {
    pub(crate) fn new(how: &Series, defined: &Defined, by: &[String]) -> Result<Self, String> {
        let kind = |name: &str| {
            let found = how.types.iter().position(|(known, _)| known == name);
            let found = found.and_then(|index| u8::try_from(index).ok());
            found.ok_or_else(|| format!("{name:?} is no type"))
        };
        let mut controls = BTreeMap::new();
        for who in by {
            let theirs = defined.get(who);
            let theirs = theirs.ok_or_else(|| format!("{who:?} defines no controls"))?;
            for (name, (id, text)) in theirs {
                let (type_name, arity) = arity(text);
                let what = (kind(type_name)?, arity);
                if controls.insert(*id, what).is_some() {
                    return Err(format!("{name} has the number of another control"));
                }
            }
        }
        Ok(Self {
            format: how.format,
            tagged: how.tagged,
            sizes: how.types.iter().map(|(_, size)| *size).collect(),
            string: kind("string")?,
            controls,
        })
    }

    /// What a map says. `None`: all of it is zero, which means that it has been said before.
    pub(crate) fn map(&self, body: &[u8]) -> Result<Option<InfoMap>, Wrong> {
        if body.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let entry_size = if self.format == 1 { 16 } else { 64 };
        let parts = self.parts(body, entry_size)?;
        let global = match parts.ids {
            CONTROLS => true,
            V4L2 => false,
            other => return Err(wrong(format!("a map has identifiers of kind {other}"))),
        };
        if parts.handle == 0 {
            return Err(wrong("a map has handle 0"));
        }
        let mut at = 0;
        let mut types = BTreeMap::new();
        for entry in parts.entries.chunks_exact(entry_size) {
            let id = number(entry, 0);
            let known = self.known(id, global)?;
            let declared = u8::try_from(number(entry, 4));
            let declared = declared.ok().filter(|kind| self.size(*kind).is_some());
            let declared =
                declared.ok_or_else(|| wrong(format!("control {id} has a type that is none")))?;
            let expected = known.map_or(declared, |(kind, _)| kind);
            if self.format == 1 {
                self.starts(id, number(entry, 8), at)?;
                for _ in 0..3 {
                    let kind = parts.values.get(at..).map_or(0, |rest| number(rest, 0));
                    let kind = u8::try_from(kind).unwrap_or(u8::MAX);
                    at = self.value(id, kind, 1, at, parts.values)?;
                    self.fits(id, kind, expected)?;
                }
            } else {
                for limit in entry.get(16..).unwrap_or_default().chunks_exact(16) {
                    let value = Entry::of(limit);
                    self.starts(id, value.offset, at)?;
                    at = self.value(id, value.kind, value.count, at, parts.values)?;
                    self.fits(id, value.kind, expected)?;
                }
            }
            types.insert(id, expected);
        }
        Ok(Some(InfoMap {
            handle: parts.handle,
            global,
            types,
        }))
    }

    /// Looks at a list; `map` gives the map of a handle that is not 0.
    pub(crate) fn list<'a>(
        &self,
        body: &[u8],
        map: impl FnOnce(u32) -> Option<&'a InfoMap>,
    ) -> Result<(), Wrong> {
        let entry_size = if self.format == 1 { 16 } else { 20 };
        let parts = self.parts(body, entry_size)?;
        let own = match parts.handle {
            0 if parts.ids == CONTROLS || parts.entries.is_empty() => None,
            0 => return Err(wrong("a list of V4L2's controls has no map")),
            handle => {
                let map = map(handle);
                Some(map.ok_or_else(|| wrong(format!("a list has the unknown handle {handle}")))?)
            }
        };
        let mut at = 0;
        for entry in parts.entries.chunks_exact(entry_size) {
            let id = number(entry, 0);
            let value = Entry::of(entry.get(4..).unwrap_or_default());
            self.starts(id, value.offset, at)?;
            at = self.value(id, value.kind, value.count, at, parts.values)?;
            let expected = match own {
                Some(map) if !map.global => {
                    let kind = map.types.get(&id);
                    *kind.ok_or_else(|| wrong(format!("control {id} is not in the list's map")))?
                }
                _ => {
                    let known = self.known(id, true)?;
                    let (kind, arity) = known.unwrap_or((NONE, Arity::One));
                    self.arity(id, &value, kind, arity)?;
                    kind
                }
            };
            if expected != NONE && value.kind != expected {
                return Err(wrong(format!("control {id} has a value of another type")));
            }
        }
        Ok(())
    }

    fn parts<'a>(&self, body: &'a [u8], entry_size: usize) -> Result<Parts<'a>, Wrong> {
        let version = number(body, 0);
        if body.len() < HEADER || version != self.format {
            return Err(wrong(format!("controls of format {version}")));
        }
        let large = |at| usize::try_from(number(body, at)).unwrap_or(usize::MAX);
        let (entries, size, values) = (large(8), large(12), large(16));
        let end = entries
            .checked_mul(entry_size)
            .and_then(|bytes| bytes.checked_add(HEADER));
        if size != body.len() || end != Some(values) || values > size {
            return Err(wrong("controls whose sizes do not fit together"));
        }
        Ok(Parts {
            handle: number(body, HANDLE.start),
            ids: number(body, 20),
            entries: body.get(HEADER..values).unwrap_or_default(),
            values: body.get(values..).unwrap_or_default(),
        })
    }

    /// Type and arity of one of libcamera's own controls.
    fn known(&self, id: u32, global: bool) -> Result<Option<(u8, Arity)>, Wrong> {
        if !global {
            return Ok(None);
        }
        let known = self.controls.get(&id).copied();
        known
            .map(Some)
            .ok_or_else(|| wrong(format!("there is no control {id}")))
    }

    fn size(&self, kind: u8) -> Option<usize> {
        self.sizes.get(usize::from(kind)).copied()
    }

    fn starts(&self, id: u32, offset: u32, at: usize) -> Result<(), Wrong> {
        if usize::try_from(offset) == Ok(at) {
            return Ok(());
        }
        Err(wrong(format!("the value of control {id} is out of place")))
    }

    /// Where the value after this one begins.
    fn value(
        &self,
        id: u32,
        kind: u8,
        count: u16,
        at: usize,
        values: &[u8],
    ) -> Result<usize, Wrong> {
        let size = self.size(kind);
        let size = size.ok_or_else(|| wrong(format!("control {id} has type {kind}")))?;
        let mut start = at;
        if self.tagged {
            let tag = values.get(at..).map_or(u32::MAX, |rest| number(rest, 0));
            if tag != u32::from(kind) {
                return Err(wrong(format!("control {id} has two types")));
            }
            start = at.saturating_add(4);
        }
        let end = start.saturating_add(size.saturating_mul(count.into()));
        if end > values.len() {
            return Err(wrong(format!("the value of control {id} is past the end")));
        }
        Ok(end)
    }

    fn fits(&self, id: u32, kind: u8, expected: u8) -> Result<(), Wrong> {
        if kind == NONE || expected == NONE || kind == expected {
            return Ok(());
        }
        Err(wrong(format!("control {id} has a limit of another type")))
    }

    fn arity(&self, id: u32, value: &Entry, kind: u8, arity: Arity) -> Result<(), Wrong> {
        let array = value.is_array != 0;
        let fits = match arity {
            // Text is an array of characters.
            Arity::One if kind == self.string => array,
            Arity::One => !array && value.count == 1,
            Arity::Array(Some(count)) => array && value.count == count,
            Arity::Array(None) => array,
        };
        if fits {
            return Ok(());
        }
        Err(wrong(format!(
            "control {id} has {} values, array {}",
            value.count, value.is_array
        )))
    }
}

/// `type`, `type[]` or `type[N]`.
fn arity(text: &str) -> (&str, Arity) {
    match text.split_once('[') {
        None => (text, Arity::One),
        Some((name, count)) => (name, Arity::Array(count.trim_end_matches(']').parse().ok())),
    }
}

/// What a map is about.
#[derive(Clone, Debug)]
pub(crate) struct InfoMap {
    pub(crate) handle: u32,
    /// Its identifiers are libcamera's own.
    global: bool,
    types: BTreeMap<u32, u8>,
}

struct Parts<'a> {
    handle: u32,
    ids: u32,
    entries: &'a [u8],
    values: &'a [u8],
}

/// Type, array, count and offset of a value.
struct Entry {
    kind: u8,
    is_array: u8,
    count: u16,
    offset: u32,
}

impl Entry {
    fn of(bytes: &[u8]) -> Self {
        let &[kind, is_array, low, high, ..] = bytes else {
            return Self {
                kind: u8::MAX,
                is_array: 0,
                count: 0,
                offset: u32::MAX,
            };
        };
        Self {
            kind,
            is_array,
            count: u16::from_ne_bytes([low, high]),
            offset: number(bytes, 4),
        }
    }
}

fn wrong(why: impl Into<String>) -> Wrong {
    Wrong::new(why)
}
