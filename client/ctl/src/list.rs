//! `coldshoectl list`: what a running daemon has.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use coldshoe::{Class, FaultRecord, Quarantined, SessionInfo, SessionState};
use serde::Serialize;

use crate::daemon::{Daemon, Error};
use crate::words::{plain, width};

/// Of JSON that is printed here.
const SCHEMA: u32 = 1;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Sessions, with how they do
    Sessions(Options),
    /// Workers that failed: why, and how long until another one took over
    Faults(Options),
    /// Modules that failed too often and wait for `module release`
    Quarantined(Options),
}

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    daemon: Daemon,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Carries out the verb.
pub(crate) fn run(verb: &Verb) -> Result<(), Error> {
    let text = match verb {
        Verb::Sessions(options) => {
            let sessions = options.daemon.ask()?.sessions()?;
            options.told("sessions", sessions.iter().map(Session::of).collect())
        }
        Verb::Faults(options) => {
            let faults = options.daemon.ask()?.faults()?;
            options.told("faults", faults.iter().map(Fault::of).collect())
        }
        Verb::Quarantined(options) => {
            let modules = options.daemon.ask()?.quarantined()?;
            options.told("quarantined", modules.iter().map(Module::of).collect())
        }
    };
    // A pipe that nobody reads any more is no error.
    let _ = writeln!(io::stdout(), "{text}");
    Ok(())
}

/// A line of a list.
trait Row: Serialize {
    const HEAD: &'static [&'static str];
    fn cells(&self) -> Vec<String>;
}

impl Options {
    fn told<T: Row>(&self, what: &str, rows: Vec<T>) -> String {
        if self.json {
            let list = serde_json::json!({ "schema": SCHEMA, what: rows });
            return format!("{list:#}");
        }
        if rows.is_empty() {
            return format!("no {what}");
        }
        let mut table = plain(width());
        table.set_header(T::HEAD.iter().copied());
        for row in &rows {
            table.add_row(row.cells());
        }
        table.trim_fmt()
    }
}

#[derive(Serialize)]
struct Session {
    session: u64,
    camera: String,
    module: String,
    stand_in: Option<String>,
    state: &'static str,
    generation: u32,
    worker: u32,
    standby: bool,
    faults: u32,
    statistics: Option<Statistics>,
}

/// What its pipeline has counted.
#[derive(Serialize)]
struct Statistics {
    fresh: u64,
    missed: u64,
    late: u64,
    skipped: u64,
    module_errors: u64,
    rejected: u64,
    refused_blocks: u64,
    refused_requests: u64,
    clamped_requests: u64,
    latency_us: Latency,
    refusals: Vec<Refusals>,
}

#[derive(Serialize)]
struct Latency {
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

/// Blocks that were refused.
#[derive(Serialize)]
struct Refusals {
    r#type: u32,
    reason: &'static str,
    count: u32,
}

impl Statistics {
    fn of(told: &coldshoe::Statistics) -> Self {
        let refusals = told.refusals.iter().map(|refusal| Refusals {
            r#type: refusal.r#type,
            reason: Class::ALL
                .get(refusal.reason as usize)
                .map_or("unknown", |class| class.name()),
            count: refusal.count,
        });
        Self {
            fresh: told.fresh,
            missed: told.missed,
            late: told.late,
            skipped: told.skipped,
            module_errors: told.module_errors,
            rejected: told.rejected,
            refused_blocks: told.refused_blocks,
            refused_requests: told.refused_requests,
            clamped_requests: told.clamped_requests,
            latency_us: Latency {
                p50: told.latency_p50_us,
                p95: told.latency_p95_us,
                p99: told.latency_p99_us,
                max: told.latency_max_us,
            },
            refusals: refusals.collect(),
        }
    }
}

impl Session {
    fn of(info: &SessionInfo) -> Self {
        Self {
            session: info.session,
            camera: info.camera.clone(),
            module: info.module.clone(),
            stand_in: Some(info.stand_in.clone()).filter(|name| !name.is_empty()),
            state: match info.state() {
                SessionState::Loading => "loading",
                SessionState::Running => "running",
                SessionState::Degraded => "degraded",
                SessionState::Replacing => "replacing",
                SessionState::Quarantined => "quarantined",
                SessionState::Closed => "closed",
                SessionState::Unspecified => "unknown",
            },
            generation: info.generation,
            worker: info.worker_pid,
            standby: info.standby,
            faults: info.faults,
            statistics: info.statistics.as_ref().map(Statistics::of),
        }
    }
}

impl Row for Session {
    const HEAD: &'static [&'static str] = &[
        "SESSION", "CAMERA", "MODULE", "STATE", "WORKER", "STANDBY", "FAULTS", "FRESH", "MISSED",
        "REFUSED",
    ];

    fn cells(&self) -> Vec<String> {
        let module = match &self.stand_in {
            Some(other) => format!("{other} for {}", self.module),
            None => self.module.clone(),
        };
        let counted = |count: fn(&Statistics) -> u64| {
            let statistics = self.statistics.as_ref();
            statistics.map_or_else(
                || "-".to_owned(),
                |statistics| count(statistics).to_string(),
            )
        };
        vec![
            self.session.to_string(),
            self.camera.clone(),
            module,
            self.state.to_owned(),
            self.worker.to_string(),
            if self.standby { "ready" } else { "-" }.to_owned(),
            self.faults.to_string(),
            counted(|statistics| statistics.fresh),
            counted(|statistics| statistics.missed),
            counted(|statistics| statistics.refused_blocks),
        ]
    }
}

#[derive(Serialize)]
struct Fault {
    number: u64,
    /// Seconds since 1970.
    time: u64,
    session: u64,
    camera: String,
    module: String,
    generation: u32,
    reason: &'static str,
    frame: u64,
    what: String,
    why: String,
    recovery_us: Option<u64>,
}

impl Fault {
    fn of(record: &FaultRecord) -> Self {
        Self {
            number: record.number,
            time: record.time,
            session: record.session,
            camera: record.camera.clone(),
            module: record.module.clone(),
            generation: record.generation,
            reason: record.reason().word(),
            frame: record.frame,
            what: record.what.clone(),
            why: record.why.clone(),
            recovery_us: Some(record.recovery_us).filter(|us| *us > 0),
        }
    }
}

impl Row for Fault {
    const HEAD: &'static [&'static str] = &[
        "FAULT", "SESSION", "MODULE", "REASON", "FRAME", "RECOVERY", "WHY",
    ];

    fn cells(&self) -> Vec<String> {
        let recovery = self
            .recovery_us
            .map(|us| format!("{:.1} ms", us as f64 / 1e3));
        vec![
            self.number.to_string(),
            self.session.to_string(),
            self.module.clone(),
            self.reason.to_owned(),
            self.frame.to_string(),
            recovery.unwrap_or_else(|| "-".to_owned()),
            self.why.clone(),
        ]
    }
}

#[derive(Serialize)]
struct Module {
    module: String,
    /// Seconds since 1970.
    since: u64,
    why: String,
}

impl Module {
    fn of(quarantined: &Quarantined) -> Self {
        Self {
            module: quarantined.module.clone(),
            since: quarantined.since,
            why: quarantined.why.clone(),
        }
    }
}

impl Row for Module {
    const HEAD: &'static [&'static str] = &["MODULE", "WHY"];

    fn cells(&self) -> Vec<String> {
        vec![self.module.clone(), self.why.clone()]
    }
}
