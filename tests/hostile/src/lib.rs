//! The escape list of `jail.md`, tried: each attempt of a hostile module in the jail, over a real
//! session with the real daemon, and, as its control, in a plain process where it must work.
//!
//! `modules/` holds the attempts, in C; [`rows`] says what each must meet; [`special`] holds those
//! that take more than one session.
#![forbid(unsafe_code)]

pub mod ablation;
pub mod bench;
pub mod benign;
pub mod control;
pub mod finding;
pub mod jail;
pub mod modules;
pub mod need;
pub mod probe;
pub mod programs;
pub mod rows;
pub mod special;

use std::collections::HashMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Parser;
use coldshoe_jail::{Arch, Profile};
use sha2::{Digest, Sha256};

use bench::{Bench, Built, say};
use finding::{Finding, Free};
use probe::{Probe, Row, Seen};
use programs::BUILT;

const NOBODY: u32 = 65534;

/// What this program is run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// `make hostile`: everything, and the matrix of the layers.
    Program,
    /// `cargo test`: the same without the matrix.
    Test,
}

/// Tries every escape that a hostile module could think of.
#[derive(Parser, Debug)]
#[command(name = "coldshoe-hostile", version)]
struct Options {
    /// Only these rows
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    row: Vec<u8>,
    /// Only probes whose name contains this
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// Every probe with what was seen of it
    #[arg(long, short)]
    verbose: bool,
    /// Without the matrix of the layers
    #[arg(long)]
    no_ablation: bool,
    /// Not again as an unprivileged user
    #[arg(long)]
    no_nobody: bool,
    /// As cargo's test runner gives them; nothing is listed
    #[arg(long, hide = true)]
    list: bool,
    /// Ignored, for cargo
    #[arg(long, hide = true, value_name = "N")]
    test_threads: Option<String>,
    /// Ignored, for cargo
    #[arg(long, hide = true)]
    nocapture: bool,
}

/// The command line.
pub fn main(as_what: As) -> ExitCode {
    let options = Options::parse();
    if options.list {
        return ExitCode::SUCCESS;
    }
    match run(&options, as_what) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("coldshoe-hostile: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, as_what: As) -> anyhow::Result<bool> {
    if let Some(dir) = std::env::var_os(BUILT) {
        return once(&Built { dir: dir.into() }, options, as_what);
    }
    if let Some(part) = &options.filter
        && !rows::all()
            .iter()
            .flat_map(|row| row.probes)
            .any(|probe| probe.name.contains(part))
    {
        say(&format!("no probe's name contains {part:?}"));
        return Ok(true);
    }
    let dir = tempfile::Builder::new()
        .prefix("coldshoe-built-")
        .tempdir()?;
    let built = programs::gather(dir.path())?;
    let mut good = once(&built, options, as_what)?;
    if rustix::process::geteuid().is_root() && !options.no_nobody {
        good &= again_as_nobody(dir.path())?;
    }
    Ok(good)
}

fn again_as_nobody(dir: &Path) -> anyhow::Result<bool> {
    let status = Command::new(dir.join("hostile"))
        .args(std::env::args_os().skip(1))
        .env(BUILT, dir)
        .env("HOME", "/nonexistent")
        .env_remove("XDG_RUNTIME_DIR")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .status()
        .context("as another user")?;
    Ok(status.success())
}

/// Everything, as the user that this is.
fn once(built: &Built, options: &Options, as_what: As) -> anyhow::Result<bool> {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let user = match rustix::process::geteuid() {
        uid if uid.is_root() => "root".to_owned(),
        uid => format!("user {}", uid.as_raw()),
    };
    let filter = filter_in_force()?;
    anstream::println!("\n==> The escape list, {build}, as {user}; filter {filter}\n");
    let bench = Bench::new(built.clone())?;
    let wanted = |row: &Row| options.row.is_empty() || options.row.contains(&row.number);
    let rows: Vec<Row> = rows::all().into_iter().filter(wanted).collect();
    let named = |name: &str| {
        options
            .filter
            .as_ref()
            .is_none_or(|part| name.contains(part))
    };
    let mut findings = Vec::new();
    let mut controls = HashMap::new();
    let all: Vec<(u8, &Probe)> = rows
        .iter()
        .flat_map(|row| row.probes.iter().map(|probe| (row.number, probe)))
        .filter(|(_, probe)| named(probe.name))
        .collect();
    let (hanging, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, p)| p.hangs());
    std::thread::scope(|scope| -> anyhow::Result<()> {
        // The watchdog is patient: those that it must end wait for it meanwhile.
        let hanging: Vec<_> = hanging
            .into_iter()
            .map(|(row, probe)| (row, probe, scope.spawn(|| jail::attempt(&bench, probe))))
            .collect();
        for (row, probe) in others {
            let seen = jail::attempt(&bench, probe)?;
            findings.push(judge(&bench, row, probe, &seen, &mut controls)?);
        }
        for row in rows.iter().filter(|_| options.filter.is_none()) {
            findings.extend(special::of(&bench, row.number)?);
        }
        for (row, probe, attempt) in hanging {
            let seen = attempt
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            findings.push(judge(&bench, row, probe, &seen, &mut controls)?);
        }
        Ok(())
    })
    .inspect_err(|_| say(&bench.last_words()))?;
    findings.sort_by_key(|finding| finding.row);
    let mut good = finding::print(&rows, &findings, options.verbose) || options.filter.is_some();
    good &= findings.iter().all(Finding::held);
    if options.row.is_empty() && options.filter.is_none() {
        good &= benign::all_work(&bench)?;
        if as_what == As::Program && !options.no_ablation {
            good &= ablation::print(&bench, &findings)?;
        }
    }
    Ok(good)
}

/// The start of the digest of the system call filter: the same in every build.
fn filter_in_force() -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    let arch = Arch::host().context("this architecture is not supported")?;
    for profile in ["single", "threaded"] {
        digest.update(Profile::builtin(profile)?.compile(arch)?.to_bytes());
    }
    let hex: Vec<String> = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(hex.concat().chars().take(16).collect())
}

/// What was seen of a probe, beside its control.
fn judge(
    bench: &Bench,
    row: u8,
    probe: &Probe,
    seen: &Seen,
    controls: &mut HashMap<String, Free>,
) -> anyhow::Result<Finding> {
    let met = seen.meets(probe.expect, probe.phase);
    // Without a jail the phases do not differ: once is enough.
    let key = format!(
        "{} {} {:?} {:?}",
        probe.name, probe.module, probe.control, probe.host
    );
    let free = match controls.get(&key) {
        Some(free) => free.clone(),
        None => {
            let free = control_of(bench, probe)?;
            controls.insert(key, free.clone());
            free
        }
    };
    Ok(Finding {
        row,
        probe: format!("{} in {}", probe.name, place(probe)),
        jail: seen.to_string(),
        expected: (!met).then(|| expected(probe, seen)),
        free,
    })
}

fn place(probe: &Probe) -> String {
    let phase = probe.phase.word();
    match probe.profile {
        "single" => phase.to_owned(),
        profile => format!("{phase}, {profile}"),
    }
}

fn expected(probe: &Probe, seen: &Seen) -> String {
    match seen {
        Seen::Violation { .. } => format!("{} in {}", probe.expect, probe.phase.of_gate()),
        _ => probe.expect.to_string(),
    }
}

fn control_of(bench: &Bench, probe: &Probe) -> anyhow::Result<Free> {
    Ok(control::run(bench, probe, &[])?.judge(probe))
}
