//! Jail profiles, and their compiler: text in, decision out.
//!
//! A [`Profile`] is read from TOML (`profiles/single.toml` explains its own form) and says what a
//! worker may ask of the kernel: system calls with conditions on their arguments, files it may
//! read, resource limits, and what it may go without. [`Profile::compile`] turns the system calls
//! into a classic-BPF program for any of the three [`Arch`]itectures, [`Profile::gate`] into the
//! answers of the daemon to what this program leaves to it. Nothing here does I/O or a system
//! call; `coldshoe-wall` puts the result into force.
//!
//! ```
//! use coldshoe_jail::{Arch, Phase, Profile, Verdict};
//!
//! let single = Profile::builtin("single")?;
//! let program = single.compile(Arch::Aarch64)?;
//! assert!(program.to_bytes().len() % 8 == 0);
//!
//! // openat, read only: the loader may, the running module may not, and can live with it.
//! let gate = single.gate(Arch::Aarch64);
//! assert_eq!(gate.decide(Phase::Load, 56, &[0; 6]), Verdict::Continue);
//! assert_eq!(gate.decide(Phase::Run, 56, &[0; 6]), Verdict::Errno(13));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod arch;
mod compile;
mod condition;
mod cover;
mod entry;
mod error;
mod explain;
mod feature;
mod gate;
mod never;
mod parse;
mod profile;
mod settings;
mod symbols;
mod text;

#[cfg(test)]
mod tests;

pub use arch::Arch;
pub use compile::{CompileError, MAX_INSTRUCTIONS, Program, SockFilter};
pub use condition::{Condition, Test, Width};
pub use error::{Problem, ProfileError, Table};
pub use explain::{CallInWords, DegradedInWords, Explanation, LimitInWords, Outcome};
pub use feature::{Feature, Grade};
pub use gate::{Gate, Phase, Verdict};
pub use profile::{Errno, Landlock, Limits, Profile, Rule, Soft, Wake};
pub use symbols::RefusedSymbol;

/// `/dev/null`, as the worker's standard input.
pub const FD_NULL: i32 = 0;
/// The pipe to the daemon, as the worker's standard output.
pub const FD_STDOUT: i32 = 1;
/// The same pipe, as the worker's standard error.
pub const FD_STDERR: i32 = 2;
/// The control socket in the worker. Profiles name it by this number.
pub const FD_CONTROL: i32 = 3;
/// The bell that the worker rings for a pipeline with an event loop. Profiles name it by this
/// number.
pub const FD_BELL: i32 = 4;
