//! Where calls come in: nothing leaves here but a status.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fail::Fail;
use crate::{coldshoe_error, coldshoe_status};

/// Does a call, and tells the caller how it ended. A panic ends here as an error: no frame of a
/// C program can be unwound through.
///
/// # Safety
/// `error` is NULL or good for writing a pointer.
pub(crate) unsafe fn enter(
    error: *mut *mut coldshoe_error,
    call: impl FnOnce() -> Result<coldshoe_status, Fail>,
) -> c_int {
    let ended = or_fail(call);
    let status = ended.as_ref().map_or_else(Fail::status, |status| *status);
    if !error.is_null() {
        let told = ended.err().map(coldshoe_error::new);
        let told = told.map_or(std::ptr::null_mut(), Box::into_raw);
        // SAFETY: it is not NULL, and the rest the caller vouches for.
        unsafe { error.write(told) };
    }
    status as c_int
}

/// Does something for a function that has no other way to fail than to answer nothing.
pub(crate) fn or_nothing<T>(nothing: T, call: impl FnOnce() -> Result<T, Fail>) -> T {
    or_fail(call).unwrap_or(nothing)
}

fn or_fail<T>(call: impl FnOnce() -> Result<T, Fail>) -> Result<T, Fail> {
    // What a panic leaves half done is behind a mutex, which remembers it.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(Fail::Panicked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_status::*;
    use std::ptr;

    #[test]
    fn a_panic_ends_as_an_error() {
        let mut error = ptr::null_mut();
        // SAFETY: a local variable's address.
        let status = unsafe { enter(&mut error, || panic!("a test panics")) };
        assert_eq!(status, COLDSHOE_ERROR_INTERNAL as c_int);
        assert!(!error.is_null());
        // SAFETY: it has just been made.
        unsafe { crate::coldshoe_error_free(error) };
        assert_eq!(or_nothing(7, || panic!("another")), 7);
    }

    #[test]
    fn an_error_is_overwritten_by_every_call_and_need_not_be_asked_for() {
        let mut error = ptr::dangling_mut();
        // SAFETY: a local variable's address.
        let status = unsafe { enter(&mut error, || Ok(COLDSHOE_AGAIN)) };
        assert_eq!((status, error.is_null()), (COLDSHOE_AGAIN as c_int, true));
        // SAFETY: NULL is allowed.
        let status = unsafe { enter(ptr::null_mut(), || Err(Fail::Busy)) };
        assert_eq!(status, COLDSHOE_ERROR_BUSY as c_int);
    }
}
