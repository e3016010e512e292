//! What the daemon, and others, must not notice.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use coldshoe::{Error, Outcome, Session};
use coldshoe_jail::Profile;

use super::{attempted, finding};
use crate::bench::{Bench, Running};
use crate::finding::Finding;
use crate::jail;
use crate::probe::Control::{Arrives, Dies};
use crate::probe::{Expect, Phase, Probe, Seen, expect, refused};

const BROKE: Expect = Expect::Report("broke the control protocol");

/// Row 31: not one thread more than the profile names.
pub(super) fn as_many_threads_as_the_profile_says(bench: &Bench) -> anyhow::Result<Finding> {
    let allowed = i64::from(Profile::builtin("threaded")?.threads());
    let probe = refused("count_threads", 0).under("threaded");
    let outcome = match jail::attempt(bench, &probe)? {
        Seen::Answered(started) if started == allowed => {
            Ok(format!("{started} threads, and no more"))
        }
        other => Err(format!("{other}; the profile has {allowed} threads")),
    };
    finding(bench, 31, "count_threads in run, threaded", outcome, &probe)
}

/// Row 36: seen from outside, by the daemon.
pub(super) fn descriptors_as_in_the_manifest(bench: &Bench) -> anyhow::Result<Finding> {
    let daemon = bench.daemon("single")?;
    let session = jail::open(&daemon, "hostile", "nothing")?;
    let files = &session.confinement().open_files;
    let kinds = ["/dev/null", "pipe:", "pipe:", "socket:", "anon_inode:"];
    let same = files.len() == kinds.len()
        && files
            .iter()
            .zip(kinds)
            .all(|(file, kind)| file.contains(kind));
    let text = files.join(", ");
    let probe = refused("count_descriptors", 9).host(&["leak"]);
    // An unprivileged daemon cannot look into a worker that is not dumpable, and says so; what the
    // worker itself finds out must do then.
    let closed = session
        .confinement()
        .notes
        .iter()
        .any(|note| note.starts_with("open files"));
    let outcome = match (files.is_empty() && closed, same) {
        (true, _) => attempted(bench, &probe)?.map(|seen| format!("{seen}, asked from inside")),
        (false, true) => Ok(text),
        (false, false) => Err(text),
    };
    finding(
        bench,
        36,
        "the report's descriptors are the manifest's",
        outcome,
        &probe,
    )
}

/// Row 37: the daemon has as many descriptors as before.
pub(super) fn no_descriptor_stays(bench: &Bench) -> anyhow::Result<Finding> {
    let daemon = bench.daemon("single")?;
    let probe = expect("send_descriptors", BROKE)
        .at(Phase::Frame)
        .args("claimed=16")
        .host(&["peer"])
        .control(Arrives("16 descriptors"));
    // Sixteen each, and the daemon may have 256.
    const ATTEMPTS: usize = 20;
    let before = settled(&daemon)?;
    let mut outcome = Ok(String::new());
    for _ in 0..ATTEMPTS {
        outcome = outcome.and(attempted(bench, &probe)?);
    }
    let after = settled(&daemon)?;
    let still_opens = jail::open(&daemon, "hostile", "nothing").map(drop);
    let outcome = match (outcome, still_opens, before, after) {
        (Err(seen), ..) => Err(seen),
        (_, Err(error), ..) => Err(format!("no session after it: {error}")),
        (.., Some(before), Some(after)) if after > before => {
            Err(format!("{before} descriptors before, {after} after"))
        }
        (.., Some(before), Some(after)) => {
            Ok(format!("{before} descriptors before, {after} after"))
        }
        _ => Ok("sessions are opened as before".to_owned()),
    };
    finding(
        bench,
        37,
        "the daemon's descriptors after many attempts",
        outcome,
        &probe,
    )
}

/// The daemon's descriptors once the sessions before have gone.
fn settled(daemon: &Running) -> anyhow::Result<Option<usize>> {
    let mut fewest = daemon.descriptors()?;
    let end = Instant::now() + Duration::from_millis(200);
    while fewest.is_some() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        fewest = fewest.min(daemon.descriptors()?);
    }
    Ok(fewest)
}

/// Row 38: the daemon's memory before and after floods, of which it reads one message each.
pub(super) fn memory_stays_flat(bench: &Bench) -> anyhow::Result<Finding> {
    const FLOODS: usize = 8;
    /// KiB. The first message ends its worker, and what has come behind it goes with the socket: a
    /// flood costs what one message and a socket's buffer do, however long it is.
    const ROOM: u64 = 4096;
    let daemon = bench.daemon("single")?;
    let probe = expect("flood", BROKE)
        .at(Phase::Frame)
        .host(&["peer"])
        .control(Arrives("30000000 bytes"));
    let mut outcome = attempted(bench, &probe)?;
    let before = daemon.resident()?;
    for _ in 0..FLOODS {
        outcome = outcome.and(attempted(bench, &probe)?);
    }
    let after = daemon.resident()?;
    let outcome = outcome.and_then(|_| match after <= before + ROOM {
        true => Ok(format!(
            "{before} KiB before {FLOODS} floods, {after} KiB after"
        )),
        false => Err(format!(
            "{before} KiB before {FLOODS} floods, {after} KiB after"
        )),
    });
    finding(
        bench,
        38,
        "the daemon's memory after floods",
        outcome,
        &probe,
    )
}

/// Row 38: what a module prints costs the daemon little, however much it is.
pub(super) fn a_flood_of_lines_is_cheap(bench: &Bench) -> anyhow::Result<Finding> {
    const TIME: Duration = Duration::from_millis(1000);
    /// KiB.
    const ROOM: u64 = 4096;
    let probe = refused("flood_log", 0).args("ms=100");
    let daemon = bench.daemon("single")?;
    let words = bench.words(&format!(
        "probe=flood_log phase=run ms={}",
        TIME.as_millis()
    ));
    let camera = bench.tuning("hostile", &words)?;
    let mut session = jail::open(&daemon, "hostile", &camera)?;
    session.configure(&jail::sensor())?;
    let (cpu, memory) = (daemon.cpu()?, daemon.resident()?);
    let printed = match session.start() {
        Err(Error::Refused(trouble)) => jail::classify(&trouble, &probe),
        other => anyhow::bail!("the probe did not run: {other:?}"),
    };
    let cpu = daemon.cpu()?.saturating_sub(cpu);
    let grown = daemon.resident()?.saturating_sub(memory);
    let text = format!(
        "{} ms of the daemon's processor time and {grown} KiB for {} ms of lines",
        cpu.as_millis(),
        TIME.as_millis()
    );
    let outcome = match printed {
        Seen::Answered(0) if cpu * 10 <= TIME && grown <= ROOM => Ok(text),
        seen => Err(format!("{text}; {seen}")),
    };
    finding(bench, 38, "flood_log in run", outcome, &probe)
}

/// Row 39: another session answers every frame while one allocates what it can.
pub(super) fn others_go_on(bench: &Bench) -> anyhow::Result<Finding> {
    let daemon = bench.daemon("single")?;
    let mut other = jail::open(&daemon, "hostile", "nothing")?;
    other.configure(&jail::sensor())?;
    other.start()?;
    let probe = refused("touch_all_memory", 12);
    let answered = std::thread::scope(|scope| -> anyhow::Result<_> {
        let bomb = scope.spawn(|| attempted(bench, &probe));
        let mut answered = 0;
        let mut asked = 0;
        while !bomb.is_finished() {
            asked += 1;
            answered += usize::from(answers(&mut other, asked)?);
        }
        let outcome = bomb
            .join()
            .map_err(|_| anyhow::anyhow!("the bomb's thread"))??;
        Ok(outcome.map(|seen| (seen, asked, answered)))
    })?;
    let outcome = answered.and_then(|(seen, asked, answered)| {
        let text = format!("{seen}; {answered} of {asked} frames of another session answered");
        if answered as u64 == asked {
            Ok(text)
        } else {
            Err(text)
        }
    });
    finding(bench, 39, "another session goes on", outcome, &probe)
}

fn answers(session: &mut Session, number: u64) -> anyhow::Result<bool> {
    let ticket = session.prepare(&jail::frame(number, Duration::from_secs(2)))?;
    Ok(matches!(session.wait(ticket), Outcome::Fresh(_)))
}

/// Row 41: nothing on disk, and a limit that would not let it be.
pub(super) fn no_core_is_left(bench: &Bench) -> anyhow::Result<Finding> {
    let daemon = bench.daemon("single")?;
    let session = jail::open(&daemon, "hostile", "nothing")?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", session.worker_pid()))?;
    drop(session);
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.context("no such limit")?.split_whitespace().collect();
    let limited = words.get(4..6) == Some(&["1", "1"]);
    let home = daemon.log.parent().context("the log is in a directory")?;
    let cores: Vec<String> = fs::read_dir(home)?
        .chain(fs::read_dir("/")?)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("core"))
        .collect();
    let outcome = match (limited, cores.is_empty()) {
        (true, true) => Ok("limit 1 byte, no core".to_owned()),
        (limited, _) => Err(format!("limited: {limited}, cores: {}", cores.join(", "))),
    };
    let probe: Probe = expect("crash", Expect::Report("")).control(Dies("core dumped"));
    finding(bench, 41, "no core is left", outcome, &probe)
}
