//! Attacks and needs, written out by hand: what must hold whatever the profiles' text says.

use super::jails;
use crate::{Arch, Errno, Outcome, Phase};

use Outcome::{Allowed as Allow, AllowedByDaemon as Load, Killed as Kill};
const DENIED: Outcome = Outcome::Refused(Errno::Eacces);
const ABSENT: Outcome = Outcome::Refused(Errno::Enosys);
const DENIED_LATE: Outcome = Outcome::RefusedByDaemon(Errno::Eacces);
const ABSENT_LATE: Outcome = Outcome::RefusedByDaemon(Errno::Enosys);

type Row = (&'static str, [u64; 6], Outcome, Outcome);

fn hold(profiles: &[&str], table: &[Row]) {
    for jail in jails().filter(|jail| profiles.contains(&jail.profile.name())) {
        for (name, args, loading, running) in table {
            let nr = jail.arch.number(name).unwrap();
            let both = Phase::ALL.map(|phase| jail.outcome(phase, nr, args));
            assert_eq!(
                both,
                [*loading, *running],
                "{} {name} {args:#x?}",
                jail.arch
            );
        }
    }
}

const CONTROL: u64 = crate::FD_CONTROL as u64;
const STDERR: u64 = crate::FD_STDERR as u64;
const NO_FD: u64 = u64::MAX;
const AT_FDCWD: u64 = u64::MAX - 99;

#[test]
fn descriptors_are_its_own() {
    hold(
        &["single", "threaded", "predictive"],
        &[
            ("read", [CONTROL, 0, 1, 0, 0, 0], Allow, Allow),
            ("read", [5, 0, 1, 0, 0, 0], Load, Kill),
            ("pread64", [5, 0, 1, 0, 0, 0], Load, Kill),
            ("write", [CONTROL, 0, 1, 0, 0, 0], Allow, Allow),
            ("write", [STDERR, 0, 1, 0, 0, 0], Allow, Allow),
            ("write", [0, 0, 1, 0, 0, 0], Kill, Kill),
            ("write", [4, 0, 8, 0, 0, 0], Allow, Allow),
            ("write", [5, 0, 1, 0, 0, 0], Kill, Kill),
            ("read", [4, 0, 8, 0, 0, 0], Load, Kill),
            ("sendmsg", [4, 0, 0, 0, 0, 0], Kill, Kill),
            ("recvmsg", [CONTROL, 0, 0, 0, 0, 0], Allow, Allow),
            ("dup3", [3, 4, 0, 0, 0, 0], Kill, Kill),
            // F_GETFD; F_DUPFD, F_SETFL, F_SETOWN, F_ADD_SEALS
            ("fcntl", [3, 1, 0, 0, 0, 0], DENIED, DENIED),
            ("fcntl", [3, 0, 0, 0, 0, 0], Kill, Kill),
            ("fcntl", [3, 4, 0, 0, 0, 0], Kill, Kill),
            ("fcntl", [3, 8, 0, 0, 0, 0], Kill, Kill),
            ("fcntl", [3, 1033, 0, 0, 0, 0], Kill, Kill),
            ("ioctl", [1, 0x5401, 0, 0, 0, 0], DENIED, DENIED),
        ],
    );
}

#[test]
fn memory_is_private_and_never_written_code() {
    hold(
        &["single", "threaded", "predictive"],
        &[
            // private anonymous, read and write
            ("mmap", [0, 4096, 3, 0x22, NO_FD, 0], Allow, Allow),
            ("mmap", [0, 4096, 3, 0x4022, NO_FD, 0], Allow, Allow),
            // a file, for reading; no segment can be: their descriptors are closed before
            ("mmap", [0, 4096, 1, 0x1, 5, 0], Load, Kill),
            ("mmap", [0, 4096, 0, 0x1, 5, 0], Kill, Kill),
            ("mmap", [0, 4096, 3, 0x1, 5, 0], Kill, Kill),
            ("mmap", [0, 4096, 1, 0x21, NO_FD, 0], Kill, Kill),
            // a library's code
            ("mmap", [0, 4096, 5, 0x802, 4, 0], Load, Kill),
            // writable and executable; anonymous and executable; shared and executable
            ("mmap", [0, 4096, 7, 0x22, NO_FD, 0], Kill, Kill),
            ("mmap", [0, 4096, 7, 0x2, 4, 0], Kill, Kill),
            ("mmap", [0, 4096, 6, 0x2, 4, 0], Kill, Kill),
            ("mmap", [0, 4096, 5, 0x22, NO_FD, 0], Kill, Kill),
            ("mmap", [0, 4096, 5, 0x1, 4, 0], Kill, Kill),
            // past the memory budget: shared anonymous, growing down
            ("mmap", [0, 1 << 30, 3, 0x21, NO_FD, 0], Kill, Kill),
            ("mmap", [0, 1 << 30, 3, 0x122, NO_FD, 0], Kill, Kill),
            // upper halves do not hide anything
            ("mmap", [0, 4096, 1 << 32, 0x22, NO_FD, 0], Kill, Kill),
            ("mprotect", [0, 4096, 1, 0, 0, 0], Allow, Allow),
            ("mprotect", [0, 4096, 4, 0, 0, 0], Kill, Kill),
            ("mprotect", [0, 4096, 5, 0, 0, 0], Kill, Kill),
            ("mprotect", [0, 4096, 7, 0, 0, 0], Kill, Kill),
            ("mprotect", [0, 4096, 0x17, 0, 0, 0], Kill, Kill),
            ("pkey_mprotect", [0, 4096, 1, 0, 0, 0], Kill, Kill),
            ("mremap", [0, 1, 2, 1, 0, 0], Allow, Allow),
            ("mremap", [0, 1, 2, 3, 0, 0], Kill, Kill),
            ("madvise", [0, 1, 4, 0, 0, 0], Allow, Allow),
            // MADV_REMOVE punches holes
            ("madvise", [0, 1, 9, 0, 0, 0], Kill, Kill),
            ("personality", [0x40_0000, 0, 0, 0, 0, 0], Kill, Kill),
            ("shmat", [0, 0, 0o100_000, 0, 0, 0], Kill, Kill),
            ("memfd_create", [0; 6], Kill, Kill),
            ("mlockall", [3, 0, 0, 0, 0, 0], Kill, Kill),
        ],
    );
}

#[test]
fn only_aarch64_loads_code_with_branch_targets() {
    for jail in jails() {
        let bti = |name, args| {
            let nr = jail.arch.number(name).unwrap();
            Phase::ALL.map(|phase| jail.outcome(phase, nr, &args))
        };
        let loading = match jail.arch {
            Arch::Aarch64 => Load,
            _ => Kill,
        };
        let map = bti("mmap", [0, 4096, 0x15, 0x12, 4, 0]);
        let protect = bti("mprotect", [0, 4096, 0x15, 0, 0, 0]);
        assert_eq!(map, [loading, Kill], "{}", jail.arch);
        // It would be the one way from written memory to code, where the kernel has no MDWE.
        assert_eq!(protect, [Kill, Kill], "{}", jail.arch);
    }
}

#[test]
fn files_are_read_while_loading_and_never_found_afterwards() {
    hold(
        &["single", "threaded", "predictive"],
        &[
            // O_RDONLY|O_CLOEXEC; O_RDWR; O_CREAT|O_WRONLY; O_PATH; O_TMPFILE
            (
                "openat",
                [AT_FDCWD, 0, 0o2_000_000, 0, 0, 0],
                Load,
                DENIED_LATE,
            ),
            ("openat", [AT_FDCWD, 0, 2, 0, 0, 0], Kill, DENIED_LATE),
            ("openat", [AT_FDCWD, 0, 0o101, 0, 0, 0], Kill, DENIED_LATE),
            (
                "openat",
                [AT_FDCWD, 0, 0o10_000_000, 0, 0, 0],
                Kill,
                DENIED_LATE,
            ),
            (
                "openat",
                [AT_FDCWD, 0, 0o20_000_000, 0, 0, 0],
                Kill,
                DENIED_LATE,
            ),
            ("openat2", [0; 6], Kill, Kill),
            ("newfstatat", [AT_FDCWD, 0, 0, 0, 0, 0], Load, DENIED_LATE),
            ("statx", [AT_FDCWD, 0, 0, 0, 0, 0], Load, ABSENT_LATE),
            ("readlinkat", [AT_FDCWD, 0, 0, 0, 0, 0], Load, DENIED_LATE),
            ("faccessat2", [AT_FDCWD, 0, 0, 0, 0, 0], DENIED, DENIED),
            ("fstat", [4, 0, 0, 0, 0, 0], Allow, Allow),
            ("mkdirat", [0; 6], Kill, Kill),
            ("unlinkat", [0; 6], Kill, Kill),
            ("mount", [0; 6], Kill, Kill),
            ("chroot", [0; 6], Kill, Kill),
        ],
    );
}

#[test]
fn nothing_reaches_others() {
    hold(
        &["single", "threaded", "predictive"],
        &[
            ("execve", [0; 6], Kill, Kill),
            ("execveat", [0; 6], Kill, Kill),
            ("socket", [1, 1, 0, 0, 0, 0], Kill, Kill),
            ("connect", [CONTROL, 0, 0, 0, 0, 0], Kill, Kill),
            ("sendto", [CONTROL, 0, 0, 0, 0, 0], Kill, Kill),
            ("kill", [1, 9, 0, 0, 0, 0], Kill, Kill),
            ("tgkill", [1, 1, 9, 0, 0, 0], DENIED, DENIED),
            ("ptrace", [0; 6], Kill, Kill),
            ("process_vm_readv", [0; 6], Kill, Kill),
            ("prlimit64", [0, 3, 0, 0x1000, 0, 0], Load, DENIED_LATE),
            ("prlimit64", [1, 3, 0, 0x1000, 0, 0], Kill, DENIED_LATE),
            ("prlimit64", [0, 3, 0x1000, 0, 0, 0], Kill, DENIED_LATE),
            ("clock_gettime", [7, 0, 0, 0, 0, 0], Allow, Allow),
            ("clock_gettime", [8, 0, 0, 0, 0, 0], Kill, Kill),
            // the processor clock of another process is a negative number
            (
                "clock_gettime",
                [(-14_i64) as u64, 0, 0, 0, 0, 0],
                Kill,
                Kill,
            ),
            ("io_uring_setup", [0; 6], Kill, Kill),
            ("bpf", [0; 6], Kill, Kill),
            ("userfaultfd", [0; 6], Kill, Kill),
            ("perf_event_open", [0; 6], Kill, Kill),
            ("add_key", [0; 6], Kill, Kill),
            ("unshare", [0; 6], Kill, Kill),
            ("setns", [0; 6], Kill, Kill),
        ],
    );
}

#[test]
fn asking_for_extensions_of_the_processor_is_harmless() {
    let riscv = jails().filter(|jail| jail.arch == Arch::Riscv64);
    for jail in riscv {
        let nr = jail.arch.number("riscv_hwprobe").unwrap();
        let both = Phase::ALL.map(|phase| jail.outcome(phase, nr, &[0; 6]));
        assert_eq!(both, [ABSENT, ABSENT]);
    }
}

const THREAD: u64 = 0x003d_0f00;

#[test]
fn one_thread_stays_one() {
    hold(
        &["single"],
        &[
            ("clone", [THREAD, 0, 0, 0, 0, 0], Kill, Kill),
            ("clone3", [0; 6], ABSENT, ABSENT),
            ("rt_sigaction", [11, 0, 0, 8, 0, 0], Kill, Kill),
            ("rt_sigaction", [33, 0, 0, 8, 0, 0], Kill, Kill),
            ("prctl", [15, 0, 0, 0, 0, 0], Kill, Kill),
            ("futex", [0, 0x189, 1, 0, 0, 0], Allow, Allow),
            // FUTEX_LOCK_PI, FUTEX_REQUEUE
            ("futex", [0, 6, 1, 0, 0, 0], Kill, Kill),
            ("futex", [0, 3, 1, 0, 0, 0], Kill, Kill),
        ],
    );
}

#[test]
fn threads_are_threads_and_nothing_else() {
    const SIGCHLD: u64 = 17;
    const CLONE_PARENT: u64 = 0x8000;
    const CLONE_NEWUSER: u64 = 0x1000_0000;
    hold(
        &["threaded"],
        &[
            ("clone", [THREAD, 0, 0, 0, 0, 0], Allow, Allow),
            ("clone", [SIGCHLD, 0, 0, 0, 0, 0], Kill, Kill),
            ("clone", [0x4111, 0, 0, 0, 0, 0], Kill, Kill),
            ("clone", [THREAD | CLONE_PARENT, 0, 0, 0, 0, 0], Kill, Kill),
            ("clone", [THREAD | CLONE_NEWUSER, 0, 0, 0, 0, 0], Kill, Kill),
            ("clone", [THREAD | 1 << 32, 0, 0, 0, 0, 0], Kill, Kill),
            ("clone3", [0; 6], ABSENT, ABSENT),
            ("rt_sigaction", [33, 0, 0, 8, 0, 0], Allow, Allow),
            // SIGSEGV and SIGSYS; SIGABRT is how abort() shows
            ("rt_sigaction", [11, 0, 0, 8, 0, 0], Kill, Kill),
            ("rt_sigaction", [31, 0, 0, 8, 0, 0], Kill, Kill),
            ("rt_sigaction", [6, 0, 0, 8, 0, 0], Kill, Kill),
            ("prctl", [15, 0, 0, 0, 0, 0], Allow, Allow),
            ("futex", [0, 0x85, 1, 0, 0, 0], Allow, Allow),
            ("futex", [0, 6, 1, 0, 0, 0], Kill, Kill),
        ],
    );
}

#[test]
fn a_worker_of_libcamera_talks_to_its_application_and_reaches_nobody_else() {
    const AGAIN_LATE: Outcome = Outcome::RefusedByDaemon(Errno::Eagain);
    hold(
        &["libcamera"],
        &[
            ("sendto", [CONTROL, 0, 1, 0, 0, 0], Allow, Allow),
            ("sendto", [CONTROL, 0, 1, 0, 0x1000, 16], Kill, Kill),
            ("sendto", [5, 0, 1, 0, 0, 0], Kill, Kill),
            ("recvfrom", [CONTROL, 0, 1, 0, 0, 0], Allow, Allow),
            ("sendmsg", [CONTROL, 0, 0, 0, 0, 0], Allow, Allow),
            ("sendmsg", [5, 0, 0, 0, 0, 0], Kill, Kill),
            ("write", [5, 0, 1, 0, 0, 0], Kill, Kill),
            ("execve", [0x1000, 0x1000, 0x1000, 0, 0, 0], Load, Kill),
            ("execveat", [0; 6], Kill, Kill),
            ("clone", [THREAD, 0, 0, 0, 0, 0], Allow, Allow),
            ("clone", [17, 0, 0, 0, 0, 0], AGAIN_LATE, AGAIN_LATE),
            ("clone3", [0; 6], ABSENT, ABSENT),
            ("socket", [1, 1, 0, 0, 0, 0], DENIED, DENIED),
            ("connect", [CONTROL, 0, 0, 0, 0, 0], Kill, Kill),
            ("kill", [1, 9, 0, 0, 0, 0], Kill, Kill),
            ("unshare", [0; 6], Kill, Kill),
            ("seccomp", [0; 6], Kill, Kill),
            ("ptrace", [0; 6], Kill, Kill),
            ("memfd_create", [0; 6], Kill, Kill),
            ("eventfd2", [0; 6], Load, Kill),
            ("rt_sigaction", [11, 0, 0, 8, 0, 0], Kill, Kill),
            ("rt_sigaction", [6, 0, 0, 8, 0, 0], Kill, Kill),
            // what the application shares, statistics and parameters
            ("mmap", [0, 4096, 1, 0x1, 5, 0], Allow, Allow),
            ("mmap", [0, 4096, 3, 0x1, 5, 0], Allow, Allow),
            ("mmap", [0, 4096, 5, 0x1, 5, 0], Kill, Kill),
            ("mmap", [0, 4096, 7, 0x2, 5, 0], Kill, Kill),
            ("mmap", [0, 4096, 5, 0x22, NO_FD, 0], Kill, Kill),
            ("mmap", [0, 1 << 30, 3, 0x21, NO_FD, 0], Kill, Kill),
            ("mprotect", [0, 4096, 5, 0, 0, 0], Kill, Kill),
            (
                "openat",
                [AT_FDCWD, 0, 0o2_000_000, 0, 0, 0],
                Load,
                DENIED_LATE,
            ),
            ("openat", [AT_FDCWD, 0, 2, 0, 0, 0], Kill, DENIED_LATE),
        ],
    );
}
