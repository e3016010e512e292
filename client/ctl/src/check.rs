//! `coldshoectl check`: what this machine can enforce, row by row.

use std::fs;
use std::io;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Args;
use coldshoe_jail::{Feature, Grade};
use coldshoe_wall::outside::Features;
use comfy_table::Row as Line;
use serde::Serialize;

use crate::words::{plain, print, width};

/// Of the JSON.
const SCHEMA: u32 = 1;
/// Something is missing, or something else stands in for it.
const EXIT_DEGRADED: u8 = 6;

/// No part of the jail uses them yet: whether the kernel has them tells nothing.
const UNUSED: [Feature; 1] = [Feature::CoreScheduling];

/// Ends with 6 if anything is degraded or missing. Limits of cgroups are those of a daemon that is
/// started as this is: in a service of its own with Delegate=yes they are there.
#[derive(Args)]
pub(crate) struct Options {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing was shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The words do not go out.
    #[error(
        "the result of the check cannot be printed\n  why: {0}\n  try: send standard output elsewhere"
    )]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        1
    }
}

/// How a feature does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// In force.
    Ok,
    /// Not there; something else stands in for it, and sessions run.
    Degraded,
    /// Not there, and no session runs without it unless a profile says so.
    Missing,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }

    const fn style(self) -> Style {
        let colour = match self {
            Self::Ok => AnsiColor::Green,
            Self::Degraded => AnsiColor::Yellow,
            Self::Missing => AnsiColor::Red,
        };
        colour.on_default().bold()
    }
}

/// One feature.
#[derive(Clone, Debug, Serialize)]
struct Row {
    feature: Feature,
    state: State,
    grade: Grade,
    /// What it is good for.
    purpose: &'static str,
    /// What the kernel answered; nothing where all is well.
    found: Option<String>,
    /// What stands in for it, or what is lost.
    without: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    kernel: String,
    architecture: &'static str,
    landlock_abi: u32,
    /// The worst of the rows.
    state: State,
    /// Whether sessions can be opened under the built-in profiles.
    sessions: bool,
    rows: Vec<Row>,
}

/// Carries out the verb.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    let features = Features::probe();
    let cgroups = cgroup_controllers().and_then(|()| own_subtree(coldshoed::cgroup_limits()));
    let report = Report::new(features.landlock_abi(), |feature| match feature {
        Feature::CgroupLimits => Some(cgroups.clone()),
        other => features.support(other.name()),
    });
    let text = if options.json {
        serde_json::to_string_pretty(&report).map_err(io::Error::from)?
    } else {
        report.in_words(width())
    };
    print(&text)?;
    Ok(match report.state {
        State::Ok => ExitCode::SUCCESS,
        State::Degraded | State::Missing => ExitCode::from(EXIT_DEGRADED),
    })
}

impl Report {
    /// A feature of which `answer` knows nothing cannot be relied on.
    fn new(landlock_abi: u32, answer: impl Fn(Feature) -> Option<Result<(), String>>) -> Self {
        let unknown = || Err("coldshoectl does not know how to try it".to_owned());
        let rows: Vec<Row> = Feature::ALL
            .into_iter()
            .filter(|feature| !UNUSED.contains(feature))
            .map(|feature| row(feature, answer(feature).unwrap_or_else(unknown)))
            .collect();
        let state = rows.iter().map(|row| row.state).max().unwrap_or(State::Ok);
        Self {
            schema: SCHEMA,
            kernel: kernel(),
            architecture: std::env::consts::ARCH,
            landlock_abi,
            state,
            sessions: state != State::Missing,
            rows,
        }
    }

    fn in_words(&self, width: u16) -> String {
        let mut table = plain(width);
        for row in &self.rows {
            let what = match (&row.found, row.without) {
                (Some(found), Some(without)) => {
                    format!("{}\nfound: {found}\ninstead: {without}", row.purpose)
                }
                _ => row.purpose.to_owned(),
            };
            table.add_row(Line::from([row.feature.name(), row.state.word(), &what]));
        }
        let table = self.coloured(&table.trim_fmt());
        format!(
            "Linux {} on {}, Landlock ABI {}\n\n{}\n\n{}",
            self.kernel,
            self.architecture,
            self.landlock_abi,
            table,
            self.verdict()
        )
    }

    /// Colours come last: a table takes their codes for text.
    fn coloured(&self, table: &str) -> String {
        let mut rows = self.rows.iter().peekable();
        let lines = table.lines().map(|line| {
            let named = |row: &&Row| line.trim_start().starts_with(row.feature.name());
            let Some(row) = rows.next_if(named) else {
                return line.to_owned();
            };
            let (word, style) = (row.state.word(), row.state.style());
            line.replacen(&format!(" {word}"), &format!(" {style}{word}{style:#}"), 1)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn verdict(&self) -> String {
        let count = |state| self.rows.iter().filter(|row| row.state == state).count();
        let names = |state| {
            let rows = self.rows.iter().filter(move |row| row.state == state);
            rows.map(|row| row.feature.name())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let style = self.state.style();
        match self.state {
            State::Ok => format!("{style}All of the jail can be enforced here.{style:#}"),
            State::Degraded => format!(
                "{style}Sessions run; {} of {} rows lean on something else.{style:#}",
                count(State::Degraded),
                self.rows.len()
            ),
            State::Missing => format!(
                "{style}Sessions are refused: {}.{style:#}\n\
                 A feature that is required, not mandatory, may be named in allow_degraded of a \
                 profile of your own: coldshoed --profile FILE.",
                names(State::Missing)
            ),
        }
    }
}

fn row(feature: Feature, answer: Result<(), String>) -> Row {
    let state = match (&answer, feature.grade()) {
        (Ok(()), _) => State::Ok,
        (Err(_), Grade::Reported) => State::Degraded,
        (Err(_), Grade::Mandatory | Grade::Required) => State::Missing,
    };
    Row {
        feature,
        state,
        grade: feature.grade(),
        purpose: purpose(feature),
        without: answer.is_err().then(|| feature.without()),
        found: answer.err(),
    }
}

/// What it is good for.
fn purpose(feature: Feature) -> &'static str {
    match feature {
        Feature::SeccompNotify => {
            "the daemon decides the system calls of loading, and sees every violation"
        }
        Feature::NoNewPrivs => "no program that a worker starts can gain rights",
        Feature::Landlock => "no file but libraries and the module can be opened",
        Feature::UserNamespace => "a worker has no rights over anything outside, whoever runs it",
        Feature::PidNamespace => "a worker sees no other process, and its own die with it",
        Feature::NetNamespace => "a worker has no network, not even the local one",
        Feature::IpcNamespace => "a worker shares no System V or POSIX queue",
        Feature::MountNamespace => {
            "a worker has a root directory of its own, without /proc and /dev"
        }
        Feature::FutureWriteSeal => "the statistics cannot be written by who reads them",
        Feature::UtsNamespace => "a worker has no say in the host's name",
        Feature::LandlockTruncate => "Landlock refuses to cut files off (ABI 3)",
        Feature::LandlockNetwork => "Landlock refuses TCP (ABI 4)",
        Feature::LandlockIoctl => "Landlock refuses commands to devices (ABI 5)",
        Feature::LandlockScopes => "Landlock refuses signals and abstract sockets (ABI 6)",
        Feature::LandlockAudit => "Landlock writes refusals to the audit log (ABI 7)",
        Feature::LandlockTsync => "Landlock holds all threads at once (ABI 8)",
        Feature::LandlockUnixConnect => "Landlock refuses sockets by path (ABI 9)",
        Feature::Mdwe => "memory that was ever writable never becomes code",
        Feature::SpeculationControls => "speculation across the jail's border is kept down",
        Feature::CgroupLimits => {
            "memory, processes and processor time of each session have a limit"
        }
        _ => "a part of the jail",
    }
}

/// Whether cgroup v2 has the controllers.
fn cgroup_controllers() -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let mount = mounts
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .and_then(|line| line.split(' ').nth(4))
        .ok_or("cgroup v2 is not mounted")?;
    let file = format!("{mount}/cgroup.controllers");
    let offered = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    lacking(mount, &offered)
}

/// A daemon gets the controllers in a subtree of its own. What this process finds about itself is
/// what a daemon that is started in the same way would.
fn own_subtree(here: Result<(), String>) -> Result<(), String> {
    here.map_err(|why| {
        format!(
            "the kernel has memory, pids and cpu, and a daemon gets them in a subtree that was \
             delegated to it; this process has none: {why}"
        )
    })
}

fn lacking(mount: &str, offered: &str) -> Result<(), String> {
    let lacking: Vec<&str> = ["memory", "pids", "cpu"]
        .into_iter()
        .filter(|wanted| offered.split_whitespace().all(|name| name != *wanted))
        .collect();
    match lacking.as_slice() {
        [] => Ok(()),
        lacking => Err(format!(
            "{mount} has no controller for {}",
            lacking.join(", ")
        )),
    }
}

fn kernel() -> String {
    let release = rustix::system::uname();
    release.release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(without: &[Feature]) -> Report {
        Report::new(7, |feature| {
            Some(match without.contains(&feature) {
                true => Err("not here".to_owned()),
                false => Ok(()),
            })
        })
    }

    #[test]
    fn every_feature_has_a_row_and_a_purpose_of_its_own() {
        let report = report(&[]);
        assert_eq!(report.rows.len(), Feature::ALL.len() - UNUSED.len());
        for row in &report.rows {
            let same = report
                .rows
                .iter()
                .filter(|other| other.purpose == row.purpose);
            assert_eq!(same.count(), 1, "{}", row.feature);
            assert_ne!(row.purpose, "a part of the jail", "{}", row.feature);
        }
        assert_eq!((report.state, report.sessions), (State::Ok, true));
    }

    #[test]
    fn each_missing_feature_counts_by_its_grade_and_says_what_stands_in() {
        for feature in Feature::ALL.into_iter().filter(|f| !UNUSED.contains(f)) {
            let report = report(&[feature]);
            let (state, sessions) = match feature.grade() {
                Grade::Reported => (State::Degraded, true),
                Grade::Required | Grade::Mandatory => (State::Missing, false),
            };
            assert_eq!(
                (report.state, report.sessions),
                (state, sessions),
                "{feature}"
            );
            let words = report.in_words(400);
            let line = words
                .lines()
                .find(|line| line.contains(feature.name()))
                .unwrap();
            assert!(line.contains(state.word()), "{line}");
            assert!(words.contains("found: not here"), "{words}");
            assert!(words.contains(feature.without()), "{words}");
        }
    }

    #[test]
    fn a_feature_that_nobody_tried_is_not_taken_for_granted() {
        let report = Report::new(0, |_| None);
        assert_eq!(report.state, State::Missing);
        assert!(report.rows.iter().all(|row| row.state != State::Ok));
    }

    #[test]
    fn the_json_keeps_its_schema() {
        let report = Report {
            kernel: "6.18.0".to_owned(),
            architecture: "x86_64",
            ..report(&[Feature::Mdwe])
        };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["state"], "degraded");
        assert_eq!(json["sessions"], true);
        let row = &json["rows"].as_array().unwrap()[17];
        let expected = serde_json::json!({
            "feature": "mdwe",
            "state": "degraded",
            "grade": "reported",
            "purpose": purpose(Feature::Mdwe),
            "found": "not here",
            "without": Feature::Mdwe.without(),
        });
        assert_eq!(*row, expected);
    }

    #[test]
    fn controllers_of_the_kernel_are_not_taken_for_limits_of_sessions() {
        assert_eq!(own_subtree(Ok(())), Ok(()));
        let why = own_subtree(Err("it is in the root cgroup".to_owned())).unwrap_err();
        assert!(why.contains("the kernel has memory"), "{why}");
        assert!(why.contains("delegated"), "{why}");
        assert!(why.ends_with("it is in the root cgroup"), "{why}");
    }

    #[test]
    fn controllers_that_cgroups_lack_are_named() {
        assert_eq!(lacking("/c", "cpuset cpu io memory pids\n"), Ok(()));
        let error = lacking("/c", "cpuset pids\n").unwrap_err();
        assert_eq!(error, "/c has no controller for memory, cpu");
    }
}
