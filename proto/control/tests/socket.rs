//! What happens to datagrams and descriptors on a real socket.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe_control::client::{
    Body, Close, Confinement, Done, Envelope, Hello, ModuleInfo, OpenSession, Wake, WorkerReplaced,
};
use coldshoe_control::{
    DecodeError, MAX_DATAGRAM, Received, Receiver, RecvError, SendError, encode, recv, send,
    try_send,
};
use prost::Message as _;
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};

const NOW: RecvFlags = RecvFlags::DONTWAIT;

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a socket pair")
}

/// The read end of a pipe tells when the last copy of its write end is closed,
/// whatever other tests of this process open meanwhile.
struct Probe(OwnedFd);

impl Probe {
    fn new() -> (Self, OwnedFd) {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
        (Self(read), write)
    }

    fn all_closed(&self) -> bool {
        match rustix::io::read(&self.0, &mut [0; 8]) {
            Ok(0) => true,
            Err(Errno::AGAIN) => false,
            other => panic!("unexpected on the probe: {other:?}"),
        }
    }
}

/// Sends what a peer without this crate might send.
fn send_raw(socket: &OwnedFd, datagram: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let sent = sendmsg(
        socket,
        &[IoSlice::new(datagram)],
        &mut control,
        SendFlags::NOSIGNAL,
    );
    assert_eq!(sent, Ok(datagram.len()));
}

fn take(socket: &OwnedFd) -> Result<Received<Envelope>, RecvError> {
    recv(socket.as_fd(), NOW)
}

fn done() -> Envelope {
    Envelope::new(7, Done { session: 1 })
}

fn open_session() -> Envelope {
    Envelope::new(
        3,
        OpenSession {
            module: "open".into(),
            camera: "virtual".into(),
            stats_format: "stats".into(),
            params_format: "params".into(),
            slots: 4,
            stats_capacity: 4096,
            params_capacity: 4096,
            isp_capabilities: 0,
            buffers: 0,
            standby: false,
            resume: None,
        },
    )
}

fn replaced() -> WorkerReplaced {
    WorkerReplaced {
        session: 1,
        generation: 2,
        worker_pid: 3,
        module: Some(ModuleInfo {
            name: "open".into(),
            path: "/m/open.so".into(),
            ..ModuleInfo::default()
        }),
        confinement: Some(Confinement::default()),
        wake: Wake::Sleep.into(),
        recovery_us: 700,
    }
}

/// Sends a datagram with `fds` copies of one descriptor: it must be refused, its
/// descriptors closed, and the next message must come through.
fn refusal(datagram: &[u8], fds: usize) -> DecodeError {
    let (here, there) = pair();
    let (probe, write) = Probe::new();
    send_raw(&there, datagram, &vec![write.as_fd(); fds]);
    drop(write);
    assert_eq!(probe.all_closed(), fds == 0, "descriptors are under way");

    let refusal = match take(&here) {
        Err(RecvError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    assert!(
        probe.all_closed(),
        "a descriptor of a refused message leaked"
    );

    send(there.as_fd(), &done(), &[]).expect("the socket still works");
    assert_eq!(take(&here).expect("the next message").message, done());
    refusal
}

#[test]
fn a_message_arrives_with_its_descriptors_in_order_and_close_on_exec() {
    let (here, there) = pair();
    let (first, first_end) = Probe::new();
    let (second, second_end) = Probe::new();
    let (third, third_end) = Probe::new();
    let replaced = Envelope::new(0, replaced());
    send(
        there.as_fd(),
        &replaced,
        &[first_end.as_fd(), second_end.as_fd(), third_end.as_fd()],
    )
    .expect("sent");
    drop((first_end, second_end, third_end));

    let received: Received<Envelope> = take(&here).expect("received");
    assert_eq!(received.message, replaced);
    assert_eq!(received.fds.len(), 3);
    for (fd, probe, text) in [
        (&received.fds[0], &first, b"one"),
        (&received.fds[1], &second, b"two"),
        (&received.fds[2], &third, b"end"),
    ] {
        assert_eq!(fcntl_getfd(fd), Ok(FdFlags::CLOEXEC));
        let mut end = std::fs::File::from(fd.try_clone().expect("a copy"));
        end.write_all(text).expect("written");
        let mut read = [0; 8];
        let n = rustix::io::read(&probe.0, &mut read).expect("read");
        assert_eq!(&read[..n], text);
    }
    drop(received);
    assert!(first.all_closed() && second.all_closed() && third.all_closed());
}

#[test]
fn surplus_descriptors_are_refused_and_closed() {
    let datagram = encode(&done()).expect("valid");
    for fds in 1..=5 {
        let refusal = refusal(&datagram, fds);
        let expected = DecodeError::Fds {
            kind: "Done",
            serial: 7,
            received: fds,
            declared: 0,
            required: 0,
        };
        assert_eq!(refusal, expected);
    }
}

#[test]
fn missing_descriptors_are_refused() {
    let datagram = encode(&open_session()).expect("valid");
    let refusal = refusal(&datagram, 0);
    assert!(matches!(refusal, DecodeError::Fds { received: 0, .. }));
}

#[test]
fn missing_descriptors_of_two_are_refused_and_the_one_is_closed() {
    let datagram = encode(&Envelope::new(0, replaced())).expect("valid");
    let refusal = refusal(&datagram, 1);
    assert!(matches!(refusal, DecodeError::Fds { received: 1, .. }));
}

#[test]
fn declared_descriptors_that_the_message_does_not_ask_for_are_refused_and_closed() {
    let lie = Envelope {
        serial: 1,
        fds: 1,
        body: Some(Body::Close(Close { session: 1 })),
    };
    let refusal = refusal(&lie.encode_to_vec(), 1);
    assert!(matches!(refusal, DecodeError::Fds { declared: 1, .. }));
}

#[test]
fn more_descriptors_than_the_kernel_can_hand_over_are_refused_and_closed() {
    let datagram = encode(&open_session()).expect("valid");
    assert_eq!(refusal(&datagram, 40), DecodeError::Truncated);
}

#[test]
fn an_oversized_datagram_is_refused_and_its_descriptors_closed() {
    for bytes in [MAX_DATAGRAM + 1, MAX_DATAGRAM + 2, 2 * MAX_DATAGRAM] {
        assert_eq!(refusal(&vec![0; bytes], 1), DecodeError::TooLarge);
    }
}

#[test]
fn garbage_is_refused_and_its_descriptors_closed() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 512], &[0; 1]] {
        let refusal = refusal(garbage, 1);
        assert!(matches!(refusal, DecodeError::Undecodable(_)), "{refusal}");
    }
}

#[test]
fn half_a_message_is_refused() {
    let datagram = encode(&open_session()).expect("valid");
    let refusal = refusal(&datagram[..datagram.len() / 2], 1);
    assert!(matches!(refusal, DecodeError::Undecodable(_)));
}

#[test]
fn an_empty_datagram_counts_as_closed_and_its_descriptors_are_closed() {
    let (here, there) = pair();
    let (probe, write) = Probe::new();
    send_raw(&there, &[], &[write.as_fd()]);
    drop(write);
    assert!(matches!(take(&here), Err(RecvError::Closed)));
    assert!(probe.all_closed());
}

#[test]
fn a_peer_that_left_counts_as_closed_after_its_last_message() {
    let (here, there) = pair();
    send(there.as_fd(), &done(), &[]).expect("sent");
    drop(there);
    assert!(take(&here).is_ok());
    assert!(matches!(take(&here), Err(RecvError::Closed)));
    let sent = send(here.as_fd(), &done(), &[]);
    assert!(matches!(sent, Err(SendError::Closed)));
}

#[test]
fn a_peer_that_left_without_reading_counts_as_closed() {
    let (here, there) = pair();
    send(here.as_fd(), &done(), &[]).expect("sent");
    drop(there);
    assert!(matches!(take(&here), Err(RecvError::Closed)));
}

#[test]
fn an_empty_queue_would_block() {
    let (here, _there) = pair();
    assert!(matches!(take(&here), Err(RecvError::WouldBlock)));
}

#[test]
fn a_full_queue_would_block_and_takes_no_part_of_a_message() {
    let (here, there) = pair();
    let hello = Envelope::new(1, Hello::offer(&[], &"x".repeat(256)));
    let mut sent = 0;
    let stop = loop {
        match try_send(there.as_fd(), &hello, &[]) {
            Ok(()) => sent += 1,
            Err(stop) => break stop,
        }
    };
    assert!(matches!(stop, SendError::WouldBlock), "{stop}");
    let mut receiver = Receiver::new();
    for _ in 0..sent {
        let received = receiver.recv::<Envelope>(here.as_fd(), NOW).expect("whole");
        assert_eq!(received.message, hello);
    }
    assert!(matches!(take(&here), Err(RecvError::WouldBlock)));
}

#[test]
fn a_message_with_another_number_of_descriptors_is_not_sent() {
    let (here, there) = pair();
    let (_probe, write) = Probe::new();
    let sent = send(there.as_fd(), &done(), &[write.as_fd()]);
    assert!(matches!(sent, Err(SendError::Fds { given: 1, .. })));
    let sent = send(there.as_fd(), &open_session(), &[]);
    assert!(matches!(sent, Err(SendError::Fds { given: 0, .. })));
    assert!(matches!(take(&here), Err(RecvError::WouldBlock)));
}

#[test]
fn flags_that_change_what_a_receive_means_have_no_effect() {
    let (here, there) = pair();
    send_raw(&there, &vec![0; 2 * MAX_DATAGRAM], &[]);
    send(there.as_fd(), &done(), &[]).expect("sent");
    let flags = NOW | RecvFlags::TRUNC | RecvFlags::PEEK;
    let refused = recv::<Envelope>(here.as_fd(), flags);
    assert!(matches!(
        refused,
        Err(RecvError::Refused(DecodeError::TooLarge))
    ));
    assert!(recv::<Envelope>(here.as_fd(), flags).is_ok());
    assert!(matches!(take(&here), Err(RecvError::WouldBlock)));
}
