//! How long a module that does not keep to its contract is put up with.

use coldshoe::{Contract, FaultReason, Health, Open, Outcome, Overview, Session, SessionState};
use coldshoe_tests::{Daemon, Manager, Place, three_lines, until};

use crate::{frame, module, open, streaming};

/// Hides something in each frame.
const HIDES: (&str, &str) = (
    "IN_PROCESS",
    r#"gains(0,300,256,300);block(21,0,"HIDDEN!!",8)"#,
);

/// Runs frames until one is not fresh; tells how many were.
fn fresh(session: &mut Session) -> u64 {
    for number in 1..1000 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        if !outcome.is_fresh() {
            assert!(outcome.answer().is_some(), "{outcome:?}");
            return number - 1;
        }
    }
    panic!("it is put up with for ever: {:?}", session.counters());
}

#[test]
fn a_module_that_keeps_violating_its_contract_is_quarantined() {
    let daemon = Daemon::new();
    module(&daemon, "hides", &[HIDES]);
    let mut session = streaming(&open(&daemon, "hides"));
    let allowed = session.contract().quarantine().violations;
    // The daemon acts while frames go on.
    assert!(fresh(&mut session) >= u64::from(allowed) - 1);
    until(
        "it is quarantined",
        || session.health() == Health::Quarantined,
        || daemon.turn(),
    );
    let fault = session.fault().expect("the reason").clone();
    assert_eq!(fault.reason, FaultReason::Contract);
    assert_eq!((fault.module.as_str(), fault.generation), ("hides", 1));
    three_lines(&fault, ["contract", "does not allow", "contract audit"]);
    let ticket = session.submit(&frame(2000), &[1; 64]);
    let outcome = session.wait(ticket.expect("started"));
    assert!(
        matches!(outcome, Outcome::Skipped { last: Some(_), .. }),
        "{outcome:?}"
    );
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn another_module_stands_in_for_it_with_a_clean_slate() {
    let place = Place::new();
    let mut command = place.coldshoed();
    command.args(["--fallback", "modest"]);
    let daemon = Daemon::start_with(place, command);
    module(&daemon, "hides", &[HIDES]);
    // It slips as well, and less than is put up with.
    let slips = r#"gains(0,300,256,300);if(frame%40==0)block(21,0,"HIDDEN!!",8)"#;
    module(&daemon, "modest", &[("IN_PROCESS", slips)]);
    let mut session = streaming(&open(&daemon, "hides"));
    for number in 1..400 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        session.wait(ticket.expect("started"));
    }
    assert_eq!(session.health(), Health::Running);
    for number in 400..600 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        assert!(outcome.is_fresh(), "{outcome:?}");
    }
    assert_eq!(session.counters().faults, 1);
    session.close().expect("closed");

    // One that is no better is given up in its turn.
    module(&daemon, "modest", &[HIDES]);
    let mut session = streaming(&open(&daemon, "hides"));
    let mut number = 0;
    until(
        "both are given up",
        || {
            number += 1;
            let ticket = session.submit(&frame(number), &[1; 64]);
            session.wait(ticket.expect("started"));
            session.health() == Health::Quarantined
        },
        || {},
    );
    assert_eq!(session.counters().faults, 2);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn one_slip_in_a_while_is_forgiven() {
    let daemon = Daemon::new();
    let (_, text) = Contract::BUILTIN[0];
    let text = text.replacen("violations = 60", "violations = 3", 1);
    let text = text.replacen("forgiven_after = 300", "forgiven_after = 10", 1);
    // Every twentieth frame is made up for by the good ones between; every fifth is not.
    for (name, every, given_up) in [("seldom", 20, false), ("often", 5, true)] {
        let slips = format!(r#"gains(0,300,256,300);if(frame%{every}==0)block(21,0,"HIDDEN!!",8)"#);
        module(&daemon, name, &[("IN_PROCESS", &slips)]);
        let mut session = streaming(&Open {
            contract: Some(text.clone()),
            ..open(&daemon, name)
        });
        for number in 1..=200 {
            let ticket = session.submit(&frame(number), &[1; 64]);
            session.wait(ticket.expect("started"));
        }
        until(
            name,
            || (session.health() == Health::Quarantined) == given_up,
            || daemon.turn(),
        );
        assert_eq!(session.counters().faults, u64::from(given_up), "{name}");
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}

#[test]
fn a_module_does_not_clear_its_record_by_ending() {
    let daemon = Daemon::new();
    // A little less than is put up with, then another worker, over and over.
    let dies = r#"gains(0,300,256,300);block(21,0,"HIDDEN!!",8);if(frame%40==0)_Exit(0)"#;
    module(
        &daemon,
        "dies",
        &[("IN_PROCESS", dies), ("INCLUDES", "<stdlib.h>")],
    );
    let mut session = streaming(&open(&daemon, "dies"));
    let mut number = 0;
    until(
        "it is quarantined",
        || {
            number += 1;
            let ticket = session.submit(&frame(number), &[1; 64]);
            session.wait(ticket.expect("started"));
            session.health() == Health::Quarantined
        },
        || {},
    );
    assert_eq!(
        session.fault().expect("the last").reason,
        FaultReason::Contract
    );
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn another_modules_release_does_not_bring_it_back() {
    let daemon = Daemon::new();
    module(&daemon, "hides", &[HIDES]);
    let mut session = streaming(&open(&daemon, "hides"));
    fresh(&mut session);
    until(
        "it is quarantined",
        || session.health() == Health::Quarantined,
        || daemon.turn(),
    );
    let mut overview = Overview::connect(&daemon.socket()).expect("a daemon");
    overview.release("another").expect("heard");
    // The daemon takes its turns in order: what followed from that would have been told.
    for _ in 0..3 {
        overview.sessions().expect("a list");
        daemon.turn();
        assert_eq!(session.health(), Health::Quarantined);
    }
    overview.release("hides").expect("heard");
    until(
        "its own release does",
        || session.health() == Health::Running,
        || daemon.turn(),
    );
    drop(overview);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_restart_does_not_lift_a_quarantine() {
    let mut manager = Manager::start(Place::new(), &[]);
    module(manager.place(), "hides", &[HIDES]);
    let mut session = streaming(&open(manager.place(), "hides"));
    fresh(&mut session);
    until(
        "it is quarantined",
        || session.health() == Health::Quarantined,
        std::thread::yield_now,
    );
    let quarantined = || {
        let mut overview = Overview::connect(&manager.place().socket()).ok()?;
        Some(overview.sessions().ok()?.first()?.state())
    };
    until(
        "the store knows",
        || quarantined() == Some(SessionState::Quarantined),
        std::thread::yield_now,
    );
    manager.kill();
    manager.restart();
    let state = || {
        let mut overview = Overview::connect(&manager.place().socket()).ok()?;
        Some(overview.sessions().ok()?.first()?.state())
    };
    let mut seen = None;
    until(
        "it is listed again",
        || {
            seen = state();
            seen.is_some_and(|state| state != SessionState::Loading)
        },
        std::thread::yield_now,
    );
    assert_eq!(seen, Some(SessionState::Quarantined));
    session.close().expect("closed");
}
