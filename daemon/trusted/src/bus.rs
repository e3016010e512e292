//! The D-Bus API `org.coldshoe.Coldshoe1`: what there is, and how others than pipelines steer it.
//!
//! `link` connects to the bus, serves the objects and says what has changed, until the bus goes away,
//! and again when it is back; sessions never wait for it. Each interface is a file: `manager`,
//! `session`, `module`, `log_control`. Whoever wants something done passes the `bouncer`. No frame
//! is ever told of on the bus.

mod bouncer;
mod controls;
mod diagnostics;
mod error;
mod link;
mod log_control;
mod manager;
mod module;
mod modules;
mod names;
mod options;
mod rate;
mod session;

use std::sync::Arc;

use tokio::sync::Notify;

pub use self::link::{Bus, WhichBus};
pub use self::log_control::LogDial;

use self::bouncer::Bouncer;
use self::modules::Modules;
use crate::session::Context;

/// What the objects on the bus share.
pub(crate) struct House {
    context: Arc<Context>,
    bouncer: Bouncer,
    modules: Modules,
    /// To look at the modules again.
    look: Notify,
    dial: LogDial,
}

impl House {
    fn new(context: Arc<Context>, which: WhichBus, dial: LogDial) -> Arc<Self> {
        Arc::new(Self {
            context,
            bouncer: Bouncer::new(which == WhichBus::System),
            modules: Modules::default(),
            look: Notify::new(),
            dial,
        })
    }
}
