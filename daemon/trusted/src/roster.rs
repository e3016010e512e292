//! The sessions that there are, for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coldshoe_control::client::{MAX_LISTED, SessionInfo, SessionState};
use tokio::sync::mpsc;

use crate::session::Client;

/// What proves that a session is one's own.
pub(crate) type Token = [u8; coldshoe_control::client::TOKEN];

/// Every session of the daemon.
#[derive(Debug, Default)]
pub(crate) struct Roster(Mutex<BTreeMap<u64, Entry>>);

#[derive(Debug)]
struct Entry {
    info: SessionInfo,
    token: Token,
    clients: mpsc::Sender<Client>,
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
    ) -> Place {
        let id = info.session;
        let entry = Entry {
            info,
            token,
            clients,
        };
        self.lock().insert(id, entry);
        Place {
            id,
            roster: Arc::clone(self),
        }
    }

    /// The sessions with a higher number, as many as fit a message.
    pub(crate) fn after(&self, id: u64) -> Vec<SessionInfo> {
        let sessions = self.lock();
        let later = sessions.range(id.saturating_add(1)..);
        later
            .take(MAX_LISTED)
            .map(|(_, entry)| entry.info.clone())
            .collect()
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
    pub(crate) fn by_token(&self, token: &[u8]) -> Option<(u64, mpsc::Sender<Client>)> {
        let sessions = self.lock();
        let found = sessions.iter().find(|(_, entry)| entry.token == token);
        found.map(|(id, entry)| (*id, entry.clients.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The session is known by another token.
    pub(crate) fn change_token(&self, token: Token) {
        if let Some(entry) = self.roster.lock().get_mut(&self.id) {
            entry.token = token;
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
