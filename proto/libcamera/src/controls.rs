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
    byte: u8,
    i32: u8,
    /// Types that a host gives a driver as they are; of others it takes a 32-bit number.
    numbers: Vec<u8>,
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
            byte: kind("byte")?,
            i32: kind("i32")?,
            numbers: ["byte", "u16", "u32", "i32", "i64"]
                .into_iter()
                .filter_map(|name| kind(name).ok())
                .collect(),
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
            // Those of text are of its length.
            let range = if expected == self.string {
                self.i32
            } else {
                expected
            };
            let mut array = false;
            for index in 0..3 {
                let limit = self.limit(entry, index, at, parts.values);
                if self.format == 2 || index == 0 {
                    self.starts(id, limit.offset, at)?;
                }
                at = self.value(id, &limit, at, parts.values)?;
                // A host insists on the type of the first.
                if limit.kind != range && (index == 0 || ![NONE, expected].contains(&limit.kind)) {
                    return Err(wrong(format!("control {id} has a limit of another type")));
                }
                array |= limit.is_array != 0;
            }
            if array
                && known.is_some_and(|(kind, arity)| kind != self.string && arity == Arity::One)
            {
                return Err(wrong(format!("control {id} has an array as its limit")));
            }
            // A host looks for a control of the map under its number, and insists on finding this one.
            let kind = Kind {
                of: expected,
                array,
            };
            if types.insert(id, kind).is_some() && !global {
                return Err(wrong(format!("control {id} is in its map twice")));
            }
        }
        Ok(Some(InfoMap {
            handle: parts.handle,
            global,
            types,
        }))
    }

    /// Looks at a list; `map` gives the map of a handle that is not 0. Whether its controls are
    /// libcamera's own.
    pub(crate) fn list<'a>(
        &self,
        body: &[u8],
        map: impl FnOnce(u32) -> Option<&'a InfoMap>,
    ) -> Result<bool, Wrong> {
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
            at = self.value(id, &value, at, parts.values)?;
            let expected = match own {
                Some(map) if !map.global => {
                    let kind = map.types.get(&id);
                    let kind = kind
                        .ok_or_else(|| wrong(format!("control {id} is not in the list's map")))?;
                    self.driver(id, &value, *kind)?
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
        Ok(parts.entries.is_empty() || own.is_none_or(|map| map.global))
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
    fn value(&self, id: u32, value: &Entry, at: usize, values: &[u8]) -> Result<usize, Wrong> {
        let (kind, count) = (value.kind, value.count);
        // A host reads one, whatever the number says.
        if value.is_array == 0 && kind != NONE && count != 1 {
            return Err(wrong(format!(
                "control {id} has {count} values, and no array"
            )));
        }
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

    /// The least, the largest or the default value that an entry of a map has.
    fn limit(&self, entry: &[u8], index: usize, at: usize, values: &[u8]) -> Entry {
        if self.format == 2 {
            let place = 16_usize.saturating_add(index.saturating_mul(16));
            return Entry::of(entry.get(place..).unwrap_or_default());
        }
        let kind = values.get(at..).map_or(0, |rest| number(rest, 0));
        Entry {
            kind: u8::try_from(kind).unwrap_or(u8::MAX),
            is_array: 0,
            count: 1,
            offset: number(entry, 8),
        }
    }

    /// The type that a host asks a value for before it gives it to a driver.
    fn driver(&self, id: u32, value: &Entry, kind: Kind) -> Result<u8, Wrong> {
        if value.is_array != 0 && !kind.array && kind.of != self.byte {
            return Err(wrong(format!(
                "control {id} has an array, and is one number"
            )));
        }
        let is_number = self.numbers.contains(&kind.of);
        Ok(if is_number { kind.of } else { self.i32 })
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
    types: BTreeMap<u32, Kind>,
}

impl InfoMap {
    /// Whether it has libcamera's own controls, or none.
    pub(crate) fn is_libcameras(&self) -> bool {
        self.global || self.types.is_empty()
    }

    /// Whether one of its controls is another one there.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        let same = |(id, kind): (&u32, &Kind)| other.types.get(id).is_none_or(|of| of == kind);
        self.global == other.global && !self.types.iter().all(same)
    }
}

/// A control, as a map says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    of: u8,
    array: bool,
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
