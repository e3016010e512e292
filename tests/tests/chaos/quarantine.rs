//! Modules that fail too often.

use std::fs;
use std::ops::Range;

use coldshoe::{ErrorCode, FaultReason, Health, Outcome, Session, WhySkipped};
use coldshoe_control::client::{Body, Release};
use coldshoe_tests::{Daemon, Raw, frame, refused, three_lines, until};

use crate::{LONG, alone, daemon, daemon_in, reason, run, streaming};

const STRICT: [&str; 4] = ["--max-faults", "3", "--max-pause", "1"];
/// The module dies of frames from here on.
const DEADLY: u64 = 10;

fn fatal(daemon: &Daemon, name: &str) {
    let dies = format!("if (in->frame >= {DEADLY}) abort();");
    daemon.chaos(name, &[("IN_PROCESS", &dies)]);
}

/// Runs deadly frames until the session gives its module up.
fn exhaust(session: &mut Session) {
    run(session, 1..=DEADLY - 1);
    let deadly: Range<u64> = DEADLY..DEADLY + 20;
    for number in deadly {
        let ticket = session.submit(&frame(number, LONG), &[0; 64]);
        let outcome = session.wait(ticket.expect("started"));
        let last = outcome.answer().expect("what there was before");
        assert_eq!(last.frame, DEADLY - 1);
        if session.health() == Health::Quarantined {
            return;
        }
    }
    panic!("not quarantined: {:?}", session.fault());
}

fn release(daemon: &Daemon, module: &str) {
    let module = module.to_owned();
    let answer = Raw::greeted(&daemon.socket()).ask(Release { module }, &[]);
    assert!(matches!(answer, Body::Done(_)), "{answer:?}");
}

#[test]
fn a_module_that_fails_in_each_frame_is_given_up_and_comes_back_when_it_is_released() {
    let _alone = alone();
    let daemon = daemon(&STRICT);
    fatal(&daemon, "fatal");
    for standby in [false, true] {
        let mut session = streaming(&daemon, "fatal", standby);
        exhaust(&mut session);
        assert_eq!(session.counters().faults, 3);
        assert_eq!(reason(&mut session), FaultReason::Crash);
        let fault = session.fault().expect("the last one");
        three_lines(fault, ["fatal", "", ""]);
        for number in 40..50 {
            let ticket = session.submit(&frame(number, LONG), &[0; 64]);
            let outcome = session.wait(ticket.expect("started"));
            let Outcome::Skipped {
                why: WhySkipped::Fault,
                last: Some(last),
            } = outcome
            else {
                panic!("{outcome:?}");
            };
            assert_eq!(last.frame, DEADLY - 1);
        }
        release(&daemon, "fatal");
        until(
            "the session goes on",
            || session.health() == Health::Running,
            || daemon.turn(),
        );
        // Two workers ended in the first frame that they were given, and each took a state with it.
        let seen = run(&mut session, 1..=DEADLY - 1);
        assert_eq!(seen.restored, None, "{seen:?}");
        session.close().expect("closed");
        // So that one more session does not bar the module from the machine.
        release(&daemon, "fatal");
    }
    daemon.assert_at_rest();
}

#[test]
fn after_three_sessions_a_module_is_not_loaded_any_more_until_it_is_released() {
    let _alone = alone();
    let daemon = daemon(&STRICT);
    fatal(&daemon, "fatal");
    daemon.chaos("chaos", &[]);
    for _ in 0..3 {
        let mut session = streaming(&daemon, "fatal", false);
        exhaust(&mut session);
        session.close().expect("closed");
    }
    let barred = ["quarantined", "3 sessions", "module release fatal"];
    let told = refused(&daemon.open("fatal"), barred);
    assert_eq!(told.code, ErrorCode::ModuleQuarantined);
    run(&mut streaming(&daemon, "chaos", false), 1..=3);
    let file = daemon.state_dir().join("faults.toml");
    until(
        "it is written down",
        || fs::read_to_string(&file).is_ok_and(|text| text.contains("quarantined")),
        || daemon.turn(),
    );
    daemon.assert_at_rest();

    let (place, _) = daemon.stop();
    let daemon = daemon_in(place, &STRICT);
    let told = refused(&daemon.open("fatal"), barred);
    assert_eq!(told.code, ErrorCode::ModuleQuarantined);
    release(&daemon, "fatal");
    let mut session = streaming(&daemon, "fatal", false);
    run(&mut session, 1..=DEADLY - 1);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn where_a_module_is_given_up_another_one_stands_in() {
    let _alone = alone();
    let [a, b, c, d] = STRICT;
    let daemon = daemon(&[a, b, c, d, "--fallback", "good"]);
    fatal(&daemon, "fatal");
    for standby in [false, true] {
        let mut session = streaming(&daemon, "fatal", standby);
        assert_eq!(session.module().name, "chaos");
        run(&mut session, 1..=DEADLY - 1);
        let fresh = (DEADLY..DEADLY + 20).find(|number| {
            let ticket = session.submit(&frame(*number, LONG), &[0; 64]);
            session.wait(ticket.expect("started")).is_fresh()
        });
        assert!(fresh.is_some(), "{:?}", session.fault());
        assert_eq!(session.module().name, "test");
        assert_eq!(session.health(), Health::Running);
        assert_eq!(session.counters().faults, 3);
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}
