//! Contracts, a second time: straight from their TOML, one bit and one number after the other. It
//! shares no line with what it is compared with, and takes all the time it likes.

use toml::{Table, Value};

/// What is said of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: u16,
    pub(crate) offset: usize,
    pub(crate) size: usize,
    /// One word, and the field that it is about.
    pub(crate) refused: Option<(&'static str, Option<String>)>,
}

pub(crate) struct Oracle(Table);

impl Oracle {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.parse().expect("TOML"))
    }

    fn blocks(&self) -> &[Value] {
        self.0["block"].as_array().expect("blocks")
    }

    /// Block by block, or nothing for a buffer that cannot be taken apart.
    pub(crate) fn judge(&self, buffer: &[u8], capabilities: u64) -> Option<Vec<Told>> {
        let all: i64 = self.blocks().iter().map(|block| int(block, "size")).sum();
        if buffer.len() < 8 || buffer.len() > 8 + all as usize {
            return None;
        }
        if unsigned(&buffer[0..4]) != int_of(&self.0["version"]) {
            return None;
        }
        if unsigned(&buffer[4..8]) != buffer.len() as i64 - 8 {
            return None;
        }
        let mut cut = Vec::new();
        let mut offset = 8;
        while offset < buffer.len() {
            if buffer.len() - offset < 8 {
                return None;
            }
            let size = unsigned(&buffer[offset + 4..offset + 8]) as usize;
            if size < 8 || !size.is_multiple_of(8) || size > buffer.len() - offset {
                return None;
            }
            cut.push((offset, &buffer[offset..offset + size]));
            offset += size;
        }
        let kind = |block: &[u8]| unsigned(&block[0..2]) as u16;
        let told = cut.iter().map(|(offset, block)| {
            let same = cut.iter().filter(|(_, other)| kind(other) == kind(block));
            Told {
                kind: kind(block),
                offset: *offset,
                size: block.len(),
                refused: self.refused(block, same.count(), capabilities),
            }
        });
        Some(told.collect())
    }

    fn refused(
        &self,
        block: &[u8],
        times: usize,
        capabilities: u64,
    ) -> Option<(&'static str, Option<String>)> {
        let kind = unsigned(&block[0..2]);
        let mut documented = self.blocks().iter();
        let Some(stated) = documented.find(|stated| int(stated, "type") == kind) else {
            return Some(("unknown", None));
        };
        if times > 1 {
            return Some(("duplicate", None));
        }
        if (capabilities >> kind) & 1 == 0 {
            return Some(("unsupported", None));
        }
        let flags = unsigned(&block[2..4]);
        let (disable, enable) = (flags % 2 == 1, flags / 2 % 2 == 1);
        if (disable && enable) || !self.flags_are_known(flags) {
            return Some(("flags", None));
        }
        if disable && block.len() == 8 {
            return None;
        }
        if block.len() as i64 != int(stated, "size") {
            return Some(("size", None));
        }
        let body = &block[8..];
        if disable && body.iter().all(|byte| *byte == 0) {
            return None;
        }
        wrong(stated, body)
    }

    fn flags_are_known(&self, flags: i64) -> bool {
        let own = self.0.get("flags").and_then(Value::as_table);
        (0..16).filter(|bit| flags >> bit & 1 == 1).all(|bit| {
            bit < 2 || own.is_some_and(|own| own.values().any(|value| int_of(value) == bit))
        })
    }
}

fn wrong(stated: &Value, body: &[u8]) -> Option<(&'static str, Option<String>)> {
    let mut fields: Vec<Field> = stated["field"]
        .as_array()
        .expect("fields")
        .iter()
        .map(Field::new)
        .collect();
    fields.sort_by_key(|field| (field.offset, field.first));
    let mut owned = vec![false; body.len() * 8];
    for field in &fields {
        for index in 0..field.len {
            for bit in (0..8 * field.width).filter(|bit| field.mask >> bit & 1 == 1) {
                owned[(field.offset + index * field.width) * 8 + bit] = true;
            }
        }
    }
    let set = |bit: usize| body[bit / 8] >> (bit % 8) & 1 == 1;
    if (0..owned.len()).any(|bit| set(bit) && !owned[bit]) {
        return Some(("reserved", None));
    }
    for field in &fields {
        let values: Vec<i64> = (0..field.len).map(|at| field.value(body, at)).collect();
        let name = || Some(field.name.to_owned());
        if values.iter().any(|value| !field.may_say(*value)) {
            return Some(("range", name()));
        }
        if field.rises && values.windows(2).any(|pair| pair[1] < pair[0]) {
            return Some(("falls", name()));
        }
    }
    None
}

struct Field<'a> {
    stated: &'a Value,
    name: &'a str,
    offset: usize,
    width: usize,
    signed: bool,
    len: usize,
    /// The lowest bit that is the field's, where `bits` say which.
    first: usize,
    mask: i64,
    rises: bool,
}

impl<'a> Field<'a> {
    fn new(stated: &'a Value) -> Self {
        let kind = stated["type"].as_str().expect("a type");
        let width = kind[1..].parse::<usize>().expect("bits") / 8;
        let bits = stated.get("bits").and_then(Value::as_array);
        let first = bits.map_or(0, |bits| int_of(&bits[0]) as usize);
        let last = bits.map_or(8 * width - 1, |bits| int_of(&bits[1]) as usize);
        let mask = (first..=last).map(|bit| 1 << bit).sum();
        let number = |key| stated.get(key).map(int_of);
        Self {
            stated,
            name: stated["name"].as_str().expect("a name"),
            offset: int(stated, "offset") as usize,
            width,
            signed: kind.starts_with('s'),
            len: number("len").unwrap_or(1) as usize,
            first,
            mask: number("mask").unwrap_or(mask),
            rises: stated
                .get("rises")
                .is_some_and(|rises| rises.as_bool() == Some(true)),
        }
    }

    fn value(&self, body: &[u8], index: usize) -> i64 {
        let start = self.offset + index * self.width;
        let number = unsigned(&body[start..start + self.width]) & self.mask;
        let limit = 1_i64 << (8 * self.width);
        match number >> self.first {
            value if self.signed && value >= limit / 2 => value - limit,
            value => value,
        }
    }

    fn may_say(&self, value: i64) -> bool {
        let bound = |key| self.stated.get(key).map(int_of);
        let values = self.stated.get("values").and_then(Value::as_table);
        bound("min").is_none_or(|min| value >= min)
            && bound("max").is_none_or(|max| value <= max)
            && values.is_none_or(|values| values.values().any(|one| int_of(one) == value))
    }
}

fn int_of(value: &Value) -> i64 {
    value.as_integer().expect("a number")
}

fn int(table: &Value, key: &str) -> i64 {
    int_of(&table[key])
}

/// Little-endian.
fn unsigned(bytes: &[u8]) -> i64 {
    bytes
        .iter()
        .rev()
        .fold(0, |sum, byte| sum * 256 + i64::from(*byte))
}
