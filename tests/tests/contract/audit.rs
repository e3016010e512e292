//! What a module really used: looked at beside a running session.

use std::process::{Command, Output};

use coldshoe::{Contract, Open, Session};
use coldshoe_tests::{Daemon, built};
use serde_json::Value;

use crate::{daemon, frame, module, open, streaming};

fn ctl(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = Command::new(built("coldshoectl"));
    command.args(arguments).arg("--socket").arg(daemon.socket());
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn run(session: &mut Session, number: u64) {
    let ticket = session.submit(&frame(number), &[1; 64]);
    session.wait(ticket.expect("started"));
}

#[test]
fn a_live_session_tells_which_blocks_and_fields_its_module_uses() {
    let daemon = daemon();
    let does = r#"gains(0,256+frame%64,256,300);if(frame%4==0)block(21,0,"HIDDEN!!",8)"#;
    module(&daemon, "mixed", &[("IN_PROCESS", does)]);
    // Not given up before it is audited.
    let (_, patient) = Contract::BUILTIN[0];
    let patient = patient.replacen("violations = 60", "violations = 1000000", 1);
    let mut session = streaming(&Open {
        contract: Some(patient),
        ..open(&daemon, "mixed")
    });
    let id = session.id().to_string();
    let audit = ["contract", "audit", &id, "--frames", "64", "--json"];
    let mut audit = ctl(&daemon, &audit)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("coldshoectl");
    let mut number = 0;
    while audit.try_wait().expect("our child").is_none() {
        number += 1;
        run(&mut session, number);
    }
    let output = audit.wait_with_output().expect("our child");
    assert_eq!(
        output.status.code(),
        Some(1),
        "there is a block outside: {output:?}"
    );
    let audited = json(&output);
    assert_eq!(audited["format"], "rkisp1");
    assert_eq!(audited["buffers"], 64);
    assert_eq!(audited["unknown"][0]["type"], 21);
    let block = &audited["blocks"][0];
    assert_eq!(
        (&block["name"], &block["configured"]),
        (&"AWB_GAIN".into(), &64.into())
    );
    let field = &block["fields"][0];
    assert_eq!(field["name"], "gain_red");
    assert!(
        field["least"].as_i64() >= Some(256) && field["most"].as_i64() < Some(320),
        "{field}"
    );
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_trace_ends_with_the_session_and_of_none_there_is_none() {
    let daemon = daemon();
    module(&daemon, "modest", &[]);
    let mut session = streaming(&open(&daemon, "modest"));
    let mut overview = coldshoe::Overview::connect(&daemon.socket()).expect("a daemon");
    let tracing = overview.trace(session.id(), 100_000).expect("a session");
    assert_eq!(tracing.params_format, "rkisp1");
    for number in 1..=10 {
        run(&mut session, number);
    }
    let id = session.id();
    session.close().expect("closed");
    let mut recorded = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(tracing.pipe), &mut recorded)
        .expect("an end");
    // Slots that were written again before anybody looked are left out.
    assert!(
        recorded.len() >= 28 && recorded.len() % 28 == 0,
        "{} bytes",
        recorded.len()
    );
    let error = overview.trace(id, 1).expect_err("it is over").to_string();
    assert!(error.contains("cannot be traced"), "{error}");
    drop(overview);
    let output = ctl(&daemon, &["contract", "audit", "4711"])
        .output()
        .expect("coldshoectl");
    assert_eq!(output.status.code(), Some(3));
    daemon.assert_at_rest();
}

#[test]
fn a_doorbell_that_jumps_and_readers_that_leave_hold_nobody_up() {
    let daemon = daemon();
    module(&daemon, "modest", &[]);
    let mut session = streaming(&open(&daemon, "modest"));
    run(&mut session, 1);
    let mut overview = coldshoe::Overview::connect(&daemon.socket()).expect("a daemon");
    // Sixteen at a time; whoever stops reading gives his place back.
    let traced: Vec<_> = (0..16)
        .map(|_| overview.trace(session.id(), 100_000).expect("a place"))
        .collect();
    let error = overview
        .trace(session.id(), 1)
        .expect_err("no place")
        .to_string();
    assert!(error.contains("traced already"), "{error}");
    drop(traced);
    coldshoe_tests::until(
        "there is room again",
        || overview.trace(session.id(), 1).is_ok(),
        || daemon.turn(),
    );
    drop(overview);
    session.close().expect("closed");

    let mut raw = coldshoe_tests::Raw::greeted(&daemon.socket()).open(&open(&daemon, "modest"));
    raw.start();
    let mut overview = coldshoe::Overview::connect(&daemon.socket()).expect("a daemon");
    let sessions = overview.sessions().expect("a list");
    let tracing = overview
        .trace(sessions[0].session, 100_000)
        .expect("a place");
    // The furthest that a doorbell can go ahead, over and over: others are answered all the same.
    for _ in 0..20 {
        raw.jump(u32::MAX / 2 - 8);
        assert_eq!(overview.sessions().expect("a list").len(), 1);
        coldshoe_tests::assert_serves(&daemon);
    }
    drop((tracing, overview, raw));
    daemon.assert_at_rest();
}

#[test]
fn what_a_pipeline_has_counted_is_in_the_list_of_sessions() {
    let daemon = daemon();
    let hides = r#"gains(0,300,256,300);block(21,0,"HIDDEN!!",8)"#;
    module(&daemon, "hides", &[("IN_PROCESS", hides)]);
    let mut session = streaming(&open(&daemon, "hides"));
    for number in 1..=10 {
        run(&mut session, number);
    }
    let output = ctl(&daemon, &["list", "sessions", "--json"]).output();
    let listed = json(&output.expect("coldshoectl"));
    let statistics = &listed["sessions"][0]["statistics"];
    assert_eq!(
        (&statistics["fresh"], &statistics["refused_blocks"]),
        (&10.into(), &10.into())
    );
    let refusal = &statistics["refusals"][0];
    assert_eq!(
        (&refusal["type"], &refusal["reason"]),
        (&21.into(), &"unknown".into())
    );
    assert_eq!(refusal["count"], 10);
    let latency = |name: &str| statistics["latency_us"][name].as_u64().expect("a number");
    assert!(
        0 < latency("p50") && latency("p50") <= latency("p99"),
        "{statistics}"
    );
    assert!(latency("p99") <= latency("max"), "{statistics}");
    session.close().expect("closed");
    daemon.assert_at_rest();
}
