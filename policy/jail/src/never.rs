//! What a derived profile cannot add to running: calls that reach beyond the worker's own memory,
//! threads and descriptors.

use crate::condition::{Condition, Test};
use crate::profile::Rule;

/// Whatever the arguments.
#[rustfmt::skip]
const NEVER: &[&str] = &[
    // Programs and processes.
    "execve", "execveat", "fork", "vfork", "clone3", "unshare", "setns",
    "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
    "pidfd_open", "pidfd_getfd", "pidfd_send_signal",
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
    "kcmp", "prlimit64", "setrlimit", "setpriority", "sched_setscheduler", "sched_setattr",
    // Files by name or handle.
    "open", "openat", "openat2", "creat", "open_by_handle_at", "name_to_handle_at",
    "mknod", "mknodat", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat",
    "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2", "truncate",
    "chmod", "fchmodat", "chown", "lchown", "fchownat",
    "chdir", "fchdir", "chroot", "pivot_root",
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "quotactl", "swapon", "swapoff", "fanotify_init", "inotify_init1",
    // Others by socket, queue and shared memory.
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto",
    "sendmmsg", "setsockopt", "memfd_create", "memfd_secret",
    "mq_open", "shmget", "shmat", "msgget", "msgsnd", "semget",
    // The kernel.
    "bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd",
    "perf_event_open", "seccomp", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self", "add_key", "request_key", "keyctl",
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
    "personality", "modify_ldt", "iopl", "ioperm", "arch_prctl", "syslog",
    "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname",
    // Who it is.
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",
    "setgroups", "capset",
];

const PR_SET_NAME: u64 = 15;
const CLONE_THREAD: u64 = 0x0001_0000;
/// Every namespace but that of time, whose bit lies in clone's exit signal.
const CLONE_NEW: u64 = 0x7E02_0000;
/// The low byte: what the parent is sent at the end, for a process.
const EXIT_SIGNAL: u64 = 0xFF;

/// Whether the rule admits a call that no derived profile may add.
pub(crate) fn reaches_beyond(rule: &Rule) -> bool {
    let narrowed_to = |holds: fn(u64) -> bool| rule.args.iter().any(|c| only(c, holds));
    match rule.name.as_str() {
        "prctl" => !narrowed_to(|option| option == PR_SET_NAME),
        "clone" => !narrowed_to(|flags| {
            flags & CLONE_THREAD != 0 && flags & (CLONE_NEW | EXIT_SIGNAL) == 0
        }),
        name => NEVER.contains(&name),
    }
}

/// Whether the condition names each value of the first argument that it admits, and all of them hold.
fn only(condition: &Condition, holds: fn(u64) -> bool) -> bool {
    match &condition.test {
        Test::OneOf { mask, values } => {
            condition.arg == 0
                && *mask == condition.width.bits()
                && values.iter().all(|value| holds(*value))
        }
        Test::AtMost(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

    #[test]
    fn every_name_is_a_call_of_some_architecture() {
        for name in NEVER {
            let known = Arch::ALL.iter().any(|arch| arch.number(name).is_some());
            assert!(known, "{name}");
        }
    }
}
