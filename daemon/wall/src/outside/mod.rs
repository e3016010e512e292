//! The daemon's face: spawn a worker, hold it, look at it from outside.

mod child;
mod features;
mod inherited;
mod keeper;
mod kept;
mod listener;
mod maps;
mod observe;
mod reaper;
mod spawn;
mod start;

pub use child::{Child, Exit};
pub use features::{Features, worker_user};
pub use inherited::inherited;
pub use keeper::keep_if_asked;
pub use listener::{Answer, Listener, Notification};
pub use maps::Maps;
pub use observe::{Observed, landlock_abi, own_namespaces};
pub use spawn::{SpawnError, SpawnRequest, Spawner, User};
