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

#[cfg(test)]
mod tests {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
    use std::thread;

    use super::*;

    const LEN: usize = 1024;

    /// Memory of the heap: Miri knows each byte of it, and no mapping.
    struct Memory(NonNull<u8>);

    // SAFETY: the tests share it between threads through views, whose accesses they order.
    unsafe impl Sync for Memory {}

    impl Memory {
        const LAYOUT: Layout = match Layout::from_size_align(LEN, 16) {
            Ok(layout) => layout,
            Err(_) => panic!(),
        };

        fn new() -> Self {
            // SAFETY: the size is not zero.
            let base = unsafe { alloc_zeroed(Self::LAYOUT) };
            Self(NonNull::new(base).unwrap())
        }

        /// One side's view of all of it.
        fn view(&self) -> View {
            // SAFETY: aligned and zeroed by the allocation, which outlives the views of a test.
            unsafe { View::new(self.0, LEN) }
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.0.as_ptr(), Self::LAYOUT) }
        }
    }

    #[test]
    fn what_one_side_writes_the_other_reads_up_to_the_last_byte() {
        let memory = Memory::new();
        let (writer, reader) = (memory.view(), memory.view());
        for (offset, len) in [(0, 0), (0, LEN), (16, 33), (LEN - 32, 31), (LEN, 0)] {
            let data: Vec<u8> = (0..len).map(|i| (i + offset) as u8 ^ 0x5a).collect();
            writer.write(offset, &data);
            let mut back = vec![0; len];
            reader.read(offset, &mut back);
            assert_eq!(back, data);
        }
    }

    #[test]
    fn a_word_is_the_low_half_of_the_wide_one() {
        let memory = Memory::new();
        let view = memory.view();
        view.wide_word(LEN - 8)
            .store(0x0123_4567_89ab_cdef, Relaxed);
        assert_eq!(view.word(LEN - 8).load(Relaxed), 0x89ab_cdef);
        assert_eq!(view.word(LEN - 4).load(Relaxed), 0x0123_4567);
    }

    #[test]
    fn nothing_outside_or_out_of_line_is_touched() {
        let memory = Memory::new();
        let view = memory.view();
        let panics = |access: &dyn Fn(&View)| {
            catch_unwind(AssertUnwindSafe(|| access(&view))).expect_err("let through");
        };
        panics(&|view| view.read(0, &mut [0; LEN + 1]));
        panics(&|view| view.read(LEN, &mut [0]));
        panics(&|view| view.read(usize::MAX - 15, &mut [0; 16]));
        panics(&|view| view.read(8, &mut [0; 16]));
        panics(&|view| view.write(LEN - 16, &[0; 17]));
        panics(&|view| view.write(1, &[]));
        panics(&|view| _ = view.word(LEN).load(Relaxed));
        panics(&|view| _ = view.word(2).load(Relaxed));
        panics(&|view| _ = view.wide_word(LEN - 4).load(Relaxed));
        panics(&|view| _ = view.address(LEN, 1));
    }

    #[test]
    fn payload_behind_a_word_goes_from_thread_to_thread_without_a_race() {
        let memory = Memory::new();
        thread::scope(|scope| {
            let (writer, reader) = (&memory, &memory);
            scope.spawn(move || {
                let view = writer.view();
                view.write(128, &[7; 100]);
                view.word(0).store(1, Release);
            });
            let view = reader.view();
            while view.word(0).load(Acquire) == 0 {
                thread::yield_now();
            }
            let mut back = [0; 100];
            view.read(128, &mut back);
            assert_eq!(back, [7; 100]);
        });
    }
}
