//! A session: one camera × module, from OpenSession to Close. Each runs as a task of its own, so that
//! a module that hangs or fails touches nobody else.
//!
//! Its [`State`] says how it does. What the pipeline has asked for, its [`Stage`], is kept apart:
//! whatever becomes of a worker, its successor is brought there.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldshoe_control::Trouble;
use coldshoe_control::client::{
    Body, Close, Course, Done, ErrorCode, FaultReason, OpenSession, Report, Sensor, SessionInfo,
    SessionOpened, SessionState, WorkerReplaced,
};
use coldshoe_jail::Wake;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use crate::Config;
use crate::brief::{Brief, Memory, Permit};
use crate::cgroup::Cgroups;
use crate::connection::{Outbox, Reply};
use crate::fault::Fault;
use crate::history::{History, Whose, name_of};
use crate::jailer::Jailer;
use crate::kept::{Kept, KeptWorker};
use crate::live::Live;
use crate::registry::Registry;
use crate::roster::{Place, Roster, Token};
use crate::states::States;
use crate::store::Store;
use crate::successor::{News, Successor};
use crate::supervision::{Supervision, Verdict};
use crate::worker::Refusal;

/// Patience with a module that saves its state for the last time.
const SAVING: Duration = Duration::from_millis(50);

/// What every session needs of the daemon.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) jailer: Jailer,
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
    pub(crate) permit: OwnedSemaphorePermit,
}

/// A session that another daemon had.
pub(crate) struct Adopted {
    pub(crate) brief: Arc<Brief>,
    pub(crate) live: Option<Live>,
    pub(crate) kept: Kept,
    /// Of its state in the store.
    pub(crate) version: u64,
    /// Its client's connection.
    pub(crate) client: Option<OwnedFd>,
    pub(crate) permit: OwnedSemaphorePermit,
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

/// What is known of a session before its first worker is there.
struct Prepared {
    brief: Arc<Brief>,
    /// Another module works in place of the one that was asked for.
    stands_in: bool,
    stage: Stage,
    states: States,
    generation: u32,
}

async fn prepare(
    context: &Arc<Context>,
    id: u64,
    mut request: OpenSession,
    mut fds: Vec<OwnedFd>,
    permit: &Permit,
) -> Result<Prepared, Trouble> {
    context.jailer.admit()?;
    let resume = request.resume.take();
    let last_replies = resume.is_some().then(|| fds.pop()).flatten();
    let memory = Arc::new(Memory::new(&request, fds)?);
    let asked = request.module.clone();
    let (name, stands_in) = match context.history.admit(&asked) {
        Ok(()) => (asked, false),
        Err(trouble) => (stand_in(context, &request).ok_or(trouble)?, true),
    };
    // What another module saved is of no use, and neither is what cannot be read.
    let custody = last_replies
        .filter(|_| !stands_in)
        .and_then(|fd| coldshoe_frame::Custody::map(fd.as_fd(), memory.geometry).ok());
    let states = custody.map_or_else(States::default, |custody| States::of(custody.checkpoints()));
    let brief = Brief::find(id, context, request, &name, memory, permit).await?;
    let (stage, generation) = match resume {
        None => (Stage::Opened, 0),
        Some(resume) => {
            let stage = match resume.sensor {
                None => Stage::Opened,
                Some(sensor) if resume.started => Stage::Streaming(sensor),
                Some(sensor) => Stage::Configured(sensor),
            };
            (stage, resume.generation)
        }
    };
    Ok(Prepared {
        brief: Arc::new(brief),
        stands_in,
        stage,
        states,
        generation,
    })
}

/// The module that takes over from the one that a session was opened with, if there is one that may.
fn stand_in(context: &Context, request: &OpenSession) -> Option<String> {
    let name = context.config.fallback_for(&request.camera)?;
    let other = name != request.module && context.history.admit(name).is_ok();
    other.then(|| name.to_owned())
}

struct Session {
    id: u64,
    context: Arc<Context>,
    client: Client,
    /// Who comes to take the client's place.
    comers: mpsc::Receiver<Client>,
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
    releases: watch::Receiver<u64>,
    faults: u32,
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
#[expect(
    clippy::large_enum_variant,
    reason = "orders come one at a time, and rarely"
)]
enum Event {
    Order(Option<Order>),
    Comer(Client),
    Fault(Fault),
    Successor(News),
    Released,
}

impl Session {
    fn new(context: Arc<Context>, prepared: Prepared, client: Client, permit: Permit) -> Self {
        let mut session = Self::unmade(context, prepared, client, permit);
        session.make_successor(Duration::ZERO);
        session
    }

    /// One without a worker, or one on its way.
    fn unmade(context: Arc<Context>, prepared: Prepared, client: Client, permit: Permit) -> Self {
        let Prepared {
            brief,
            stands_in,
            stage,
            states,
            generation,
        } = prepared;
        let token: Token = rand::random();
        let (taking, comers) = mpsc::channel(1);
        let info = SessionInfo {
            session: brief.id,
            module: brief.request.module.clone(),
            camera: brief.request.camera.clone(),
            state: SessionState::Loading.into(),
            ..SessionInfo::default()
        };
        Self {
            id: brief.id,
            place: context.roster.enter(info, token, taking),
            releases: context.history.releases(),
            supervision: Supervision::new(context.config.patience),
            context,
            client,
            comers,
            permit,
            token,
            brief,
            stands_in,
            state: State::Loading,
            stage,
            successor: Successor::None,
            generation,
            states,
            faults: 0,
            lost_standbys: 0,
            stored: Stored::default(),
        }
    }

    fn adopted(context: Arc<Context>, adopted: Adopted, client: Client) -> Self {
        let Adopted {
            brief,
            live,
            kept,
            version,
            permit,
            ..
        } = adopted;
        let stage = match (kept.sensor.clone(), kept.streaming) {
            (None, _) => Stage::Opened,
            (Some(sensor), false) => Stage::Configured(sensor),
            (Some(sensor), true) => Stage::Streaming(sensor),
        };
        let prepared = Prepared {
            stands_in: kept.stands_in,
            stage,
            states: States::of(kept.states.clone()),
            generation: kept.generation,
            brief,
        };
        let mut session = Self::unmade(context, prepared, client, Arc::new(permit));
        // Whoever resumes it has the token of old.
        if let Ok(token) = kept.token.as_slice().try_into() {
            session.token = token;
            session.place.change_token(token);
        }
        session.faults = kept.faults;
        session.stored = Stored {
            version,
            worker: live.as_ref().map_or(0, |live| live.generation),
            last: None,
        };
        match live {
            Some(live) => {
                let worker = live.worker.pid();
                tracing::info!(session = session.id, worker, "session adopted");
                session.state = State::Running(Box::new(live));
                if session.wants_standby() {
                    session.make_successor(Duration::ZERO);
                }
            }
            None => {
                tracing::info!(session = session.id, "session adopted without a worker");
                session.state = State::Replacing(Gap {
                    since: Instant::now(),
                    fault: 0,
                });
                session.make_successor(Duration::ZERO);
            }
        }
        session
    }

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
            // Nobody is left to work for.
            () = self.client.outbox.closed() => Event::Order(None),
            news = self.successor.news() => Event::Successor(news),
            Ok(()) = self.releases.changed(), if quarantined => Event::Released,
        }
    }

    /// Has all that the next daemon would need kept, whenever it has changed.
    fn keep(&mut self) {
        let store = self.context.store;
        if !store.is_there() {
            return;
        }
        let (id, first) = (self.id, self.stored.version == 0);
        let live = match &mut self.state {
            State::Closed => return self.forget(),
            // Until its first worker is there it can be asked for again.
            State::Loading => return,
            State::Running(live) | State::Degraded(live) => Some(live),
            State::Replacing(_) | State::Quarantined => None,
        };
        if first {
            self.brief.keep(store);
            if let Some(socket) = self.client.outbox.socket() {
                store.keep(&format!("s{id}.client"), socket);
            }
        }
        let on_duty = live.as_ref().map_or(0, |live| live.generation);
        let before = std::mem::replace(&mut self.stored.worker, on_duty);
        let worker = live.map(|live| {
            if before != on_duty {
                live.keep(store);
            }
            live.kept()
        });
        let kept = self.kept(worker);
        if self.stored.last.as_ref() != Some(&kept) {
            let version = self.stored.version + 1;
            match kept.clone().write() {
                Ok(fd) => store.keep(&format!("s{id}.state.{version}"), fd.as_fd()),
                Err(error) => return tracing::warn!(session = id, %error, "not kept"),
            }
            if !first {
                store.forget(&format!("s{id}.state.{}", self.stored.version));
            }
            self.stored.version = version;
            self.stored.last = Some(kept);
        }
        if before != on_duty && before != 0 {
            Live::forget(store, id, before);
        }
    }

    fn kept(&self, worker: Option<KeptWorker>) -> Kept {
        Kept {
            version: 0,
            request: Some(self.brief.request.clone()),
            token: self.token.to_vec(),
            sensor: self.stage.sensor().cloned(),
            streaming: matches!(self.stage, Stage::Streaming(_)),
            generation: self.generation,
            stands_in: self.stands_in,
            faults: self.faults,
            states: self.states.all().map(<[u8]>::to_vec).collect(),
            module: Some(self.brief.kept()),
            worker,
        }
    }

    fn forget(&mut self) {
        let (id, store) = (self.id, self.context.store);
        let Stored {
            version, worker, ..
        } = std::mem::take(&mut self.stored);
        if version == 0 {
            return;
        }
        // First of all: without it the rest is nothing.
        store.forget(&format!("s{id}.state.{version}"));
        if worker != 0 {
            Live::forget(store, id, worker);
        }
        store.forget(&format!("s{id}.client"));
        self.brief.forget(store);
    }

    fn tell_roster(&self) {
        let live = match &self.state {
            State::Running(live) | State::Degraded(live) => Some(live),
            _ => None,
        };
        self.place.update(|info| {
            info.state = self.state.on_the_wire().into();
            info.generation = live.map_or(0, |live| live.generation);
            info.worker_pid = live.map_or(0, |live| live.worker.pid().unsigned_abs());
            info.standby = self.successor.is_ready();
            info.faults = self.faults;
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
                }
                Err(trouble) => self.client.outbox.send(Reply::trouble(serial, trouble)),
            },
            // It is told of the next worker when that is there.
            _ => {}
        }
    }

    // Orders.

    async fn follow(&mut self, Order { serial, body }: Order) {
        match body {
            Body::Close(Close { .. }) => {
                self.close().await;
                self.client.outbox.send(Reply::done(serial, self.id));
            }
            Body::Report(report) => self.hear(&report).await,
            order => {
                let outbox = self.client.outbox.clone();
                tokio::select! {
                    () = self.carry_out(serial, order) => {}
                    // Nobody waits for the verb any more, and it may hang.
                    () = outbox.closed() => {}
                }
            }
        }
    }

    async fn carry_out(&mut self, serial: u32, order: Body) {
        let (verb, next) = match (order, &self.stage) {
            (Body::Configure(order), Stage::Opened | Stage::Configured(_)) => {
                let sensor = order.sensor.unwrap_or_default();
                (Verb::Configure, Stage::Configured(sensor))
            }
            (Body::Start(_), Stage::Configured(sensor)) => {
                (Verb::Start, Stage::Streaming(sensor.clone()))
            }
            (Body::Stop(_), Stage::Streaming(sensor)) => {
                (Verb::Stop, Stage::Configured(sensor.clone()))
            }
            (order, stage) => {
                let trouble = self.out_of_place(order.kind(), stage);
                tracing::warn!(session = self.id, "{trouble}");
                return self.client.outbox.send(Reply::trouble(serial, trouble));
            }
        };
        let done = match &mut self.state {
            State::Running(live) | State::Degraded(live) => match (verb, &next) {
                (Verb::Configure, Stage::Configured(sensor)) => {
                    live.configure(sensor.clone()).await
                }
                (Verb::Start, _) => live.start(None).await.map(drop),
                (_, _) => live.stop().await,
            },
            // The next worker is brought there when it comes.
            _ => Ok(()),
        };
        // A module whose stop() fails has stopped all the same: no more frames are taken.
        if done.is_ok() || verb == Verb::Stop {
            self.stage = next;
        }
        match done {
            Ok(()) => {
                if verb == Verb::Configure {
                    self.renew_standby();
                }
                self.client.outbox.send(Reply::done(serial, self.id));
            }
            Err(Refusal::Verb(trouble)) => {
                tracing::warn!(
                    session = self.id,
                    module = self.brief.module.name,
                    "{trouble}"
                );
                self.client.outbox.send(Reply::trouble(serial, trouble));
            }
            Err(Refusal::Fault(fault)) => {
                let told = fault.trouble.clone();
                self.client.outbox.send(Reply::trouble(serial, told));
                if let Some(live) = self.off_duty() {
                    self.fail(live, fault).await;
                }
            }
        }
    }

    fn out_of_place(&self, order: &str, stage: &Stage) -> Trouble {
        Trouble::new(
            ErrorCode::BadState,
            format!("{order} is out of place"),
            format!("session {} is {}", self.id, stage.name()),
            "the order is Configure, Start, Stop; Close goes at any time",
        )
    }

    /// The pipeline says how its frames go.
    async fn hear(&mut self, report: &Report) {
        let current = match &self.state {
            State::Running(live) | State::Degraded(live) => live.generation == report.generation,
            _ => false,
        };
        // Of another worker's time.
        if !current {
            return;
        }
        let Some(live) = self.off_duty() else { return };
        let (session, frame) = (self.id, report.frame);
        self.state = match report.course() {
            Course::Degraded => {
                tracing::warn!(session, frame, "degraded: answers do not come in time");
                State::Degraded(live)
            }
            Course::Stalled => {
                let name = live.brief.module.name.clone();
                let fault = match report.reason() {
                    FaultReason::Protocol => Fault::unusable(&name, frame),
                    _ => Fault::stalled(&name, frame),
                };
                return self.fail(live, fault).await;
            }
            _ => {
                tracing::info!(session, frame, "answers come in time again");
                State::Running(live)
            }
        };
    }

    // Faults, and what follows.

    /// Whether a second worker is to be ready.
    fn wants_standby(&self) -> bool {
        let jailer = &self.context.jailer;
        let allowed = jailer.standby && jailer.wake != Wake::Predictive;
        self.brief.request.standby && allowed
    }

    fn make_successor(&mut self, pause: Duration) {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.successor = Successor::make(
            Arc::clone(&self.context),
            Arc::clone(&self.brief),
            self.generation,
            self.stage.sensor().cloned(),
            pause,
        );
    }

    /// The one that is ready, or on its way, is not what is needed any more.
    fn renew_standby(&mut self) {
        if !self.successor.is_none() || self.wants_standby() {
            self.make_successor(Duration::ZERO);
        }
    }

    /// The worker on duty is gone or must go.
    async fn fail(&mut self, live: Box<Live>, fault: Fault) {
        let since = Instant::now();
        live.call_pipeline();
        let Live {
            generation, module, ..
        } = &*live;
        let (generation, name) = (*generation, module.name.clone());
        let (frame, frames, restored) = (live.frame(), live.frames(), live.restored);
        let file = live.brief.module.name.clone();
        // It has ended before another one takes over.
        let saved = live.end().await;
        self.states.after(restored, frames, saved);
        self.faults = self.faults.saturating_add(1);
        let whose = Whose {
            session: self.id,
            camera: &self.brief.request.camera,
            module: &file,
            generation,
            frame,
        };
        let number = self.context.history.fault(whose, &fault);
        tracing::error!(
            session = self.id,
            fault = number,
            reason = name_of(fault.reason),
            module = name,
            generation,
            frame,
            "{}",
            fault.trouble
        );
        self.state = State::Replacing(Gap {
            since,
            fault: number,
        });
        self.go_on(fault, generation, frame).await;
    }

    /// Decides what follows a fault, and does it.
    async fn go_on(&mut self, fault: Fault, generation: u32, frame: u64) {
        let verdict = self.supervision.fault(Instant::now(), rand::random());
        let module = self.brief.module.name.clone();
        let stand_in = match verdict {
            Verdict::Replace(_) => None,
            Verdict::Quarantine => {
                self.quarantine(&module, &fault);
                Some(self.stand_in().await)
            }
        };
        let quarantined = matches!(stand_in, Some(None));
        let mut told = fault.trouble.into_fault(self.id, fault.reason, frame);
        (told.module, told.generation, told.quarantined) = (module, generation, quarantined);
        self.client.outbox.send(Reply::new(0, told, Vec::new()));
        match (verdict, stand_in) {
            (_, Some(Some(brief))) => {
                self.brief = Arc::new(brief);
                self.stands_in = true;
                self.states.forget();
                self.supervision = Supervision::new(self.context.config.patience);
                self.make_successor(Duration::ZERO);
            }
            (Verdict::Quarantine, _) => {
                self.successor = Successor::None;
                self.releases.mark_unchanged();
                self.state = State::Quarantined;
            }
            (Verdict::Replace(pause), _) => match self.successor.take_ready() {
                Some(live) => self.promote(live).await,
                None if self.successor.is_none() => self.make_successor(pause),
                None => {}
            },
        }
    }

    fn quarantine(&self, module: &str, fault: &Fault) {
        let why = fault.trouble.what.as_str();
        // What a client alone has seen counts in its own session alone.
        let everywhere =
            fault.witnessed && self.context.history.quarantined_in_session(module, why);
        tracing::error!(
            session = self.id,
            module,
            everywhere,
            "quarantined: it failed too often; `coldshoectl module release {module}` lifts that"
        );
    }

    async fn stand_in(&self) -> Option<Brief> {
        if self.stands_in {
            return None;
        }
        let name = stand_in(&self.context, &self.brief.request)?;
        let request = self.brief.request.clone();
        let memory = Arc::clone(&self.brief.memory);
        let found = Brief::find(self.id, &self.context, request, &name, memory, &self.permit).await;
        found
            .inspect_err(|trouble| tracing::error!(session = self.id, "no stand-in: {trouble}"))
            .ok()
    }

    async fn made(&mut self, live: Box<Live>) {
        match &self.state {
            State::Loading | State::Replacing(_) => self.promote(live).await,
            _ => {
                self.lost_standbys = 0;
                tracing::debug!(
                    session = self.id,
                    worker = live.worker.pid(),
                    "standby ready"
                );
                self.successor = Successor::Ready(live);
            }
        }
    }

    async fn not_made(&mut self, refusal: Refusal) {
        match &self.state {
            State::Loading => {
                let (Refusal::Verb(trouble) | Refusal::Fault(Fault { trouble, .. })) = refusal;
                tracing::warn!(session = self.id, "{trouble}");
                self.state = State::Closed;
                let serial = self.client.serial;
                self.client.outbox.send(Reply::trouble(serial, trouble));
            }
            State::Replacing(_) => {
                let fault = match refusal {
                    Refusal::Fault(fault) => fault,
                    Refusal::Verb(trouble) => Fault::refused(trouble),
                };
                self.failed_again(fault).await;
            }
            _ => {
                let (Refusal::Verb(trouble) | Refusal::Fault(Fault { trouble, .. })) = refusal;
                tracing::warn!(session = self.id, "no standby: {trouble}");
                self.next_standby();
            }
        }
    }

    /// A worker failed on its way to duty: another fault, of which the pipeline knows already.
    async fn failed_again(&mut self, fault: Fault) {
        self.faults = self.faults.saturating_add(1);
        let generation = self.generation;
        let whose = Whose {
            session: self.id,
            camera: &self.brief.request.camera,
            module: &self.brief.module.name,
            generation,
            frame: 0,
        };
        let number = self.context.history.fault(whose, &fault);
        tracing::error!(
            session = self.id,
            fault = number,
            reason = name_of(fault.reason),
            module = self.brief.module.name,
            generation,
            "{}",
            fault.trouble
        );
        // Boxed: promoting may fail again, and that leads here.
        Box::pin(self.go_on(fault, generation, 0)).await;
    }

    async fn standby_lost(&mut self, fault: &Fault) {
        tracing::warn!(session = self.id, "standby lost: {}", fault.trouble);
        if let Some(live) = self.successor.take_ready() {
            live.end().await;
        }
        self.next_standby();
    }

    /// Another standby, later the more of them were lost.
    fn next_standby(&mut self) {
        let patience = self.context.config.patience;
        let pause = patience.first_pause * (1 << self.lost_standbys.min(10));
        self.lost_standbys = self.lost_standbys.saturating_add(1);
        if self.wants_standby() {
            self.make_successor(pause.min(patience.longest_pause));
        }
    }

    /// Puts a worker on duty, brought to where the pipeline is.
    async fn promote(&mut self, mut live: Box<Live>) {
        if let Stage::Streaming(_) = self.stage {
            match live.start(self.states.next()).await {
                Ok(None) => {}
                Ok(Some(why)) => {
                    tracing::warn!(session = self.id, why, "the module went without its state");
                    self.states.refused();
                }
                Err(refusal) => {
                    let restored = live.restored;
                    live.end().await;
                    self.states.after(restored, 0, Vec::new());
                    let fault = match refusal {
                        Refusal::Fault(fault) => fault,
                        Refusal::Verb(trouble) => Fault::refused(trouble),
                    };
                    return match self.state {
                        State::Loading => self.not_opened(fault.trouble),
                        _ => self.failed_again(fault).await,
                    };
                }
            }
        }
        match &self.state {
            State::Loading => match self.opened(&live) {
                Ok(reply) => {
                    let (module, camera) = (&live.module.name, &self.brief.request.camera);
                    let worker = live.worker.pid();
                    tracing::info!(session = self.id, module, camera, worker, "session opened");
                    self.client.outbox.send(reply.to(self.client.serial));
                }
                // A session that its client never hears of would have no end.
                Err(trouble) => {
                    live.end().await;
                    return self.not_opened(trouble);
                }
            },
            State::Replacing(gap) => {
                let after = gap.since.elapsed();
                let reply = self.replaced(&live, after);
                self.client.outbox.send(reply);
                self.context.history.recovered(gap.fault, after);
                let recovery_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                tracing::info!(
                    session = self.id,
                    fault = gap.fault,
                    generation = live.generation,
                    worker = live.worker.pid(),
                    recovery_us,
                    "worker replaced"
                );
            }
            _ => {}
        }
        self.state = State::Running(live);
        if self.wants_standby() && self.successor.is_none() {
            self.make_successor(Duration::ZERO);
        }
    }

    fn not_opened(&mut self, trouble: Trouble) {
        tracing::error!(session = self.id, "{trouble}");
        self.state = State::Closed;
        let serial = self.client.serial;
        self.client.outbox.send(Reply::trouble(serial, trouble));
    }

    /// Its module may be used again.
    fn released(&mut self) {
        if self.context.history.admit(&self.brief.module.name).is_ok() {
            let whose = Whose {
                session: self.id,
                camera: &self.brief.request.camera,
                module: &self.brief.module.name,
                generation: self.generation,
                frame: 0,
            };
            tracing::info!(session = whose.session, module = whose.module, "released");
            self.state = State::Replacing(Gap {
                since: Instant::now(),
                fault: 0,
            });
            self.make_successor(Duration::ZERO);
        }
    }

    fn opened(&self, live: &Live) -> Result<Reply, Trouble> {
        let opened = SessionOpened {
            session: self.id,
            generation: live.generation,
            module: Some(live.module.clone()),
            confinement: Some(live.confinement.clone()),
            worker_pid: live.worker.pid().unsigned_abs(),
            wake: live.wake.into(),
            token: self.token.to_vec(),
            standby: self.wants_standby(),
        };
        let reply = Reply::new(
            0,
            opened,
            live.fds().map_err(|error| no_descriptor(&error))?,
        );
        reply.check().map(|()| reply)
    }

    fn replaced(&self, live: &Live, after: Duration) -> Reply {
        let replaced = WorkerReplaced {
            session: self.id,
            generation: live.generation,
            worker_pid: live.worker.pid().unsigned_abs(),
            module: Some(live.module.clone()),
            confinement: Some(live.confinement.clone()),
            wake: live.wake.into(),
            recovery_us: u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
        };
        match live.fds() {
            Ok(fds) => Reply::new(0, replaced, fds),
            Err(error) => Reply::trouble(0, no_descriptor(&error)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Configure,
    Start,
    Stop,
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
        State::Running(live) | State::Degraded(live) => live.worker.fault().await,
        _ => std::future::pending().await,
    }
}

fn no_descriptor(error: &std::io::Error) -> Trouble {
    Trouble::new(
        ErrorCode::Internal,
        "no descriptor left",
        error.to_string(),
        "close sessions",
    )
}

impl Reply {
    fn done(serial: u32, session: u64) -> Self {
        Self::new(serial, Done { session }, Vec::new())
    }
}
