//! Modules that load, and then answer what they should not, or nothing.

use std::time::Duration;

use coldshoe::{ErrorCode, Health, Moment, Outcome, Session, Trouble, WhyHeld};
use coldshoe_control::client::{Body, FaultReason, SessionFault};
use coldshoe_tests::{
    Daemon, Library, PATIENCE, Place, Raw, RawSession, Said, assert_serves, ends, fault, frame,
    refused, run_frame, running, three_lines, until,
};
/// A session on a module that does `code` in process() from its second frame on.
fn second_frame(daemon: &Daemon, code: &str) -> Session {
    let late = format!("if (in->frame > 1) {{ {code}; }}");
    daemon.module("bad", &[("IN_PROCESS", &late)]);
    let mut session = running(daemon, "bad");
    run_frame(&mut session, 1);
    session
}

/// Runs the second frame, which must be held, for this reason, with the first one's answer.
fn held(session: &mut Session, reason: WhyHeld) {
    let ticket = session
        .submit(&frame(2, PATIENCE), &[0; 64])
        .expect("a slot");
    let Outcome::Held { why, last } = session.wait(ticket) else {
        panic!("the answer was taken");
    };
    assert_eq!(why, reason);
    assert_eq!(last.expect("the first frame's answer").frame, 1);
}

#[test]
fn a_frame_that_the_module_hangs_in_is_held_at_its_deadline_and_not_before() {
    let daemon = Daemon::new();
    let mut session = second_frame(&daemon, "hang()");
    let asked = frame(2, Duration::from_millis(50));
    let ticket = session.submit(&asked, &[0; 64]).expect("a slot");
    let Outcome::Held { why, last } = session.wait(ticket) else {
        panic!("a module that hangs has answered");
    };
    assert!(Moment::now() >= asked.deadline);
    assert_eq!(why, WhyHeld::Deadline);
    assert_eq!(last.expect("the first frame's answer").frame, 1);
    assert_eq!(session.counters().missed, 1);
    assert_serves(&daemon);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_frame_that_the_module_writes_nothing_for_keeps_the_last_parameters() {
    let daemon = Daemon::new();
    let mut session = second_frame(&daemon, "out->params_size = 0");
    let asked = frame(2, PATIENCE);
    let ticket = session.submit(&asked, &[0; 64]).expect("a slot");
    let answer = session.wait(ticket).answer().expect("an answer");
    assert_eq!(answer.frame, 2);
    let params = answer.params.to_vec();
    assert_eq!(params.len(), 24, "those of the first frame");
    assert_eq!(session.counters().fresh, 2);
}

#[test]
fn a_frame_answered_with_an_error_keeps_the_last_answer() {
    let daemon = Daemon::new();
    let code = r#"say(COLDSHOE_IPA_LOG_ERROR, "too dark to tell"); return -EAGAIN"#;
    let mut session = second_frame(&daemon, code);
    held(&mut session, WhyHeld::ModuleError);
    assert_eq!(session.counters().module_errors, 1);
    let told = daemon.log().wait_for("too dark to tell");
    assert!(told.contains("ERROR"), "{told}");
    run_frame(&mut session, 0);
}

#[test]
fn parameters_that_are_malformed_are_rejected_and_the_next_ones_taken() {
    let daemon = Daemon::new();
    for code in [
        // More than the buffer has, and more than there is.
        "out->params_size = out->params_capacity + 1",
        "out->params_size = SIZE_MAX",
        // The buffer's own size, a block's size, half a header.
        "out->params[4] = 99",
        "out->params[12] = 15",
        "out->params_size = 7",
    ] {
        let mut session = second_frame(&daemon, code);
        held(&mut session, WhyHeld::Malformed);
        assert_eq!(session.counters().rejected, 1, "{code}");
        run_frame(&mut session, 0);
        assert_eq!(session.counters().fresh, 2, "{code}");
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}

#[test]
fn requests_that_are_no_numbers_are_refused_and_counted_one_by_one() {
    let daemon = Daemon::new();
    let code = "out->wanted.set = 31; out->wanted.exposure_us = NAN; \
                out->wanted.analogue_gain = -1; out->wanted.digital_gain = INFINITY; \
                out->wanted.lens_position = 2; out->wanted.frame_duration_us = -INFINITY";
    let mut session = second_frame(&daemon, code);
    let ticket = session
        .submit(&frame(2, PATIENCE), &[0; 64])
        .expect("a slot");
    let wanted = session.wait(ticket).answer().expect("an answer").wanted;
    assert_eq!(wanted.exposure_us, None);
    assert_eq!(wanted.analogue_gain, None);
    assert_eq!(wanted.digital_gain, None);
    assert_eq!(wanted.lens_position, Some(2.0), "the good one is kept");
    assert_eq!(wanted.frame_duration_us, None);
    assert_eq!(session.counters().refused_requests, 4);
}

/// The fault that must come next.
fn session_fault(session: &mut RawSession) -> SessionFault {
    match session.raw.hear().expect("a fault").message.body {
        Some(Body::SessionFault(told)) => told,
        other => panic!("no fault: {other:?}"),
    }
}

/// A module that ends its own worker in process(): the client learns why, others do not notice.
fn ends_in_a_frame(code: &str, reason: FaultReason, said: Said<'_>) {
    let daemon = Daemon::new();
    // Through the client library, in words.
    let mut session = second_frame(&daemon, code);
    let _ticket = session
        .submit(&frame(2, PATIENCE), &[0; 64])
        .expect("a slot");
    fault(&daemon, &mut session, said);
    let told = session.fault().expect("seen").clone();
    assert_eq!(told.trouble.code, ErrorCode::ModuleFailed);
    assert!(told.trouble.what.contains("\"bad\""), "{told}");
    assert!(ends(session.worker_pidfd()));
    // Another worker takes over; one more fails of the same frame, and then it is left out.
    let after = session
        .submit(&frame(1, PATIENCE), &[0; 64])
        .expect("a ticket");
    assert!(session.wait(after).is_fresh());
    // One that answered before it was ended is replaced only now.
    let working = || session.health() == Health::Running;
    until("a worker again", working, std::thread::yield_now);
    let counters = session.counters();
    assert!((1..=2).contains(&counters.faults), "{counters:?}");
    assert_eq!(counters.replaced, counters.faults);
    drop(session);
    // On the wire, for programs.
    daemon.module("at-once", &[("IN_PROCESS", code)]);
    let mut raw = Raw::greeted(&daemon.socket()).open(&daemon.open("at-once"));
    raw.start();
    raw.publish();
    let told = session_fault(&mut raw);
    assert_eq!(told.reason(), reason);
    assert_eq!(told.session, raw.opened.session);
    drop(raw);
    assert_serves(&daemon);
    daemon.assert_at_rest();
}

#[test]
fn a_module_that_crashes_in_a_frame_is_told_with_the_signal() {
    let said = ["failed in a frame", "crashed (SIGSEGV)", "author"];
    ends_in_a_frame("crash()", FaultReason::Crash, said);
}

#[test]
fn a_module_that_exits_in_a_frame_is_told_with_its_code() {
    let said = ["failed in a frame", "exited with code 5", "author"];
    ends_in_a_frame("_exit(5)", FaultReason::Exit, said);
}

#[test]
fn a_module_that_opens_a_socket_in_a_frame_is_killed_as_a_violation() {
    let said = [
        "out of its jail in a frame",
        "called socket(0x1, ",
        "author",
    ];
    let code = "socket(AF_UNIX, SOCK_STREAM, 0)";
    ends_in_a_frame(code, FaultReason::Violation, said);
}

#[test]
fn a_module_that_speaks_on_the_control_socket_breaks_the_protocol() {
    let said = ["broke the control protocol", "", "author"];
    // An envelope whose message is Done, which the daemon did not ask for.
    let code = r#"if (write(3, "\x08\x07\x3a", 4) != 4) crash()"#;
    ends_in_a_frame(code, FaultReason::Protocol, said);
}

#[test]
fn a_module_that_closes_the_control_socket_is_told_to_have_done_so() {
    let daemon = Library::start(|config| config.timeouts.order = Duration::from_secs(1));
    daemon.module("closes", &[("IN_PROCESS", "close(3); hang()")]);
    let mut session = Raw::greeted(&daemon.socket()).open(&daemon.open("closes"));
    session.start();
    session.publish();
    let told = session_fault(&mut session);
    assert_eq!(told.reason(), FaultReason::Protocol);
    let said = [
        "broke the control protocol",
        "closed its control socket",
        "author",
    ];
    three_lines(&Trouble::from(told), said);
    assert!(ends(&session.pidfd));
    assert_serves(&daemon);
}

#[test]
fn a_wait_for_a_worker_that_has_failed_does_not_last_to_the_deadline() {
    let daemon = Daemon::new();
    let mut session = second_frame(&daemon, "crash()");
    let crashed = session
        .submit(&frame(2, PATIENCE), &[0; 64])
        .expect("a slot");
    fault(&daemon, &mut session, ["failed in a frame", "SIGSEGV", ""]);
    let Outcome::Held { why, last } = session.wait(crashed) else {
        panic!("a module that crashed has answered");
    };
    assert_eq!(why, WhyHeld::Fault);
    assert_eq!(last.expect("the first frame's answer").frame, 1);
}

#[test]
fn a_flood_of_log_lines_is_cut_and_each_line_left_out_is_counted() {
    const LINES: usize = 20_000;
    let daemon = Daemon::new();
    let flood = format!("for (int i = 0; i < {LINES}; i++) say(3, \"flood\")");
    daemon.module("floods", &[("IN_STOP", &flood)]);
    let mut session = running(&daemon, "floods");
    session.stop().expect("stopped");
    session.close().expect("closed");
    // All that the module wrote is in the log when no descriptor of its session is left.
    daemon.assert_at_rest();
    let (_, log) = daemon.stop();
    let logged = log.lines().filter(|line| line.contains(": flood")).count();
    let dropped: usize = log
        .lines()
        .filter(|line| line.contains("lines were left out"))
        .map(|line| {
            let (_, rest) = line.split_once("dropped=").expect("a count");
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().expect("a number")
        })
        .sum();
    assert!(logged < LINES / 2, "{logged} lines were let through");
    assert_eq!(logged + dropped, LINES);
}

/// A path with a line break cannot be told.
#[test]
fn a_session_whose_answer_cannot_be_said_is_not_left_open() {
    let odd = Place::new();
    let dir = odd.state_dir().with_file_name("mod\nules");
    std::fs::create_dir(&dir).expect("a directory of our own");
    std::fs::copy(odd.module_file("good"), dir.join("good.so")).expect("a copy");
    let daemon = Library::start(|config| {
        config.module_dirs = vec![dir.clone()];
        config.max_sessions = 1;
    });
    for _ in 0..2 {
        let said = ["no valid answer", "control character", "report"];
        let told = refused(&daemon.open("good"), said);
        assert_eq!(told.code, coldshoe::ErrorCode::Internal);
    }
    let killed = || daemon.workers().is_empty();
    until("its worker is gone", killed, std::thread::yield_now);
}
