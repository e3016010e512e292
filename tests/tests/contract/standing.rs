//! How long a module that does not keep to its contract is put up with.

use coldshoe::{FaultReason, Health, Outcome, Session};
use coldshoe_tests::{Daemon, Place, three_lines};

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
    coldshoe_tests::until(
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
    module(&daemon, "modest", &[]);
    let mut session = streaming(&open(&daemon, "hides"));
    for number in 1..400 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        session.wait(ticket.expect("started"));
    }
    assert_eq!(session.health(), Health::Running);
    let refused = session.counters().refused_blocks;
    for number in 400..600 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        assert!(outcome.is_fresh(), "{outcome:?}");
    }
    assert_eq!(
        session.counters().refused_blocks,
        refused,
        "the other one hides nothing"
    );
    assert_eq!(session.counters().faults, 1);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn one_slip_in_a_while_is_forgiven() {
    let daemon = Daemon::new();
    let slips = r#"gains(0,300,256,300);if(frame%400==0)block(21,0,"HIDDEN!!",8)"#;
    module(&daemon, "slips", &[("IN_PROCESS", slips)]);
    let mut session = streaming(&open(&daemon, "slips"));
    for number in 1..=2400 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        assert!(outcome.is_fresh(), "{outcome:?}");
    }
    assert_eq!(session.counters().refused_blocks, 6);
    assert_eq!(session.counters().faults, 0);
    session.close().expect("closed");
    daemon.assert_at_rest();
}
