//! What a client asks for that is no order to a session of its own: lists, a release, a trace.

use std::sync::Arc;

use coldshoe_control::Trouble;
use coldshoe_control::client::{self, ErrorCode};

use super::{Connection, Reply};
use crate::trace;

impl Connection {
    pub(super) fn list(&self, serial: u32, topic: i32, after: u64) {
        let context = &self.shared.context;
        let mut listing = client::Listing::default();
        match client::Topic::try_from(topic) {
            Ok(client::Topic::Sessions) => {
                listing.sessions = context.roster.after(after, self.guest)
            }
            Ok(client::Topic::Faults) => {
                listing.faults = context.history.faults(after, |owner| self.guest.may(owner))
            }
            _ => listing.quarantined = context.history.quarantined(),
        }
        self.outbox.send(Reply::new(serial, listing, Vec::new()));
    }

    pub(super) fn release(&self, serial: u32, module: &str) {
        if !self.guest.is_host() {
            let trouble = Trouble::new(
                ErrorCode::Denied,
                format!("module {module:?} is not released"),
                format!(
                    "user {} is neither root nor this daemon's",
                    self.guest.uid()
                ),
                "ask an administrator, or do it as root",
            );
            return self.outbox.send(Reply::trouble(serial, trouble));
        }
        let known = self.shared.context.history.release(module);
        tracing::info!(module, known, "released");
        let done = client::Done { session: 0 };
        self.outbox.send(Reply::new(serial, done, Vec::new()));
    }

    pub(super) fn trace(&self, serial: u32, session: u64, frames: u32) {
        let roster = &self.shared.context.roster;
        let Some(source) = roster.source(session, self.guest) else {
            let trouble = Trouble::new(
                ErrorCode::NoSuchSession,
                format!("session {session} cannot be traced"),
                "there is no such session, or it has no worker right now",
                "`coldshoectl list sessions` shows those that there are",
            );
            return self.outbox.send(Reply::trouble(serial, trouble));
        };
        let tracing = client::Tracing {
            params_format: source.params_format.clone(),
            isp_capabilities: source.isp_capabilities,
        };
        self.outbox.send(
            match trace::begin(Arc::clone(roster), session, source, frames) {
                Ok(out_of) => Reply::new(serial, tracing, vec![out_of]),
                Err(error) => Reply::trouble(
                    serial,
                    Trouble::new(
                        ErrorCode::Internal,
                        format!("session {session} cannot be traced"),
                        error.to_string(),
                        "close sessions, or try again",
                    ),
                ),
            },
        );
    }
}
