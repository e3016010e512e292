//! The worker that comes next: on its way, or standing by.

use std::sync::Arc;
use std::time::Duration;

use coldshoe_control::client::Sensor;
use tokio::task::{JoinError, JoinHandle};

use crate::brief::Brief;
use crate::fault::Fault;
use crate::live::Live;
use crate::session::Context;
use crate::worker::Refusal;

/// The worker that comes after the one on duty.
pub(crate) enum Successor {
    None,
    Making(Making),
    /// Loaded, configured, gated, asleep.
    Ready(Box<Live>),
}

/// What there is to say of a successor.
pub(crate) enum News {
    Made(Result<Box<Live>, Refusal>),
    /// One that was ready is not any more.
    Lost(Fault),
}

impl Successor {
    /// Makes a worker after a pause, up to where nothing is left but to start it; `beside` another
    /// one that works, or because there is none.
    pub(crate) fn make(
        context: Arc<Context>,
        brief: Arc<Brief>,
        generation: u32,
        sensor: Option<Sensor>,
        pause: Duration,
        beside: bool,
    ) -> Self {
        let making = async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let mut live = Live::launch(&context, brief, generation, beside).await?;
            if let Some(sensor) = sensor {
                live.configure(sensor).await?;
            }
            Ok(Box::new(live))
        };
        Self::Making(Making(tokio::spawn(making)))
    }

    /// Resolves when there is something to say. Nothing is lost if the future is dropped.
    pub(crate) async fn news(&mut self) -> News {
        match self {
            Self::None => std::future::pending().await,
            Self::Making(making) => {
                let made = (&mut making.0).await;
                *self = Self::None;
                News::Made(made.unwrap_or_else(|error| Err(lost(&error))))
            }
            Self::Ready(live) => News::Lost(live.worker.fault().await),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The worker, if it is ready.
    pub(crate) fn take_ready(&mut self) -> Option<Box<Live>> {
        match std::mem::replace(self, Self::None) {
            Self::Ready(live) => Some(live),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// A worker on its way. Dropping it leaves nothing behind.
pub(crate) struct Making(JoinHandle<Result<Box<Live>, Refusal>>);

impl Drop for Making {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lost(error: &JoinError) -> Refusal {
    Refusal::Fault(Fault::launch("?", error))
}
