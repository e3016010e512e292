//! Writes well-formed messages of any interface, by chance.

use std::collections::BTreeMap;

use super::schema::{Field, Kind, Schema};

/// Numbers that follow from a seed.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// What V4L2 says of a driver's controls, in every map of them: type and array.
pub fn drivers(schema: &Schema) -> BTreeMap<u32, u8> {
    let names = ["i32", "i32", "i64", "bool", "byte"];
    (0x0098_0900..)
        .zip(names.map(|name| schema.kind(name)))
        .collect()
}

/// A side, and the maps that it may name.
#[derive(Clone, Debug)]
pub struct Pen {
    pub is_host: bool,
    next: u32,
    /// Handles of its own maps of V4L2.
    own: Vec<u32>,
    /// Of the other side's.
    pub others: Vec<u32>,
}

/// Bytes, and how many descriptors belong to them.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub bytes: Vec<u8>,
    pub fds: usize,
}

fn u32s(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_ne_bytes())
        .collect()
}

impl Pen {
    pub fn new(is_host: bool) -> Self {
        Self {
            is_host,
            next: if is_host { 1 } else { 2 },
            own: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Its maps are said anew, with other handles or the same.
    pub fn forget(&mut self, counts_on: bool) {
        let next = if counts_on {
            self.next
        } else {
            Self::new(self.is_host).next
        };
        *self = Self {
            next,
            ..Self::new(self.is_host)
        };
    }

    /// Handles of its maps, which the other side knows.
    pub fn own(&self) -> &[u32] {
        &self.own
    }

    /// All parameters; `fixed` is what a field of that name is.
    pub fn parameters(
        &mut self,
        schema: &Schema,
        fields: &[Field],
        fixed: Option<(&str, &[u8])>,
        dice: &mut Dice,
    ) -> Written {
        let mut writing = Writing {
            schema,
            pen: self,
            fixed,
            dice,
            out: Written::default(),
        };
        if let [field] = fields {
            writing.whole(field.name.as_str(), &field.kind);
            return writing.out;
        }
        let mut bodies = Vec::new();
        for field in fields {
            let front = std::mem::take(&mut writing.out);
            writing.whole(&field.name, &field.kind);
            let body = std::mem::replace(&mut writing.out, front);
            writing.number(body.bytes.len());
            if field.kind.has_fd() {
                writing.number(body.fds);
            }
            bodies.push(body);
        }
        for body in bodies {
            writing.add(body);
        }
        writing.out
    }

    fn handle(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }
}

struct Writing<'a> {
    schema: &'a Schema,
    pen: &'a mut Pen,
    fixed: Option<(&'a str, &'a [u8])>,
    dice: &'a mut Dice,
    out: Written,
}

impl Writing<'_> {
    fn number(&mut self, number: usize) {
        self.out.bytes.extend((number as u32).to_ne_bytes());
    }

    fn add(&mut self, body: Written) {
        self.out.bytes.extend(body.bytes);
        self.out.fds += body.fds;
    }

    fn part(&mut self, name: &str, kind: &Kind, with_fds: bool) {
        let front = std::mem::take(&mut self.out);
        self.whole(name, kind);
        let body = std::mem::replace(&mut self.out, front);
        self.number(body.bytes.len());
        if with_fds {
            self.number(body.fds);
        }
        self.add(body);
    }

    fn field(&mut self, name: &str, kind: &Kind) {
        match kind {
            Kind::Plain(_) | Kind::Bool | Kind::Fd => self.whole(name, kind),
            Kind::Map | Kind::List => self.part(name, kind, false),
            _ => self.part(name, kind, kind.has_fd()),
        }
    }

    fn whole(&mut self, name: &str, kind: &Kind) {
        if let Some((_, bytes)) = self.fixed.filter(|(fixed, _)| *fixed == name) {
            return self.out.bytes.extend(bytes);
        }
        match kind {
            Kind::Plain(length) => {
                let bytes = self.dice.bytes(*length);
                self.out.bytes.extend(bytes);
            }
            Kind::Bool => {
                let byte = self.dice.below(2) as u8;
                self.out.bytes.push(byte);
            }
            Kind::Text => {
                let length = self.dice.below(20);
                let bytes = self.dice.bytes(length);
                self.out.bytes.extend(bytes);
            }
            Kind::Fd => {
                let valid = self.dice.below(2);
                self.number(valid);
                self.out.fds += valid;
            }
            Kind::Struct(fields) => fields.iter().for_each(|of| self.field(&of.name, &of.kind)),
            Kind::Array(of) => {
                let count = self.dice.below(4);
                self.number(count);
                (0..count).for_each(|_| self.part(name, of, true));
            }
            Kind::Pairs(key, value) => {
                let count = self.dice.below(4);
                self.number(count);
                for _ in 0..count {
                    self.part(name, key, true);
                    self.part(name, value, true);
                }
            }
            Kind::Map => {
                let (_, body) = self.map(!self.pen.is_host);
                self.number(body.len());
                self.out.bytes.extend(body);
            }
            Kind::List => self.list(name),
        }
    }

    fn controls(&self, handle: u32, ids: u32, entries: &[Vec<u8>], values: &[u8]) -> Vec<u8> {
        let entries_of = entries.concat();
        let offset = 32 + entries_of.len() as u32;
        let size = offset + values.len() as u32;
        let count = entries.len() as u32;
        let head = [self.schema.format, handle, count, size, offset, ids, 0, 0];
        [u32s(&head), entries_of, values.to_vec()].concat()
    }

    /// A value at the end of `values`, and its entry.
    fn value(&mut self, kind: u8, array: bool, count: usize, values: &mut Vec<u8>) -> Vec<u8> {
        let offset = values.len() as u32;
        if self.schema.tagged {
            values.extend(u32::from(kind).to_ne_bytes());
        }
        let size = self.schema.types[usize::from(kind)].1;
        values.extend(self.dice.bytes(size * count));
        let [low, high] = (count as u16).to_ne_bytes();
        let entry = [vec![kind, u8::from(array), low, high], u32s(&[offset])].concat();
        let rest = if self.schema.format == 1 { 4 } else { 8 };
        [entry, vec![0; rest]].concat()
    }

    /// A new map, of libcamera's controls or a driver's.
    fn map(&mut self, global: bool) -> (u32, Vec<u8>) {
        let handle = self.pen.handle();
        let of: Vec<_> = if global {
            let kinds = self.schema.controls.iter().map(|(id, of)| (*id, of.kind));
            // Never none: maps that are alike are one.
            let number = self.schema.kind("i32");
            kinds
                .filter(|(_, kind)| *kind == number || self.dice.below(4) == 0)
                .collect()
        } else {
            self.pen.own.push(handle);
            drivers(self.schema).into_iter().collect()
        };
        let (mut entries, mut values) = (Vec::new(), Vec::new());
        let text = self.schema.kind("string");
        for (id, kind) in of {
            let range = if kind == text {
                self.schema.kind("i32")
            } else {
                kind
            };
            let start = values.len() as u32;
            let limits: Vec<_> = (0..3)
                .flat_map(|_| self.value(range, false, 1, &mut values))
                .collect();
            entries.push(if self.schema.format == 1 {
                u32s(&[id, kind.into(), start, 0])
            } else {
                [u32s(&[id, kind.into(), 0, 0]), limits].concat()
            });
        }
        (
            handle,
            self.controls(handle, if global { 0 } else { 2 }, &entries, &values),
        )
    }

    /// Of libcamera's controls, or of a driver's under a map of one side or the other.
    fn list(&mut self, name: &str) {
        let which = if name == "metadata" {
            0
        } else {
            self.dice.below(4)
        };
        let (handle, map) = match which {
            0 => (0, Vec::new()),
            1 if !self.pen.own.is_empty() => (
                self.pen.own[self.dice.below(self.pen.own.len())],
                Vec::new(),
            ),
            2 if !self.pen.others.is_empty() => (
                self.pen.others[self.dice.below(self.pen.others.len())],
                Vec::new(),
            ),
            _ => self.map(false),
        };
        let (mut entries, mut values) = (Vec::new(), Vec::new());
        if handle == 0 {
            let text = self.schema.kind("string");
            for (id, control) in self.schema.controls.clone() {
                if self.dice.below(5) != 0 {
                    continue;
                }
                let count = match control.array {
                    Some(Some(count)) => count.into(),
                    Some(None) => self.dice.below(4),
                    None if control.kind == text => self.dice.below(9),
                    None => 1,
                };
                let array = control.array.is_some() || control.kind == text;
                let value = self.value(control.kind, array, count, &mut values);
                entries.push([u32s(&[id]), value].concat());
            }
        } else {
            let (byte, truth) = (self.schema.kind("byte"), self.schema.kind("bool"));
            for (id, kind) in drivers(self.schema) {
                let kind = if kind == truth {
                    self.schema.kind("i32")
                } else {
                    kind
                };
                let count = if kind == byte { self.dice.below(5) } else { 1 };
                let value = self.value(kind, kind == byte, count, &mut values);
                entries.push([u32s(&[id]), value].concat());
            }
        }
        let ids = if handle == 0 { 0 } else { 2 };
        let list = self.controls(handle, ids, &entries, &values);
        self.number(map.len());
        self.number(list.len());
        self.out.bytes.extend(map);
        self.out.bytes.extend(list);
    }
}
