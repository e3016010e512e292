//! Nothing is left behind, whenever who ends.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use coldshoe::Session;
use coldshoe_control::client::{Envelope, Hello, OpenSession};
use coldshoe_control::send;
use coldshoe_frame::{Forward, Geometry};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
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

/// Asks for a session and does not wait for the answer.
fn ask(dir: &Path, module: &str) -> (OwnedFd, Forward) {
    let socket = socket(dir).expect("the daemon is ready");
    let geometry = Geometry::new(4, 4096, 4096).expect("a geometry");
    let (forward, fd) = Forward::create(geometry).expect("memory");
    let hello = Envelope::new(1, Hello::offer(&[], "test"));
    send(socket.as_fd(), &hello, &[]).expect("sent");
    let request = OpenSession {
        module: module.into(),
        camera: "virtual".into(),
        stats_format: "stats".into(),
        params_format: "params".into(),
        slots: 4,
        stats_capacity: 4096,
        params_capacity: 4096,
        isp_capabilities: 0,
    };
    let order = Envelope::new(2, request);
    send(socket.as_fd(), &order, &[fd.as_fd()]).expect("sent");
    (socket, forward)
}

/// From the request to a loaded module takes some milliseconds: these points lie before, in and
/// after every step of it.
fn points() -> impl Iterator<Item = Duration> {
    (0..40).map(|step| Duration::from_micros(400 * step))
}

#[test]
fn a_daemon_killed_at_any_point_of_loading_leaves_no_worker() {
    for (index, point) in points().enumerate() {
        let mut victim = Victim::start();
        let module = ["plain", "hang", "streams"][index % 3];
        let _request = ask(victim.dir.path(), module);
        thread::sleep(point);
        victim.kill();
        until("its workers are gone", || victim.is_gone());
    }
}

#[test]
fn a_daemon_killed_while_a_module_hangs_or_runs_leaves_no_worker() {
    let mut victim = Victim::start();
    let _request = ask(victim.dir.path(), "hang");
    let session = Session::open(&open(victim.dir.path(), "plain")).expect("a session");
    until("both are there", || victim.workers().len() == 2);
    assert!(!victim.is_gone());
    victim.kill();
    until("its workers are gone", || victim.is_gone());
    drop(session);
}

#[test]
fn a_client_that_goes_at_any_point_of_loading_leaves_no_process() {
    let victim = Victim::start();
    for (index, point) in points().enumerate() {
        let module = ["plain", "hang", "streams"][index % 3];
        let request = ask(victim.dir.path(), module);
        thread::sleep(point);
        drop(request);
    }
    until("its children are gone", || victim.children().is_empty());
    assert_eq!(victim.workers(), [0; 0]);
    // And it serves as before.
    drop(Session::open(&open(victim.dir.path(), "plain")).expect("a session"));
}
