//! Rows 22 to 28, 32 and 33: the kernel's larger interfaces.

use crate::need;
use crate::probe::Expect::Sigsys;
use crate::probe::Phase::{Constructor, Load};
use crate::probe::{Row, expect, killed};

const USER: &[&str] = &["user"];

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 22,
        attempt: "io_uring, userfaultfd, keys, bpf, perf",
        probes: &[
            killed("io_uring", "io_uring_setup"),
            killed("fault_handler", "userfaultfd"),
            killed("add_key", "add_key"),
            killed("list_keys", "keyctl"),
            killed("bpf_map", "bpf").needs(need::BPF),
            killed("perf_event", "perf_event_open"),
            killed("io_uring", "io_uring_setup").at(Load),
        ],
    },
    Row {
        number: 23,
        attempt: "forge the answer of the worker's own confinement",
        probes: &[
            killed("forge_by_seccomp", "prctl")
                .at(Constructor)
                .of("ctor_forge_by_seccomp"),
            killed("forge_by_prctl", "prctl")
                .at(Constructor)
                .of("ctor_forge_by_prctl"),
            killed("forge_at_once", "seccomp")
                .at(Constructor)
                .of("ctor_forge_at_once"),
            killed("forge_by_handler", "rt_sigaction")
                .at(Constructor)
                .of("ctor_forge_by_handler"),
            killed("forge_by_seccomp", "prctl").at(Load),
            killed("forge_by_seccomp", "prctl"),
            killed("forge_at_once", "seccomp")
                .under("threaded")
                .at(Load),
        ],
    },
    Row {
        number: 24,
        attempt: "a second listener",
        probes: &[
            killed("second_listener", "seccomp"),
            killed("second_listener", "seccomp").at(Load),
            killed("ask_seccomp", "seccomp"),
        ],
    },
    Row {
        number: 25,
        attempt: "landlock and prctl",
        probes: &[
            killed("landlock_again", "landlock_create_ruleset"),
            killed("become_dumpable", "prctl"),
            killed("outlive_parent", "prctl"),
            killed("move_memory_marks", "prctl").needs(need::MEMORY_MARKS),
            killed("forbid_time", "prctl"),
            killed("invite_tracers", "prctl").needs(need::YAMA),
            killed("rename_process", "prctl"),
            killed("free_speculation", "prctl").needs(need::SPECULATION),
            killed("become_dumpable", "prctl").at(Load),
            killed("outlive_parent", "prctl").at(Load),
            killed("become_dumpable", "prctl").under("threaded"),
        ],
    },
    Row {
        number: 26,
        attempt: "namespaces and mounts",
        probes: &[
            killed("new_user_namespace", "unshare"),
            killed("clone_user_namespace", "clone"),
            killed("join_namespace", "setns").host(USER),
            killed("mount_tmpfs", "mount").host(USER),
            killed("open_file_system", "fsopen").host(USER),
            killed("open_mount", "open_tree").host(USER),
            killed("change_root", "chroot").host(USER),
            killed("pivot", "pivot_root").host(USER),
            killed("name_the_machine", "sethostname").host(USER),
            killed("new_user_namespace", "unshare").at(Load),
            killed("clone_user_namespace", "clone").under("threaded"),
        ],
    },
    Row {
        number: 27,
        attempt: "other call tables: int 0x80, x32",
        probes: &[
            expect("interrupt_0x80", Sigsys),
            expect("x32", Sigsys).needs(need::X32),
            expect("interrupt_0x80", Sigsys).at(Load),
            expect("x32", Sigsys).at(Load).needs(need::X32),
        ],
    },
    Row {
        number: 28,
        attempt: "the processor's own state",
        probes: &[
            killed("fault_on_cpuid", "arch_prctl").needs(need::CPUID_FAULTING),
            killed("thread_pointer", "arch_prctl"),
            killed("segment_descriptor", "modify_ldt"),
            killed("io_privilege", "iopl").needs(need::IOPL),
            killed("io_ports", "ioperm").needs(need::IOPERM),
            killed("shadow_stack", "map_shadow_stack").needs(need::SHADOW_STACK),
        ],
    },
    Row {
        number: 32,
        attempt: "scheduling, priorities, locked memory",
        probes: &[
            killed("real_time", "sched_setscheduler").needs(need::REAL_TIME),
            killed("batch", "sched_setscheduler"),
            killed("nicer", "setpriority"),
            killed("io_priority", "ioprio_set"),
            killed("lock_memory", "mlockall").needs(need::LOCKED_MEMORY),
            killed("lock_a_page", "mlock"),
        ],
    },
    Row {
        number: 33,
        attempt: "System V and POSIX IPC",
        probes: &[
            killed("shared_memory", "shmget"),
            killed("message_queue", "msgget"),
            killed("semaphores", "semget"),
            killed("posix_queue", "mq_open"),
            killed("shared_memory", "shmget").at(Load),
        ],
    },
];
