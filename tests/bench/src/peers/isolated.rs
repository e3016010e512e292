//! An isolated algorithm of libcamera's, as its host calls it: the worker as libcamera starts it, the same
//! one in coldshoe's jail, and the whole of coldshoe, with relay, firewall and what recovery needs.
//!
//! The worker is a stand-in that speaks libcamera 0.7, and so is the host: it polls its socket, receives
//! a header, asks whether the rest is there and receives that, as libcamera does.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use coldshoe_control::client::{
    Body, Envelope, Hello, Initialised, LIBCAMERA, List, OpenLibcamera, Topic,
};
use coldshoe_control::{Receiver, try_send};
use coldshoe_libcamera_wire::header;
use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with, socketpair,
};
use rustix::process::Pid;
use tempfile::TempDir;

use super::session::{beside, wait_for_ready};
use crate::contest::{Contestant, Exchange, Kind, Pair};
use crate::launch::{Launch, Peer, Seat};
use crate::place;
use speech::{
    COMPUTE, CONFIGURE, INIT, METADATA, PROCESS, QUEUE, SET_ISP, SET_SENSOR, START, V4L2,
    configure, init, list, listed, message, parameters, process, u32s,
};

#[path = "../../../../proto/libcamera/tests/speech/mod.rs"]
mod speech;

const WORKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../modules/libcamera_worker.c");
/// Number of the socket in what libcamera starts.
const FD: i32 = 7;

/// What is between host and worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Nothing but libcamera's socket.
    Nothing,
    /// The socket that a worker in a jail has, which tells when the other end is gone.
    Seqpacket,
    Jail,
    Coldshoe,
}

/// What is exchanged.
#[derive(Clone, Copy)]
enum What {
    /// A call and its answer.
    Call,
    /// All that a frame needs: three calls, three events.
    Frame,
}

pub(crate) struct Isolated {
    name: &'static str,
    about: &'static str,
    between: Between,
    what: What,
}

impl Isolated {
    pub(crate) const PLAIN: Self = Self {
        name: "ipa-plain",
        about: "libcamera's isolated algorithm: a call",
        between: Between::Nothing,
        what: What::Call,
    };
    pub(crate) const SEQPACKET: Self = Self {
        name: "ipa-seqpacket",
        about: "the same on the socket that jails have",
        between: Between::Seqpacket,
        ..Self::PLAIN
    };
    pub(crate) const JAILED: Self = Self {
        name: "ipa-jailed",
        about: "the same in a jail, without a relay",
        between: Between::Jail,
        ..Self::PLAIN
    };
    pub(crate) const RELAYED: Self = Self {
        name: "ipa-relayed",
        about: "the same through coldshoe-libcamera",
        between: Between::Coldshoe,
        ..Self::PLAIN
    };
    pub(crate) const FRAME_PLAIN: Self = Self {
        name: "ipa-frame-plain",
        about: "libcamera's isolated algorithm: a frame",
        what: What::Frame,
        ..Self::PLAIN
    };
    pub(crate) const FRAME_RELAYED: Self = Self {
        name: "ipa-frame-relayed",
        about: "the same through coldshoe-libcamera",
        what: What::Frame,
        ..Self::RELAYED
    };
}

impl Contestant for Isolated {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn kind(&self) -> Kind {
        Kind::Asleep
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let dir = tempfile::tempdir()?;
        let worker = dir.path().join("soft_ipa_proxy");
        let module = dir.path().join("ipa_bench.so");
        compile(&worker, &["-O2"])?;
        compile(&module, &["-O2", "-shared", "-fPIC"])?;
        let mut host = match self.between {
            Between::Nothing => Host::start(SocketType::DGRAM, &worker, &module, dir, None)?,
            Between::Seqpacket => Host::start(SocketType::SEQPACKET, &worker, &module, dir, None)?,
            Between::Jail => {
                let daemon = Daemon::start(dir.path())?;
                let mut control = Control::new(dir.path())?;
                let socket = control.open(&module)?;
                Host::new(socket, dir, None, Some((daemon, control)))
            }
            Between::Coldshoe => {
                let daemon = Daemon::start(dir.path())?;
                let control = Control::new(dir.path())?;
                let shims = dir.path().join("shims");
                fs::create_dir(&shims)?;
                let shim = shims.join("soft_ipa_proxy");
                std::os::unix::fs::symlink(beside("coldshoe-libcamera")?, &shim)?;
                let coldshoe = Some((daemon, control));
                Host::start(SocketType::DGRAM, &shim, &module, dir, coldshoe)?
            }
        };
        host.what = self.what;
        host.call(INIT, &init())?;
        let pid = host.worker(self.between == Between::Jail)?;
        host.call(CONFIGURE, &configure())?;
        host.call(START, &[])?;
        let peer = host.peer(self.name, launch.cpu)?;
        Ok(Pair::new(host, peer.watch(pid, launch.cpu)?))
    }

    fn serve(&self, _seat: Seat) -> Result<()> {
        bail!("libcamera starts its workers")
    }
}

fn compile(to: &Path, flags: &[&str]) -> Result<()> {
    let mut command = Command::new("cc");
    let status = command.args(flags).arg("-o").arg(to).arg(WORKER).status();
    ensure!(
        status.context("cc")?.success(),
        "the worker does not compile"
    );
    Ok(())
}

/// A daemon that ends with this.
struct Daemon(Option<Child>);

impl Daemon {
    fn start(dir: &Path) -> Result<Self> {
        let mut daemon = Command::new(beside("coldshoed")?);
        for (option, value) in [
            ("--runtime-dir", dir.join("coldshoe")),
            ("--state-dir", dir.join("state")),
            ("--libcamera-module-dir", dir.to_owned()),
            ("--libcamera-worker-dir", dir.to_owned()),
        ] {
            daemon.arg(option).arg(value);
        }
        daemon
            .args(["--no-config", "--libcamera-series", "0.7"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = place::anywhere(|| daemon.spawn())?.context("coldshoed")?;
        let log = child.stderr.take().context("its log")?;
        let daemon = Self(Some(child));
        wait_for_ready(log)?;
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A connection to it.
struct Control {
    socket: OwnedFd,
    receiver: Receiver,
    serial: u32,
    session: u64,
}

impl Control {
    fn new(dir: &Path) -> Result<Self> {
        let address = SocketAddrUnix::new(dir.join("coldshoe/control.sock"))?;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        connect(&socket, &address)?;
        let mut control = Self {
            socket,
            receiver: Receiver::new(),
            serial: 0,
            session: 0,
        };
        control.ask(Hello::offer(&[LIBCAMERA], "bench"))?;
        Ok(control)
    }

    fn say(&self, serial: u32, body: impl Into<Body>) -> Result<()> {
        try_send(self.socket.as_fd(), &Envelope::new(serial, body), &[])?;
        Ok(())
    }

    fn ask(&mut self, body: impl Into<Body>) -> Result<(Body, Vec<OwnedFd>)> {
        self.serial += 1;
        self.say(self.serial, body)?;
        let flags = RecvFlags::empty();
        let received = self.receiver.recv::<Envelope>(self.socket.as_fd(), flags)?;
        let body = received.message.body.context("an answer")?;
        Ok((body, received.fds))
    }

    /// The socket of a worker in its jail.
    fn open(&mut self, module: &Path) -> Result<OwnedFd> {
        let request = OpenLibcamera {
            ipa: "soft".to_owned(),
            module: module.to_string_lossy().into_owned(),
        };
        match self.ask(request)? {
            (Body::LibcameraOpened(opened), fds) => {
                self.session = opened.session;
                fds.into_iter().next().context("a socket")
            }
            (other, _) => bail!("{other:?}"),
        }
    }

    /// The worker's process.
    fn worker(&mut self) -> Result<u32> {
        let list = List {
            topic: Topic::Sessions.into(),
            after: 0,
        };
        match self.ask(list)? {
            (Body::Listing(listing), _) => {
                let session = listing.sessions.first().context("a session")?;
                Ok(session.worker_pid)
            }
            (other, _) => bail!("{other:?}"),
        }
    }
}

/// libcamera's side.
struct Host {
    socket: OwnedFd,
    what: What,
    number: u32,
    cookie: u32,
    /// What libcamera has started, until it is somebody's peer.
    started: Option<Child>,
    coldshoe: Option<(Daemon, Control)>,
    /// Gone after all others.
    _dir: TempDir,
}

impl Host {
    fn new(
        socket: OwnedFd,
        dir: TempDir,
        started: Option<Child>,
        coldshoe: Option<(Daemon, Control)>,
    ) -> Self {
        Self {
            socket,
            what: What::Call,
            number: 0,
            cookie: 0,
            started,
            coldshoe,
            _dir: dir,
        }
    }

    /// Starts a program as libcamera starts its workers.
    fn start(
        kind: SocketType,
        program: &Path,
        module: &Path,
        dir: TempDir,
        coldshoe: Option<(Daemon, Control)>,
    ) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        let mut command = Command::new(program);
        command
            .arg(module)
            .arg(FD.to_string())
            .env("XDG_RUNTIME_DIR", dir.path())
            .stdin(Stdio::null())
            .fd_mappings(vec![FdMapping {
                parent_fd: theirs,
                child_fd: FD,
            }])?;
        let child = place::anywhere(|| command.spawn())??;
        Ok(Self::new(ours, dir, Some(child), coldshoe))
    }

    /// The process that runs the algorithm.
    fn worker(&mut self, ours: bool) -> Result<u32> {
        match (&mut self.coldshoe, &self.started) {
            (Some((_, control)), _) => {
                if ours {
                    let session = control.session;
                    let sensor = String::new();
                    control.say(0, Initialised { session, sensor })?;
                }
                control.worker()
            }
            (None, Some(worker)) => Ok(worker.id()),
            (None, None) => bail!("nothing was started"),
        }
    }

    /// What is to be ended; a relay has the worker's processor.
    fn peer(&mut self, name: &'static str, cpu: Option<usize>) -> Result<Peer> {
        if let Some(started) = &self.started
            && let Some(cpu) = cpu
        {
            place::pin_process(Some(Pid::from_child(started)), cpu)?;
        }
        let daemon = self.coldshoe.as_mut().map(|(daemon, _)| daemon);
        let child = match self.started.take() {
            Some(child) => Some(child),
            None => daemon.and_then(|daemon| daemon.0.take()),
        };
        let child = child.context("nothing was started")?;
        Ok(Peer::adopt(child, name))
    }

    fn say(&mut self, command: u32, arguments: &[u8]) -> Result<u32> {
        let cookie = self.cookie;
        self.cookie += 1;
        let message = message(command, cookie, arguments);
        send(&self.socket, &header(&message), SendFlags::NOSIGNAL)?;
        send(&self.socket, &message.bytes, SendFlags::NOSIGNAL)?;
        Ok(cookie)
    }

    /// The next message: command, cookie.
    fn hear(&self) -> Result<(u32, u32)> {
        let mut head = [0; 8];
        self.wait(None)?;
        recv(&self.socket, &mut head, RecvFlags::empty())?;
        if !self.wait(Some(&Timespec::default()))? {
            self.wait(None)?;
        }
        let [a, b, c, d, ..] = head;
        let mut bytes = vec![0; u32::from_ne_bytes([a, b, c, d]) as usize];
        recv(&self.socket, &mut bytes, RecvFlags::empty())?;
        let word = |at: usize| -> Result<u32> {
            let four = bytes.get(at..at + 4).context("a short message")?;
            Ok(u32::from_ne_bytes(four.try_into()?))
        };
        Ok((word(0)?, word(4)?))
    }

    fn wait(&self, patience: Option<&Timespec>) -> Result<bool> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        Ok(poll(&mut ready, patience)? > 0)
    }

    fn call(&mut self, command: u32, arguments: &[u8]) -> Result<()> {
        let cookie = self.say(command, arguments)?;
        ensure!(self.hear()? == (command, cookie), "another answer");
        Ok(())
    }

    fn event(&self, event: u32) -> Result<()> {
        ensure!(self.hear()? == (event, 0), "another event");
        Ok(())
    }
}

impl Exchange for Host {
    fn trip(&mut self) -> Result<()> {
        match self.what {
            What::Call => self.call(START, &[]),
            What::Frame => {
                // The stand-in misbehaves in its third frame if it is told to, and it is not.
                self.number += 1;
                let number = self.number;
                let none = listed(&[], &list(1, V4L2, &[]));
                self.say(QUEUE, &parameters(&[u32s(&[number]), none]))?;
                self.say(COMPUTE, &u32s(&[number]))?;
                self.event(SET_ISP)?;
                self.say(PROCESS, &process(number))?;
                self.event(SET_SENSOR)?;
                self.event(METADATA)
            }
        }
    }
}
