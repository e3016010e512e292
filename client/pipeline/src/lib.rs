//! Library for pipeline handlers: run a camera algorithm module in coldshoe's jail.
//!
//! A [`Session`] is one camera with one module. The pipeline opens it, configures it with the
//! sensor's mode, starts it, and then for each frame [submits](Session::submit) statistics and
//! [waits](Session::wait) for parameters, never longer than to the deadline. The daemon is not in
//! that path: frames go through shared memory to the worker and back.
//!
//! ```no_run
//! use std::time::Duration;
//! use coldshoe::{Frame, Moment, Open, Outcome, Sensor, Session};
//!
//! # fn sensor() -> Sensor { Sensor::default() }
//! # fn applied() -> coldshoe::Applied {
//! #     coldshoe::Applied { exposure_us: 1e4, analogue_gain: 1.0, digital_gain: 1.0,
//! #         black_level: 0.06, lens_position: None }
//! # }
//! # fn statistics() -> Vec<u8> { Vec::new() }
//! let mut session = Session::open(&Open {
//!     module: "open".into(),
//!     camera: "imx219".into(),
//!     stats_format: "coldshoe-stats-1".into(),
//!     params_format: "coldshoe-soft".into(),
//!     ..Open::default()
//! })?;
//! session.configure(&sensor())?;
//! session.start()?;
//! for number in 0..100 {
//!     let now = Moment::now();
//!     let frame = Frame {
//!         number,
//!         sensor_timestamp: now,
//!         deadline: now + Duration::from_millis(8),
//!         applied: applied(),
//!         controls: Default::default(),
//!     };
//!     let ticket = session.submit(&frame, &statistics())?;
//!     match session.wait(ticket) {
//!         Outcome::Fresh(answer) => println!("{} bytes of parameters", answer.params.len()),
//!         Outcome::Late(_) => println!("the answer was not looked for in time"),
//!         Outcome::Held { why, .. } => println!("going on with the last parameters: {why}"),
//!         Outcome::Skipped { why, .. } => println!("the module was not asked: {why}"),
//!     }
//! }
//! session.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A pipeline with an event loop [tries](Session::try_wait) instead of waiting, and watches
//! [one descriptor](Session::poll_fd); on tokio (feature `tokio`) it awaits `Session::answered`.
//!
//! Hardware that writes its statistics itself does so in a [`StatisticsGuard`]'s slot, or in a
//! [`Buffer`] that the session was [opened with](Session::open_with).
//!
//! Shared memory is not inherited by fork: a child process must not touch a session, a slot or a
//! buffer of its parent's.
//!
//! A worker that fails is replaced by the daemon, and a daemon that ends is looked for again: the
//! session goes on with the last parameters meanwhile, and then with fresh ones. What is in flight at
//! that time is given to the next worker. [`Session::health`] tells how it does, [`Session::fault`] what
//! happened last.
//!
//! Nothing that comes back is trusted: replies are copied into private memory first, then held against
//! the [`Contract`] of the parameter format. A block that it does not allow is left out and keeps its
//! last good content; requests to sensor and lens are clamped to what the sensor can do and to how fast
//! they may change. [`Session::refusals`] and [`Counters`] tell how often; a module that does not stop
//! is given up.
#![forbid(unsafe_code)]

/// The guide is compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Guide;

mod connection;
mod error;
mod fault;
mod flight;
mod guard;
mod ladder;
mod last;
mod link;
mod moment;
mod open;
mod outcome;
mod overview;
mod patience;
mod session;
mod steering;
mod submit;
mod takeover;
mod wait;
mod watch;

pub use coldshoe_contract::{Class, Contract, ContractError, Tally};
pub use coldshoe_control::client::{
    BayerOrder, Confinement, ErrorCode, FaultReason, FaultRecord, ModuleInfo, Quarantined,
    RefusedBlocks, Sensor, SessionInfo, SessionState, Statistics,
};
pub use coldshoe_control::{SendError, Trouble};
pub use coldshoe_frame::{AlgorithmState, Applied, Buffer, Controls, Metadata, Wanted};
pub use error::{Error, SubmitError};
pub use fault::{Fault, Health};
pub use moment::Moment;
pub use open::{Open, SYSTEM_SOCKET, default_socket};
pub use outcome::{Answer, Counters, Outcome, WhyHeld, WhySkipped};
pub use overview::{Overview, Tracing};
pub use session::Session;
pub use submit::{Frame, StatisticsGuard, Ticket};
