//! How a session begins: asked for, resumed, or taken over from another daemon.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use coldshoe_control::client::Controls;

use crate::roster::Newcomer;

/// Commands that may wait for a session.
const COMMANDS: usize = 8;

/// What is known of a session before its first worker is there.
pub(super) struct Prepared {
    pub(super) brief: Arc<Brief>,
    /// Another module works in place of the one that was asked for.
    pub(super) stands_in: bool,
    pub(super) stage: Stage,
    pub(super) states: States,
    pub(super) generation: u32,
    /// What others than the pipeline ask for, if it was told of any by another daemon.
    pub(super) controls: Option<Controls>,
}

pub(super) async fn prepare(
    context: &Arc<Context>,
    id: u64,
    mut request: OpenSession,
    mut fds: Vec<OwnedFd>,
    permit: &Permit,
) -> Result<Prepared, Trouble> {
    context.jailer.admit()?;
    let terms = context.terms.get();
    terms.contracts.of(&request.params_format)?;
    let resume = request.resume.take();
    let last_replies = resume.is_some().then(|| fds.pop()).flatten();
    let memory = Arc::new(Memory::new(&request, fds)?);
    let asked = request.module.clone();
    let (name, stands_in) = match context.history.admit(&asked) {
        Ok(()) => (asked, false),
        Err(trouble) => (stand_in(context, &terms, &request).ok_or(trouble)?, true),
    };
    // What another module saved is of no use, and neither is what cannot be read.
    let custody = last_replies
        .filter(|_| !stands_in)
        .and_then(|fd| coldshoe_frame::Custody::map(fd.as_fd(), memory.geometry).ok());
    let states = custody.map_or_else(States::default, |custody| States::of(custody.checkpoints()));
    let brief = Brief::find(id, context, request, &name, memory, &terms, permit).await?;
    let (stage, generation, controls) = match resume {
        None => (Stage::Opened, 0, None),
        Some(resume) => {
            let stage = match resume.sensor {
                None => Stage::Opened,
                Some(sensor) if resume.started => Stage::Streaming(sensor),
                Some(sensor) => Stage::Configured(sensor),
            };
            (stage, resume.generation, resume.controls)
        }
    };
    Ok(Prepared {
        brief: Arc::new(brief),
        stands_in,
        stage,
        states,
        generation,
        controls,
    })
}

/// The module that takes over from the one that a session was opened with, if there is one that may.
pub(super) fn stand_in(context: &Context, terms: &Terms, request: &OpenSession) -> Option<String> {
    let name = terms.fallback_for(&request.camera)?;
    let other = name != request.module && context.history.admit(name).is_ok();
    other.then(|| name.to_owned())
}

impl Session {
    /// One without a worker, or one on its way.
    pub(super) fn unmade(
        context: Arc<Context>,
        prepared: Prepared,
        client: Client,
        permit: Permit,
    ) -> Self {
        let Prepared {
            brief,
            stands_in,
            stage,
            states,
            generation,
            controls,
        } = prepared;
        let token: Token = rand::random();
        let (taking, comers) = mpsc::channel(1);
        let (commanding, commands) = mpsc::channel(COMMANDS);
        let commanders = commanding.downgrade();
        let owner = client.owner.clone();
        let began_us = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
        let info = SessionInfo {
            session: brief.id,
            module: brief.request.module.clone(),
            camera: brief.request.camera.clone(),
            state: SessionState::Loading.into(),
            owner: owner.uid,
            ..SessionInfo::default()
        };
        Self {
            id: brief.id,
            place: context.roster.enter(Newcomer {
                info,
                token,
                clients: taking,
                commands: commanding,
                brief: Some(&brief),
                owner: owner.clone(),
                began_us,
            }),
            releases: context.history.releases(),
            supervision: Supervision::new(brief.terms.patience),
            context,
            client,
            comers,
            commands,
            commanders,
            steering: Steering::kept(controls),
            former: None,
            owner,
            began_us,
            permit,
            token,
            brief,
            stands_in,
            state: State::Loading,
            stage,
            successor: Successor::None,
            generation,
            states,
            resuming: None,
            faults: 0,
            restarts: 0,
            lost_standbys: 0,
            stored: Stored::default(),
        }
    }

    pub(super) fn adopted(context: Arc<Context>, adopted: Adopted, client: Client) -> Self {
        let Adopted {
            brief,
            live,
            former,
            kept,
            version,
            permit,
            ..
        } = adopted;
        let stage = match (kept.sensor.clone(), kept.streaming) {
            (None, _) => Stage::Opened,
            (Some(sensor), false) => Stage::Configured(sensor),
            (Some(sensor), true) => Stage::Streaming(sensor),
        };
        let prepared = Prepared {
            stands_in: kept.stands_in,
            stage,
            states: States::of(kept.states.clone()),
            generation: kept.generation,
            controls: kept.controls,
            brief,
        };
        let mut client = client;
        if kept.began_us != 0 {
            client.owner = Owner {
                uid: kept.owner_uid,
                pid: kept.owner_pid,
                software: kept.software.clone(),
            };
        }
        let mut session = Self::unmade(context, prepared, client, Arc::new(permit));
        if kept.began_us != 0 {
            session.began_us = kept.began_us;
            session.place.began(kept.began_us);
        }
        session.former = former;
        // Whoever resumes it has the token of old.
        if let Ok(token) = kept.token.as_slice().try_into() {
            session.token = token;
            session.place.change_token(token);
        }
        session.faults = kept.faults;
        session.restarts = kept.restarts;
        session.stored = Stored {
            version,
            worker: live.as_ref().map_or(0, |live| live.generation),
            last: None,
        };
        match live {
            Some(live) => {
                let worker = live.worker.pid();
                tracing::info!(session = session.id, worker, "session adopted");
                session.state = State::Running(Box::new(live));
                session.steer_again();
                if session.wants_standby() {
                    session.make_successor(Duration::ZERO);
                }
            }
            None if kept.quarantined => {
                tracing::info!(session = session.id, "session adopted in quarantine");
                session.state = State::Quarantined;
            }
            None => {
                tracing::info!(session = session.id, "session adopted without a worker");
                session.state = State::Replacing(Gap {
                    since: Instant::now(),
                    fault: 0,
                });
                session.make_successor(Duration::ZERO);
            }
        }
        session
    }

    pub(super) fn new(
        context: Arc<Context>,
        prepared: Prepared,
        client: Client,
        permit: Permit,
    ) -> Self {
        let mut session = Self::unmade(context, prepared, client, permit);
        session.make_successor(Duration::ZERO);
        session
    }
}
