//! Dumped parameter buffers, one after the other: a `u32` length, little-endian, and so many bytes.

/// Bytes of the largest buffer that a dump may hold.
pub const MAX_DUMPED: usize = 1 << 20;

const LENGTH: usize = 4;

/// Why a dump cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It ends within a buffer.
    #[error("the trace ends within the buffer at byte {at}; cut it off there")]
    Cut {
        /// Where the buffer's length is.
        at: usize,
    },
    /// A length that no buffer has.
    #[error(
        "the trace says that the buffer at byte {at} has {len} bytes, which none has; is it a trace?"
    )]
    Long {
        /// Where the length is.
        at: usize,
        /// What it says.
        len: u32,
    },
}

/// The buffers of a trace. After an error comes nothing.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Trace<'a> {
    /// Of the bytes of a file.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Writes a buffer as a trace has it.
    pub fn append(out: &mut Vec<u8>, buffer: &[u8]) {
        out.extend((buffer.len() as u32).to_le_bytes());
        out.extend(buffer);
    }
}

impl<'a> Iterator for Trace<'a> {
    type Item = Result<&'a [u8], TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let at = self.at;
        // Only what is whole is gone past.
        self.at = self.bytes.len();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else {
            return Some(Err(TraceError::Cut { at }));
        };
        let len = u32::from_le_bytes(*length);
        Some(match usize::try_from(len) {
            Ok(size) if size <= MAX_DUMPED => match rest.get(..size) {
                Some(buffer) => {
                    self.at = at + LENGTH + size;
                    Ok(buffer)
                }
                None => Err(TraceError::Cut { at }),
            },
            _ => Err(TraceError::Long { at, len }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_comes_out_again() {
        let mut bytes = Vec::new();
        for buffer in [&[1, 2, 3][..], &[], &[4; 300]] {
            Trace::append(&mut bytes, buffer);
        }
        let buffers: Vec<_> = Trace::new(&bytes).collect();
        assert_eq!(buffers, [Ok(&[1, 2, 3][..]), Ok(&[]), Ok(&[4; 300])]);
    }

    #[test]
    fn a_trace_that_is_cut_or_is_none_says_where_and_ends() {
        let mut bytes = Vec::new();
        Trace::append(&mut bytes, &[1; 8]);
        let whole = bytes.len();
        bytes.extend([9, 0, 0, 0, 1]);
        let cut = Err(TraceError::Cut { at: whole });
        for end in [whole + 1, whole + 4, whole + 5] {
            let buffers: Vec<_> = Trace::new(&bytes[..end]).collect();
            assert_eq!(buffers, [Ok(&[1; 8][..]), cut]);
        }
        let text = b"#!/bin/sh\nexit";
        let buffers: Vec<_> = Trace::new(text).collect();
        assert!(matches!(buffers[..], [Err(TraceError::Long { at: 0, .. })]));
    }
}
