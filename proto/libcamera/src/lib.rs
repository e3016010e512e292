//! What libcamera and its isolated algorithms say to each other, and a firewall between the two. Nothing
//! here reads or writes a socket, or looks at a clock.
//!
//! A message is two datagrams: `{u32 length; u8 fds; u8 pad[3]}`, then `length` bytes with that many
//! descriptors, which begin with `{u32 command; u32 cookie}`. Numbers have the machine's byte order. The
//! rest follows libcamera's interface files (`policy/libcamera`), whose serialisers know no errors: a
//! host that reads what is malformed aborts, or reads what is not its own.
//!
//! [`Firewall`] stands between a host, which is trusted, and a worker, which is not. It keeps what it
//! needs to put a new worker in the place of one that has ended.
#![forbid(unsafe_code)]

mod body;
mod buffers;
mod controls;
mod firewall;
mod handles;
mod interface;
mod message;
mod record;

pub use buffers::{Buffers, Plane};
pub use firewall::{Counts, Firewall, Limits, Verdict};
pub use interface::{Dialect, SERIES};
pub use message::{Broken, Frames, HEADER, MAX_FDS, MAX_MESSAGE, Message, header};

/// Why a worker's message does not pass, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

impl Wrong {
    /// For this reason.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
