//! What comes after command and cookie: fields, as libcamera's serialisers write them.
//!
//! More than one: of each its size, and the number of its descriptors if it can have any; then all of
//! them. A single one has nothing in front. Inside of a struct, whatever can vary in size has it in
//! front.

use std::ops::Range;

use crate::Wrong;
use crate::buffers::Plane;
use crate::controls::Vocabulary;
use crate::handles::Handles;
use crate::interface::{Field, Kind};
use crate::message::number;

/// How deep one thing may be in another: interfaces have five.
const MAX_DEPTH: usize = 16;

/// The lists that must have libcamera's own controls.
const METADATA: &str = "metadata";

/// From whom a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Host,
    /// With `true` the host will see it.
    Worker(bool),
}

/// Reads fields, and writes them as the other side may see them.
pub(crate) struct Walk<'a, 'h> {
    words: &'h Vocabulary,
    handles: &'h mut Handles,
    side: Side,
    out: Vec<u8>,
    /// Names of what has no parts, and where it is in what is written.
    leaves: Vec<(&'a str, Range<usize>)>,
}

/// What was read.
pub(crate) struct Walked<'a> {
    pub(crate) bytes: Vec<u8>,
    leaves: Vec<(&'a str, Range<usize>)>,
}

impl Walked<'_> {
    /// The bytes of all fields of that name.
    pub(crate) fn named<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> {
        let named = self.leaves.iter().filter(move |(leaf, _)| *leaf == name);
        named.filter_map(|(_, range)| self.bytes.get(range.clone()))
    }

    /// The same, of the first that is a number of 32 bits.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let mut four = self.named(name).filter(|bytes| bytes.len() == 4);
        four.next().map(|bytes| number(bytes, 0))
    }

    /// Changes that.
    pub(crate) fn change(&mut self, name: &str, value: u32) {
        let mut leaves = self.leaves.iter();
        if let Some((_, range)) = leaves.find(|(leaf, range)| *leaf == name && range.len() == 4)
            && let Some(there) = self.bytes.get_mut(range.clone())
        {
            there.copy_from_slice(&value.to_ne_bytes());
        }
    }

    /// The planes of all buffers, and the descriptors that they have.
    pub(crate) fn planes<'f, F>(&self, fds: &'f [F]) -> Vec<Plane<'f, F>> {
        let mut fds = fds.iter();
        let (mut id, mut fd, mut offset) = (0, None, 0);
        let mut planes = Vec::new();
        for (name, range) in &self.leaves {
            let value = number(self.bytes.get(range.clone()).unwrap_or_default(), 0);
            match *name {
                "id" => id = value,
                "fd" => fd = (value == 1).then(|| fds.next()).flatten(),
                "offset" => offset = value,
                "length" => planes.extend(fd.map(|fd| Plane {
                    id,
                    fd,
                    offset,
                    length: value,
                })),
                _ => {}
            }
        }
        planes
    }
}

/// Bytes and descriptors that are left.
struct Input<'a> {
    bytes: &'a [u8],
    fds: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or_else(|| Wrong::new("a size is past the end"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Wrong> {
        Ok(number(self.take(4)?, 0))
    }

    fn length(&mut self) -> Result<usize, Wrong> {
        Ok(usize::try_from(self.number()?).unwrap_or(usize::MAX))
    }

    /// What is `length` long and has `fds` descriptors.
    fn part(&mut self, length: usize, fds: usize) -> Result<Self, Wrong> {
        let bytes = self.take(length)?;
        self.fds = self
            .fds
            .checked_sub(fds)
            .ok_or_else(|| Wrong::new("a descriptor is missing"))?;
        Ok(Self { bytes, fds })
    }

    fn end(&self) -> Result<(), Wrong> {
        if self.bytes.is_empty() && self.fds == 0 {
            return Ok(());
        }
        Err(Wrong::new(format!(
            "{} bytes and {} descriptors too many",
            self.bytes.len(),
            self.fds
        )))
    }
}

impl<'a, 'h> Walk<'a, 'h> {
    /// `prefix` goes in front of what is written.
    pub(crate) fn new(
        words: &'h Vocabulary,
        handles: &'h mut Handles,
        side: Side,
        prefix: &[u8],
    ) -> Self {
        Self {
            words,
            handles,
            side,
            out: prefix.to_vec(),
            leaves: Vec::new(),
        }
    }

    /// All parameters of a call, an answer or an event.
    pub(crate) fn parameters(
        mut self,
        fields: &'a [Field],
        bytes: &[u8],
        fds: usize,
    ) -> Result<Walked<'a>, Wrong> {
        let mut input = Input { bytes, fds };
        if let [field] = fields {
            self.whole(&field.name, &field.kind, &mut input, 0)?;
        } else {
            let mut sizes = Vec::new();
            for field in fields {
                let place = self.out.len();
                let length = input.length()?;
                self.write(0);
                let fds = if field.kind.has_fd() {
                    let fds = input.number()?;
                    self.write(fds);
                    usize::try_from(fds).unwrap_or(usize::MAX)
                } else {
                    0
                };
                sizes.push((place, length, fds));
            }
            for (field, (place, length, fds)) in fields.iter().zip(sizes) {
                let start = self.out.len();
                let mut part = input.part(length, fds)?;
                self.whole(&field.name, &field.kind, &mut part, 0)?;
                self.size(place, start);
            }
        }
        input.end()?;
        Ok(Walked {
            bytes: self.out,
            leaves: self.leaves,
        })
    }

    /// What is all of its input.
    fn whole(
        &mut self,
        name: &'a str,
        kind: &'a Kind,
        input: &mut Input<'_>,
        depth: usize,
    ) -> Result<(), Wrong> {
        if depth > MAX_DEPTH {
            return Err(Wrong::new("too many things in one another"));
        }
        match kind {
            // What a serialiser writes that has failed.
            Kind::InfoMap | Kind::ControlList if input.bytes.is_empty() => {}
            Kind::Plain(_) | Kind::Bool | Kind::Fd => self.field(name, kind, input, depth)?,
            Kind::String => {
                let text = std::mem::take(&mut input.bytes);
                self.leaf(name, text);
            }
            Kind::InfoMap => {
                let length = input.length()?;
                let body = input.take(length)?;
                self.info_map(body)?;
            }
            Kind::ControlList => self.control_list(name, input)?,
            Kind::Struct(fields) => {
                let start = self.out.len();
                for field in fields.iter() {
                    self.field(&field.name, &field.kind, input, depth + 1)?;
                }
                self.leaves.push((name, start..self.out.len()));
            }
            Kind::Array(of) => {
                for _ in 0..self.count(input)? {
                    self.element(name, of, input, depth)?;
                }
            }
            Kind::Map(of) => {
                for _ in 0..self.count(input)? {
                    self.element(name, &of.0, input, depth)?;
                    self.element(name, &of.1, input, depth)?;
                }
            }
        }
        input.end()
    }

    /// What is in a struct.
    fn field(
        &mut self,
        name: &'a str,
        kind: &'a Kind,
        input: &mut Input<'_>,
        depth: usize,
    ) -> Result<(), Wrong> {
        match kind {
            Kind::Plain(length) => {
                let bytes = input.take(*length)?;
                self.leaf(name, bytes);
            }
            Kind::Bool => {
                let bytes = input.take(1)?;
                if bytes.first().is_none_or(|byte| *byte > 1) {
                    return Err(Wrong::new(format!("{name} is neither true nor false")));
                }
                self.leaf(name, bytes);
            }
            Kind::Fd => {
                let bytes = input.take(4)?;
                match number(bytes, 0) {
                    0 => {}
                    1 => {
                        input.part(0, 1)?;
                    }
                    _ => return Err(Wrong::new(format!("{name} is no descriptor"))),
                }
                self.leaf(name, bytes);
            }
            Kind::InfoMap | Kind::ControlList => {
                let length = input.length()?;
                let place = self.out.len();
                self.write(0);
                if length > 0 {
                    let start = self.out.len();
                    self.whole(name, kind, &mut input.part(length, 0)?, depth + 1)?;
                    self.size(place, start);
                }
            }
            Kind::String | Kind::Struct(_) | Kind::Array(_) | Kind::Map(_) => {
                let length = input.length()?;
                let place = self.out.len();
                self.write(0);
                let fds = if kind.has_fd() {
                    let fds = input.number()?;
                    self.write(fds);
                    usize::try_from(fds).unwrap_or(usize::MAX)
                } else {
                    0
                };
                let start = self.out.len();
                self.whole(name, kind, &mut input.part(length, fds)?, depth + 1)?;
                self.size(place, start);
            }
        }
        Ok(())
    }

    /// Elements that there can be at most: each has eight bytes in front.
    fn count(&mut self, input: &mut Input<'_>) -> Result<usize, Wrong> {
        let count = input.length()?;
        if count > input.bytes.len() / 8 {
            return Err(Wrong::new("a number of elements is past the end"));
        }
        self.write(u32::try_from(count).unwrap_or(0));
        Ok(count)
    }

    fn element(
        &mut self,
        name: &'a str,
        kind: &'a Kind,
        input: &mut Input<'_>,
        depth: usize,
    ) -> Result<(), Wrong> {
        let length = input.length()?;
        let fds = input.number()?;
        let place = self.out.len();
        self.write(0);
        self.write(fds);
        let fds = usize::try_from(fds).unwrap_or(usize::MAX);
        let start = self.out.len();
        self.whole(name, kind, &mut input.part(length, fds)?, depth + 1)?;
        self.size(place, start);
        Ok(())
    }

    fn info_map(&mut self, body: &[u8]) -> Result<(), Wrong> {
        match self.side {
            Side::Host => {
                self.handles.host_map(self.words, body)?;
                self.sized(body);
            }
            Side::Worker(heard) => {
                // It becomes part of what a camera can do.
                if self
                    .words
                    .map(body)?
                    .is_some_and(|map| !map.is_libcameras())
                {
                    return Err(Wrong::new("controls of a camera that are not libcamera's"));
                }
                let body = self.handles.worker_map(self.words, body, heard)?;
                self.sized(&body);
            }
        }
        Ok(())
    }

    /// Two sizes, of a map that may be there and of the list, and both.
    fn control_list(&mut self, name: &str, input: &mut Input<'_>) -> Result<(), Wrong> {
        let (map_length, list_length) = (input.length()?, input.length()?);
        let (map, list) = (input.take(map_length)?, input.take(list_length)?);
        let (map, list) = match self.side {
            Side::Host => {
                if !map.is_empty() {
                    self.handles.host_map(self.words, map)?;
                }
                let missed = self.handles.host_list(list).map(<[u8]>::to_vec);
                (missed.unwrap_or_else(|| map.to_vec()), list.to_vec())
            }
            Side::Worker(heard) => {
                let map = if map.is_empty() {
                    Vec::new()
                } else {
                    self.handles.worker_map(self.words, map, heard)?
                };
                let list = self.handles.worker_list(self.words, list, heard)?;
                // It becomes part of a request, and applications look its controls up.
                if name == METADATA && !list.global {
                    return Err(Wrong::new("metadata that are not libcamera's controls"));
                }
                (list.missed.unwrap_or(map), list.body)
            }
        };
        self.write(u32::try_from(map.len()).unwrap_or(0));
        self.write(u32::try_from(list.len()).unwrap_or(0));
        self.out.extend(map);
        self.out.extend(list);
        Ok(())
    }

    fn leaf(&mut self, name: &'a str, bytes: &[u8]) {
        let start = self.out.len();
        self.out.extend(bytes);
        self.leaves.push((name, start..self.out.len()));
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.write(u32::try_from(bytes.len()).unwrap_or(0));
        self.out.extend(bytes);
    }

    fn write(&mut self, number: u32) {
        self.out.extend(number.to_ne_bytes());
    }

    /// Writes at `place` how much has been written since `start`.
    fn size(&mut self, place: usize, start: usize) {
        let written = self.out.len().saturating_sub(start);
        let size = u32::try_from(written).unwrap_or(0);
        if let Some(there) = self.out.get_mut(place..place.saturating_add(4)) {
            there.copy_from_slice(&size.to_ne_bytes());
        }
    }
}
