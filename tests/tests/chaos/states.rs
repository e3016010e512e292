//! States: what the next worker goes on from, and what may be wrong with it.

use coldshoe::FaultReason;
use coldshoe_tests::until;
use rustix::fs::fstat;
use rustix::io::pwrite;

use crate::{alone, daemon, daemon_in, exposure_after, kill, reason, run, see, streaming};

const PATIENT: [&str; 4] = ["--max-faults", "1000", "--max-pause", "1"];

#[test]
fn a_successor_goes_on_where_the_last_state_was_saved() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[]);
    let mut session = streaming(&daemon, "chaos", false);
    assert_eq!(run(&mut session, 1..=11).restored, None);
    kill(&session);
    let seen = run(&mut session, 12..=12);
    assert_eq!(seen.restored, Some(8), "saved after every fourth frame");
    assert!((seen.exposure_us - exposure_after(9)).abs() < 1e-6);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn what_is_saved_is_copied_out_before_it_is_overwritten() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[]);
    let mut session = streaming(&daemon, "chaos", false);
    let mut frame = 0;
    let restored = || {
        for _ in 0..100 {
            frame += 1;
            see(&mut session, frame);
        }
        let segment = session.return_segment();
        let len = fstat(segment).expect("a segment").st_size as usize;
        pwrite(segment, &vec![0xa5; len], 0).expect("overwritten");
        kill(&session);
        frame += 1;
        see(&mut session, frame).restored.is_some()
    };
    // The daemon takes its time; a successor without a state begins anew.
    until("a copy outlives its place", restored, || {});
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn each_successor_gets_the_whole_tuning_file() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    let refuses = "if (init->tuning_size != 16) return -EINVAL;";
    daemon.chaos("tuned", &[("IN_CREATE", refuses)]);
    daemon.tune("tuned", "virtual", "sixteen = \"ok\"\n#");
    for standby in [false, true] {
        let mut session = streaming(&daemon, "tuned", standby);
        for number in 1..=5 {
            run(&mut session, number..=number);
            kill(&session);
        }
        run(&mut session, 6..=6);
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}

#[test]
fn a_module_that_dies_of_its_newest_state_gets_the_one_before() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[("IN_RESTORE", "if (then.frame == 8) abort();")]);
    let mut session = streaming(&daemon, "chaos", false);
    run(&mut session, 1..=11);
    kill(&session);
    assert_eq!(run(&mut session, 12..=12).restored, Some(4));
    assert_eq!(session.counters().replaced, 1);
    assert_eq!(
        session.counters().faults,
        2,
        "the kill, and the newest state"
    );
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_module_that_dies_of_every_state_goes_on_without_one() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[("IN_RESTORE", "abort();")]);
    let mut session = streaming(&daemon, "chaos", false);
    run(&mut session, 1..=11);
    kill(&session);
    let seen = run(&mut session, 12..=12);
    assert_eq!(seen.restored, None);
    assert!(
        (seen.exposure_us - exposure_after(1)).abs() < 1e-6,
        "{seen:?}"
    );
    assert_eq!(session.counters().faults, 3, "the kill, and two states");
    run(&mut session, 13..=20);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_state_that_kills_in_the_first_frame_is_dropped_as_well() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[("IN_PROCESS", "if (now.restored) abort();")]);
    let mut session = streaming(&daemon, "chaos", false);
    run(&mut session, 1..=11);
    kill(&session);
    let number = (12..30).find(|number| see(&mut session, *number).fresh);
    assert!(number.is_some(), "{:?}", session.fault());
    let faults = session.counters().faults;
    assert!(faults <= 5, "the kill, and two states: {faults} faults");
    run(&mut session, 30..=40);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_state_that_is_garbage_does_no_harm() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    let garbage = "scribble(state, capacity); return capacity;";
    daemon.chaos("chaos", &[("IN_SAVE", garbage)]);
    let mut session = streaming(&daemon, "chaos", true);
    run(&mut session, 1..=11);
    kill(&session);
    assert_eq!(run(&mut session, 12..=20).restored, None);
    assert_eq!(session.counters().faults, 1);
    daemon.log().wait_for("the module went without its state");
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_state_that_is_said_to_be_larger_than_the_room_for_it_is_none() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[("IN_SAVE", "return 1 << 30;")]);
    let mut session = streaming(&daemon, "chaos", false);
    run(&mut session, 1..=11);
    kill(&session);
    let seen = run(&mut session, 12..=12);
    assert_eq!(seen.restored, None);
    assert!((seen.exposure_us - exposure_after(1)).abs() < 1e-6);
    assert_eq!(session.counters().faults, 1);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_frame_that_kills_whoever_gets_it_kills_two() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[("IN_PROCESS", "if (in->frame == 12) abort();")]);
    for standby in [false, true] {
        let mut session = streaming(&daemon, "chaos", standby);
        run(&mut session, 1..=11);
        let before = exposure_after(11);
        let seen = see(&mut session, 12);
        assert!(!seen.fresh && (seen.exposure_us - before).abs() < 1e-6);
        let after = run(&mut session, 13..=20);
        assert!(after.restored.is_some(), "{after:?}");
        assert_eq!(session.counters().faults, 2, "standby: {standby}");
        assert_eq!(reason(&mut session), FaultReason::Crash);
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}

#[test]
fn a_session_outlives_its_daemon_and_goes_on_from_its_state() {
    let _alone = alone();
    let daemon = daemon(&PATIENT);
    daemon.chaos("chaos", &[]);
    let mut session = streaming(&daemon, "chaos", false);
    run(&mut session, 1..=11);
    let worker = session.worker_pid();
    let place = daemon.kill();
    let mut number = 12;
    // Its worker ends with it, and so there is nobody to answer.
    until(
        "a frame is held",
        || {
            let ticket = session.submit(
                &coldshoe_tests::frame(number, crate::stream::DEADLINE),
                &[0; 64],
            );
            number += 1;
            let outcome = session.wait(ticket.expect("started"));
            assert!(outcome.answer().is_some(), "{outcome:?}");
            !outcome.is_fresh()
        },
        || {},
    );
    let held = session.last().expect("there was one").wanted.exposure_us;
    let daemon = daemon_in(place, &PATIENT);
    let seen = run(&mut session, number..=number);
    assert!(
        seen.restored.is_some(),
        "another worker, from what was saved"
    );
    let held = held.expect("the module wants one");
    let step = (seen.exposure_us - held).abs() / held;
    assert!(step < 0.5, "{held} µs, then {seen:?}");
    assert_ne!(session.worker_pid(), worker);
    run(&mut session, number + 1..=number + 10);
    session.close().expect("closed");
    daemon.assert_at_rest();
}
