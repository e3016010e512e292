//! A session of libcamera's: one of its own proxy workers, with one of its algorithms, in a jail. Its
//! application asks through `coldshoe-libcamera`, which gets the worker's socket.
//!
//! The daemon keeps the gate. It is flipped when the client says that the answer to init() has passed;
//! a worker that has none to give within the time for loading is ended. A worker that fails is followed
//! by another when the client asks for it, which tells it what the last one knew; one that fails too
//! often puts its algorithm into quarantine.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coldshoe_control::Trouble;
use coldshoe_control::client::{
    Body, Done, ErrorCode, FaultReason, LibcameraOpened, ModuleInfo, OpenLibcamera, ReplaceWorker,
    SessionInfo, SessionState,
};
use coldshoe_control::worker::Become;
use coldshoe_wall::outside::Exit;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::cgroup::{Cgroup, Limits};
use crate::channel::watch;
use crate::connection::{Outbox, Reply};
use crate::fault::Fault;
use crate::history::Whose;
use crate::launch::{Gated, launch_program};
use crate::registry::{Module, Program, is_name};
use crate::report::{self, Known};
use crate::roster::{LastWorker, Newcomer, Place};
use crate::seats::Seat;
use crate::session::{Client, Command, Context, Order, Unmet};
use crate::supervision::{Supervision, Verdict};
use crate::worker::Refusal;

/// Commands that may wait for a session.
const COMMANDS: usize = 8;
/// For a worker whose socket is closed to have ended. One that lives on is at fault, and an application
/// waits: less than libcamera does for an answer.
const ENDS: Duration = Duration::from_millis(100);
/// How libcamera's library is called before its series.
const LIBRARY: &str = "libcamera.so.";
/// Longest name of a series.
const MAX_SERIES: usize = 16;

/// Opens a session and serves it until its client goes, or its last worker.
pub(crate) async fn run(
    context: Arc<Context>,
    id: u64,
    request: OpenLibcamera,
    permit: Seat,
    mut client: Client,
) {
    if !is_name(&request.ipa) {
        let trouble = Trouble::new(
            ErrorCode::BadArgument,
            format!("{:?} is no algorithm's interface", request.ipa),
            "interfaces have up to 64 characters a-z, 0-9, - and _, and begin with a-z or 0-9",
            "let libcamera start coldshoe-libcamera by the name NAME_ipa_proxy",
        );
        return client.outbox.send(Reply::trouble(client.serial, trouble));
    }
    let (commanding, commands) = mpsc::channel(COMMANDS);
    let place = enter(&context, id, &request, &client, commanding);
    let mut session = Session {
        id,
        module: String::new(),
        camera: camera(&request.ipa),
        request,
        owner: client.owner.uid,
        worker: None,
        generation: 0,
        loading: true,
        lost: None,
        not_told: None,
        deadline: None,
        pause: Duration::ZERO,
        supervision: Supervision::new(context.terms.get().patience),
        permit: Arc::new(permit),
        place,
        context,
    };
    let serial = client.serial;
    if !session.launch(&client.outbox, serial).await {
        return;
    }
    tracing::info!(
        session = id,
        module = session.module,
        "libcamera session opened"
    );
    session.serve(&mut client, commands).await;
    tracing::info!(session = id, "session closed");
}

fn enter(
    context: &Context,
    id: u64,
    request: &OpenLibcamera,
    client: &Client,
    commands: mpsc::Sender<Command>,
) -> Place {
    let began = SystemTime::now().duration_since(UNIX_EPOCH);
    let began_us = began.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
    // Nobody resumes it.
    let (clients, _) = mpsc::channel(1);
    // A path that names none is refused soon.
    let module = Path::new(&request.module).file_stem();
    let module = module.and_then(|name| name.to_str());
    let module = module.filter(|name| is_name(name)).unwrap_or("unknown");
    context.roster.enter(Newcomer {
        info: SessionInfo {
            session: id,
            module: module.to_owned(),
            camera: camera(&request.ipa),
            state: SessionState::Loading.into(),
            owner: client.owner.uid,
            ..SessionInfo::default()
        },
        token: rand::random(),
        clients,
        commands,
        brief: None,
        owner: client.owner.clone(),
        began_us,
    })
}

/// What stands for the camera, whose name libcamera does not tell its workers, until its sensor is known.
fn camera(ipa: &str) -> String {
    format!("libcamera {ipa}")
}

/// A session, whether it has a worker or not.
struct Session {
    id: u64,
    request: OpenLibcamera,
    /// Name of its module; empty before it is found.
    module: String,
    camera: String,
    owner: u32,
    worker: Option<Running>,
    /// Of its last worker.
    generation: u32,
    /// That has not answered init() yet.
    loading: bool,
    /// The fault that it lost its last worker by, and when.
    lost: Option<(u64, Instant)>,
    /// It has ended by itself, which is a fault unless its application has told it to.
    not_told: Option<Fault>,
    /// For what is waited for: an answer to init(), or what the client says of a worker that has ended.
    deadline: Option<Instant>,
    /// Before the next worker.
    pause: Duration,
    supervision: Supervision,
    permit: Arc<Seat>,
    place: Place,
    context: Arc<Context>,
}

/// A worker behind the gate.
struct Running {
    gated: Gated,
    ended: AsyncFd<OwnedFd>,
}

/// Reads, hashes and looks at the algorithm and the worker's program; on a thread that may wait for a
/// disk.
async fn find(
    context: &Arc<Context>,
    request: &OpenLibcamera,
    permit: &Arc<Seat>,
) -> Result<(Module, Program), Trouble> {
    let limit = context.config.timeouts.find;
    let file = format!("{}_ipa_proxy", request.ipa);
    let (shared, permit) = (Arc::clone(context), Arc::clone(permit));
    let path = request.module.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let (registry, terms) = (&shared.registry, shared.terms.get());
        let module = registry.find_at(Path::new(&path), &terms.libcamera_modules)?;
        let program = registry.program(&file, &terms.libcamera_workers)?;
        Ok((module, program))
    });
    let late = |why: String| {
        Trouble::new(
            ErrorCode::ModuleRefused,
            format!("{:?} cannot be read in time", request.module),
            why,
            "see whether the disk of its directory hangs, and the daemon's log",
        )
    };
    match timeout(limit, reading).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(late(error.to_string())),
        Err(_) => Err(late(format!(
            "it takes longer than {} ms",
            limit.as_millis()
        ))),
    }
}

/// The series of libcamera that a program is of, by the library that it needs.
fn series(libraries: &[String]) -> Option<&str> {
    let named = libraries.iter();
    let mut named = named.filter_map(|name| name.strip_prefix(LIBRARY));
    named.find(|series| is_series(series))
}

/// Whether it can be the name of a series of libcamera.
pub(crate) fn is_series(text: &str) -> bool {
    let mut bytes = text.bytes();
    (1..=MAX_SERIES).contains(&text.len())
        && bytes.all(|byte| byte == b'.' || byte.is_ascii_digit())
}

impl Session {
    /// Starts a worker, and answers request `serial` with it or with why there is none.
    async fn launch(&mut self, outbox: &Outbox, serial: u32) -> bool {
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = outbox.closed() => return false,
        };
        let (opened, fds) = match opened {
            Ok(opened) => opened,
            Err(trouble) => {
                tracing::warn!(session = self.id, "{trouble}");
                outbox.send(Reply::trouble(serial, trouble));
                return false;
            }
        };
        self.place.update(|info| {
            info.module = self.module.clone();
            info.state = SessionState::Running.into();
            info.generation = self.generation;
            info.restarts = self.generation.saturating_sub(1);
            info.worker_pid = opened.worker_pid;
        });
        if let (Some(module), Some(confinement)) = (&opened.module, &opened.confinement) {
            self.place.runs(LastWorker {
                module: module.clone(),
                confinement: confinement.clone(),
            });
        }
        outbox.send(Reply::new(serial, opened, fds));
        if let Some((fault, since)) = self.lost.take() {
            self.context.history.recovered(fault, since.elapsed());
        }
        true
    }

    async fn open(&mut self) -> Result<(LibcameraOpened, Vec<OwnedFd>), Trouble> {
        let context = Arc::clone(&self.context);
        let jailer = &context.libcamera;
        jailer.admit()?;
        let (module, program) = find(&context, &self.request, &self.permit).await?;
        context.history.admit(&module.name)?;
        self.module.clone_from(&module.name);
        let Program {
            identity: program,
            interpreter,
            libraries,
        } = program;
        tracing::info!(
            session = self.id,
            path = %module.path.display(),
            sha256 = %module.digest,
            trust = %module.trust,
            worker = %program.path.display(),
            worker_sha256 = %program.digest,
            "algorithm of libcamera"
        );
        let series = series(&libraries).map(str::to_owned);
        let series = series.or_else(|| context.terms.get().libcamera_series.clone());
        let order = Become {
            session: self.id,
            module_name: module.name.clone(),
            jail: Some(jailer.jail.clone()),
            interpreter,
        };
        let limits = Limits::new(
            jailer.memory,
            jailer.stack,
            jailer.threads.into(),
            module.size.saturating_add(program.size),
            0,
        );
        let generation = self.generation.saturating_add(1);
        let cgroup = context.cgroups.for_worker(self.id, generation, &limits);
        let fds = [module.content.as_fd(), program.content.as_fd()];
        let name = &module.name;
        let gated = launch_program(jailer, name, order, &fds, cgroup).await;
        let gated = gated.map_err(|refusal| match refusal {
            Refusal::Verb(trouble) => trouble,
            Refusal::Fault(fault) => fault.trouble,
        })?;
        let unable = |error: std::io::Error| Fault::launch(name, error).trouble;
        let memory = [("module", fds[0]), ("worker", fds[1])];
        let confinement = report::confinement(&Known {
            jailer,
            pid: gated.child.pid(),
            namespaces: &gated.namespaces,
            memory: &memory,
            cgroup: gated.cgroup.as_ref().map_or(&[], Cgroup::limits),
            no_cgroup: context.cgroups.missing(gated.cgroup.as_ref()),
            processor: None,
        });
        let confinement = confinement.map_err(|why| {
            Trouble::new(
                ErrorCode::SandboxUnavailable,
                format!("the worker of module {name:?} is not confined as it must be"),
                why,
                "nothing runs without it; see `coldshoectl check` for what this kernel can do",
            )
        })?;
        let towards = [gated.socket.try_clone(), gated.child.pidfd()];
        let towards: std::io::Result<Vec<_>> = towards.into_iter().collect();
        let opened = LibcameraOpened {
            session: self.id,
            worker_pid: gated.child.pid().unsigned_abs(),
            module: Some(ModuleInfo {
                name: name.clone(),
                path: module.path.to_string_lossy().into_owned(),
                profile: jailer.profile.clone(),
                ..ModuleInfo::default()
            }),
            confinement: Some(confinement),
            generation,
            series: series.unwrap_or_default(),
        };
        self.worker = Some(Running {
            ended: gated.child.pidfd().and_then(watch).map_err(unable)?,
            gated,
        });
        (self.generation, self.loading) = (generation, true);
        self.deadline = Some(Instant::now() + jailer.timeouts.load);
        Ok((opened, towards.map_err(unable)?))
    }

    async fn serve(&mut self, client: &mut Client, mut commands: mpsc::Receiver<Command>) {
        loop {
            let goes_on = tokio::select! {
                biased;
                () = ended(self.worker.as_ref()) => self.worker_ended(client),
                order = client.orders.recv() => match order {
                    Some(order) => self.obey(client, order).await,
                    None => false,
                },
                () = client.outbox.closed() => false,
                Some(command) = commands.recv() => self.heed(client, command),
                () = until(self.deadline) => self.overdue(client),
            };
            if !goes_on {
                return self.end_worker().await;
            }
        }
    }

    /// Whether the session goes on, like what follows.
    fn worker_ended(&mut self, client: &Client) -> bool {
        let Some(mut worker) = self.worker.take() else {
            return true;
        };
        match self.why_ended(&mut worker) {
            (fault, true) => {
                let done = Done { session: self.id };
                client.outbox.send(Reply::new(0, done, Vec::new()));
                self.not_told = Some(fault);
                self.deadline = Some(Instant::now() + self.context.libcamera.timeouts.order);
                true
            }
            (fault, false) => self.fail(client, &fault),
        }
    }

    /// Why it has ended, and whether it may have been told to.
    fn why_ended(&self, worker: &mut Running) -> (Fault, bool) {
        let doing = if self.loading {
            "while loading"
        } else {
            "in a frame"
        };
        let module = self.module.as_str();
        if let Some(broken) = worker.gated.keeper.broken() {
            let profile = &self.context.libcamera.profile;
            return (Fault::broken(module, &broken, doing, profile), false);
        }
        match worker.gated.child.try_wait() {
            Ok(Some(exit)) => {
                let well = matches!(exit, Exit::Exited(0)) && !self.loading;
                let fault = Fault::ended(module, exit, doing);
                // Whether it was told to, the client alone knows.
                let witnessed = !well;
                (Fault { witnessed, ..fault }, well)
            }
            Ok(None) => {
                let why = "it has closed its socket";
                let fault = Fault::withheld(module, FaultReason::Protocol, why);
                (fault, false)
            }
            Err(error) => (Fault::launch(module, error), false),
        }
    }

    async fn obey(&mut self, client: &Client, order: Order) -> bool {
        match order.body {
            Body::Initialised(said) => {
                self.names_camera(&said.sensor);
                if let Some(worker) = &self.worker {
                    worker.gated.keeper.flip();
                    (self.loading, self.deadline) = (false, None);
                }
                true
            }
            Body::ReplaceWorker(asked) => self.replace(client, order.serial, &asked).await,
            Body::Withheld(withheld) => {
                if withheld.shallow {
                    tracing::warn!(
                        session = self.id,
                        why = withheld.why,
                        "messages of libcamera's are looked at no deeper than their framing"
                    );
                } else {
                    tracing::warn!(
                        session = self.id,
                        messages = withheld.messages,
                        why = withheld.why,
                        "messages of the worker are withheld from the application"
                    );
                }
                self.place.update(|info| {
                    let statistics = info.statistics.get_or_insert_default();
                    statistics.rejected = withheld.messages;
                });
                true
            }
            Body::Close(_) => {
                self.end_worker().await;
                let done = Done { session: self.id };
                let reply = Reply::new(order.serial, done, Vec::new());
                client.outbox.send(reply);
                false
            }
            _ => false,
        }
    }

    /// The application has named a sensor, in front of which the interface stays.
    fn names_camera(&mut self, sensor: &str) {
        let camera = format!("{sensor}, {}", camera(&self.request.ipa));
        if !sensor.is_empty() && camera.len() <= coldshoe_control::MAX_NAME {
            self.place.update(|info| info.camera.clone_from(&camera));
            self.camera = camera;
        }
    }

    /// Another worker, if this one has failed or has to go.
    async fn replace(&mut self, client: &Client, serial: u32, asked: &ReplaceWorker) -> bool {
        if asked.reason() == FaultReason::Unspecified && self.worker.is_some() {
            // It is on its way, where its socket is closed.
            let _ = timeout(ENDS, ended(self.worker.as_ref())).await;
        }
        let fault = match (self.worker.take(), self.not_told.take()) {
            (Some(mut worker), _) => {
                let fault = match asked.reason() {
                    FaultReason::Unspecified => self.why_ended(&mut worker).0,
                    reason => Fault::withheld(&self.module, reason, &asked.why),
                };
                self.worker = Some(worker);
                Some(fault)
            }
            (None, fault) => fault,
        };
        if let Some(fault) = fault
            && !self.fail(client, &fault)
        {
            client.outbox.send(Reply::trouble(serial, fault.trouble));
            return false;
        }
        self.end_worker().await;
        let pause = std::mem::take(&mut self.pause);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = client.outbox.closed() => return false,
        }
        self.launch(&client.outbox, serial).await
    }

    /// Notes a fault, and tells the client. It has some time to ask for another worker.
    fn fail(&mut self, client: &Client, fault: &Fault) -> bool {
        let whose = Whose {
            session: self.id,
            owner: self.owner,
            camera: &self.camera,
            module: &self.module,
            generation: self.generation,
            frame: 0,
        };
        let number = self.context.history.fault(whose, fault);
        self.lost = Some((number, Instant::now()));
        tracing::warn!(session = self.id, fault = number, "{}", fault.trouble);
        let verdict = self
            .supervision
            .fault(Instant::now().into_std(), rand::random());
        self.place.update(|info| {
            info.faults = info.faults.saturating_add(1);
            info.state = SessionState::Replacing.into();
        });
        let quarantined = matches!(verdict, Verdict::Quarantine);
        if let Verdict::Replace(pause) = verdict {
            self.pause = pause;
        } else if fault.witnessed {
            let why = &fault.trouble.what;
            self.context
                .history
                .quarantined_in_session(&self.module, why);
        }
        let mut told = fault.trouble.clone().into_fault(self.id, fault.reason, 0);
        told.module.clone_from(&self.module);
        (told.generation, told.quarantined) = (self.generation, quarantined);
        client.outbox.send(Reply::new(0, told, Vec::new()));
        self.deadline = Some(Instant::now() + self.context.libcamera.timeouts.order);
        !quarantined
    }

    fn overdue(&mut self, client: &Client) -> bool {
        if self.worker.is_none() {
            return false;
        }
        let limit = self.context.libcamera.timeouts.load;
        let fault = Fault::late(&self.module, "in init", limit);
        self.kill();
        self.worker = None;
        self.fail(client, &fault)
    }

    fn kill(&self) {
        if let Some(worker) = &self.worker {
            let _ = worker.gated.child.kill();
        }
    }

    /// Kills the worker, and waits until it is gone.
    async fn end_worker(&mut self) {
        self.kill();
        if let Some(worker) = self.worker.take() {
            let limit = self.context.libcamera.timeouts.order;
            let _ = timeout(limit, worker.ended.readable()).await;
        }
    }

    /// Does what others ask for, as far as a session of libcamera's can.
    fn heed(&mut self, client: &Client, command: Command) -> bool {
        let unmet = || {
            Unmet::Trouble(Trouble::new(
                ErrorCode::BadState,
                format!("session {} is libcamera's", self.id),
                "its application alone sets controls, and starts its algorithm again",
                "ask the application",
            ))
        };
        match command {
            Command::Steer { answer, .. } | Command::Restart { answer } => {
                let _ = answer.send(Err(unmet()));
            }
            Command::Hold { answer, .. } => {
                let _ = answer.send(Err(unmet()));
            }
            Command::Evict { module, why } if module == self.module => {
                let fault = Fault::evicted(&self.module, &why);
                self.fail(client, &fault);
                return false;
            }
            Command::LetGo { .. } | Command::Evict { .. } => {}
        }
        true
    }
}

/// When this worker has ended; of none, never.
async fn ended(worker: Option<&Running>) {
    match worker {
        Some(worker) => drop(worker.ended.readable().await),
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
