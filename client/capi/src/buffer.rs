//! The handle of a buffer.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::sync::{Mutex, MutexGuard};

use coldshoe::{Buffer, Error};

use crate::entry::{enter, or_nothing};
use crate::fail::Fail;
use crate::record::{Out, reference};
use crate::session::{freed, lock};
use crate::{coldshoe_error, coldshoe_status};

/// Memory for statistics that hardware or foreign code fills in place. Made with
/// coldshoe_buffer_create(), then given to coldshoe_session_open(); only one that was not taken by a
/// session is freed with coldshoe_buffer_free().
#[derive(Debug)]
pub struct coldshoe_buffer {
    /// Nothing while a session is being opened with it.
    buffer: Mutex<Option<Buffer>>,
}

impl coldshoe_buffer {
    /// What this is the handle of.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, Option<Buffer>>, Fail> {
        lock(&self.buffer)
    }
}

/// Makes a buffer of at least `len` bytes, 1 to 16 MiB; it has whole pages, filled with zeros.
///
/// On success `*buffer` is the caller's. On failure it is left as it was:
/// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_RESOURCES.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_buffer_create(
    len: usize,
    buffer: *mut *mut coldshoe_buffer,
    error: *mut *mut coldshoe_error,
) -> c_int {
    const MOST: usize = 16 << 20;
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let buffer = Out::new(buffer, "buffer")?;
            if !(1..=MOST).contains(&len) {
                return Err(Fail::Argument {
                    name: "len",
                    why: format!("{len} bytes cannot be").into(),
                    remedy: "ask for 1 byte to 16 MiB",
                });
            }
            let made = Buffer::create(len).map_err(Error::from)?;
            buffer.set(Box::into_raw(Box::new(coldshoe_buffer {
                buffer: Mutex::new(Some(made)),
            })));
            Ok(coldshoe_status::COLDSHOE_OK)
        })
    }
}

/// Its memory: coldshoe_buffer_capacity() bytes, aligned to a page. Stays valid when a session takes
/// the buffer, for as long as that session, else until the buffer is freed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_buffer_address(buffer: *mut coldshoe_buffer) -> *mut c_void {
    // SAFETY: the caller's, as the header says.
    unsafe { look(buffer, ptr::null_mut(), |buffer| buffer.address().cast()) }
}

/// Its size in bytes. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_buffer_capacity(buffer: *mut coldshoe_buffer) -> usize {
    // SAFETY: the caller's, as the header says.
    unsafe { look(buffer, 0, |buffer| buffer.capacity()) }
}

/// Its memfd, to make a dmabuf of: UDMABUF_CREATE of /dev/udmabuf takes it until a session takes
/// the buffer, which seals it against being written to by anybody new. Belongs to the buffer: it must
/// not be closed, nor used after the buffer is gone. -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_buffer_memfd(buffer: *mut coldshoe_buffer) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { look(buffer, -1, |buffer| buffer.as_fd().as_raw_fd()) }
}

/// Frees a buffer that no session has taken. NULL is left alone. Must not be called while another
/// call uses the buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_buffer_free(buffer: *mut coldshoe_buffer) {
    or_nothing((), || {
        // SAFETY: the caller's pointer, as the header says.
        unsafe { freed(buffer, "buffer", |handle| &handle.buffer) }.map(drop)
    });
}

/// # Safety
/// `buffer` is NULL or that of a buffer.
unsafe fn look<T>(
    buffer: *const coldshoe_buffer,
    nothing: T,
    seen: impl FnOnce(&mut Buffer) -> T,
) -> T {
    let found = or_nothing(None, || {
        // SAFETY: passed on.
        let mut buffer = unsafe { reference(buffer, "buffer") }?.lock()?;
        Ok(buffer.as_mut().map(seen))
    });
    found.unwrap_or(nothing)
}
