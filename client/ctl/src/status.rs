//! `coldshoectl status`: how the daemon does, on one screen.

use std::fmt::Write;
use std::io;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::AnsiColor;
use clap::Args;
use serde::Serialize;

use crate::daemon::{self, Daemon};
use crate::told::{Fault, Session, summary};
use crate::words::{plain, print, width};

/// Of the JSON.
const SCHEMA: u32 = 1;
/// What is not well ends it with this.
const DEGRADED: u8 = 6;

#[derive(Args)]
pub(crate) struct Options {
    /// One session, in full
    session: Option<u64>,
    #[command(flatten)]
    daemon: Daemon,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The daemon does not tell.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// It has no such session.
    #[error(
        "there is no session {0}\n  why: it was closed, or never opened\n  try: `coldshoectl list sessions` shows those that there are"
    )]
    NoSession(u64),
    /// The words do not go out.
    #[error("the status cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Daemon(error) => error.exit_code(),
            Self::NoSession(_) => 3,
            Self::Print(_) => 1,
        }
    }
}

/// What there is to tell.
#[derive(Serialize)]
struct Status {
    schema: u32,
    well: bool,
    sessions: Vec<Session>,
    last_fault: Option<Fault>,
    quarantined: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    let mut overview = options.daemon.ask()?;
    let sessions = overview.sessions().map_err(daemon::Error::from)?;
    let faults = overview.faults().map_err(daemon::Error::from)?;
    let quarantined = overview.quarantined().map_err(daemon::Error::from)?;
    let wanted = |session: u64| options.session.is_none_or(|one| one == session);
    let sessions: Vec<_> = sessions
        .iter()
        .map(Session::of)
        .filter(|session| wanted(session.session))
        .collect();
    if let (Some(session), true) = (options.session, sessions.is_empty()) {
        return Err(Error::NoSession(session));
    }
    let status = Status {
        schema: SCHEMA,
        well: sessions.iter().all(Session::is_well) && quarantined.is_empty(),
        sessions,
        last_fault: faults
            .iter()
            .rfind(|fault| wanted(fault.session))
            .map(Fault::of),
        quarantined: quarantined
            .into_iter()
            .map(|module| module.module)
            .collect(),
    };
    let text = match (options.json, options.session) {
        (true, _) => serde_json::to_string_pretty(&status).map_err(io::Error::from)?,
        (false, None) => status.in_words(now(), width()),
        (false, Some(_)) => status.in_full(now(), width()),
    };
    print(&text)?;
    Ok(match status.well {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DEGRADED),
    })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn dot(well: bool) -> String {
    let colour = match well {
        true => AnsiColor::Green,
        false => AnsiColor::Yellow,
    };
    let style = colour.on_default().bold();
    format!("{style}●{style:#}")
}

/// How long ago, roughly.
fn ago(now: u64, then: u64) -> String {
    match now.saturating_sub(then) {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

impl Status {
    fn in_words(&self, now: u64, width: u16) -> String {
        let mut text = format!("{} coldshoed: {}", dot(self.well), summary(&self.sessions));
        if !self.sessions.is_empty() {
            let mut table = plain(width);
            table.set_header([
                "", "SESSION", "CAMERA", "MODULE", "STATE", "FRESH", "MISSED", "P99",
            ]);
            for session in &self.sessions {
                let statistics = session.statistics.as_ref();
                let counted = |count: Option<u64>| count.map_or("-".to_owned(), |n| n.to_string());
                table.add_row([
                    "●".to_owned(),
                    session.session.to_string(),
                    session.camera.clone(),
                    session.modules(),
                    session.state.to_owned(),
                    counted(statistics.map(|told| told.fresh)),
                    counted(statistics.map(|told| told.missed)),
                    statistics.map_or("-".to_owned(), |told| ms(told.latency_us.p99)),
                ]);
            }
            let table = table.trim_fmt();
            let mut lines = table.lines();
            let _ = write!(text, "\n\n{}", lines.next().unwrap_or_default());
            // Coloured last: the table takes colours for letters.
            let mut sessions = self.sessions.iter();
            for line in lines {
                let well = line.contains('●').then(|| sessions.next()).flatten();
                let line = well.map_or(line.to_owned(), |session| {
                    line.replacen('●', &dot(session.is_well()), 1)
                });
                let _ = write!(text, "\n{line}");
            }
        }
        self.add_troubles(&mut text, now);
        text
    }

    /// The last fault and what is quarantined, each with what to do about it.
    fn add_troubles(&self, text: &mut String, now: u64) {
        if let Some(fault) = &self.last_fault {
            let recovered = fault.recovery_us.map_or_else(
                || "nobody took over".to_owned(),
                |us| format!("another worker took over after {}", ms(us)),
            );
            let _ = write!(
                text,
                "\n\nLast fault, {}, session {}: {}\n  why: {}\n  then: {recovered}",
                ago(now, fault.time),
                fault.session,
                fault.what,
                fault.why,
            );
        }
        for module in &self.quarantined {
            let _ = write!(
                text,
                "\n\n{} module {module:?} is quarantined\n  why: it failed too often; `coldshoectl list \
                 quarantined` says how\n  try: coldshoectl module release {module}",
                dot(false)
            );
        }
    }

    fn in_full(&self, now: u64, width: u16) -> String {
        let mut text = String::new();
        for session in &self.sessions {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            let _ = write!(
                text,
                "{} session {}: {}",
                dot(session.is_well()),
                session.session,
                session.state
            );
            let mut table = plain(width);
            let mut add = |name: &str, value: String| {
                table.add_row([format!("  {name}"), value]);
            };
            add("camera", session.camera.clone());
            add("module", session.modules());
            add(
                "worker",
                format!(
                    "process {}, number {} of the session",
                    session.worker, session.generation
                ),
            );
            add(
                "standby",
                if session.standby { "ready" } else { "none" }.to_owned(),
            );
            add("faults", session.faults.to_string());
            if let Some(told) = &session.statistics {
                add(
                    "frames",
                    format!(
                        "{} fresh, {} missed, {} late, {} skipped, {} refused by the module",
                        told.fresh, told.missed, told.late, told.skipped, told.module_errors
                    ),
                );
                let latency = &told.latency_us;
                add(
                    "latency",
                    format!(
                        "{} in the median, 95 % within {}, 99 % within {}, longest {}",
                        ms(latency.p50),
                        ms(latency.p95),
                        ms(latency.p99),
                        ms(latency.max)
                    ),
                );
                add(
                    "algorithms",
                    format!(
                        "exposure {}, white balance {}, focus {}",
                        told.ae, told.awb, told.af
                    ),
                );
                add(
                    "refused",
                    format!(
                        "{} blocks, {} whole answers, {} requests; {} requests clamped",
                        told.refused_blocks,
                        told.rejected,
                        told.refused_requests,
                        told.clamped_requests
                    ),
                );
                for refusal in &told.refusals {
                    add(
                        "",
                        format!(
                            "block type {}: {} times, {}",
                            refusal.r#type, refusal.count, refusal.reason
                        ),
                    );
                }
            }
            let _ = write!(text, "\n{}", table.trim_fmt());
        }
        self.add_troubles(&mut text, now);
        text
    }
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe::{SessionInfo, SessionState};

    fn session(number: u64, state: SessionState) -> Session {
        Session::of(&SessionInfo {
            session: number,
            module: "acme".into(),
            camera: "front".into(),
            state: state.into(),
            generation: 2,
            worker_pid: 4711,
            statistics: Some(coldshoe::Statistics {
                fresh: 1200,
                missed: 3,
                latency_p99_us: 1234,
                ae_state: 2,
                ..coldshoe::Statistics::default()
            }),
            ..SessionInfo::default()
        })
    }

    fn status(state: SessionState) -> Status {
        Status {
            schema: SCHEMA,
            well: state == SessionState::Running,
            sessions: vec![session(1, SessionState::Running), session(2, state)],
            last_fault: None,
            quarantined: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_well_is_told_with_what_to_do() {
        let well = status(SessionState::Running).in_words(0, 80);
        assert!(well.contains("2 sessions, all of them well"), "{well}");
        let mut ill = status(SessionState::Quarantined);
        ill.quarantined.push("acme".into());
        let text = ill.in_words(0, 80);
        assert!(text.contains("1 of them not well"), "{text}");
        assert!(
            text.contains("try: coldshoectl module release acme"),
            "{text}"
        );
    }

    #[test]
    fn it_fits_into_80_and_into_160_columns() {
        for width in [80, 160] {
            for text in [
                status(SessionState::Degraded).in_words(0, width),
                status(SessionState::Degraded).in_full(0, width),
            ] {
                for line in anstream::adapter::strip_str(&text).to_string().lines() {
                    assert!(line.chars().count() <= width.into(), "{line}");
                }
                assert!(text.contains("degraded"), "{text}");
            }
        }
    }

    #[test]
    fn times_are_told_roughly() {
        let told = [3, 61, 7300, 200_000].map(|age| ago(1_000_000, 1_000_000 - age));
        assert_eq!(told, ["3 s ago", "1 min ago", "2 h ago", "2 days ago"]);
        assert_eq!(ago(5, 9), "0 s ago");
    }
}
