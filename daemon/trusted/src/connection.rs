//! One client: its messages, its sessions, its answers.

mod outbox;
mod shown;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use coldshoe_control::client::{self, Body, Envelope, ErrorCode, Hello, OpenSession};
use coldshoe_control::{Received, RecvError, Trouble, try_send};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) use self::outbox::{Outbox, Reply};
use crate::channel::Channel;
use crate::guest::Guest;
use crate::libcamera;
use crate::owner::Owner;
use crate::seats::Seat;
use crate::server::Shared;
use crate::session::{self, Adopted, Client, Opening, Order};

/// Orders that may wait for a session.
const ORDERS: usize = 8;
/// Patience with a client that does not say Hello, or does not read.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a client whose connection was not kept, to resume its session.
const WAY_BACK: Duration = Duration::from_secs(10);
/// What this daemon offers beyond the first version of the protocol.
const FEATURES: [&str; 1] = [coldshoe_control::client::LIBCAMERA];
const SOFTWARE: &str = concat!("coldshoed ", env!("CARGO_PKG_VERSION"));

/// Tells a client that there is no room for it.
pub(crate) fn turn_away(socket: &OwnedFd, most: usize) {
    let trouble = Trouble::new(
        ErrorCode::Limit,
        "the client is not welcome",
        format!("all {most} clients that this daemon serves at a time are there"),
        "close a connection that is not needed, and try again",
    );
    let error = Envelope::new(0, client::Error::from(trouble));
    // A client that is gone already need not be told.
    let _ = try_send(socket.as_fd(), &error, &[]);
}

/// Serves one client until it goes, breaks the protocol, or the daemon stops.
pub(crate) async fn serve(socket: OwnedFd, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    // Before anything is waited for: who says nothing has a place, too.
    let admitted = shared.admit(socket.as_fd());
    let seated = admitted.and_then(|guest| Ok((guest, shared.clients.take(guest)?)));
    let channel = match Channel::new(socket) {
        Ok(channel) => channel,
        Err(error) => return tracing::warn!(%error, "client lost"),
    };
    let greeted = tokio::select! {
        greeted = greet(&channel, seated) => greeted,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let (guest, _seat, software) = match greeted {
        Ok(greeted) => greeted,
        Err(trouble) => {
            tracing::warn!(%trouble, "client refused");
            let error = Envelope::new(0, client::Error::from(trouble));
            let _ = timeout(PATIENCE, channel.send(&error, &[])).await;
            return;
        }
    };
    let owner = Owner::of(guest, software);
    go_on(channel, guest, shared, stop, owner, None).await;
}

/// Goes on with a session whose client said Hello to another daemon.
pub(crate) async fn resume(
    socket: OwnedFd,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    adopted: Adopted,
) {
    let guest = match shared.admit(socket.as_fd()) {
        Ok(guest) => guest,
        Err(trouble) => return tracing::warn!(%trouble, "client refused"),
    };
    // It was there before those that come now.
    let _seat = shared.clients.take(guest);
    match Channel::new(socket) {
        Ok(channel) => {
            let owner = Owner::of(guest, String::new());
            go_on(channel, guest, shared, stop, owner, Some(adopted)).await;
        }
        Err(error) => tracing::warn!(%error, "client lost"),
    }
}

/// Serves a session whose client has to find its way back, for some time.
pub(crate) async fn await_client(shared: Arc<Shared>, adopted: Adopted) {
    let (orders, receiver) = mpsc::channel(ORDERS);
    let (outbox, nobody) = Outbox::of_nobody();
    let client = Client {
        orders: receiver,
        outbox,
        owner: Owner::of(Guest::host(), String::new()),
        serial: 0,
    };
    tokio::spawn(async move {
        tokio::time::sleep(WAY_BACK).await;
        drop((orders, nobody));
    });
    adopted.serve(Arc::clone(&shared.context), client).await;
}

async fn go_on(
    channel: Channel,
    guest: Guest,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    owner: Owner,
    adopted: Option<Adopted>,
) {
    let kept = shared.context.store.is_there();
    let socket = kept.then(|| channel.as_fd().try_clone_to_owned().ok());
    let (outbox, outgoing, mut overran) = Outbox::new(socket.flatten());
    let mut connection = Connection {
        guest,
        shared,
        outbox,
        owner,
        sessions: HashMap::new(),
        tasks: JoinSet::new(),
    };
    if let Some(adopted) = adopted {
        connection.adopt(adopted);
    }
    tokio::select! {
        () = connection.listen(&channel) => {}
        () = outbox::write(&channel, outgoing) => {}
        _ = overran.wait_for(|overran| *overran) => {
            tracing::warn!("client dropped: it does not read its answers");
        }
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.close().await;
}

/// The client speaks first; the answer names what both can do.
/// Tells what the client calls itself.
async fn greet(
    channel: &Channel,
    seated: Result<(Guest, Seat), Trouble>,
) -> Result<(Guest, Seat, String), Trouble> {
    let (guest, seat) = seated?;
    let protocol = |why: &dyn std::fmt::Display| {
        Trouble::new(
            ErrorCode::Protocol,
            "the client is not welcome",
            why.to_string(),
            "connect with the coldshoe client library and say Hello first",
        )
    };
    let hello = match timeout(PATIENCE, channel.recv::<Envelope>()).await {
        Ok(Ok(received)) => received.message,
        Ok(Err(RecvError::Refused(error))) => return Err(Trouble::from(&error)),
        Ok(Err(error)) => return Err(protocol(&error)),
        Err(_) => return Err(protocol(&"it said nothing")),
    };
    let Envelope {
        serial,
        body: Some(Body::Hello(hello)),
        ..
    } = hello
    else {
        return Err(protocol(&"its first message was not Hello"));
    };
    tracing::debug!(client = hello.software, "client connected");
    let software = hello.software.clone();
    let answer: Hello = hello.answer(&FEATURES, SOFTWARE)?;
    channel
        .send(&Envelope::new(serial, answer), &[])
        .await
        .map_err(|error| protocol(&error))?;
    Ok((guest, seat, software))
}

struct Connection {
    guest: Guest,
    shared: Arc<Shared>,
    outbox: Outbox,
    owner: Owner,
    sessions: HashMap<u64, mpsc::Sender<Order>>,
    /// One task a session; each returns its id.
    tasks: JoinSet<u64>,
}

impl Connection {
    /// Follows the client's messages until it hangs up or sends one that cannot be.
    async fn listen(&mut self, channel: &Channel) {
        loop {
            let received = tokio::select! {
                received = channel.recv::<Envelope>() => received,
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(id) = ended {
                        self.sessions.remove(&id);
                    }
                    continue;
                }
            };
            match received {
                Ok(Received {
                    message:
                        Envelope {
                            serial,
                            body: Some(body),
                            ..
                        },
                    fds,
                }) => {
                    self.dispatch(serial, body, fds);
                }
                Ok(_) | Err(RecvError::Closed) => return,
                Err(RecvError::Refused(error)) => {
                    // Values out of bounds are the client's mistake; a message that cannot be read
                    // means that the two do not speak the same language.
                    let trouble = Trouble::from(&error);
                    let fatal = trouble.code == ErrorCode::Protocol;
                    tracing::warn!(%trouble, "message refused");
                    self.outbox.send(Reply::trouble(error.serial(), trouble));
                    if fatal {
                        // The writer gets a turn to say so before the connection goes.
                        let _ = timeout(PATIENCE, self.drained()).await;
                        return;
                    }
                }
                Err(error) => return tracing::warn!(%error, "client lost"),
            }
        }
    }

    async fn drained(&self) {
        self.outbox.drained().await;
    }

    fn dispatch(&mut self, serial: u32, body: Body, fds: Vec<OwnedFd>) {
        match body {
            Body::OpenSession(request) => self.open(serial, request, fds),
            Body::OpenLibcamera(request) => self.open_libcamera(serial, request),
            Body::Configure(client::Configure { session, .. })
            | Body::Start(client::Start { session })
            | Body::Stop(client::Stop { session })
            | Body::Close(client::Close { session })
            | Body::Initialised(client::Initialised { session, .. })
            | Body::ReplaceWorker(client::ReplaceWorker { session, .. })
            | Body::Withheld(client::Withheld { session, .. })
            | Body::Report(client::Report { session, .. }) => {
                self.order(session, Order { serial, body });
            }
            Body::List(client::List { topic, after }) => self.list(serial, topic, after),
            Body::Release(client::Release { module }) => self.release(serial, &module),
            Body::Trace(client::Trace { session, frames }) => self.trace(serial, session, frames),
            other => self.outbox.send(Reply::trouble(
                serial,
                Trouble::new(
                    ErrorCode::BadState,
                    format!("{} is out of place", other.kind()),
                    "a client sends OpenSession, Configure, Start, Stop, Report, Close, List, Release and \
                     Trace",
                    "install client library and daemon of the same release",
                ),
            )),
        }
    }

    /// What a session gets of this client, and where its orders go.
    fn client(&self, serial: u32) -> (Client, mpsc::Sender<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let client = Client {
            orders: receiver,
            outbox: self.outbox.clone(),
            owner: self.owner.clone(),
            serial,
        };
        (client, orders)
    }

    fn adopt(&mut self, adopted: Adopted) {
        let (client, orders) = self.client(0);
        let (id, context) = (adopted.brief.id, Arc::clone(&self.shared.context));
        self.sessions.insert(id, orders);
        self.tasks.spawn(async move {
            adopted.serve(context, client).await;
            id
        });
    }

    fn open(&mut self, serial: u32, request: OpenSession, fds: Vec<OwnedFd>) {
        let (client, orders) = self.client(serial);
        let roster = &self.shared.context.roster;
        let known = request.resume.as_ref();
        let known = known.and_then(|resume| roster.by_token(&resume.token, self.guest));
        let client = match known {
            // It goes on with what it has; the memory that came along is the same.
            Some((id, comers)) => match comers.try_send(client) {
                Ok(()) => {
                    self.sessions.insert(id, orders);
                    return;
                }
                // It has just ended.
                Err(error) => error.into_inner(),
            },
            None => client,
        };
        let permit = match self.shared.sessions.take(self.guest) {
            Ok(permit) => permit,
            Err(trouble) => return self.outbox.send(Reply::trouble(serial, trouble)),
        };
        let id = self.shared.next_session();
        self.sessions.insert(id, orders);
        let context = Arc::clone(&self.shared.context);
        let opening = Opening {
            id,
            request,
            fds,
            permit,
        };
        self.tasks.spawn(async move {
            session::run(context, opening, client).await;
            id
        });
    }

    fn open_libcamera(&mut self, serial: u32, request: client::OpenLibcamera) {
        let permit = match self.shared.sessions.take(self.guest) {
            Ok(permit) => permit,
            Err(trouble) => return self.outbox.send(Reply::trouble(serial, trouble)),
        };
        let (client, orders) = self.client(serial);
        let id = self.shared.next_session();
        self.sessions.insert(id, orders);
        let context = Arc::clone(&self.shared.context);
        self.tasks.spawn(async move {
            libcamera::run(context, id, request, permit, client).await;
            id
        });
    }

    fn order(&mut self, session: u64, order: Order) {
        let serial = order.serial;
        let Some(orders) = self.sessions.get(&session) else {
            if serial == 0 {
                return;
            }
            return self
                .outbox
                .send(Reply::trouble(serial, no_session(session)));
        };
        let trouble = match orders.try_send(order) {
            Ok(()) => return,
            // A report: nobody waits for an answer.
            Err(_) if serial == 0 => return,
            Err(mpsc::error::TrySendError::Closed(_)) => no_session(session),
            Err(mpsc::error::TrySendError::Full(_)) => Trouble::new(
                ErrorCode::Limit,
                format!("session {session} has too many orders waiting"),
                format!("at most {ORDERS} may wait"),
                "wait for the answer to one order before sending the next",
            ),
        };
        self.outbox.send(Reply::trouble(serial, trouble));
    }

    /// Ends every session and waits until its worker is gone.
    async fn close(mut self) {
        self.sessions.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn no_session(session: u64) -> Trouble {
    Trouble::new(
        ErrorCode::NoSuchSession,
        format!("there is no session {session}"),
        "it was closed, its worker failed, or it is another client's",
        "open a session",
    )
}
