//! Strings on their way in and out.

use std::ffi::{CStr, CString, c_char};

use crate::fail::Fail;

/// A string of the caller's.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string that stays as it is for `'a`.
pub(crate) unsafe fn optional<'a>(
    text: *const c_char,
    name: &'static str,
) -> Result<Option<&'a str>, Fail> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not NULL, and the rest the caller vouches for.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str().map_err(|_| Fail::Argument {
        name,
        why: "it is no UTF-8".into(),
        remedy: "pass UTF-8",
    })?;
    Ok(Some(text))
}

/// The same of a string that has to be there.
///
/// # Safety
/// As for [`optional`].
pub(crate) unsafe fn required<'a>(
    text: *const c_char,
    name: &'static str,
) -> Result<&'a str, Fail> {
    // SAFETY: passed on.
    unsafe { optional(text, name) }?.ok_or(Fail::null(name))
}

/// A string for the caller. What comes after a NUL inside of it is lost.
pub(crate) fn owned(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_are_not_there_or_no_utf8_are_refused_by_name() {
        // SAFETY: NULL is allowed, the other ends with NUL.
        let (null, latin) = unsafe {
            (
                required(std::ptr::null(), "module"),
                required(c"caf\xe9".as_ptr(), "camera"),
            )
        };
        assert!(null.unwrap_err().lines()[0].contains("module"));
        assert!(latin.unwrap_err().lines()[0].contains("camera"));
    }

    #[test]
    fn a_nul_ends_a_string() {
        assert_eq!(owned("a\0b").as_c_str(), c"a");
        assert_eq!(owned("ü").as_c_str(), c"ü");
    }
}
