//! The worker that stands by.

use coldshoe::Session;
use coldshoe_control::client::{Body, List, SessionInfo, Topic};
use coldshoe_tests::{Daemon, Raw, children, until};

use crate::process::cpu_time;
use crate::{alone, daemon, kill, run, streaming};

fn info(daemon: &Daemon) -> SessionInfo {
    let list = List {
        topic: Topic::Sessions.into(),
        after: 0,
    };
    match Raw::greeted(&daemon.socket()).ask(list, &[]) {
        Body::Listing(listing) => listing.sessions.into_iter().next().expect("a session"),
        other => panic!("no list: {other:?}"),
    }
}

/// Waits for the standby and returns its process number.
fn standby(daemon: &Daemon, session: &Session) -> u32 {
    let worker = session.worker_pid();
    // The list may be of the moment before the last worker took over.
    let ready = |info: SessionInfo| info.standby && info.worker_pid == worker;
    until("a standby is ready", || ready(info(daemon)), || {});
    let mut others = children(daemon.pid());
    others.retain(|pid| *pid != worker);
    let [standby] = others[..] else {
        panic!("not one standby: {others:?}");
    };
    standby
}

#[test]
fn a_standby_takes_over_that_was_there_before_and_another_one_follows_it() {
    let _alone = alone();
    let daemon = daemon(&["--max-faults", "1000", "--max-pause", "1"]);
    daemon.chaos("chaos", &[]);
    let mut session = streaming(&daemon, "chaos", true);
    let mut number = 1;
    for _ in 0..5 {
        let next = standby(&daemon, &session);
        run(&mut session, number..=number + 9);
        kill(&session);
        let seen = run(&mut session, number + 10..=number + 10);
        assert_eq!(session.worker_pid(), next, "it was made beforehand");
        assert!(seen.restored.is_some(), "{seen:?}");
        number += 11;
    }
    assert_eq!(session.counters().replaced, 5);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_standby_that_is_killed_is_replaced_and_the_stream_does_not_notice() {
    let _alone = alone();
    let daemon = daemon(&[]);
    daemon.chaos("chaos", &[]);
    let mut session = streaming(&daemon, "chaos", true);
    let first = standby(&daemon, &session);
    let pid = rustix::process::Pid::from_raw(first.cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
    daemon.log().wait_for("standby lost");
    run(&mut session, 1..=20);
    assert_ne!(standby(&daemon, &session), first);
    assert_eq!(session.counters().faults, 0);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_standby_sleeps_until_it_is_needed() {
    let _alone = alone();
    let daemon = daemon(&[]);
    daemon.chaos("chaos", &[]);
    let mut session = streaming(&daemon, "chaos", true);
    let standby = standby(&daemon, &session);
    run(&mut session, 1..=10);
    let before = cpu_time(standby);
    run(&mut session, 11..=110);
    assert_eq!(cpu_time(standby), before);
    assert!(
        cpu_time(session.worker_pid()) > before,
        "and the other works"
    );
    session.close().expect("closed");
    daemon.assert_at_rest();
}
