//! What crosses the wall between a camera algorithm and an image signal processor (ISP).
//!
//! - Parameters travel as the extensible blocks of the kernel's `v4l2-isp`: [`ParamsBuilder`]
//!   writes a buffer, [`Blocks`] walks one, [`Frames`] walks one of which only the lengths are
//!   known to be right, [`FormatTable`] says which blocks a format knows.
//! - [`soft`] is the format of our software ISP, `coldshoe-soft`, typed and documented field by
//!   field.
//! - [`stats`] is the statistics format `coldshoe-stats-1`, and with focus `coldshoe-stats-2`.
//!
//! Everything is little-endian and of fixed size. Nothing here allocates or does I/O, and nothing
//! panics on bytes: callers copy a peer's bytes into private memory first and parse the copy.
#![forbid(unsafe_code)]

mod blocks;
mod builder;
mod fixed;
pub mod soft;
pub mod stats;
mod walker;

pub use blocks::{
    Block, BlockError, BlockFlags, FormatTable, HEADER_SIZE, KIND_LIMIT, RawBlock, TableError,
};
pub use builder::{BuildError, ParamsBuilder};
pub use stats::{STATS_FORMAT, STATS_FORMAT_2, Statistics};
pub use walker::{BlockIter, Blocks, FrameIter, Framed, Frames, ParseError};
