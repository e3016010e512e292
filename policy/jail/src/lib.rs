//! Jail profiles, and their compiler: text in, decision out.
//!
//! A [`Profile`] is read from TOML (`profiles/single.toml` explains its own form) and says what a
//! worker may ask of the kernel: system calls with conditions on their arguments, files it may
//! read, resource limits. [`Profile::compile`] turns the system calls into classic-BPF programs
//! for any of the three [`Arch`]itectures. Nothing here does I/O or a system call; `coldshoe-wall`
//! puts the result into force.
//!
//! ```
//! use coldshoe_jail::{Arch, Profile};
//!
//! let single = Profile::builtin("single")?;
//! let programs = single.compile(Arch::Aarch64)?;
//! assert!(programs.to_bytes().iter().all(|program| program.len() % 8 == 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod arch;
mod compile;
mod condition;
mod error;
mod parse;
mod profile;

pub use arch::Arch;
pub use compile::{CompileError, MAX_INSTRUCTIONS, Program, Programs, SockFilter};
pub use condition::{Condition, Test, Width};
pub use error::{Problem, ProfileError, Table};
pub use profile::{Errno, Landlock, Limits, Profile, Rule, Soft};

/// `/dev/null`, as the worker's standard input.
pub const FD_NULL: i32 = 0;
/// The pipe to the daemon, as the worker's standard output.
pub const FD_STDOUT: i32 = 1;
/// The same pipe, as the worker's standard error.
pub const FD_STDERR: i32 = 2;
/// The control socket in the worker. Profiles name it by this number.
pub const FD_CONTROL: i32 = 3;
