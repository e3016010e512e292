//! One worker process: launched, ordered about, watched, ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use coldshoe_control::worker::{Assignment, Body, Envelope, Jail, Loaded};
use coldshoe_control::{Received, RecvError, SendError, Trouble};
use coldshoe_frame::Nudge;
use coldshoe_wall::outside::{Child, SpawnRequest, Spawner};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Timeouts;
use crate::channel::{Channel, watch};
use crate::fault::{Fault, failed};
use crate::module_log;

/// How workers are made.
pub(crate) struct Jailer {
    pub(crate) spawner: Spawner,
    pub(crate) program: PathBuf,
    pub(crate) jail: Jail,
    /// RLIMIT_STACK in bytes, set before exec.
    pub(crate) stack: u64,
    pub(crate) timeouts: Timeouts,
}

/// A worker with a loaded module.
pub(crate) struct Worker {
    module: String,
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    channel: Channel,
    nudge: Nudge,
    about: Loaded,
    serial: u32,
    timeouts: Timeouts,
}

/// Why an order was not followed.
pub(crate) enum Refusal {
    /// The module refused; the worker is well.
    Verb(Trouble),
    /// The worker is gone or must go.
    Fault(Fault),
}

/// What a worker works on: descriptors in the order that the protocol file gives.
pub(crate) struct Job<'a> {
    pub(crate) module: &'a str,
    pub(crate) assignment: Assignment,
    pub(crate) fds: Vec<BorrowedFd<'a>>,
    pub(crate) nudge: Nudge,
}

impl Worker {
    /// Starts a worker and waits until its module is loaded.
    pub(crate) async fn launch(jailer: &Jailer, job: Job<'_>) -> Result<Self, Refusal> {
        let Job {
            module,
            assignment,
            fds,
            nudge,
        } = job;
        let launch = |why: &dyn std::fmt::Display| Refusal::Fault(Fault::launch(module, why));
        let (child, ours) = spawn(jailer, module).await.map_err(|why| launch(&why))?;
        let pidfd = child.pidfd().and_then(watch).map_err(|why| launch(&why))?;
        let mut worker = Self {
            module: module.to_owned(),
            child,
            pidfd,
            channel: Channel::new(ours).map_err(|why| launch(&why))?,
            nudge,
            about: Loaded::default(),
            serial: 0,
            timeouts: jailer.timeouts,
        };
        let limit = jailer.timeouts.load;
        let answer = worker
            .ask(assignment.into(), &fds, "while loading", limit, false)
            .await;
        match answer.map_err(Refusal::Fault)? {
            Body::Loaded(about) => {
                worker.about = about;
                Ok(worker)
            }
            Body::Failed(reason) => Err(Refusal::Verb(failed(module, &reason))),
            other => Err(Refusal::Fault(unasked(module, &other))),
        }
    }

    pub(crate) fn about(&self) -> &Loaded {
        &self.about
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.pid()
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Gives one order and waits until it is done. `asleep`: the worker may be asleep on the
    /// doorbell rather than on its socket.
    pub(crate) async fn order(&mut self, order: Body, asleep: bool) -> Result<(), Refusal> {
        let (kind, limit) = (order.kind(), self.timeouts.order);
        let doing = format!("in {}", kind.to_lowercase());
        match self
            .ask(order, &[], &doing, limit, asleep)
            .await
            .map_err(Refusal::Fault)?
        {
            Body::Done(_) => Ok(()),
            Body::Failed(reason) => Err(Refusal::Verb(failed(&self.module, &reason))),
            other => Err(Refusal::Fault(unasked(&self.module, &other))),
        }
    }

    /// Resolves when the worker dies or speaks without being asked.
    pub(crate) async fn fault(&mut self) -> Fault {
        tokio::select! {
            biased;
            said = self.channel.recv::<Envelope>() => match said {
                Ok(Received { message: Envelope { body: Some(body), .. }, .. }) => {
                    unasked(&self.module, &body)
                }
                Ok(_) | Err(RecvError::Closed) => self.ended("in a frame").await,
                Err(error) => Fault::protocol(&self.module, error),
            },
            _ = self.pidfd.readable() => self.ended("in a frame").await,
        }
    }

    /// Kills and reaps the worker.
    pub(crate) async fn end(self) {
        // Killing cannot fail for a child that has not been reaped; waiting for it is bounded, and
        // dropping the child reaps what is left.
        let _ = self.child.kill();
        let _ = timeout_at(Instant::now() + self.timeouts.order, self.pidfd.readable()).await;
    }

    async fn ask(
        &mut self,
        order: Body,
        fds: &[BorrowedFd<'_>],
        doing: &str,
        limit: Duration,
        asleep: bool,
    ) -> Result<Body, Fault> {
        self.serial = self.serial.wrapping_add(1).max(1);
        let message = Envelope::new(self.serial, order);
        let deadline = Instant::now() + limit;
        let late = Fault::late(&self.module, doing, limit);
        match timeout_at(deadline, self.channel.send(&message, fds)).await {
            Ok(Ok(())) => {}
            Ok(Err(SendError::Closed)) => return Err(self.ended(doing).await),
            Ok(Err(error)) => return Err(Fault::launch(&self.module, error)),
            Err(_) => return Err(late),
        }
        let said = tokio::select! {
            said = timeout_at(deadline, self.hear()) => said,
            never = ring(&self.nudge), if asleep => match never {},
        };
        let Ok(said) = said else {
            return Err(late);
        };
        match said {
            Ok(Received {
                message:
                    Envelope {
                        serial,
                        body: Some(body),
                        ..
                    },
                ..
            }) => match body {
                Body::Failed(_) => Ok(body),
                body if serial == self.serial => Ok(body),
                body => Err(unasked(&self.module, &body)),
            },
            Ok(_) | Err(RecvError::Closed | RecvError::WouldBlock) => Err(self.ended(doing).await),
            Err(error) => Err(Fault::protocol(&self.module, error)),
        }
    }

    async fn hear(&self) -> Result<Received<Envelope>, RecvError> {
        tokio::select! {
            biased;
            said = self.channel.recv() => said,
            // Last words may have been sent right before the end.
            _ = self.pidfd.readable() => self.channel.try_recv(),
        }
    }

    /// The fault of a worker whose process has ended, or is about to.
    async fn ended(&mut self, doing: &str) -> Fault {
        let deadline = Instant::now() + self.timeouts.order;
        match timeout_at(deadline, self.pidfd.readable()).await {
            Ok(_) => {}
            Err(_) => return Fault::protocol(&self.module, "it closed its control socket"),
        }
        match self.child.try_wait() {
            Ok(Some(exit)) => Fault::ended(&self.module, exit, doing),
            Ok(None) => Fault::protocol(&self.module, "it closed its control socket"),
            Err(error) => Fault::launch(&self.module, error),
        }
    }
}

fn unasked(module: &str, body: &Body) -> Fault {
    Fault::protocol(
        module,
        format!("it sent {} without being asked", body.kind()),
    )
}

/// Rings the doorbell at growing intervals: a ring that comes between the worker's last look at
/// its socket and its sleep is lost, so one is not enough.
async fn ring(nudge: &Nudge) -> std::convert::Infallible {
    let mut pause = Duration::from_micros(200);
    loop {
        nudge.ring();
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

async fn spawn(jailer: &Jailer, module: &str) -> Result<(Child, OwnedFd), String> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|error| format!("no socket pair: {error}"))?;
    let (log, stderr) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| format!("no pipe: {error}"))?;
    rustix::io::ioctl_fionbio(&log, true).map_err(|error| format!("no pipe: {error}"))?;
    let request = SpawnRequest {
        program: jailer.program.clone(),
        args: Vec::new(),
        control: theirs,
        stderr,
        stack: jailer.stack,
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
    tokio::spawn(module_log::pump(log, module.to_owned()));
    Ok((child, ours))
}
