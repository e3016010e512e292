//! `coldshoectl policy show`: the jail in words.

use std::io;
use std::path::PathBuf;

use anstyle::AnsiColor;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use coldshoe_jail::{Arch, CallInWords, Explanation, LimitInWords, Outcome, Phase, Wake};
use coldshoed::ProfileFileError;
use comfy_table::{ColumnConstraint, Row, Width};

use crate::words::{plain, print, width};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Shows what a worker in a jail may do, and why
    Show(Show),
}

#[derive(Args)]
pub(crate) struct Show {
    /// Which jail: single, threaded, or a file with a profile, as coldshoed takes it
    #[arg(value_name = "NAME|FILE")]
    profile: PathBuf,
    /// System calls of this architecture [default: this machine's]
    #[arg(long, value_parser = archs())]
    arch: Option<Arch>,
    /// While the module is loaded, or while it runs [default: both]
    #[arg(long, value_parser = phases())]
    phase: Option<Phase>,
    /// Prints JSON: a list with one object a phase
    #[arg(long)]
    json: bool,
}

fn archs() -> impl TypedValueParser<Value = Arch> {
    PossibleValuesParser::new(Arch::ALL.map(Arch::name))
        .try_map(|name| Arch::from_name(&name).ok_or("no such architecture"))
}

fn phases() -> impl TypedValueParser<Value = Phase> {
    PossibleValuesParser::new(Phase::ALL.map(Phase::name))
        .try_map(|name| Phase::from_name(&name).ok_or("no such phase"))
}

/// Why a jail could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// There is none, or the daemon would not take it. Its three lines say all.
    #[error("{0}")]
    Profile(#[from] ProfileFileError),
    /// No architecture was given, and this one has no jails.
    #[error(
        "the jail cannot be shown\n  why: there is none for this machine's architecture\n  try: --arch x86_64"
    )]
    NoArch,
    /// The words do not go out.
    #[error("the jail cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        1
    }
}

/// Carries out the verb.
pub(crate) fn run(verb: &Verb) -> Result<(), Error> {
    let Verb::Show(options) = verb;
    let profile = coldshoed::profile(&options.profile)?;
    let arch = options.arch.or(Arch::host()).ok_or(Error::NoArch)?;
    let explained: Vec<Explanation> = Phase::ALL
        .into_iter()
        .filter(|phase| options.phase.is_none_or(|wanted| wanted == *phase))
        .map(|phase| profile.explain(arch, phase))
        .collect();
    let text = if options.json {
        serde_json::to_string_pretty(&explained).map_err(io::Error::from)?
    } else {
        in_words(&explained, width())
    };
    Ok(print(&text)?)
}

fn in_words(phases: &[Explanation], width: u16) -> String {
    let mut text = Vec::new();
    if let Some(any) = phases.first() {
        text.push(head(any, width));
    }
    for (at, phase) in phases.iter().enumerate() {
        let mut shown = groups(phase);
        text.push(heading(match phase.phase {
            Phase::Load => "LOADING: from its confinement until the module is created",
            Phase::Run => "RUNNING: from then on, for good",
        }));
        // What the kernel answers by itself is the same in both phases.
        if at > 0 {
            shown.retain(|(_, calls)| !calls.iter().any(|call| by_kernel(call.outcome)));
            text.push("Allowed, and answered with an error: as while loading.".to_owned());
        }
        for (title, calls) in shown {
            let title = format!("{title} ({})", count(&calls));
            text.push(format!("{title}\n{}", table(&calls, width)));
        }
        text.push("Any other call ends the worker, and is reported by name and place.".to_owned());
    }
    text.join("\n\n")
}

fn by_kernel(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Allowed | Outcome::Refused(_))
}

/// What is the same in both phases.
fn head(jail: &Explanation, width: u16) -> String {
    let mut text = vec![heading(&format!("{} on {}", jail.profile, jail.arch))];
    text.push(match &jail.parent {
        Some(parent) => format!("{}; extends {parent}.", jail.description),
        None => format!("{}.", jail.description),
    });
    let files = jail.files.join("\n");
    let limits = jail.limits.iter().map(limit).collect::<Vec<_>>().join("\n");
    let missing = match jail.allow_degraded.as_slice() {
        [] => "nothing: a session is refused where the kernel lacks a required feature".to_owned(),
        some => {
            let some = some.iter().map(|d| format!("{}: {}", d.feature, d.without));
            some.collect::<Vec<_>>().join("\n")
        }
    };
    let mut table = plain(width);
    table.add_row(Row::from(["Reads files", &files]));
    table.add_row(Row::from(["Limits", &limits]));
    table.add_row(Row::from(["May be missing", &missing]));
    table.add_row(Row::from(["Waits for frames", wake(jail.wake)]));
    let standby = match jail.standby {
        true => "ready, if its session asks for one",
        false => "never",
    };
    table.add_row(Row::from(["Second worker", standby]));
    text.push(table.trim_fmt());
    text.join("\n")
}

fn wake(wake: Wake) -> &'static str {
    match wake {
        Wake::Sleep => "asleep, until it is woken",
        Wake::Predictive => "on a processor of its own, awake shortly before one is due",
    }
}

/// Bytes in the largest unit that leaves no rest.
fn limit(limit: &LimitInWords) -> String {
    let LimitInWords { name, value, words } = limit;
    const UNITS: [(u64, &str); 2] = [(1 << 20, "Mi"), (1 << 10, "Ki")];
    let whole = |(unit, _): &&(u64, &str)| *value > 0 && value.is_multiple_of(*unit);
    match (words.strip_prefix("bytes"), UNITS.iter().find(whole)) {
        (Some(words), Some((unit, prefix))) => format!("{name}: {} {prefix}B{words}", value / unit),
        _ => format!("{name}: {value} {words}"),
    }
}

fn heading(text: &str) -> String {
    let bold = AnsiColor::Cyan.on_default().bold();
    format!("{bold}{text}{bold:#}")
}

/// The entries by what becomes of them, those that pass first.
fn groups(phase: &Explanation) -> Vec<(String, Vec<&CallInWords>)> {
    let of = |wanted: fn(Outcome) -> bool| -> Vec<&CallInWords> {
        let calls = phase.calls.iter();
        calls.filter(|call| wanted(call.outcome)).collect()
    };
    let early = format!(
        "Allowed by the daemon, which is asked, {} times at most",
        phase.load_budget
    );
    let late = format!(
        "Answered with an error by the daemon, {} times at most",
        phase.soft_budget
    );
    let mut groups = vec![
        ("Allowed".to_owned(), of(|o| o == Outcome::Allowed)),
        (early, of(|o| o == Outcome::AllowedByDaemon)),
        (
            "Answered with an error".to_owned(),
            of(|o| matches!(o, Outcome::Refused(_))),
        ),
        (late, of(|o| matches!(o, Outcome::RefusedByDaemon(_)))),
    ];
    groups.retain(|(_, calls)| !calls.is_empty());
    groups
}

/// Distinct calls: one may have several entries.
fn count(calls: &[&CallInWords]) -> String {
    let mut numbers: Vec<u32> = calls.iter().map(|call| call.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers.len() {
        1 => "1 call".to_owned(),
        n => format!("{n} calls"),
    }
}

fn table(calls: &[&CallInWords], width: u16) -> String {
    let mut table = plain(width);
    for call in calls {
        let mut conditions = call.conditions.join(",\n");
        if let Outcome::Refused(errno) | Outcome::RefusedByDaemon(errno) = call.outcome {
            let sep = if conditions.is_empty() { "" } else { ": " };
            conditions = format!("{conditions}{sep}{}", errno.name());
        }
        table.add_row(Row::from([&call.name, &conditions, &call.why]));
    }
    table.set_constraints([
        ColumnConstraint::Absolute(Width::Fixed(20)),
        ColumnConstraint::Absolute(Width::Percentage(34)),
    ]);
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use coldshoe_jail::Profile;

    use super::*;

    fn shown(profile: &str, phases: &[Phase]) -> String {
        let profile = Profile::builtin(profile).unwrap();
        let explained: Vec<Explanation> = phases
            .iter()
            .map(|phase| profile.explain(Arch::X86_64, *phase))
            .collect();
        in_words(&explained, 100)
    }

    #[test]
    fn every_entry_is_shown_in_its_phase() {
        for (name, _) in Profile::BUILTIN {
            for phase in Phase::ALL {
                let text = shown(name, &[phase]);
                let explained = Profile::builtin(name).unwrap().explain(Arch::X86_64, phase);
                for call in explained.calls {
                    assert!(text.contains(&call.name), "{name} {phase} {}", call.name);
                    let reason = call.why.split(' ').next().unwrap();
                    assert!(text.contains(reason), "{name} {phase} {reason}");
                }
            }
        }
    }

    #[test]
    fn counts_are_of_calls_and_not_of_entries() {
        assert!(shown("single", &[Phase::Run]).contains("Allowed (27 calls)"));
        assert!(shown("threaded", &[Phase::Run]).contains("Allowed (32 calls)"));
    }

    #[test]
    fn only_the_phase_that_is_asked_for_is_shown() {
        let text = shown("single", &[Phase::Load]);
        assert!(
            text.contains("LOADING") && !text.contains("RUNNING"),
            "{text}"
        );
        let text = shown("single", &Phase::ALL);
        assert!(
            text.contains("LOADING") && text.contains("RUNNING"),
            "{text}"
        );
    }

    #[test]
    fn what_the_kernel_answers_in_both_phases_is_told_once() {
        let text = shown("single", &Phase::ALL);
        assert_eq!(text.matches("Allowed (27 calls)").count(), 1, "{text}");
        assert_eq!(text.matches("clone3").count(), 1, "{text}");
        assert!(text.contains("200 times at most"), "{text}");
    }

    #[test]
    fn sizes_are_told_in_whole_units() {
        let of = |value, words| {
            limit(&LimitInWords {
                name: "x",
                value,
                words,
            })
        };
        assert_eq!(of(512 << 20, "bytes of heap"), "x: 512 MiB of heap");
        assert_eq!(of(1025, "bytes of heap"), "x: 1025 bytes of heap");
        assert_eq!(of(0, "bytes of heap"), "x: 0 bytes of heap");
        assert_eq!(of(1024, "open files"), "x: 1024 open files");
    }

    #[test]
    fn json_has_every_key_of_a_phase() {
        let single = Profile::builtin("single").unwrap();
        let json = serde_json::to_value(single.explain(Arch::Riscv64, Phase::Run)).unwrap();
        assert_eq!(json["arch"], "riscv64");
        assert_eq!(json["phase"], "run");
        assert_eq!(json["calls"][0]["outcome"], "allowed");
        assert_eq!(json["limits"][0]["name"], "nproc");
    }
}
