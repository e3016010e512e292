//! Rows 7 to 14: new code, and the shared memory.

use crate::need;
use crate::probe::Expect::AnyErrno;
use crate::probe::Phase::{Constructor, Load};
use crate::probe::errno::{EACCES, EPERM};
use crate::probe::{Row, expect, killed, refused};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 7,
        attempt: "execute a program",
        probes: &[
            killed("execute", "execve"),
            killed("execute_at", "execveat"),
            killed("execute_from_memory", "memfd_create"),
            killed("execute", "execve").at(Load),
            killed("execute", "execve")
                .at(Constructor)
                .of("ctor_execute"),
        ],
    },
    Row {
        number: 8,
        attempt: "files in memory",
        probes: &[
            killed("memory_file", "memfd_create"),
            killed("secret_memory", "memfd_secret").needs(need::SECRETMEM),
            killed("memory_file", "memfd_create").at(Load),
        ],
    },
    Row {
        number: 9,
        attempt: "make code",
        probes: &[
            killed("map_code", "mmap"),
            killed("data_to_code", "mprotect"),
            killed("data_to_code_by_key", "pkey_mprotect"),
            killed("write_to_code", "mprotect"),
            killed("shared_code", "shmget"),
            killed("attach_shared_code", "shmat"),
            killed("reading_is_executing", "personality"),
            killed("map_code", "mmap").at(Load),
            killed("data_to_code", "mprotect").at(Load),
            killed("write_to_code", "mprotect")
                .at(Constructor)
                .of("ctor_write_to_code"),
        ],
    },
    Row {
        number: 10,
        attempt: "execute a shared segment",
        probes: &[
            killed("code_in_segment", "mprotect").host(&["segments"]),
            killed("map_segment_as_code", "mmap").host(&["segments"]),
            killed("code_in_segment", "mprotect")
                .at(Load)
                .host(&["segments"]),
            killed("map_segment_as_code", "mmap")
                .at(Load)
                .host(&["segments"]),
        ],
    },
    Row {
        number: 11,
        attempt: "write the statistics",
        probes: &[
            expect("statistics_writable", AnyErrno(&[EACCES, EPERM])).host(&["segments"]),
            expect("statistics_writable", AnyErrno(&[EACCES, EPERM]))
                .at(Load)
                .host(&["segments"]),
            refused("statistics_reopened", EACCES).host(&["segments"]),
            killed("statistics_mapped_again", "mmap").host(&["segments"]),
            killed("statistics_reopened", "openat")
                .at(Load)
                .host(&["segments"]),
        ],
    },
    Row {
        number: 12,
        attempt: "write, punch, cut or seal a segment",
        probes: &[
            killed("segment_write", "write").host(&["segments"]),
            killed("segment_pwrite", "pwrite64").host(&["segments"]),
            killed("segment_punch", "fallocate").host(&["segments"]),
            killed("segment_remove", "madvise").host(&["segments"]),
            killed("segment_truncate", "ftruncate").host(&["segments"]),
            killed("segment_grow", "ftruncate").host(&["segments"]),
            killed("segment_seal", "fcntl").host(&["segments"]),
        ],
    },
    Row {
        number: 13,
        attempt: "take memory away from under the reader",
        probes: &[killed("bus_error", "ftruncate").host(&["segments"])],
    },
    Row {
        number: 14,
        attempt: "change a header between check and use",
        probes: &[],
    },
];
