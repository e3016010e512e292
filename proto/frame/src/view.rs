//! Memory that another process may be writing, reachable only through copies and atomics.

use std::ptr::NonNull;

use crate::copy;
use crate::sync::{AtomicU32, AtomicU64};

/// A range of shared memory. Offsets come from [`crate::Geometry`], never from a peer: one that is
/// out of bounds is a bug of this crate, and the assertions say so.
#[derive(Debug)]
pub(crate) struct View {
    base: NonNull<u8>,
    len: usize,
}

impl View {
    /// # Safety
    /// `base` is aligned to 16 bytes, and `len` bytes behind it stay mapped as long as this value
    /// lives. Nobody has a reference to them. They are writable if this value is written to.
    pub(crate) unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes out. `offset` is a multiple of 16.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) {
        self.check(offset, to.len(), 16);
        // SAFETY: in bounds and aligned by the check; mapped as long as `self` lives.
        unsafe { copy::read(self.base.as_ptr().add(offset), to) }
    }

    /// Copies bytes in. `offset` is a multiple of 16; the memory is writable.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len(), 16);
        // SAFETY: in bounds and aligned by the check; writable by the contract of `new`.
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
