//! What a field is: where it lies, and what it may say.

use std::fmt;

use serde::Deserialize;

/// How a number lies in memory, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Number {
    /// One byte.
    U8,
    /// Two bytes.
    U16,
    /// Four bytes.
    U32,
    /// One byte, two's complement.
    S8,
    /// Two bytes, two's complement.
    S16,
    /// Four bytes, two's complement.
    S32,
}

impl Number {
    /// Bytes.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::U8 | Self::S8 => 1,
            Self::U16 | Self::S16 => 2,
            Self::U32 | Self::S32 => 4,
        }
    }

    /// Bits.
    pub(crate) const fn bits(self) -> u8 {
        8 * self.width() as u8
    }

    /// All its bits set.
    pub(crate) const fn ones(self) -> u32 {
        u32::MAX >> (32 - self.bits())
    }

    /// Whether it has a sign.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::S8 | Self::S16 | Self::S32)
    }

    /// Smallest and largest value.
    #[must_use]
    pub const fn range(self) -> (i64, i64) {
        let ones = self.ones() as i64;
        if self.is_signed() {
            (-(ones / 2) - 1, ones / 2)
        } else {
            (0, ones)
        }
    }

    /// The bits as a value.
    pub(crate) const fn value(self, bits: u32) -> i64 {
        match self {
            Self::S8 => bits as i8 as i64,
            Self::S16 => bits as i16 as i64,
            Self::S32 => bits as i32 as i64,
            _ => bits as i64,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::S8 => "s8",
            Self::S16 => "s16",
            Self::S32 => "s32",
        })
    }
}

/// The values that a field may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Those from `min` to `max`, both included.
    Range {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// Those that are named, by value.
    Values(Vec<(i64, String)>),
}

impl Allowed {
    /// Whether a value is one of them.
    #[must_use]
    pub fn has(&self, value: i64) -> bool {
        match self {
            Self::Range { min, max } => (*min..=*max).contains(&value),
            Self::Values(values) => values.iter().any(|(allowed, _)| *allowed == value),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { min, max } => write!(f, "{min}..={max}"),
            Self::Values(values) => {
                for (at, (value, name)) in values.iter().enumerate() {
                    write!(f, "{}{value} {name}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

/// A field of a block: a number, or an array of them, or some of a number's bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, unique in the block.
    pub name: String,
    /// The member of the C structure, where that is another name.
    pub member: Option<String>,
    /// Where it starts, from the end of the block's header.
    pub offset: usize,
    /// The number that it is, or that it is part of.
    pub number: Number,
    /// How many of them, one after the other.
    pub len: usize,
    /// The first and the last bit, where it is part of a number.
    pub bits: Option<(u8, u8)>,
    /// The bits of the number that are the field's.
    pub mask: u32,
    /// What it may say.
    pub allowed: Allowed,
    /// Whether no element may be below the one before it.
    pub rises: bool,
    /// What a value counts.
    pub unit: Option<String>,
    /// What it is for.
    pub meaning: String,
}

impl Field {
    /// The byte after its last, from the end of the block's header.
    #[must_use]
    pub fn end(&self) -> usize {
        self.offset + self.len * self.number.width()
    }

    /// The value of element `index` in a block's body; 0 where the body does not reach.
    #[must_use]
    pub fn value(&self, body: &[u8], index: usize) -> i64 {
        let width = self.number.width();
        let start = self.offset + index * width;
        let mut bytes = [0; 4];
        if let Some(found) = body.get(start..start + width) {
            bytes[..width].copy_from_slice(found);
        }
        let bits = u32::from_le_bytes(bytes) & self.mask;
        match self.bits {
            Some((first, _)) => i64::from(bits >> first),
            None => self.number.value(bits),
        }
    }

    /// The values of all elements.
    pub fn values<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = i64> + 'a {
        (0..self.len).map(|index| self.value(body, index))
    }

    /// The name by which C knows it.
    #[must_use]
    pub fn c_member(&self) -> &str {
        self.member.as_deref().unwrap_or(&self.name)
    }
}
