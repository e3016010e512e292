//! Clients that go away, at any moment and in any way: what they had goes with them.

use std::time::Duration;

use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use coldshoe_control::RecvError;
use coldshoe_control::client::{Close, Configure, Envelope, Hello, Stop};
use coldshoe_tests::{
    Daemon, Library, PATIENCE, Raw, Segment, assert_serves, children, ends, frame, request,
    running, sensor,
};
use prost::Message;
use rustix::io::Errno;

use crate::clients::unharmed;

#[test]
fn a_client_that_never_reads_its_answers_is_dropped() {
    let daemon = Daemon::new();
    let mut session = Raw::greeted(&daemon.socket()).open(&daemon.open("good"));
    session.start();
    let order = Envelope::new(9, Close { session: u64::MAX }).encode_to_vec();
    let mut sent = 0;
    let error = loop {
        match session.raw.send_bytes(&order, &[]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000_000, "the daemon piles answers up without end");
    };
    assert!(matches!(error, Errno::PIPE | Errno::CONNRESET), "{error}");
    assert!(ends(&session.pidfd), "its worker is gone");
    daemon.log().wait_for("does not read its answers");
    drop(session);
    unharmed(&daemon);
}

#[test]
fn a_client_that_goes_away_while_its_module_loads_takes_the_worker_along() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_CREATE", "hang()")]);
    let open = daemon.open("hangs");
    let mut client = Raw::greeted(&daemon.socket());
    client.send(request(&open), &[Segment::of(&open).make().as_fd()]);
    daemon.log().wait_for("create() was called");
    drop(client);
    unharmed(&daemon);
}

#[test]
fn a_client_that_goes_away_in_a_frame_takes_the_worker_along() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "say(3, \"in a frame\"); hang()")]);
    let mut session = Raw::greeted(&daemon.socket()).open(&daemon.open("hangs"));
    session.start();
    session.publish();
    daemon.log().wait_for("in a frame");
    drop(session.raw);
    assert!(ends(&session.pidfd));
    drop(session.pidfd);
    unharmed(&daemon);
}

#[test]
fn a_client_that_goes_away_in_a_verb_takes_the_worker_along() {
    // The worker would live that long otherwise.
    let daemon = Library::start(|config| config.timeouts.order = 100 * PATIENCE);
    daemon.module("hangs", &[("IN_CONFIGURE", "hang()")]);
    let mut client = Raw::greeted(&daemon.socket()).open(&daemon.open("hangs"));
    let order = Configure {
        session: client.opened.session,
        sensor: Some(sensor()),
    };
    client.raw.send(order, &[]);
    drop(client.raw);
    assert!(ends(&client.pidfd));
    assert_serves(&daemon);
}

#[test]
fn a_client_that_is_killed_takes_its_worker_along() {
    let daemon = Daemon::new();
    let open = daemon.open("good");
    let mut client = Command::new(env!("CARGO_BIN_EXE_coldshoe-test-client"))
        .arg(daemon.socket())
        .args([open.stats_format, open.params_format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a client");
    let mut line = String::new();
    let stdout = client.stdout.take().expect("piped above");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("text");
    let worker = line.trim().parse().expect("its worker's number");
    assert!(children(daemon.pid()).contains(&worker));
    client.kill().expect("our own child");
    client.wait().expect("our own child");
    unharmed(&daemon);
}

#[test]
fn a_frame_in_flight_when_the_connection_breaks_is_held_and_the_client_told() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let mut session = running(&daemon, "hangs");
    let ticket = session
        .submit(&frame(1, Duration::from_millis(100)), &[0; 64])
        .expect("a slot");
    daemon.kill();
    assert!(ends(session.worker_pidfd()));
    assert!(session.fault().is_some());
    assert!(!session.wait(ticket).is_fresh());
}

#[test]
fn whoever_hangs_up_at_any_moment_leaves_nothing_behind() {
    let daemon = Daemon::new();
    let open = daemon.open("good");
    drop(Raw::connect(&daemon.socket()));
    drop(Raw::greeted(&daemon.socket()));
    for orders in 0..4 {
        let mut client = Raw::greeted(&daemon.socket());
        client.send(request(&open), &[Segment::of(&open).make().as_fd()]);
        // Orders to a session that may not be there yet; nobody waits for the answers.
        for _ in 0..orders {
            client.send(Stop { session: 1 }, &[]);
        }
        drop(client);
    }
    let mut client = Raw::greeted(&daemon.socket()).open(&open);
    let session = client.opened.session;
    client.raw.send(Close { session }, &[]);
    drop(client);
    let mut closed = Raw::greeted(&daemon.socket());
    closed.send(Hello::offer(&[], "x"), &[]);
    match closed.hear() {
        Ok(_) | Err(RecvError::Closed) => drop(closed),
        Err(error) => panic!("{error}"),
    }
    unharmed(&daemon);
}
