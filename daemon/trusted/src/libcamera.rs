//! A session of libcamera's: one of its own proxy workers, with one of its algorithms, in a jail. Its
//! application asks through `coldshoe-libcamera`, which gets the worker's socket.
//!
//! The daemon keeps the gate. It is flipped when the client says that the answer to init() has passed;
//! a worker that has none to give within the time for loading is ended.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use coldshoe_control::Trouble;
use coldshoe_control::client::{
    Body, Done, ErrorCode, LibcameraOpened, ModuleInfo, OpenLibcamera, SessionFault, SessionInfo,
    SessionState,
};
use coldshoe_control::worker::Become;
use coldshoe_wall::outside::Exit;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::cgroup::{Cgroup, Limits};
use crate::channel::watch;
use crate::connection::Reply;
use crate::fault::Fault;
use crate::history::Whose;
use crate::identity::Identity;
use crate::launch::{Gated, launch_program};
use crate::registry::{Module, is_name};
use crate::report::{self, Known};
use crate::roster::{LastWorker, Newcomer, Place};
use crate::seats::Seat;
use crate::session::{Client, Command, Context, Unmet};
use crate::worker::Refusal;

/// Commands that may wait for a session.
const COMMANDS: usize = 8;
/// A session has one worker.
const GENERATION: u32 = 1;

/// Opens a session and serves it until its worker or its client goes.
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
    let permit = Arc::new(permit);
    let (commanding, commands) = mpsc::channel(COMMANDS);
    let place = enter(&context, id, &request, &client, commanding);
    let outbox = client.outbox.clone();
    let opened = tokio::select! {
        opened = open(&context, id, &request, &permit) => opened,
        () = outbox.closed() => return,
    };
    let (opened, socket, session) = match opened {
        Ok(opened) => opened,
        Err(trouble) => {
            tracing::warn!(session = id, "{trouble}");
            drop((place, permit));
            return client.outbox.send(Reply::trouble(client.serial, trouble));
        }
    };
    place.update(|info| {
        info.module = session.module.clone();
        info.state = SessionState::Running.into();
        info.generation = GENERATION;
        info.worker_pid = opened.worker_pid;
    });
    if let (Some(module), Some(confinement)) = (&opened.module, &opened.confinement) {
        place.runs(LastWorker {
            module: module.clone(),
            confinement: confinement.clone(),
        });
    }
    let fds = session.gated.child.pidfd().map(|pidfd| vec![socket, pidfd]);
    match fds {
        Ok(fds) => client.outbox.send(Reply::new(client.serial, opened, fds)),
        Err(error) => {
            let trouble = Fault::launch(&session.module, error).trouble;
            return client.outbox.send(Reply::trouble(client.serial, trouble));
        }
    }
    tracing::info!(
        session = id,
        module = session.module,
        "libcamera session opened"
    );
    session.serve(&context, &mut client, commands).await;
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

/// What stands for the camera, whose name libcamera does not tell its workers.
fn camera(ipa: &str) -> String {
    format!("libcamera {ipa}")
}

/// A session with its worker behind the gate.
struct Session {
    id: u64,
    module: String,
    camera: String,
    gated: Gated,
    ended: AsyncFd<OwnedFd>,
    _permit: Arc<Seat>,
}

async fn open(
    context: &Arc<Context>,
    id: u64,
    request: &OpenLibcamera,
    permit: &Arc<Seat>,
) -> Result<(LibcameraOpened, OwnedFd, Session), Trouble> {
    let jailer = &context.libcamera;
    jailer.admit()?;
    let (module, program, interpreter) = find(context, request, permit).await?;
    context.history.admit(&module.name)?;
    tracing::info!(
        session = id,
        path = %module.path.display(),
        sha256 = %module.digest,
        trust = %module.trust,
        worker = %program.path.display(),
        worker_sha256 = %program.digest,
        "algorithm of libcamera"
    );
    let order = Become {
        session: id,
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
    let cgroup = context.cgroups.for_worker(id, GENERATION, &limits);
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
    let socket = gated.socket.try_clone().map_err(unable)?;
    let opened = LibcameraOpened {
        session: id,
        worker_pid: gated.child.pid().unsigned_abs(),
        module: Some(ModuleInfo {
            name: name.clone(),
            path: module.path.to_string_lossy().into_owned(),
            profile: jailer.profile.clone(),
            ..ModuleInfo::default()
        }),
        confinement: Some(confinement),
    };
    let session = Session {
        id,
        module: name.clone(),
        camera: camera(&request.ipa),
        ended: gated.child.pidfd().and_then(watch).map_err(unable)?,
        gated,
        _permit: Arc::clone(permit),
    };
    Ok((opened, socket, session))
}

/// Reads, hashes and looks at the algorithm and the worker's program; on a thread that may wait for a
/// disk.
async fn find(
    context: &Arc<Context>,
    request: &OpenLibcamera,
    permit: &Arc<Seat>,
) -> Result<(Module, Identity, String), Trouble> {
    let limit = context.config.timeouts.find;
    let file = format!("{}_ipa_proxy", request.ipa);
    let (shared, permit) = (Arc::clone(context), Arc::clone(permit));
    let path = request.module.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let (registry, terms) = (&shared.registry, shared.terms.get());
        let module = registry.find_at(Path::new(&path), &terms.libcamera_modules)?;
        let (program, interpreter) = registry.program(&file, &terms.libcamera_workers)?;
        Ok((module, program, interpreter))
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

impl Session {
    async fn serve(
        mut self,
        context: &Context,
        client: &mut Client,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let limit = context.libcamera.timeouts.load;
        let deadline = Instant::now() + limit;
        let mut loading = true;
        let fault = loop {
            tokio::select! {
                biased;
                _ = self.ended.readable() => match self.end(context, loading) {
                    Some(fault) => break fault,
                    None => {
                        let done = Done { session: self.id };
                        return client.outbox.send(Reply::new(0, done, Vec::new()));
                    }
                },
                order = client.orders.recv() => match order.map(|order| order.body) {
                    Some(Body::Initialised(_)) => {
                        self.gated.keeper.flip();
                        loading = false;
                    }
                    _ => return self.close(context).await,
                },
                () = client.outbox.closed() => return self.close(context).await,
                Some(command) = commands.recv() => {
                    if let Some(fault) = self.heed(command) {
                        break fault;
                    }
                }
                () = tokio::time::sleep_until(deadline), if loading => {
                    break Fault::late(&self.module, "in init", limit);
                }
            }
        };
        let whose = Whose {
            session: self.id,
            owner: client.owner.uid,
            camera: &self.camera,
            module: &self.module,
            generation: GENERATION,
            frame: 0,
        };
        context.history.fault(whose, &fault);
        tracing::warn!(session = self.id, "{}", fault.trouble);
        let Trouble {
            what, why, remedy, ..
        } = fault.trouble;
        let told = SessionFault {
            session: self.id,
            module: self.module.clone(),
            reason: fault.reason.into(),
            what,
            why,
            remedy,
            ..SessionFault::default()
        };
        client.outbox.send(Reply::new(0, told, Vec::new()));
        self.close(context).await;
    }

    /// Why the worker has ended, unless it was told to.
    fn end(&mut self, context: &Context, loading: bool) -> Option<Fault> {
        let doing = if loading {
            "while loading"
        } else {
            "in a frame"
        };
        if let Some(broken) = self.gated.keeper.broken() {
            let profile = &context.libcamera.profile;
            return Some(Fault::broken(&self.module, &broken, doing, profile));
        }
        Some(match self.gated.child.try_wait() {
            Ok(Some(Exit::Exited(0))) if !loading => return None,
            Ok(Some(exit)) => Fault::ended(&self.module, exit, doing),
            Ok(None) => Fault::protocol(&self.module, "its end was seen, and it is there"),
            Err(error) => Fault::launch(&self.module, error),
        })
    }

    /// Kills the worker, and waits until it is gone.
    async fn close(self, context: &Context) {
        let _ = self.gated.child.kill();
        let patience = Instant::now() + context.libcamera.timeouts.order;
        let _ = timeout_at(patience, self.ended.readable()).await;
    }

    /// Does what others ask for, as far as a session of libcamera's can. A fault ends it.
    fn heed(&self, command: Command) -> Option<Fault> {
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
            Command::LetGo { .. } => {}
            Command::Evict { module, why } if module == self.module => {
                return Some(Fault::evicted(&self.module, &why));
            }
            Command::Evict { .. } => {}
        }
        None
    }
}
