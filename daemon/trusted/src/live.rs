//! A worker with what belongs to it alone: its return segment, its generation, its report.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coldshoe_control::Trouble;
use coldshoe_control::client::{self, Confinement, ErrorCode, ModuleInfo, Sensor};
use coldshoe_control::worker;
use coldshoe_frame::{Custody, Newest, Nudge, SegmentError, create_return};
use coldshoe_jail::Wake;
use tokio::time::{Interval, interval};

use crate::brief::{Brief, bad_segment};
use crate::cgroup::{Cgroup, Limits};
use crate::fault::Fault;
use crate::kept::KeptWorker;
use crate::report::{self, Known};
use crate::session::Context;
use crate::store::Store;
use crate::worker::{Job, Refusal, Worker};

/// While frames flow a module's state is saved after so many: what a successor does not know is
/// at most as old as that.
const SAVE_EVERY: u32 = 4;
/// What was saved is copied out so often, should its place be overwritten before a worker ends.
const COPY_EVERY: Duration = Duration::from_millis(250);
/// A pipeline that falls asleep right after it was called is called again, at growing intervals.
const FIRST_CALL: Duration = Duration::from_micros(200);
const CALLS: u32 = 7;

/// A worker of a session.
pub(crate) struct Live {
    pub(crate) brief: Arc<Brief>,
    pub(crate) generation: u32,
    pub(crate) worker: Worker,
    pub(crate) replies: Arc<OwnedFd>,
    custody: Arc<Custody>,
    pub(crate) module: ModuleInfo,
    pub(crate) confinement: Confinement,
    pub(crate) wake: client::Wake,
    /// The newest frame when it started.
    since: Newest,
    /// It was given a state to go on from.
    pub(crate) restored: bool,
    /// When what was saved is copied out, while frames flow.
    copying: Option<Interval>,
    /// What was copied last, the newest first.
    copied: Vec<Vec<u8>>,
}

impl Live {
    /// Starts a worker, has its module loaded, and looks at its jail. `beside` another one that
    /// works it gives way to that until then.
    pub(crate) async fn launch(
        context: &Context,
        brief: Arc<Brief>,
        generation: u32,
        beside: bool,
    ) -> Result<Self, Refusal> {
        let memory = Arc::clone(&brief.memory);
        let refused = |error| Refusal::Verb(bad_segment(error));
        let nudge = Nudge::map(memory.forward.as_fd(), &memory.geometry).map_err(refused)?;
        let replies = create_return(&memory.geometry).map_err(refused)?;
        let custody = Custody::map(replies.as_fd(), memory.geometry).map_err(refused)?;
        let predictive = context.jailer.wake == Wake::Predictive;
        let processor = predictive.then(|| context.jailer.processors.lease());
        let processor = processor.flatten();
        let wake = match &processor {
            Some(_) => client::Wake::Predictive,
            None => client::Wake::Sleep,
        };
        let job = Job {
            module: &brief.module.name,
            assignment: assignment(context, &brief, generation, wake),
            fds: brief.fds(replies.as_fd()),
            nudge,
            cgroup: context
                .cgroups
                .for_worker(brief.id, generation, &limits(context, &brief)),
            processor,
            beside,
        };
        let mut worker = match Worker::launch(&context.jailer, job).await {
            Ok(worker) => worker,
            Err(Refusal::Verb(trouble)) => {
                return Err(Refusal::Verb(brief.with_tuning(trouble)));
            }
            Err(Refusal::Fault(mut fault)) => {
                fault.trouble = brief.with_tuning(fault.trouble);
                return Err(Refusal::Fault(fault));
            }
        };
        let (name, format) = (&brief.module.name, &brief.request.params_format);
        let blocks = worker.about().blocks;
        if let Err(trouble) = brief.terms.contracts.admit(name, format, blocks) {
            worker.end().await;
            return Err(Refusal::Verb(trouble));
        }
        let confinement = match confinement(context, &brief, &worker, replies.as_fd(), predictive) {
            Ok(confinement) => confinement,
            Err(trouble) => {
                // One that has ended is not confined, but that is not what there is to say.
                let fault = worker.gone().await;
                worker.end().await;
                return Err(fault.map_or(Refusal::Verb(trouble), Refusal::Fault));
            }
        };
        let about = worker.about();
        let module = ModuleInfo {
            name: about.name.clone(),
            version: about.version.clone(),
            license: about.license.clone(),
            path: brief.module.path.to_string_lossy().into_owned(),
            profile: context.jailer.profile.clone(),
        };
        Ok(Self {
            brief,
            generation,
            worker,
            replies: Arc::new(replies),
            custody: Arc::new(custody),
            module,
            confinement,
            wake,
            since: Newest::default(),
            restored: false,
            copying: None,
            copied: Vec::new(),
        })
    }

    /// A worker that another daemon started.
    pub(crate) fn adopt(
        brief: Arc<Brief>,
        kept: &KeptWorker,
        worker: Worker,
        replies: OwnedFd,
    ) -> Result<Self, SegmentError> {
        let custody = Custody::map(replies.as_fd(), brief.memory.geometry)?;
        Ok(Self {
            brief,
            generation: kept.generation,
            worker,
            replies: Arc::new(replies),
            custody: Arc::new(custody),
            module: kept.module.clone().unwrap_or_default(),
            confinement: kept.confinement.clone().unwrap_or_default(),
            // A processor of its own is not kept.
            wake: client::Wake::Sleep,
            since: Newest {
                seq: kept.since_seq,
                frame: kept.since,
            },
            restored: kept.restored,
            copying: Some(interval(COPY_EVERY)),
            copied: Vec::new(),
        })
    }

    /// Has what the next daemon would need kept.
    pub(crate) fn keep(&mut self, store: Store) {
        let (id, generation) = (self.brief.id, self.generation);
        let spare = self.worker.take_spare();
        let keep =
            |what: &str, fd: BorrowedFd<'_>| store.keep(&format!("s{id}.w{generation}.{what}"), fd);
        keep("pidfd", self.worker.pidfd());
        keep("control", self.worker.control());
        keep("bell", self.worker.bell());
        keep("replies", self.replies.as_fd());
        if let Some(spare) = &spare {
            keep("gate", spare.gate.as_fd());
            keep("maps", spare.maps.as_fd());
            keep("log", spare.log.as_fd());
        }
    }

    /// A worker of the session `id` is gone.
    pub(crate) fn forget(store: Store, id: u64, generation: u32) {
        for what in ["pidfd", "control", "bell", "replies", "gate", "maps", "log"] {
            store.forget(&format!("s{id}.w{generation}.{what}"));
        }
    }

    /// In words, for the next daemon.
    pub(crate) fn kept(&self) -> KeptWorker {
        KeptWorker {
            generation: self.generation,
            serial: self.worker.serial(),
            module: Some(self.module.clone()),
            confinement: Some(self.confinement.clone()),
            since: self.since.frame,
            since_seq: self.since.seq,
            restored: self.restored,
        }
    }

    /// Tells the module about the sensor's mode.
    pub(crate) async fn configure(&mut self, sensor: Sensor) -> Result<(), Refusal> {
        let sensor = Some(sensor);
        let order = worker::Configure { sensor }.into();
        self.worker.order(order, false).await.map(drop)
    }

    /// Starts the module, from a state if there is one. Returns why it goes without, if it does.
    pub(crate) async fn start(&mut self, state: Option<&[u8]>) -> Result<Option<String>, Refusal> {
        self.since = self.worker.nudge().newest();
        self.copying = Some(interval(COPY_EVERY));
        self.restored = state.is_some();
        let state = state.map(<[u8]>::to_vec);
        let done = self
            .worker
            .order(worker::Start { state }.into(), false)
            .await?;
        let why = Some(done.not_restored).filter(|why| !why.is_empty());
        if why.is_some() {
            self.restored = false;
        }
        Ok(why)
    }

    /// Has the module's state saved, while frames flow.
    pub(crate) async fn save(&mut self) -> Result<(), Refusal> {
        self.worker
            .order(worker::Save {}.into(), true)
            .await
            .map(drop)
    }

    /// Stops the module.
    pub(crate) async fn stop(&mut self) -> Result<(), Refusal> {
        self.copying = None;
        self.worker
            .order(worker::Stop {}.into(), true)
            .await
            .map(drop)
    }

    /// Why it is gone or must go. Meanwhile copies out what its module saves.
    pub(crate) async fn fault(&mut self) -> Fault {
        let Self {
            worker,
            copying,
            custody,
            copied,
            ..
        } = self;
        // One wait for all copies: patience in it does not begin anew.
        let mut fault = pin!(worker.fault());
        loop {
            let next_copy = async {
                match copying {
                    Some(copying) => copying.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                fault = &mut fault => return fault,
                _ = next_copy => {}
            }
            let saved = custody.checkpoints();
            if !saved.is_empty() {
                *copied = saved;
            }
        }
    }

    /// Kills it, waits until it is gone, and tells what its module saved, the newest first.
    pub(crate) async fn end(self) -> Vec<Vec<u8>> {
        self.worker.end().await;
        let mut saved = self.custody.checkpoints();
        for copy in self.copied {
            if !saved.contains(&copy) {
                saved.push(copy);
            }
        }
        saved
    }

    /// Where its pipeline is called.
    pub(crate) fn custody(&self) -> Arc<Custody> {
        Arc::clone(&self.custody)
    }

    /// Sends the pipeline to its control socket, now and for some time.
    pub(crate) fn call_pipeline(&self) {
        call_pipeline(Arc::clone(&self.custody));
    }

    /// The pipeline's number of the newest frame.
    pub(crate) fn frame(&self) -> u64 {
        self.worker.nudge().newest().frame
    }

    /// Frames that came since it started, at most: sequence numbers jump where a frame was another
    /// worker's before, and a pipeline may leave out numbers, or begin anew.
    pub(crate) fn frames(&self) -> u64 {
        let newest = self.worker.nudge().newest();
        let published = u64::from(newest.seq.wrapping_sub(self.since.seq));
        match newest.frame.checked_sub(self.since.frame) {
            Some(numbered) => numbered.min(published),
            None => published,
        }
    }

    /// What a client gets: return segment, pidfd, bell.
    pub(crate) fn fds(&self) -> std::io::Result<Vec<OwnedFd>> {
        [
            self.replies.as_fd(),
            self.worker.pidfd(),
            self.worker.bell(),
        ]
        .map(|fd| fd.try_clone_to_owned())
        .into_iter()
        .collect()
    }
}

/// Sends a pipeline to its control socket, now and for some time.
pub(crate) fn call_pipeline(custody: Arc<Custody>) {
    custody.notify();
    tokio::spawn(async move {
        let mut pause = FIRST_CALL;
        for _ in 0..CALLS {
            tokio::time::sleep(pause).await;
            custody.notify();
            pause *= 2;
        }
    });
}

fn assignment(
    context: &Context,
    brief: &Brief,
    generation: u32,
    wake: client::Wake,
) -> worker::Assignment {
    let Brief {
        id,
        request,
        module,
        tuning,
        ..
    } = brief;
    worker::Assignment {
        session: *id,
        generation,
        module_name: module.name.clone(),
        camera: request.camera.clone(),
        stats_format: request.stats_format.clone(),
        params_format: request.params_format.clone(),
        slots: request.slots,
        stats_capacity: request.stats_capacity,
        params_capacity: request.params_capacity,
        isp_capabilities: request.isp_capabilities,
        jail: Some(context.jailer.jail_for(module.content.as_fd())),
        has_tuning: tuning.is_some(),
        buffers: request.buffers,
        wake: wake.into(),
        save_every: SAVE_EVERY,
    }
}

/// What a worker of this session may use.
pub(crate) fn limits(context: &Context, brief: &Brief) -> Limits {
    let geometry = &brief.memory.geometry;
    let segments = geometry.forward_len().saturating_add(geometry.return_len());
    let limits = context.config.profile.limits();
    Limits::new(
        limits.data,
        limits.stack,
        limits.threads.into(),
        brief.module.size,
        segments as u64,
    )
}

fn confinement(
    context: &Context,
    brief: &Brief,
    worker: &Worker,
    replies: BorrowedFd<'_>,
    predictive: bool,
) -> Result<Confinement, Trouble> {
    let name = &brief.module.name;
    if worker.about().threads && context.jailer.threads == 0 {
        return Err(needs_threads(name, &context.jailer.profile));
    }
    let memory = [
        ("forward segment", brief.memory.forward.as_fd()),
        ("return segment", replies),
        ("module", brief.module.content.as_fd()),
    ];
    let known = Known {
        jailer: &context.jailer,
        pid: worker.pid(),
        namespaces: worker.namespaces(),
        memory: &memory,
        cgroup: worker.cgroup().map_or(&[], Cgroup::limits),
        no_cgroup: context.cgroups.missing(worker.cgroup()),
        processor: predictive.then_some(worker.processor()),
    };
    report::confinement(&known).map_err(|why| not_confined(name, why))
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
