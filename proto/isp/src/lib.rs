//! What crosses the wall between a camera algorithm and an image signal processor (ISP).
//!
//! - Parameters travel as the extensible blocks of the kernel's `v4l2-isp`: [`ParamsBuilder`]
//!   writes a buffer, [`Blocks`] walks one, [`Frames`] walks one of which only the lengths are
//!   known to be right, [`FormatTable`] says which blocks a format knows.
//! - [`soft`] is the format of our software ISP, `coldshoe-soft`, typed and documented field by
//!   field.
//! - [`stats`] is the statistics format `coldshoe-stats-1`, and with focus `coldshoe-stats-2`.
//! - [`rkisp1`] and [`mali_c55`] are blocks and statistics of the kernel's drivers of these names.
//!
//! Everything is little-endian and of fixed size. Nothing here does I/O, reading allocates nothing, and
//! nothing panics on bytes: callers copy a peer's bytes into private memory first and parse the copy.
#![forbid(unsafe_code)]

mod blocks;
mod builder;
mod fixed;
pub mod mali_c55;
pub mod rkisp1;
pub mod soft;
pub mod stats;
mod walker;
mod wire;

pub use blocks::{
    Block, BlockError, BlockFlags, FormatTable, HEADER_SIZE, KIND_LIMIT, RawBlock, TableError,
};
pub use builder::{BuildError, ParamsBuilder};
pub use stats::{STATS_FORMAT, STATS_FORMAT_2, Statistics};
pub use walker::{BlockIter, Blocks, FrameIter, Framed, Frames, ParseError};
