//! What the workers of a session work on, the first and those that follow it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use coldshoe_control::Trouble;
use coldshoe_control::client::{ErrorCode, OpenSession};
use coldshoe_frame::{Geometry, SegmentError, verify_buffer, verify_forward};
use tokio::time::timeout;

use crate::kept::KeptModule;
use crate::registry::Module;
use crate::seats::Seat;
use crate::session::Context;
use crate::store::Store;
use crate::terms::Terms;
use crate::tuning::{self, Tuning};

/// One of the sessions that the daemon has to give, held by whatever works for it.
pub(crate) type Permit = Arc<Seat>;

/// The memory that a client brought, looked at.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) forward: OwnedFd,
    pub(crate) buffers: Vec<OwnedFd>,
    pub(crate) geometry: Geometry,
}

impl Memory {
    /// `fds`: the forward segment, then the buffers.
    pub(crate) fn new(request: &OpenSession, mut fds: Vec<OwnedFd>) -> Result<Self, Trouble> {
        if fds.is_empty() {
            return Err(argument(&request.camera, "no forward segment came with it"));
        }
        let buffers = fds.split_off(1);
        let Some(forward) = fds.pop() else {
            return Err(argument(&request.camera, "no forward segment came with it"));
        };
        let (slots, stats, params) = (
            request.slots,
            request.stats_capacity,
            request.params_capacity,
        );
        let geometry = Geometry::new(slots, stats, params)
            .map_err(|error| argument(&request.camera, error))?;
        verify_forward(forward.as_fd(), &geometry).map_err(bad_segment)?;
        for (index, buffer) in buffers.iter().enumerate() {
            verify_buffer(buffer.as_fd())
                .map_err(|error| bad_memory(&format!("buffer {index}"), error))?;
        }
        Ok(Self {
            forward,
            buffers,
            geometry,
        })
    }
}

/// Whom a session is for, and with what.
#[derive(Debug)]
pub(crate) struct Brief {
    pub(crate) id: u64,
    pub(crate) request: OpenSession,
    pub(crate) memory: Arc<Memory>,
    /// Its bytes stay what they are for all workers of the session, whatever becomes of the file.
    pub(crate) module: Module,
    pub(crate) tuning: Option<Tuning>,
    /// As they were when the session was opened.
    pub(crate) terms: Arc<Terms>,
}

impl Brief {
    /// Finds module `name` and its tuning for the request's camera.
    pub(crate) async fn find(
        id: u64,
        context: &Arc<Context>,
        request: OpenSession,
        name: &str,
        memory: Arc<Memory>,
        terms: &Arc<Terms>,
        permit: &Permit,
    ) -> Result<Self, Trouble> {
        let (module, tuning) = find(context, name, &request.camera, terms, permit).await?;
        tracing::info!(
            session = id,
            path = %module.path.display(),
            sha256 = %module.digest,
            trust = %module.trust,
            "module"
        );
        if let Some(tuning) = &tuning {
            tracing::debug!(session = id, tuning = %tuning.path.display(), "tuning file");
        }
        Ok(Self {
            id,
            request,
            memory,
            module,
            tuning,
            terms: Arc::clone(terms),
        })
    }

    /// Has what the next daemon would need kept.
    pub(crate) fn keep(&self, store: Store) {
        let id = self.id;
        store.keep(&format!("s{id}.forward"), self.memory.forward.as_fd());
        for (index, buffer) in self.memory.buffers.iter().enumerate() {
            store.keep(&format!("s{id}.buffer{index}"), buffer.as_fd());
        }
        store.keep(&format!("s{id}.module"), self.module.content.as_fd());
        if let Some(tuning) = &self.tuning {
            store.keep(&format!("s{id}.tuning"), tuning.content.as_fd());
        }
    }

    /// The session is over.
    pub(crate) fn forget(&self, store: Store) {
        let id = self.id;
        for what in ["forward", "module", "tuning"] {
            store.forget(&format!("s{id}.{what}"));
        }
        for buffer in 0..self.memory.buffers.len() {
            store.forget(&format!("s{id}.buffer{buffer}"));
        }
    }

    /// Its module in words, for the next daemon.
    pub(crate) fn kept(&self) -> KeptModule {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        KeptModule {
            name: self.module.name.clone(),
            path: text(&self.module.path),
            digest: self.module.digest.0.to_vec(),
            size: self.module.size,
            tuning: self.tuning.as_ref().map(|tuning| text(&tuning.path)),
        }
    }

    /// What a worker gets, but for its return segment: in the order of the protocol file.
    pub(crate) fn fds<'a>(&'a self, replies: BorrowedFd<'a>) -> Vec<BorrowedFd<'a>> {
        let always = [
            self.memory.forward.as_fd(),
            replies,
            self.module.content.as_fd(),
        ];
        let tuning = self.tuning.iter().map(|tuning| tuning.content.as_fd());
        let buffers = self.memory.buffers.iter().map(AsFd::as_fd);
        always.into_iter().chain(tuning).chain(buffers).collect()
    }

    /// An error of create() is most often one of the tuning file: say which one it was.
    pub(crate) fn with_tuning(&self, mut trouble: Trouble) -> Trouble {
        if let Some(tuning) = &self.tuning
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
}

/// Reads, hashes and looks at the module, and reads its tuning file; on a thread that may wait for
/// a disk, and that nothing can stop: it holds on to the permit for as long as it reads, whatever
/// becomes of the client, so that there are never more such threads than sessions.
async fn find(
    context: &Arc<Context>,
    name: &str,
    camera: &str,
    terms: &Arc<Terms>,
    permit: &Permit,
) -> Result<(Module, Option<Tuning>), Trouble> {
    let limit = context.config.timeouts.find;
    let (context, permit) = (Arc::clone(context), Arc::clone(permit));
    let terms = Arc::clone(terms);
    let (module, camera) = (name.to_owned(), camera.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let found = context.registry.find(&module)?;
        let tuning = tuning::find(&terms.tuning_dirs, &module, &camera)?;
        Ok((found, tuning))
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
            format!("module {name:?} cannot be read in time"),
            format!(
                "finding, reading and hashing it takes longer than {} ms",
                limit.as_millis()
            ),
            "see whether the disk of its directory, of the tuning files or of the state directory \
             hangs",
        )),
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

pub(crate) fn bad_segment(error: SegmentError) -> Trouble {
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
