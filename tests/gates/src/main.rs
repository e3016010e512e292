//! `make gates`: measures every gate, prints bound and measurement, writes the report.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use coldshoe_gates::report::{bound, number};
use comfy_table::{Table, presets};

/// Measures the open module against its gates
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Seeds of the noise, a run each
    #[arg(long, default_value_t = 8)]
    seeds: u64,
    /// Where the report goes
    #[arg(long, default_value = "target/gates")]
    out: PathBuf,
    /// Where the real data is; without it they are looked for beside the sources
    #[arg(long, env = "COLDSHOE_DATA")]
    data: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let report = coldshoe_gates::measure(options.seeds, options.data.as_deref())?;
    for note in &report.notes {
        println!("{note}");
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["gate", "bound", "measured", "", "runs"]);
    for gate in &report.gates {
        table.add_row([
            gate.name.clone(),
            format!("{} {}", bound(gate), gate.unit),
            format!("{} {}", number(gate.measured), gate.unit),
            if gate.met() { "met" } else { "MISSED" }.into(),
            gate.runs.to_string(),
        ]);
    }
    println!("{table}");
    for gate in report.gates.iter().filter(|gate| !gate.note.is_empty()) {
        println!("{}: {}", gate.name, gate.note);
    }
    for table in &report.tables {
        println!("\n{}", table.title);
        let mut shown = Table::new();
        shown.load_style(presets::UTF8_HORIZONTAL_ONLY);
        shown.set_header(&table.head);
        table.rows.iter().for_each(|row| {
            shown.add_row(row);
        });
        println!("{shown}");
    }
    let out = &options.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let path = out.join("report.html");
    std::fs::write(&path, report.page())
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nReport: {}", path.display());
    Ok(if report.met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
