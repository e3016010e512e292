//! Who opened a session.

use crate::guest::Guest;

/// Whose a session is: as the kernel says, but for what the program calls itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) pid: u32,
    /// Name and version of its program.
    pub(crate) software: String,
}

impl Owner {
    /// Whoever is at the other end of a connection.
    pub(crate) fn of(guest: Guest, software: String) -> Self {
        Self {
            uid: guest.uid(),
            pid: guest.pid(),
            software,
        }
    }
}
