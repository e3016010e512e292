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
use crate::finding::{Finding, Free};
use crate::probe::Probe;
use crate::rows;

/// A subset of the layers, and the host program's options for it.
struct Subset {
    name: &'static str,
    options: Vec<String>,
    proves: Proves,
}

/// What must come of a subset.
#[derive(Clone, Copy)]
enum Proves {
    /// As many succeed as controls do: nothing was laid.
    Controls,
    /// None succeeds: the filter alone holds RUN.
    Filter,
    /// It is for the reader.
    Nothing,
}

/// What became of the probes under a subset.
enum Under {
    /// The rows of those that succeeded, one each.
    Succeeded(Vec<u8>),
    /// This machine does not let us lay one of its layers.
    Unlaid(String),
}

/// Runs every probe of RUN under each subset, and prints how many succeed. `false` if the table
/// proves nothing: without layers other probes work than those whose control did, or some work under
/// the RUN filter, or that one cannot be laid.
pub fn print(bench: &Bench, findings: &[Finding]) -> anyhow::Result<bool> {
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
    let found = |wanted: fn(&Finding) -> bool| -> Vec<u8> {
        let is = |(row, probe): &&(u8, Probe)| {
            let name = format!("{} in run", probe.name);
            let mut own = findings
                .iter()
                .filter(|one| one.row == *row && one.probe == name);
            own.any(wanted)
        };
        probes.iter().filter(is).map(|(row, _)| *row).collect()
    };
    let works = found(|one| matches!(one.free, Free::Works(_)));
    let mut wrong = Vec::new();
    let count = |rows: &[u8]| format!("{} of {}", rows.len(), probes.len());
    for Subset {
        name,
        options,
        proves,
    } in subsets(bench)?
    {
        let under = run(bench, &probes, &options)?;
        let (outcome, rows) = match &under {
            Under::Succeeded(rows) => (count(rows), ranges(rows)),
            Under::Unlaid(why) => (format!("cannot be laid here: {why}"), String::new()),
        };
        table.add_row([name, &outcome, &rows]);
        match (proves, under) {
            (Proves::Controls, Under::Succeeded(rows)) if rows == works => {}
            (Proves::Nothing, _) => {}
            (Proves::Filter, Under::Succeeded(rows)) if rows.is_empty() => {}
            (Proves::Controls, _) => wrong.push(format!(
                "under {name:?} {outcome} succeed in the rows {rows}, and {} controls work, in {}",
                count(&works),
                ranges(&works)
            )),
            (Proves::Filter, _) => wrong.push(format!("under {name:?}: {outcome} in rows {rows}")),
        }
    }
    let breached = found(|one| !one.held());
    table.add_row([
        "all of it: the daemon's jail",
        &count(&breached),
        &ranges(&breached),
    ]);
    anstream::println!("\n==> What each layer holds by itself\n\n{table}");
    for line in &wrong {
        anstream::println!("WRONG {line}");
    }
    Ok(wrong.is_empty())
}

fn run(bench: &Bench, probes: &[(u8, Probe)], options: &[String]) -> anyhow::Result<Under> {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut rows = Vec::new();
    for (row, probe) in probes {
        let told = control::run(bench, probe, &options)?;
        if let Some(why) = told.unlaid() {
            return Ok(Under::Unlaid(why.to_owned()));
        }
        if told.worked(probe) {
            rows.push(*row);
        }
    }
    Ok(Under::Succeeded(rows))
}

fn subsets(bench: &Bench) -> anyhow::Result<Vec<Subset>> {
    let arch = Arch::host().context("this architecture is not supported")?;
    let filter = bench.dir.join("filter");
    fs::write(
        &filter,
        Profile::builtin("single")?.compile(arch)?.to_bytes(),
    )?;
    let filter = format!("filter={}", filter.display());
    let subset = |name, options: &[&str], proves| Subset {
        name,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        proves,
    };
    use Proves::{Controls, Filter, Nothing};
    Ok(vec![
        subset("none", &[], Controls),
        subset("Landlock", &["no-new-privs", "landlock"], Nothing),
        subset(
            "six namespaces, capabilities dropped",
            &["namespaces"],
            Nothing,
        ),
        subset("the same and pivot_root", &["pivot"], Nothing),
        subset("both", &["pivot", "no-new-privs", "landlock"], Nothing),
        subset("the RUN filter", &["no-new-privs", &filter], Filter),
    ])
}

/// 1-3, 7, 9
fn ranges(rows: &[u8]) -> String {
    let mut text = String::new();
    let mut rows = rows.to_vec();
    rows.dedup();
    let mut rest = rows.as_slice();
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
        assert_eq!(super::ranges(&[1, 1, 2, 3, 7, 9, 9, 10]), "1-3, 7, 9-10");
        assert_eq!(super::ranges(&[]), "");
    }
}
