//! Modules that speak in their worker's place: what they say is believed only where loading, or the
//! order that was given, can have failed.

use coldshoe::{Error, ErrorCode, Session};
use coldshoe_control::worker::{Envelope, Failed, Stage};
use coldshoe_tests::{Daemon, assert_serves, refused, sensor, three_lines};
use prost::Message;

const STAGES: [Stage; 10] = [
    Stage::Unspecified,
    Stage::Protocol,
    Stage::Segment,
    Stage::Confine,
    Stage::Load,
    Stage::Abi,
    Stage::Create,
    Stage::Configure,
    Stage::Start,
    Stage::Stop,
];

const PROTOCOL: [&str; 3] = ["broke the control protocol", "sent Failed", "author"];

/// C code that says Failed on the control socket, and then waits for its end.
fn forges(serial: u32, stage: Stage) -> String {
    let failed = Failed::new(stage, "a forged failure", "a forged reason");
    let bytes = Envelope::new(serial, failed).encode_to_vec();
    let length = bytes.len();
    let bytes: Vec<_> = bytes.iter().map(u8::to_string).collect();
    let bytes = bytes.join(",");
    format!(
        "static const unsigned char forged[] = {{{bytes}}}; \
         if (write(3, forged, {length}) != {length}) crash(); hang()"
    )
}

/// One daemon, and one module for each stage that it forges in `hole`.
fn daemon(hole: &str, serial: u32) -> Daemon {
    let daemon = Daemon::new();
    for stage in STAGES {
        daemon.module(&name(stage), &[(hole, &forges(serial, stage))]);
    }
    daemon
}

fn name(stage: Stage) -> String {
    stage.as_str_name().to_lowercase().replace('_', "-")
}

#[test]
fn a_module_cannot_forge_a_failure_that_loading_does_not_have() {
    let daemon = daemon("IN_CONSTRUCTOR", 1);
    for stage in STAGES {
        let (said, code) = match stage {
            Stage::Load | Stage::Create => (["a forged failure", "", ""], ErrorCode::ModuleFailed),
            Stage::Abi => (["a forged failure", "", ""], ErrorCode::ModuleRefused),
            _ => (PROTOCOL, ErrorCode::ModuleFailed),
        };
        let told = refused(&daemon.open(&name(stage)), said);
        assert_eq!(told.code, code, "{stage:?}");
    }
    daemon.assert_at_rest();
    assert_serves(&daemon);
}

#[test]
fn a_module_cannot_forge_a_failure_of_another_order() {
    // The assignment was the first request.
    let daemon = daemon("IN_CONFIGURE", 2);
    for stage in STAGES {
        let mut session = Session::open(&daemon.open(&name(stage))).expect("a session");
        let Err(Error::Refused(told)) = session.configure(&sensor()) else {
            panic!("{stage:?}: not refused");
        };
        let said = match stage {
            Stage::Configure => ["a forged failure", "a forged reason", ""],
            _ => PROTOCOL,
        };
        three_lines(&told, said);
        assert_eq!(told.code, ErrorCode::ModuleFailed, "{stage:?}");
    }
    daemon.assert_at_rest();
    assert_serves(&daemon);
}

#[test]
fn a_module_cannot_forge_the_failure_of_an_order_before_it_is_given() {
    let daemon = Daemon::new();
    daemon.module("early", &[("IN_CONFIGURE", &forges(3, Stage::Configure))]);
    let mut session = Session::open(&daemon.open("early")).expect("a session");
    let Err(Error::Refused(told)) = session.configure(&sensor()) else {
        panic!("not refused");
    };
    three_lines(&told, PROTOCOL);
}
