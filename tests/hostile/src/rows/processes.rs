//! Rows 18 to 21, 29 to 31 and 45: other processes, and more of one's own.

use crate::need;
use crate::probe::Control::Hits;
use crate::probe::Expect::AnyErrno;
use crate::probe::Phase::{Constructor, Load};
use crate::probe::errno::{EACCES, EAGAIN, ENOENT, ENOSYS};
use crate::probe::{Row, expect, killed, refused};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 18,
        attempt: "signals to others",
        probes: &[
            killed("kill_parent", "kill").hits(),
            killed("kill_everybody", "kill")
                .host(&["victim", "pids"])
                .control(Hits),
            killed("kill_by_pidfd", "pidfd_open").hits(),
            killed("signal_by_any_pidfd", "pidfd_send_signal").hits(),
            killed("signal_by_descriptor", "fcntl").hits(),
            refused("tgkill_other", EACCES).hits(),
            killed("tkill_other", "tkill").hits(),
            killed("queue_signal", "rt_sigqueueinfo").hits(),
            killed("kill_parent", "kill").at(Load).hits(),
        ],
    },
    Row {
        number: 19,
        attempt: "trace others, read their memory, take their descriptors",
        probes: &[
            killed("trace", "ptrace").host(&["victim"]),
            killed("read_memory", "process_vm_readv").host(&["victim"]),
            killed("write_memory", "process_vm_writev").host(&["victim"]),
            killed("take_descriptor", "pidfd_getfd").host(&["victim"]),
            killed("compare_resources", "kcmp")
                .host(&["victim"])
                .needs(need::KCMP),
            killed("trace", "ptrace").at(Load).host(&["victim"]),
        ],
    },
    Row {
        number: 20,
        attempt: "limits, processors and priority of others",
        probes: &[
            refused("limit_parent", EACCES).host(&["victim"]),
            refused("limit_myself", EACCES),
            refused("raise_limit", EACCES),
            killed("move_parent", "sched_setaffinity").host(&["victim"]),
            refused("look_where_parent_runs", EACCES).host(&["victim"]),
            killed("slow_parent", "setpriority").host(&["victim"]),
            killed("limit_parent", "prlimit64")
                .at(Load)
                .host(&["victim"]),
            killed("raise_limit", "prlimit64").at(Load),
        ],
    },
    Row {
        number: 21,
        attempt: "the processor clock of another process",
        probes: &[killed("clock_of_parent", "clock_gettime").host(&["victim"])],
    },
    Row {
        number: 29,
        attempt: "new processes",
        probes: &[
            killed("clone_process", "clone"),
            killed("fork_process", "fork"),
            killed("vfork_process", "vfork"),
            killed("clone_beside", "clone"),
            refused("clone_by_record", ENOSYS),
            refused("clone_by_record", ENOSYS).at(Load),
            killed("clone_process", "clone").at(Load),
            killed("clone_process", "clone").under("threaded"),
            killed("fork_process", "fork").under("threaded"),
            refused("clone_by_record", ENOSYS).under("threaded"),
        ],
    },
    Row {
        number: 30,
        attempt: "a thread in the single-threaded profile",
        probes: &[
            killed("one_thread", "rt_sigaction"),
            killed("one_thread", "rt_sigaction").at(Load),
        ],
    },
    Row {
        number: 31,
        attempt: "thread bomb",
        probes: &[
            refused("thread_bomb", EAGAIN).under("threaded"),
            refused("thread_bomb", EAGAIN).under("threaded").at(Load),
        ],
    },
    Row {
        number: 43,
        attempt: "threads in a constructor, resolvers, libraries of one's own",
        probes: &[
            killed("one_thread", "rt_sigaction")
                .at(Constructor)
                .of("ctor_one_thread"),
            killed("socket_in_resolver", "socket")
                .at(Constructor)
                .of("resolver"),
            refused("ask_helper", EACCES)
                .under("threaded")
                .of("ctor_helper"),
            killed("ask_helper_for_socket", "socket")
                .under("threaded")
                .of("ctor_helper"),
            expect(
                "call_library",
                crate::probe::Expect::Report("brought_along.so: cannot open shared object file"),
            )
            .of("needs"),
        ],
    },
    Row {
        number: 45,
        attempt: "reach a sibling worker",
        probes: &[
            killed("kill_parent", "kill").hits().args("sibling"),
            killed("kill_by_pidfd", "pidfd_open").hits().args("sibling"),
            killed("trace", "ptrace").host(&["victim"]).args("sibling"),
            killed("read_memory", "process_vm_readv")
                .host(&["victim"])
                .args("sibling"),
            killed("write_memory", "process_vm_writev")
                .host(&["victim"])
                .args("sibling"),
            refused("open_parent_mem", EACCES)
                .host(&["victim"])
                .args("sibling"),
            expect("open_parent_mem", AnyErrno(&[EACCES, ENOENT]))
                .at(Load)
                .host(&["victim"])
                .args("sibling"),
        ],
    },
];
