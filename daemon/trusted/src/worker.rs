//! One worker process: ordered about, watched, ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use coldshoe_control::worker::{Assignment, Body, Done, Envelope, Loaded, Stage};
use coldshoe_control::{Received, RecvError, SendError, Trouble};
use coldshoe_frame::Nudge;
use coldshoe_wall::Namespace;
use coldshoe_wall::outside::Child;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Timeouts;
use crate::cgroup::Cgroup;
use crate::channel::{Channel, watch};
use crate::fault::{Fault, failed, misplaced};
use crate::gate::Keeper;
use crate::jailer::Jailer;
use crate::launch::{Launched, Place, Spare, launch};
use crate::processors::Lease;

/// A worker with a loaded module. It is killed before its gate is given up.
pub(crate) struct Worker {
    module: String,
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    channel: Channel,
    keeper: Keeper,
    nudge: Nudge,
    about: Loaded,
    namespaces: Vec<(Namespace, Option<bool>)>,
    serial: u32,
    timeouts: Timeouts,
    profile: String,
    /// What it may have, in bytes.
    memory: u64,
    bell: OwnedFd,
    /// For the store, until they are there.
    spare: Option<Spare>,
    /// Given up after the child, which has been killed by then.
    cgroup: Option<Cgroup>,
    processor: Option<Lease>,
}

/// A worker, taken apart.
pub(crate) struct Parts {
    pub(crate) module: String,
    pub(crate) child: Child,
    pub(crate) channel: Channel,
    pub(crate) keeper: Keeper,
    pub(crate) nudge: Nudge,
    pub(crate) about: Loaded,
    pub(crate) serial: u32,
    pub(crate) bell: OwnedFd,
    pub(crate) cgroup: Option<Cgroup>,
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
    /// Where it is put before it does anything.
    pub(crate) cgroup: Option<Cgroup>,
    /// Its own, if it has one.
    pub(crate) processor: Option<Lease>,
    /// It is made beside one that works, and must not hold that up.
    pub(crate) beside: bool,
}

impl Worker {
    /// Starts a worker and waits until its module is loaded.
    pub(crate) async fn launch(jailer: &Jailer, job: Job<'_>) -> Result<Self, Refusal> {
        let Job {
            module,
            assignment,
            fds,
            nudge,
            cgroup,
            processor,
            beside,
        } = job;
        let place = Place {
            cgroup,
            processor: processor.as_ref(),
            beside,
        };
        let launched = launch(jailer, module, assignment, &fds, place).await?;
        let pidfd = launched
            .child
            .pidfd()
            .and_then(watch)
            .map_err(|why| Refusal::Fault(Fault::launch(module, why)))?;
        let Launched {
            child,
            channel,
            keeper,
            bell,
            about,
            namespaces,
            serial,
            spare,
            cgroup,
        } = launched;
        Ok(Self {
            module: module.to_owned(),
            child,
            pidfd,
            channel,
            keeper,
            nudge,
            about,
            namespaces,
            serial,
            timeouts: jailer.timeouts,
            profile: jailer.profile.clone(),
            memory: jailer.memory,
            bell,
            spare,
            cgroup,
            processor,
        })
    }

    /// Takes over a worker that another daemon started.
    pub(crate) fn adopt(jailer: &Jailer, parts: Parts) -> std::io::Result<Self> {
        let pidfd = parts.child.pidfd().and_then(watch)?;
        Ok(Self {
            module: parts.module,
            child: parts.child,
            pidfd,
            channel: parts.channel,
            keeper: parts.keeper,
            nudge: parts.nudge,
            about: parts.about,
            namespaces: Vec::new(),
            serial: parts.serial,
            timeouts: jailer.timeouts,
            profile: jailer.profile.clone(),
            memory: jailer.memory,
            bell: parts.bell,
            spare: None,
            cgroup: parts.cgroup,
            processor: None,
        })
    }

    /// Serial of the last order.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// What is to be kept for the next daemon, once.
    pub(crate) fn take_spare(&mut self) -> Option<Spare> {
        self.spare.take()
    }

    /// Its control socket.
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    pub(crate) fn about(&self) -> &Loaded {
        &self.about
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// The namespaces it was to leave, and whether it was seen to have.
    pub(crate) fn namespaces(&self) -> &[(Namespace, Option<bool>)] {
        &self.namespaces
    }

    pub(crate) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// What it rings.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    pub(crate) fn processor(&self) -> Option<&Lease> {
        self.processor.as_ref()
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How far its pipeline has come, and its doorbell.
    pub(crate) fn nudge(&self) -> &Nudge {
        &self.nudge
    }

    /// Gives one order and waits until it is done. `asleep`: the worker may be asleep on the
    /// doorbell rather than on its socket.
    pub(crate) async fn order(&mut self, order: Body, asleep: bool) -> Result<Done, Refusal> {
        let (kind, limit) = (order.kind(), self.timeouts.order);
        let stage = match &order {
            Body::Configure(_) => Stage::Configure,
            Body::Start(_) => Stage::Start,
            _ => Stage::Stop,
        };
        let doing = format!("in {}", kind.to_lowercase());
        match self
            .ask(order, &[], &doing, limit, asleep)
            .await
            .map_err(Refusal::Fault)?
        {
            Body::Done(done) => Ok(done),
            Body::Failed(reason) if reason.stage() == stage => {
                Err(Refusal::Verb(failed(&self.module, &reason)))
            }
            Body::Failed(reason) => Err(Refusal::Fault(misplaced(&self.module, &reason))),
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

    /// Why it has ended, if it has.
    pub(crate) async fn gone(&mut self) -> Option<Fault> {
        match self.child.try_wait() {
            Ok(None) => None,
            _ => Some(self.ended("after loading").await),
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
            }) => match serial == self.serial {
                true => Ok(body),
                false => Err(unasked(&self.module, &body)),
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
        let ended = timeout_at(deadline, self.pidfd.readable()).await.is_ok();
        // What its gate saw is the reason of its end.
        if let Some(broken) = self.keeper.broken() {
            let fault = Fault::broken(&self.module, &broken, doing, &self.profile);
            // An abort is how many a library says that there is no memory.
            let _ = timeout_at(deadline, self.pidfd.readable()).await;
            let _ = self.child.try_wait();
            return fault.of_memory(self.child.peak_memory(), self.memory);
        }
        if !ended {
            return Fault::protocol(&self.module, "it closed its control socket");
        }
        match self.child.try_wait() {
            Ok(Some(exit)) => Fault::ended(&self.module, exit, doing)
                .of_memory(self.child.peak_memory(), self.memory),
            Ok(None) => Fault::protocol(&self.module, "it closed its control socket"),
            Err(error) => Fault::launch(&self.module, error),
        }
    }
}

pub(crate) fn unasked(module: &str, body: &Body) -> Fault {
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
