//! A session: one camera × module, from OpenSession to Close. Each runs as a task of its own, so that
//! a module that hangs or fails touches nobody else.
//!
//! Its [`State`] says how it does. What the pipeline has asked for, its [`Stage`], is kept apart:
//! whatever becomes of a worker, its successor is brought there.

mod faults;
mod keeping;
mod opening;
mod orders;
mod steering;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldshoe_control::Trouble;
use coldshoe_control::client::{
    Body, Close, Course, Done, ErrorCode, FaultReason, OpenSession, Report, Sensor, SessionInfo,
    SessionOpened, SessionState, WorkerReplaced,
};
use coldshoe_frame::Custody;
use coldshoe_jail::Wake;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

use self::opening::{prepare, stand_in};
use self::steering::Steering;
pub(crate) use self::steering::{Command, Unmet, What};
use crate::Config;
use crate::brief::{Brief, Memory, Permit};
use crate::cgroup::Cgroups;
use crate::connection::{Outbox, Reply};
use crate::fault::Fault;
use crate::history::{History, Whose};
use crate::jailer::Jailer;
use crate::kept::{Kept, KeptWorker};
use crate::live::Live;
use crate::owner::Owner;
use crate::registry::Registry;
use crate::roster::{Place, Roster, Token};
use crate::seats::Seat;
use crate::states::States;
use crate::store::Store;
use crate::successor::{News, Successor};
use crate::supervision::{Supervision, Verdict};
use crate::terms::{Current, Terms};
use crate::worker::Refusal;

/// Patience with a module that saves its state for the last time.
const SAVING: Duration = Duration::from_millis(50);

/// What every session needs of the daemon.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) terms: Current<Terms>,
    pub(crate) jailer: Jailer,
    /// The jail of libcamera's own workers.
    pub(crate) libcamera: Jailer,
    pub(crate) cgroups: Cgroups,
    pub(crate) history: Arc<History>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) store: Store,
}

/// An order of the client.
pub(crate) struct Order {
    pub(crate) serial: u32,
    pub(crate) body: Body,
}

/// Who gives orders, and gets answers.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) outbox: Outbox,
    pub(crate) owner: Owner,
    /// Serial of the request that it came with.
    pub(crate) serial: u32,
}

/// A request for a session, on its way.
pub(crate) struct Opening {
    pub(crate) id: u64,
    pub(crate) request: OpenSession,
    /// The forward segment, then the buffers; the last return segment, if the session is resumed.
    pub(crate) fds: Vec<OwnedFd>,
    /// One of the sessions that the daemon has to give; given back with the session's end.
    pub(crate) permit: Seat,
}

/// A session that another daemon had.
pub(crate) struct Adopted {
    pub(crate) brief: Arc<Brief>,
    pub(crate) live: Option<Live>,
    /// Of the last worker, if that is not taken over.
    pub(crate) former: Option<Arc<Custody>>,
    pub(crate) kept: Kept,
    /// Of its state in the store.
    pub(crate) version: u64,
    /// Its client's connection.
    pub(crate) client: Option<OwnedFd>,
    pub(crate) permit: Seat,
}

impl Adopted {
    /// Goes on with the session until it is closed or its client goes away.
    pub(crate) async fn serve(self, context: Arc<Context>, client: Client) {
        Session::adopted(context, self, client).serve().await;
    }
}

/// How a session does.
enum State {
    /// Its first worker is on its way.
    Loading,
    Running(Box<Live>),
    /// The pipeline missed several answers in a row.
    Degraded(Box<Live>),
    /// The last worker failed, and another one is on its way.
    Replacing(Gap),
    /// The module failed too often, and nothing stands in for it.
    Quarantined,
    /// It is over.
    Closed,
}

/// The time without a worker.
struct Gap {
    since: Instant,
    /// Number of the fault that began it.
    fault: u64,
}

/// What the pipeline has asked for.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Opened,
    Configured(Sensor),
    Streaming(Sensor),
}

impl Stage {
    fn sensor(&self) -> Option<&Sensor> {
        match self {
            Self::Opened => None,
            Self::Configured(sensor) | Self::Streaming(sensor) => Some(sensor),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Configured(_) => "configured",
            Self::Streaming(_) => "running",
        }
    }
}

/// Opens a session and serves it until it is closed or its client goes away.
pub(crate) async fn run(context: Arc<Context>, opening: Opening, client: Client) {
    let (id, permit) = (opening.id, Arc::new(opening.permit));
    let (serial, outbox) = (client.serial, client.outbox.clone());
    let prepared = prepare(&context, id, opening.request, opening.fds, &permit);
    let prepared = tokio::select! {
        prepared = prepared => prepared,
        () = outbox.closed() => return,
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(trouble) => {
            tracing::warn!(session = id, "{trouble}");
            drop(permit);
            return outbox.send(Reply::trouble(serial, trouble));
        }
    };
    let session = Session::new(context, prepared, client, permit);
    session.serve().await;
}

struct Session {
    id: u64,
    context: Arc<Context>,
    client: Client,
    /// Who comes to take the client's place.
    comers: mpsc::Receiver<Client>,
    /// What others than the pipeline ask for.
    commands: mpsc::Receiver<Command>,
    commanders: mpsc::WeakSender<Command>,
    steering: Steering,
    /// Where a pipeline looks that has not heard yet of another worker.
    former: Option<Arc<Custody>>,
    owner: Owner,
    /// When it began, in microseconds since 1970.
    began_us: u64,
    permit: Permit,
    place: Place,
    token: Token,
    brief: Arc<Brief>,
    stands_in: bool,
    state: State,
    stage: Stage,
    successor: Successor,
    /// Of the last worker that was made, or is being made.
    generation: u32,
    states: States,
    supervision: Supervision,
    releases: broadcast::Receiver<Arc<str>>,
    /// Serial of a request to resume the session that waits for a worker.
    resuming: Option<u32>,
    faults: u32,
    /// Workers that took over.
    restarts: u32,
    /// Standbys in a row that did not last.
    lost_standbys: u32,
    stored: Stored,
}

/// What the store has of a session.
#[derive(Default)]
struct Stored {
    /// Of its state; 0: nothing.
    version: u64,
    /// Generation of its worker; 0: none.
    worker: u32,
    last: Option<Kept>,
}

/// What happens to a session.
enum Event {
    Order(Option<Order>),
    Comer(Client),
    Command(Command),
    Fault(Fault),
    Successor(News),
    Released,
}

impl Session {
    async fn serve(mut self) {
        loop {
            self.tell_roster();
            self.keep();
            if matches!(self.state, State::Closed) {
                break;
            }
            match self.next().await {
                Event::Order(Some(order)) => self.follow(order).await,
                Event::Order(None) => {
                    self.save().await;
                    self.close().await;
                }
                Event::Comer(client) => self.take(client),
                Event::Command(command) => self.heed(command).await,
                Event::Fault(fault) => {
                    if let Some(live) = self.off_duty() {
                        self.fail(live, fault).await;
                    }
                }
                Event::Successor(News::Made(Ok(live))) => self.made(live).await,
                Event::Successor(News::Made(Err(refusal))) => self.not_made(refusal).await,
                Event::Successor(News::Lost(fault)) => self.standby_lost(&fault).await,
                Event::Released => self.released(),
            }
        }
        drop(self.permit);
        tracing::info!(session = self.id, "session closed");
    }

    async fn next(&mut self) -> Event {
        let quarantined = matches!(self.state, State::Quarantined);
        tokio::select! {
            biased;
            fault = on_duty(&mut self.state) => Event::Fault(fault),
            Some(client) = self.comers.recv() => Event::Comer(client),
            order = self.client.orders.recv() => Event::Order(order),
            Some(command) = self.commands.recv() => Event::Command(command),
            // Nobody is left to work for.
            () = self.client.outbox.closed() => Event::Order(None),
            news = self.successor.news() => Event::Successor(news),
            () = released(&mut self.releases, &self.brief.module.name), if quarantined => {
                Event::Released
            }
        }
    }

    fn tell_roster(&self) {
        let live = match &self.state {
            State::Running(live) | State::Degraded(live) => Some(live),
            _ => None,
        };
        self.place.on_duty(live.map(|live| &**live));
        self.place.update(|info| {
            info.state = self.state.on_the_wire().into();
            info.generation = live.map_or(0, |live| live.generation);
            info.worker_pid = live.map_or(0, |live| live.worker.pid().unsigned_abs());
            info.standby = self.successor.is_ready();
            info.faults = self.faults;
            info.restarts = self.restarts;
            info.stand_in = match self.stands_in {
                true => self.brief.module.name.clone(),
                false => String::new(),
            };
        });
    }

    /// Takes the worker that is on duty off it.
    fn off_duty(&mut self) -> Option<Box<Live>> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Running(live) | State::Degraded(live) => Some(live),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Has the state of this moment saved: the client may have lost its daemon and not the other way
    /// round, and resume the session with the next one.
    async fn save(&mut self) {
        if let (State::Running(live) | State::Degraded(live), Stage::Streaming(_)) =
            (&mut self.state, &self.stage)
        {
            let _ = timeout(SAVING, live.save()).await;
        }
    }

    async fn close(&mut self) {
        self.successor = Successor::None;
        if let Some(live) = self.off_duty() {
            live.worker.end().await;
        }
        self.state = State::Closed;
    }

    /// Another client takes the place of one whose connection is gone.
    fn take(&mut self, client: Client) {
        let serial = client.serial;
        self.client = client;
        let (name, store) = (format!("s{}.client", self.id), self.context.store);
        store.forget(&name);
        if let Some(socket) = self.client.outbox.socket() {
            store.keep(&name, socket);
        }
        match &self.state {
            State::Running(live) | State::Degraded(live) => match self.opened(live) {
                Ok(reply) => {
                    tracing::info!(session = self.id, "session resumed");
                    self.client.outbox.send(reply.to(serial));
                    self.steer_again();
                }
                Err(trouble) => self.client.outbox.send(Reply::trouble(serial, trouble)),
            },
            State::Quarantined => {
                let admitted = self.context.history.admit(&self.brief.module.name);
                let trouble = admitted.err().unwrap_or_else(|| {
                    Trouble::new(
                        ErrorCode::ModuleQuarantined,
                        format!("session {} has no worker", self.id),
                        "its module failed too often",
                        "see `coldshoectl list faults`, and `coldshoectl module release`",
                    )
                });
                self.client.outbox.send(Reply::trouble(serial, trouble));
            }
            // It is answered with the next worker, when that is there.
            State::Replacing(_) => self.resuming = Some(serial),
            // Nobody has its token yet, or any more.
            State::Loading | State::Closed => {}
        }
    }
}

impl State {
    fn on_the_wire(&self) -> SessionState {
        match self {
            Self::Loading => SessionState::Loading,
            Self::Running(_) => SessionState::Running,
            Self::Degraded(_) => SessionState::Degraded,
            Self::Replacing(_) => SessionState::Replacing,
            Self::Quarantined => SessionState::Quarantined,
            Self::Closed => SessionState::Closed,
        }
    }
}

/// Resolves when the worker on duty, if there is one, is gone or must go.
async fn on_duty(state: &mut State) -> Fault {
    match state {
        State::Running(live) | State::Degraded(live) => live.fault().await,
        _ => std::future::pending().await,
    }
}

/// Resolves when a module is released, or may have been.
async fn released(releases: &mut broadcast::Receiver<Arc<str>>, module: &str) {
    loop {
        match releases.recv().await {
            Ok(name) if &*name != module => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Reply {
    fn done(serial: u32, session: u64) -> Self {
        Self::new(serial, Done { session }, Vec::new())
    }
}
