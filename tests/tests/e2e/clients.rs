//! Clients that break every rule: the daemon says why, lets go of all they had, and serves others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe::ErrorCode;
use coldshoe_control::client::{Body, Close, Configure, Done, Envelope, Error, Hello, Start, Stop};
use coldshoe_control::{MAX_DATAGRAM, Trouble};
use coldshoe_tests::{
    Daemon, Raw, Said, Segment, assert_serves, ends, request, run_frame, running, sensor,
    three_lines,
};
use prost::Message;

/// An error of the daemon, with its code and in three lines.
pub(crate) fn says(error: Error, code: ErrorCode, said: Said<'_>) {
    assert_eq!(error.code(), code, "{error:?}");
    three_lines(&Trouble::from(error), said);
}

/// What the daemon does after all that a client has done to it.
pub(crate) fn unharmed(daemon: &Daemon) {
    daemon.assert_at_rest();
    assert_serves(daemon);
    daemon.assert_at_rest();
}

pub(crate) fn pipe() -> OwnedFd {
    rustix::pipe::pipe().expect("a pipe").0
}

/// A client says `bytes` where Hello or an order should be, and is hung up on with the reason.
fn is_hung_up_on(bytes: &[u8], fds: &[BorrowedFd<'_>], why: &str) {
    let daemon = Daemon::new();
    let said = ["message on the control socket", why, "client library"];
    let first = Raw::connect(&daemon.socket());
    first.send_bytes(bytes, fds).expect("sent");
    says(first.hung_up_on(), ErrorCode::Protocol, said);
    let later = Raw::greeted(&daemon.socket());
    later.send_bytes(bytes, fds).expect("sent");
    says(later.hung_up_on(), ErrorCode::Protocol, said);
    // With a session running on the same connection: it ends, others do not.
    let other = running(&daemon, "good");
    let mut session = Raw::greeted(&daemon.socket()).open(&daemon.open("good"));
    session.start();
    session.raw.send_bytes(bytes, fds).expect("sent");
    says(session.raw.hung_up_on(), ErrorCode::Protocol, said);
    assert!(ends(&session.pidfd), "its worker is gone");
    other.close().expect("the other session is well");
    drop(session.pidfd);
    unharmed(&daemon);
}

#[test]
fn garbage_is_refused() {
    let garbage: Vec<u8> = (0..200).map(|i| (i * 37 + 11) as u8 | 0x80).collect();
    is_hung_up_on(&garbage, &[], "no envelope");
}

#[test]
fn an_envelope_without_a_message_is_refused() {
    let empty = Envelope {
        serial: 9,
        ..Envelope::default()
    };
    is_hung_up_on(&empty.encode_to_vec(), &[], "without a known message");
}

#[test]
fn half_a_message_is_refused_with_its_descriptor() {
    let daemon = Daemon::new();
    let open = daemon.open("good");
    let whole = Envelope::new(1, request(&open)).encode_to_vec();
    drop(daemon);
    let segment = Segment::of(&open).make();
    is_hung_up_on(&whole[..whole.len() / 2], &[segment.as_fd()], "no envelope");
}

#[test]
fn a_datagram_larger_than_allowed_is_refused() {
    let large = vec![0x0a; MAX_DATAGRAM + 1];
    is_hung_up_on(&large, &[], "exceeds 65536 bytes");
}

#[test]
fn an_order_with_a_descriptor_that_it_does_not_need_is_refused() {
    let stop = Envelope::new(1, Stop { session: 1 }).encode_to_vec();
    let pipe = pipe();
    is_hung_up_on(&stop, &[pipe.as_fd()], "requires 0");
}

#[test]
fn a_request_without_the_descriptor_that_it_needs_is_refused() {
    let daemon = Daemon::new();
    let request = Envelope::new(1, request(&daemon.open("good"))).encode_to_vec();
    drop(daemon);
    is_hung_up_on(&request, &[], "requires 1");
}

#[test]
fn too_many_descriptors_are_refused_and_closed() {
    let daemon = Daemon::new();
    let request = Envelope::new(1, request(&daemon.open("good"))).encode_to_vec();
    drop(daemon);
    let pipe = pipe();
    for (count, why) in [(2, "requires 1"), (5, "requires 1"), (253, "cut off")] {
        is_hung_up_on(&request, &vec![pipe.as_fd(); count], why);
    }
}

#[test]
fn an_empty_datagram_is_taken_for_the_end() {
    let daemon = Daemon::new();
    let session = Raw::greeted(&daemon.socket()).open(&daemon.open("good"));
    session.raw.send_bytes(&[], &[]).expect("sent");
    assert_eq!(session.raw.last_words(), []);
    assert!(ends(&session.pidfd));
    drop(session.pidfd);
    let first = Raw::connect(&daemon.socket());
    first.send_bytes(&[], &[]).expect("sent");
    let why = "closed the control socket";
    says(
        first.hung_up_on(),
        ErrorCode::Protocol,
        ["not welcome", why, "Hello"],
    );
    unharmed(&daemon);
}

#[test]
fn a_client_that_does_not_say_hello_first_is_not_welcome() {
    let daemon = Daemon::new();
    let mut rude = Raw::connect(&daemon.socket());
    rude.send(Close { session: 1 }, &[]);
    let said = [
        "not welcome",
        "first message was not Hello",
        "say Hello first",
    ];
    says(rude.hung_up_on(), ErrorCode::Protocol, said);
    unharmed(&daemon);
}

#[test]
fn a_hello_of_version_0_or_out_of_bounds_is_refused_by_its_field() {
    let daemon = Daemon::new();
    let hello = Hello::offer(&[], "test");
    let versionless = Hello {
        version: 0,
        ..hello.clone()
    };
    let endless = Hello {
        features: vec!["x".into(); 33],
        ..hello.clone()
    };
    let unprintable = Hello {
        software: "\x1b[2J".into(),
        ..hello
    };
    for (hello, field) in [
        (versionless, "version"),
        (endless, "features"),
        (unprintable, "software"),
    ] {
        let mut client = Raw::connect(&daemon.socket());
        client.send(hello, &[]);
        let said = ["Hello was refused", field, field];
        says(client.hung_up_on(), ErrorCode::BadArgument, said);
    }
    unharmed(&daemon);
}

#[test]
fn a_second_hello_is_out_of_place_and_the_connection_lives_on() {
    let daemon = Daemon::new();
    let mut client = Raw::greeted(&daemon.socket());
    let again = client.refused(Hello::offer(&[], "again"), &[]);
    says(
        again,
        ErrorCode::BadState,
        ["Hello is out of place", "a client sends", "same release"],
    );
    let mut session = client.open(&daemon.open("good"));
    session.start();
    drop(session);
    unharmed(&daemon);
}

#[test]
fn a_sensor_that_is_none_is_refused_by_its_field_on_the_daemons_side_too() {
    let daemon = Daemon::new();
    let mut session = Raw::greeted(&daemon.socket()).open(&daemon.open("good"));
    let mut sensor = sensor();
    sensor.max_exposure_us = f64::NAN;
    let order = Configure {
        session: session.opened.session,
        sensor: Some(sensor),
    };
    let error = session.raw.refused(order, &[]);
    let said = [
        "Configure was refused",
        "max_exposure_us",
        "max_exposure_us",
    ];
    says(error, ErrorCode::BadArgument, said);
    session.start();
}

#[test]
fn a_session_follows_the_orders_of_its_own_client_only() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let theirs = session.id();
    let mut client = Raw::greeted(&daemon.socket());
    let sensor = Some(sensor());
    for order in [
        Body::from(Stop { session: theirs }),
        Close { session: theirs }.into(),
        Start { session: theirs }.into(),
        Configure {
            session: theirs,
            sensor,
        }
        .into(),
    ] {
        let error = client.refused(order, &[]);
        let what = format!("no session {theirs}");
        let said = [what.as_str(), "another client's", "open a session"];
        says(error, ErrorCode::NoSuchSession, said);
    }
    assert_eq!(run_frame(&mut session, 1024), 1.25);
    session.close().expect("closed");
}

#[test]
fn answers_of_the_daemon_are_out_of_place_from_a_client() {
    let daemon = Daemon::new();
    let mut client = Raw::greeted(&daemon.socket());
    let done = Done { session: 1 };
    let error = client.refused(done, &[]);
    says(
        error,
        ErrorCode::BadState,
        ["Done is out of place", "a client sends", "release"],
    );
    client.turn();
}
