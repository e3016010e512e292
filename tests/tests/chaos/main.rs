//! Promises about sessions whose workers fail, and whose daemon does.
//!
//! They are a program of their own: descriptors of this process are counted, frames come at a real
//! pace, and so the tests go one after the other.
#![forbid(unsafe_code)]

mod dice;
mod process;
mod quarantine;
mod standby;
mod states;
mod storm;
mod stream;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coldshoe::{Contract, FaultReason, Session};
use coldshoe_tests::{Daemon, Place, frame, sensor};
use rustix::process::{Signal, pidfd_send_signal};

/// Lets one test at a time go on.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A daemon with more options than its place.
fn daemon(options: &[&str]) -> Daemon {
    daemon_in(Place::new(), options)
}

fn daemon_in(place: Place, options: &[&str]) -> Daemon {
    let mut command = place.coldshoed();
    command.args(options);
    Daemon::start_with(place, command)
}

/// Opens a session and starts it.
fn streaming(place: &Place, module: &str, standby: bool) -> Session {
    let open = coldshoe::Open {
        standby,
        contract: Some(patient_contract()),
        ..place.open(module)
    };
    let mut session = Session::open(&open).expect("a session");
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    session
}

/// Puts up with any number of answers that are none, as the daemons here do with any number of
/// faults: with these a storm would end in the module's quarantine.
fn patient_contract() -> String {
    let text = Contract::BUILTIN
        .iter()
        .find(|(name, _)| *name == "coldshoe-soft");
    let (_, text) = text.expect("built in");
    let patient = text.replacen("violations = 60", "violations = 1000000", 1);
    assert_ne!(patient, *text);
    patient
}

/// What became of a frame that was given all the time it takes.
#[derive(Clone, Copy, Debug)]
struct Seen {
    fresh: bool,
    exposure_us: f64,
    /// The frame that the state was of from which its worker began.
    restored: Option<u64>,
}

/// Time enough for as many workers as a frame is given to.
const LONG: Duration = Duration::from_secs(5);

fn see(session: &mut Session, number: u64) -> Seen {
    let ticket = session.submit(&frame(number, LONG), &[0; 64]);
    let outcome = session.wait(ticket.expect("started"));
    let answer = outcome.answer().expect("there was one before");
    Seen {
        fresh: outcome.is_fresh(),
        exposure_us: answer.wanted.exposure_us.expect("the module wants one"),
        restored: answer.metadata.lux.map(|lux| lux as u64 - 1),
    }
}

/// Runs frames that must all be fresh, and returns what was seen of the last.
fn run(session: &mut Session, numbers: std::ops::RangeInclusive<u64>) -> Seen {
    let seen = numbers.map(|number| {
        let seen = see(session, number);
        assert!(
            seen.fresh,
            "frame {number}: {seen:?}, {:?}",
            session.fault()
        );
        seen
    });
    seen.last().expect("some frames")
}

fn kill(session: &Session) {
    // One that is gone already is what was wanted.
    let _ = pidfd_send_signal(session.worker_pidfd(), Signal::KILL);
}

/// How far the module's exposure has come after so many frames.
fn exposure_after(frames: i32) -> f64 {
    10_000.0 - 9_900.0 * 0.9_f64.powi(frames)
}

fn reason(session: &mut Session) -> FaultReason {
    session.fault().expect("a fault").reason
}
