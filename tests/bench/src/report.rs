//! What was measured, for people and for machines.

use std::fs;

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use crate::contract::Judging;
use crate::goals::{Against, Figure, Verdict};
use crate::hotpath::{self, HotPath};
use crate::module::Cost;
use crate::place::Cpus;
use crate::plan::{Entry, Scenario};
use crate::round::Round;

/// Where it was measured.
#[derive(Serialize)]
pub(crate) struct Machine {
    kernel: String,
    processor: String,
    architecture: &'static str,
    cpus: Cpus,
    /// Of the last minute, before the first round: others' work is in every figure.
    load: String,
}

impl Machine {
    pub(crate) fn this(cpus: Cpus) -> Self {
        let file = |path| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let info = file("/proc/cpuinfo");
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model.and_then(|rest| rest.split_once(':'));
        let load = file("/proc/loadavg");
        Self {
            kernel: file("/proc/sys/kernel/osrelease"),
            processor: model.map_or_else(String::new, |(_, name)| name.trim().to_owned()),
            architecture: std::env::consts::ARCH,
            cpus,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// Everything, in one document.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// A quick run shows that everything works; its ratios mean little.
    pub(crate) quick: bool,
    pub(crate) seconds: f64,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) hot_paths: Vec<HotPath>,
    pub(crate) contracts: Vec<Judging>,
    pub(crate) modules: Vec<Cost>,
    pub(crate) goals: Vec<Verdict>,
}

impl Report {
    pub(crate) fn print(&self) {
        let Machine {
            kernel,
            processor,
            architecture,
            cpus,
            load,
        } = &self.machine;
        println!("Linux {kernel}, {architecture}, {processor}, CPUs {cpus:?}, load {load}");
        for scenario in &self.scenarios {
            print_scenario(scenario);
        }
        for path in &self.hot_paths {
            print_hot_path(path);
        }
        for contract in &self.contracts {
            print_contract(contract);
        }
        for module in &self.modules {
            let Cost {
                name,
                p50_us,
                allocations,
            } = module;
            println!("{name}: p50 {p50_us:.1} µs a frame, {allocations} allocations");
        }
        println!("\nGoals");
        println!("{}", goals(&self.goals));
        let count = |met| self.goals.iter().filter(|goal| goal.met == met).count();
        println!(
            "{} met, {} missed, {} not measured; {:.0} s{}",
            count(Some(true)),
            count(Some(false)),
            count(None),
            self.seconds,
            if self.quick {
                "; quick: far too few frames to judge"
            } else {
                ""
            },
        );
    }
}

fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(head);
    table
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn percent(share: Option<f64>) -> String {
    number(share.map(|share| share * 100.0), 1)
}

fn print_scenario(scenario: &Scenario) {
    let Scenario {
        cameras,
        pace,
        placement,
        frames,
        entries,
    } = scenario;
    println!("\n{pace}, {placement}, cameras: {cameras}, {frames} frames a round");
    let mut table = table([
        "",
        "p50 µs",
        "p99 µs",
        "p50 × futex",
        "p99 × futex",
        "p50 × spin",
        "CPU µs a frame",
        "CPU % of a core",
        "of it, pipeline",
    ]);
    for entry in entries {
        let times = |name: &str, of: fn(&Round) -> f64| {
            let other = scenario.entry(name);
            other.and_then(|other| entry.against(other, |own, other| Some(of(own) / of(other))))
        };
        let figure = |of: fn(&Round) -> Option<f64>| Entry::median(entry, of);
        table.add_row([
            entry.about.to_owned(),
            number(figure(|round| Some(round.p50_us)), 2),
            number(figure(|round| Some(round.p99_us)), 2),
            number(times("futex", |round| round.p50_us), 2),
            number(times("futex", |round| round.p99_us), 2),
            number(times("spin", |round| round.p50_us), 2),
            number(figure(Round::cpu_us), 2),
            percent(figure(Round::share)),
            percent(figure(|round| Some(round.client_share()))),
        ]);
    }
    println!("{table}");
}

fn print_hot_path(path: &HotPath) {
    let calls = match path.system_calls {
        Some(all) => {
            let named = path
                .by_name
                .iter()
                .map(|(name, count)| format!("{name} {count:.2}"));
            format!(
                "{all:.2} system calls ({})",
                named.collect::<Vec<_>>().join(", ")
            )
        }
        None => format!("system calls not counted: {}", hotpath::NOBODY_COUNTS),
    };
    let HotPath {
        name,
        frames,
        allocations,
        ..
    } = path;
    println!("\nHot path of {name}, over {frames} frames: {allocations:.2} allocations, {calls}");
}

fn print_contract(contract: &Judging) {
    let Judging {
        name,
        bytes,
        p50_us,
        copied_p50_us,
        allocations,
        at_most_us: _,
        share_of_round_trip,
    } = contract;
    let share = percent(*share_of_round_trip);
    println!(
        "\n{name}: {bytes} bytes judged in {p50_us:.3} µs, judged and copied in {copied_p50_us:.3} µs, \
         {allocations:.2} allocations; {share} % of a session's round trip at 120 Hz"
    );
}

fn goals(verdicts: &[Verdict]) -> Table {
    let mut table = table([
        "goal",
        "who",
        "pace",
        "placement",
        "measured",
        "compared",
        "limit",
        "",
    ]);
    for verdict in verdicts {
        let Verdict {
            row,
            of,
            figure,
            against,
            cameras: _,
            pace,
            placement,
            measured,
            compared,
            at_most,
            met,
            why_not_measured,
        } = verdict;
        let place = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let outcome = match met {
            Some(true) => "met".to_owned(),
            Some(false) => "MISSED".to_owned(),
            None => why_not_measured.clone().unwrap_or_default(),
        };
        table.add_row([
            (*row).to_owned(),
            (*of).to_owned(),
            place(pace.map(|pace| pace.to_string())),
            place(placement.map(|placement| placement.to_string())),
            measured.map_or_else(String::new, |value| in_words(*figure, value)),
            compared.map_or_else(String::new, |value| {
                against_in_words(*against, *figure, value)
            }),
            format!("≤ {}", limit_in_words(*against, *figure, *at_most)),
            outcome,
        ]);
    }
    table
}

fn in_words(figure: Figure, value: f64) -> String {
    match figure {
        Figure::P50 => format!("p50 {value:.2} µs"),
        Figure::P99 => format!("p99 {value:.2} µs"),
        Figure::Cpu => format!("CPU {value:.2} µs a frame"),
        Figure::Share | Figure::ClientShare => format!("{:.2} % of a core", value * 100.0),
        Figure::Allocations => format!("{value:.2} allocations"),
        Figure::SystemCalls => format!("{value:.2} system calls"),
    }
}

fn against_in_words(against: Against, figure: Figure, value: f64) -> String {
    match against {
        Against::Times(other) => format!("{value:.3} × {other}"),
        Against::Over(other) => format!("{value:+.2} µs over {other}"),
        Against::Nothing => in_words(figure, value),
    }
}

fn limit_in_words(against: Against, figure: Figure, value: f64) -> String {
    match (against, figure) {
        (Against::Times(_), _) => format!("{value} ×"),
        (Against::Over(_), _) => format!("{value} µs"),
        (_, Figure::Share | Figure::ClientShare) => format!("{} %", value * 100.0),
        (_, Figure::P50 | Figure::P99) => format!("{value} µs"),
        _ => format!("{value}"),
    }
}
