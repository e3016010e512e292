//! The keeper: a parent that is a process of its own.

use coldshoe_wall::outside::{Exit, SpawnRequest, Spawner};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::os::fd::OwnedFd;
use std::sync::mpsc;

use crate::Promise;

pub const PROMISES: &[Promise] = &[
    ("a_keeper_tells_how_its_workers_ended", tells),
    ("garbage_does_not_end_a_keeper", survives_garbage),
    (
        "signals_for_the_daemon_do_not_end_a_keeper",
        survives_signals,
    ),
    (
        "a_keeper_ends_all_workers_but_those_that_are_named",
        retains,
    ),
    ("a_process_of_another_parent_is_not_adopted", refuses_others),
    (
        "a_program_that_cannot_be_executed_is_told_by_its_name",
        tells_failure,
    ),
];

fn keeper() -> Spawner {
    let own = std::env::current_exe().expect("own path");
    Spawner::start_keeper(&own).expect("a keeper")
}

/// A worker that is some program, and the other end of its output, which nobody reads.
fn request(program: &str) -> (SpawnRequest, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    let (_, control) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a pair");
    let (output, stderr) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let request = SpawnRequest {
        program: program.into(),
        args: Vec::new(),
        control,
        bell: eventfd(0, EventfdFlags::CLOEXEC).expect("a bell"),
        stderr,
        stack: 8 << 20,
        core: 0,
        user: None,
    };
    (request, output)
}

/// Waits for ever once the pipe is full.
const WAITS: &str = "/usr/bin/yes";

fn tells() {
    let keeper = keeper();
    let (fails, _output) = request("/bin/false");
    let mut child = keeper.spawn_and_wait(fails).expect("started");
    assert_eq!(child.wait().expect("it ends"), Exit::Exited(1));
    assert!(child.peak_memory().is_some_and(|peak| peak > 64 << 10));
    let (waits, _output) = request(WAITS);
    let mut child = keeper.spawn_and_wait(waits).expect("started");
    assert_eq!(child.try_wait().expect("our worker"), None);
    child.kill().expect("our worker");
    let killed = Exit::Signaled {
        signal: 9,
        core: false,
    };
    assert_eq!(child.wait().expect("it ends"), killed);
    assert_eq!(child.wait().expect("told again"), killed);
}

fn survives_garbage() {
    let keeper = keeper();
    let socket = keeper.keeper().expect("its socket");
    for garbage in [&b""[..], b"\xff\xff\xff", &[0; 4096]] {
        send(socket, garbage, SendFlags::empty()).expect("sent");
    }
    let (fails, _output) = request("/bin/false");
    let mut child = keeper.spawn_and_wait(fails).expect("started");
    assert_eq!(child.wait().expect("it ends"), Exit::Exited(1));
}

fn survives_signals() {
    let keeper = keeper();
    let (waits, _output) = request(WAITS);
    let child = keeper.spawn_and_wait(waits).expect("started");
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.pid())).expect("it lives");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let parent = parent.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(parent.expect("a parent"), signal).expect("sent");
    }
    let (pong, came) = mpsc::channel();
    keeper.ping(move || pong.send(()).expect("waited for"));
    came.recv().expect("an answer");
}

fn retains() {
    let keeper = keeper();
    let (first, _output) = request(WAITS);
    let (second, _other) = request(WAITS);
    let mut kept = keeper.spawn_and_wait(first).expect("started");
    let mut ended = keeper.spawn_and_wait(second).expect("started");
    keeper.retain(&[kept.pid()]);
    assert!(matches!(
        ended.wait().expect("it ends"),
        Exit::Signaled { signal: 9, .. }
    ));
    assert_eq!(kept.try_wait().expect("our worker"), None);
}

fn refuses_others() {
    let keeper = keeper();
    let own = Pid::from_raw(std::process::id().cast_signed()).expect("a number");
    let pidfd = pidfd_open(own, PidfdFlags::empty()).expect("our own");
    let error = keeper.adopt(pidfd).expect_err("it is nobody's child here");
    assert!(
        error.to_string().contains("no child of the keeper"),
        "{error}"
    );
}

fn tells_failure() {
    let (missing, _output) = request("/nonexistent/program");
    let error = keeper().spawn_and_wait(missing).expect_err("there is none");
    assert!(
        error.to_string().contains("/nonexistent/program"),
        "{error}"
    );
}
