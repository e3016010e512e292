//! The way to the daemon: there, or on its way back.
//!
//! Nothing here waits. A daemon that ended is looked for again at growing intervals, and asked to
//! take the session up: where the session's worker has outlived it, with that one, else with
//! another.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use coldshoe_control::Trouble;
use coldshoe_control::client::{Body, OpenSession, SessionOpened};

use crate::Error;
use crate::connection::{Answer, Connection};

const FIRST_PAUSE_NS: u64 = 5_000_000;
const LONGEST_PAUSE_NS: u64 = 500_000_000;

/// The way to the daemon.
#[derive(Debug)]
pub(crate) enum Link {
    Up(Connection),
    Down(Retry),
    /// Connected; Hello was said.
    Greeting(Connection, Retry),
    /// The session was asked for.
    Resuming(Connection, Retry),
}

/// When to try again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    at_ns: u64,
    pause_ns: u64,
}

/// What an attempt came to.
#[expect(clippy::large_enum_variant, reason = "moved once, off the frame path")]
pub(crate) enum Step {
    /// Nothing to tell.
    None,
    /// There is another socket to watch.
    Connected,
    /// The daemon has taken the session up.
    Opened(SessionOpened, Vec<OwnedFd>),
    /// It has not, and says why.
    Refused(Trouble),
}

impl Link {
    /// The daemon is gone.
    pub(crate) fn lost(&mut self, now_ns: u64) {
        *self = Self::Down(Retry {
            at_ns: now_ns,
            pause_ns: FIRST_PAUSE_NS,
        });
    }

    pub(crate) fn up(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Up(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self, Self::Up(_))
    }

    /// What brings news.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Up(connection)
            | Self::Greeting(connection, _)
            | Self::Resuming(connection, _) => Some(connection.as_fd()),
            Self::Down(_) => None,
        }
    }

    /// When there is something to do without any news.
    pub(crate) fn retry_ns(&self) -> Option<u64> {
        match self {
            Self::Down(retry) => Some(retry.at_ns),
            _ => None,
        }
    }

    /// Goes on as far as that is possible without waiting. `request` is what the session is resumed
    /// with.
    pub(crate) fn advance<'a>(
        &mut self,
        path: &Path,
        now_ns: u64,
        request: impl FnOnce() -> (OpenSession, Vec<BorrowedFd<'a>>),
    ) -> Step {
        match self {
            Self::Up(_) => Step::None,
            Self::Down(retry) if retry.at_ns > now_ns => Step::None,
            Self::Down(retry) => {
                let retry = *retry;
                match Connection::begin(path) {
                    Ok(connection) => {
                        *self = Self::Greeting(connection, retry);
                        Step::Connected
                    }
                    Err(_) => self.later(retry, now_ns),
                }
            }
            Self::Greeting(connection, retry) => {
                let retry = *retry;
                match connection.answer() {
                    Ok(Answer::Pending) => Step::None,
                    Ok(Answer::Body(Body::Hello(_), _)) => {
                        let (request, fds) = request();
                        match connection.request(request.into(), &fds) {
                            Ok(()) => self.greeted(),
                            Err(_) => self.later(retry, now_ns),
                        }
                    }
                    answer => self.refused(answer, retry, now_ns),
                }
            }
            Self::Resuming(connection, retry) => {
                let retry = *retry;
                match connection.answer() {
                    Ok(Answer::Pending) => Step::None,
                    Ok(Answer::Body(Body::SessionOpened(opened), fds)) => {
                        self.resumed();
                        Step::Opened(opened, fds)
                    }
                    answer => self.refused(answer, retry, now_ns),
                }
            }
        }
    }

    fn greeted(&mut self) -> Step {
        self.change(|link| match link {
            Self::Greeting(connection, retry) => Self::Resuming(connection, retry),
            other => other,
        });
        Step::None
    }

    fn resumed(&mut self) {
        self.change(|link| match link {
            Self::Resuming(connection, _) => Self::Up(connection),
            other => other,
        });
    }

    fn change(&mut self, change: impl FnOnce(Self) -> Self) {
        let nowhere = Self::Down(Retry {
            at_ns: 0,
            pause_ns: FIRST_PAUSE_NS,
        });
        *self = change(std::mem::replace(self, nowhere));
    }

    fn refused(&mut self, answer: Result<Answer, Error>, retry: Retry, now_ns: u64) -> Step {
        self.later(retry, now_ns);
        match answer {
            Ok(Answer::Refused(trouble)) => Step::Refused(trouble),
            _ => Step::None,
        }
    }

    fn later(&mut self, Retry { pause_ns, .. }: Retry, now_ns: u64) -> Step {
        *self = Self::Down(Retry {
            at_ns: now_ns.saturating_add(pause_ns),
            pause_ns: (pause_ns * 2).min(LONGEST_PAUSE_NS),
        });
        Step::None
    }
}
