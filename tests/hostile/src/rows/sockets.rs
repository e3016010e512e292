//! Rows 15 to 17: anybody to talk to.

use crate::need;
use crate::probe::Phase::{Constructor, Load};
use crate::probe::{Row, killed};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 15,
        attempt: "unix sockets by path",
        probes: &[
            killed("connect_path", "socket"),
            killed("datagram_to_path", "socket"),
            killed("socket_pair", "socketpair"),
            killed("reconnect", "connect"),
            killed("connect_path", "socket").at(Load),
            killed("connect_path", "socket")
                .at(Constructor)
                .of("ctor_connect_path"),
        ],
    },
    Row {
        number: 16,
        attempt: "abstract unix sockets",
        probes: &[
            killed("connect_abstract", "socket"),
            killed("listen_abstract", "socket"),
        ],
    },
    Row {
        number: 17,
        attempt: "the network, and the kernel's own sockets",
        probes: &[
            killed("connect_tcp", "socket"),
            killed("listen_tcp", "socket"),
            killed("send_udp", "socket"),
            killed("ask_netlink", "socket"),
            killed("open_vsock", "socket").needs(need::VSOCK),
            killed("open_crypto", "socket").needs(need::CRYPTO),
            killed("open_packet", "socket").needs(need::PACKETS),
            killed("connect_tcp", "socket").at(Load),
        ],
    },
];
