//! A mapped segment.

use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::view::View;

/// What this side may do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A shared mapping of a whole segment. Writing to one without [`Access::Write`] ends this process.
#[derive(Debug)]
pub(crate) struct Mapping(View);

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
        // SAFETY: a page's alignment; unmapped when this value is dropped, and not before.
        let mapping = Self(unsafe { View::new(base, len) });
        // SAFETY: exactly the range mapped above; the advice changes nothing for this process.
        unsafe { madvise(base.as_ptr().cast(), len, Advice::LinuxDontFork)? };
        Ok(mapping)
    }
}

impl Deref for Mapping {
    type Target = View;

    fn deref(&self) -> &View {
        &self.0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference outlives `self`.
        let unmapped = unsafe { munmap(self.0.base().as_ptr().cast(), self.0.len()) };
        debug_assert!(unmapped.is_ok());
    }
}
