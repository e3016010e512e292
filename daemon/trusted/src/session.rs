//! A session: one camera × one module, from OpenSession to Close. Each runs as a task of its own,
//! so that a module that hangs holds up nobody else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use coldshoe_control::Trouble;
use coldshoe_control::client::{
    self, Body, Close, Confinement, Done, ErrorCode, ModuleInfo, OpenSession, SessionOpened,
};
use coldshoe_control::worker;
use coldshoe_frame::{Geometry, Nudge, SegmentError, create_return, verify_buffer, verify_forward};
use coldshoe_jail::Wake;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::Config;
use crate::cgroup::{Cgroup, Cgroups, Limits};
use crate::connection::{Outbox, Reply};
use crate::fault::Fault;
use crate::jailer::Jailer;
use crate::registry::{Module, Registry};
use crate::report::{self, Known};
use crate::tuning::{self, Tuning};
use crate::worker::{Job, Refusal, Worker};

/// The first worker of a session.
const FIRST_GENERATION: u32 = 1;

/// What every session needs of the daemon.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) jailer: Jailer,
    pub(crate) cgroups: Cgroups,
}

/// An order of the client.
pub(crate) struct Order {
    pub(crate) serial: u32,
    pub(crate) body: Body,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opened,
    Configured,
    Running,
}

/// One of the sessions that the daemon has to give, held by whatever works for it.
type Permit = Arc<OwnedSemaphorePermit>;

/// A request for a session, on its way.
pub(crate) struct Opening {
    pub(crate) id: u64,
    pub(crate) serial: u32,
    pub(crate) request: OpenSession,
    /// The forward segment, then the buffers.
    pub(crate) fds: Vec<OwnedFd>,
    /// One of the sessions that the daemon has to give; given back with the session's end.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Opens a session and serves it until it is closed, its client goes away, or its worker fails.
pub(crate) async fn run(
    context: Arc<Context>,
    opening: Opening,
    mut orders: mpsc::Receiver<Order>,
    outbox: Outbox,
) {
    let Opening {
        id,
        serial,
        request,
        fds,
        permit,
    } = opening;
    let permit = Arc::new(permit);
    let opened = tokio::select! {
        opened = open(id, &context, &request, fds, &permit) => opened,
        // The client has gone: dropping the launch kills what was started.
        () = outbox.closed() => return,
    };
    let module = request.module;
    let opened = match opened {
        Ok(opened) => opened,
        Err(trouble) => {
            tracing::warn!(session = id, "{trouble}");
            drop(permit);
            return outbox.send(Reply::trouble(serial, trouble));
        }
    };
    let Opened {
        worker,
        answer,
        fds,
    } = opened;
    let reply = Reply::new(serial, answer, fds);
    if let Err(trouble) = reply.check() {
        // A session that its client never hears of would have no end.
        tracing::error!(session = id, module, "{trouble}");
        worker.end().await;
        drop(permit);
        return outbox.send(Reply::trouble(serial, trouble));
    }
    let (camera, pid) = (request.camera, worker.pid());
    tracing::info!(session = id, module, camera, worker = pid, "session opened");
    outbox.send(reply);
    let mut session = Session {
        id,
        module,
        worker,
        state: State::Opened,
    };
    let end = session.serve(&mut orders, &outbox).await;
    session.worker.end().await;
    // Whoever hears of the end may open the next session at once.
    drop(permit);
    match end {
        End::Closed(serial) => outbox.send(Reply::done(serial, id)),
        End::ClientGone => {}
        End::Fault(fault) => {
            tracing::error!(session = id, module = session.module, "{}", fault.trouble);
            outbox.send(Reply::fault(id, fault));
        }
    }
    tracing::info!(session = id, "session closed");
}

struct Session {
    id: u64,
    module: String,
    worker: Worker,
    state: State,
}

enum End {
    Closed(u32),
    ClientGone,
    Fault(Fault),
}

impl Session {
    async fn serve(&mut self, orders: &mut mpsc::Receiver<Order>, outbox: &Outbox) -> End {
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                fault = self.worker.fault() => return End::Fault(fault),
            };
            let Some(Order { serial, body }) = order else {
                return End::ClientGone;
            };
            if let Body::Close(Close { .. }) = body {
                return End::Closed(serial);
            }
            let followed = tokio::select! {
                followed = self.follow(body) => followed,
                // Nobody waits for the verb any more, and it may hang.
                () = outbox.closed() => return End::ClientGone,
            };
            match followed {
                Ok(()) => outbox.send(Reply::done(serial, self.id)),
                Err(Refusal::Verb(trouble)) => {
                    tracing::warn!(session = self.id, module = self.module, "{trouble}");
                    outbox.send(Reply::trouble(serial, trouble));
                }
                Err(Refusal::Fault(fault)) => {
                    outbox.send(Reply::trouble(serial, fault.trouble.clone()));
                    return End::Fault(fault);
                }
            }
        }
    }

    async fn follow(&mut self, order: Body) -> Result<(), Refusal> {
        let running = self.state == State::Running;
        let (order, next) = match (order, self.state) {
            (Body::Configure(order), State::Opened | State::Configured) => {
                let sensor = order.sensor;
                (
                    worker::Body::from(worker::Configure { sensor }),
                    State::Configured,
                )
            }
            (Body::Start(_), State::Configured) => (worker::Start {}.into(), State::Running),
            (Body::Stop(_), State::Running) => (worker::Stop {}.into(), State::Configured),
            (order, state) => return Err(Refusal::Verb(self.out_of_place(&order, state))),
        };
        let stops = matches!(order, worker::Body::Stop(_));
        let result = self.worker.order(order, running).await;
        // A module whose stop() fails has stopped all the same: no more frames are taken.
        if result.is_ok() || stops {
            self.state = next;
        }
        result
    }

    fn out_of_place(&self, order: &Body, state: State) -> Trouble {
        let state = match state {
            State::Opened => "opened",
            State::Configured => "configured",
            State::Running => "running",
        };
        Trouble::new(
            ErrorCode::BadState,
            format!("{} is out of place", order.kind()),
            format!("session {} is {state}", self.id),
            "the order is Configure, Start, Stop; Close goes at any time",
        )
    }
}

/// A loaded module, and what its client is told and given.
struct Opened {
    worker: Worker,
    answer: SessionOpened,
    fds: Vec<OwnedFd>,
}

/// Everything between the request and a loaded module.
async fn open(
    id: u64,
    context: &Arc<Context>,
    request: &OpenSession,
    fds: Vec<OwnedFd>,
    permit: &Permit,
) -> Result<Opened, Trouble> {
    context.jailer.admit()?;
    let Some((forward, buffers)) = fds.split_first() else {
        return Err(argument(&request.camera, "no forward segment came with it"));
    };
    let (module, tuning) = find(context, request, permit).await?;
    let geometry = Geometry::new(
        request.slots,
        request.stats_capacity,
        request.params_capacity,
    )
    .map_err(|error| argument(&request.camera, error))?;
    verify_forward(forward.as_fd(), &geometry).map_err(bad_segment)?;
    for (index, buffer) in buffers.iter().enumerate() {
        verify_buffer(buffer.as_fd())
            .map_err(|error| bad_memory(&format!("buffer {index}"), error))?;
    }
    let nudge = Nudge::map(forward.as_fd(), &geometry).map_err(bad_segment)?;
    let replies = create_return(&geometry).map_err(bad_segment)?;
    let wants_processor = context.jailer.wake == Wake::Predictive;
    let processor = wants_processor.then(|| context.jailer.processors.lease());
    let processor = processor.flatten();
    let wake = match &processor {
        Some(_) => client::Wake::Predictive,
        None => client::Wake::Sleep,
    };
    let assignment = assignment(id, context, request, &module, tuning.as_ref(), wake);
    let mut fds = vec![forward.as_fd(), replies.as_fd(), module.content.as_fd()];
    fds.extend(tuning.iter().map(|tuning| tuning.content.as_fd()));
    fds.extend(buffers.iter().map(AsFd::as_fd));
    let job = Job {
        module: &request.module,
        assignment,
        fds,
        nudge,
        cgroup: cgroup(id, context, &module, &geometry),
        processor,
    };
    let mut worker = match Worker::launch(&context.jailer, job).await {
        Ok(worker) => worker,
        Err(Refusal::Verb(trouble) | Refusal::Fault(Fault { trouble, .. })) => {
            return Err(with_tuning(trouble, tuning.as_ref()));
        }
    };
    let memory = [
        ("forward segment", forward.as_fd()),
        ("return segment", replies.as_fd()),
        ("module", module.content.as_fd()),
    ];
    let known = Known {
        jailer: &context.jailer,
        pid: worker.pid(),
        namespaces: worker.namespaces(),
        memory: &memory,
        cgroup: worker.cgroup().map_or(&[], Cgroup::limits),
        no_cgroup: context.cgroups.missing(worker.cgroup()),
        processor: wants_processor.then_some(worker.processor()),
    };
    let verdict = if worker.about().threads && context.jailer.threads == 0 {
        Err(needs_threads(&request.module, &context.jailer.profile))
    } else {
        report::confinement(&known).map_err(|why| not_confined(&request.module, why))
    };
    let confinement = match verdict {
        Ok(confinement) => confinement,
        Err(trouble) => {
            // One that has ended is not confined, but that is not what there is to say.
            let fault = worker.gone().await;
            worker.end().await;
            return Err(fault.map_or(trouble, |fault| fault.trouble));
        }
    };
    let share = |fd: BorrowedFd<'_>| {
        fd.try_clone_to_owned().map_err(|error| {
            Trouble::new(
                ErrorCode::Internal,
                "no descriptor left",
                error.to_string(),
                "close sessions",
            )
        })
    };
    let fds = vec![replies, share(worker.pidfd())?, share(worker.bell())?];
    let answer = answer(id, context, &worker, &module, confinement, wake);
    Ok(Opened {
        worker,
        answer,
        fds,
    })
}

/// Where the worker is put, if this daemon has a place for it.
fn cgroup(id: u64, context: &Context, module: &Module, geometry: &Geometry) -> Option<Cgroup> {
    let segments = geometry.forward_len().saturating_add(geometry.return_len());
    let limits = context.config.profile.limits();
    let limits = Limits::new(
        limits.data,
        limits.stack,
        limits.threads.into(),
        module.size,
        segments as u64,
    );
    context.cgroups.for_session(id, &limits)
}

/// Reads, hashes and looks at the module, and reads its tuning file; on a thread that may wait for
/// a disk, and that nothing can stop: it holds on to the permit for as long as it reads, whatever
/// becomes of the client, so that there are never more such threads than sessions.
async fn find(
    context: &Arc<Context>,
    request: &OpenSession,
    permit: &Permit,
) -> Result<(Module, Option<Tuning>), Trouble> {
    let limit = context.config.timeouts.find;
    let (context, permit) = (Arc::clone(context), Arc::clone(permit));
    let (name, camera) = (request.module.clone(), request.camera.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let module = context.registry.find(&name)?;
        let tuning = tuning::find(&context.config.tuning_dirs, &name, &camera)?;
        Ok((module, tuning))
    });
    match timeout(limit, reading).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(Trouble::new(
            ErrorCode::Internal,
            "the module was not looked at",
            error.to_string(),
            "see the daemon's log, and report this",
        )),
        Err(_) => Err(Trouble::new(
            ErrorCode::ModuleRefused,
            format!("module {:?} cannot be read in time", request.module),
            format!(
                "finding, reading and hashing it takes longer than {} ms",
                limit.as_millis()
            ),
            "see whether the disk of its directory, of the tuning files or of the state directory \
             hangs",
        )),
    }
}

fn assignment(
    id: u64,
    context: &Context,
    request: &OpenSession,
    module: &Module,
    tuning: Option<&Tuning>,
    wake: client::Wake,
) -> worker::Assignment {
    let jail = context.jailer.jail_for(module.content.as_fd());
    tracing::info!(
        session = id,
        path = %module.path.display(),
        sha256 = %module.digest,
        trust = %module.trust,
        "module"
    );
    if let Some(tuning) = tuning {
        tracing::debug!(session = id, tuning = %tuning.path.display(), "tuning file");
    }
    worker::Assignment {
        session: id,
        generation: FIRST_GENERATION,
        module_name: module.name.clone(),
        camera: request.camera.clone(),
        stats_format: request.stats_format.clone(),
        params_format: request.params_format.clone(),
        slots: request.slots,
        stats_capacity: request.stats_capacity,
        params_capacity: request.params_capacity,
        isp_capabilities: request.isp_capabilities,
        jail: Some(jail),
        has_tuning: tuning.is_some(),
        buffers: request.buffers,
        wake: wake.into(),
    }
}

fn answer(
    id: u64,
    context: &Context,
    worker: &Worker,
    module: &Module,
    confinement: Confinement,
    wake: client::Wake,
) -> SessionOpened {
    let about = worker.about();
    SessionOpened {
        session: id,
        generation: FIRST_GENERATION,
        module: Some(ModuleInfo {
            name: about.name.clone(),
            version: about.version.clone(),
            license: about.license.clone(),
            path: module.path.to_string_lossy().into_owned(),
            profile: context.jailer.profile.clone(),
        }),
        confinement: Some(confinement),
        worker_pid: worker.pid().unsigned_abs(),
        wake: wake.into(),
    }
}

fn argument(camera: &str, error: impl std::fmt::Display) -> Trouble {
    Trouble::new(
        ErrorCode::BadArgument,
        format!("no session for camera {camera:?}"),
        error.to_string(),
        "open the session with values within the limits",
    )
}

fn bad_segment(error: SegmentError) -> Trouble {
    bad_memory("the forward segment", error)
}

fn bad_memory(which: &str, error: SegmentError) -> Trouble {
    Trouble::new(
        ErrorCode::BadSegment,
        format!("{which} is refused"),
        error.to_string(),
        "make it with the client library, or seal SHRINK, GROW, FUTURE_WRITE and SEAL yourself",
    )
}

fn not_confined(module: &str, why: String) -> Trouble {
    Trouble::new(
        ErrorCode::SandboxUnavailable,
        format!("the worker of module {module:?} is not confined as it must be"),
        why,
        "nothing runs without it; see `coldshoectl check` for what this kernel can do",
    )
}

fn needs_threads(module: &str, profile: &str) -> Trouble {
    Trouble::new(
        ErrorCode::ModuleRefused,
        format!("module {module:?} is refused"),
        format!("it starts threads, which the profile {profile:?} does not allow"),
        "use a build of the module that works on one thread, or start coldshoed with --profile \
         threaded",
    )
}

/// An error of create() is most often one of the tuning file: say which one it was.
fn with_tuning(mut trouble: Trouble, tuning: Option<&Tuning>) -> Trouble {
    if let Some(tuning) = tuning
        && trouble.code == ErrorCode::ModuleFailed
    {
        trouble.remedy = format!(
            "{} (tuning file: {})",
            trouble.remedy,
            tuning.path.display()
        );
    }
    trouble
}

impl Reply {
    fn done(serial: u32, session: u64) -> Self {
        Self::new(serial, Done { session }, Vec::new())
    }

    fn fault(session: u64, fault: Fault) -> Self {
        let Fault { reason, trouble } = fault;
        Self::new(0, trouble.into_fault(session, reason, 0), Vec::new())
    }
}
