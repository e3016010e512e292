//! From one worker to the next: what the daemon says of it, and what that changes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe_control::client::{
    Confinement, Course, FaultReason, ModuleInfo, OpenSession, Report, Resume, SessionOpened, Wake,
    WorkerReplaced,
};
use coldshoe_control::{RecvError, Trouble};
use coldshoe_frame::{Replies, SegmentError, monotonic_ns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Session;
use crate::connection::Notice;
use crate::fault::{Fault, Health};
use crate::ladder::Ladder;
use crate::link::Step;
use crate::patience::Patience;

/// Whether there is a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Working,
    /// Another one is on its way.
    Awaited,
    /// None will come.
    Over,
}

/// A worker that takes over.
struct Next {
    generation: u32,
    pid: u32,
    module: Option<ModuleInfo>,
    confinement: Option<Confinement>,
    wake: Wake,
    fds: Vec<OwnedFd>,
}

impl Session {
    /// How the session does, as far as it is known. Never waits.
    pub fn health(&mut self) -> Health {
        self.attend();
        match self.duty {
            Duty::Working if self.ladder.is_degraded() => Health::Degraded,
            Duty::Working => Health::Running,
            Duty::Awaited => Health::Replacing,
            Duty::Over => Health::Quarantined,
        }
    }

    /// Takes note of what the daemon has to say. Never waits.
    pub(crate) fn attend(&mut self) {
        self.replies.heed();
        loop {
            let Some(connection) = self.link.up() else {
                if !self.find_daemon() {
                    return;
                }
                continue;
            };
            match connection.notice() {
                Ok(None) => return,
                Ok(Some(Notice::Fault(fault))) => {
                    self.counters.faults += 1;
                    self.duty = match fault.quarantined {
                        true => Duty::Over,
                        false => Duty::Awaited,
                    };
                    self.fault = Some(fault.into());
                }
                Ok(Some(Notice::Replaced(replaced, fds))) => {
                    let WorkerReplaced {
                        generation,
                        worker_pid,
                        recovery_us,
                        ..
                    } = replaced;
                    let wake = replaced.wake();
                    tracing::info!(
                        session = self.id,
                        generation,
                        recovery_us,
                        "worker replaced"
                    );
                    self.adopt(Next {
                        generation,
                        pid: worker_pid,
                        module: replaced.module,
                        confinement: replaced.confinement,
                        wake,
                        fds,
                    });
                }
                Ok(Some(Notice::Steer(steer))) => self.steering.take(&steer),
                Err(error) => self.daemon_gone(&error),
            }
        }
    }

    /// The daemon has ended, or has ended the connection. Its worker may go on.
    pub(crate) fn daemon_gone(&mut self, error: &RecvError) {
        let trouble = Fault::daemon_gone(error);
        tracing::warn!(session = self.id, "{trouble}");
        self.forget_socket();
        // Whoever held something held it of this daemon.
        self.steering.let_go();
        self.link.lost(monotonic_ns());
        self.daemon_trouble = Some(trouble);
    }

    /// Without a daemon: looks for one. Whether there is one now.
    fn find_daemon(&mut self) -> bool {
        self.notice_end();
        loop {
            let now = monotonic_ns();
            let Self {
                link,
                socket,
                request,
                forward_fd,
                buffers,
                return_fd,
                sensor,
                started,
                generation,
                token,
                steering,
                ..
            } = self;
            let resume = || {
                let request = OpenSession {
                    resume: Some(Box::new(Resume {
                        token: token.clone(),
                        generation: *generation,
                        sensor: sensor.clone(),
                        started: *started,
                        controls: steering.controls(),
                    })),
                    ..request.clone()
                };
                let fds: Vec<BorrowedFd<'_>> = [forward_fd.as_fd()]
                    .into_iter()
                    .chain(buffers.iter().map(AsFd::as_fd))
                    .chain([return_fd.as_fd()])
                    .collect();
                (request, fds)
            };
            match link.advance(socket, now, resume) {
                // What was being tried ended with its socket, which nothing watches any more then.
                Step::None => return false,
                Step::Connected => self.watch_socket(),
                Step::Opened(opened, fds) => {
                    self.resumed(opened, fds);
                    return true;
                }
                Step::Refused(trouble) => {
                    self.not_resumed(trouble);
                    return false;
                }
            }
        }
    }

    fn resumed(&mut self, opened: SessionOpened, fds: Vec<OwnedFd>) {
        tracing::info!(session = opened.session, was = self.id, "session resumed");
        self.id = opened.session;
        self.token.clone_from(&opened.token);
        self.daemon_trouble = None;
        let same = opened.generation == self.generation && self.worker_lives();
        // What the last daemon was told this one does not know.
        self.guard.not_heard();
        if same {
            self.duty = Duty::Working;
            return;
        }
        self.adopt(Next {
            generation: opened.generation,
            pid: opened.worker_pid,
            wake: opened.wake(),
            module: opened.module,
            confinement: opened.confinement,
            fds,
        });
    }

    fn not_resumed(&mut self, trouble: Trouble) {
        tracing::warn!(session = self.id, "the session was not resumed: {trouble}");
        self.daemon_trouble = Some(trouble);
    }

    /// Without a daemon nobody else tells that the worker has ended.
    fn notice_end(&mut self) {
        if self.duty == Duty::Working && !self.worker_lives() {
            let trouble = self.daemon_trouble.clone();
            let trouble = trouble.unwrap_or_else(|| Fault::daemon_gone("its worker has ended"));
            let module = self.request.module.clone();
            self.counters.faults += 1;
            self.fault = Some(Fault::untold(&module, self.generation, trouble));
            self.duty = Duty::Awaited;
        }
    }

    pub(crate) fn worker_lives(&self) -> bool {
        let mut ended = [PollFd::new(&self.worker_pidfd, PollFlags::IN)];
        matches!(poll(&mut ended, Some(&Timespec::default())), Ok(0))
    }

    /// Goes on with another worker: what is in flight is given to it.
    fn adopt(&mut self, next: Next) {
        let generation = next.generation;
        match self.change_worker(next) {
            Ok(()) => {
                self.duty = Duty::Working;
                self.counters.replaced += 1;
                self.ladder = Ladder::new(monotonic_ns());
            }
            Err(error) => {
                tracing::error!(session = self.id, %error, "a worker was not taken over");
                self.duty = Duty::Awaited;
                // Another one may be.
                self.report(generation, Course::Stalled, FaultReason::Protocol, 0);
            }
        }
    }

    fn change_worker(&mut self, next: Next) -> Result<(), SegmentError> {
        let Ok([return_fd, worker_pidfd, bell]) = <[OwnedFd; 3]>::try_from(next.fds) else {
            return Err(SegmentError::NotAMemfd);
        };
        self.replies = Replies::map(return_fd.as_fd(), self.geometry, next.generation)?;
        self.return_fd = return_fd;
        self.worker_pidfd = worker_pidfd;
        self.worker_pid = next.pid;
        self.generation = next.generation;
        let module = next.module.unwrap_or_default();
        // Its name is its own word, its file is the daemon's.
        match module.path == self.module.path {
            // A report of the last worker may have come after its end.
            true => self.guard.not_heard(),
            false => self.guard.another_module(),
        }
        self.module = module;
        self.confinement = next.confinement.unwrap_or_default();
        self.patience = (next.wake == Wake::Predictive).then(Patience::default);
        self.bell = bell;
        if let Some(watch) = &mut self.watch {
            // What cannot be watched is noticed when a ticket is tried.
            let _ = watch.change_bell(&self.bell);
        }
        let Self {
            flight,
            forward,
            replies,
            unrung,
            ..
        } = self;
        let generation = next.generation;
        let renewed = flight.renew(monotonic_ns(), |seq, later| {
            forward.renew(seq, later, generation);
        });
        *unrung = None;
        if renewed {
            forward.ring(flight.newest(), replies);
        }
        Ok(())
    }

    /// Sleeps until there may be news, at most to a moment on CLOCK_MONOTONIC, and takes note of them.
    pub(crate) fn await_news(&mut self, until_ns: u64) {
        let until_ns = self.link.retry_ns().unwrap_or(u64::MAX).min(until_ns);
        let left = until_ns.saturating_sub(monotonic_ns());
        let timeout = Timespec {
            tv_sec: (left / 1_000_000_000).try_into().unwrap_or(i64::MAX),
            tv_nsec: (left % 1_000_000_000) as _,
        };
        let socket = self.link.socket();
        let mut news: Vec<PollFd<'_>> = socket
            .iter()
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        // Interrupted, it looks as if there were some.
        let _ = poll(&mut news, Some(&timeout));
        self.attend();
    }

    /// Tells the daemon how frames go. Whether it was sent.
    pub(crate) fn report(
        &mut self,
        generation: u32,
        course: Course,
        reason: FaultReason,
        frame: u64,
    ) -> bool {
        let report = Report {
            session: self.id,
            generation,
            course: course.into(),
            reason: reason.into(),
            frame,
        };
        self.link
            .up()
            .is_some_and(|connection| connection.tell(report.into()))
    }
}
