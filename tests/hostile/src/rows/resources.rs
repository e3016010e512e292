//! Rows 39 to 41, 44, 46 and 47: memory, time, crashes, and what was left lying about.

use crate::need;
use crate::probe::Control::Dies;
use crate::probe::Expect::Report;
use crate::probe::Phase::{Constructor, End, Frame, Load};
use crate::probe::errno::{ENOENT, ENOMEM};
use crate::probe::{HUNG, Row, expect, killed, refused};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 39,
        attempt: "memory bomb",
        probes: &[
            refused("map_a_gibibyte", ENOMEM),
            refused("map_a_gibibyte_in_pieces", ENOMEM),
            refused("allocate_a_gibibyte", ENOMEM),
            refused("grow_the_heap", ENOMEM),
            refused("make_a_gibibyte_writable", ENOMEM),
            refused("grow_a_mapping", ENOMEM),
            refused("map_droppable", ENOMEM).needs(need::DROPPABLE),
            killed("map_shared", "mmap"),
            killed("map_growing", "mmap"),
            refused("page_tables", ENOMEM),
            refused("map_a_gibibyte", ENOMEM).at(Load),
            killed("map_shared", "mmap").at(Load),
        ],
    },
    Row {
        number: 40,
        attempt: "busy loop, hang, blocked signals",
        probes: &[
            expect("spin_for_ever", HUNG)
                .at(Constructor)
                .of("ctor_spin_for_ever"),
            expect("spin_with_signals_blocked", HUNG),
            expect("sleep_for_ever", HUNG).at(Load),
            expect("spin_for_ever", HUNG).at(Frame),
            // Where the module has a say at its end: after a create() that failed.
            expect("spin_for_ever", HUNG).at(End).args("refuse=1"),
            expect("hang_up", Report("closed its control socket"))
                .at(Frame)
                .host(&["peer"])
                .control(crate::probe::Control::Arrives("0 messages")),
        ],
    },
    Row {
        number: 41,
        attempt: "core dump",
        probes: &[
            expect("crash", Report("(SIGSEGV), no core dump")).control(Dies("core dumped")),
            expect("abort_itself", Report("abort()")).control(Dies("core dumped")),
            expect("corrupt_stack", Report("(SIGSEGV), no core dump")).control(Dies("core dumped")),
            expect("divide_by_zero", Report("(SIGFPE), no core dump")).control(Dies("core dumped")),
        ],
    },
    Row {
        number: 44,
        attempt: "secrets in the environment, LD_*",
        probes: &[
            refused("environment", ENOENT),
            refused("secrets_above_the_stack", ENOENT),
            refused("loader_variables", ENOENT),
            refused("environment", ENOENT).at(Load),
        ],
    },
    Row {
        number: 46,
        attempt: "module replaced on disk between check and load",
        probes: &[],
    },
    Row {
        number: 47,
        attempt: "symlinked or world-writable module path",
        probes: &[],
    },
];
