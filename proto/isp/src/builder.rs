//! Writing a parameter buffer.

use thiserror::Error;

use crate::blocks::{Block, BlockFlags, HEADER_SIZE, KIND_LIMIT, RawBlock};

/// Why a block could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The buffer is full.
    #[error("block type {kind} needs {need} bytes and {left} are left; use a larger buffer")]
    NoRoom {
        /// Block type.
        kind: u16,
        /// Bytes needed, header included.
        need: usize,
        /// Bytes left.
        left: usize,
    },
    /// Not even the buffer header fits.
    #[error("a parameter buffer of {len} bytes cannot hold its 8-byte header; use a larger buffer")]
    TooSmall {
        /// Bytes of the buffer.
        len: usize,
    },
    /// The block is there already.
    #[error("block type {kind} is in the buffer already; push each block once")]
    Duplicate {
        /// Block type.
        kind: u16,
    },
    /// The block type is beyond what the format can carry.
    #[error("block type {kind} is not below {KIND_LIMIT}; use a type the format documents")]
    Kind {
        /// Block type.
        kind: u16,
    },
    /// The body is not made of whole words.
    #[error("block type {kind} has a body of {len} bytes; pad it to a multiple of 8")]
    Unaligned {
        /// Block type.
        kind: u16,
        /// Bytes of the body.
        len: usize,
    },
}

/// Builds a parameter buffer in the caller's memory.
///
/// A block that is refused leaves the buffer as it was, so the caller may go on without it.
///
/// ```
/// use coldshoe_isp::{Blocks, ParamsBuilder, soft};
/// let mut buffer = [0; soft::MAX_PAYLOAD];
/// let mut params = ParamsBuilder::new(&mut buffer, soft::VERSION)?;
/// params.push(&soft::WbGains::from_gains([1.9, 1.0, 1.0, 1.4]))?;
/// params.push_disabled::<soft::Lsc>()?;
/// let len = params.finish();
/// assert_eq!(Blocks::parse(&buffer[..len])?.iter().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ParamsBuilder<'a> {
    buf: &'a mut [u8],
    len: usize,
    seen: u64,
}

impl<'a> ParamsBuilder<'a> {
    /// Starts a buffer of the given format version.
    ///
    /// # Errors
    /// [`BuildError::TooSmall`] when the 8 bytes of the header do not fit.
    pub fn new(buf: &'a mut [u8], version: u32) -> Result<Self, BuildError> {
        let len = buf.len();
        let header = buf
            .first_chunk_mut::<HEADER_SIZE>()
            .ok_or(BuildError::TooSmall { len })?;
        *header = [0; HEADER_SIZE];
        header[..4].copy_from_slice(&version.to_le_bytes());
        Ok(Self {
            buf,
            len: HEADER_SIZE,
            seen: 0,
        })
    }

    /// Adds a block and switches it on.
    ///
    /// # Errors
    /// [`BuildError`] when the block does not fit or is there already.
    pub fn push<B: Block>(&mut self, block: &B) -> Result<(), BuildError> {
        let body = self.begin(B::KIND, BlockFlags::ENABLE, B::SIZE - HEADER_SIZE)?;
        block.encode(body);
        Ok(())
    }

    /// Switches a block off: a header without a body.
    ///
    /// # Errors
    /// As [`ParamsBuilder::push`].
    pub fn push_disabled<B: Block>(&mut self) -> Result<(), BuildError> {
        self.begin(B::KIND, BlockFlags::DISABLE, 0).map(drop)
    }

    /// Adds a block whose bytes are at hand, for instance one taken from another buffer.
    ///
    /// # Errors
    /// As [`ParamsBuilder::push`], and when the type or the body's length cannot be framed.
    pub fn push_raw(&mut self, block: &RawBlock<'_>) -> Result<(), BuildError> {
        let body = self.begin(block.kind, block.flags, block.body.len())?;
        body.copy_from_slice(block.body);
        Ok(())
    }

    /// Writes the buffer header and returns how many bytes of the buffer are in use.
    #[must_use = "the length is what has to be sent"]
    pub fn finish(self) -> usize {
        // `begin` keeps the length within u32.
        let data_size = (self.len - HEADER_SIZE) as u32;
        self.buf[4..HEADER_SIZE].copy_from_slice(&data_size.to_le_bytes());
        self.len
    }

    /// Writes a block header and hands out the zeroed body behind it.
    fn begin(
        &mut self,
        kind: u16,
        flags: BlockFlags,
        body_len: usize,
    ) -> Result<&mut [u8], BuildError> {
        if kind >= KIND_LIMIT {
            return Err(BuildError::Kind { kind });
        }
        if self.seen & (1 << kind) != 0 {
            return Err(BuildError::Duplicate { kind });
        }
        if !body_len.is_multiple_of(8) {
            return Err(BuildError::Unaligned {
                kind,
                len: body_len,
            });
        }
        let need = HEADER_SIZE + body_len;
        let left = self.buf.len().min(u32::MAX as usize) - self.len;
        if need > left {
            return Err(BuildError::NoRoom { kind, need, left });
        }
        let block = &mut self.buf[self.len..self.len + need];
        let (header, body) = block.split_at_mut(HEADER_SIZE);
        header[..2].copy_from_slice(&kind.to_le_bytes());
        header[2..4].copy_from_slice(&flags.bits().to_le_bytes());
        header[4..].copy_from_slice(&(need as u32).to_le_bytes());
        body.fill(0);
        self.len += need;
        self.seen |= 1 << kind;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soft::{BlackLevel, Ccm};

    #[test]
    fn a_buffer_too_small_for_its_header_is_refused() {
        let err = ParamsBuilder::new(&mut [0; 7], 1).unwrap_err();
        assert_eq!(err, BuildError::TooSmall { len: 7 });
    }

    #[test]
    fn a_refused_block_leaves_the_buffer_as_it_was() {
        let mut buf = [0xaa; 8 + 16 + 8];
        let mut params = ParamsBuilder::new(&mut buf, 1).unwrap();
        params.push(&BlackLevel::default()).unwrap();
        assert_eq!(
            params.push(&Ccm::identity()),
            Err(BuildError::NoRoom {
                kind: 2,
                need: 32,
                left: 8
            })
        );
        assert_eq!(
            params.push(&BlackLevel::default()),
            Err(BuildError::Duplicate { kind: 0 })
        );
        assert_eq!(params.finish(), 24);
        assert_eq!(buf[..8], [1, 0, 0, 0, 16, 0, 0, 0]);
        assert_eq!(buf[8..16], [0, 0, 2, 0, 16, 0, 0, 0]);
    }

    #[test]
    fn a_body_of_broken_words_and_a_type_out_of_range_are_refused() {
        let mut buf = [0; 64];
        let mut params = ParamsBuilder::new(&mut buf, 1).unwrap();
        let raw = |kind, body| RawBlock {
            kind,
            flags: BlockFlags::NONE,
            body,
        };
        assert_eq!(
            params.push_raw(&raw(0, &[0; 4])),
            Err(BuildError::Unaligned { kind: 0, len: 4 })
        );
        assert_eq!(
            params.push_raw(&raw(64, &[])),
            Err(BuildError::Kind { kind: 64 })
        );
    }
}
