//! Clients that break every rule: the daemon says why, lets go of all they had, and serves others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use coldshoe::ErrorCode;
use coldshoe_control::client::{
    Body, Close, Configure, Done, Envelope, Error, Hello, OpenSession, Start, Stop,
};
use coldshoe_control::{MAX_DATAGRAM, RecvError, Trouble};
use coldshoe_tests::{
    Daemon, Library, PATIENCE, Raw, Said, Segment, assert_serves, children, ends, frame, refused,
    request, run_frame, running, sensor, three_lines,
};
use prost::Message;
use rustix::fs::SealFlags;
use rustix::io::Errno;

/// An error of the daemon, with its code and in three lines.
fn says(error: Error, code: ErrorCode, said: Said<'_>) {
    assert_eq!(error.code(), code, "{error:?}");
    three_lines(&Trouble::from(error), said);
}

/// What the daemon does after all that a client has done to it.
fn unharmed(daemon: &Daemon) {
    daemon.assert_at_rest();
    assert_serves(daemon);
    daemon.assert_at_rest();
}

fn pipe() -> OwnedFd {
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

/// OpenSession with this segment is refused; the connection lives on and can open another.
fn segment_is_refused(daemon: &Daemon, fd: BorrowedFd<'_>, why: &str) {
    let open = daemon.open("good");
    let mut client = Raw::greeted(&daemon.socket());
    let error = client.refused(request(&open), &[fd]);
    let said = ["forward segment is refused", why, "client library"];
    says(error, ErrorCode::BadSegment, said);
    client.open(&open).start();
}

#[test]
fn a_segment_without_each_of_its_seals_is_refused_by_the_name_of_the_seal() {
    let daemon = Daemon::new();
    let good = Segment::of(&daemon.open("good"));
    for (missing, name) in [
        (SealFlags::SHRINK, "seal SHRINK"),
        (SealFlags::GROW, "seal GROW"),
        (SealFlags::FUTURE_WRITE, "seal FUTURE_WRITE"),
        (SealFlags::SEAL, "seal SEAL"),
    ] {
        let seals = good.seals - missing;
        let segment = Segment { seals, ..good }.make();
        segment_is_refused(&daemon, segment.as_fd(), name);
    }
    unharmed(&daemon);
}

#[test]
fn a_segment_of_another_size_is_refused_with_both_sizes() {
    let daemon = Daemon::new();
    let good = Segment::of(&daemon.open("good"));
    for len in [
        0,
        1,
        good.len - 1,
        good.len - 4096,
        good.len + 4096,
        1 << 40,
    ] {
        let segment = Segment { len, ..good }.make();
        let why = format!("has {len} bytes, its geometry needs {}", good.len);
        segment_is_refused(&daemon, segment.as_fd(), &why);
    }
    unharmed(&daemon);
}

#[test]
fn a_segment_that_is_no_memfd_is_refused() {
    let daemon = Daemon::new();
    segment_is_refused(&daemon, pipe().as_fd(), "not a sealable memfd");
    let null = std::fs::File::open("/dev/null").expect("it is everywhere");
    segment_is_refused(&daemon, null.as_fd(), "not a sealable memfd");
    // On tmpfs a file has seals too, the wrong ones: what counts is that it is refused.
    let file = tempfile::tempfile().expect("a file");
    let mut client = Raw::greeted(&daemon.socket());
    let error = client.refused(request(&daemon.open("good")), &[file.as_fd()]);
    says(
        error,
        ErrorCode::BadSegment,
        ["segment is refused", "segment", "seal"],
    );
    drop(client);
    let folder = std::fs::File::open("/").expect("it is everywhere");
    segment_is_refused(&daemon, folder.as_fd(), "not a sealable memfd");
    let (socket, _other) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .expect("sockets");
    segment_is_refused(&daemon, socket.as_fd(), "not a sealable memfd");
    unharmed(&daemon);
}

#[test]
fn the_daemons_own_socket_is_no_segment() {
    let daemon = Daemon::new();
    let client = Raw::greeted(&daemon.socket());
    // A connection that travels through itself must not keep itself alive.
    segment_is_refused(&daemon, client.as_fd(), "not a sealable memfd");
    drop(client);
    unharmed(&daemon);
}

#[test]
fn absurd_sizes_are_refused_by_their_field() {
    type Change = fn(&mut OpenSession);
    let daemon = Daemon::new();
    let open = daemon.open("good");
    let segment = Segment::of(&open).make();
    let mut client = Raw::greeted(&daemon.socket());
    let changes: [(&str, Change); 9] = [
        ("slots", |open| open.slots = 0),
        ("slots", |open| open.slots = 3),
        ("slots", |open| open.slots = 32),
        ("slots", |open| open.slots = u32::MAX),
        ("stats_capacity", |open| open.stats_capacity = 0),
        ("stats_capacity", |open| open.stats_capacity = u32::MAX),
        ("params_capacity", |open| open.params_capacity = 0),
        ("params_capacity", |open| {
            open.params_capacity = (16 << 20) + 1
        }),
        ("camera", |open| open.camera = "x".repeat(60_000)),
    ];
    for (field, change) in changes {
        let mut absurd = request(&open);
        change(&mut absurd);
        let error = client.refused(absurd, &[segment.as_fd()]);
        let said = ["OpenSession was refused", field, field];
        says(error, ErrorCode::BadArgument, said);
    }
    client.open(&open).start();
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

#[test]
fn a_frame_in_flight_when_the_connection_breaks_is_held_and_the_client_told() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let mut session = running(&daemon, "hangs");
    let ticket = session
        .submit(&frame(1, PATIENCE), &[0; 64])
        .expect("a slot");
    daemon.kill();
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
