//! Daemons that end, and the next one goes on with what they had.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coldshoe::{Health, Moment, Session};
use coldshoe_control::client::{Body, FaultReason, List, SessionInfo, SessionState, Topic};
use coldshoe_tests::{
    Control, Manager, PATIENCE, Place, Raw, assert_serves, ends, frame, is_in_time, run_frame,
    running, until,
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The sessions that the daemon lists.
fn sessions(place: &Place) -> Vec<SessionInfo> {
    let mut client = Raw::greeted(&place.socket());
    let list = List {
        topic: Topic::Sessions.into(),
        after: 0,
    };
    match client.ask(list, &[]) {
        Body::Listing(listing) => listing.sessions,
        other => panic!("no listing: {other:?}"),
    }
}

/// Of frames at 30 a second.
const DEADLINE: Duration = Duration::from_millis(30);

/// A handle on the session's worker of now.
fn worker(session: &Session) -> OwnedFd {
    let pid = Pid::from_raw(session.worker_pid().cast_signed()).expect("a process");
    pidfd_open(pid, PidfdFlags::empty()).expect("it lives")
}

fn lives(worker: &OwnedFd) -> bool {
    let mut events = [rustix::event::PollFd::new(
        worker,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut events, Some(&rustix::event::Timespec::default())) == Ok(0)
}

#[test]
fn a_daemon_that_is_killed_twenty_times_costs_no_frame() {
    let mut manager = Manager::start(Place::new(), &[]);
    let mut session = running(manager.place(), "good");
    let (id, worker) = (session.id(), worker(&session));
    let (over, control) = (AtomicBool::new(false), Control::start());
    std::thread::scope(|scope| {
        let over = &over;
        // 30 frames a second, for as long as daemons come and go.
        let film = scope.spawn(move || {
            let (mut number, begin) = (0, Moment::now());
            let mut late = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let due = begin + Duration::from_millis(33 * number);
                std::thread::sleep(due.since(Moment::now()));
                let begun = Instant::now();
                let ticket = session
                    .submit(&frame(number, DEADLINE), &[7; 64])
                    .expect("a slot");
                if !session.wait(ticket).is_fresh() {
                    late.push((number, begun, Instant::now()));
                }
                number += 1;
            }
            (session, late)
        });
        for _ in 0..20 {
            manager.kill();
            manager.restart();
            let listed = || match sessions(manager.place()).as_slice() {
                [one] => one.session == id && one.state() == SessionState::Running,
                _ => false,
            };
            until(
                "the session is listed again",
                listed,
                std::thread::yield_now,
            );
        }
        over.store(true, Ordering::Relaxed);
        let (mut session, mut late) = film.join().expect("every frame has a slot");
        assert!(lives(&worker), "it was one worker all the time");
        let held = control.stop();
        println!("late, raw: {late:?}");
        late.retain(|(_, begun, over)| !is_in_time(&held, *begun, *over, DEADLINE));
        assert!(
            late.is_empty(),
            "late, and the machine held nobody up: {late:?}"
        );
        assert_eq!(session.counters().faults, 0);
        // The last daemon serves it in full.
        session.stop().expect("stopped");
        session.start().expect("started");
        run_frame(&mut session, 1);
        session.close().expect("closed");
    });
    assert!(ends(&worker));
    manager.until_kept("what the session had is forgotten", |names| {
        !names.iter().any(|name| name.starts_with('s'))
    });
    assert_serves(manager.place());
}

#[test]
fn a_daemon_that_is_told_to_end_leaves_sessions_to_the_next_one() {
    let mut manager = Manager::start(Place::new(), &[]);
    let mut session = running(manager.place(), "good");
    let worker = worker(&session);
    manager.terminate();
    run_frame(&mut session, 1);
    assert!(lives(&worker));
    manager.restart();
    run_frame(&mut session, 2);
    session.stop().expect("stopped");
    session.close().expect("closed");
    assert!(ends(&worker));
}

#[test]
fn with_the_store_the_workers_go() {
    let mut manager = Manager::start(Place::new(), &[]);
    let session = running(manager.place(), "good");
    let worker = worker(&session);
    manager.kill();
    assert!(lives(&worker), "the store holds the keeper");
    drop(manager);
    assert!(ends(&worker), "nobody holds the keeper any more");
}

#[test]
fn an_adopted_worker_that_fails_is_told_with_the_reason_and_replaced() {
    let place = Place::new();
    place.module("bad", &[("IN_PROCESS", "if (in->frame == 7) _exit(5)")]);
    let mut manager = Manager::start(place, &[]);
    let mut session = running(manager.place(), "bad");
    run_frame(&mut session, 1);
    manager.kill();
    manager.restart();
    run_frame(&mut session, 2);
    let ticket = session
        .submit(&frame(7, PATIENCE), &[7; 64])
        .expect("a slot");
    assert!(!session.wait(ticket).is_fresh());
    run_frame(&mut session, 3);
    let fault = session.fault().expect("it failed").clone();
    assert_eq!(fault.reason, FaultReason::Exit);
    assert!(fault.to_string().contains("exited with code 5"), "{fault}");
    assert_eq!(session.health(), Health::Running);
}

#[test]
fn a_worker_that_ends_while_there_is_no_daemon_is_replaced_by_the_next_one() {
    let mut manager = Manager::start(Place::new(), &[]);
    let mut session = running(manager.place(), "good");
    run_frame(&mut session, 1);
    manager.kill();
    pidfd_send_signal(session.worker_pidfd(), Signal::KILL).expect("our worker");
    assert!(ends(session.worker_pidfd()));
    let ticket = session
        .submit(&frame(2, Duration::from_millis(50)), &[7; 64])
        .expect("a slot");
    let outcome = session.wait(ticket);
    assert!(
        !outcome.is_fresh() && outcome.answer().is_some(),
        "{outcome:?}"
    );
    manager.restart();
    run_frame(&mut session, 3);
    assert_eq!(session.health(), Health::Running);
}

#[test]
fn a_client_whose_connection_was_not_kept_finds_back_by_its_token() {
    let mut manager = Manager::start(Place::new(), &[]);
    let mut session = running(manager.place(), "good");
    let worker = worker(&session);
    manager.kill();
    manager.lose(|name| name.ends_with(".client"));
    manager.restart();
    run_frame(&mut session, 1);
    // Orders need the daemon: the session goes there by itself, with the same worker.
    session.stop().expect("stopped");
    session.start().expect("started");
    run_frame(&mut session, 2);
    assert!(lives(&worker));
    assert_eq!(session.counters().faults, 0);
    assert_eq!(sessions(manager.place()).len(), 1);
}

#[test]
fn a_client_that_finds_back_to_a_session_without_a_worker_gets_the_next_one() {
    let mut manager = Manager::start(Place::new(), &[]);
    let mut session = running(manager.place(), "good");
    run_frame(&mut session, 1);
    manager.kill();
    manager.lose(|name| name.ends_with(".client"));
    pidfd_send_signal(session.worker_pidfd(), Signal::KILL).expect("our worker");
    assert!(ends(session.worker_pidfd()));
    manager.restart();
    until(
        "the session is resumed",
        || session.health() == Health::Running,
        std::thread::yield_now,
    );
    run_frame(&mut session, 2);
    session.stop().expect("stopped");
    session.close().expect("closed");
}

#[test]
fn without_a_store_a_session_goes_on_with_the_next_daemon_and_another_worker() {
    let place = Place::new();
    let daemon = coldshoe_tests::Daemon::start(place);
    let mut session = running(&daemon, "good");
    run_frame(&mut session, 1);
    let place = daemon.kill();
    assert!(ends(session.worker_pidfd()), "it dies with its daemon");
    let ticket = session
        .submit(&frame(2, Duration::from_millis(50)), &[7; 64])
        .expect("a slot");
    let outcome = session.wait(ticket);
    assert!(
        !outcome.is_fresh() && outcome.answer().is_some(),
        "{outcome:?}"
    );
    let daemon = coldshoe_tests::Daemon::start(place);
    run_frame(&mut session, 3);
    assert_eq!(session.health(), Health::Running);
    session.stop().expect("stopped");
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn what_is_left_of_a_session_that_cannot_be_taken_over_is_forgotten() {
    let mut manager = Manager::start(Place::new(), &[]);
    let session = running(manager.place(), "good");
    let worker = worker(&session);
    manager.kill();
    manager.lose(|name| name.ends_with(".forward"));
    manager.restart();
    assert!(ends(&worker), "nobody knows of it any more");
    manager.until_kept("the rest is forgotten", |names| {
        !names.iter().any(|name| name.starts_with('s'))
    });
    assert!(sessions(manager.place()).is_empty());
    drop(session);
    assert_serves(manager.place());
}

#[test]
fn a_standby_of_a_daemon_that_was_killed_does_not_stay() {
    let mut manager = Manager::start(Place::new(), &[]);
    let mut open = manager.place().open("good");
    open.standby = true;
    let session = Session::open(&open).expect("a session");
    let ready = || {
        let first = sessions(manager.place()).into_iter().next();
        first.is_some_and(|session| session.standby)
    };
    until("a standby is ready", ready, std::thread::yield_now);
    let keeper = parent(session.worker_pid());
    assert_eq!(coldshoe_tests::children(keeper).len(), 2);
    manager.kill();
    manager.restart();
    let ready = || {
        let first = sessions(manager.place()).into_iter().next();
        first.is_some_and(|session| session.standby)
    };
    until("another standby is ready", ready, std::thread::yield_now);
    let two = || coldshoe_tests::children(keeper).len() == 2;
    until("the first standby is gone", two, std::thread::yield_now);
    drop(session);
}

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.expect("a parent").trim().parse().expect("a number")
}

#[test]
fn the_service_manager_hears_of_life_and_of_sessions() {
    let manager = Manager::start(Place::new(), &[]);
    let session = running(manager.place(), "good");
    let status = || manager.watchdog() == "1 session";
    until("its status", status, || {});
    drop(session);
}
