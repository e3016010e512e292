//! Rows 34 to 38 and 42: the worker's descriptors, and its socket to the daemon.

use crate::need;
use crate::probe::Control::Arrives;
use crate::probe::Expect::Report;
use crate::probe::Phase::{Frame, Load};
use crate::probe::errno::{EACCES, EBADF};
use crate::probe::{Row, expect, killed, refused};

const PEER: &[&str] = &["peer"];
const BROKE: crate::probe::Expect = Report("broke the control protocol");

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 34,
        attempt: "terminals and queues by ioctl",
        probes: &[
            refused("type_into_terminal", EACCES)
                .host(&["terminal"])
                .needs(need::TIOCSTI),
            refused("bytes_waiting", EACCES),
            refused("ask_terminal", EACCES).host(&["terminal"]),
            refused("bytes_waiting", EACCES).at(Load),
        ],
    },
    Row {
        number: 35,
        attempt: "descriptors that are not its own, or more of its own",
        probes: &[
            killed("read_other", "read"),
            killed("write_other", "write"),
            killed("pread_other", "pread64"),
            killed("readv_other", "readv"),
            killed("duplicate", "dup"),
            killed("duplicate_to", "dup3"),
            killed("duplicate_by_fcntl", "fcntl"),
            killed("clear_flags", "fcntl"),
            killed("make_pipe", "pipe2"),
            killed("splice_bytes", "splice"),
            killed("tee_bytes", "tee"),
            killed("send_file", "sendfile"),
            killed("send_to", "sendto"),
            killed("socket_option", "setsockopt"),
            killed("poll_for_events", "epoll_create1"),
            killed("event_counter", "eventfd2"),
            killed("close_many", "close_range"),
            killed("duplicate", "dup").at(Load),
        ],
    },
    Row {
        number: 36,
        attempt: "descriptors that were left open",
        probes: &[
            refused("count_descriptors", EBADF).host(&["leak"]),
            refused("count_descriptors", EBADF).at(Load).host(&["leak"]),
        ],
    },
    Row {
        number: 37,
        attempt: "descriptors for the daemon",
        probes: &[
            expect("send_descriptors", BROKE)
                .args("claimed=0")
                .host(PEER)
                .control(Arrives("16 descriptors")),
            expect("send_descriptors", BROKE)
                .args("claimed=16")
                .host(PEER)
                .control(Arrives("16 descriptors")),
            expect("send_descriptors", BROKE)
                .at(Frame)
                .args("claimed=16")
                .host(PEER)
                .control(Arrives("16 descriptors")),
        ],
    },
    Row {
        number: 38,
        attempt: "flood or overfill the control socket",
        probes: &[
            expect("flood", BROKE)
                .host(PEER)
                .control(Arrives("500 messages, 30000000 bytes")),
            expect("flood", BROKE)
                .at(Frame)
                .host(PEER)
                .control(Arrives("500 messages, 30000000 bytes")),
            expect("oversize", BROKE)
                .host(PEER)
                .control(Arrives("1 messages, 150000 bytes")),
            expect("oversize", BROKE)
                .at(Frame)
                .host(PEER)
                .control(Arrives("1 messages, 150000 bytes")),
            expect("oversize", BROKE)
                .at(Load)
                .host(PEER)
                .control(Arrives("1 messages, 150000 bytes")),
            expect("patter", BROKE).at(Frame).host(PEER),
        ],
    },
    Row {
        number: 42,
        attempt: "fake replies, patched worker",
        probes: &[
            expect("fake_done", BROKE)
                .args("serial=99")
                .host(PEER)
                .control(Arrives("1 messages")),
            expect("fake_done", BROKE)
                .at(Frame)
                .args("serial=3")
                .host(PEER)
                .control(Arrives("1 messages")),
            expect("fake_loaded", BROKE)
                .at(Load)
                .args("serial=99")
                .host(PEER)
                .control(Arrives("1 messages")),
            expect("fake_loaded", BROKE)
                .at(Frame)
                .args("serial=1")
                .host(PEER)
                .control(Arrives("1 messages")),
            expect("garbage", BROKE)
                .host(PEER)
                .control(Arrives("1 messages, 512 bytes")),
            expect("garbage", BROKE)
                .at(Frame)
                .host(PEER)
                .control(Arrives("1 messages, 512 bytes")),
            killed("patch_worker", "mprotect"),
            killed("patch_worker", "mprotect").at(Load),
        ],
    },
];
