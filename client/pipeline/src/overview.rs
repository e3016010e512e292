//! What a daemon has to tell beyond one's own session.

use std::path::Path;

use coldshoe_control::client::{
    Body, FaultRecord, List, Listing, Quarantined, Release, SessionInfo, Topic,
};

use crate::Error;
use crate::connection::Connection;

/// Longest list that is taken from a daemon.
const MOST: usize = 4096;

/// A connection for looking at a daemon, without a session.
#[derive(Debug)]
pub struct Overview(Connection);

impl Overview {
    /// Connects to the daemon of a control socket.
    pub fn connect(socket: &Path) -> Result<Self, Error> {
        Connection::open(socket).map(Self)
    }

    /// The sessions of all clients.
    pub fn sessions(&mut self) -> Result<Vec<SessionInfo>, Error> {
        let sessions = |listing: Listing| listing.sessions;
        self.list(Topic::Sessions, sessions, |session| session.session)
    }

    /// Workers that failed, as far back as the daemon remembers, the oldest first.
    pub fn faults(&mut self) -> Result<Vec<FaultRecord>, Error> {
        let faults = |listing: Listing| listing.faults;
        self.list(Topic::Faults, faults, |fault| fault.number)
    }

    /// Modules that are not loaded any more since they failed too often; the first sixteen.
    pub fn quarantined(&mut self) -> Result<Vec<Quarantined>, Error> {
        Ok(self.part(Topic::Quarantined, 0)?.quarantined)
    }

    /// Lets a module that was quarantined be used again.
    pub fn release(&mut self, module: &str) -> Result<(), Error> {
        let module = module.to_owned();
        match self.0.ask(Release { module }.into(), &[])?.0 {
            Body::Done(_) => Ok(()),
            other => Err(Error::Unexpected("Release", other.kind())),
        }
    }

    fn list<T>(
        &mut self,
        topic: Topic,
        of: impl Fn(Listing) -> Vec<T>,
        number: impl Fn(&T) -> u64,
    ) -> Result<Vec<T>, Error> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let part = of(self.part(topic, after)?);
            match part.last().map(&number) {
                Some(last) if last > after && all.len() < MOST => after = last,
                _ => return Ok(all),
            }
            all.extend(part);
        }
    }

    fn part(&mut self, topic: Topic, after: u64) -> Result<Listing, Error> {
        let topic = topic.into();
        match self.0.ask(List { topic, after }.into(), &[])?.0 {
            Body::Listing(listing) => Ok(listing),
            other => Err(Error::Unexpected("List", other.kind())),
        }
    }
}
