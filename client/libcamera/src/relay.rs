//! Between the application and its worker, until one of them is gone for good.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use coldshoe_control::client::FaultReason;
use coldshoe_libcamera_wire::{
    Dialect, Firewall, Limits, MAX_MESSAGE, Message, Verdict, Wrong, header,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::daemon::{Daemon, PATIENCE, Worker};
use crate::datagram::{Received, Sent, broken, receive, send};
use crate::error::Error;
use crate::shadow::Shadows;

/// Command that ends a worker.
const EXIT: u32 = 0;
/// Datagrams that one end may have in a row: a message.
const TURN: usize = 2;
/// For a worker to read what it is told: then there is time left for another one.
const READS: Duration = Duration::from_millis(500);

pub(crate) struct Relay {
    application: OwnedFd,
    /// Readable when the application has ended.
    application_pidfd: OwnedFd,
    worker: Side,
    daemon: Daemon,
    firewall: Firewall<OwnedFd, Shadows>,
    buffer: Vec<u8>,
    /// The daemon knows that the worker has answered init().
    initialised: bool,
    /// The worker has been told to end.
    told_to_exit: bool,
    /// Since when the application may have said what is there to be read, before anybody looked.
    unwatched: Option<Instant>,
    /// How many messages the daemon knows to be withheld.
    reported: u64,
}

/// The worker's side.
enum Side {
    Worker(OwnedFd),
    /// The daemon is asked for another one, until then.
    Asked(Instant),
}

/// What follows.
enum Next {
    Go,
    /// The application needs nothing more.
    End,
    /// The worker has ended, or must.
    Replace(FaultReason, String),
}

impl Relay {
    pub(crate) fn new(
        application: OwnedFd,
        application_pidfd: OwnedFd,
        worker: Worker,
        daemon: Daemon,
        dialect: Option<Dialect>,
    ) -> Self {
        Self {
            application,
            application_pidfd,
            worker: Side::Worker(worker.socket),
            daemon,
            firewall: Firewall::new(dialect, Limits::default(), Shadows::default()),
            // One byte more shows what is too large.
            buffer: vec![0; MAX_MESSAGE + 1],
            initialised: false,
            told_to_exit: false,
            unwatched: None,
            reported: 0,
        }
    }

    /// Relays until the application has ended, or has told the worker to. It may have said something from
    /// `began` on.
    pub(crate) fn run(mut self, began: Instant) -> Result<(), Error> {
        self.unwatched = Some(began);
        loop {
            match self.turn()? {
                Next::Go => {}
                Next::End => return Ok(()),
                Next::Replace(..) if self.told_to_exit => return Ok(()),
                Next::Replace(reason, why) => self.replace(reason, why)?,
            }
        }
    }

    fn turn(&mut self) -> Result<Next, Error> {
        if let Some(next) = self.tell_worker()? {
            return Ok(next);
        }
        if let Some(why) = self.firewall.strange() {
            self.daemon.withheld(self.reported, why.to_string(), true)?;
        }
        let [gone, from_worker, from_daemon, from_application] = self.wait()?;
        if gone {
            // The daemon ends the worker when it sees our end.
            return Ok(Next::End);
        }
        // First, for this is when it was said; and what the worker says after that comes after it.
        if from_application {
            return self.hear_application();
        }
        self.unwatched = None;
        if from_daemon && let Some(worker) = self.daemon.overheard()? {
            self.replaced(worker)?;
            return Ok(Next::Go);
        }
        match self.worker {
            Side::Asked(until) if until <= Instant::now() => Err(Error::Patience),
            Side::Asked(_) => Ok(Next::Go),
            Side::Worker(_) if from_worker => self.hear_worker(),
            Side::Worker(_) => Ok(self.overdue()),
        }
    }

    /// Until something is there: the application's end, the worker, the daemon, the application.
    fn wait(&self) -> Result<[bool; 4], Error> {
        let if_in = |wanted| {
            if wanted {
                PollFlags::IN
            } else {
                PollFlags::empty()
            }
        };
        let (worker, due) = match &self.worker {
            Side::Worker(worker) => (Some(worker), self.firewall.next_deadline()),
            Side::Asked(until) => (None, Some(*until)),
        };
        let mut ready = [
            PollFd::new(&self.application_pidfd, PollFlags::IN),
            PollFd::new(&self.daemon, PollFlags::IN),
            PollFd::new(&self.application, if_in(self.firewall.has_room())),
            PollFd::new(worker.unwrap_or(&self.application), if_in(worker.is_some())),
        ];
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut ready, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {
                let [gone, daemon, application, from_worker] =
                    ready.map(|fd| !fd.revents().is_empty());
                Ok([gone, from_worker && worker.is_some(), daemon, application])
            }
            Err(error) => Err(broken("poll", error)),
        }
    }

    /// All that there is to tell it, as long as it reads.
    fn tell_worker(&mut self) -> Result<Option<Next>, Error> {
        let Side::Worker(worker) = &self.worker else {
            return Ok(None);
        };
        let until = Instant::now() + READS;
        while let Some(message) = self.firewall.next(Instant::now()) {
            self.told_to_exit |= message.command() == EXIT;
            let sent = say(worker, &message, || {
                let left = until.saturating_duration_since(Instant::now());
                let left = Timespec::try_from(left).ok();
                let mut room = [PollFd::new(worker, PollFlags::OUT)];
                Ok(!matches!(poll(&mut room, left.as_ref()), Ok(0)))
            })?;
            match sent {
                Sent::Yes => {}
                Sent::Gone => return Ok(Some(ended())),
                Sent::Full => {
                    let why = "it does not read what it is told".to_owned();
                    return Ok(Some(Next::Replace(FaultReason::Deadline, why)));
                }
            }
        }
        Ok(None)
    }

    fn hear_application(&mut self) -> Result<Next, Error> {
        for _ in 0..TURN {
            match receive(self.application.as_fd(), &mut self.buffer) {
                Received::Nothing => {
                    self.unwatched = None;
                    break;
                }
                Received::Closed => return Ok(Next::End),
                Received::Broken(why) => return Err(Error::Relay(why)),
                Received::Datagram(length, fds) => {
                    let datagram = self.buffer.get(..length).unwrap_or_default();
                    let when = self.unwatched.unwrap_or_else(Instant::now);
                    let heard = self.firewall.host(datagram, fds, when);
                    heard.map_err(|error| Error::Invocation(error.to_string()))?;
                }
            }
        }
        Ok(Next::Go)
    }

    fn hear_worker(&mut self) -> Result<Next, Error> {
        for _ in 0..TURN {
            let Side::Worker(worker) = &self.worker else {
                return Ok(Next::Go);
            };
            match receive(worker.as_fd(), &mut self.buffer) {
                Received::Nothing => return Ok(self.overdue()),
                Received::Closed => return Ok(ended()),
                Received::Broken(why) => {
                    self.report(&why, true)?;
                    return Ok(Next::Replace(FaultReason::Protocol, why));
                }
                Received::Datagram(length, fds) => match self.heard(length, fds)? {
                    Next::Go => {}
                    other => return Ok(other),
                },
            }
        }
        Ok(Next::Go)
    }

    /// Once all that the worker has said is heard: this end may have slept, and the worker not.
    fn overdue(&self) -> Next {
        match self.firewall.overdue(Instant::now()) {
            Some(Wrong(why)) => Next::Replace(FaultReason::Deadline, why),
            None => Next::Go,
        }
    }

    fn heard(&mut self, length: usize, fds: Vec<OwnedFd>) -> Result<Next, Error> {
        let datagram = self.buffer.get(..length).unwrap_or_default();
        let why = match self.firewall.worker(datagram, fds, Instant::now()) {
            Verdict::Half => return Ok(Next::Go),
            Verdict::Swallowed => return self.has_answered_init(),
            Verdict::Pass(message) => {
                // The daemon is told before the application hears of it.
                let next = self.has_answered_init()?;
                return Ok(if self.tell_application(&message)? {
                    next
                } else {
                    Next::End
                });
            }
            Verdict::Dropped(Wrong(why)) => {
                self.report(&why, false)?;
                return Ok(Next::Go);
            }
            Verdict::Fault(Wrong(why)) => why,
        };
        self.report(&why, true)?;
        Ok(Next::Replace(FaultReason::Protocol, why))
    }

    /// Whether there was somebody to tell it, however long that does not read: whoever has stopped it
    /// may let it go on.
    fn tell_application(&self, message: &Message<OwnedFd>) -> Result<bool, Error> {
        let sent = say(&self.application, message, || {
            let mut room = [
                PollFd::new(&self.application, PollFlags::OUT),
                PollFd::new(&self.application_pidfd, PollFlags::IN),
            ];
            let polled = poll(&mut room, None);
            let [_, gone] = &room;
            Ok(polled.is_err() || gone.revents().is_empty())
        })?;
        Ok(sent == Sent::Yes)
    }

    fn has_answered_init(&mut self) -> Result<Next, Error> {
        if !self.initialised && self.firewall.is_loaded() {
            self.initialised = true;
            self.daemon.initialised(self.firewall.sensor())?;
        }
        Ok(Next::Go)
    }

    /// Tells the daemon what was withheld: the first, and whenever it is twice as many.
    fn report(&mut self, why: &str, at_once: bool) -> Result<(), Error> {
        let dropped = self.firewall.counts().dropped;
        if at_once || dropped >= self.reported.saturating_mul(2).max(1) {
            self.reported = dropped;
            self.daemon.withheld(dropped, why.to_owned(), false)?;
        }
        Ok(())
    }

    /// Another worker, of which the application hears nothing.
    fn replace(&mut self, reason: FaultReason, why: String) -> Result<(), Error> {
        if !self.firewall.can_replace() {
            let why = if why.is_empty() { "it has ended" } else { &why };
            return Err(Error::NotReplaced(why.to_owned()));
        }
        self.daemon.replace(reason, why)?;
        self.worker = Side::Asked(Instant::now() + PATIENCE);
        Ok(())
    }

    fn replaced(&mut self, worker: Worker) -> Result<(), Error> {
        let asked = matches!(self.worker, Side::Asked(_));
        if !asked || !self.firewall.worker_replaced(Instant::now()) {
            return Err(Error::Daemon(
                "it gives a worker, and nobody asked".to_owned(),
            ));
        }
        self.worker = Side::Worker(worker.socket);
        self.initialised = false;
        Ok(())
    }
}

fn ended() -> Next {
    Next::Replace(FaultReason::Unspecified, String::new())
}

/// Both datagrams of a message. `room` waits for room, and says whether there is hope of it.
fn say(
    to: &OwnedFd,
    message: &Message<OwnedFd>,
    mut room: impl FnMut() -> Result<bool, Error>,
) -> Result<Sent, Error> {
    let header = header(message);
    let both = [(&header[..], &[][..]), (&message.bytes, &message.fds)];
    for (bytes, fds) in both {
        loop {
            match send(to.as_fd(), bytes, fds)? {
                Sent::Yes => break,
                Sent::Full if room()? => {}
                other => return Ok(other),
            }
        }
    }
    Ok(Sent::Yes)
}

#[cfg(test)]
mod tests;
