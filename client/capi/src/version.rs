//! Which release this is, and what time it is.

use std::ffi::{CStr, c_char};

use coldshoe::Moment;

/// The release as "MAJOR.MINOR.PATCH", in static memory. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn coldshoe_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no NUL"),
        };
    VERSION.as_ptr()
}

/// This moment in nanoseconds of CLOCK_MONOTONIC, the clock of timestamps and deadlines. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn coldshoe_now_ns() -> u64 {
    Moment::now().as_ns()
}
