//! The coldshoe daemon: decides who may run what, builds the jail, hands over the descriptors,
//! watches. It never sits in the frame path.
//!
//! The way of a session: [`Server`] accepts a client; `connection` reads its messages;
//! `session` owns one camera × module; `worker` is the process behind it, found by `registry`,
//! given its `tuning`, and described by `report`.
#![forbid(unsafe_code)]

mod channel;
mod config;
mod connection;
mod elf;
mod fault;
mod module_log;
mod registry;
mod report;
mod server;
mod session;
mod tuning;
mod worker;

pub use config::{Config, Timeouts};
pub use server::{ServeError, Server};
