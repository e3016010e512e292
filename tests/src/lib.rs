//! What the end-to-end tests share: real daemons in private places, modules compiled from C,
//! clients that keep the protocol and clients that do not.
//!
//! - [`Place`] is a temporary directory with modules, tuning files and a control socket to be.
//! - [`Daemon`] is the real `coldshoed` in a place; [`Library`] is the same daemon in this process,
//!   for tests that need other timeouts.
//! - [`MessageBus`] is a real dbus-daemon for one test, with a stand-in for [`Polkit`] if need be.
//! - [`Raw`] speaks on the control socket below the client library.
//! - [`rules`] checks the dependency rules of the workspace.
//!
//! Everything here panics with a message when the world is not as it should be: it is for tests.
#![forbid(unsafe_code)]

mod bus;
mod control;
mod daemon;
mod impostor;
mod library;
mod log;
mod manager;
mod place;
mod process;
mod raw;
pub mod rules;
mod session;

pub use bus::{Activation, MessageBus, Objects, POLKIT, Polkit};
pub use control::{Control, Held, is_in_time, run_delay};
pub use daemon::Daemon;
pub use impostor::{Peer, attacked};
pub use library::Library;
pub use log::Log;
pub use manager::{Manager, passing};
pub use place::{Place, built, c_example};
pub use process::{children, ends, gone, open_fds, readable, until};
pub use raw::{Raw, RawSession, Segment, request};
pub use session::{
    Said, assert_serves, fault, frame, refused, run_frame, running, sensor, soft, three_lines,
};

use std::time::Duration;

/// How long a test waits for something that must happen. Only a test that fails waits that long.
pub const PATIENCE: Duration = Duration::from_secs(30);
