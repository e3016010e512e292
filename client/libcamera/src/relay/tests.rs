//! The relay among an application, a worker and a daemon that the test plays.

use coldshoe_control::client::{Body, Confinement, Envelope, LibcameraOpened, ModuleInfo};
use coldshoe_control::{Receiver, try_send};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::pipe::pipe;

use super::*;

/// start() of `soft`.
const START: u32 = 2;

struct Ends {
    application: OwnedFd,
    worker: OwnedFd,
    daemon: OwnedFd,
    /// Closed when the application has ended.
    life: OwnedFd,
}

fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
}

fn relay() -> (Relay, Ends) {
    let (application, with_application) = pair(SocketType::DGRAM);
    let (worker, with_worker) = pair(SocketType::SEQPACKET);
    let (daemon, with_daemon) = pair(SocketType::SEQPACKET);
    let (pidfd, life) = pipe().unwrap();
    let relay = Relay::new(
        with_application,
        pidfd,
        Worker {
            socket: with_worker,
            series: String::new(),
        },
        Daemon::greeted(with_daemon),
        Dialect::find("soft", "0.7"),
    );
    let ends = Ends {
        application,
        worker,
        daemon,
        life,
    };
    (relay, ends)
}

fn call(command: u32) -> Message<OwnedFd> {
    Message {
        bytes: [command.to_ne_bytes(), 1_u32.to_ne_bytes()].concat(),
        fds: Vec::new().into(),
    }
}

fn ask(application: &OwnedFd, command: u32) {
    let sent = say(application, &call(command), || Ok(false)).unwrap();
    assert_eq!(sent, Sent::Yes);
}

/// The command of the next message.
fn told(end: &OwnedFd) -> u32 {
    let mut bytes = [0; 64];
    let (_, header) = recv(end, &mut bytes, RecvFlags::DONTWAIT).unwrap();
    let (_, length) = recv(end, &mut bytes, RecvFlags::DONTWAIT).unwrap();
    assert!(header == 8 && length >= 8);
    u32::from_ne_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn what_is_said_while_a_worker_is_made_is_heard_at_once_and_told_to_it() {
    let (mut relay, ends) = relay();
    relay
        .replace(FaultReason::Deadline, "late".to_owned())
        .unwrap();
    let asked = Receiver::new().recv::<Envelope>(ends.daemon.as_fd(), RecvFlags::DONTWAIT);
    assert!(matches!(
        asked.unwrap().message.body,
        Some(Body::ReplaceWorker(_))
    ));
    ask(&ends.application, START);
    assert!(matches!(relay.turn(), Ok(Next::Go)));
    assert!(relay.firewall.is_busy());

    let (worker, with_worker) = pair(SocketType::SEQPACKET);
    let opened = LibcameraOpened {
        session: 1,
        worker_pid: 2,
        generation: 2,
        module: Some(ModuleInfo {
            name: "soft".to_owned(),
            path: "/soft.so".to_owned(),
            ..ModuleInfo::default()
        }),
        confinement: Some(Confinement::default()),
        ..LibcameraOpened::default()
    };
    let opened = Envelope::new(3, opened);
    let fds = [with_worker.as_fd(), relay.application_pidfd.as_fd()];
    try_send(ends.daemon.as_fd(), &opened, &fds).unwrap();
    assert!(matches!(relay.turn(), Ok(Next::Go)));
    assert!(matches!(relay.tell_worker(), Ok(None)));
    assert_eq!(told(&worker), START);
}

#[test]
fn a_worker_that_does_not_read_is_replaced() {
    let (mut relay, ends) = relay();
    let Side::Worker(worker) = &relay.worker else {
        unreachable!("it has one");
    };
    set_socket_send_buffer_size(worker, 1).unwrap();
    for _ in 0..64 {
        let start = call(START);
        for datagram in [&header(&start)[..], &start.bytes] {
            let heard = relay.firewall.host(datagram, Vec::new(), Instant::now());
            heard.unwrap();
        }
    }
    match relay.tell_worker() {
        Ok(Some(Next::Replace(FaultReason::Deadline, why))) => assert!(why.contains("read")),
        _ => panic!("it goes on"),
    }
    assert_eq!(told(&ends.worker), START);
}

#[test]
fn a_datagram_that_is_too_large_is_its_workers_end_alone() {
    let (mut relay, ends) = relay();
    set_socket_send_buffer_size(&ends.worker, MAX_MESSAGE).unwrap();
    let large = vec![0; MAX_MESSAGE + 1];
    rustix::net::send(&ends.worker, &large, SendFlags::DONTWAIT).unwrap();
    assert!(matches!(
        relay.turn(),
        Ok(Next::Replace(FaultReason::Protocol, _))
    ));
}

#[test]
fn an_application_that_does_not_read_for_a_while_gets_what_is_said_all_the_same() {
    let (relay, ends) = relay();
    let event = call(7);
    while say(&relay.application, &event, || Ok(false)).unwrap() == Sent::Yes {}
    let last = call(9);
    let telling = std::thread::spawn(move || relay.tell_application(&last).unwrap());
    let mut bytes = [0; 8];
    while bytes[0] != 9 {
        recv(&ends.application, &mut bytes, RecvFlags::empty()).unwrap();
    }
    assert!(telling.join().unwrap());
}

#[test]
fn an_application_that_ends_while_it_does_not_read_is_no_failure() {
    let (relay, ends) = relay();
    let event = call(7);
    while say(&relay.application, &event, || Ok(false)).unwrap() == Sent::Yes {}
    drop(ends.life);
    assert!(!relay.tell_application(&event).unwrap());
}
