//! `coldshoectl list`: what a running daemon has.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use coldshoe::Quarantined;
use serde::Serialize;

use crate::daemon::{Daemon, Error};
use crate::told::{Fault, Session, Statistics};
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

impl Row for Session {
    const HEAD: &'static [&'static str] = &[
        "SESSION", "CAMERA", "MODULE", "STATE", "WORKER", "STANDBY", "FAULTS", "FRESH", "MISSED",
        "REFUSED",
    ];

    fn cells(&self) -> Vec<String> {
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
            self.modules(),
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
