//! Between the application and its worker, until one of them is gone for good.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use coldshoe_control::client::FaultReason;
use coldshoe_libcamera_wire::{
    Dialect, Firewall, Limits, MAX_MESSAGE, Message, Verdict, Wrong, header,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::daemon::{Daemon, Worker};
use crate::datagram::{Received, broken, receive, send};
use crate::error::Error;

/// Command that ends a worker.
const EXIT: u32 = 0;
/// Datagrams that one end may have in a row: two messages.
const TURN: usize = 4;

pub(crate) struct Relay {
    application: OwnedFd,
    /// Readable when the application has ended.
    application_pidfd: OwnedFd,
    worker: OwnedFd,
    daemon: Daemon,
    firewall: Firewall<OwnedFd>,
    buffer: Vec<u8>,
    /// The daemon knows that the worker has answered init().
    initialised: bool,
    /// The worker has been told to end.
    told_to_exit: bool,
    /// Since when it was not watched whether the application says something: it may have waited as long.
    unwatched: Option<Instant>,
    /// How many messages the daemon knows to be withheld.
    reported: u64,
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
            worker: worker.socket,
            daemon,
            firewall: Firewall::new(dialect, Limits::default()),
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
        self.look_away(began);
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
        while let Some(message) = self.firewall.next(Instant::now()) {
            self.told_to_exit |= message.command() == EXIT;
            if !say(&self.worker, &message)? {
                return Ok(ended());
            }
        }
        if let Some(why) = self.firewall.strange() {
            self.daemon.withheld(self.reported, why.to_string(), true)?;
        }
        let [gone, from_worker, from_daemon, from_application] = self.wait()?;
        if gone {
            // The daemon ends the worker when it sees our end.
            return Ok(Next::End);
        }
        if from_daemon {
            self.daemon.overheard()?;
        }
        if from_worker {
            for _ in 0..TURN {
                match receive(self.worker.as_fd(), &mut self.buffer)? {
                    Received::Nothing => break,
                    Received::Closed => return Ok(ended()),
                    Received::Datagram(length, fds) => match self.hear_worker(length, fds)? {
                        Next::Go => {}
                        other => return Ok(other),
                    },
                }
            }
        }
        if from_application {
            for _ in 0..TURN {
                match receive(self.application.as_fd(), &mut self.buffer)? {
                    Received::Nothing => {
                        self.unwatched = None;
                        break;
                    }
                    Received::Closed => return Ok(Next::End),
                    Received::Datagram(length, fds) => {
                        let datagram = self.buffer.get(..length).unwrap_or_default();
                        let when = self.unwatched.unwrap_or_else(Instant::now);
                        let heard = self.firewall.host(datagram, fds, when);
                        heard.map_err(|error| Error::Invocation(error.to_string()))?;
                    }
                }
            }
        }
        Ok(match self.firewall.overdue(Instant::now()) {
            Some(Wrong(why)) => Next::Replace(FaultReason::Deadline, why),
            None => Next::Go,
        })
    }

    /// Until something is there: the application's end, the worker, the daemon, the application.
    fn wait(&mut self) -> Result<[bool; 4], Error> {
        // What the application says stays where it is while a worker is told what it needs to know.
        let application = if self.firewall.is_busy() {
            self.look_away(Instant::now());
            PollFlags::empty()
        } else {
            self.look_back();
            PollFlags::IN
        };
        let mut ready = [
            PollFd::new(&self.application_pidfd, PollFlags::IN),
            PollFd::new(&self.worker, PollFlags::IN),
            PollFd::new(&self.daemon, PollFlags::IN),
            PollFd::new(&self.application, application),
        ];
        let due = self.firewall.next_deadline();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut ready, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(ready.map(|fd| !fd.revents().is_empty())),
            Err(error) => Err(broken("poll", error)),
        }
    }

    /// The application is not watched from then on.
    fn look_away(&mut self, now: Instant) {
        self.unwatched.get_or_insert(now);
    }

    /// Whether it has said something meanwhile shows now.
    fn look_back(&mut self) {
        let mut said = [PollFd::new(&self.application, PollFlags::IN)];
        if self.unwatched.is_some() && poll(&mut said, Some(&Timespec::default())) == Ok(0) {
            self.unwatched = None;
        }
    }

    fn hear_worker(&mut self, length: usize, fds: Vec<OwnedFd>) -> Result<Next, Error> {
        let was_initialised = self.firewall.is_initialised();
        let datagram = self.buffer.get(..length).unwrap_or_default();
        let why = match self.firewall.worker(datagram, fds, Instant::now()) {
            Verdict::Half => return Ok(Next::Go),
            Verdict::Swallowed => return self.has_answered_init(),
            Verdict::Pass(message) => {
                // The daemon is told before the application hears of it.
                let next = self.has_answered_init()?;
                return Ok(if say(&self.application, &message)? {
                    next
                } else {
                    Next::End
                });
            }
            Verdict::Dropped(Wrong(why)) => {
                self.report(&why, false)?;
                if self.firewall.is_initialised() && !was_initialised {
                    // Too late for the application.
                    return self.has_answered_init();
                }
                return Ok(Next::Go);
            }
            Verdict::Fault(Wrong(why)) => why,
        };
        self.report(&why, true)?;
        Ok(Next::Replace(FaultReason::Protocol, why))
    }

    fn has_answered_init(&mut self) -> Result<Next, Error> {
        if !self.initialised {
            self.initialised = true;
            self.daemon.initialised()?;
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
        let ended = if why.is_empty() { "it has ended" } else { &why };
        let not_replaced = Error::NotReplaced(ended.to_owned());
        if !self.firewall.is_replaceable() {
            return Err(not_replaced);
        }
        self.look_away(Instant::now());
        let worker = self.daemon.replace(reason, why)?;
        // Its time begins when it is there.
        if !self.firewall.worker_replaced(Instant::now()) {
            return Err(not_replaced);
        }
        self.worker = worker.socket;
        self.initialised = false;
        Ok(())
    }
}

fn ended() -> Next {
    Next::Replace(FaultReason::Unspecified, String::new())
}

/// Whether there was somebody to say it to.
fn say(to: &OwnedFd, message: &Message<OwnedFd>) -> Result<bool, Error> {
    let header = header(message);
    Ok(send(to.as_fd(), &header, &[])? && send(to.as_fd(), &message.bytes, &message.fds)?)
}
