//! More clients, sessions and orders than there is room for.

use std::fs::File;
use std::time::Duration;

use coldshoe::{Error, ErrorCode, Session};
use coldshoe_control::client::{Body, Configure, Envelope, Hello, Start};
use coldshoe_tests::{
    Daemon, Library, Place, Raw, Segment, assert_serves, refused, request, running, sensor,
    three_lines, until,
};
use prost::Message;
use rustix::fs::{FlockOperation, flock};
use std::os::fd::AsFd;

use crate::clients::{says, unharmed};

#[test]
fn more_orders_than_a_session_keeps_waiting_are_refused_one_by_one() {
    let daemon = Daemon::new();
    daemon.module(
        "hangs",
        &[("IN_CONFIGURE", "say(3, \"configuring\"); hang()")],
    );
    let mut client = Raw::greeted(&daemon.socket()).open(&daemon.open("hangs"));
    let session = client.opened.session;
    let configure = Configure {
        session,
        sensor: Some(sensor()),
    };
    client.raw.send(configure, &[]);
    daemon.log().wait_for("configuring");
    for _ in 0..8 {
        client.raw.send(Start { session }, &[]);
    }
    let error = client.raw.send(Start { session }, &[]);
    let answer = client.raw.hear().expect("an answer").message;
    assert_eq!(answer.serial, error);
    let Some(Body::Error(error)) = answer.body else {
        panic!("not refused: {answer:?}");
    };
    says(
        error,
        ErrorCode::Limit,
        ["too many orders", "at most 8", "wait for the answer"],
    );
    drop(client);
    unharmed(&daemon);
}

#[test]
fn more_clients_than_there_is_room_for_are_told_so_and_leave_nothing_behind() {
    let daemon = Daemon::new();
    // One of the 64 is the harness's own.
    let mut room = 63;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Raw::connect(&daemon.socket());
        let hello = Envelope::new(1, Hello::offer(&[], "one of many"));
        // Whoever is turned away may be hung up on before it has said a word.
        let _ = client.send_bytes(&hello.encode_to_vec(), &[]);
        match client.hear().expect("an answer").message.body {
            Some(Body::Hello(_)) => room -= 1,
            Some(Body::Error(error)) => {
                assert_eq!(room, 0, "refused too early");
                let said = ["not welcome", "64 clients", "try again"];
                says(error, ErrorCode::Limit, said);
            }
            other => panic!("another answer: {other:?}"),
        }
        clients.push(client);
    }
    assert_eq!(room, 0);
    clients.iter_mut().take(63).for_each(Raw::turn);
    drop(clients);
    unharmed(&daemon);
}

#[test]
fn a_client_that_was_turned_away_is_told_why_by_its_library() {
    let daemon = Daemon::new();
    let clients: Vec<_> = (0..63).map(|_| Raw::greeted(&daemon.socket())).collect();
    let said = ["not welcome", "64 clients", "try again"];
    let told = refused(&daemon.open("good"), said);
    assert_eq!(told.code, ErrorCode::Limit);
    drop(clients);
    unharmed(&daemon);
}

#[test]
fn more_sessions_than_there_is_room_for_are_told_so() {
    let daemon = Library::start(|config| config.max_sessions = 2);
    let one = running(&daemon, "good");
    let _two = running(&daemon, "good");
    let said = ["no session is free", "all 2 are open", "close a session"];
    let told = refused(&daemon.open("good"), said);
    assert_eq!(told.code, ErrorCode::Limit);
    one.close().expect("closed");
    assert_serves(&daemon);
}

#[test]
fn a_session_that_was_closed_has_made_room_for_the_next() {
    let daemon = Library::start(|config| config.max_sessions = 1);
    daemon.module("fails", &[("IN_CREATE", "return -EINVAL")]);
    for _ in 0..20 {
        running(&daemon, "good").close().expect("closed");
        let said = ["create()", "", ""];
        refused(&daemon.open("fails"), said);
    }
}

/// Holds the lock that a daemon needs to remember a module it has not seen before.
fn hold_trust_lock(place: &Place) -> File {
    let lock = place.state_dir().join("trust.lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let file = options.open(lock).expect("a file of our own");
    flock(&file, FlockOperation::NonBlockingLockExclusive).expect("nobody else has it");
    file
}

#[test]
fn a_trust_lock_that_somebody_holds_is_told_and_does_not_hold_up_the_daemons_end() {
    let daemon = Daemon::new();
    let held = hold_trust_lock(&daemon);
    let said = ["\"good\" is refused", "trust.lock has been held", "fuser"];
    let told = refused(&daemon.open("good"), said);
    assert_eq!(told.code, ErrorCode::ModuleRefused);
    let mut opening = Raw::greeted(&daemon.socket());
    let open = daemon.open("good");
    opening.send(request(&open), &[Segment::of(&open).make().as_fd()]);
    opening.turn();
    let (place, _) = daemon.stop();
    drop(held);
    assert_serves(&Daemon::start(place));
}

#[test]
fn a_module_that_is_not_read_in_time_is_refused_and_the_reading_keeps_its_place() {
    let daemon = Library::start(|config| {
        config.max_sessions = 1;
        config.timeouts.find = Duration::from_millis(50);
    });
    let held = hold_trust_lock(&daemon);
    let full = || {
        let Err(Error::Refused(told)) = Session::open(&daemon.open("good")) else {
            panic!("it was not refused");
        };
        if told.code != ErrorCode::Limit {
            assert_eq!(told.code, ErrorCode::ModuleRefused);
            three_lines(&told, ["\"good\" cannot be read in time", "50 ms", "hangs"]);
        }
        told.code == ErrorCode::Limit
    };
    assert!(!full(), "the first is late");
    // The reading goes on, as nothing can stop it.
    until("there is no room meanwhile", full, || {});
    drop(held);
    room_again(&daemon);
}

#[test]
fn a_client_that_leaves_while_its_module_is_read_makes_no_room_before_that_ends() {
    let daemon = Library::start(|config| config.max_sessions = 1);
    let held = hold_trust_lock(&daemon);
    let leave = || {
        let open = daemon.open("good");
        let mut client = Raw::greeted(&daemon.socket());
        client.send(request(&open), &[Segment::of(&open).make().as_fd()]);
        client.turn();
        drop(client);
        // Once others have been served, the daemon knows that this one has gone.
        Raw::greeted(&daemon.socket()).turn();
    };
    until("there is no room meanwhile", || is_full(&daemon), leave);
    drop(held);
    room_again(&daemon);
}

/// Whether all sessions are taken, or else why none can be opened.
fn is_full(daemon: &Library) -> bool {
    match Session::open(&daemon.open("good")) {
        Err(Error::Refused(trouble)) => trouble.code == ErrorCode::Limit,
        other => panic!("neither full nor refused: {other:?}"),
    }
}

/// Waits until a session can be opened.
fn room_again(daemon: &Library) {
    let opens = || match Session::open(&daemon.open("good")) {
        Ok(session) => session.close().is_ok(),
        Err(_) => false,
    };
    until("the reading has ended", opens, || {});
}
