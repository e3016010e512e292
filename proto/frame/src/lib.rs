//! The frame path: two one-way shared-memory segments between a pipeline and a worker.
//!
//! | segment | pipeline | worker | seals |
//! |---|---|---|---|
//! | **forward**: doorbell, slot headers, frame context and statistics | writes | reads | SHRINK, GROW, FUTURE_WRITE, SEAL |
//! | **return**: waiter flag, reply headers, replies and parameters | reads | writes | SHRINK, GROW, SEAL |
//!
//! Each segment has one writer. The worker supplies no index, offset or pointer: the slot of a
//! frame is `seq % slots`, and the pipeline chose `seq`. What a hostile worker can influence is the
//! equality of one `done` word, one length that is clamped, one status that is parsed, and payload
//! bytes that are copied before anybody looks at them.
//!
//! Control words are atomics, each of one size; everything else is moved by volatile copies
//! (`copy.rs`). No reference or slice into a segment exists, because the peer may write there at any
//! time. Atomics in memory that another process maps are outside of what the language promises; the
//! gap is accepted here and nowhere else.
//!
//! # Orderings
//!
//! *Publish* ([`Forward::put`], [`Forward::ring`]): `seq_begin`; fence(Release); payload; `seq_end`;
//! doorbell (SeqCst); load the worker's waiter flag (SeqCst) and wake if set. *Sleep* ([`Inbox::sleep`]):
//! waiter flag (SeqCst), doorbell (SeqCst), FUTEX_WAIT on the value seen. Store-then-load on both
//! sides is what makes a lost wake impossible. Replies go the other way by the same rule, with the
//! slot's `done` word as the doorbell.

#[cfg(target_endian = "big")]
compile_error!("the segments are little-endian: the futex word is the low half of `done`");

mod bell;
#[cfg(feature = "bench")]
pub mod bench;
mod buffer;
mod copy;
mod forward;
mod futex;
mod geometry;
mod mapping;
mod predict;
mod record;
mod reply;
mod segment;

pub use bell::{Bell, Heard, create_bell};
pub use buffer::Buffer;
pub use forward::{Forward, FrameHeader, FrameKind, Inbox, Nudge, Statistics, Taken, Waiting};
pub use geometry::{Geometry, GeometryError, MAX_BUFFERS, MAX_CAPACITY, MAX_SLOTS};
pub use predict::{Predictor, Window};
pub use record::{
    AlgorithmState, Applied, Controls, FrameContext, FrameReply, Metadata, Refused, Wanted,
};
pub use reply::{Outbox, Replies, Reply, ReplyError, Status, Waited};
pub use segment::{SegmentError, create_return, verify_buffer, verify_forward, verify_return};

/// A moment on CLOCK_MONOTONIC in nanoseconds, as both sides count time.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}
