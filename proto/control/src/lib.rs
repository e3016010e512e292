//! The control protocol: messages, framing, limits.
//!
//! Three protocols of one shape: [`client`] between a pipeline handler's client
//! library and the daemon, [`worker`] between the daemon and a worker, [`keeper`]
//! between the daemon and the parent of its workers. A message
//! is one datagram of at most [`MAX_DATAGRAM`] bytes on an `AF_UNIX`
//! `SOCK_SEQPACKET` socket, and says how many file descriptors travel with it.
//!
//! * [`encode`] and [`decode`] do no I/O. Each message is checked in both
//!   directions: shape, number of descriptors, then every field.
//! * [`send`], [`try_send`] and [`Receiver`] move datagrams and descriptors. A
//!   message that is refused takes its descriptors with it: they are closed.
//! * [`Trouble`] is an error told on three lines: what, why, what to do.
#![forbid(unsafe_code)]

mod check;
pub mod client;
mod codec;
mod controls;
mod hello;
pub mod keeper;
mod socket;
mod text;
mod trouble;
pub mod worker;

pub use check::{Invalid, MAX_BUFFERS, MAX_CAPACITY, MAX_NAME, MAX_SLOTS, MAX_TEXT};
pub use codec::{DecodeError, EncodeError, MAX_DATAGRAM, MAX_FDS, Message, decode, encode};
pub use controls::{CONTROLS, Control, Kind};
pub use hello::{MAX_FEATURES, VERSION};
pub use socket::{Received, Receiver, RecvError, SendError, recv, send, try_send};
pub use text::clean;
pub use trouble::Trouble;

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}
