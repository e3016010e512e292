//! A daemon that is none: it gives the client library a worker without a jail.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;

use coldshoe::{Open, Session};
use coldshoe_control::client::{
    Body, Confinement, Done, Envelope, Hello, ModuleInfo, SessionOpened, Wake,
};
use coldshoe_control::{Received, Receiver, send};
use coldshoe_frame::{Geometry, create_bell, create_return};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen,
    socket_with,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/modules/peer.c");

/// A worker without a jail, and what it was given. Dropping it kills it.
#[derive(Debug)]
pub struct Peer {
    /// Its process.
    pub child: Child,
    /// The forward segment, as the worker has it.
    pub forward: OwnedFd,
}

impl Peer {
    /// Starts one that attacks these segments.
    pub fn start(attack: &str, fds: [OwnedFd; 3], geometry: &Geometry) -> Self {
        let [forward, back, bell] = fds;
        let kept = forward.try_clone().expect("a descriptor");
        let child = Command::new(program())
            .arg(attack)
            .arg(geometry.return_len().to_string())
            .arg(geometry.slots().to_string())
            .stdin(Stdio::from(forward))
            .stdout(Stdio::from(back))
            .stderr(Stdio::from(bell))
            .spawn()
            .expect("the peer");
        Self {
            child,
            forward: kept,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The peer program, compiled once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("peer");
        let status = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
            .arg(&program)
            .arg(PEER)
            .status()
            .expect("cc: the tests need a C compiler");
        assert!(status.success());
        (dir, program)
    });
    program
}

/// Opens a session whose worker makes `attack`, and starts it.
pub fn attacked(attack: &str) -> (Session, Peer) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let flags = SocketFlags::CLOEXEC;
    let listener =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a socket");
    bind(
        &listener,
        &SocketAddrUnix::new(&path).expect("a short path"),
    )
    .expect("bound");
    listen(&listener, 1).expect("listening");
    let open = Open {
        socket: Some(path),
        module: "hostile".into(),
        camera: "virtual".into(),
        stats_format: "coldshoe-stats-1".into(),
        params_format: "coldshoe-soft".into(),
        stats_capacity: 8192,
        params_capacity: 4096,
        ..Open::default()
    };
    let geometry = Geometry::new(open.slots, open.stats_capacity, open.params_capacity)
        .expect("within the limits");
    let (started, peer) = mpsc::channel();
    let attack = attack.to_owned();
    thread::spawn(move || {
        let client = accept(&listener).expect("the client");
        serve(&client, &geometry, |fds| {
            let peer = Peer::start(&attack, fds, &geometry);
            let pid = peer.child.id();
            started.send(peer).expect("the test waits");
            pid
        });
    });
    let mut session = Session::open(&open).expect("a session");
    session.configure(&crate::sensor()).expect("configured");
    session.start().expect("started");
    (session, peer.recv().expect("a peer"))
}

/// Speaks the daemon's part until the client hangs up.
fn serve(client: &OwnedFd, geometry: &Geometry, start: impl Fn([OwnedFd; 3]) -> u32) {
    let mut receiver = Receiver::new();
    while let Ok(Received { message, fds }) =
        receiver.recv::<Envelope>(client.as_fd(), RecvFlags::empty())
    {
        let (body, fds): (Body, _) =
            match message.body.expect("the codec lets nothing else through") {
                Body::Hello(_) => (Hello::offer(&[], "impostor").into(), Vec::new()),
                Body::OpenSession(_) => {
                    let forward = fds.into_iter().next().expect("the codec counts them");
                    let back = create_return(geometry).expect("a segment");
                    let bell = create_bell().expect("a bell");
                    let copy = |fd: &OwnedFd| fd.try_clone().expect("a descriptor");
                    let pid = start([forward, copy(&back), copy(&bell)]);
                    let number = Pid::from_raw(pid.cast_signed()).expect("a process");
                    let pidfd = pidfd_open(number, PidfdFlags::empty()).expect("our own child");
                    (opened(pid).into(), vec![back, pidfd, bell])
                }
                _ => (Done { session: 1 }.into(), Vec::new()),
            };
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let answer: Envelope = Envelope::new(message.serial, body);
        if send(client.as_fd(), &answer, &fds).is_err() {
            return;
        }
    }
}

fn opened(worker_pid: u32) -> SessionOpened {
    SessionOpened {
        token: vec![7; coldshoe_control::client::TOKEN],
        standby: false,
        session: 1,
        generation: 1,
        module: Some(ModuleInfo {
            name: "hostile".into(),
            path: "/m/module.so".into(),
            ..Default::default()
        }),
        confinement: Some(Confinement::default()),
        worker_pid,
        wake: Wake::Sleep.into(),
    }
}
