//! The handle of an error.

use std::ffi::{CString, c_char, c_int};

use crate::coldshoe_status;
use crate::fail::Fail;
use crate::text::owned;

/// Why a call failed, told on three lines. Belongs to whoever asked for it, and is freed with
/// coldshoe_error_free(). It never changes: several threads may read it.
#[derive(Debug)]
pub struct coldshoe_error {
    status: coldshoe_status,
    what: CString,
    why: CString,
    remedy: CString,
    message: CString,
}

impl coldshoe_error {
    pub(crate) fn new(fail: Fail) -> Box<Self> {
        let [what, why, remedy] = fail.lines();
        let mut message = what.to_string();
        for (label, line) in [("why", &why), ("try", &remedy)] {
            if !line.is_empty() {
                message += &format!("\n  {label}: {line}");
            }
        }
        Box::new(Self {
            status: fail.status(),
            what: owned(&what),
            why: owned(&why),
            remedy: owned(&remedy),
            message: owned(&message),
        })
    }
}

/// What the call returned. COLDSHOE_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_error_status(error: *const coldshoe_error) -> c_int {
    // SAFETY: the caller's, as the header says.
    let error = unsafe { error.as_ref() };
    error.map_or(coldshoe_status::COLDSHOE_OK, |error| error.status) as c_int
}

/// What happened, on one line of UTF-8 that lives as long as the error. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_error_what(error: *const coldshoe_error) -> *const c_char {
    // SAFETY: the caller's, as the header says.
    unsafe { text(error, |error| &error.what) }
}

/// Why, on one line of UTF-8 that lives as long as the error. "" for NULL, or if nobody knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_error_why(error: *const coldshoe_error) -> *const c_char {
    // SAFETY: the caller's, as the header says.
    unsafe { text(error, |error| &error.why) }
}

/// What to do, on one line of UTF-8 that lives as long as the error. "" for NULL, or if nobody
/// knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_error_remedy(error: *const coldshoe_error) -> *const c_char {
    // SAFETY: the caller's, as the header says.
    unsafe { text(error, |error| &error.remedy) }
}

/// All of it, for people: up to three lines of UTF-8, without a line feed at the end, that live as
/// long as the error. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_error_message(error: *const coldshoe_error) -> *const c_char {
    // SAFETY: the caller's, as the header says.
    unsafe { text(error, |error| &error.message) }
}

/// Frees an error and its texts. NULL is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_error_free(error: *mut coldshoe_error) {
    if !error.is_null() {
        // SAFETY: `enter` made it with `Box::into_raw`, and the caller frees it once.
        drop(unsafe { Box::from_raw(error) });
    }
}

/// # Safety
/// `error` is NULL or that of an error.
unsafe fn text(
    error: *const coldshoe_error,
    line: fn(&coldshoe_error) -> &CString,
) -> *const c_char {
    // SAFETY: passed on.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| line(error).as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_made_of_the_lines_that_are_there() {
        let error = coldshoe_error::new(Fail::Busy);
        let message = error.message.to_str().unwrap();
        assert_eq!(message.lines().count(), 3);
        assert!(message.contains("\n  why: ") && message.contains("\n  try: "));
    }
}
