//! `make bench`: the frame path as ratios against baselines of the same run.
//!
//! A peer is a process of its own: this program again (`launch.rs`). Contestants (`contest.rs`)
//! take turns, round by round, at every pace and placement (`plan.rs`); a figure is the median over
//! rounds, a ratio the median of the ratios of a round. At the end the goals of the frame path are
//! held against what was measured (`goals.rs`).
#![forbid(unsafe_code)]

mod contest;
mod contract;
mod goals;
mod hotpath;
mod jail;
mod launch;
mod module;
mod peers;
mod place;
mod plan;
mod report;
mod round;

use std::alloc::System;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use launch::{Launch, Seat};
use place::Cpus;
use plan::Length;
use report::{Machine, Report};

/// Counts what the hot path allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Measures the frame path against baselines of the same run
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Options {
    /// Measure little, to see that everything works: under 20 seconds
    #[arg(long)]
    quick: bool,
    /// Print one JSON document instead of tables
    #[arg(long)]
    json: bool,
    /// Measure only contestants whose name contains NAME, and whom they are compared with;
    /// may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Name the contestants and measure nothing
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program does when it has started itself.
#[derive(Subcommand)]
enum Role {
    /// The peer of a contestant
    #[command(hide = true)]
    Peer(Part),
    /// A contestant's measured side, for somebody who watches its system calls
    #[command(hide = true)]
    Client(Part),
}

#[derive(Args)]
struct Part {
    contestant: String,
    #[arg(long)]
    trips: u64,
    #[arg(long)]
    cpu: Option<usize>,
    #[arg(long, default_value_t = 0)]
    work_us: u64,
    #[arg(long, default_value_t = 0)]
    idle: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    match options.role {
        Some(Role::Peer(part)) => {
            let launch = Launch {
                trips: part.trips,
                cpu: part.cpu,
                work: Duration::from_micros(part.work_us),
            };
            contest::find(&part.contestant)?.serve(Seat::take(&launch)?)
        }
        Some(Role::Client(part)) => hotpath::client(&part.contestant, part.trips, part.idle),
        None if options.list => {
            for contestant in contest::ALL {
                println!("{:20} {}", contestant.name(), contestant.about());
            }
            for subject in contract::SUBJECTS {
                println!("{:20} {}", subject.name, subject.about);
            }
            for subject in module::SUBJECTS {
                println!("{:20} {}", subject.name, subject.about);
            }
            Ok(())
        }
        None => measure(&options),
    }
}

/// Names that `only` asks for, and those they are compared with.
fn wanted(only: &[String]) -> Result<Vec<&'static str>> {
    let all = contest::ALL.iter().map(|contestant| contestant.name());
    let judged = contract::SUBJECTS.iter().map(|subject| subject.name);
    let modules = module::SUBJECTS.iter().map(|subject| subject.name);
    let judged = judged.chain(modules);
    let all = all.chain(judged.clone());
    let mut names: Vec<_> = all
        .filter(|name| only.is_empty() || only.iter().any(|part| name.contains(part.as_str())))
        .collect();
    anyhow::ensure!(
        !names.is_empty(),
        "no contestant's name contains {only:?}; --list names them"
    );
    // Nobody competes with those that are only judged by the clock.
    if !names
        .iter()
        .all(|name| judged.clone().any(|judged| judged == *name))
    {
        names.extend(goals::partners(&names));
        names.extend(["futex", "spin"]);
    }
    Ok(names)
}

fn measure(options: &Options) -> Result<()> {
    let begin = Instant::now();
    let names = wanted(&options.only)?;
    let cpus = Cpus::of_this_process()?;
    let machine = Machine::this(cpus.clone());
    let length = if options.quick {
        Length::Quick
    } else {
        Length::Full
    };
    let scenarios = plan::measure(length, &cpus, |name| names.contains(&name))?;
    let subjects = hotpath::SUBJECTS
        .into_iter()
        .filter(|name| names.contains(name));
    let frames = if options.quick { 50 } else { 300 };
    let hot_paths: Vec<_> = subjects
        .map(|name| hotpath::count(name, frames))
        .collect::<Result<_>>()?;
    let judged = contract::SUBJECTS.iter();
    let batches = if options.quick { 50 } else { 5_000 };
    let contracts: Vec<_> = judged
        .filter(|subject| names.contains(&subject.name))
        .map(|subject| Ok(contract::measure(subject, batches)?.against(&scenarios)))
        .collect::<Result<_>>()?;
    let rounds = if options.quick { 4 } else { 200 };
    let modules: Vec<_> = module::SUBJECTS
        .iter()
        .filter(|subject| names.contains(&subject.name))
        .map(|subject| module::measure(subject, rounds))
        .collect::<Result<_>>()?;
    let report = Report {
        modules,
        goals: goals::judge(&scenarios, &hot_paths, &contracts),
        machine,
        quick: options.quick,
        seconds: begin.elapsed().as_secs_f64(),
        scenarios,
        hot_paths,
        contracts,
    };
    if options.json {
        serde_json::to_writer_pretty(std::io::stdout().lock(), &report)?;
        println!();
    } else {
        report.print();
    }
    Ok(())
}
