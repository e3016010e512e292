//! Atomics, as the control words need them; under loom its own take their place.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};
