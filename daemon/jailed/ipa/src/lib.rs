//! SDK for authors of camera algorithm modules.
//!
//! A module is a shared object that coldshoe loads into an isolated process. Its interface is the
//! C header `include/coldshoe_ipa.h`, mirrored field by field in [`abi`]. Rust modules implement
//! [`Ipa`] and export it with [`export_ipa!`](crate::export_ipa); see `examples/fixed.rs`.
//!
//! A module with state is asked for it between frames ([`Ipa::save_state`]), and another instance,
//! configured but not started yet, goes on from there if the first one's process is ended
//! ([`Ipa::restore_state`]).
//!
//! A panic in a verb does not unwind into the host: the verb answers an error and the instance is
//! not called again.

pub mod abi;
mod export;
mod ipa;

pub use abi::{
    Actuators, AlgorithmState, Applied, BayerOrder, Controls, LogLevel, Metadata, Sensor, Wanted,
};
pub use export::{Entry, module_table};
pub use ipa::{Answer, Formats, FrameIn, Host, Init, Ipa, IpaError, ModuleFlags, ModuleInfo};
