//! Reading a parameter buffer: all framing is checked before the first block is handed out.

use thiserror::Error;

use crate::blocks::{BlockFlags, HEADER_SIZE, KIND_LIMIT, RawBlock};

/// Why a buffer is not a well-framed sequence of blocks. Offsets count from the buffer's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Shorter than the buffer header.
    #[error("parameter buffer of {len} bytes has no room for its 8-byte header; send it whole")]
    Truncated {
        /// Bytes found.
        len: usize,
    },
    /// `data_size` does not match the bytes that came.
    #[error("parameter buffer says {data_size} bytes of blocks and carries {found}; send as many")]
    DataSize {
        /// What the header says.
        data_size: u32,
        /// What came after the header.
        found: usize,
    },
    /// Bytes remain that are too few for a block header.
    #[error("{left} stray bytes at offset {offset}; end the buffer with the last block")]
    Trailing {
        /// Where they start.
        offset: usize,
        /// How many.
        left: usize,
    },
    /// A block type that no format has.
    #[error("block type {kind} at offset {offset} is not below {KIND_LIMIT}; send known blocks")]
    Kind {
        /// Where the block starts.
        offset: usize,
        /// Type found.
        kind: u16,
    },
    /// Flags that have no meaning, or both disable and enable.
    #[error("block at offset {offset} has flags {flags:#06x}; set DISABLE, ENABLE or neither")]
    Flags {
        /// Where the block starts.
        offset: usize,
        /// Flags found.
        flags: u16,
    },
    /// A size below the header's, not in whole words, or beyond the end.
    #[error("block at offset {offset} says {size} bytes of {left} left; give its true size")]
    Size {
        /// Where the block starts.
        offset: usize,
        /// Size found.
        size: u32,
        /// Bytes from the block's start to the end of the buffer.
        left: usize,
    },
    /// The same block twice.
    #[error("block type {kind} comes again at offset {offset}; send each block once")]
    Duplicate {
        /// Where the second one starts.
        offset: usize,
        /// Its type.
        kind: u16,
    },
}

/// A parameter buffer whose lengths add up, and nothing else is known of it: flags may have no
/// meaning, blocks may be of any type and come again. Who judges block by block begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames<'a> {
    version: u32,
    data: &'a [u8],
}

/// A block whose length fits, and nothing else is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// Where its header starts, from the buffer's start.
    pub offset: usize,
    /// The block type, any.
    pub kind: u16,
    /// The flags, any.
    pub flags: u16,
    /// The bytes after the header; a multiple of 8 long, possibly empty.
    pub body: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Checks the lengths of a whole buffer.
    ///
    /// # Errors
    /// [`ParseError`], but for kinds, flags and duplicates, names the first length that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let Some((header, data)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
            return Err(ParseError::Truncated { len: bytes.len() });
        };
        let [v0, v1, v2, v3, s0, s1, s2, s3] = *header;
        let data_size = u32::from_le_bytes([s0, s1, s2, s3]);
        if usize::try_from(data_size) != Ok(data.len()) {
            return Err(ParseError::DataSize {
                data_size,
                found: data.len(),
            });
        }
        let mut rest = data;
        while !rest.is_empty() {
            (_, rest) = split_block(rest, bytes.len() - rest.len())?;
        }
        Ok(Self {
            version: u32::from_le_bytes([v0, v1, v2, v3]),
            data,
        })
    }

    /// The format version in the buffer header.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The blocks in the order they came.
    #[must_use]
    pub const fn iter(&self) -> FrameIter<'a> {
        FrameIter {
            rest: self.data,
            offset: HEADER_SIZE,
        }
    }
}

impl<'a> IntoIterator for &Frames<'a> {
    type Item = Framed<'a>;
    type IntoIter = FrameIter<'a>;

    fn into_iter(self) -> FrameIter<'a> {
        self.iter()
    }
}

/// The blocks of a buffer, in order.
#[derive(Clone, Debug)]
pub struct FrameIter<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for FrameIter<'a> {
    type Item = Framed<'a>;

    fn next(&mut self) -> Option<Framed<'a>> {
        // `Frames::parse` went over the same bytes: this fails at the end only.
        let (block, rest) = split_block(self.rest, self.offset).ok()?;
        self.offset += self.rest.len() - rest.len();
        self.rest = rest;
        Some(block)
    }
}

/// A parameter buffer whose framing is right: lengths add up, flags have a meaning, no block comes
/// twice. What the blocks say is not checked yet; see [`FormatTable`](crate::FormatTable) and
/// [`Block::decode`](crate::Block::decode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(Frames<'a>);

impl<'a> Blocks<'a> {
    /// Checks the framing of a whole buffer.
    ///
    /// The checks are those of the kernel's `v4l2_isp_params_validate_buffer`, and two of ours: no
    /// block twice, no unknown flag. Version and table are the format's to check.
    ///
    /// # Errors
    /// [`ParseError`] names the first thing that is wrong and where; lengths come before the rest.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let frames = Frames::parse(bytes)?;
        let mut seen = 0_u64;
        for framed in &frames {
            let (offset, block) = (framed.offset, raw(&framed)?);
            if seen & (1 << block.kind) != 0 {
                let kind = block.kind;
                return Err(ParseError::Duplicate { offset, kind });
            }
            seen |= 1 << block.kind;
        }
        Ok(Self(frames))
    }

    /// The format version in the buffer header.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.0.version()
    }

    /// The blocks in the order they came.
    #[must_use]
    pub const fn iter(&self) -> BlockIter<'a> {
        BlockIter(self.0.iter())
    }
}

impl<'a> IntoIterator for &Blocks<'a> {
    type Item = RawBlock<'a>;
    type IntoIter = BlockIter<'a>;

    fn into_iter(self) -> BlockIter<'a> {
        self.iter()
    }
}

/// The blocks of a buffer, in order.
#[derive(Clone, Debug)]
pub struct BlockIter<'a>(FrameIter<'a>);

impl<'a> Iterator for BlockIter<'a> {
    type Item = RawBlock<'a>;

    fn next(&mut self) -> Option<RawBlock<'a>> {
        // `Blocks::parse` went over the same blocks.
        raw(&self.0.next()?).ok()
    }
}

/// A block whose type and flags have a meaning.
fn raw<'a>(framed: &Framed<'a>) -> Result<RawBlock<'a>, ParseError> {
    let Framed {
        offset,
        kind,
        flags,
        body,
    } = *framed;
    if kind >= KIND_LIMIT {
        return Err(ParseError::Kind { offset, kind });
    }
    let flags = BlockFlags::from_bits(flags).ok_or(ParseError::Flags { offset, flags })?;
    Ok(RawBlock { kind, flags, body })
}

/// Takes one block off the front, which is at `offset` of its buffer.
fn split_block(bytes: &[u8], offset: usize) -> Result<(Framed<'_>, &[u8]), ParseError> {
    let left = bytes.len();
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
        return Err(ParseError::Trailing { offset, left });
    };
    let [k0, k1, f0, f1, s0, s1, s2, s3] = *header;
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    let (body, rest) = usize::try_from(size)
        .ok()
        .filter(|size| size.is_multiple_of(8))
        .and_then(|size| size.checked_sub(HEADER_SIZE))
        .and_then(|body_len| rest.split_at_checked(body_len))
        .ok_or(ParseError::Size { offset, size, left })?;
    let framed = Framed {
        offset,
        kind: u16::from_le_bytes([k0, k1]),
        flags: u16::from_le_bytes([f0, f1]),
        body,
    };
    Ok((framed, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer of version 1 with the given block headers and bodies.
    fn buffer(blocks: &[(u16, u16, u32, usize)]) -> Vec<u8> {
        let mut data = Vec::new();
        for &(kind, flags, size, body) in blocks {
            data.extend(kind.to_le_bytes());
            data.extend(flags.to_le_bytes());
            data.extend(size.to_le_bytes());
            data.resize(data.len() + body, 7);
        }
        let mut bytes = 1_u32.to_le_bytes().to_vec();
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn refusal(blocks: &[(u16, u16, u32, usize)]) -> ParseError {
        Blocks::parse(&buffer(blocks)).unwrap_err()
    }

    #[test]
    fn blocks_come_out_in_order() {
        let bytes = buffer(&[(3, 2, 16, 8), (1, 1, 8, 0)]);
        let blocks = Blocks::parse(&bytes).unwrap();
        let kinds: Vec<_> = blocks.iter().map(|b| (b.kind, b.body.len())).collect();
        assert_eq!(kinds, [(3, 8), (1, 0)]);
        assert_eq!(blocks.version(), 1);
    }

    #[test]
    fn frames_take_any_type_and_flags_and_repetitions_and_tell_where() {
        let bytes = buffer(&[(900, 3, 16, 8), (900, 0xff00, 8, 0)]);
        let frames = Frames::parse(&bytes).unwrap();
        let found: Vec<_> = frames.iter().map(|f| (f.offset, f.kind, f.flags)).collect();
        assert_eq!(found, [(8, 900, 3), (24, 900, 0xff00)]);
        assert!(Blocks::parse(&bytes).is_err());
    }

    #[test]
    fn a_buffer_without_blocks_is_valid() {
        assert_eq!(Blocks::parse(&buffer(&[])).unwrap().iter().count(), 0);
    }

    #[test]
    fn a_buffer_with_half_a_header_is_refused() {
        assert_eq!(
            Blocks::parse(&[0; 7]),
            Err(ParseError::Truncated { len: 7 })
        );
    }

    #[test]
    fn a_data_size_that_does_not_match_is_refused() {
        let mut bytes = buffer(&[(0, 2, 16, 8)]);
        bytes.push(0);
        assert!(matches!(
            Blocks::parse(&bytes),
            Err(ParseError::DataSize {
                data_size: 16,
                found: 17
            })
        ));
        bytes[4..8].fill(0xff);
        assert!(matches!(
            Blocks::parse(&bytes),
            Err(ParseError::DataSize { .. })
        ));
    }

    #[test]
    fn a_block_that_reaches_beyond_the_end_is_refused() {
        for size in [24, !7] {
            assert!(matches!(
                refusal(&[(0, 2, size, 8)]),
                ParseError::Size { offset: 8, .. }
            ));
        }
    }

    #[test]
    fn a_size_below_the_header_or_off_the_grid_is_refused() {
        for size in [0, 7, 12] {
            assert!(matches!(
                refusal(&[(0, 2, size, 8)]),
                ParseError::Size { .. }
            ));
        }
    }

    #[test]
    fn both_flags_or_an_unknown_one_are_refused() {
        for flags in [3, 4, 0x100, 0x8002] {
            assert_eq!(
                refusal(&[(0, flags, 16, 8)]),
                ParseError::Flags { offset: 8, flags }
            );
        }
    }

    #[test]
    fn the_same_block_twice_is_refused() {
        assert_eq!(
            refusal(&[(5, 2, 8, 0), (5, 1, 8, 0)]),
            ParseError::Duplicate {
                offset: 16,
                kind: 5
            }
        );
    }

    #[test]
    fn a_type_no_format_has_is_refused() {
        assert!(matches!(refusal(&[(64, 2, 8, 0)]), ParseError::Kind { .. }));
    }

    #[test]
    fn stray_bytes_after_the_last_block_are_refused() {
        assert_eq!(
            refusal(&[(0, 2, 8, 4)]),
            ParseError::Trailing {
                offset: 16,
                left: 4
            }
        );
    }
}
