//! Memory that a host has made, for whoever copies it.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{SeekFrom, seek};

use crate::mapping::{Access, Mapping};
use crate::segment::SegmentError;

/// A buffer of a host's, a dmabuf or a memfd, mapped to be copied from and to.
///
/// The host is trusted not to make it smaller: a mapping whose memory is gone ends the process that
/// touches it.
#[derive(Debug)]
pub struct Foreign(Mapping);

impl Foreign {
    /// Maps its first `len` bytes, 1 to 16 MiB.
    pub fn map(fd: BorrowedFd<'_>, len: usize) -> Result<Self, SegmentError> {
        let kernel = |error| SegmentError::kernel("map", error);
        if !(1..=crate::MAX_CAPACITY as usize).contains(&len) {
            return Err(SegmentError::BufferSize(len as u64));
        }
        // A dmabuf tells its size by its end alone.
        let found = seek(fd, SeekFrom::End(0)).map_err(kernel)?;
        if found < len as u64 {
            let needed = len as u64;
            return Err(SegmentError::Size { found, needed });
        }
        let mapping = Mapping::new(fd.as_fd(), len, Access::Write).map_err(kernel)?;
        Ok(Self(mapping))
    }

    /// Copies bytes out from `offset`, a multiple of 16. `false` if they are not there.
    #[must_use]
    pub fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        let fits = self.has(offset, to.len());
        if fits {
            self.0.read(offset, to);
        }
        fits
    }

    /// The same to it. `false`, and nothing is written, if they would not fit.
    #[must_use]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let fits = self.has(offset, bytes.len());
        if fits {
            self.0.write(offset, bytes);
        }
        fits
    }

    fn has(&self, offset: usize, len: usize) -> bool {
        let all = self.0.len();
        offset.is_multiple_of(16) && offset <= all && len <= all - offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buffer;

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let mut buffer = Buffer::create(4096).unwrap();
        let mut foreign = Foreign::map(buffer.as_fd(), 100).unwrap();
        assert!(buffer.write(16, b"statistics"));
        let mut there = [0; 10];
        assert!(foreign.read(16, &mut there));
        assert_eq!(&there, b"statistics");
        assert!(foreign.write(32, b"parameters"));
        assert!(
            Foreign::map(buffer.as_fd(), 64)
                .unwrap()
                .read(32, &mut there)
        );
        assert_eq!(&there, b"parameters");
    }

    #[test]
    fn what_is_not_there_is_not_touched() {
        let buffer = Buffer::create(4096).unwrap();
        assert!(Foreign::map(buffer.as_fd(), 0).is_err());
        let larger = Foreign::map(buffer.as_fd(), 4097).unwrap_err();
        assert!(matches!(larger, SegmentError::Size { found: 4096, .. }));
        let mut foreign = Foreign::map(buffer.as_fd(), 64).unwrap();
        for (offset, len) in [(0, 65), (64, 1), (80, 0), (8, 8), (usize::MAX - 15, 16)] {
            assert!(!foreign.read(offset, &mut vec![0; len]), "{offset} {len}");
            assert!(!foreign.write(offset, &vec![0; len]), "{offset} {len}");
        }
    }
}
