//! One long-lived thread that starts every worker.
//!
//! A worker dies with the thread that forked it (`PR_SET_PDEATHSIG` follows the thread, not the
//! process), so it must not be one of a pool that comes and goes.

use super::child::Child;
use super::{reaper, start};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc;

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

type Reply = Box<dyn FnOnce(Result<Child, SpawnError>) + Send>;

/// The thread that starts workers. It ends when this is dropped, and takes every worker that is
/// still alive with it.
#[derive(Debug)]
pub struct Spawner {
    requests: mpsc::Sender<(SpawnRequest, Reply)>,
}

impl Spawner {
    /// Starts the thread, and the one that reaps workers which are dropped.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> io::Result<Spawner> {
        reaper::start()?;
        let (requests, inbox) = mpsc::channel::<(SpawnRequest, Reply)>();
        std::thread::Builder::new()
            .name("wall-spawner".to_owned())
            .spawn(move || {
                start::block_signals();
                for (request, reply) in inbox {
                    reply(start::start(request));
                }
            })?;
        Ok(Spawner { requests })
    }

    /// Starts a worker and calls `reply` with it, on the spawner's thread: it should only hand the
    /// result on. The worker runs by then; a program that cannot be executed is an error.
    pub fn spawn(
        &self,
        request: SpawnRequest,
        reply: impl FnOnce(Result<Child, SpawnError>) + Send + 'static,
    ) {
        if let Err(mpsc::SendError((request, reply))) =
            self.requests.send((request, Box::new(reply)))
        {
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
