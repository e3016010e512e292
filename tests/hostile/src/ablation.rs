//! How much each layer of the jail holds by itself: the reason to have them all.
//!
//! The worker cannot leave a layer out, and no build of it can: single layers are laid by the
//! control's host program, with the profile's own filter. Only the last line of the table is the
//! daemon's jail itself.

use std::fs;

use anyhow::Context;
use coldshoe_jail::{Arch, Profile};
use comfy_table::{ContentArrangement, Table, presets};

use crate::bench::Bench;
use crate::control::{self, can_be_layered};
use crate::finding::Finding;
use crate::probe::Probe;
use crate::rows;

/// A subset of the layers, and the host program's options for it.
struct Subset {
    name: &'static str,
    options: Vec<String>,
}

/// Runs every probe of RUN under each subset, and prints how many succeed.
pub fn print(bench: &Bench, findings: &[Finding]) -> anyhow::Result<()> {
    let probes: Vec<(u8, Probe)> = rows::all()
        .iter()
        .flat_map(|row| row.probes.iter().map(|probe| (row.number, *probe)))
        .filter(|(number, probe)| can_be_layered(probe) && *number <= 36)
        .collect();
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["LAYERS", "PROBES THAT SUCCEED", "WHICH ROWS"]);
    for Subset { name, options } in subsets(bench)? {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut rows = Vec::new();
        let mut successes = 0;
        for (row, probe) in &probes {
            if control::run(bench, probe, &options)?.worked(probe) {
                successes += 1;
                rows.push(*row);
            }
        }
        rows.dedup();
        table.add_row([
            name.to_owned(),
            format!("{successes} of {}", probes.len()),
            ranges(&rows),
        ]);
    }
    let mut breached: Vec<u8> = Vec::new();
    for (row, probe) in &probes {
        let name = format!("{} in run", probe.name);
        let of_probe = |finding: &&Finding| finding.row == *row && finding.probe == name;
        breached.extend(
            findings
                .iter()
                .filter(of_probe)
                .filter(|f| !f.held())
                .map(|f| f.row),
        );
    }
    let breaches = format!("{} of {}", breached.len(), probes.len());
    breached.dedup();
    table.add_row([
        "all of it: the daemon's jail".into(),
        breaches,
        ranges(&breached),
    ]);
    anstream::println!("\n==> What each layer holds by itself\n\n{table}");
    Ok(())
}

fn subsets(bench: &Bench) -> anyhow::Result<Vec<Subset>> {
    let arch = Arch::host().context("this architecture is not supported")?;
    let filter = bench.dir.join("filter");
    fs::write(
        &filter,
        Profile::builtin("single")?.compile(arch)?.to_bytes(),
    )?;
    let filter = format!("filter={}", filter.display());
    let subset = |name, options: &[&str]| Subset {
        name,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    };
    Ok(vec![
        subset("none", &[]),
        subset("Landlock", &["no-new-privs", "landlock"]),
        subset("six namespaces, capabilities dropped", &["namespaces"]),
        subset("the same and pivot_root", &["pivot"]),
        subset("both", &["pivot", "no-new-privs", "landlock"]),
        subset("the RUN filter", &["no-new-privs", &filter]),
    ])
}

/// 1-3, 7, 9
fn ranges(rows: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let run = rest
            .iter()
            .zip(*first..)
            .take_while(|(row, expected)| **row == *expected)
            .count();
        let (run, tail) = rest.split_at(run);
        rest = tail;
        let separator = if text.is_empty() { "" } else { ", " };
        match run {
            [one] => text += &format!("{separator}{one}"),
            [first, .., last] => text += &format!("{separator}{first}-{last}"),
            [] => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn runs_of_rows_are_drawn_together() {
        assert_eq!(super::ranges(&[1, 2, 3, 7, 9, 10]), "1-3, 7, 9-10");
        assert_eq!(super::ranges(&[]), "");
    }
}
