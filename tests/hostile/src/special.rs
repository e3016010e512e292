//! Attempts that take more than one call of one module: other sessions, the daemon's own state,
//! files that change under it.

mod daemon;
mod identity;
mod segments;
mod time;

use crate::bench::Bench;
use crate::finding::{Finding, Free};
use crate::probe::{Probe, Seen};
use crate::{control, jail};

/// Probes of `modules/` that no row names: they are used here.
pub const PROBES: &[&str] = &[
    "change_while_read",
    "change_while_read_naively",
    "count_threads",
    "start_helper",
    "which_build",
    "own_digest",
    "flood_log",
    "touch_all_memory",
];

/// All that belongs to a row.
pub fn of(bench: &Bench, row: u8) -> anyhow::Result<Vec<Finding>> {
    match row {
        11..=13 => segments::seals(bench, row),
        14 => Ok(vec![segments::changed_while_read(bench)?]),
        31 => Ok(vec![daemon::as_many_threads_as_the_profile_says(bench)?]),
        36 => Ok(vec![daemon::descriptors_as_in_the_manifest(bench)?]),
        37 => Ok(vec![daemon::no_descriptor_stays(bench)?]),
        38 => Ok(vec![
            daemon::memory_stays_flat(bench)?,
            daemon::a_flood_of_lines_is_cheap(bench)?,
        ]),
        39 => Ok(vec![daemon::others_go_on(bench)?]),
        40 => Ok(vec![time::destructor_is_not_called(bench)?]),
        41 => Ok(vec![daemon::no_core_is_left(bench)?]),
        46 => identity::replaced(bench),
        47 => identity::places(bench),
        _ => Ok(Vec::new()),
    }
}

/// A finding from what was seen, what had to be, and the control of a probe.
fn finding(
    bench: &Bench,
    row: u8,
    name: &str,
    outcome: Result<String, String>,
    of: &Probe,
) -> anyhow::Result<Finding> {
    let free = control::run(bench, of, &[])?.judge(of);
    Ok(with_control(row, name, outcome, free))
}

fn with_control(row: u8, name: &str, outcome: Result<String, String>, free: Free) -> Finding {
    let (jail, expected) = match outcome {
        Ok(held) => (held, None),
        Err(seen) => (seen, Some("the opposite".to_owned())),
    };
    Finding {
        row,
        probe: name.to_owned(),
        jail,
        expected,
        free,
    }
}

/// Runs a probe in the jail; an error if it is not met as its row says.
fn attempted(bench: &Bench, probe: &Probe) -> anyhow::Result<Result<String, String>> {
    let seen: Seen = jail::attempt(bench, probe)?;
    let met = seen.meets(probe.expect, probe.phase);
    Ok(if met {
        Ok(seen.to_string())
    } else {
        Err(seen.to_string())
    })
}
