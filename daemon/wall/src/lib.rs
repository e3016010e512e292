//! The wall between the daemon and a worker: mechanism only, both faces of it.
//!
//! - [`outside`] is the daemon's: spawn a worker from one dedicated thread, hold it by its pidfd,
//!   ask the kernel how it is confined.
//! - [`inside`] is the worker's: give everything up, before any foreign code runs.
//!
//! What is given up is decided elsewhere, in `policy/`, and comes here as plain data: programs in
//! bytes, paths, limits. There is no async runtime here; the worker links this crate too.

pub mod inside;
mod limit;
mod namespace;
pub mod outside;

pub use limit::Limit;
pub use namespace::Namespace;

/// `/dev/null`, as the worker's standard input.
pub const FD_NULL: i32 = 0;
/// The pipe to the daemon, as the worker's standard output.
pub const FD_STDOUT: i32 = 1;
/// The same pipe, as the worker's standard error.
pub const FD_STDERR: i32 = 2;
/// The control socket in the worker.
pub const FD_CONTROL: i32 = 3;
/// The bell in the worker, an eventfd.
pub const FD_BELL: i32 = 4;
/// All descriptors a worker starts with, and all that it has in the end. Any other is a leak, and
/// [`inside::divide`] refuses it.
pub const FDS: [i32; 5] = [FD_NULL, FD_STDOUT, FD_STDERR, FD_CONTROL, FD_BELL];

/// The worker's whole environment: empty. Nothing in it is anybody's business inside.
pub const ENVIRONMENT: [&std::ffi::CStr; 0] = [];
