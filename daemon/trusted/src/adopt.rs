//! Taking over what a daemon before this one has left in the store.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use coldshoe_control::worker::Loaded;
use coldshoe_frame::{Custody, Nudge};
use coldshoe_wall::outside::Maps;

use crate::brief::{Brief, Memory};
use crate::channel::Channel;
use crate::gate;
use crate::identity::Digest;
use crate::kept::{Kept, KeptWorker};
use crate::live::{self, Live};
use crate::module_log;
use crate::registry::Module;
use crate::seats::Seat;
use crate::session::{Adopted, Context};
use crate::trust::Trust;
use crate::tuning::Tuning;
use crate::worker::{Parts, Worker};

/// What was left under each name.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) keeper: Option<OwnedFd>,
    pub(crate) control: Option<OwnedFd>,
    /// By number of the session, and the rest of the name.
    pub(crate) sessions: BTreeMap<u64, HashMap<String, OwnedFd>>,
}

impl Left {
    /// Sorts what was passed.
    pub(crate) fn of(passed: Vec<(String, OwnedFd)>) -> Self {
        let mut left = Self::default();
        for (name, fd) in passed {
            let session = name.strip_prefix('s').and_then(|rest| rest.split_once('.'));
            let session = session.and_then(|(id, what)| Some((id.parse().ok()?, what)));
            match (name.as_str(), session) {
                ("keeper", _) => left.keeper = Some(fd),
                ("control", _) => left.control = Some(fd),
                (_, Some((id, what))) => {
                    let session: &mut HashMap<_, _> = left.sessions.entry(id).or_default();
                    session.insert(what.to_owned(), fd);
                }
                _ => tracing::warn!(name, "a descriptor was passed that nobody knows"),
            }
        }
        left
    }
}

/// Takes a session over. What cannot be used is forgotten in the store.
pub(crate) fn session(
    context: &Context,
    id: u64,
    mut left: HashMap<String, OwnedFd>,
    mut permit: Seat,
) -> Result<Adopted, String> {
    let versions = left
        .keys()
        .filter_map(|name| name.strip_prefix("state.")?.parse().ok());
    let version: u64 = versions.max().ok_or("its state was not kept")?;
    let state = left
        .remove(&format!("state.{version}"))
        .ok_or("its state was not kept")?;
    // A daemon that was killed between two versions has left both.
    for older in left.keys().filter(|name| name.starts_with("state.")) {
        context.store.forget(&format!("s{id}.{older}"));
    }
    let mut kept = Kept::read(state).map_err(|error| format!("its state: {error}"))?;
    let request = kept.request.clone().ok_or("its request was not kept")?;
    let terms = context.terms.get();
    let known = terms.contracts.of(&request.params_format);
    known.map_err(|trouble| trouble.what)?;
    let mut take = |name: &str| left.remove(name).ok_or(format!("{name:?} was not kept"));
    let mut fds = vec![take("forward")?];
    for buffer in 0..request.buffers {
        fds.push(take(&format!("buffer{buffer}"))?);
    }
    let memory = Memory::new(&request, fds).map_err(|trouble| trouble.why)?;
    let module = kept.module.clone().ok_or("its module was not kept")?;
    let digest = module.digest.as_slice().try_into();
    let tuning = module.tuning.map(|path| {
        let path = PathBuf::from(path);
        take("tuning").map(|content| Tuning { path, content })
    });
    permit.pass_to(kept.owner_uid);
    let brief = Arc::new(Brief {
        id,
        request,
        memory: Arc::new(memory),
        module: Module {
            name: module.name,
            path: module.path.into(),
            content: take("module")?,
            size: module.size,
            digest: Digest(digest.map_err(|_| "the digest of its module is none")?),
            trust: Trust::Trusted,
        },
        tuning: tuning.transpose()?,
        terms,
    });
    let client = take("client").ok();
    let geometry = &brief.memory.geometry;
    let replies = kept.worker.as_ref().and_then(|worker| {
        let replies = take(&format!("w{}.replies", worker.generation)).ok()?;
        let custody = Custody::map(replies.as_fd(), *geometry).ok()?;
        Some((replies, custody))
    });
    let live = kept.worker.as_ref().map(|worker| {
        let generation = worker.generation;
        let replies = replies.as_ref().and_then(|(fd, _)| fd.try_clone().ok());
        let replies = replies.ok_or("its return segment was not kept")?;
        let take = |name: &str| take(&format!("w{generation}.{name}"));
        live(context, &brief, worker, replies, take)
    });
    let mut former = None;
    let live = match live.transpose() {
        Ok(live) => live,
        Err(why) => {
            tracing::warn!(session = id, why, "its worker is not taken over");
            // It is another one's turn, from what this one saved; its pipeline may be waiting for it.
            if let Some((_, custody)) = replies {
                kept.states.splice(0..0, custody.checkpoints());
                let custody = Arc::new(custody);
                live::call_pipeline(Arc::clone(&custody));
                former = Some(custody);
            }
            None
        }
    };
    Ok(Adopted {
        brief,
        live,
        former,
        kept,
        version,
        client,
        permit,
    })
}

fn live(
    context: &Context,
    brief: &Arc<Brief>,
    kept: &KeptWorker,
    replies: OwnedFd,
    mut take: impl FnMut(&str) -> Result<OwnedFd, String>,
) -> Result<Live, String> {
    let told = |error: std::io::Error| error.to_string();
    let child = context.jailer.spawner.adopt(take("pidfd")?).map_err(told)?;
    let pidfd = child.pidfd().map_err(told)?;
    let maps = Maps::new(take("maps")?, child.pid()).map_err(told)?;
    let rules = context.jailer.rules.clone();
    let keeper = gate::Keeper::resume(take("gate")?, maps, pidfd, rules).map_err(told)?;
    let geometry = &brief.memory.geometry;
    let nudge = Nudge::map(brief.memory.forward.as_fd(), geometry).map_err(|e| e.to_string())?;
    let module = kept.module.clone().unwrap_or_default();
    let about = Loaded {
        name: module.name.clone(),
        version: module.version.clone(),
        license: module.license.clone(),
        threads: false,
        // What it declared was looked at when it was loaded.
        blocks: 0,
    };
    if let Ok(log) = take("log") {
        tokio::spawn(module_log::pump(log, brief.module.name.clone()));
    }
    let worker = Worker::adopt(
        &context.jailer,
        Parts {
            module: brief.module.name.clone(),
            child,
            channel: Channel::new(take("control")?).map_err(told)?,
            keeper,
            nudge,
            about,
            serial: kept.serial,
            bell: take("bell")?,
            cgroup: context.cgroups.of_worker(
                brief.id,
                kept.generation,
                &live::limits(context, brief),
            ),
        },
    )
    .map_err(told)?;
    Live::adopt(Arc::clone(brief), kept, worker, replies).map_err(|error| error.to_string())
}
