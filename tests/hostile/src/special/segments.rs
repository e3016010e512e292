//! Rows 11 to 14: what the seals hold by themselves, and what a reader does with memory that changes
//! while it looks.

use std::time::{Duration, Instant};

use coldshoe::{Outcome, WhyHeld};
use coldshoe_isp::Blocks;

use super::{finding, with_control};
use crate::bench::{Bench, PARAMS};
use crate::control;
use crate::finding::{Finding, Free};
use crate::jail;
use crate::probe::errno::{EACCES, EPERM};
use crate::probe::{Expect, Probe, expect, refused};

const FORWARD: &str = "target=forward";

/// What is tried on real segments, as the client library and the daemon make them, by a process
/// that has their descriptors and no jail around it.
const SEALS: &[(u8, Probe)] = &[
    (
        11,
        expect("statistics_writable", Expect::AnyErrno(&[EACCES, EPERM])),
    ),
    (11, refused("statistics_reopened", EPERM)),
    (11, refused("statistics_mapped_again", EPERM)),
    (11, refused("segment_write", EPERM).args(FORWARD)),
    (11, refused("segment_pwrite", EPERM).args(FORWARD)),
    (12, refused("segment_punch", EPERM).args(FORWARD)),
    (12, refused("segment_truncate", EPERM).args(FORWARD)),
    (12, refused("segment_truncate", EPERM)),
    (12, refused("segment_grow", EPERM)),
    (12, refused("segment_seal", EPERM)),
    (13, refused("bus_error", EPERM)),
];

/// The seals of rows 11 to 13, without the jail.
pub(super) fn seals(bench: &Bench, row: u8) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (_, probe) in SEALS.iter().filter(|(number, _)| *number == row) {
        let sealed = bench.segments(true);
        let told = control::run(bench, probe, &[&sealed])?;
        let answer = told.answer(probe);
        let seen = answer.map(crate::probe::Seen::Answered);
        let met = seen
            .as_ref()
            .is_some_and(|seen| seen.meets(probe.expect, probe.phase));
        let outcome = match seen {
            Some(seen) if met => Ok(seen.to_string()),
            other => Err(other.map_or(told.lines.join("; "), |seen| seen.to_string())),
        };
        // The same without seals.
        let free = probe.host(&["segments"]);
        let name = format!("{} {} against the seals alone", probe.name, probe.args);
        findings.push(finding(bench, row, &name, outcome, &free)?);
    }
    Ok(findings)
}

/// Row 14: whatever the worker writes while the client reads, what the client hands out has passed
/// its checks as it is.
pub(super) fn changed_while_read(bench: &Bench) -> anyhow::Result<Finding> {
    let daemon = bench.daemon("single")?;
    let words = bench.words("probe=change_while_read phase=frame ms=400");
    let camera = bench.tuning("hostile", &words)?;
    let mut session = jail::open(&daemon, "hostile", &camera)?;
    session.configure(&jail::sensor())?;
    session.start()?;
    let (mut fresh, mut refused, mut number) = (0_u32, 0_u32, 0);
    let mut fooled = None;
    let end = Instant::now() + Duration::from_millis(400);
    while Instant::now() < end {
        number += 1;
        let ticket = session.prepare(&jail::frame(number, Duration::from_millis(20)))?;
        match session.wait(ticket) {
            Outcome::Fresh(answer) | Outcome::Late(answer) => {
                fresh += 1;
                if answer.params.len() > PARAMS as usize {
                    fooled = Some(format!("{} bytes of parameters", answer.params.len()));
                } else if let Err(error) = Blocks::parse(answer.params) {
                    fooled = Some(error.to_string());
                }
            }
            Outcome::Held {
                why: WhyHeld::Protocol | WhyHeld::Malformed,
                ..
            } => refused += 1,
            Outcome::Held { .. } | Outcome::Skipped { .. } => {}
        }
    }
    let outcome = match fooled {
        Some(how) => Err(format!("the client was fooled: {how}")),
        // Both must have been seen, or the two never met.
        None if fresh == 0 || refused == 0 => Err(format!(
            "{fresh} frames accepted and {refused} refused: no race took place"
        )),
        None => Ok(format!("{fresh} frames accepted whole, {refused} refused")),
    };
    let naive = refused_probe();
    let told = control::run(bench, &naive, &[])?;
    let free = if told.worked(&naive) {
        Free::Works("a reader that looks twice is fooled".into())
    } else {
        Free::Broken(told.summary(&naive))
    };
    Ok(with_control(
        14,
        "change_while_read in frame",
        outcome,
        free,
    ))
}

const fn refused_probe() -> Probe {
    refused("change_while_read_naively", 0)
}
