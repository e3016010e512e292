//! `coldshoe-soft` version 1: the parameter format of coldshoe's software ISP.
//!
//! | type | block | bytes, header included | stage, in the order the ISP runs them |
//! |---|---|---|---|
//! | 0 | [`BlackLevel`] | 16 | subtracted from the raw frame |
//! | 4 | [`Lsc`] | 1776 | lens shading gains |
//! | 1 | [`WbGains`] | 16 | white balance gains |
//! | 2 | [`Ccm`] | 32 | colour correction matrix, camera RGB to linear sRGB, after demosaicing |
//! | 3 | [`ToneCurve`] | 528 | linear light to display values |
//!
//! Channels come in the order R, Gr, Gb, B, where Gr is the green of the rows with red in them. A
//! block that was never sent is not applied. A block sent with DISABLE is taken out again.

mod black_level;
mod ccm;
mod lsc;
mod params;
mod tone_curve;
mod wb_gains;

pub use black_level::BlackLevel;
pub use ccm::Ccm;
pub use lsc::Lsc;
pub use params::{ParamsError, SoftParams, Update};
pub use tone_curve::ToneCurve;
pub use wb_gains::WbGains;

use crate::blocks::{Block, FormatTable, HEADER_SIZE};

/// The name of the format.
pub const FORMAT: &str = "coldshoe-soft";

/// The version in the buffer header.
pub const VERSION: u32 = 1;

/// Size of each block by type, as the kernel's drivers keep it.
pub const TABLE: FormatTable<'static> = FormatTable {
    version: VERSION,
    sizes: &[
        BlackLevel::SIZE,
        WbGains::SIZE,
        Ccm::SIZE,
        ToneCurve::SIZE,
        Lsc::SIZE,
    ],
};

/// Bytes of the largest valid buffer.
pub const MAX_PAYLOAD: usize =
    HEADER_SIZE + BlackLevel::SIZE + WbGains::SIZE + Ccm::SIZE + ToneCurve::SIZE + Lsc::SIZE;
