//! The coldshoe daemon: decides who may run what, builds the jail, hands over the descriptors,
//! watches. It never sits in the frame path.
//!
//! The way of a session: [`Server`] accepts a client at its `door` and knows it as a `guest`,
//! who gets one of the `seats`; `connection` reads its messages;
//! `session` owns one camera × module. Its `brief` is what its workers work on, found by `registry`
//! and given its `tuning`, for a format of the `contracts`; one of them is `live`, a `worker` with its return segment and its
//! `report`, and a `successor` may stand by. `supervision` says what follows when one fails, `states`
//! what the next goes on from, `history` remembers it, and the `roster` lists who is there. `jailer` knows what the kernel can do, `launch`
//! brings a worker into its jail, `gate` keeps it there. The jail's profile is built in, or read by
//! `profile_file`.
//!
//! What can be set is in [`settings`]; what may change while the daemon runs are the `terms` of a
//! session, which it keeps from its beginning to its end.
//!
//! What outlives the daemon is in the service manager's `store`: sessions as `kept`, which the next
//! daemon `adopt`s. The `pulse` is for its watchdog.
//!
//! Others than pipelines see and steer all this over the `bus`.
//!
//! The way of a module: `place` makes sure that its directory is safe, `identity` reads its bytes
//! once, `elf` has a first look at them, `trust` decides and remembers in the `trust_file`.
#![forbid(unsafe_code)]

mod adopt;
mod brief;
mod bus;
mod catalog;
mod cgroup;
mod channel;
mod config;
mod connection;
mod contracts;
mod courtesy;
mod door;
mod elf;
mod fault;
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod guest;
mod history;
mod identity;
mod jailer;
mod keep;
mod kept;
mod launch;
mod libcamera;
mod live;
mod module_log;
mod owner;
mod place;
mod private_group;
mod processors;
mod profile_file;
mod pulse;
mod registry;
mod report;
mod roster;
mod seats;
mod server;
mod session;
pub mod settings;
mod states;
mod store;
mod successor;
mod supervision;
mod terms;
mod trace;
mod trust;
mod trust_file;
mod tuning;
mod worker;

pub use bus::{Bus, LogDial, WhichBus};
pub use catalog::message_id;
pub use cgroup::cgroup_limits;
pub use config::{Config, Fallback, Timeouts};
pub use contracts::ContractsError;
pub use elf::{Unfit, check as check_module};
pub use processors::CpuList;
pub use profile_file::{ProfileFileError, profile};
pub use pulse::Pulse;
pub use server::{Reload, ServeError, Server};
pub use supervision::Patience;
