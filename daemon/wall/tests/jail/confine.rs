//! Promises about confinement. Every attempt is made twice: without the jail it succeeds.

use crate::probe::NOT_CONFINED;
use crate::worker::{End, Worker, confine_by, divide, run_confined, run_free, spawn_by};
use crate::{Promise, modules};
use coldshoe_jail::Phase;
use coldshoe_wall::Namespace;
use coldshoe_wall::outside::{Exit, Observed, Spawner, own_namespaces};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

pub const PROMISES: &[Promise] = &[
    ("the_kernel_confirms_the_confinement", confirmed),
    ("the_second_stage_has_namespaces_of_its_own", namespaces),
    ("a_c_module_loads_and_runs", || works("plain")),
    (
        "a_cpp_module_with_streams_and_exceptions_loads_and_runs",
        || works("streams"),
    ),
    ("a_rust_module_with_a_caught_panic_loads_and_runs", || {
        works("panic")
    }),
    ("a_module_loads_without_a_file_system_of_its_own", in_place),
    ("a_constructor_that_forges_a_filter_is_caught", || {
        // It begins with NO_NEW_PRIVS, which a filter of its own would need.
        caught_loading("forge", "prctl")
    }),
    ("a_constructor_that_starts_a_thread_is_caught", || {
        caught_loading("thread", "rt_sigaction")
    }),
    (
        "a_constructor_starts_a_thread_where_there_are_threads",
        || {
            let end = run_confined("threaded", &["load", &module("thread")]);
            assert_eq!(end.exit, Exit::Exited(0), "{end:?}");
        },
    ),
    ("what_the_host_mounts_later_does_not_appear", later_mounts),
    ("a_path_out_of_reach_is_passed_over", out_of_reach),
    ("files_outside_the_profile_cannot_be_opened", files),
    ("directories_cannot_be_listed", || {
        denied(&["list", "/usr/lib"], libc::EACCES)
    }),
    ("files_cannot_be_created", || {
        denied(&["create", "/dev/null"], libc::EACCES)
    }),
    ("a_memory_bomb_fails_to_allocate", || {
        denied(&["bomb"], libc::ENOMEM)
    }),
    ("writable_code_is_caught", || caught(&["code"], "mmap")),
    ("data_turned_into_code_is_caught", || {
        caught(&["write to code"], "mprotect")
    }),
    ("a_thread_is_caught", || caught(&["thread"], "rt_sigaction")),
    ("asking_about_the_output_is_refused_softly", || {
        denied(&["terminal"], libc::EACCES)
    }),
    ("calls_outside_the_profile_are_caught_by_name", calls),
    ("each_layer_holds_without_the_filters", layers),
    ("a_crash_inside_is_a_crash_outside", crash),
    ("an_exit_inside_keeps_its_code", exit),
    ("an_abort_inside_is_seen_as_what_it_is", abort),
    #[cfg(target_arch = "x86_64")]
    ("the_32_bit_calling_convention_is_killed", foreign_calls),
    (
        "confinement_is_refused_with_a_surplus_descriptor_by_name",
        surplus_fd,
    ),
    (
        "confinement_is_refused_with_a_missing_descriptor",
        missing_fd,
    ),
    (
        "confinement_is_refused_beside_a_second_thread",
        second_thread,
    ),
    ("confinement_is_refused_without_a_gate", no_gate),
    (
        "confinement_is_refused_when_the_kernel_refuses_a_filter",
        broken_filter,
    ),
];

fn module(name: &str) -> String {
    modules::path(name).to_string_lossy().into_owned()
}

fn confined(attempt: &[&str]) -> End {
    run_confined("single", attempt)
}

/// The same without the jail, which proves that the probe works and the machine allows it.
fn control(attempt: &[&str]) {
    let end = run_free(attempt);
    assert_eq!(
        end.exit,
        Exit::Exited(0),
        "control of {attempt:?}: {}",
        end.output
    );
}

fn killed(attempt: &[&str], end: &End) {
    let killed = Exit::Signaled {
        signal: libc::SIGKILL,
        core: false,
    };
    assert_eq!(end.exit, killed, "{attempt:?}: {end:?}");
}

fn caught(attempt: &[&str], call: &str) {
    control(attempt);
    let end = confined(attempt);
    killed(attempt, &end);
    let broken = end.broken.expect("the gate saw it");
    assert_eq!((broken.name.as_str(), broken.phase), (call, Phase::Run));
    assert!(broken.place.contains("+0x"), "{broken:?}");
}

fn caught_loading(name: &str, call: &str) {
    let attempt = ["load", &module(name)];
    control(&attempt);
    let end = confined(&attempt);
    killed(&attempt, &end);
    let broken = end.broken.expect("the gate saw it");
    assert_eq!((broken.name.as_str(), broken.phase), (call, Phase::Load));
}

fn denied(attempt: &[&str], errno: i32) {
    control(attempt);
    let end = confined(attempt);
    assert_eq!(end.exit, Exit::Exited(errno), "{attempt:?}: {}", end.output);
}

fn works(name: &str) {
    let module = module(name);
    control(&["load", &module]);
    for profile in ["single", "threaded"] {
        let end = run_confined(profile, &["load", &module]);
        assert_eq!(end.exit, Exit::Exited(0), "{profile}: {end:?}");
        assert!(end.output.contains(name), "its output arrives: {end:?}");
    }
}

fn in_place() {
    let end = run_confined("open here", &["load", &module("plain")]);
    assert_eq!(end.exit, Exit::Exited(0), "{end:?}");
}

fn confirmed() {
    let spawner = Spawner::start().unwrap();
    let worker = spawn_by(&spawner, &["free", "wait"]);
    worker.ready();
    let free = Observed::of(worker.child.pid());
    worker.go();
    assert_eq!(worker.end().exit, Exit::Exited(0));
    assert_eq!((free.no_new_privs, free.threads), (Some(false), Some(1)));
    let own = Observed::of(std::process::id() as i32);
    assert_eq!(free.seccomp_filters, own.seccomp_filters);

    let worker = confine_by(&spawner, "single", &["confined", "single", "wait"]).unwrap();
    worker.ready();
    let confined = Observed::of(worker.child.pid());
    worker.go();
    assert_eq!(worker.end().exit, Exit::Exited(0));
    assert_eq!(
        (confined.no_new_privs, confined.seccomp),
        (Some(true), Some(2))
    );
    let added = confined
        .seccomp_filters
        .zip(own.seccomp_filters)
        .map(|(c, o)| c - o);
    assert_eq!(added, Some(1), "the gate");
    assert_eq!(confined.capabilities, Some(0));
    let depth = |observed: &Observed| observed.pids.as_ref().map(Vec::len);
    assert_eq!(depth(&confined), depth(&own).map(|depth| depth + 1));
    let limits = confined.limits.expect("readable of everybody");
    for (limit, value) in crate::probe::confinement("single").limits {
        assert!(limits.contains(&(limit, value)), "{limit:?}");
    }
    // With DUMPABLE 0 only root can see these.
    if rustix::process::geteuid().is_root() {
        let fds = confined.fds.expect("root sees them");
        let numbers: Vec<_> = fds.iter().map(|(fd, _)| *fd).collect();
        assert_eq!(numbers, coldshoe_wall::FDS);
    } else {
        assert_eq!(confined.fds, None);
    }
    assert_eq!(
        Observed::of(i32::MAX),
        Observed::default(),
        "no such process"
    );
}

fn namespaces() {
    let spawner = Spawner::start().unwrap();
    let kinds =
        |worker: &crate::worker::Worker| own_namespaces(worker.child.pid(), &Namespace::ALL);
    let free = spawn_by(&spawner, &["free", "wait"]);
    free.ready();
    for (kind, own) in kinds(&free) {
        assert_eq!(own, Some(false), "{kind:?}");
    }
    let (worker, _maps) = divide(&spawner, &["confined", "single", "wait"]).unwrap();
    for (kind, own) in kinds(&worker) {
        assert_eq!(own, Some(true), "{kind:?}");
    }
}

/// What each layer refuses by itself: the filters are open, so nothing else can have done it.
fn layers() {
    let without = |profile: &str, attempt: &[&str]| run_confined(profile, attempt).exit;
    // A root of its own: what is not there cannot be opened.
    for path in ["/etc/passwd", "/proc/self/mem", "/dev/zero", "/sys"] {
        let exit = without("open", &["open", path]);
        assert_eq!(exit, Exit::Exited(libc::ENOENT), "{path}");
        // Landlock alone, in the old root.
        let exit = without("open here", &["open", path]);
        assert_eq!(exit, Exit::Exited(libc::EACCES), "{path}");
    }
    assert_eq!(
        without("open", &["list", "/usr/lib"]),
        Exit::Exited(libc::EACCES),
        "Landlock, in the new root"
    );
    assert_eq!(without("open", &["is first"]), Exit::Exited(0));
    assert_eq!(without("bare", &["is first"]), Exit::Exited(1));
    assert_eq!(without("open", &["has no network"]), Exit::Exited(0));
    assert_eq!(
        without("open", &["fork"]),
        Exit::Exited(libc::EAGAIN),
        "the limit of processes"
    );
    for attempt in ["code", "write to code"] {
        let exit = without("open", &[attempt]);
        assert_eq!(exit, Exit::Exited(libc::EACCES), "MDWE: {attempt}");
    }
    for attempt in ["hostname", "mount"] {
        let exit = without("open", &[attempt]);
        assert_eq!(exit, Exit::Exited(libc::EPERM), "capabilities: {attempt}");
    }
    // Of a daemon that is root the worker is another user, who may not anyway.
    assert_eq!(
        without("bare", &["signal daemon"]),
        Exit::Exited(libc::EPERM),
        "Landlock's scope"
    );
    assert_eq!(
        without("open", &["is dumpable"]),
        Exit::Exited(1),
        "DUMPABLE 0"
    );
    // And without any of them all of that succeeds.
    for attempt in [
        "fork",
        "code",
        "write to code",
        "signal daemon",
        "is dumpable",
    ] {
        control(&[attempt]);
    }
}

/// Only root can mount on the host's behalf; to everybody else the promise is empty.
fn later_mounts() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), everybody).unwrap();
    std::fs::create_dir(directory.path().join("late")).unwrap();
    let host = Command::new("/proc/self/exe")
        .args(["probe", "host"])
        .arg(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&host.stderr);
    assert!(host.status.success(), "{}: {said}", host.status);
}

/// A host of its own, whose mounts are shared as a distribution shares them: it mounts something in a
/// directory that its workers may read, while they run.
pub fn host(directory: &Path) -> i32 {
    use rustix::mount::{MountFlags, MountPropagationFlags as Propagation, mount, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: no flag of it divides the table of descriptors; this process has one thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    for propagation in [Propagation::PRIVATE, Propagation::SHARED] {
        mount_change("/", propagation | Propagation::REC).unwrap();
    }
    let late = directory.join("late");
    let file = late.join("file").to_string_lossy().into_owned();
    let spawner = Spawner::start().unwrap();
    let slave = spawn_by(&spawner, &["slave", &file]);
    let jail = format!("open with {}", directory.display());
    let confined = confine_by(&spawner, &jail, &["confined", &jail, "late", &file]).unwrap();
    let workers = [slave, confined];
    workers.iter().for_each(Worker::ready);
    mount("none", &late, "tmpfs", MountFlags::empty(), None).unwrap();
    std::fs::write(&file, "late").unwrap();
    workers.iter().for_each(Worker::go);
    let exits = workers.map(|worker| worker.end().exit);
    let expected = [Exit::Exited(0), Exit::Exited(libc::ENOENT)];
    assert_eq!(exits, expected, "in a slave, and in the jail");
    0
}

fn out_of_reach() {
    let closed = tempfile::tempdir().unwrap();
    for path in [closed.path().join("below"), "/etc/passwd/below".into()] {
        let jail = format!("open with {}", path.display());
        let end = run_confined(&jail, &["is first"]);
        assert_eq!(end.exit, Exit::Exited(0), "{end:?}");
    }
}

fn files() {
    for path in [
        "/etc/passwd",
        "/proc/self/mem",
        "/proc/self/environ",
        "/proc/self/maps",
        "/dev/zero",
        "/etc/ld.so.cache",
    ] {
        denied(&["open", path], libc::EACCES);
    }
}

fn calls() {
    for (attempt, call) in [
        ("socket", "socket"),
        ("netlink", "socket"),
        ("execve", "execve"),
        ("fork", "clone"),
        ("memfd", "memfd_create"),
        ("signal parent", "getppid"),
        ("traceme", "ptrace"),
        ("dup", "dup"),
        ("undump", "prctl"),
        ("landlock", "landlock_create_ruleset"),
        ("inotify", "inotify_init1"),
        ("personality", "personality"),
        ("shm", "shmget"),
        ("chdir", "chdir"),
        ("handler", "rt_sigaction"),
    ] {
        caught(&[attempt], call);
    }
}

#[cfg(target_arch = "x86_64")]
fn foreign_calls() {
    let attempt = ["int 0x80"];
    control(&attempt);
    let end = confined(&attempt);
    assert!(end.exit.is_violation(), "{end:?}");
}

fn crash() {
    let segv = Exit::Signaled {
        signal: libc::SIGSEGV,
        core: false,
    };
    let end = confined(&["crash"]);
    assert_eq!(end.exit, segv, "{end:?}");
    assert!(!end.exit.is_violation());
}

fn exit() {
    assert_eq!(confined(&["exit"]).exit, Exit::Exited(7));
}

fn abort() {
    let free = run_free(&["abort"]).exit;
    assert!(
        matches!(
            free,
            Exit::Signaled {
                signal: libc::SIGABRT,
                ..
            }
        ),
        "{free:?}"
    );
    for profile in ["single", "threaded"] {
        let broken = run_confined(profile, &["abort"]).broken;
        let broken = broken.expect("the gate saw it");
        assert_eq!(broken.name, "rt_sigaction", "{profile}");
    }
}

fn refused(how: &str, words: &[&str]) {
    let spawner = Spawner::start().unwrap();
    let end = confine_by(&spawner, "single", &["refused", how]).err();
    let end = end.expect("it was confined all the same");
    assert_eq!(end.exit, Exit::Exited(NOT_CONFINED), "{end:?}");
    for word in words {
        assert!(end.output.contains(word), "{word}: {}", end.output);
    }
}

fn surplus_fd() {
    refused("surplus fd", &["file descriptor 6", "/dev/zero"]);
}

fn missing_fd() {
    refused("missing fd", &["file descriptor 0 is not open"]);
}

fn second_thread() {
    refused("second thread", &["2 threads"]);
}

fn no_gate() {
    refused("no gate", &["a filter of 0 bytes"]);
}

fn broken_filter() {
    refused("broken filter", &["refused the filter", "Invalid argument"]);
}
