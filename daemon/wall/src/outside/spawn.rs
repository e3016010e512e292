//! Who starts every worker: one long-lived thread, or a process of its own.
//!
//! A worker dies with the thread that forked it (`PR_SET_PDEATHSIG` follows the thread, not the
//! process), so it must not be one of a pool that comes and goes.

use super::child::Child;
use super::kept::{Kept, Reply};
use super::{reaper, start};
use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

/// A worker to be.
#[derive(Debug)]
pub struct SpawnRequest {
    /// The worker program.
    pub program: PathBuf,
    /// Its arguments, after the program's own name.
    pub args: Vec<OsString>,
    /// Its control socket.
    pub control: OwnedFd,
    /// Its bell, an eventfd.
    pub bell: OwnedFd,
    /// Where its standard output and error go: a pipe, for a regular file would kill it once it
    /// may not write files.
    pub stderr: OwnedFd,
    /// Its stack limit in bytes; a lower hard limit of the daemon's own is kept.
    pub stack: u64,
    /// Its limit of core dumps in bytes, likewise.
    pub core: u64,
    /// Whom it runs as; `None`: as the daemon. Only a privileged daemon can choose, and should:
    /// root's files would be the worker's by ownership, and no limit of processes holds for root.
    pub user: Option<User>,
}

/// A user without other groups than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl User {
    /// Who owns nothing, by convention.
    pub const NOBODY: User = User {
        uid: 65534,
        gid: 65534,
    };
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The request cannot be met by any system.
    #[error("worker {program}: {reason}", program = program.display())]
    Request {
        /// The worker program.
        program: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// A step failed, in the daemon or in the new process.
    #[error("worker {program}: {step}: {source}", program = program.display())]
    Step {
        /// The worker program.
        program: PathBuf,
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The spawner's thread has ended.
    #[error("worker {program}: the spawner has ended; restart the daemon", program = program.display())]
    Gone {
        /// The worker program.
        program: PathBuf,
    },
}

/// Who starts workers, and is their parent.
///
/// Either a thread of this process, which ends when this is dropped and takes every worker that is
/// still alive with it; or a process of its own, the keeper, which ends when nobody holds its socket
/// any more.
#[derive(Clone, Debug)]
pub struct Spawner(Parent);

#[derive(Clone, Debug)]
enum Parent {
    Thread(mpsc::Sender<Errand>),
    Keeper(Arc<Kept>),
}

enum Errand {
    Spawn(SpawnRequest, Reply),
    Pong(Box<dyn FnOnce() + Send>),
}

impl Spawner {
    /// Starts the thread, and the one that reaps workers which are dropped.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> io::Result<Spawner> {
        reaper::start()?;
        let (errands, inbox) = mpsc::channel();
        std::thread::Builder::new()
            .name("wall-spawner".to_owned())
            .spawn(move || {
                start::block_signals();
                for errand in inbox {
                    match errand {
                        Errand::Spawn(request, reply) => reply(start::start(request)),
                        Errand::Pong(pong) => pong(),
                    }
                }
            })?;
        Ok(Spawner(Parent::Thread(errands)))
    }

    /// Starts a keeper: `program` is one that calls [`keep_if_asked`](super::keep_if_asked).
    ///
    /// # Errors
    /// It cannot be executed, or does not answer.
    pub fn start_keeper(program: &Path) -> io::Result<Spawner> {
        Ok(Spawner(Parent::Keeper(Kept::start(program)?)))
    }

    /// Takes over a keeper by its socket.
    ///
    /// # Errors
    /// It has ended, or does not answer.
    pub fn through(keeper: OwnedFd) -> io::Result<Spawner> {
        Ok(Spawner(Parent::Keeper(Kept::take(keeper)?)))
    }

    /// The keeper's socket. Whoever holds it keeps the workers alive.
    pub fn keeper(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Parent::Thread(_) => None,
            Parent::Keeper(kept) => Some(kept.socket()),
        }
    }

    /// Ends every worker of a keeper that is not named: those that the daemon before had no time to
    /// tell of.
    pub fn retain(&self, pids: &[i32]) {
        if let Parent::Keeper(kept) = &self.0 {
            kept.retain(pids);
        }
    }

    /// Calls `pong` from where workers are started, if that goes on.
    pub fn ping(&self, pong: impl FnOnce() + Send + 'static) {
        match &self.0 {
            Parent::Thread(errands) => {
                let _ = errands.send(Errand::Pong(Box::new(pong)));
            }
            Parent::Keeper(kept) => kept.ping(Box::new(pong)),
        }
    }

    /// Takes over a process by its pidfd, once it is known to have the same parent as all workers.
    ///
    /// # Errors
    /// It is no pidfd, or of another's child: nothing to take over.
    pub fn adopt(&self, pidfd: OwnedFd) -> io::Result<Child> {
        match &self.0 {
            Parent::Thread(_) => Child::adopt(pidfd),
            Parent::Keeper(kept) => kept.adopt(pidfd),
        }
    }

    /// Starts a worker and calls `reply` with it, on the spawner's thread: it should only hand the
    /// result on. The worker runs by then; a program that cannot be executed is an error.
    pub fn spawn(
        &self,
        request: SpawnRequest,
        reply: impl FnOnce(Result<Child, SpawnError>) + Send + 'static,
    ) {
        let errands = match &self.0 {
            Parent::Thread(errands) => errands,
            Parent::Keeper(kept) => return kept.spawn(request, Box::new(reply)),
        };
        let errand = Errand::Spawn(request, Box::new(reply));
        if let Err(mpsc::SendError(Errand::Spawn(request, reply))) = errands.send(errand) {
            reply(Err(SpawnError::Gone {
                program: request.program,
            }));
        }
    }

    /// The same, waiting for the result.
    ///
    /// # Errors
    /// [`SpawnError`] names the program, the step and the kernel's answer.
    pub fn spawn_and_wait(&self, request: SpawnRequest) -> Result<Child, SpawnError> {
        let program = request.program.clone();
        let (reply, result) = mpsc::sync_channel(1);
        self.spawn(request, move |child| {
            // The receiver waits below; were it gone, the child would be dropped, and so killed.
            let _ = reply.send(child);
        });
        result.recv().unwrap_or(Err(SpawnError::Gone { program }))
    }
}
