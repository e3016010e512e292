//! Nothing is left behind, whenever who ends.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use coldshoe::Session;
use coldshoe_control::client::{Body, Envelope, Hello, OpenSession};
use coldshoe_control::send;
use coldshoe_frame::{Forward, Geometry};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::modules;
use crate::place::{PATIENCE, built, open};

/// A daemon that can be killed, with a worker program that can be told from all others.
struct Victim {
    daemon: Child,
    worker: PathBuf,
    dir: TempDir,
}

impl Victim {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let worker = dir.path().join("coldshoe-worker");
        fs::copy(built("coldshoe-worker"), &worker).expect("a copy of the worker");
        let daemon = Command::new(built("coldshoed"))
            .env_clear()
            .arg("--no-config")
            .arg("--runtime-dir")
            .arg(dir.path().join("runtime"))
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .arg("--module-dir")
            .arg(modules::dir())
            .arg("--worker")
            .arg(&worker)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a daemon");
        let victim = Self {
            daemon,
            worker,
            dir,
        };
        until("the daemon is ready", || {
            socket(victim.dir.path()).is_some()
        });
        victim
    }

    /// Ends it on the spot.
    fn kill(&mut self) {
        self.daemon.kill().expect("our child");
        self.daemon.wait().expect("our child");
    }

    /// The processes that run its worker program.
    fn workers(&self) -> Vec<u32> {
        let runs = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
            program == self.worker.as_os_str().as_encoded_bytes()
        };
        processes().filter(runs).collect()
    }

    /// Whatever is left of it: copies of the daemon that were to become workers, and workers. Both
    /// name its directory on their command line; one that is just being executed has none for a
    /// moment, and another may start behind the place where one looks, so it is looked several
    /// times.
    fn is_gone(&self) -> bool {
        const LOOKS: usize = 5;
        let dir = self.dir.path().as_os_str().as_encoded_bytes();
        let names_it = |pid: u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(dir.len()).any(|part| part == dir)
        };
        (0..LOOKS).all(|_| {
            thread::yield_now();
            !processes().any(names_it)
        })
    }

    /// Its children, those included that nobody has reaped.
    fn children(&self) -> Vec<u32> {
        let parent = self.daemon.id().to_string();
        let is_child = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // pid (name) state parent
            let rest = stat.rsplit(')').next().unwrap_or_default();
            rest.split_whitespace().nth(1) == Some(parent.as_str())
        };
        processes().filter(is_child).collect()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn socket(dir: &Path) -> Option<OwnedFd> {
    let address = SocketAddrUnix::new(dir.join("runtime/control.sock")).ok()?;
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None).ok()?;
    connect(&socket, &address).ok()?;
    Some(socket)
}

/// A request for a session, on its way.
struct Asked {
    socket: OwnedFd,
    _forward: Forward,
}

/// Asks for a session and does not wait for the answer. The daemon listens by then: it has answered
/// Hello.
fn ask(dir: &Path, module: &str) -> Asked {
    let socket = socket(dir).expect("the daemon is ready");
    let geometry = Geometry::new(4, 4096, 4096).expect("a geometry");
    let (forward, fd) = Forward::create(geometry).expect("memory");
    let hello = Envelope::new(1, Hello::offer(&[], "test"));
    send(socket.as_fd(), &hello, &[]).expect("sent");
    let request = OpenSession {
        standby: false,
        resume: None,
        module: module.into(),
        camera: "virtual".into(),
        stats_format: "stats".into(),
        params_format: "coldshoe-soft".into(),
        slots: 4,
        stats_capacity: 4096,
        params_capacity: 4096,
        isp_capabilities: 0,
        buffers: 0,
    };
    let order = Envelope::new(2, request);
    let asked = Asked {
        socket,
        _forward: forward,
    };
    assert!(matches!(asked.answer(), Body::Hello(_)));
    send(asked.socket.as_fd(), &order, &[fd.as_fd()]).expect("sent");
    asked
}

impl Asked {
    /// Waits for the next answer.
    fn answer(&self) -> Body {
        let heard = coldshoe_control::recv::<Envelope>(self.socket.as_fd(), RecvFlags::empty());
        heard.expect("an answer").message.body.expect("a message")
    }
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The first stage runs, in our namespaces.
    First,
    /// The second stage runs in its own, and is not confined yet.
    Second,
    /// Its system calls are filtered: the module loads, or has.
    Gated,
}

/// What the kernel says of a process.
fn field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of_line = |line: &str| {
        Some(
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .trim()
                .to_owned(),
        )
    };
    status.lines().find_map(of_line)
}

/// Where a worker stands, against where we stand.
fn stage(pid: u32) -> Option<Stage> {
    let own = std::process::id();
    let depth = |pid| Some(field(pid, "NSpid")?.split_whitespace().count());
    let filters = |pid| field(pid, "Seccomp_filters")?.parse::<u32>().ok();
    if filters(pid)? > filters(own)? {
        Some(Stage::Gated)
    } else if depth(pid)? > depth(own)? {
        Some(Stage::Second)
    } else {
        Some(Stage::First)
    }
}

/// A worker that is held where it is, until this is dropped.
struct Held(Pid);

impl Held {
    /// Stops a worker at `wanted`. `None` if it was faster, or has ended.
    fn at(wanted: Stage, pid: u32) -> Option<Self> {
        if stage(pid)? < wanted {
            return None;
        }
        let held = Self(Pid::from_raw(pid.cast_signed())?);
        kill_process(held.0, Signal::STOP).ok()?;
        // It stops at the end of what it is just doing, or ends.
        let state = || field(pid, "State").unwrap_or_default();
        until("it stops", || !state().starts_with(['R', 'S', 'D']));
        (state().starts_with('T') && stage(pid)? == wanted).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may be gone.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Asks until a worker is caught at `wanted`.
fn catch(victim: &Victim, wanted: Stage) -> (Asked, Held) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // One that hangs while it loads stays behind its gate.
        let asked = ask(victim.dir.path(), "hang");
        while Instant::now() < deadline {
            let stages = |pid| stage(pid).is_some_and(|stage| stage >= wanted);
            let Some(pid) = victim.workers().into_iter().find(|pid| stages(*pid)) else {
                continue;
            };
            match Held::at(wanted, pid) {
                Some(held) => return (asked, held),
                None => break,
            }
        }
        assert!(
            Instant::now() < deadline,
            "no worker was caught: {wanted:?}"
        );
        drop(asked);
        until("its workers are gone", || victim.workers().is_empty());
    }
}

const STAGES: [Stage; 3] = [Stage::First, Stage::Second, Stage::Gated];

/// Points from the request to beyond a loaded module, by how long that takes here.
fn points() -> impl Iterator<Item = Duration> {
    const POINTS: u32 = 40;
    let victim = Victim::start();
    let start = Instant::now();
    let asked = ask(victim.dir.path(), "plain");
    assert!(matches!(asked.answer(), Body::SessionOpened(_)));
    let step = start.elapsed() * 5 / (4 * POINTS);
    (0..POINTS).map(move |point| step * point)
}

#[test]
fn a_daemon_killed_at_each_stage_of_its_worker_leaves_none() {
    for wanted in STAGES {
        let mut victim = Victim::start();
        let (_asked, held) = catch(&victim, wanted);
        victim.kill();
        drop(held);
        until("its workers are gone", || victim.workers().is_empty());
    }
}

#[test]
fn a_daemon_killed_at_any_point_of_loading_leaves_no_worker() {
    for (index, point) in points().enumerate() {
        let mut victim = Victim::start();
        let module = ["plain", "hang", "streams"][index % 3];
        let _asked = ask(victim.dir.path(), module);
        thread::sleep(point);
        victim.kill();
        until("its workers are gone", || victim.is_gone());
    }
}

#[test]
fn a_daemon_killed_while_a_module_hangs_or_runs_leaves_no_worker() {
    let mut victim = Victim::start();
    let (_asked, held) = catch(&victim, Stage::Gated);
    drop(held);
    let session = Session::open(&open(victim.dir.path(), "plain")).expect("a session");
    until("both are there", || victim.workers().len() == 2);
    assert!(!victim.is_gone());
    victim.kill();
    until("its workers are gone", || victim.is_gone());
    drop(session);
}

#[test]
fn a_client_that_goes_at_each_stage_of_its_worker_leaves_no_process() {
    let victim = Victim::start();
    for wanted in STAGES {
        let (asked, held) = catch(&victim, wanted);
        drop(asked);
        drop(held);
        until("its children are gone", || victim.children().is_empty());
    }
    assert_eq!(victim.workers(), [0; 0]);
    drop(Session::open(&open(victim.dir.path(), "plain")).expect("a session"));
}

#[test]
fn a_client_that_goes_at_any_point_of_loading_leaves_no_process() {
    let victim = Victim::start();
    for (index, point) in points().enumerate() {
        let module = ["plain", "hang", "streams"][index % 3];
        let asked = ask(victim.dir.path(), module);
        thread::sleep(point);
        drop(asked);
    }
    until("its children are gone", || victim.children().is_empty());
    assert_eq!(victim.workers(), [0; 0]);
    // And it serves as before.
    drop(Session::open(&open(victim.dir.path(), "plain")).expect("a session"));
}
