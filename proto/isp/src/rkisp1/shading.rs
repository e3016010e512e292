//! LSC: lens shading correction of the Rockchip ISP1.

use crate::fixed::scaled;
use crate::wire::wire_block;

wire_block! {
    /// Lens shading gains, `rkisp1_cif_isp_lsc_config`: 17 rows of 17 nodes a channel.
    ///
    /// Sectors lie between nodes. Their sizes are given for one half of the frame and mirrored for
    /// the other.
    Lsc = 12 "LSC", 2392 bytes {
        /// Of R, Gr, Gb, B, row by row; 1024 is 1.
        0 => gains: [[u16; 289]; 4],
        /// 32768 / width of a sector.
        2312 => x_grad: [u16; 8],
        /// 32768 / height of a sector.
        2328 => y_grad: [u16; 8],
        /// Widths of the sectors of a half, pixels.
        2344 => x_size: [u16; 8],
        /// Heights of the sectors of a half, lines.
        2360 => y_size: [u16; 8],
    }
}

/// The largest gain that every revision has: 12 bits.
const MAX_GAIN: u32 = 4095;
/// Sizes of a sector: its gradient has 12 bits, itself 10.
const SECTOR: std::ops::RangeInclusive<u32> = 9..=1023;

impl Lsc {
    /// Samples `gain(channel, x, y)` at every node, x and y in 0..=1 from the top left, for a frame
    /// of `width` × `height` pixels. Gains are cut to what the hardware has; NaN is 1.
    ///
    /// `None` for a frame that 16×16 sectors of this hardware cannot cover: below 144 or above
    /// 16368 on a side.
    #[must_use]
    pub fn from_fn(
        width: u32,
        height: u32,
        mut gain: impl FnMut(usize, f64, f64) -> f64,
    ) -> Option<Self> {
        let (x_size, x_at) = sectors(width)?;
        let (y_size, y_at) = sectors(height)?;
        let mut lsc = Self {
            x_grad: x_size.map(gradient),
            y_grad: y_size.map(gradient),
            x_size,
            y_size,
            ..Self::default()
        };
        for (channel, table) in lsc.gains.iter_mut().enumerate() {
            for (node, out) in table.iter_mut().enumerate() {
                let value = gain(channel, x_at[node % 17], y_at[node / 17]);
                *out = scaled(value, 1024.0, MAX_GAIN, 1.0) as u16;
            }
        }
        Some(lsc)
    }
}

fn gradient(size: u16) -> u16 {
    (32768.0 / f64::from(size)).round() as u16
}

/// Sizes of the eight sectors of a half, which sum up to it, and where the 17 nodes are in 0..=1.
fn sectors(side: u32) -> Option<([u16; 8], [f64; 17])> {
    let half = side / 2;
    let each = half / 8;
    let last = half - 7 * each;
    if !SECTOR.contains(&each) || !SECTOR.contains(&last) {
        return None;
    }
    // Both are below 1024.
    let mut sizes = [each as u16; 8];
    sizes[7] = last as u16;
    let mut at = [0.0; 17];
    for node in 1..17 {
        let sector = if node <= 8 { node - 1 } else { 16 - node };
        at[node] = at[node - 1] + f64::from(sizes[sector]) / f64::from(2 * half);
    }
    Some((sizes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_sum_up_to_half_the_frame_and_nodes_are_mirrored() {
        for side in [144, 480, 640, 1083, 1920, 4056, 16368] {
            let (sizes, at) = sectors(side).unwrap();
            assert_eq!(sizes.iter().map(|&s| u32::from(s)).sum::<u32>(), side / 2);
            assert!((at[16] - 1.0).abs() < 1e-12 && (at[8] - 0.5).abs() < 1e-12);
            assert!(at.is_sorted());
            assert!((at[3] + at[13] - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_frame_that_sectors_cannot_cover_has_no_correction() {
        for (width, height) in [
            (0, 480),
            (143, 480),
            (640, 100),
            (20_000, 480),
            (u32::MAX, 480),
        ] {
            assert_eq!(Lsc::from_fn(width, height, |_, _, _| 1.0), None);
        }
    }

    #[test]
    fn gains_are_1024ths_by_channel_and_node() {
        let lsc = Lsc::from_fn(640, 480, |c, x, y| 1.0 + c as f64 / 4.0 + x + y / 2.0).unwrap();
        assert_eq!(
            (lsc.gains[0][0], lsc.gains[1][16], lsc.gains[3][288]),
            (1024, 2304, 3328)
        );
        assert_eq!(lsc.x_grad[0], 819);
        let cut = Lsc::from_fn(640, 480, |c, _, _| [9.0, f64::NAN, 0.5, 1.0][c]).unwrap();
        assert_eq!(
            (cut.gains[0][7], cut.gains[1][7], cut.gains[2][7]),
            (4095, 1024, 512)
        );
    }
}
