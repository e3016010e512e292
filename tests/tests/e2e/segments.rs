//! Forward segments that could harm the worker or the daemon.

use std::os::fd::{AsFd, BorrowedFd};

use coldshoe::ErrorCode;
use coldshoe_control::client::OpenSession;
use coldshoe_tests::{Daemon, Raw, Segment, request};
use rustix::fs::SealFlags;

use crate::clients::{pipe, says, unharmed};

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
