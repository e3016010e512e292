//! More clients, sessions and orders than there is room for.

use coldshoe::ErrorCode;
use coldshoe_control::client::{Body, Configure, Envelope, Hello, Start};
use coldshoe_tests::{Daemon, Library, Raw, assert_serves, refused, running, sensor};
use prost::Message;

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
