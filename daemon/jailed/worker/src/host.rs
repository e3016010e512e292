//! The host table: what a module may call.

use core::ffi::{c_char, c_void};
use std::cell::RefCell;
use std::ffi::CStr;
use std::io::Write;

use coldshoe_ipa::LogLevel;
use coldshoe_ipa::abi;

/// Longest log line, in bytes.
const MAX_LINE: usize = 512;

/// Keeps the last error a module logged: the reason that a user is shown when a verb fails.
#[derive(Default)]
pub(crate) struct Log {
    last_error: RefCell<String>,
}

impl Log {
    /// The last error since the last call.
    pub(crate) fn take_error(&self) -> Option<String> {
        // A module that calls the host from another thread breaks the rules and may tear this
        // value; it owns the whole process anyway.
        Some(self.last_error.take()).filter(|error| !error.is_empty())
    }

    /// The table for this log, which must not move or end before the module does.
    pub(crate) fn table(&'static self) -> abi::Host {
        abi::Host {
            struct_size: size_of::<abi::Host>() as u32,
            reserved: 0,
            context: std::ptr::from_ref(self).cast_mut().cast(),
            log: Some(log),
        }
    }
}

unsafe extern "C" fn log(context: *mut c_void, level: u32, message: *const c_char) {
    // SAFETY: the context is the `Log` that `table` put there, and it is never freed.
    let (Some(log), false) = (unsafe { context.cast::<Log>().as_ref() }, message.is_null()) else {
        return;
    };
    // SAFETY: the header asks for a NUL-terminated string.
    let text = unsafe { CStr::from_ptr(message) }.to_bytes();
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_LINE)]).replace('\n', " ");
    let level = LogLevel::from_raw(level);
    if level == LogLevel::Error
        && let Ok(mut last) = log.last_error.try_borrow_mut()
    {
        last.clone_from(&text);
    }
    // The prefixes of sd-daemon(3), which the daemon on the other end of the pipe reads.
    let priority = match level {
        LogLevel::Error => 3,
        LogLevel::Warning => 4,
        LogLevel::Info => 6,
        LogLevel::Debug => 7,
    };
    // One write a line; if the daemon is gone there is nobody to tell.
    let _ = std::io::stderr().write_all(format!("<{priority}>{text}\n").as_bytes());
}
