//! `coldshoectl list`: what a running daemon has.

use clap::{Args, Subcommand};
use coldshoe::Quarantined;
use serde::Serialize;

use crate::daemon::{self, Daemon, Whose};
use crate::objects::{self, Objects};
use crate::told::{Fault, Session, Statistics};
use crate::words::{plain, print, width};

/// Of JSON that is printed here.
const SCHEMA: u32 = 1;

/// Of what; sessions, if nobody says.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct List {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    sessions: Options,
}

#[derive(Subcommand)]
enum What {
    /// Sessions, with how they do
    Sessions(Options),
    /// Modules, with what is known of them, as the bus shows it
    Modules(Shown),
    /// Workers that failed: why, and how long until another one took over
    Faults(Options),
    /// Modules that failed too often and wait for `module release`
    Quarantined(Options),
}

#[derive(Args)]
struct Options {
    #[command(flatten)]
    daemon: Daemon,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Shown {
    #[command(flatten)]
    whose: Whose,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing is listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// The words do not go out.
    #[error("the list cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] std::io::Error),
}

impl From<coldshoe::Error> for Error {
    fn from(error: coldshoe::Error) -> Self {
        Self::Daemon(error.into())
    }
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Daemon(error) => error.exit_code(),
            Self::Objects(error) => error.exit_code(),
            Self::Print(_) => 1,
        }
    }
}

/// Carries out the verb.
pub(crate) fn run(list: &List) -> Result<(), Error> {
    let text = match &list.what {
        None => list.sessions.listed()?,
        Some(What::Sessions(options)) => options.listed()?,
        Some(What::Modules(options)) => {
            let (_bus, objects) = Objects::ask(options.whose)?;
            told(options.json, "modules", objects.modules)
        }
        Some(What::Faults(options)) => {
            let faults = options.daemon.ask()?.faults()?;
            told(
                options.json,
                "faults",
                faults.iter().map(Fault::of).collect(),
            )
        }
        Some(What::Quarantined(options)) => {
            let modules = options.daemon.ask()?.quarantined()?;
            told(
                options.json,
                "quarantined",
                modules.iter().map(PutAway::of).collect(),
            )
        }
    };
    Ok(print(&text)?)
}

impl Options {
    fn listed(&self) -> Result<String, Error> {
        let sessions = self.daemon.ask()?.sessions()?;
        let rows = sessions.iter().map(Session::of).collect();
        Ok(told(self.json, "sessions", rows))
    }
}

/// A line of a list.
trait Row: Serialize {
    const HEAD: &'static [&'static str];
    fn cells(&self) -> Vec<String>;
}

fn told<T: Row>(json: bool, what: &str, rows: Vec<T>) -> String {
    if json {
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
struct PutAway {
    module: String,
    /// Seconds since 1970.
    since: u64,
    why: String,
}

impl PutAway {
    fn of(quarantined: &Quarantined) -> Self {
        Self {
            module: quarantined.module.clone(),
            since: quarantined.since,
            why: quarantined.why.clone(),
        }
    }
}

impl Row for PutAway {
    const HEAD: &'static [&'static str] = &["MODULE", "WHY"];

    fn cells(&self) -> Vec<String> {
        vec![self.module.clone(), self.why.clone()]
    }
}

impl Row for objects::Module {
    const HEAD: &'static [&'static str] = &[
        "MODULE", "VERSION", "LICENCE", "TRUST", "STATE", "FAULTS", "FILE",
    ];

    fn cells(&self) -> Vec<String> {
        let known = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        vec![
            self.module.clone(),
            known(&self.version),
            known(&self.license),
            self.trust.to_owned(),
            self.state.to_owned(),
            self.faults.to_string(),
            known(&self.file),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::tests::shown;

    /// What is printed as JSON changes with its `schema` number, and not without.
    #[test]
    fn modules_are_printed_in_this_form() {
        let mut modules = shown().modules;
        modules.truncate(1);
        let json: serde_json::Value =
            serde_json::from_str(&told(true, "modules", modules)).unwrap();
        assert_eq!(
            json.to_string(),
            concat!(
                r#"{"modules":[{"faults":0,"file":"","license":"","module":"acme","profile":"","#,
                r#""sha256":"","state":"unknown","trust":"unknown","version":""}],"schema":1}"#
            )
        );
        assert_eq!(
            told::<objects::Module>(false, "modules", Vec::new()),
            "no modules"
        );
    }
}
