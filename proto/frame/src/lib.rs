//! The frame path: two one-way shared-memory segments between a pipeline and a worker.
//!
//! | segment | pipeline | worker | seals |
//! |---|---|---|---|
//! | **forward**: doorbell, slot headers, counters, frame context and statistics | writes | reads | SHRINK, GROW, FUTURE_WRITE, SEAL |
//! | **return**: waiter flag, reply headers, replies and parameters, saved states | reads | writes | SHRINK, GROW, SEAL |
//!
//! Each segment has one writer. The worker supplies no index, offset or pointer: the slot of a
//! frame is `seq % slots`, and the pipeline chose `seq`. What a hostile worker can influence is the
//! equality of one `done` word, one length that is clamped, one status that is parsed, and payload
//! bytes that are copied before anybody looks at them.
//!
//! The daemon is in neither path. It rings the doorbell of a worker that is to look at its control
//! socket ([`Nudge`]), counts in the one word of the return segment that sends the pipeline to its own, and
//! copies out what a worker has saved ([`Custody`]). What a pipeline counts is there for it to read
//! ([`Ledger`]).
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
//!
//! With `--cfg loom` the files in `src/loom` stand in for clock, futex, mapping and atomics, and
//! `src/loom/tests.rs` runs everything else of this crate under a model checker.

#[cfg(target_endian = "big")]
compile_error!("the segments are little-endian: the futex word is the low half of `done`");

mod bell;
#[cfg(feature = "bench")]
pub mod bench;
mod buffer;
mod checkpoint;
#[cfg_attr(loom, path = "loom/clock.rs")]
mod clock;
#[cfg(not(loom))]
mod copy;
mod foreign;
mod forward;
#[cfg_attr(loom, path = "loom/futex.rs")]
mod futex;
mod geometry;
mod ledger;
#[cfg_attr(loom, path = "loom/mapping.rs")]
mod mapping;
mod predict;
mod record;
mod reply;
mod segment;
#[cfg_attr(loom, path = "loom/sync.rs")]
mod sync;
#[cfg(not(loom))]
mod view;

#[cfg(all(test, loom))]
#[path = "loom/tests.rs"]
mod loom_tests;

pub use bell::{Bell, Heard, create_bell};
pub use buffer::Buffer;
pub use checkpoint::Custody;
pub use clock::monotonic_ns;
pub use foreign::Foreign;
pub use forward::{
    Forward, FrameHeader, FrameKind, Inbox, Newest, Nudge, Statistics, Taken, Waiting,
};
pub use geometry::{Geometry, GeometryError, MAX_BUFFERS, MAX_CAPACITY, MAX_SLOTS, MAX_STATE};
pub use ledger::{Count, KINDS, Ledger, REASONS};
pub use predict::{Predictor, Window};
pub use record::{
    AlgorithmState, Applied, Controls, FrameContext, FrameReply, Metadata, Refused, Wanted,
};
pub use reply::{Outbox, Replies, Reply, ReplyError, SPURIOUS_WAKES, Status, Waited};
pub use segment::{SegmentError, create_return, verify_buffer, verify_forward, verify_return};

/// How long property tests go on: Miri takes a thousand times as long, and has no files.
#[cfg(test)]
fn cases() -> proptest::test_runner::Config {
    let mut config = proptest::test_runner::Config::default();
    if cfg!(miri) {
        config.cases = 8;
        config.failure_persistence = None;
    }
    config
}
