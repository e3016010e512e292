//! What a broken or hostile worker does to an application: without coldshoe it breaks, with coldshoe it
//! films on.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use coldshoe_tests::{Daemon, Place, built, children, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::application::{Application, with_socket};
use crate::naive::{Broken, Host};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/modules/libcamera_worker.c");
const FRAMES: u32 = 8;

/// What the worker does, and what becomes of an application without coldshoe.
const ROWS: [(&str, Broken); 18] = [
    ("crash", Broken::Stuck),
    ("hang", Broken::Stuck),
    ("exit", Broken::Stuck),
    // Its end of the socket, and does not end itself.
    ("closed", Broken::Stuck),
    ("late", Broken::AnswerAsEvent),
    ("cookie", Broken::WrongAnswer),
    ("descriptors", Broken::Closes),
    ("short", Broken::Padded),
    ("headers", Broken::Padded),
    ("huge", Broken::Allocates),
    ("v4l2", Broken::Aborts),
    ("identifier", Broken::Throws),
    ("type", Broken::ReadsOutside),
    ("flood", Broken::Flooded),
    ("maps", Broken::Grows),
    ("sizes", Broken::ReadsOutside),
    ("frame", Broken::Aborts),
    // It does nothing of the kind.
    ("none", Broken::Stuck),
];

/// A worker that is none of libcamera's, and an algorithm that it does not read.
struct Hostile {
    dir: PathBuf,
}

impl Hostile {
    fn new(place: &Place) -> Self {
        let dir = place.modules();
        let compile = |arguments: &[&str], out: &str| {
            let mut command = Command::new("cc");
            command
                .current_dir(&dir)
                .args(["-O1", "-o", out])
                .args(arguments);
            assert!(command.status().unwrap().success(), "{command:?}");
        };
        compile(&[SOURCE], "soft_ipa_proxy");
        std::fs::copy(place.module_file("good"), dir.join("ipa_hostile.so")).unwrap();
        Self { dir }
    }

    fn module(&self) -> PathBuf {
        self.dir.join("ipa_hostile.so")
    }

    /// As libcamera starts its own.
    fn plain(&self) -> (OwnedFd, Child) {
        let mut command = Command::new(self.dir.join("soft_ipa_proxy"));
        command.arg(self.module()).stdin(Stdio::null());
        with_socket(command)
    }
}

fn daemon() -> (Daemon, Hostile, PathBuf) {
    let place = Place::new();
    let hostile = Hostile::new(&place);
    let mut command = place.coldshoed();
    for option in ["--libcamera-module-dir", "--libcamera-worker-dir"] {
        command.arg(option).arg(&hostile.dir);
    }
    command.args(["--libcamera-series", "0.7"]);
    let runtime = place.runtime_dir();
    (Daemon::start_with(place, command), hostile, runtime)
}

fn plain(hostile: &Hostile, row: &str) -> Result<(), Broken> {
    let (socket, mut worker) = hostile.plain();
    let result = Host::new(socket).film(row, FRAMES, row == "late");
    worker.kill().unwrap();
    worker.wait().unwrap();
    result
}

fn jailed(runtime: &Path, hostile: &Hostile, row: &str) -> (Result<(), Broken>, bool, String) {
    let application = Application::start(runtime, "soft", &hostile.module());
    let mut host = Host::new(application.socket.try_clone().unwrap());
    let result = host.film(row, FRAMES, false);
    host.exit();
    let (well, said) = application.ends();
    (result, well, said)
}

#[test]
fn every_row_breaks_an_application_and_none_does_behind_coldshoe() {
    let (daemon, hostile, runtime) = daemon();
    let mut held = 0;
    for (row, broken) in ROWS {
        let without = plain(&hostile, row);
        let expected = if row == "none" { Ok(()) } else { Err(broken) };
        assert_eq!(without, expected, "{row}, without coldshoe");
        let (with, well, said) = jailed(&runtime, &hostile, row);
        assert_eq!(
            with,
            Ok(()),
            "{row}, with coldshoe: {said}\n{}",
            daemon.log().all("").join("\n")
        );
        assert!(well, "{row}: {said}");
        held += 1;
    }
    println!("{held} of {} rows held", ROWS.len());
}

#[test]
fn a_worker_that_fails_again_and_again_is_given_up_and_its_algorithm_quarantined() {
    let (daemon, hostile, runtime) = daemon();
    let (result, well, said) = jailed(&runtime, &hostile, "always");
    assert_eq!((result, well), (Err(Broken::Stuck), false));
    for part in ["crashed", "why: ", "try: "] {
        assert!(said.contains(part), "{said}");
    }
    // The first worker, and as many more as faults are put up with.
    assert_eq!(daemon.log().all("crashed (SIGSEGV)").len(), 6);
}

#[test]
fn what_clients_alone_know_of_a_worker_keeps_its_algorithm_from_nobody_else() {
    let (_daemon, hostile, runtime) = daemon();
    // As many sessions as a quarantine of the machine takes.
    std::thread::scope(|scope| {
        let give_up = || jailed(&runtime, &hostile, "leaves").0;
        let sessions = [(); 3].map(|()| scope.spawn(give_up));
        for session in sessions {
            assert_eq!(session.join().unwrap(), Err(Broken::Stuck));
        }
    });
    let (result, well, said) = jailed(&runtime, &hostile, "none");
    assert_eq!((result, well), (Ok(()), true), "{said}");
}

/// Set in a process that is an application, to what it starts.
const BE: &str = "COLDSHOE_TEST_APPLICATION";

/// Not a test: what the next one starts, and kills.
#[test]
fn application() {
    let Ok(program) = std::env::var(BE) else {
        return;
    };
    let mut command = Command::new(program);
    command.arg(std::env::var("MODULE").unwrap());
    let (socket, child) = with_socket(command);
    Host::new(socket).film("none", 1, false).unwrap();
    println!("\nworker {}", child.id());
    // Until it is killed.
    loop {
        std::thread::park();
    }
}

/// An application that has filmed, and the process that it has started.
fn applied(program: &Path, module: &Path, environment: &[(&str, &Path)]) -> (Child, u32) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "hostile::application", "--nocapture"])
        .env(BE, program)
        .env("MODULE", module)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped());
    let mut application = command.spawn().unwrap();
    let mut lines = BufReader::new(application.stdout.take().unwrap()).lines();
    let started = lines.find_map(|line| Some(line.ok()?.strip_prefix("worker ")?.to_owned()));
    (application, started.unwrap().parse().unwrap())
}

#[test]
fn a_worker_does_not_outlive_its_application() {
    let (daemon, hostile, runtime) = daemon();
    let own = hostile.dir.join("soft_ipa_proxy");
    let (mut application, worker) = applied(&own, &hostile.module(), &[]);
    application.kill().unwrap();
    application.wait().unwrap();
    // Without coldshoe it has another parent by now, and sleeps for ever.
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(
        !status.contains(&format!("PPid:\t{}", application.id())),
        "{status}"
    );
    let pid = Pid::from_raw(worker.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();

    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&runtime, place.path().join("coldshoe")).unwrap();
    let shim = place.path().join("soft_ipa_proxy");
    std::os::unix::fs::symlink(built("coldshoe-libcamera"), &shim).unwrap();
    let environment = [("XDG_RUNTIME_DIR", place.path())];
    let (mut application, _) = applied(&shim, &hostile.module(), &environment);
    assert_eq!(children(daemon.pid()).len(), 1);
    application.kill().unwrap();
    application.wait().unwrap();
    let gone = || children(daemon.pid()).is_empty();
    until("the worker's end", gone, || daemon.turn());
}
