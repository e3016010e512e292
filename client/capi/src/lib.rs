//! The C library: `coldshoe.h`, `libcoldshoe.so`, `libcoldshoe.a`.
//!
//! Everything here is the crate `coldshoe` in another language, and decides nothing by itself. What
//! it adds is what C lacks: pointers are looked at before they are used, structures say how large
//! they are, a handle that two threads use at a time or that is in an unknown state answers an error,
//! and no panic crosses the border (`entry.rs`).
//!
//! The header is generated from the public items of this crate, in the order of `tests/header.rs`,
//! which also compares it with the committed one. The comments of those items are written for its
//! readers.
#![allow(
    non_camel_case_types,
    reason = "the names are those of the header, so that one search finds both"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the rules for callers are those of the header: in its preface and at each function"
)]

#[cfg(panic = "abort")]
compile_error!("a panic has to be caught at the border: build with panic = \"unwind\"");

mod buffer;
mod counters;
mod entry;
mod error;
mod fail;
mod frame;
mod health;
mod info;
mod outcome;
mod record;
mod sensor;
mod session;
mod slot;
mod status;
mod submit;
mod text;
mod tickets;
mod version;
mod wait;

pub use buffer::*;
pub use counters::*;
pub use error::*;
pub use frame::*;
pub use health::*;
pub use info::*;
pub use outcome::*;
pub use sensor::*;
pub use session::*;
pub use slot::*;
pub use status::*;
pub use submit::*;
pub use version::*;
pub use wait::*;
