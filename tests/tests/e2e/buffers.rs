//! Statistics in buffers that hardware could fill.

use std::os::fd::AsFd;

use coldshoe::{Buffer, Error, ErrorCode, Session, SubmitError};
use coldshoe_control::client::OpenSession;
use coldshoe_isp::soft::Update;
use coldshoe_tests::{Daemon, PATIENCE, Raw, Segment, frame, request, sensor, soft};
use rustix::fs::SealFlags;
use rustix::io::{Errno, pwrite};

use crate::clients::{says, unharmed};
use crate::frames::{c_module, statistics};

#[test]
fn a_module_gets_statistics_out_of_a_buffer() {
    let daemon = Daemon::new();
    c_module(&daemon);
    // Larger than the slots: a buffer has a size of its own.
    let buffers = [100_000, 30_000].map(|len| Buffer::create(len).expect("a buffer"));
    let mut session =
        Session::open_with(&daemon.open("grey-world"), buffers.into()).expect("a session");
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    for (number, rgb, gains) in [
        (0, [1000, 2000, 4000], [2.0, 1.0, 1.0, 0.5]),
        (1, [1000, 1000, 1000], [1.0, 1.0, 1.0, 1.0]),
    ] {
        let stats = statistics(rgb);
        assert!(session.buffer(number).expect("it has it").write(0, &stats));
        let ticket = session
            .submit_buffer(&frame(number.into(), PATIENCE), number, stats.len())
            .expect("a ticket");
        let outcome = session.wait(ticket);
        assert!(outcome.is_fresh(), "{outcome:?}");
        let Update::Set(found) = soft(outcome.answer().expect("fresh").params).wb_gains else {
            panic!("no white balance gains");
        };
        assert_eq!(found.gains(), gains);
    }
    let over = session.buffer(0).expect("it has it").capacity() + 1;
    let refused = session.submit_buffer(&frame(2, PATIENCE), 0, over);
    assert!(
        matches!(refused, Err(SubmitError::TooLarge { .. })),
        "{refused:?}"
    );
    let refused = session.submit_buffer(&frame(2, PATIENCE), 2, 1);
    assert_eq!(refused, Err(SubmitError::NoSuchBuffer(2)));
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn nobody_else_gets_to_write_to_a_buffer_once_it_is_registered() {
    let daemon = Daemon::new();
    let buffer = Buffer::create(4096).expect("a buffer");
    let fd = buffer.as_fd().try_clone_to_owned().expect("a copy");
    let before = pwrite(&fd, &[1], 0);
    let session = Session::open_with(&daemon.open("good"), vec![buffer]).expect("a session");
    let after = pwrite(&fd, &[1], 0);
    assert_eq!((before, after), (Ok(1), Err(Errno::PERM)));
    drop(session);
}

#[test]
fn more_buffers_than_a_session_may_have_are_refused() {
    let daemon = Daemon::new();
    let buffers = |n| {
        (0..n)
            .map(|_| Buffer::create(1).expect("a buffer"))
            .collect()
    };
    let open = daemon.open("good");
    let refused = Session::open_with(&open, buffers(17)).unwrap_err();
    assert!(matches!(refused, Error::Send(_)), "{refused}");
    assert!(refused.to_string().contains("buffers"), "{refused}");
    assert!(Session::open_with(&open, buffers(16)).is_ok());
}

#[test]
fn a_buffer_without_seals_is_refused() {
    let daemon = Daemon::new();
    let open = daemon.open("good");
    let good = Segment::of(&open);
    for (seals, why) in [
        (SealFlags::empty(), "seal SHRINK"),
        (good.seals - SealFlags::FUTURE_WRITE, "seal FUTURE_WRITE"),
        (good.seals - SealFlags::GROW, "seal GROW"),
    ] {
        let [forward, one] = [good, good].map(Segment::make);
        let other = Segment { len: 4096, seals }.make();
        let request = OpenSession {
            buffers: 2,
            ..request(&open)
        };
        let fds = [forward.as_fd(), one.as_fd(), other.as_fd()];
        let error = Raw::greeted(&daemon.socket()).refused(request, &fds);
        let said = ["buffer 1 is refused", why, "client library"];
        says(error, ErrorCode::BadSegment, said);
    }
    unharmed(&daemon);
}
