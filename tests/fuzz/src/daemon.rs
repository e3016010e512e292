//! Control datagrams into the daemon: a real one, in this process, on a real socket. It has a
//! module that cannot be loaded, so that it starts no worker.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{OnceLock, mpsc};
use std::thread;

use coldshoe_control::client::{Body, Close, Envelope};
use coldshoe_control::{Receiver, RecvError};
use coldshoe_frame::Geometry;
use coldshoed::{Config, Server};
use prost::Message;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};

use crate::input::Input;
use crate::wire::{Datagram, Fds, send, wait};

/// More datagrams than an outbox of the daemon holds answers.
const MOST: usize = 80;
/// Serial of the message after which nothing is to come.
const LAST: u32 = 0xfeed_f00d;

struct Daemon {
    socket: PathBuf,
    fds: Fds,
}

/// Datagrams of one client, one after another. The daemon answers or hangs up, and serves the next
/// client in either case.
pub(crate) fn run(bytes: &[u8]) {
    static DAEMON: OnceLock<Daemon> = OnceLock::new();
    let daemon = DAEMON.get_or_init(start);
    let mut script = Input(bytes);
    let socket = daemon.connect();
    let mut sent = Ok(());
    for _ in 0..MOST {
        if script.is_empty() || sent.is_err() {
            break;
        }
        let datagram = Datagram::next(&mut script);
        let fds = daemon.fds.chosen(datagram.fds, None);
        sent = send(socket.as_fd(), datagram.bytes, &fds);
    }
    let last = Envelope::new(LAST, Close { session: u64::MAX }).encode_to_vec();
    let sent = sent.and_then(|()| send(socket.as_fd(), &last, &[]));
    match sent {
        Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => listen(&socket),
        // It may take its time to read.
        Err(Errno::AGAIN) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Reads answers up to that to the last message, or until the daemon hangs up.
fn listen(socket: &OwnedFd) {
    let mut receiver = Receiver::new();
    loop {
        wait(socket.as_fd());
        match receiver.recv::<Envelope>(socket.as_fd(), RecvFlags::DONTWAIT) {
            Ok(received) if received.message.serial == LAST => {
                assert!(matches!(received.message.body, Some(Body::Error(_))));
                return;
            }
            Ok(_) | Err(RecvError::WouldBlock) => {}
            Err(RecvError::Closed) => return,
            Err(error) => panic!("the daemon's answer: {error}"),
        }
    }
}

impl Daemon {
    fn connect(&self) -> OwnedFd {
        let address = SocketAddrUnix::new(&self.socket).expect("a short path");
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let socket = socket.expect("a socket");
        connect(&socket, &address).expect("the daemon listens");
        socket
    }
}

/// Starts it; it ends with this process.
fn start() -> Daemon {
    let dir = tempfile::Builder::new().prefix("coldshoe-fuzz-").tempdir();
    let dir = dir.expect("a temporary directory");
    let modules = dir.path().join("modules");
    fs::create_dir(&modules).expect("in our own");
    fs::write(modules.join("bad.so"), "no module").expect("in our own");
    let mut config = Config::discover().expect("this program's path");
    config.runtime_dir = Some(dir.path().join("runtime"));
    config.state_dir = Some(dir.path().join("state"));
    config.module_dirs = vec![modules];
    config.installed_module_dirs = Vec::new();
    config.tuning_dirs = Vec::new();
    config.worker = "/nonexistent/coldshoe-worker".into();
    let (ready, bound) = mpsc::channel();
    thread::spawn(move || {
        let _dir = dir;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let server = Server::bind(config, Vec::new()).expect("a free place");
            ready
                .send(server.socket().to_owned())
                .expect("somebody waits");
            server.serve(std::future::pending()).await;
        });
    });
    let geometry = Geometry::new(4, 8192, 4096).expect("within bounds");
    Daemon {
        socket: bound.recv().expect("the daemon is ready"),
        fds: Fds::new(geometry),
    }
}
