//! The service manager's store of descriptors: what it holds outlives this daemon, and comes back to
//! the next one under its name.
//!
//! | name | what |
//! |---|---|
//! | `keeper` | the socket of the parent of all workers |
//! | `control` | the listening control socket |
//! | `sN.state.V` | session N in words, see `kept.rs`; the highest V counts |
//! | `sN.client`, `sN.forward`, `sN.bufferI`, `sN.module`, `sN.tuning` | what the session has |
//! | `sN.wG.…` | what its worker of generation G has |

use std::os::fd::BorrowedFd;

use sd_notify::{NotifyState, notify, notify_with_fds};

/// The store, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    there: bool,
}

impl Store {
    /// `there`: the service manager keeps what it is sent.
    pub(crate) fn new(there: bool) -> Self {
        Self { there }
    }

    pub(crate) fn is_there(self) -> bool {
        self.there
    }

    /// Has a descriptor kept under a name.
    pub(crate) fn keep(self, name: &str, fd: BorrowedFd<'_>) {
        if !self.there {
            return;
        }
        let state = [NotifyState::FdStore, NotifyState::FdName(name)];
        if let Err(error) = notify_with_fds(&state, &[fd]) {
            tracing::warn!(name, %error, "not kept for the next daemon");
        }
    }

    /// Has what is kept under a name forgotten.
    pub(crate) fn forget(self, name: &str) {
        if !self.there {
            return;
        }
        let state = [NotifyState::FdStoreRemove, NotifyState::FdName(name)];
        if let Err(error) = notify(&state) {
            tracing::warn!(name, %error, "still kept for the next daemon");
        }
    }
}
