//! LSC: lens shading correction.

use crate::blocks::{Block, BlockError};
use crate::fixed;

/// Smallest and largest raw gain: 0.5 and 8 in Q4.12.
const GAIN: (u16, u16) = (2048, 32768);

/// Lens shading gains, a grid for each channel (type 4, 1776 bytes).
///
/// | offset in the body | type | field | range | unit |
/// |---|---|---|---|---|
/// | 0 | u16\[13\]\[17\] | r, row by row from the top left | 2048..=32768 | Q4.12: 0.5 to 8 |
/// | 442 | u16\[13\]\[17\] | gr | the same | the same |
/// | 884 | u16\[13\]\[17\] | gb | the same | the same |
/// | 1326 | u16\[13\]\[17\] | b | the same | the same |
///
/// Node (x, y) lies at `x/16` of the frame's width and `y/12` of its height; gains are bilinear in
/// between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lsc([u16; Lsc::CHANNELS * Lsc::NODES]);

impl Lsc {
    /// Nodes in a row.
    pub const COLUMNS: usize = 17;
    /// Rows of nodes.
    pub const ROWS: usize = 13;
    /// Channels: R, Gr, Gb, B.
    pub const CHANNELS: usize = 4;
    const NODES: usize = Self::COLUMNS * Self::ROWS;

    /// Gains of 1 everywhere.
    #[must_use]
    pub const fn flat() -> Self {
        Self([4096; Self::CHANNELS * Self::NODES])
    }

    /// Samples `gain(channel, x, y)` at every node, x and y in 0..=1 from the top left. Gains are
    /// rounded and clamped to 0.5..=8; NaN is 1.
    #[must_use]
    pub fn from_fn(mut gain: impl FnMut(usize, f64, f64) -> f64) -> Self {
        let mut raw = [0; Self::CHANNELS * Self::NODES];
        for (i, out) in raw.iter_mut().enumerate() {
            let (channel, node) = (i / Self::NODES, i % Self::NODES);
            let x = (node % Self::COLUMNS) as f64 / (Self::COLUMNS - 1) as f64;
            let y = (node / Self::COLUMNS) as f64 / (Self::ROWS - 1) as f64;
            *out = fixed::q12(gain(channel, x, y), GAIN.0, GAIN.1, 1.0);
        }
        Self(raw)
    }

    /// The gain at node (`column`, `row`) of a channel; 1 when there is no such node.
    #[must_use]
    pub fn node(&self, channel: usize, column: usize, row: usize) -> f64 {
        if channel < Self::CHANNELS && column < Self::COLUMNS && row < Self::ROWS {
            fixed::from_q12(self.0[channel * Self::NODES + row * Self::COLUMNS + column])
        } else {
            1.0
        }
    }
}

impl Default for Lsc {
    fn default() -> Self {
        Self::flat()
    }
}

impl Block for Lsc {
    const KIND: u16 = 4;
    const NAME: &'static str = "LSC";
    const SIZE: usize = 1776;

    fn encode(&self, body: &mut [u8]) {
        fixed::write_u16s(body, self.0);
    }

    fn decode(body: &[u8]) -> Result<Self, BlockError> {
        BlockError::expect_size::<Self>(body)?;
        let raw = fixed::read_u16s(body);
        match raw
            .iter()
            .position(|gain| !(GAIN.0..=GAIN.1).contains(gain))
        {
            Some(index) => Err(BlockError::Range {
                block: Self::NAME,
                field: "gain",
                index,
                value: raw[index].into(),
                min: GAIN.0.into(),
                max: GAIN.1.into(),
            }),
            None => Ok(Self(raw)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_where_the_page_says() {
        let lsc = Lsc::from_fn(|c, x, y| 1.0 + c as f64 + x + y / 2.0);
        assert_eq!(lsc.node(0, 0, 0), 1.0);
        assert_eq!(lsc.node(1, 16, 0), 3.0);
        assert_eq!(lsc.node(3, 16, 12), 5.5);
        assert_eq!(lsc.node(2, 8, 6), 3.75);
        let mut body = [0; 1768];
        lsc.encode(&mut body);
        assert_eq!(body[442..444], 8192_u16.to_le_bytes());
    }

    #[test]
    fn gains_are_clamped_and_nan_is_one() {
        assert_eq!(Lsc::from_fn(|_, _, _| 0.1).node(0, 0, 0), 0.5);
        assert_eq!(Lsc::from_fn(|_, _, _| 99.0).node(0, 0, 0), 8.0);
        assert_eq!(Lsc::from_fn(|_, _, _| f64::NAN), Lsc::flat());
    }

    #[test]
    fn a_gain_out_of_range_is_refused_with_its_place() {
        for bad in [0_u16, 2047, 32769, 65535] {
            let mut body = [0; 1768];
            Lsc::flat().encode(&mut body);
            body[20..22].copy_from_slice(&bad.to_le_bytes());
            assert!(
                matches!(Lsc::decode(&body), Err(BlockError::Range { index: 10, value, .. }) if value == u32::from(bad))
            );
        }
    }
}
