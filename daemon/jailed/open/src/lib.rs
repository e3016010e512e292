//! The open reference module: exposure, white balance, focus, colour, tone, shading and black level.
//!
//! One file an algorithm, each pure: statistics and requests in, a decision out. [`tuning`] says
//! what a camera needs, [`measure`] is what the algorithms read, [`targets`] are the ISPs whose
//! statistics it comes from and whose blocks they end in, and [`Open`] puts them behind the module
//! interface.
#![forbid(unsafe_code)]

pub mod af;
pub mod agc;
pub mod awb;
pub mod black_level;
pub mod ccm;
mod controls;
pub mod ct_curve;
pub mod exposure;
pub mod flicker;
pub mod lsc;
pub mod lux;
pub mod measure;
mod open;
mod state;
pub mod targets;
pub mod tone;
pub mod tuning;

pub use open::Open;

coldshoe_ipa::export_ipa!(Open);
