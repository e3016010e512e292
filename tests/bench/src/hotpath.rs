//! Allocations and system calls of a pipeline's thread, counted.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use stats_alloc::Region;

use crate::contest::{self, Pair};
use crate::launch::{Launch, Peer};

/// Whose hot path is looked at.
pub(crate) const SUBJECTS: [&str; 3] = ["frame-4k", "frame-awake-4k", "session-4k"];

/// Why system calls may be missing.
pub(crate) const NOBODY_COUNTS: &str = "strace is not installed";

/// The peer works this long on a frame, so that the pipeline surely sleeps by then, however slow
/// being watched makes it.
const WORK: Duration = Duration::from_millis(2);
/// Between two frames.
const PAUSE: Duration = Duration::from_millis(1);
/// The first frames make calls that no other makes.
const WARM_UP: u64 = 10;

/// Counts a frame.
#[derive(Serialize)]
pub(crate) struct HotPath {
    pub(crate) name: &'static str,
    pub(crate) frames: u64,
    pub(crate) allocations: f64,
    /// None where nothing can count them.
    pub(crate) system_calls: Option<f64>,
    /// The same by name.
    pub(crate) by_name: BTreeMap<String, f64>,
}

/// Counts for the contestant `name`, over so many frames.
pub(crate) fn count(name: &'static str, frames: u64) -> Result<HotPath> {
    let by_name = calls(name, frames, 0)?
        .zip(calls(name, 0, frames)?)
        .map(|(with, without)| {
            let extra = |(call, count): (String, f64)| {
                let extra = count - without.get(&call).copied().unwrap_or(0.0);
                (extra != 0.0).then(|| (call, extra / frames as f64))
            };
            with.into_iter().filter_map(extra).collect()
        });
    Ok(HotPath {
        name,
        frames,
        allocations: allocations(name, frames)?,
        system_calls: by_name
            .as_ref()
            .map(|calls: &BTreeMap<_, f64>| calls.values().fold(0.0, |sum, count| sum + count)),
        by_name: by_name.unwrap_or_default(),
    })
}

/// Allocations a frame of this process, which does nothing else meanwhile.
fn allocations(name: &str, frames: u64) -> Result<f64> {
    let launch = Launch {
        trips: frames + 1,
        cpu: None,
        work: Duration::ZERO,
    };
    let Pair { mut exchange, peer } = contest::find(name)?.open(&launch)?;
    exchange.trip()?;
    let region = Region::new(crate::ALLOCATOR);
    for _ in 0..frames {
        exchange.trip()?;
    }
    let change = region.change();
    peer.map_or(Ok(()), Peer::finish)?;
    Ok((change.allocations + change.reallocations) as f64 / frames as f64)
}

/// The hidden subcommand `client`: some frames to warm up, then `frames` more, a pause before each
/// so that a worker that sleeps is asleep by then, then `idle` pauses without a frame.
pub(crate) fn client(name: &str, frames: u64, idle: u64) -> Result<()> {
    let launch = Launch {
        trips: WARM_UP + frames,
        cpu: None,
        work: WORK,
    };
    let Pair { mut exchange, peer } = contest::find(name)?.open(&launch)?;
    for _ in 0..launch.trips {
        thread::sleep(PAUSE);
        exchange.trip()?;
    }
    for _ in 0..idle {
        thread::sleep(PAUSE);
    }
    peer.map_or(Ok(()), Peer::finish)
}

/// System calls of the pipeline's thread in such a run, by name; the peer's are not among them.
/// None without strace.
fn calls(name: &str, frames: u64, idle: u64) -> Result<Option<BTreeMap<String, f64>>> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("calls");
    let mut strace = Command::new("strace");
    strace
        .args(["-c", "-U", "name,calls", "-o"])
        .arg(&log)
        .arg(std::env::current_exe()?)
        .args(["client", name])
        .arg(format!("--trips={frames}"))
        .arg(format!("--idle={idle}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    match strace.status() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        status => ensure!(status?.success(), "strace failed"),
    }
    table(&log).map(Some)
}

/// Lines of a name and a number; the head, rules and the total are none.
fn table(log: &Path) -> Result<BTreeMap<String, f64>> {
    let text = std::fs::read_to_string(log).context("strace wrote nothing")?;
    let row = |line: &str| {
        let (name, count) = line.trim().split_once(char::is_whitespace)?;
        let count: f64 = count.trim().parse().ok()?;
        (name != "total").then(|| (name.to_owned(), count))
    };
    Ok(text.lines().filter_map(row).collect())
}
