//! `coldshoectl monitor`: what happens to sessions, as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::daemon::{self, Daemon};
use crate::told::{Fault, Session};
use crate::words::print;

/// Of the JSON.
const SCHEMA: u32 = 1;
/// How often the daemon is asked.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    daemon: Daemon,
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Why it ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The daemon does not tell any more.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// The words do not go out.
    #[error("events cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] std::io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Daemon(error) => error.exit_code(),
            Self::Print(_) => 1,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
enum Event {
    Opened(Session),
    State {
        session: u64,
        before: &'static str,
        now: &'static str,
    },
    Worker {
        session: u64,
        generation: u32,
        worker: u32,
    },
    Fault(Fault),
    Closed {
        session: u64,
    },
}

impl Event {
    fn in_words(&self) -> String {
        match self {
            Self::Opened(session) => format!(
                "session {} of camera {:?} on module {:?} is {}",
                session.session, session.camera, session.module, session.state
            ),
            Self::State {
                session,
                before,
                now,
            } => format!("session {session} was {before}, and is {now}"),
            Self::Worker {
                session,
                generation,
                worker,
            } => format!("session {session} has its worker {generation}, process {worker}"),
            Self::Fault(fault) => format!(
                "session {}: {} ({}) in frame {}: {}",
                fault.session, fault.what, fault.reason, fault.frame, fault.why
            ),
            Self::Closed { session } => format!("session {session} is closed"),
        }
    }
}

/// What was known before.
#[derive(Default)]
struct Known {
    sessions: BTreeMap<u64, Session>,
    last_fault: Option<u64>,
}

impl Known {
    /// What has happened since.
    fn events(&mut self, sessions: Vec<Session>, faults: Vec<Fault>) -> Vec<Event> {
        let mut events = Vec::new();
        let last = faults.last().map(|fault| fault.number);
        // What happened before anybody looked is not news.
        if let Some(known) = self.last_fault {
            let news = faults.into_iter().filter(|fault| fault.number > known);
            events.extend(news.map(Event::Fault));
        }
        self.last_fault = Some(last.or(self.last_fault).unwrap_or(0));
        let now: BTreeMap<_, _> = sessions.into_iter().map(|s| (s.session, s)).collect();
        for (session, was) in &self.sessions {
            let session = *session;
            match now.get(&session) {
                None => events.push(Event::Closed { session }),
                Some(is) => {
                    if is.generation != was.generation && is.worker != 0 {
                        events.push(Event::Worker {
                            session,
                            generation: is.generation,
                            worker: is.worker,
                        });
                    }
                    if is.state != was.state {
                        let (before, now) = (was.state, is.state);
                        events.push(Event::State {
                            session,
                            before,
                            now,
                        });
                    }
                }
            }
        }
        let new = now.iter().filter(|(id, _)| !self.sessions.contains_key(id));
        events.extend(new.map(|(_, session)| Event::Opened(session.clone())));
        self.sessions = now;
        events
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let mut overview = options.daemon.ask()?;
    let mut known = Known::default();
    loop {
        let sessions = overview.sessions().map_err(daemon::Error::from)?;
        let faults = overview.faults().map_err(daemon::Error::from)?;
        let sessions = sessions.iter().map(Session::of).collect();
        let faults = faults.iter().map(Fault::of).collect();
        for event in known.events(sessions, faults) {
            print(&match options.json {
                true => line(&event)?,
                false => event.in_words(),
            })?;
        }
        std::thread::sleep(EVERY);
    }
}

fn line(event: &Event) -> Result<String, Error> {
    let mut event = serde_json::to_value(event).map_err(std::io::Error::from)?;
    if let Some(fields) = event.as_object_mut() {
        fields.insert("schema".to_owned(), SCHEMA.into());
    }
    Ok(event.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe::{FaultRecord, SessionInfo, SessionState};

    fn session(number: u64, state: SessionState, generation: u32) -> Session {
        Session::of(&SessionInfo {
            session: number,
            module: "acme".into(),
            camera: "front".into(),
            state: state.into(),
            generation,
            worker_pid: 4711,
            ..SessionInfo::default()
        })
    }

    fn fault(number: u64) -> Fault {
        Fault::of(&FaultRecord {
            number,
            session: 1,
            what: "module \"acme\" failed".into(),
            why: "its process crashed".into(),
            ..FaultRecord::default()
        })
    }

    fn lines(events: &[Event]) -> Vec<String> {
        events.iter().map(Event::in_words).collect()
    }

    #[test]
    fn what_changes_between_two_looks_is_told_once() {
        let mut known = Known::default();
        let running = || session(1, SessionState::Running, 1);
        let first = known.events(vec![running()], vec![fault(7)]);
        assert_eq!(
            lines(&first),
            ["session 1 of camera \"front\" on module \"acme\" is running"]
        );
        assert!(known.events(vec![running()], vec![fault(7)]).is_empty());
        let next = session(1, SessionState::Degraded, 2);
        let then = known.events(vec![next], vec![fault(7), fault(8)]);
        assert_eq!(
            lines(&then),
            [
                "session 1: module \"acme\" failed (unknown) in frame 0: its process crashed",
                "session 1 has its worker 2, process 4711",
                "session 1 was running, and is degraded",
            ]
        );
        assert_eq!(
            lines(&known.events(vec![], vec![fault(8)])),
            ["session 1 is closed"]
        );
    }

    #[test]
    fn a_first_fault_is_news_where_there_was_none_before() {
        let mut known = Known::default();
        assert!(known.events(vec![], vec![]).is_empty());
        assert_eq!(known.events(vec![], vec![fault(1)]).len(), 1);
    }

    #[test]
    fn a_line_of_json_says_which_schema_and_event_it_is() {
        let json = line(&Event::Closed { session: 3 }).unwrap();
        assert_eq!(json, r#"{"event":"closed","schema":1,"session":3}"#);
    }
}
