//! A host that breaks where libcamera's does, and sides that write whatever an interface has.
#![allow(dead_code, reason = "each test uses its part")]

pub mod host;
pub mod pen;
pub mod schema;
