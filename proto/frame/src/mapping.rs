//! A mapped segment, reachable only through copies and atomics.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::copy;

/// What this side may do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A shared mapping of a whole segment. Offsets come from [`crate::Geometry`], never from a peer:
/// one that is out of bounds is a bug of this crate, and the assertions say so.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps and pre-faults `len` bytes; a forked child will not inherit them.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize, access: Access) -> rustix::io::Result<Self> {
        let prot = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe { mmap(std::ptr::null_mut(), len, prot, flags, fd, 0)? };
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            return Err(rustix::io::Errno::NOMEM);
        };
        let mapping = Self { base, len };
        // SAFETY: exactly the range mapped above; the advice changes nothing for this process.
        unsafe { madvise(base.as_ptr().cast(), len, Advice::LinuxDontFork)? };
        Ok(mapping)
    }

    /// Its size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes out. `offset` is a multiple of 16.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) {
        self.check(offset, to.len(), 16);
        // SAFETY: in bounds and aligned by the check; mapped as long as `self` lives.
        unsafe { copy::read(self.base.as_ptr().add(offset), to) }
    }

    /// Copies bytes in. `offset` is a multiple of 16; the mapping has [`Access::Write`].
    pub(crate) fn write(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len(), 16);
        // SAFETY: in bounds and aligned by the check; writable by the caller's choice of access.
        unsafe { copy::write(from, self.base.as_ptr().add(offset)) }
    }

    /// Address of `len` bytes, for hardware or foreign code that fills them.
    pub(crate) fn address(&self, offset: usize, len: usize) -> *mut u8 {
        self.check(offset, len, 1);
        // SAFETY: in bounds by the check.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// A control word of 32 bits.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4, 4);
        // SAFETY: in bounds, aligned, mapped as long as the borrow of `self` lives, and only ever
        // accessed as an atomic of this size by either side.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    /// A control word of 64 bits.
    pub(crate) fn wide_word(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8, 8);
        // SAFETY: as for `word`.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    fn check(&self, offset: usize, len: usize, align: usize) {
        assert!(
            offset.is_multiple_of(align) && offset <= self.len && len <= self.len - offset,
            "{len} bytes at {offset} are not inside a segment of {}",
            self.len
        );
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference outlives `self`.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}
