//! The sessions that there are, for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::os::fd::{AsFd, OwnedFd};

use coldshoe_control::client::{
    Confinement, MAX_LISTED, MAX_REFUSALS, ModuleInfo, RefusedBlocks, SessionInfo, SessionState,
    Statistics,
};
use coldshoe_frame::{Count, Ledger, Nudge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::brief::{Brief, Memory};
use crate::guest::Guest;
use crate::live::Live;
use crate::owner::Owner;
use crate::session::{Client, Command};

/// Sessions that can be looked at closely at a time.
const TRACES: usize = 16;

/// What proves that a session is one's own.
pub(crate) type Token = [u8; coldshoe_control::client::TOKEN];

/// Every session of the daemon.
#[derive(Debug)]
pub(crate) struct Roster {
    sessions: Mutex<BTreeMap<u64, Entry>>,
    /// Told when a session comes, goes or does otherwise.
    changed: watch::Sender<()>,
    traces: Arc<Semaphore>,
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            sessions: Mutex::default(),
            changed: watch::Sender::default(),
            traces: Arc::new(Semaphore::new(TRACES)),
        }
    }
}

/// A session that begins.
pub(crate) struct Newcomer<'a> {
    pub(crate) info: SessionInfo,
    pub(crate) token: Token,
    /// Who resumes it.
    pub(crate) clients: mpsc::Sender<Client>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Of a session with frames in shared memory.
    pub(crate) brief: Option<&'a Brief>,
    pub(crate) owner: Owner,
    /// When, in microseconds since 1970.
    pub(crate) began_us: u64,
}

/// A session, for whoever shows it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Without its statistics.
    pub(crate) info: SessionInfo,
    pub(crate) owner: Owner,
    pub(crate) began_us: u64,
    /// What its last worker runs, and how that is confined.
    pub(crate) last: Option<Arc<LastWorker>>,
    /// AE, AWB and AF, as numbers of the protocol.
    pub(crate) algorithms: [u32; 3],
}

/// The worker that was on duty last.
#[derive(Debug)]
pub(crate) struct LastWorker {
    pub(crate) module: ModuleInfo,
    pub(crate) confinement: Confinement,
}

#[derive(Debug)]
struct Entry {
    info: SessionInfo,
    token: Token,
    clients: mpsc::Sender<Client>,
    commands: mpsc::Sender<Command>,
    owner: Owner,
    began_us: u64,
    last: Option<Arc<LastWorker>>,
    /// Where its frames are, if they are in shared memory.
    memory: Option<Arc<Memory>>,
    params_format: String,
    isp_capabilities: u64,
    /// What the pipeline counts, where it can be read.
    nudge: Option<Nudge>,
    /// The worker on duty: generation and return segment.
    worker: Option<(u32, Arc<OwnedFd>)>,
}

/// Where the parameters of a session are.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) memory: Arc<Memory>,
    pub(crate) params_format: String,
    pub(crate) isp_capabilities: u64,
    /// Of the worker on duty.
    pub(crate) generation: u32,
    pub(crate) replies: Arc<OwnedFd>,
}

/// A session's place in the roster, left with its end.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    roster: Arc<Roster>,
}

impl Roster {
    /// Enters a session.
    pub(crate) fn enter(self: &Arc<Self>, newcomer: Newcomer<'_>) -> Place {
        let Newcomer {
            info,
            token,
            clients,
            commands,
            brief,
            owner,
            began_us,
        } = newcomer;
        let id = info.session;
        let memory = brief.map(|brief| Arc::clone(&brief.memory));
        let request = brief.map(|brief| &brief.request);
        let entry = Entry {
            info,
            token,
            clients,
            commands,
            owner,
            began_us,
            last: None,
            nudge: memory
                .as_ref()
                .and_then(|memory| Nudge::map(memory.forward.as_fd(), &memory.geometry).ok()),
            memory,
            params_format: request.map_or_else(String::new, |open| open.params_format.clone()),
            isp_capabilities: request.map_or(0, |open| open.isp_capabilities),
            worker: None,
        };
        self.lock().insert(id, entry);
        self.changed.send_replace(());
        Place {
            id,
            roster: Arc::clone(self),
        }
    }

    /// The sessions with a higher number that are for a guest to see, as many as fit a message.
    pub(crate) fn after(&self, id: u64, guest: Guest) -> Vec<SessionInfo> {
        let sessions = self.lock();
        let later = sessions.range(id.saturating_add(1)..);
        later
            .filter(|(_, entry)| guest.may(entry.info.owner))
            .take(MAX_LISTED)
            .map(|(_, entry)| SessionInfo {
                statistics: entry
                    .nudge
                    .as_ref()
                    .map(|nudge| statistics(&nudge.ledger())),
                ..entry.info.clone()
            })
            .collect()
    }

    /// Changes when a session comes, goes or does otherwise.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// All sessions, by number.
    pub(crate) fn views(&self) -> Vec<View> {
        self.lock().values().map(Entry::view).collect()
    }

    /// One session.
    pub(crate) fn view(&self, id: u64) -> Option<View> {
        self.lock().get(&id).map(Entry::view)
    }

    /// What a session's pipeline has counted.
    pub(crate) fn statistics(&self, id: u64) -> Option<Statistics> {
        let sessions = self.lock();
        let nudge = sessions.get(&id)?.nudge.as_ref()?;
        Some(statistics(&nudge.ledger()))
    }

    /// Where a session is told what others than its pipeline ask for.
    pub(crate) fn commands(&self, id: u64) -> Option<mpsc::Sender<Command>> {
        Some(self.lock().get(&id)?.commands.clone())
    }

    /// The same of all sessions.
    pub(crate) fn all_commands(&self) -> Vec<mpsc::Sender<Command>> {
        let sessions = self.lock();
        sessions
            .values()
            .map(|entry| entry.commands.clone())
            .collect()
    }

    /// Where a session's parameters are; none without a worker.
    pub(crate) fn source(&self, id: u64, guest: Guest) -> Option<Source> {
        let sessions = self.lock();
        let entry = sessions.get(&id)?;
        if !guest.may(entry.info.owner) {
            return None;
        }
        let (generation, replies) = entry.worker.as_ref()?;
        Some(Source {
            memory: Arc::clone(entry.memory.as_ref()?),
            params_format: entry.params_format.clone(),
            isp_capabilities: entry.isp_capabilities,
            generation: *generation,
            replies: Arc::clone(replies),
        })
    }

    /// Leave to trace a session; none where enough are traced.
    pub(crate) fn permit_trace(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.traces).try_acquire_owned().ok()
    }

    /// Whether a session has this worker on duty.
    pub(crate) fn has(&self, id: u64, generation: u32) -> bool {
        let sessions = self.lock();
        let worker = sessions.get(&id).and_then(|entry| entry.worker.as_ref());
        worker.is_some_and(|(own, _)| *own == generation)
    }

    /// How many sessions there are, and how many of them are not well.
    pub(crate) fn count(&self) -> (usize, usize) {
        let sessions = self.lock();
        let well = |entry: &&Entry| {
            let state = entry.info.state();
            matches!(state, SessionState::Running | SessionState::Loading)
        };
        let well = sessions.values().filter(well).count();
        (sessions.len(), sessions.len() - well)
    }

    /// Where the session of this token takes another client.
    pub(crate) fn by_token(
        &self,
        token: &[u8],
        guest: Guest,
    ) -> Option<(u64, mpsc::Sender<Client>)> {
        let sessions = self.lock();
        let mut sessions = sessions.iter();
        let found = sessions.find(|(_, entry)| entry.token == token && guest.may(entry.info.owner));
        found.map(|(id, entry)| (*id, entry.clients.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The session is known by another token.
    pub(crate) fn change_token(&self, token: Token) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            entry.token = token;
        }
    }

    /// Which worker is on duty by now.
    pub(crate) fn on_duty(&self, worker: Option<&Live>) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            let before = entry.worker.as_ref().map(|(generation, _)| *generation);
            entry.worker = worker.map(|live| (live.generation, Arc::clone(&live.replies)));
            if let Some(live) = worker
                && before != Some(live.generation)
            {
                entry.last = Some(Arc::new(LastWorker {
                    module: live.module.clone(),
                    confinement: live.confinement.clone(),
                }));
            }
        }
    }

    /// What its worker runs, where that is known from the start.
    pub(crate) fn runs(&self, worker: LastWorker) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            entry.last = Some(Arc::new(worker));
        }
    }

    /// It began under another daemon.
    pub(crate) fn began(&self, began_us: u64) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            entry.began_us = began_us;
        }
    }

    /// How the session does by now.
    pub(crate) fn update(&self, change: impl FnOnce(&mut SessionInfo)) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            let before = entry.info.clone();
            change(&mut entry.info);
            if entry.info != before {
                self.roster.changed.send_replace(());
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.id);
        self.roster.changed.send_replace(());
    }
}

impl Entry {
    fn view(&self) -> View {
        let states = self.nudge.as_ref().map(|nudge| {
            let states = nudge.ledger().count(Count::States);
            [0, 1, 2].map(|place: u32| state(states, place))
        });
        View {
            info: self.info.clone(),
            owner: self.owner.clone(),
            began_us: self.began_us,
            last: self.last.clone(),
            algorithms: states.unwrap_or_default(),
        }
    }
}

/// One of the three states that travel in a word.
fn state(states: u64, place: u32) -> u32 {
    u32::from((states >> (8 * place)) as u8)
}

fn statistics(ledger: &Ledger) -> Statistics {
    let count = |count| ledger.count(count);
    let us = |share| ledger.latency_ns(share) / 1000;
    let states = count(Count::States);
    let state = |place: u32| state(states, place);
    let mut refusals: Vec<_> = ledger.refusals().collect();
    refusals.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    refusals.truncate(MAX_REFUSALS);
    Statistics {
        fresh: count(Count::Fresh),
        missed: count(Count::Missed),
        late: count(Count::Late),
        skipped: count(Count::Skipped),
        module_errors: count(Count::ModuleErrors),
        rejected: count(Count::Rejected),
        refused_blocks: count(Count::RefusedBlocks),
        refused_requests: count(Count::RefusedRequests),
        clamped_requests: count(Count::ClampedRequests),
        latency_p50_us: us(0.5),
        latency_p95_us: us(0.95),
        latency_p99_us: us(0.99),
        latency_max_us: count(Count::LongestNs) / 1000,
        ae_state: state(0),
        awb_state: state(1),
        af_state: state(2),
        refusals: refusals
            .into_iter()
            .map(|(kind, reason, count)| RefusedBlocks {
                r#type: kind as u32,
                reason: reason as u32,
                count,
            })
            .collect(),
    }
}
