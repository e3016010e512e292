//! Waiting for frames in an event loop, and on tokio.

use std::os::fd::AsFd;
use std::time::Duration;

use coldshoe::{Moment, Outcome, Session, Ticket, WhyHeld};
use coldshoe_tests::{Daemon, PATIENCE, frame, running, until};
use rustix::event::{PollFd, PollFlags, poll};

/// Sleeps until there is something to try. A descriptor that never becomes readable hangs the
/// test.
fn listen(session: &mut Session) {
    let fd = session.poll_fd().expect("a descriptor");
    let ready = poll(&mut [PollFd::new(&fd.as_fd(), PollFlags::IN)], None);
    assert_eq!(ready, Ok(1));
}

/// An event loop with one ticket: the outcome's number of a fresh frame, or why there is none.
fn turn(session: &mut Session, mut ticket: Ticket) -> (u32, Result<u64, WhyHeld>) {
    let mut wakes = 0;
    loop {
        ticket = match session.try_wait(ticket) {
            Ok(Outcome::Fresh(answer)) => return (wakes, Ok(answer.frame)),
            Ok(Outcome::Held { why, .. }) => return (wakes, Err(why)),
            Ok(other) => panic!("{other:?}"),
            Err(ticket) => ticket,
        };
        listen(session);
        wakes += 1;
    }
}

#[test]
fn an_event_loop_hears_of_every_answer() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let mut asleep = 0;
    for number in 0..2000 {
        let ticket = session
            .submit(&frame(number, PATIENCE), &[7; 64])
            .expect("a ticket");
        let (wakes, outcome) = turn(&mut session, ticket);
        assert_eq!(outcome, Ok(number));
        asleep += wakes.min(1);
    }
    assert!(asleep > 0, "it never had to wait");
    assert_eq!(session.counters().fresh, 2000);
    // The same session waits in a call, too.
    let ticket = session
        .submit(&frame(2000, PATIENCE), &[7; 64])
        .expect("a ticket");
    assert!(session.wait(ticket).is_fresh());
}

#[test]
fn an_event_loop_hears_of_a_deadline() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let mut session = running(&daemon, "hangs");
    for number in 0..3 {
        let ticket = session
            .submit(&frame(number, Duration::from_millis(20)), &[0; 64])
            .expect("a ticket");
        let (_, outcome) = turn(&mut session, ticket);
        assert_eq!(outcome, Err(WhyHeld::Deadline));
    }
    assert_eq!(session.counters().missed, 3);
}

#[test]
fn an_event_loop_hears_of_a_crash_long_before_the_deadline() {
    let daemon = Daemon::new();
    daemon.module("crashes", &[("IN_PROCESS", "abort()")]);
    let mut session = running(&daemon, "crashes");
    let never = Duration::from_secs(3600);
    let ticket = session
        .submit(&frame(1, never), &[0; 64])
        .expect("a ticket");
    let (_, outcome) = turn(&mut session, ticket);
    assert_eq!(outcome, Err(WhyHeld::Fault));
}

#[test]
fn frames_that_were_queued_go_out_with_one_ring_and_all_come_back() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    for round in 0..50 {
        let mut tickets: Vec<_> = (0..4)
            .map(|n| {
                let mut slot = session.statistics().expect("a slot");
                slot.write(0, &[7; 64]).expect("it fits");
                slot.queue(&frame(round * 4 + n, PATIENCE), 64)
            })
            .collect();
        if round % 2 == 0 {
            session.ring();
        }
        // In any order: the last one first.
        while let Some(ticket) = tickets.pop() {
            let number = round * 4 + tickets.len() as u64;
            match session.try_wait(ticket) {
                Ok(outcome) => {
                    assert!(outcome.is_fresh(), "{outcome:?}");
                    assert_eq!(outcome.answer().expect("fresh").frame, number);
                }
                Err(ticket) => {
                    tickets.push(ticket);
                    listen(&mut session);
                }
            }
        }
    }
    assert_eq!(session.counters().fresh, 200);
}

#[test]
fn an_answer_that_nobody_looked_for_in_time_is_late_and_still_the_newest() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let mut number = 0;
    loop {
        number += 1;
        let deadline = Moment::now() + Duration::from_millis(5 * number);
        let mut asked = frame(number, PATIENCE);
        asked.deadline = deadline;
        let ticket = session.submit(&asked, &[7; 64]).expect("a ticket");
        // The pipeline is busy with something else until the deadline has passed.
        while Moment::now() <= deadline {
            std::thread::yield_now();
        }
        match session.wait(ticket) {
            Outcome::Late(answer) => break assert_eq!(answer.frame, number),
            // A busy machine: the worker did not get to it. It gets more time.
            Outcome::Held { .. } if number < 100 => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(session.counters().late, 1);
}

#[test]
fn a_worker_that_rings_without_end_wakes_nobody_without_end() {
    let daemon = Daemon::new();
    let flood = "for (long one = 1;;) write(4, &one, sizeof one)";
    daemon.module("rings", &[("IN_PROCESS", flood)]);
    let mut session = running(&daemon, "rings");
    let ticket = session
        .submit(&frame(1, Duration::from_millis(300)), &[0; 64])
        .expect("a ticket");
    let (wakes, outcome) = turn(&mut session, ticket);
    assert_eq!(outcome, Err(WhyHeld::Deadline));
    // Five rings that bring nothing, and the deadline.
    assert!(wakes <= 7, "{wakes}");
}

#[test]
fn frames_are_awaited_on_tokio() {
    let daemon = Daemon::new();
    daemon.module("crashes", &[("IN_PROCESS", "abort()")]);
    let mut one = running(&daemon, "good");
    let mut other = running(&daemon, "good");
    let mut crashing = running(&daemon, "crashes");
    let stream = async |session: &mut Session| {
        for number in 0..500 {
            let ticket = session
                .submit(&frame(number, PATIENCE), &[7; 64])
                .expect("a ticket");
            let outcome = session.answered(ticket).await;
            assert!(outcome.is_fresh(), "{outcome:?}");
        }
    };
    let crash = async |session: &mut Session| {
        let never = Duration::from_secs(3600);
        let ticket = session
            .submit(&frame(1, never), &[0; 64])
            .expect("a ticket");
        let outcome = session.answered(ticket).await;
        let why = WhyHeld::Fault;
        assert!(
            matches!(outcome, Outcome::Held { why: w, .. } if w == why),
            "{outcome:?}"
        );
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            tokio::join!(stream(&mut one), stream(&mut other), crash(&mut crashing))
        });
}

/// Whether the worker sleeps: on the doorbell, since it has answered everything.
fn sleeps(session: &Session) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", session.worker_pid()));
    stat.is_ok_and(|stat| stat.contains(") S "))
}

#[test]
fn a_ring_for_one_frame_is_not_lost_on_another() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let never = Duration::from_secs(3600);
    for round in 0..50 {
        let first = session
            .submit(&frame(2 * round, never), &[7; 64])
            .expect("a ticket");
        let first = session.try_wait(first).map(|outcome| outcome.is_fresh());
        // The pipeline is busy with the next frame while the answer comes.
        until("the worker sleeps", || sleeps(&session), || daemon.turn());
        let Err(first) = first.map(|fresh| assert!(fresh)) else {
            continue;
        };
        let second = session
            .submit(&frame(2 * round + 1, never), &[7; 64])
            .expect("a ticket");
        let second = session.try_wait(second).map(|outcome| outcome.is_fresh());
        // Nobody tries the first one before the descriptor says so.
        listen(&mut session);
        assert!(session.fault().is_none());
        assert!(
            session
                .try_wait(first)
                .is_ok_and(|outcome| outcome.is_fresh())
        );
        if let Err(second) = second {
            assert_eq!(turn(&mut session, second).1, Ok(2 * round + 1));
        }
    }
}

#[test]
fn waiting_for_one_frame_does_not_lose_the_ring_for_another() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let never = Duration::from_secs(3600);
    for round in 0..200 {
        let mut submit = |n| {
            let frame = frame(2 * round + n, never);
            session.submit(&frame, &[7; 64]).expect("a ticket")
        };
        let (first, second) = (submit(0), submit(1));
        let second = session.try_wait(second).map(|outcome| outcome.is_fresh());
        assert!(session.wait(first).is_fresh());
        match second {
            Ok(fresh) => assert!(fresh),
            Err(second) => assert_eq!(turn(&mut session, second).1, Ok(2 * round + 1)),
        }
    }
}

/// How often the descriptor becomes readable although there is nothing to try, within a time.
fn noise(session: &mut Session) -> u32 {
    let mut wakes = 0;
    let short = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    loop {
        let fd = session.poll_fd().expect("a descriptor");
        match poll(&mut [PollFd::new(&fd.as_fd(), PollFlags::IN)], Some(&short)) {
            Ok(1) if wakes < 100 => wakes += 1,
            _ => return wakes,
        }
        session.fault();
    }
}

#[test]
fn tickets_that_nobody_waits_for_and_a_daemon_that_is_gone_make_no_noise() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let mut session = running(&daemon, "hangs");
    let dropped = session
        .submit(&frame(0, Duration::from_millis(1)), &[7; 64])
        .expect("a ticket");
    drop(session.try_wait(dropped));
    let soon = Duration::from_secs(2);
    let kept = session.submit(&frame(1, soon), &[7; 64]).expect("a ticket");
    let kept = session.try_wait(kept).expect_err("it hangs");
    let wakes = noise(&mut session);
    assert!(wakes <= 2, "{wakes}");
    let place = daemon.kill();
    let (_, outcome) = turn(&mut session, kept);
    assert_eq!(outcome, Err(WhyHeld::Fault));
    let wakes = noise(&mut session);
    assert!(wakes <= 2, "{wakes}");
    drop(place);
}

#[test]
fn a_future_that_is_dropped_makes_no_noise_and_costs_its_frame_alone() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "if (in->frame == 0) hang()")]);
    let mut session = running(&daemon, "hangs");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let never = Duration::from_secs(3600);
        for number in 0..2 {
            let ticket = session
                .submit(&frame(number, never), &[7; 64])
                .expect("a ticket");
            let outcome = session.answered(ticket);
            let patience = Duration::from_millis(20);
            assert!(tokio::time::timeout(patience, outcome).await.is_err());
        }
    });
    drop(runtime);
    // In another runtime, too.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ticket = session
        .submit(&frame(2, Duration::from_millis(20)), &[7; 64])
        .expect("a ticket");
    let outcome = runtime.block_on(session.answered(ticket));
    let why = WhyHeld::Deadline;
    assert!(
        matches!(outcome, Outcome::Held { why: w, .. } if w == why),
        "{outcome:?}"
    );
}

#[test]
fn after_misses_an_answer_in_time_is_heard_in_time() {
    let daemon = Daemon::new();
    daemon.module(
        "slow",
        &[("IN_PROCESS", "if (in->frame < 8) usleep(30000)")],
    );
    let mut session = running(&daemon, "slow");
    for number in 0..8 {
        let short = Duration::from_millis(5);
        let ticket = session
            .submit(&frame(number, short), &[7; 64])
            .expect("a ticket");
        turn(&mut session, ticket).1.ok();
    }
    let ticket = session
        .submit(&frame(8, PATIENCE), &[7; 64])
        .expect("a ticket");
    assert_eq!(turn(&mut session, ticket).1, Ok(8));
}
