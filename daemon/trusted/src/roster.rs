//! The sessions that there are, for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::os::fd::{AsFd, OwnedFd};

use coldshoe_control::client::{
    MAX_LISTED, MAX_REFUSALS, RefusedBlocks, SessionInfo, SessionState, Statistics,
};
use coldshoe_frame::{Count, Ledger, Nudge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::brief::{Brief, Memory};
use crate::guest::Guest;
use crate::session::Client;

/// Sessions that can be looked at closely at a time.
const TRACES: usize = 16;

/// What proves that a session is one's own.
pub(crate) type Token = [u8; coldshoe_control::client::TOKEN];

/// Every session of the daemon.
#[derive(Debug)]
pub(crate) struct Roster {
    sessions: Mutex<BTreeMap<u64, Entry>>,
    traces: Arc<Semaphore>,
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            sessions: Mutex::default(),
            traces: Arc::new(Semaphore::new(TRACES)),
        }
    }
}

#[derive(Debug)]
struct Entry {
    info: SessionInfo,
    token: Token,
    clients: mpsc::Sender<Client>,
    memory: Arc<Memory>,
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
    /// Enters a session; who resumes it comes out of `clients`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        info: SessionInfo,
        token: Token,
        clients: mpsc::Sender<Client>,
        brief: &Brief,
    ) -> Place {
        let id = info.session;
        let memory = Arc::clone(&brief.memory);
        let entry = Entry {
            info,
            token,
            clients,
            nudge: Nudge::map(memory.forward.as_fd(), &memory.geometry).ok(),
            memory,
            params_format: brief.request.params_format.clone(),
            isp_capabilities: brief.request.isp_capabilities,
            worker: None,
        };
        self.lock().insert(id, entry);
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

    /// Where a session's parameters are; none without a worker.
    pub(crate) fn source(&self, id: u64, guest: Guest) -> Option<Source> {
        let sessions = self.lock();
        let entry = sessions.get(&id)?;
        if !guest.may(entry.info.owner) {
            return None;
        }
        let (generation, replies) = entry.worker.as_ref()?;
        Some(Source {
            memory: Arc::clone(&entry.memory),
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
    pub(crate) fn on_duty(&self, worker: Option<(u32, &Arc<OwnedFd>)>) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            entry.worker = worker.map(|(generation, replies)| (generation, Arc::clone(replies)));
        }
    }

    /// How the session does by now.
    pub(crate) fn update(&self, change: impl FnOnce(&mut SessionInfo)) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            change(&mut entry.info);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.id);
    }
}

fn statistics(ledger: &Ledger) -> Statistics {
    let count = |count| ledger.count(count);
    let us = |share| ledger.latency_ns(share) / 1000;
    let states = count(Count::States);
    let state = |place: u32| u32::from((states >> (8 * place)) as u8);
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
