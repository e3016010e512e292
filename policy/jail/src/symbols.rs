//! Functions of the C library that a running module cannot use.

use crate::Arch;
use crate::explain::Outcome;
use crate::gate::Phase;
use crate::profile::Profile;
use serde::Serialize;

/// A function whose use in RUN is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedSymbol {
    /// Name of the function, as a module imports it, without a version.
    pub symbol: &'static str,
    /// The system call that it makes first and that is refused.
    pub syscall: &'static str,
    /// What becomes of the call: an error that the module sees, or its end.
    pub outcome: Outcome,
    /// What the function does that a module may not.
    pub why: &'static str,
}

/// Functions that come to the same call.
struct Family {
    symbols: &'static [&'static str],
    /// The first that an architecture has is the one that its C library makes.
    syscalls: &'static [&'static str],
    /// The arguments that tell these functions from others of the same call, first the first.
    args: &'static [u64],
    why: &'static str,
}

const fn family(
    symbols: &'static [&'static str],
    syscalls: &'static [&'static str],
    args: &'static [u64],
    why: &'static str,
) -> Family {
    Family {
        symbols,
        syscalls,
        args,
        why,
    }
}

const FORK: u64 = 0x0120_0011; // CHILD_CLEARTID | CHILD_SETTID | SIGCHLD
const SPAWN: u64 = 0x4111; // VM | VFORK | SIGCHLD
const THREAD: u64 = 0x003d_0f00; // as pthread_create

const FAMILIES: &[Family] = &[
    family(
        &[
            "execve", "execv", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve",
            "execveat",
        ],
        &["execve"],
        &[],
        "starts another program",
    ),
    family(
        &["fork", "_Fork", "vfork", "daemon"],
        &["clone"],
        &[FORK],
        "makes a process",
    ),
    family(
        &["posix_spawn", "posix_spawnp", "system", "popen"],
        &["clone"],
        &[SPAWN],
        "starts another program",
    ),
    family(
        &[
            "pthread_create",
            "thrd_create",
            "_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE",
            "GOMP_parallel",
            "__kmpc_fork_call",
        ],
        &["clone"],
        &[THREAD],
        "starts a thread",
    ),
    family(
        &["dlopen", "dlmopen"],
        &["openat"],
        &[],
        "loads another library; do so while the module is loaded or created",
    ),
    family(
        &[
            "open", "open64", "openat", "openat64", "fopen", "fopen64", "freopen", "opendir",
        ],
        &["openat"],
        &[],
        "opens a file; tuning data comes with create()",
    ),
    family(
        &["shm_open", "sem_open"],
        &["openat"],
        &[],
        "opens memory shared by name",
    ),
    family(&["socket"], &["socket"], &[1], "talks to others"),
    family(&["socketpair"], &["socketpair"], &[], "makes a socket"),
    family(
        &[
            "getaddrinfo",
            "gethostbyname",
            "syslog",
            "getpwnam",
            "getpwuid",
            "getgrnam",
        ],
        &["socket"],
        &[1],
        "talks to a service",
    ),
    family(&["connect"], &["connect"], &[], "talks to others"),
    family(&["bind"], &["bind"], &[], "waits for others to talk"),
    family(&["listen"], &["listen"], &[], "waits for others to talk"),
    family(&["accept"], &["accept"], &[], "waits for others to talk"),
    family(&["accept4"], &["accept4"], &[], "waits for others to talk"),
    family(&["send", "sendto"], &["sendto"], &[], "talks to others"),
    family(
        &["recv", "recvfrom"],
        &["recvfrom"],
        &[],
        "listens to others",
    ),
    family(
        &["stat", "lstat", "fstatat"],
        &["newfstatat"],
        &[],
        "looks at files",
    ),
    family(
        &["access"],
        &["access", "faccessat"],
        &[],
        "looks for files",
    ),
    family(
        &["readlink", "realpath"],
        &["readlink", "readlinkat"],
        &[],
        "looks at files",
    ),
    family(&["getcwd"], &["getcwd"], &[], "looks at files"),
    family(&["mkdir"], &["mkdir", "mkdirat"], &[], "changes files"),
    family(
        &["unlink", "remove"],
        &["unlink", "unlinkat"],
        &[],
        "changes files",
    ),
    family(&["rename"], &["rename", "renameat2"], &[], "changes files"),
    family(
        &["symlink"],
        &["symlink", "symlinkat"],
        &[],
        "changes files",
    ),
    family(&["chmod"], &["chmod", "fchmodat"], &[], "changes files"),
    family(&["truncate"], &["truncate"], &[], "changes files"),
    family(
        &["ftruncate", "ftruncate64"],
        &["ftruncate"],
        &[],
        "changes files",
    ),
    family(&["chdir"], &["chdir"], &[], "changes directory"),
    family(
        &["ioctl", "isatty", "tcgetattr"],
        &["ioctl"],
        &[],
        "talks to devices",
    ),
    family(&["lseek", "lseek64"], &["lseek"], &[], "seeks in files"),
    family(&["pipe"], &["pipe", "pipe2"], &[], "makes descriptors"),
    family(&["pipe2"], &["pipe2"], &[], "makes descriptors"),
    family(&["dup"], &["dup"], &[], "makes descriptors"),
    family(
        &["dup2", "dup3"],
        &["dup2", "dup3"],
        &[],
        "makes descriptors",
    ),
    family(&["eventfd"], &["eventfd2"], &[], "makes descriptors"),
    family(
        &["timerfd_create"],
        &["timerfd_create"],
        &[],
        "makes descriptors",
    ),
    family(
        &["epoll_create1"],
        &["epoll_create1"],
        &[],
        "makes descriptors",
    ),
    family(
        &["epoll_create"],
        &["epoll_create", "epoll_create1"],
        &[],
        "makes descriptors",
    ),
    family(&["inotify_init1"], &["inotify_init1"], &[], "watches files"),
    family(&["poll"], &["poll", "ppoll"], &[], "waits for descriptors"),
    family(
        &["select", "pselect"],
        &["select", "pselect6"],
        &[],
        "waits for descriptors",
    ),
    family(
        &["memfd_create"],
        &["memfd_create"],
        &[],
        "makes memory that can be passed on",
    ),
    family(&["shmget"], &["shmget"], &[], "shares memory"),
    family(&["shmat"], &["shmat"], &[], "shares memory"),
    family(&["mq_open"], &["mq_open"], &[], "sends messages"),
    family(
        &["mlock"],
        &["mlock"],
        &[],
        "keeps memory from being swapped",
    ),
    family(
        &["mlockall"],
        &["mlockall"],
        &[],
        "keeps memory from being swapped",
    ),
    family(
        &["pkey_mprotect"],
        &["pkey_mprotect"],
        &[],
        "changes memory protection",
    ),
    family(
        &["sigaction", "signal", "bsd_signal", "sysv_signal"],
        &["rt_sigaction"],
        &[11],
        "catches signals",
    ),
    family(&["sigaltstack"], &["sigaltstack"], &[], "catches signals"),
    family(&["kill", "killpg"], &["kill"], &[], "signals others"),
    family(
        &["raise", "tgkill", "pthread_kill"],
        &["tgkill"],
        &[],
        "sends signals",
    ),
    family(
        &["waitpid", "wait", "wait4"],
        &["wait4"],
        &[],
        "waits for processes",
    ),
    family(&["ptrace"], &["ptrace"], &[], "looks into others"),
    family(
        &["process_vm_readv"],
        &["process_vm_readv"],
        &[],
        "looks into others",
    ),
    family(
        &["process_vm_writev"],
        &["process_vm_writev"],
        &[],
        "writes to others",
    ),
    family(&["prctl"], &["prctl"], &[4], "changes the process"),
    family(
        &["personality"],
        &["personality"],
        &[],
        "changes the process",
    ),
    family(
        &["setrlimit", "prlimit", "getrlimit"],
        &["prlimit64"],
        &[],
        "asks about limits",
    ),
    family(
        &["sched_getaffinity", "pthread_getaffinity_np"],
        &["sched_getaffinity"],
        &[],
        "counts processors; do so while the module is loaded or created",
    ),
    family(&["uname"], &["uname"], &[], "asks about the system"),
    family(&["sysinfo"], &["sysinfo"], &[], "asks about the system"),
    family(
        &["sched_setaffinity"],
        &["sched_setaffinity"],
        &[],
        "changes scheduling",
    ),
    family(
        &["sched_setscheduler", "pthread_setschedparam"],
        &["sched_setscheduler"],
        &[],
        "changes scheduling",
    ),
    family(
        &["nice", "setpriority"],
        &["setpriority"],
        &[],
        "changes scheduling",
    ),
    family(&["setuid"], &["setuid"], &[], "changes user"),
    family(&["getuid"], &["getuid"], &[], "asks who it is"),
    family(&["getppid"], &["getppid"], &[], "asks who its parent is"),
    family(&["unshare"], &["unshare"], &[], "changes namespaces"),
    family(&["setns"], &["setns"], &[], "changes namespaces"),
    family(&["mount"], &["mount"], &[], "changes mounts"),
    family(&["chroot"], &["chroot"], &[], "changes its root"),
    family(
        &["timer_create"],
        &["timer_create"],
        &[],
        "sends itself signals",
    ),
    family(
        &["setitimer", "alarm"],
        &["setitimer"],
        &[],
        "sends itself signals",
    ),
];

impl Profile {
    /// Functions of the C library, and of the runtimes of C++ and OpenMP, that a module of this
    /// profile cannot use in RUN. An import is no proof of use: libraries bring code that never
    /// runs.
    pub fn refused_symbols(&self, arch: Arch) -> Vec<RefusedSymbol> {
        FAMILIES
            .iter()
            .filter_map(|family| {
                let (syscall, number) = family
                    .syscalls
                    .iter()
                    .find_map(|name| Some((*name, arch.number(name)?)))?;
                let mut args = [0; 6];
                for (arg, value) in args.iter_mut().zip(family.args) {
                    *arg = *value;
                }
                let outcome = self.outcome(arch, Phase::Run, number, &args);
                (outcome != Outcome::Allowed).then_some((family, syscall, outcome))
            })
            .flat_map(|(family, syscall, outcome)| {
                family.symbols.iter().map(move |symbol| RefusedSymbol {
                    symbol,
                    syscall,
                    outcome,
                    why: family.why,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;
    use std::collections::BTreeSet;

    fn outcome(profile: &str, arch: Arch, symbol: &str) -> Option<Outcome> {
        let refused = Profile::builtin(profile).unwrap().refused_symbols(arch);
        let found = refused.iter().find(|refused| refused.symbol == symbol);
        found.map(|refused| refused.outcome)
    }

    #[test]
    fn every_row_names_calls_that_exist_and_symbols_once() {
        let mut seen = BTreeSet::new();
        for family in FAMILIES {
            for arch in Arch::ALL {
                let known = |name: &&str| arch.number(name).is_some();
                assert!(
                    family.syscalls.iter().any(known),
                    "{arch} {:?}",
                    family.syscalls
                );
            }
            for symbol in family.symbols {
                assert!(seen.insert(symbol), "{symbol}");
            }
        }
    }

    #[test]
    fn what_a_profile_refuses_is_listed_with_its_outcome() {
        let denied = Some(Outcome::RefusedByDaemon(Errno::Eacces));
        for arch in Arch::ALL {
            for profile in ["single", "threaded"] {
                for symbol in [
                    "execve",
                    "socket",
                    "fork",
                    "memfd_create",
                    "kill",
                    "sigaction",
                ] {
                    assert_eq!(
                        outcome(profile, arch, symbol),
                        Some(Outcome::Killed),
                        "{symbol}"
                    );
                }
                assert_eq!(outcome(profile, arch, "dlopen"), denied);
            }
            assert_eq!(
                outcome("single", arch, "pthread_create"),
                Some(Outcome::Killed)
            );
            assert_eq!(outcome("threaded", arch, "pthread_create"), None);
        }
    }

    #[test]
    fn poll_is_refused_where_it_is_a_call_of_its_own() {
        assert_eq!(
            outcome("single", Arch::X86_64, "poll"),
            Some(Outcome::Killed)
        );
        assert_eq!(outcome("single", Arch::Aarch64, "poll"), None);
    }
}
