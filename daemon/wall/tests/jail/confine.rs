//! Promises about confinement. Every attempt is made twice: without the jail it succeeds.

use crate::probe::NOT_CONFINED;
use crate::worker::{End, run, spawn_by};
use crate::{Promise, modules};
use coldshoe_wall::outside::{Exit, Observed, Spawner};

pub const PROMISES: &[Promise] = &[
    ("the_kernel_confirms_the_confinement", confirmed),
    ("a_c_module_loads_and_runs", || works("plain")),
    (
        "a_cpp_module_with_streams_and_exceptions_loads_and_runs",
        || works("streams"),
    ),
    ("a_rust_module_with_a_caught_panic_loads_and_runs", || {
        works("panic")
    }),
    ("a_constructor_that_forges_a_filter_is_killed", || {
        killed(&["load", &module("forge")])
    }),
    ("a_constructor_that_starts_a_thread_is_killed", || {
        killed(&["load", &module("thread")])
    }),
    ("files_outside_the_profile_cannot_be_opened", files),
    ("directories_cannot_be_listed", || {
        denied(&["list", "/usr/lib"], libc::EACCES)
    }),
    ("libraries_can_still_be_read", libraries),
    ("creating_a_file_is_killed", || {
        killed(&["create", "/dev/null"])
    }),
    ("a_memory_bomb_fails_to_allocate", || {
        denied(&["bomb"], libc::ENOMEM)
    }),
    ("writable_code_is_killed", || killed(&["code"])),
    ("data_turned_into_code_is_killed", || {
        killed(&["write to code"])
    }),
    ("a_thread_is_killed", || killed(&["thread"])),
    ("asking_about_the_output_is_refused_softly", || {
        denied(&["terminal"], libc::EACCES)
    }),
    ("calls_outside_the_profile_are_killed", calls),
    ("a_crash_inside_is_a_crash_outside", crash),
    ("an_exit_inside_keeps_its_code", exit),
    ("an_abort_inside_is_the_filters", abort),
    #[cfg(target_arch = "x86_64")]
    ("the_32_bit_calling_convention_is_killed", || {
        killed(&["int 0x80"])
    }),
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
    (
        "confinement_is_refused_when_the_kernel_refuses_a_filter",
        broken_filter,
    ),
];

fn module(name: &str) -> String {
    modules::path(name).to_string_lossy().into_owned()
}

fn confined(attempt: &[&str]) -> End {
    run(&[&["confined"], attempt].concat())
}

/// The same without the jail, which proves that the probe works and the machine allows it.
fn control(attempt: &[&str]) {
    let end = run(&[&["free"], attempt].concat());
    assert_eq!(
        end.exit,
        Exit::Exited(0),
        "control of {attempt:?}: {}",
        end.output
    );
}

fn killed(attempt: &[&str]) {
    control(attempt);
    let end = confined(attempt);
    assert!(end.exit.is_violation(), "{attempt:?}: {end:?}");
    assert!(
        matches!(end.exit, Exit::Signaled { core: false, .. }),
        "{attempt:?}: {end:?}"
    );
}

fn denied(attempt: &[&str], errno: i32) {
    control(attempt);
    let end = confined(attempt);
    assert_eq!(end.exit, Exit::Exited(errno), "{attempt:?}: {}", end.output);
}

fn works(name: &str) {
    let module = module(name);
    control(&["load", &module]);
    let end = confined(&["load", &module]);
    assert_eq!(end.exit, Exit::Exited(0), "{end:?}");
    assert!(end.output.contains(name), "its output arrives: {end:?}");
}

fn confirmed() {
    let spawner = Spawner::start().unwrap();
    let look = |how: &str| {
        let worker = spawn_by(&spawner, &[how, "wait"]);
        worker.ready();
        let observed = Observed::of(worker.child.pid());
        rustix::io::write(&worker.control, &[1]).unwrap();
        assert_eq!(worker.end().exit, Exit::Exited(0));
        observed
    };
    let free = look("free");
    assert_eq!((free.no_new_privs, free.threads), (Some(false), Some(1)));
    let own = Observed::of(std::process::id() as i32);
    assert_eq!(free.seccomp_filters, own.seccomp_filters);

    let confined = look("confined");
    assert_eq!(
        (confined.no_new_privs, confined.seccomp),
        (Some(true), Some(2))
    );
    let added = confined
        .seccomp_filters
        .zip(own.seccomp_filters)
        .map(|(c, o)| c - o);
    assert_eq!(added, Some(3), "two for soft refusals, and the wall");
    let fds = confined.fds.expect("our own child's descriptors");
    assert_eq!(
        fds.iter().map(|(fd, _)| *fd).collect::<Vec<_>>(),
        coldshoe_wall::FDS
    );
    assert_eq!(
        Observed::of(i32::MAX),
        Observed::default(),
        "no such process"
    );
}

fn files() {
    for path in [
        "/etc/passwd",
        "/proc/self/mem",
        "/proc/self/environ",
        "/proc/self/maps",
        "/dev/zero",
    ] {
        denied(&["open", path], libc::EACCES);
    }
}

fn libraries() {
    let cache = "/etc/ld.so.cache";
    let end = confined(&["open", cache]);
    assert_eq!(end.exit, Exit::Exited(0), "{end:?}");
}

fn calls() {
    for call in [
        "socket",
        "netlink",
        "execve",
        "fork",
        "memfd",
        "signal parent",
        "traceme",
        "dup",
        "undump",
        "landlock",
        "inotify",
        "personality",
        "shm",
        "chdir",
        "handler",
    ] {
        killed(&[call]);
    }
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
    let free = run(&["free", "abort"]).exit;
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
    assert!(confined(&["abort"]).exit.is_violation());
}

fn refused(how: &str, words: &[&str]) {
    let end = run(&["refused", how]);
    assert_eq!(end.exit, Exit::Exited(NOT_CONFINED), "{end:?}");
    for word in words {
        assert!(end.output.contains(word), "{word}: {}", end.output);
    }
}

fn surplus_fd() {
    refused("surplus fd", &["file descriptor 4", "/dev/zero"]);
}

fn missing_fd() {
    refused("missing fd", &["file descriptor 0 is not open"]);
}

fn second_thread() {
    refused("second thread", &["2 threads"]);
}

fn broken_filter() {
    refused("broken filter", &["filter 0", "Invalid argument"]);
}
