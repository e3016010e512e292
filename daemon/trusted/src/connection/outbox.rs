//! What waits to be sent to a client.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use coldshoe_control::client::{self, Body, Envelope, ErrorCode};
use coldshoe_control::{EncodeError, SendError, Trouble, encode};
use coldshoe_frame::Custody;
use tokio::sync::{mpsc, oneshot, watch};

use crate::channel::Channel;
use crate::live::call_pipeline;

/// Answers that may wait for a client; one that reads none of them loses its connection.
const OUTBOX: usize = 64;

/// A message for a client.
#[derive(Debug)]
pub(crate) struct Reply {
    serial: u32,
    body: Body,
    fds: Vec<OwnedFd>,
    /// Told when it has been sent.
    told: Option<oneshot::Sender<()>>,
    /// Where the pipeline is called then.
    called: Option<Arc<Custody>>,
    /// It is called once: it need not hear before its next frame.
    once: bool,
}

impl Reply {
    pub(crate) fn new(serial: u32, body: impl Into<Body>, fds: Vec<OwnedFd>) -> Self {
        Self {
            serial,
            body: body.into(),
            fds,
            told: None,
            called: None,
            once: false,
        }
    }

    /// The same; somebody waits for it to be sent.
    pub(crate) fn telling(self, told: oneshot::Sender<()>) -> Self {
        Self {
            told: Some(told),
            ..self
        }
    }

    /// The same; a pipeline that looks at a worker's return segment is sent to its socket then.
    pub(crate) fn calling(self, called: Option<Arc<Custody>>) -> Self {
        Self { called, ..self }
    }

    /// The same; it hears with its next frame at the latest.
    pub(crate) fn calling_once(self, called: Option<Arc<Custody>>) -> Self {
        Self {
            called,
            once: true,
            ..self
        }
    }

    /// The same, in answer to a request.
    pub(crate) fn to(self, serial: u32) -> Self {
        Self { serial, ..self }
    }

    /// Whether the client's side would take it; if not, what the client is told instead.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        let envelope = Envelope::new(self.serial, self.body.clone());
        let encoded = encode(&envelope).map_err(|error| unsayable(&error));
        encoded.map(drop)
    }

    pub(crate) fn trouble(serial: u32, trouble: Trouble) -> Self {
        Self::new(serial, client::Error::from(trouble), Vec::new())
    }
}

/// Where a session leaves its answers.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    replies: mpsc::Sender<Reply>,
    /// Told when the client must go because it reads nothing.
    overrun: Arc<watch::Sender<bool>>,
    /// The connection, for the store.
    socket: Option<Arc<OwnedFd>>,
}

impl Outbox {
    /// Of a client; also what there is to be written, and whether it must go. `socket`: the connection,
    /// if it is to outlive the daemon.
    pub(super) fn new(
        socket: Option<OwnedFd>,
    ) -> (Self, mpsc::Receiver<Reply>, watch::Receiver<bool>) {
        let (replies, outgoing) = mpsc::channel(OUTBOX);
        let (overrun, overran) = watch::channel(false);
        let outbox = Self {
            replies,
            overrun: Arc::new(overrun),
            socket: socket.map(Arc::new),
        };
        (outbox, outgoing, overran)
    }

    /// Of a client that has gone; with the other half, nobody waits for it any more.
    pub(super) fn of_nobody() -> (Self, mpsc::Receiver<Reply>) {
        let (replies, nobody) = mpsc::channel(OUTBOX);
        let outbox = Self {
            replies,
            overrun: Arc::new(watch::Sender::new(false)),
            socket: None,
        };
        (outbox, nobody)
    }

    /// The connection, if it is to outlive the daemon.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(|socket| socket.as_fd())
    }

    pub(crate) fn send(&self, reply: Reply) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.replies.try_send(reply) {
            self.overrun.send_replace(true);
        }
    }

    /// Answers that there is room for.
    pub(crate) fn room(&self) -> usize {
        self.replies.capacity()
    }

    /// Resolves when all that was left has been written.
    pub(super) async fn drained(&self) {
        let _all = self.replies.reserve_many(OUTBOX).await;
    }

    /// Resolves when nobody reads the answers any more.
    pub(crate) async fn closed(&self) {
        self.replies.closed().await;
    }
}

/// Writes what is left for a client, until that cannot be done any more.
pub(super) async fn write(channel: &Channel, mut outgoing: mpsc::Receiver<Reply>) {
    while let Some(reply) = outgoing.recv().await {
        let Reply {
            serial,
            body,
            fds,
            told,
            called,
            once,
        } = reply;
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let envelope = Envelope::new(serial, body);
        let sent = match channel.send(&envelope, &fds).await {
            Err(SendError::Encode(error)) => {
                tracing::error!(%error, "an answer does not fit the protocol");
                let instead = client::Error::from(unsayable(&error));
                channel.send(&Envelope::new(serial, instead), &[]).await
            }
            sent => sent,
        };
        if let Err(error) = sent {
            return tracing::debug!(%error, "client lost");
        }
        match called {
            Some(custody) if once => custody.notify(),
            Some(custody) => call_pipeline(custody),
            None => {}
        }
        if let Some(told) = told {
            let _ = told.send(());
        }
    }
}

/// What a client hears in place of an answer that its side would refuse.
fn unsayable(error: &EncodeError) -> Trouble {
    Trouble::new(
        ErrorCode::Internal,
        "the daemon has no valid answer",
        error.to_string(),
        "report this to coldshoe's authors, with the daemon's log",
    )
}
