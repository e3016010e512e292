//! A probe in the jail: a real session with the real daemon.

use std::time::Duration;

use anyhow::Context;
use coldshoe::{
    Applied, BayerOrder, Error, Frame, Moment, Open, Outcome, Sensor, Session, Trouble,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bench::{Bench, PARAMS, Running, SLOTS};
use crate::probe::{Phase, Probe, Seen};

/// The argument of probes that aim at another worker of the same daemon.
const SIBLING: &str = "sibling";

/// What a session is opened with here.
pub fn open(daemon: &Running, module: &str, camera: &str) -> Result<Session, Error> {
    Session::open(&Open {
        socket: Some(daemon.socket.clone()),
        module: module.into(),
        camera: camera.into(),
        stats_format: "coldshoe-stats-1".into(),
        params_format: "coldshoe-soft".into(),
        slots: SLOTS,
        stats_capacity: 4096,
        params_capacity: PARAMS,
        ..Open::default()
    })
}

/// A sensor that nothing here looks at.
pub fn sensor() -> Sensor {
    Sensor {
        model: "hostile".into(),
        width: 64,
        height: 48,
        bayer_order: BayerOrder::Rggb.into(),
        bit_depth: 10,
        line_length_us: 10.0,
        min_exposure_us: 10.0,
        max_exposure_us: 10_000.0,
        min_analogue_gain: 1.0,
        max_analogue_gain: 8.0,
        max_digital_gain: 1.0,
        black_level: 0.06,
        exposure_delay: 2,
        gain_delay: 2,
        min_frame_duration_us: 10_000.0,
        max_frame_duration_us: 100_000.0,
        min_lens_position: 0.0,
        max_lens_position: 0.0,
        exposure_margin_lines: 0,
    }
}

/// A frame to be answered within that time.
pub fn frame(number: u64, patience: Duration) -> Frame {
    let now = Moment::now();
    Frame {
        number,
        sensor_timestamp: now,
        deadline: now + patience,
        applied: Applied {
            exposure_us: 1e4,
            analogue_gain: 1.0,
            digital_gain: 1.0,
            black_level: 0.06,
            lens_position: None,
        },
        controls: Default::default(),
    }
}

/// Runs a probe and says what became of it.
pub fn attempt(bench: &Bench, probe: &Probe) -> anyhow::Result<Seen> {
    // Those that are waited for run beside the others, whose daemon is to have no other worker.
    let daemon = match probe.hangs() {
        true => bench.daemon_for(probe.profile, "hanging")?,
        false => bench.daemon(probe.profile)?,
    };
    // A worker of another session, which must not notice anything.
    let mut sibling = match probe.args {
        SIBLING => Some(open(&daemon, "hostile", "sibling")?),
        _ => None,
    };
    let pid = match &sibling {
        Some(sibling) => sibling.worker_pid(),
        None => bench.victim()?,
    };
    // Descriptors 4 and up are not there; 0 to 3 are not what these probes want them to be.
    let own = format!(
        "probe={} phase={} {} pid={pid} address=0x10000 fd=4 forward=4 replies=5 socket=3 other=0 \
         pipe=1 pipe2=2 readable=0 terminal=1",
        probe.name,
        probe.phase.word(),
        probe.args,
    );
    let camera = bench.tuning(probe.module, &bench.words(&own))?;
    let seen = live(&daemon, probe, &camera)?;
    if sibling.is_none() && !bench.victim_lives()? {
        return Ok(Seen::Report("THE VICTIM WAS HIT".into()));
    }
    if let Some(sibling) = &mut sibling
        && let Some(fault) = sibling.fault()
    {
        return Ok(Seen::Report(format!("THE SIBLING WAS HIT: {fault}")));
    }
    Ok(seen)
}

fn live(daemon: &Running, probe: &Probe, camera: &str) -> anyhow::Result<Seen> {
    let mut session = match open(daemon, probe.module, camera) {
        Ok(session) => session,
        Err(error) => {
            let seen = seen(error, probe)?;
            // A sibling is there on purpose.
            let others = probe.hangs() || probe.args == SIBLING;
            return Ok(match others || daemon.has_no_child()? {
                true => seen,
                false => Seen::Report(format!("{seen}, BUT A WORKER IS LEFT")),
            });
        }
    };
    // A probe of an earlier phase that did not speak up has found nothing.
    if let Err(error) = session.configure(&sensor()) {
        return seen(error, probe);
    }
    match session.start() {
        Err(error) => {
            let seen = seen(error, probe)?;
            return check_life(session, seen);
        }
        Ok(()) if probe.phase != Phase::Frame => return Ok(Seen::Nothing),
        Ok(()) => {}
    }
    let ticket = session.prepare(&frame(1, Duration::from_millis(300)))?;
    let answered = matches!(session.wait(ticket), Outcome::Fresh(_));
    if let Some(fault) = wait_for_fault(&mut session, Duration::from_millis(200)) {
        return Ok(classify(&fault, probe));
    }
    // It hangs in the frame, or has answered: the next order finds out.
    match session.stop() {
        Err(error) => seen(error, probe),
        Ok(()) if answered => Ok(Seen::Nothing),
        Ok(()) => Ok(Seen::Report(
            "the frame was not answered, and nobody minded".into(),
        )),
    }
}

/// A worker that has answered lives; one that was killed is gone for good.
fn check_life(mut session: Session, seen: Seen) -> anyhow::Result<Seen> {
    if let Seen::Answered(_) = seen {
        let alive = session.configure(&sensor());
        return Ok(match alive {
            Ok(()) => seen,
            Err(error) => Seen::Report(format!("answered, and died of it: {error}")),
        });
    }
    let timeout = Timespec {
        tv_sec: 2,
        tv_nsec: 0,
    };
    let gone = poll(
        &mut [PollFd::new(session.worker_pidfd(), PollFlags::IN)],
        Some(&timeout),
    )?;
    Ok(if gone == 0 {
        Seen::Report(format!("{seen}, BUT THE WORKER LIVES"))
    } else {
        seen
    })
}

/// The session's fault, if there is one within that time.
pub fn wait_for_fault(session: &mut Session, patience: Duration) -> Option<Trouble> {
    let deadline = std::time::Instant::now() + patience;
    loop {
        if let Some(fault) = session.fault() {
            return Some(fault.trouble.clone());
        }
        if std::time::Instant::now() >= deadline {
            return None;
        }
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        };
        let mut ends = [PollFd::new(session.worker_pidfd(), PollFlags::IN)];
        if poll(&mut ends, Some(&timeout)).is_ok_and(|ready| ready > 0) {
            // Its end is known to the daemon in a moment.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn seen(error: Error, probe: &Probe) -> anyhow::Result<Seen> {
    match error {
        Error::Refused(trouble) => Ok(classify(&trouble, probe)),
        other => Err(other).with_context(|| format!("{} in {:?}", probe.name, probe.phase)),
    }
}

/// Reads the daemon's report.
pub fn classify(trouble: &Trouble, probe: &Probe) -> Seen {
    let why = &trouble.why;
    let answer = format!("probe {}: ", probe.name);
    if let Some(answer) = why.strip_prefix(&answer)
        && let Ok(answer) = answer.trim().parse()
    {
        return Seen::Answered(answer);
    }
    if let Some(violation) = violation(why) {
        return violation;
    }
    if why.contains("(SIGSYS)") {
        return Seen::Sigsys;
    }
    Seen::Report(format!("{}: {why}", trouble.what))
}

/// `it called NAME(ARGUMENTS) at PLACE in PHASE; …`
fn violation(why: &str) -> Option<Seen> {
    let called = why.strip_prefix("it called ")?;
    let (call, rest) = called.split_once('(')?;
    // abort() is told apart from the call that it ends in.
    let (_, rest) = rest
        .split_once(") at ")
        .filter(|_| !rest.starts_with("):"))?;
    let phase = ["LOAD", "RUN"]
        .into_iter()
        .find(|phase| rest.contains(&format!(" in {phase}")))?;
    Some(Seen::Violation {
        call: call.to_owned(),
        phase: phase.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_a_violation_is_read() {
        let why = "it called execve(0x1, 0x2, 0x0, 0x0, 0x0, 0x0) at module.so+0x12 in LOAD; its \
                   worker was killed";
        let expected = Seen::Violation {
            call: "execve".into(),
            phase: "LOAD".into(),
        };
        assert_eq!(violation(why), Some(expected));
        assert_eq!(violation("its process crashed (SIGSEGV)"), None);
    }
}
