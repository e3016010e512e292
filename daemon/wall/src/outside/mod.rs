//! The daemon's face: spawn a worker, hold it, look at it from outside.

mod child;
mod observe;
mod spawn;
mod start;

pub use child::{Child, Exit};
pub use observe::{Observed, landlock_abi};
pub use spawn::{SpawnError, SpawnRequest, Spawner};
