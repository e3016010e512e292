//! What a daemon has to tell beyond one's own session.

use std::os::fd::OwnedFd;
use std::path::Path;

use coldshoe_control::client::{
    Body, FaultRecord, List, Listing, Quarantined, Release, SessionInfo, Topic, Trace,
};

use crate::Error;
use crate::connection::Connection;

/// Longest list that is taken from a daemon.
const MOST: usize = 4096;

/// A connection for looking at a daemon, without a session.
#[derive(Debug)]
pub struct Overview(Connection);

/// A trace that is being recorded.
#[derive(Debug)]
pub struct Tracing {
    /// Format of the parameters.
    pub params_format: String,
    /// Bit n: the ISP has block type n.
    pub isp_capabilities: u64,
    /// Out of it comes one buffer after the other, each behind its length: four bytes, little-endian.
    /// It ends with the last frame, or with the worker.
    pub pipe: OwnedFd,
}

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

    /// The parameters of a session's next frames, as its worker sends them.
    pub fn trace(&mut self, session: u64, frames: u32) -> Result<Tracing, Error> {
        let (body, mut fds) = self.0.ask(Trace { session, frames }.into(), &[])?;
        let Body::Tracing(tracing) = body else {
            return Err(Error::Unexpected("Trace", body.kind()));
        };
        let pipe = fds
            .pop()
            .ok_or(Error::Unexpected("Trace", "no descriptor"))?;
        Ok(Tracing {
            params_format: tracing.params_format,
            isp_capabilities: tracing.isp_capabilities,
            pipe,
        })
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
