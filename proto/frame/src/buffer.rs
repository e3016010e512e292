//! Memory for statistics that hardware or foreign code fills in place.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::mapping::{Access, Mapping};
use crate::segment::{self, SegmentError};

/// A buffer for statistics, mapped by the pipeline alone for writing.
///
/// Until it is [sealed](Self::seal) its memfd may be handed to whoever fills it, for example to
/// `/dev/udmabuf`, which refuses one that is sealed against writing. The worker reads the memfd; a
/// dmabuf that is made of it is for hardware and never for the worker.
#[derive(Debug)]
pub struct Buffer {
    mapping: Mapping,
    fd: OwnedFd,
}

impl Buffer {
    /// Makes a buffer of `len` bytes, 1 to 16 MiB, rounded up to whole pages.
    pub fn create(len: usize) -> Result<Self, SegmentError> {
        if !(1..=crate::MAX_CAPACITY as usize).contains(&len) {
            return Err(SegmentError::BufferSize(len as u64));
        }
        let len = len.next_multiple_of(rustix::param::page_size());
        let fd = segment::create("coldshoe-buffer", len)?;
        segment::seal_size(fd.as_fd())?;
        let mapping = Mapping::new(fd.as_fd(), len, Access::Write)
            .map_err(|error| SegmentError::kernel("map", error))?;
        Ok(Self { mapping, fd })
    }

    /// Makes it fit to be registered: nobody gets to write to it any more who does not already.
    /// Does nothing if it is.
    pub fn seal(&self) -> Result<(), SegmentError> {
        if segment::verify_buffer(self.fd.as_fd()).is_ok() {
            return Ok(());
        }
        segment::seal_forward(self.fd.as_fd())
    }

    /// Writes `bytes` at `offset`, a multiple of 16. `false`, and nothing is written, if they
    /// would not fit.
    #[must_use]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let len = self.mapping.len();
        let fits = offset.is_multiple_of(16) && offset <= len && bytes.len() <= len - offset;
        if fits {
            self.mapping.write(offset, bytes);
        }
        fits
    }

    /// Its memory: [`capacity`](Self::capacity) bytes, aligned to a page, valid as long as this
    /// value.
    pub fn address(&mut self) -> *mut u8 {
        self.mapping.address(0, self.mapping.len())
    }

    /// Its size in bytes.
    pub fn capacity(&self) -> usize {
        self.mapping.len()
    }
}

impl AsFd for Buffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
