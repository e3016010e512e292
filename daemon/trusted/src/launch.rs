//! From nothing to a worker with a loaded module, step by step, all before one deadline.
//!
//! The worker comes in two stages that speak on one socket, see `worker.proto`: messages are known
//! by their kind. Whenever this is given up half-way nothing is left behind: [`Nascent`] sees to
//! it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe_control::worker::{
    Assignment, Become, Body, Envelope, Failed, Loaded, Proceed, Stage,
};
use coldshoe_control::{Received, RecvError, SendError};
use coldshoe_frame::create_bell;
use coldshoe_wall::Namespace;
use coldshoe_wall::outside::{Child, Maps, SpawnRequest, Spawner, own_namespaces};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, Shutdown, SocketFlags, SocketType, shutdown, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::cgroup::Cgroup;
use crate::channel::{Channel, watch};
use crate::fault::{Fault, failed, misplaced};
use crate::gate::Keeper;
use crate::jailer::Jailer;
use crate::module_log;
use crate::processors::Lease;
use crate::worker::{Refusal, unasked};

const DOING: &str = "while loading";
/// The serial of the first request.
const SERIAL: u32 = 1;
/// Patience with a first stage that is not wanted any more: it takes milliseconds.
const FAREWELL: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// A worker that is confined, with its module loaded. Dropping it kills it before its gate is given
/// up.
pub(crate) struct Launched {
    pub(crate) child: Child,
    pub(crate) channel: Channel,
    pub(crate) keeper: Keeper,
    pub(crate) bell: OwnedFd,
    pub(crate) about: Loaded,
    pub(crate) namespaces: Vec<(Namespace, Option<bool>)>,
    pub(crate) serial: u32,
    pub(crate) spare: Option<Spare>,
    /// Where it was put; `None` if the kernel did not take it there.
    pub(crate) cgroup: Option<Cgroup>,
}

/// What nobody else holds that another daemon would need, if there may be one.
pub(crate) struct Spare {
    pub(crate) gate: OwnedFd,
    pub(crate) maps: OwnedFd,
    pub(crate) log: OwnedFd,
}

/// Where a worker is put before it does anything, so that what comes of it is there, too.
pub(crate) struct Place<'a> {
    pub(crate) cgroup: Option<Cgroup>,
    /// Its own, if it has one.
    pub(crate) processor: Option<&'a Lease>,
    /// At a lower priority until its module is loaded: another one works.
    pub(crate) beside: bool,
}

/// Starts a worker for `assignment` with the descriptors `fds`, and waits until its module is
/// loaded.
pub(crate) async fn launch(
    jailer: &Jailer,
    module: &str,
    assignment: Assignment,
    fds: &[BorrowedFd<'_>],
    place: Place<'_>,
) -> Result<Launched, Refusal> {
    let limit = jailer.timeouts.load;
    let deadline = Instant::now() + limit;
    let unable = |why: &dyn std::fmt::Display| Refusal::Fault(Fault::launch(module, why));
    // A child that comes too late is killed by being dropped.
    let (first, ours, bell, log) = match timeout_at(deadline, spawn(jailer, module)).await {
        Ok(spawned) => spawned.map_err(|why| unable(&why))?,
        Err(_) => {
            let limit = limit.as_millis();
            let why = format!("the worker program was not executed within {limit} ms");
            return Err(unable(&why));
        }
    };
    let mut nascent =
        Nascent::new(jailer.spawner.clone(), first, ours).map_err(|why| unable(&why))?;
    nascent.put_into(place.cgroup, module);
    let mut lowered = false;
    if let Some(first) = &nascent.first {
        if let Some(own) = place.processor {
            own.place(first.pid())
                .map_err(|why| unable(&format!("it was not put on its {own}: {why}")))?;
        }
        lowered = place.beside && jailer.courtesy.lower(first.pid());
    }
    let launching = Launching {
        jailer,
        module,
        nascent,
        bell,
        log,
    };
    let launched = match timeout_at(deadline, launching.go(assignment, fds)).await {
        Ok(launched) => launched?,
        Err(_) => return Err(Refusal::Fault(Fault::late(module, DOING, limit))),
    };
    if lowered {
        let raised = jailer.courtesy.raise(launched.child.pid());
        raised.map_err(|why| unable(&format!("its priority was not raised again: {why}")))?;
    }
    Ok(launched)
}

/// A worker behind its gate that becomes a program of libcamera's. Dropping it kills it before its
/// gate is given up.
pub(crate) struct Gated {
    pub(crate) child: Child,
    /// Towards it: it speaks libcamera's own protocol by now.
    pub(crate) socket: OwnedFd,
    pub(crate) keeper: Keeper,
    pub(crate) namespaces: Vec<(Namespace, Option<bool>)>,
    /// Given up after the child.
    pub(crate) cgroup: Option<Cgroup>,
}

/// Starts a worker that becomes what `order` and `fds` say, and waits until it is behind its gate.
pub(crate) async fn launch_program(
    jailer: &Jailer,
    module: &str,
    order: Become,
    fds: &[BorrowedFd<'_>],
    cgroup: Option<Cgroup>,
) -> Result<Gated, Refusal> {
    let limit = jailer.timeouts.load;
    let unable = |why: &dyn std::fmt::Display| Refusal::Fault(Fault::launch(module, why));
    let launching = async {
        let (first, ours, bell, log) = spawn(jailer, module).await.map_err(|why| unable(&why))?;
        let mut nascent =
            Nascent::new(jailer.spawner.clone(), first, ours).map_err(|why| unable(&why))?;
        nascent.put_into(cgroup, module);
        let mut launching = Launching {
            jailer,
            module,
            nascent,
            bell,
            log,
        };
        let (namespaces, _) = launching.gate(Envelope::new(SERIAL, order), fds).await?;
        let Some((child, channel, keeper, cgroup)) = launching.nascent.take() else {
            return Err(launching.unable("its second stage is missing"));
        };
        Ok(Gated {
            child,
            socket: channel.into_inner(),
            keeper,
            namespaces,
            cgroup,
        })
    };
    match timeout_at(Instant::now() + limit, launching).await {
        Ok(launched) => launched,
        Err(_) => Err(Refusal::Fault(Fault::late(module, DOING, limit))),
    }
}

/// The second stage as it was seen.
struct Sight {
    namespaces: Vec<(Namespace, Option<bool>)>,
    maps: Maps,
    pidfd: OwnedFd,
}

struct Launching<'a> {
    jailer: &'a Jailer,
    module: &'a str,
    nascent: Nascent,
    bell: OwnedFd,
    /// A duplicate, where another daemon may need it.
    log: Option<OwnedFd>,
}

impl Launching<'_> {
    async fn go(
        mut self,
        assignment: Assignment,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Launched, Refusal> {
        let (namespaces, spare) = self.gate(Envelope::new(SERIAL, assignment), fds).await?;
        let about = match self.loaded().await {
            // What the gate saw is the reason of whatever else is seen.
            Err(refusal) => return Err(self.blame().unwrap_or(refusal)),
            Ok(about) => about,
        };
        let Some((child, channel, keeper, cgroup)) = self.nascent.take() else {
            return Err(self.unable("its second stage is missing"));
        };
        keeper.flip();
        Ok(Launched {
            child,
            channel,
            keeper,
            bell: self.bell,
            about,
            namespaces,
            serial: SERIAL,
            spare,
            cgroup,
        })
    }

    /// Takes it as far as its gate, which is kept from then on.
    async fn gate(
        &mut self,
        order: Envelope,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Vec<(Namespace, Option<bool>)>, Option<Spare>), Refusal> {
        self.send(&order, fds).await?;
        let maps = self.divide().await?;
        let spare_maps = self.log.is_some().then(|| maps.try_clone());
        let Sight {
            namespaces,
            maps,
            pidfd,
        } = self.look(maps)?;
        self.send(&Envelope::new(SERIAL, Proceed {}), &[]).await?;
        let listener = match self.hear().await? {
            (Body::Gated(_), Some(listener)) => listener,
            (other, _) => return Err(self.unasked(&other)),
        };
        let spare_gate = self.log.is_some().then(|| listener.try_clone());
        let spare = match (spare_gate, spare_maps, self.log.take()) {
            (Some(Ok(gate)), Some(Ok(maps)), Some(log)) => Some(Spare { gate, maps, log }),
            _ => None,
        };
        let rules = self.jailer.rules.clone();
        let keeper = Keeper::start(listener, maps, pidfd, rules).map_err(|why| self.unable(why))?;
        self.nascent.keeper = Some(keeper);
        Ok((namespaces, spare))
    }

    /// Waits until the second stage is there and stands in its namespaces, and the first has
    /// ended. The stages run side by side, so any of these may come first.
    async fn divide(&mut self) -> Result<OwnedFd, Refusal> {
        let mut maps = None;
        while self.nascent.second.is_none() || maps.is_none() {
            match self.hear().await? {
                (Body::Divided(_), Some(pidfd)) if self.nascent.second.is_none() => {
                    let spawner = &self.jailer.spawner;
                    let second = spawner.adopt(pidfd).map_err(|why| self.unable(why))?;
                    self.nascent.adopt(second).map_err(|why| self.unable(why))?;
                }
                (Body::Entered(_), Some(fd)) if maps.is_none() => maps = Some(fd),
                (other, _) => return Err(self.unasked(&other)),
            }
        }
        self.nascent.first_ended().await;
        maps.ok_or_else(|| self.unable("its memory map is missing"))
    }

    /// Looks at the second stage from outside, while the kernel still lets us.
    fn look(&self, maps: OwnedFd) -> Result<Sight, Refusal> {
        let Some(second) = &self.nascent.second else {
            return Err(self.unable("its second stage is missing"));
        };
        let pid = second.pid();
        let namespaces = own_namespaces(pid, &self.jailer.namespaces);
        let shared = |(kind, own): &(Namespace, Option<bool>)| match own {
            Some(false) => Some(kind.name()),
            _ => None,
        };
        if let Some(kind) = namespaces.iter().find_map(shared) {
            return Err(self.unable(format!("its {kind} namespace is ours")));
        }
        let maps = Maps::new(maps, pid).map_err(|why| self.unable(why))?;
        let pidfd = second.pidfd().map_err(|why| self.unable(why))?;
        Ok(Sight {
            namespaces,
            maps,
            pidfd,
        })
    }

    async fn loaded(&mut self) -> Result<Loaded, Refusal> {
        match self.hear().await? {
            (Body::Loaded(about), _) => Ok(about),
            (other, _) => Err(self.unasked(&other)),
        }
    }

    /// The next message, with its descriptor if it has one.
    async fn hear(&mut self) -> Result<(Body, Option<OwnedFd>), Refusal> {
        let said = match &self.nascent.channel {
            Some(channel) => tokio::select! {
                biased;
                said = channel.recv::<Envelope>() => said,
                // Last words may have been sent right before the end.
                () = self.nascent.ended() => channel.try_recv(),
            },
            None => Err(RecvError::Closed),
        };
        match said {
            Ok(Received {
                message:
                    Envelope {
                        body: Some(Body::Failed(reason)),
                        ..
                    },
                ..
            }) => Err(self.failed(&reason)),
            Ok(Received {
                message: Envelope {
                    body: Some(body), ..
                },
                fds,
            }) => Ok((body, fds.into_iter().next())),
            Ok(_) | Err(RecvError::Closed | RecvError::WouldBlock) => Err(self.end().await),
            Err(error) => Err(Refusal::Fault(Fault::protocol(self.module, error))),
        }
    }

    async fn send(&mut self, message: &Envelope, fds: &[BorrowedFd<'_>]) -> Result<(), Refusal> {
        let sent = match &self.nascent.channel {
            Some(channel) => channel.send(message, fds).await,
            None => Err(SendError::Closed),
        };
        match sent {
            Ok(()) => Ok(()),
            Err(SendError::Closed) => Err(self.end().await),
            Err(error) => Err(self.unable(error)),
        }
    }

    /// The fault of a stage whose process has ended, or is about to.
    async fn end(&mut self) -> Refusal {
        let patience = Instant::now() + self.jailer.timeouts.order;
        let _ = timeout_at(patience, self.nascent.ended()).await;
        let child = self.nascent.second.as_mut().or(self.nascent.first.as_mut());
        let fault = match child.map(Child::try_wait) {
            Some(Ok(Some(exit))) => Fault::ended(self.module, exit, DOING),
            Some(Err(error)) => Fault::launch(self.module, error),
            _ => Fault::protocol(self.module, "it closed its control socket"),
        };
        Refusal::Fault(fault)
    }

    fn blame(&self) -> Option<Refusal> {
        let broken = self.nascent.keeper.as_ref()?.broken()?;
        let fault = Fault::broken(self.module, &broken, DOING, &self.jailer.profile);
        Some(Refusal::Fault(fault))
    }

    /// Once it is gated the module may be what speaks, and only loading is left to fail.
    fn failed(&self, reason: &Failed) -> Refusal {
        match (reason.stage(), &self.nascent.keeper) {
            (Stage::Load | Stage::Abi | Stage::Create, _) | (_, None) => {
                Refusal::Verb(failed(self.module, reason))
            }
            (_, Some(_)) => Refusal::Fault(misplaced(self.module, reason)),
        }
    }

    fn unable(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal::Fault(Fault::launch(self.module, why))
    }

    fn unasked(&self, body: &Body) -> Refusal {
        Refusal::Fault(unasked(self.module, body))
    }
}

/// Processes on their way. Dropping it leaves none of them behind.
struct Nascent {
    spawner: Spawner,
    first: Option<Child>,
    first_ended: AsyncFd<OwnedFd>,
    second: Option<Child>,
    second_ended: Option<AsyncFd<OwnedFd>>,
    channel: Option<Channel>,
    /// Given up after the processes: a call that waits there is never answered.
    keeper: Option<Keeper>,
    /// Given up after the processes, whoever ends them.
    cgroup: Option<Cgroup>,
}

impl Nascent {
    fn new(spawner: Spawner, first: Child, ours: OwnedFd) -> std::io::Result<Self> {
        Ok(Self {
            spawner,
            first_ended: first.pidfd().and_then(watch)?,
            first: Some(first),
            second: None,
            second_ended: None,
            channel: Some(Channel::new(ours)?),
            keeper: None,
            cgroup: None,
        })
    }

    /// Without a first process there is nothing to put anywhere.
    fn put_into(&mut self, cgroup: Option<Cgroup>, module: &str) {
        let (Some(first), Some(cgroup)) = (&self.first, cgroup) else {
            return;
        };
        match cgroup.admit(first.pid()) {
            Ok(()) => self.cgroup = Some(cgroup),
            Err(error) => {
                tracing::warn!(module, %error, "the worker was not put into its cgroup");
            }
        }
    }

    fn adopt(&mut self, second: Child) -> std::io::Result<()> {
        self.second_ended = Some(second.pidfd().and_then(watch)?);
        self.second = Some(second);
        Ok(())
    }

    /// What is left of it once its module is loaded.
    fn take(&mut self) -> Option<(Child, Channel, Keeper, Option<Cgroup>)> {
        let of_second = self.second.take().zip(self.channel.take());
        let ((child, channel), keeper) = of_second.zip(self.keeper.take())?;
        Some((child, channel, keeper, self.cgroup.take()))
    }

    /// Waits for the end of the first stage, and reaps it.
    async fn first_ended(&mut self) {
        let _ = self.first_ended.readable().await;
        // Dropping it reaps.
        self.first = None;
    }

    /// Resolves when the process that is to speak next has ended.
    async fn ended(&self) {
        let ended = self.second_ended.as_ref().unwrap_or(&self.first_ended);
        let _ = ended.readable().await;
    }
}

impl Drop for Nascent {
    fn drop(&mut self) {
        // The second stage dies with its handle; only a first one that runs may have made another
        // that nobody holds yet.
        let (Some(first), None, Some(channel)) = (self.first.take(), &self.second, &self.channel)
        else {
            return;
        };
        let Ok(socket) = channel.as_fd().try_clone_to_owned() else {
            return;
        };
        let cgroup = self.cgroup.take();
        let spawner = self.spawner.clone();
        let farewell = move || bury(first, &spawner, socket.as_fd(), cgroup);
        if let Err(error) = std::thread::Builder::new().spawn(farewell) {
            tracing::error!(%error, "a worker that was given up may be left behind");
        }
    }
}

/// Lets the first stage come to its end, and takes its second one with it. Killed half-way it could
/// leave one that nobody knows; so the group, which would kill it, is given up last.
fn bury(first: Child, spawner: &Spawner, socket: BorrowedFd<'_>, cgroup: Option<Cgroup>) {
    // Nothing comes any more: a stage that waits for a message ends.
    let _ = shutdown(socket, Shutdown::Write);
    let mut ended = [PollFd::new(&first, PollFlags::IN)];
    let _ = poll(&mut ended, Some(&FAREWELL));
    while let Ok(Received { message, fds }) =
        coldshoe_control::recv::<Envelope>(socket, RecvFlags::DONTWAIT)
    {
        if let (Some(Body::Divided(_)), Some(pidfd)) = (message.body, fds.into_iter().next()) {
            // Dropping it kills and reaps.
            drop(spawner.adopt(pidfd));
        }
    }
    drop(first);
    drop(cgroup);
}

async fn spawn(
    jailer: &Jailer,
    module: &str,
) -> Result<(Child, OwnedFd, OwnedFd, Option<OwnedFd>), String> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|error| format!("no socket pair: {error}"))?;
    let (log, stderr) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| format!("no pipe: {error}"))?;
    let bell = create_bell().map_err(|error| format!("no bell: {error}"))?;
    let worker_bell = bell.try_clone();
    rustix::io::ioctl_fionbio(&log, true).map_err(|error| format!("no pipe: {error}"))?;
    let request = SpawnRequest {
        program: jailer.program.clone(),
        args: Vec::new(),
        control: theirs,
        bell: worker_bell.map_err(|error| format!("no bell: {error}"))?,
        stderr,
        stack: jailer.stack,
        core: jailer.core,
        user: jailer.user,
    };
    let (done, spawned) = oneshot::channel();
    jailer.spawner.spawn(request, move |result| {
        // If nobody waits any more, the child in the result is killed by being dropped.
        let _ = done.send(result);
    });
    let child = spawned
        .await
        .map_err(|_| "the spawner thread is gone".to_owned())?
        .map_err(|error| error.to_string())?;
    let kept = jailer.spawner.keeper().and_then(|_| log.try_clone().ok());
    tokio::spawn(module_log::pump(log, module.to_owned()));
    Ok((child, ours, bell, kept))
}
