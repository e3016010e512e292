//! What a block is: its header, its flags, and the table of blocks a format knows.
//!
//! Source: `include/uapi/linux/media/v4l2-isp.h`. A block is
//! `{ u16 type; u16 flags; u32 size }` followed by its body; `size` counts the header too.

use thiserror::Error;

use crate::walker::Blocks;

/// Bytes of a buffer header (`u32 version, u32 data_size`) and of a block header alike.
pub const HEADER_SIZE: usize = 8;

/// Block types are below this number. The kernel's formats have 21 at most; the limit lets
/// duplicates be found without memory.
pub const KIND_LIMIT: u16 = 64;

/// The flags of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockFlags(u16);

impl BlockFlags {
    /// Configure the block and leave it as enabled or disabled as it was.
    pub const NONE: Self = Self(0);
    /// Bit 0: switch the block off.
    pub const DISABLE: Self = Self(1);
    /// Bit 1: configure the block and switch it on.
    pub const ENABLE: Self = Self(1 << 1);

    /// The flags of a header word, or `None` when it has a bit that has no meaning here or asks to
    /// disable and enable at once.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        match bits {
            0..=2 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The header word.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the block is switched off; its body, if it has one, then has no meaning.
    #[must_use]
    pub const fn is_disable(self) -> bool {
        self.0 == Self::DISABLE.0
    }
}

/// A block as it lies in a buffer that passed the framing checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawBlock<'a> {
    /// The block type, below [`KIND_LIMIT`].
    pub kind: u16,
    /// What to do with it.
    pub flags: BlockFlags,
    /// The bytes after the header; a multiple of 8 long, possibly empty.
    pub body: &'a [u8],
}

/// A typed block of some format.
pub trait Block: Sized {
    /// The block type.
    const KIND: u16;
    /// The name, as the format's documentation writes it.
    const NAME: &'static str;
    /// Bytes in a buffer, header included; a multiple of 8.
    const SIZE: usize;

    /// Writes the body. `body` is `SIZE − 8` zeroed bytes; a shorter one gets what fits.
    fn encode(&self, body: &mut [u8]);

    /// Reads the body and checks size, ranges and reserved bytes.
    ///
    /// # Errors
    /// [`BlockError`] names the field that is wrong.
    fn decode(body: &[u8]) -> Result<Self, BlockError>;
}

/// Why a typed block was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The body is not of the block's size.
    #[error("{block}: body is {got} bytes, the format says {want}; send the whole block")]
    Size {
        /// Block name.
        block: &'static str,
        /// Bytes found.
        got: usize,
        /// Bytes the format asks for.
        want: usize,
    },
    /// A field is out of its documented range.
    #[error("{block}: {field}[{index}] is {value}, outside {min}..={max}; clamp it before sending")]
    Range {
        /// Block name.
        block: &'static str,
        /// Field name.
        field: &'static str,
        /// Element of the field.
        index: usize,
        /// Raw value found.
        value: u32,
        /// Smallest raw value allowed.
        min: u32,
        /// Largest raw value allowed.
        max: u32,
    },
    /// A reserved byte is not zero.
    #[error("{block}: a reserved byte is not zero; zero what the format does not name")]
    Reserved {
        /// Block name.
        block: &'static str,
    },
    /// A curve that has to rise falls.
    #[error("{block}: knot {index} is below the one before it; send a non-decreasing curve")]
    NotMonotone {
        /// Block name.
        block: &'static str,
        /// The knot that falls.
        index: usize,
    },
    /// The format has no such block.
    #[error("block type {kind} is not part of {format}; send documented blocks only")]
    Unknown {
        /// Block type found.
        kind: u16,
        /// Format name.
        format: &'static str,
    },
}

impl BlockError {
    /// Checks the size of a body.
    pub(crate) fn expect_size<B: Block>(body: &[u8]) -> Result<(), Self> {
        let want = B::SIZE - HEADER_SIZE;
        if body.len() == want {
            Ok(())
        } else {
            Err(Self::Size {
                block: B::NAME,
                got: body.len(),
                want,
            })
        }
    }
}

/// The blocks a format knows: version, and for every type its size in bytes, header included.
///
/// The kernel keeps the same table in each driver and checks a buffer against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatTable<'a> {
    /// The only version of the buffer header that is accepted.
    pub version: u32,
    /// Size of each block, indexed by type.
    pub sizes: &'a [usize],
}

impl FormatTable<'_> {
    /// Bytes of the largest valid buffer: the buffer header and every block once.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.sizes.iter().sum::<usize>() + HEADER_SIZE
    }

    /// Checks version, types and sizes of a buffer that already passed the framing checks.
    ///
    /// # Errors
    /// [`TableError`] names the first block that is not as the table says.
    pub fn check(&self, blocks: &Blocks<'_>) -> Result<(), TableError> {
        if blocks.version() != self.version {
            return Err(TableError::Version {
                got: blocks.version(),
                want: self.version,
            });
        }
        blocks.iter().try_for_each(|block| self.check_block(&block))
    }

    /// Checks type and size of one block.
    ///
    /// # Errors
    /// As [`FormatTable::check`].
    pub fn check_block(&self, block: &RawBlock<'_>) -> Result<(), TableError> {
        let kind = block.kind;
        let Some(&want) = self.sizes.get(usize::from(kind)) else {
            return Err(TableError::Unknown { kind });
        };
        let got = block.body.len() + HEADER_SIZE;
        if got == want || (block.flags.is_disable() && got == HEADER_SIZE) {
            Ok(())
        } else {
            Err(TableError::Size { kind, got, want })
        }
    }
}

/// Why a well-framed buffer does not belong to a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TableError {
    /// The buffer's version is not the format's.
    #[error("parameter buffer has version {got}, the format is version {want}; rebuild the sender")]
    Version {
        /// Version found.
        got: u32,
        /// Version of the format.
        want: u32,
    },
    /// The format has no such block.
    #[error("block type {kind} is not part of the format; send documented blocks only")]
    Unknown {
        /// Block type found.
        kind: u16,
    },
    /// The block is not of the size the format gives it.
    #[error("block type {kind} is {got} bytes, the format says {want}; send the whole block")]
    Size {
        /// Block type.
        kind: u16,
        /// Bytes found, header included.
        got: usize,
        /// Bytes the format asks for, header included.
        want: usize,
    },
}
