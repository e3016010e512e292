//! How the daemon does, for a watchdog: whether its event loop turns and workers can be started.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::session::Context;

/// How often it is looked at. An event loop that is this much late is not well.
const BEAT: Duration = Duration::from_millis(250);

/// Looks at the daemon from inside.
#[derive(Clone)]
pub struct Pulse(Arc<Context>);

impl Pulse {
    pub(crate) fn of(context: &Arc<Context>) -> Self {
        Self(Arc::clone(context))
    }

    /// Waits for one beat. Whether it was a good one: the event loop came back in time, and who starts
    /// workers answered within `patience`.
    pub async fn beat(&self, patience: Duration) -> bool {
        let began = Instant::now();
        sleep(BEAT).await;
        let late = began.elapsed().saturating_sub(BEAT);
        let (answer, answered) = oneshot::channel();
        self.0.jailer.spawner.ping(move || {
            let _ = answer.send(());
        });
        let starts = matches!(timeout(patience, answered).await, Ok(Ok(())));
        if !starts {
            tracing::error!("whoever starts workers does not answer");
        }
        if late > BEAT {
            let late = late.as_millis();
            tracing::warn!(late, "the event loop is late by so many milliseconds");
        }
        starts && late <= patience
    }

    /// Its state on one line.
    pub fn status(&self) -> String {
        match self.0.roster.count() {
            (1, 0) => "1 session".to_owned(),
            (all, 0) => format!("{all} sessions"),
            (all, ill) => format!("{all} sessions, {ill} of them not well"),
        }
    }
}
