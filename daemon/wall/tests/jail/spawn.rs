//! Promises about spawning.

use crate::Promise;
use crate::worker::{CORE, STACK, confine_by, divide, gate_by, request, run_free, spawn_by};
use coldshoe_jail::{Feature, Grade};
use coldshoe_wall::outside::{Exit, Features, Observed, SpawnError, Spawner, User, landlock_abi};
use rustix::event::{PollFd, PollFlags, poll};
use std::sync::mpsc;

pub const PROMISES: &[Promise] = &[
    ("a_worker_starts_with_nothing_but_its_manifest", manifest),
    (
        "a_leaked_descriptor_of_the_daemon_does_not_reach_a_worker",
        leaked_descriptor,
    ),
    ("a_worker_dies_with_the_spawner", dies_with_the_spawner),
    (
        "a_confined_worker_dies_with_the_spawner_whatever_it_does",
        confined_dies_with_the_spawner,
    ),
    ("a_dropped_child_is_killed_and_reaped", dropped_child),
    (
        "dropping_a_child_that_does_not_die_does_not_wait_for_it",
        dropped_child_held_up,
    ),
    ("a_child_that_nobody_takes_is_killed", reply_ignored),
    ("the_end_of_a_worker_is_told_apart", ends),
    (
        "an_ended_worker_can_be_killed_and_waited_for_again",
        after_the_end,
    ),
    (
        "a_program_that_cannot_run_is_an_error_with_its_name_and_reason",
        no_program,
    ),
    ("an_argument_with_a_nul_byte_is_refused", nul_argument),
    ("many_workers_start_and_end", many),
    (
        "a_program_that_only_the_daemon_can_reach_runs_as_another_user",
        out_of_reach,
    ),
    ("the_kernel_tells_its_landlock_abi", abi),
    ("what_the_kernel_can_do_is_found_out_by_trying", features),
];

fn lines(output: &str, key: &str) -> Vec<String> {
    let of_key = output.lines().filter_map(|line| line.strip_prefix(key));
    of_key.map(|rest| rest.trim().to_owned()).collect()
}

fn manifest() {
    let spawner = Spawner::start().unwrap();
    let worker = spawn_by(&spawner, &["describe"]);
    worker.ready();
    let observed = Observed::of(worker.child.pid());
    worker.go();
    let end = worker.end();
    assert_eq!(end.exit, Exit::Exited(0), "{}", end.output);

    let fds = observed.fds.expect("our own child's descriptors");
    let targets: Vec<String> = fds
        .iter()
        .map(|(fd, target)| {
            let kind = target.to_string_lossy();
            format!("{fd} {}", kind.split(':').next().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        targets,
        [
            "0 /dev/null",
            "1 pipe",
            "2 pipe",
            "3 socket",
            "4 anon_inode"
        ]
    );
    assert_eq!(fds[1].1, fds[2].1);

    let told = |key| lines(&end.output, key);
    assert!(told("env").is_empty(), "{}", end.output);
    assert_eq!(told("leads its session"), ["true"]);
    assert_eq!(told("parent"), [std::process::id().to_string()]);
    assert_eq!(told("stack"), [format!("Some({STACK}) Some({STACK})")]);
    assert_eq!(told("core"), [format!("Some({CORE}) Some({CORE})")]);
    assert_eq!(told("directory"), ["Ok(\"/\")"]);
    assert_eq!(told("dies with its parent by"), ["9"]);
    assert_eq!(told("SigBlk:"), ["0000000000000000"]);
    // SIGPIPE is ignored by the runtime of this very program; the test daemon ignores more.
    assert_eq!(told("SigIgn:"), ["0000000000001000"]);
}

fn leaked_descriptor() {
    let file = std::fs::File::open("/dev/zero").unwrap();
    let leaked: Vec<_> = (0..40)
        .map(|_| {
            // SAFETY: dup makes a descriptor without close-on-exec, which OwnedFd then owns.
            unsafe {
                use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
                OwnedFd::from_raw_fd(libc::dup(file.as_raw_fd()))
            }
        })
        .collect();
    // SAFETY: an ignored signal has no handler to be unsafe; nothing here sends SIGUSR1.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_IGN) };
    manifest();
    drop(leaked);
}

const KILLED: Exit = Exit::Signaled {
    signal: libc::SIGKILL,
    core: false,
};

fn dies_with_the_spawner() {
    let spawner = Spawner::start().unwrap();
    let worker = spawn_by(&spawner, &["wait"]);
    worker.ready();
    drop(spawner);
    assert_eq!(worker.end().exit, KILLED);
}

/// The second stage: on its way, waiting for an answer of its gate, running, and waiting for us.
fn confined_dies_with_the_spawner() {
    let started = || Spawner::start().unwrap();
    let args = |attempt| ["confined", "single", attempt];
    let spawner = started();
    let (worker, _maps) = divide(&spawner, &args("wait")).unwrap();
    drop(spawner);
    assert_eq!(worker.end().exit, KILLED);

    let spawner = started();
    let plain = crate::modules::path("plain").to_string_lossy().into_owned();
    let asks = [&args("load")[..], &[&plain]].concat();
    let (worker, gate) = gate_by(&spawner, &asks);
    let mut asked = [PollFd::new(&gate, PollFlags::IN)];
    poll(&mut asked, None).unwrap();
    assert_eq!(asked[0].revents(), PollFlags::IN, "it waits for an answer");
    drop(spawner);
    assert_eq!(worker.end().exit, KILLED);
    drop(gate);

    for attempt in ["spin", "wait"] {
        let spawner = started();
        let worker = confine_by(&spawner, "single", &args(attempt)).unwrap();
        worker.ready();
        drop(spawner);
        assert_eq!(worker.end().exit, KILLED, "{attempt}");
    }
}

fn dropped_child() {
    let spawner = Spawner::start().unwrap();
    let worker = spawn_by(&spawner, &["wait"]);
    worker.ready();
    let pidfd = worker.child.pidfd().unwrap();
    drop(worker.child);
    assert_gone(&pidfd);
}

/// Neither alive nor a zombie, as soon as it can be.
fn assert_gone(pidfd: impl std::os::fd::AsFd) {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::time::{Duration, Instant};
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        // It is left for the reaper to take.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
            Err(errno) => return assert_eq!(errno, rustix::io::Errno::CHILD),
            Ok(_) => assert!(Instant::now() < deadline, "nobody reaps it"),
        }
        std::thread::yield_now();
    }
}

/// A child that another process traces cannot be reaped while that one does not look: to its
/// parent it is as one that the kernel holds up.
fn dropped_child_held_up() {
    let spawner = Spawner::start().unwrap();
    let worker = spawn_by(&spawner, &["wait"]);
    worker.ready();
    let pidfd = worker.child.pidfd().unwrap();
    let Some(tracer) = traced(worker.child.pid()) else {
        eprintln!("SKIPPED: no process may be traced here");
        return;
    };
    let (told, done) = mpsc::channel();
    let child = worker.child;
    std::thread::spawn(move || {
        drop(child);
        told.send(())
    });
    let dropped = done.recv_timeout(std::time::Duration::from_secs(30));
    // SAFETY: a child of ours that nobody else waits for.
    unsafe {
        libc::kill(tracer, libc::SIGKILL);
        libc::waitpid(tracer, std::ptr::null_mut(), 0);
    }
    dropped.expect("dropping it waits");
    assert_gone(&pidfd);
}

/// Starts a process that traces `pid` and does not look at it.
fn traced(pid: i32) -> Option<libc::pid_t> {
    let (report, told) = std::io::pipe().unwrap();
    // SAFETY: the copy makes plain system calls on numbers until it is killed.
    let tracer = unsafe {
        use std::os::fd::AsRawFd;
        match libc::fork() {
            0 => {
                let none = std::ptr::null_mut::<libc::c_void>();
                let seized = libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) == 0;
                libc::write(told.as_raw_fd(), [u8::from(seized)].as_ptr().cast(), 1);
                loop {
                    libc::pause();
                }
            }
            tracer => tracer,
        }
    };
    drop(told);
    let mut seized = [0];
    std::io::Read::read_exact(&mut { report }, &mut seized).unwrap();
    if seized == [1] {
        return Some(tracer);
    }
    // SAFETY: a child of ours that nobody else waits for.
    unsafe {
        libc::kill(tracer, libc::SIGKILL);
        libc::waitpid(tracer, std::ptr::null_mut(), 0);
    }
    None
}

fn reply_ignored() {
    let spawner = Spawner::start().unwrap();
    let (request, _control, _output) = request(&["wait"]);
    let (told, pidfd) = mpsc::channel();
    spawner.spawn(request, move |child| {
        told.send(child.as_ref().unwrap().pidfd()).unwrap();
        drop(child);
        told.send(Err(std::io::ErrorKind::Other.into())).unwrap();
    });
    let pidfd = pidfd.iter().take(2).next().unwrap().unwrap();
    // The spawner works in order: once it has served another request, the first is done with.
    let (next, _, _output) = self::request(&["wait"]);
    drop(spawner.spawn_and_wait(next).unwrap());
    assert_gone(&pidfd);
}

fn ends() {
    assert_eq!(
        run_free(&["open", "/nowhere"]).exit,
        Exit::Exited(libc::ENOENT)
    );
    let spawner = Spawner::start().unwrap();
    let worker = spawn_by(&spawner, &["wait"]);
    worker.ready();
    worker.child.kill().unwrap();
    let exit = worker.end().exit;
    assert_eq!(exit.to_string(), "was killed (SIGKILL)");
    assert!(!exit.is_violation());
}

fn after_the_end() {
    let spawner = Spawner::start().unwrap();
    let mut worker = spawn_by(&spawner, &["wait"]);
    worker.ready();
    assert_eq!(worker.child.try_wait().unwrap(), None);
    worker.go();
    let exit = worker.child.wait().unwrap();
    assert_eq!(exit, Exit::Exited(0));
    worker.child.kill().unwrap();
    assert_eq!(worker.child.wait().unwrap(), exit);
    assert_eq!(worker.child.try_wait().unwrap(), Some(exit));
}

fn no_program() {
    let spawner = Spawner::start().unwrap();
    for (program, reason) in [
        ("/nowhere/worker", libc::ENOENT),
        ("/etc/passwd", libc::EACCES),
    ] {
        let (mut request, _control, _output) = request(&[]);
        request.program = program.into();
        let error = spawner.spawn_and_wait(request).unwrap_err();
        let reason = std::io::Error::from_raw_os_error(reason);
        assert_eq!(
            error.to_string(),
            format!("worker {program}: cannot execute it: {reason}")
        );
    }
}

/// Only root can be another user; to everybody else the promise is empty.
fn out_of_reach() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    let program = closed.path().join("worker");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let spawner = Spawner::start().unwrap();
    let (mut request, control, _output) = request(&["wait"]);
    request.program = program;
    request.user = Some(User::NOBODY);
    let child = spawner.spawn_and_wait(request).unwrap();
    assert_eq!(rustix::io::read(&control, &mut [0]), Ok(1), "it is ready");
    let observed = Observed::of(child.pid());
    assert_eq!(observed.uid, Some(User::NOBODY.uid));
    assert_eq!(observed.capabilities, Some(0));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    assert_eq!(lines(&status, "Groups:"), [""]);
    assert_eq!(lines(&status, "Gid:"), ["65534\t65534\t65534\t65534"]);
}

fn nul_argument() {
    let spawner = Spawner::start().unwrap();
    let (request, _control, _output) = request(&["a\0b"]);
    let error = spawner.spawn_and_wait(request).unwrap_err();
    assert!(matches!(error, SpawnError::Request { .. }), "{error}");
}

fn many() {
    let spawner = Spawner::start().unwrap();
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let workers: Vec<_> = (0..16).map(|_| spawn_by(&spawner, &["wait"])).collect();
    for worker in &workers {
        worker.ready();
        worker.go();
    }
    for worker in workers {
        assert_eq!(worker.end().exit, Exit::Exited(0));
    }
    let after = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert_eq!(before, after, "no descriptor is left in the daemon");
}

fn abi() {
    assert!(
        landlock_abi().is_some(),
        "these tests need a kernel with Landlock"
    );
}

fn features() {
    let found = Features::probe();
    assert_eq!(Some(found.landlock_abi()), landlock_abi());
    let needed = Feature::ALL
        .into_iter()
        .filter(|feature| feature.grade() != Grade::Reported);
    for feature in needed {
        let support = found.support(feature.name());
        assert_eq!(support, Some(Ok(())), "{feature}; these tests need it");
    }
    assert_eq!(found.namespaces().len(), 6);
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    Features::probe();
    let after = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert_eq!(before, after, "no descriptor is left");
}
