//! Another program in this one's place.

use super::Confined;
use super::settle::PROGRAM;
use crate::FD_CONTROL;
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

impl Confined {
    /// Becomes the program that was placed, with the module's path and the number of the control socket
    /// as its arguments, and `environment`. The gate lets that pass once.
    ///
    /// Returns only if it fails: the kernel's answer.
    pub fn execute(self, environment: &[&CStr]) -> io::Error {
        let texts = [
            CString::new(PROGRAM),
            CString::new(self.place.path().as_os_str().as_bytes()),
            CString::new(FD_CONTROL.to_string()),
        ];
        let [Ok(program), Ok(module), Ok(socket)] = texts else {
            return io::ErrorKind::InvalidInput.into();
        };
        let argv = [
            program.as_ptr(),
            module.as_ptr(),
            socket.as_ptr(),
            ptr::null(),
        ];
        let envp: Vec<_> = environment
            .iter()
            .map(|variable| variable.as_ptr())
            .chain([ptr::null()])
            .collect();
        // SAFETY: valid strings in null-terminated arrays, all alive throughout.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        io::Error::last_os_error()
    }
}
