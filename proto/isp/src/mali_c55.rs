//! `mali-c55` version 1: the blocks of the Arm Mali-C55 that a camera algorithm sets, and its
//! statistics.
//!
//! Source: `include/uapi/linux/media/arm/mali-c55-config.h`. Each type here is the structure of that
//! header behind the block's header, in its units; the format has more blocks than these. Channels
//! come in the order R, Gr, Gb, B.

mod stats;

pub use stats::{STATS_FORMAT, Stats, StatsError, pack_count, unpack_count};

use crate::fixed::scaled;
use crate::wire::wire_block;

/// The name of the format.
pub const FORMAT: &str = "mali-c55";

/// The version in the buffer header.
pub const VERSION: u32 = 1;

/// Zones in a row, and rows of them: all that the hardware has.
pub const ZONES: usize = 15;

wire_block! {
    /// Black level, before shading correction: `mali_c55_params_sensor_off_preshading`.
    SensorOffset = 0 "SENSOR_OFFS", 24 bytes {
        /// Of R, Gr, Gb, B, 20-bit levels.
        0 => levels: [u32; 4],
    }
}

wire_block! {
    /// Exposure histogram, `mali_c55_params_aexp_hist`.
    AexpHist = 1 "AEXP_HIST", 16 bytes {
        /// Columns that count: 0 every second, 1 every third, …
        0 => skip_x: u8,
        /// Begin with the first column or the second.
        1 => offset_x: u8,
        /// Rows that count: 0 all, 1 every second, …
        2 => skip_y: u8,
        /// Begin with the first row or the second.
        3 => offset_y: u8,
        /// Scale of the darker half, log2.
        4 => scale_bottom: u8,
        /// Scale of the brighter half, log2.
        5 => scale_top: u8,
        /// 1 counts each colour in 256 bins of its own.
        6 => plane_mode: u8,
        /// 1 takes pixels after the frame stitcher: linear, with black, before white balance.
        7 => tap_point: u8,
    }
}

wire_block! {
    /// Weights of the exposure histogram, `mali_c55_params_aexp_weights`.
    AexpHistWeights = 3 "AEXP_HIST_WEIGHTS", 240 bytes {
        /// Zones in a row, and rows.
        0 => zones: [u8; 2],
        /// Row by row, 0..=15.
        2 => weights: [u8; 225],
    }
}

wire_block! {
    /// Digital gain, `mali_c55_params_digital_gain`: Q5.8.
    DigitalGain = 5 "DIGITAL_GAIN", 16 bytes {
        /// Of all channels.
        0 => gain: u16,
    }
}

wire_block! {
    /// White balance gains, `mali_c55_params_awb_gains`: Q4.8, below 16.
    AwbGains = 6 "AWB_GAINS", 16 bytes {
        /// Of R, Gr, Gb, B, whatever the sensor's colour order is.
        0 => raw: [u16; 4],
    }
}

wire_block! {
    /// White balance statistics, `mali_c55_params_awb_config`. Ratios are Q4.8.
    AwbConfig = 7 "AWB_CONFIG", 32 bytes {
        /// 0 is behind the purple fringe correction.
        0 => tap_point: u8,
        /// 1 forms R/G and B/G.
        1 => stats_mode: u8,
        /// Brighter pixels do not count, 10 bits.
        2 => white_level: u16,
        /// Darker pixels do not count, 10 bits.
        4 => black_level: u16,
        /// Largest and smallest R/G that counts.
        6 => cr_max_min: [u16; 2],
        /// Largest and smallest B/G that counts.
        10 => cb_max_min: [u16; 2],
        /// Zones in a row, and rows.
        14 => zones: [u8; 2],
        /// Upper and lower trim of R/G.
        16 => cr_high_low: [u16; 2],
        /// Upper and lower trim of B/G.
        20 => cb_high_low: [u16; 2],
    }
}

wire_block! {
    /// Lens shading tables, `mali_c55_params_mesh_shading_config`.
    Mesh = 9 "MESH_SHADING_CONFIG", 12304 bytes {
        /// 1 shows the mesh instead of the picture.
        0 => show: u8,
        /// 0 to 3: gains to just below 2, 4, 8, 16.
        1 => scale: u8,
        /// Page of R, G and B.
        2 => pages: [u8; 3],
        /// Nodes in a row, and rows, less one.
        5 => nodes: [u8; 2],
        /// Three pages of 32×32 nodes; a byte of gain for each of three lights.
        8 => mesh: [u32; 3072],
    }
}

wire_block! {
    /// Which of those tables are blended, `mali_c55_params_mesh_shading_selection`.
    MeshSelection = 10 "MESH_SHADING_SELECTION", 16 bytes {
        /// Pair of lights of R, G and B; 0 is the first two.
        0 => banks: [u8; 3],
        /// Share of the second light in R, G and B, 256ths.
        3 => alphas: [u8; 3],
        /// Strength, Q4.12, at most 1.
        6 => strength: u16,
    }
}

impl SensorOffset {
    /// The same level, fraction of full scale, in all channels.
    #[must_use]
    pub fn uniform(level: f64) -> Self {
        let full = (1 << 20) - 1;
        Self {
            levels: [scaled(level, f64::from(full), full, 0.0); 4],
        }
    }
}

impl AwbGains {
    /// The largest gain.
    pub const MAX: f64 = 4095.0 / 256.0;

    /// Rounds gains (R, Gr, Gb, B) and cuts them to what the hardware has; NaN is 1.
    #[must_use]
    pub fn from_gains(gains: [f64; 4]) -> Self {
        Self {
            raw: gains.map(|gain| scaled(gain, 256.0, 4095, 1.0) as u16),
        }
    }

    /// The gains, R, Gr, Gb, B.
    #[must_use]
    pub fn gains(&self) -> [f64; 4] {
        self.raw.map(|gain| f64::from(gain) / 256.0)
    }
}

impl DigitalGain {
    /// Rounds a gain and cuts it to what the hardware has; NaN is 1.
    #[must_use]
    pub fn from_gain(gain: f64) -> Self {
        Self {
            gain: scaled(gain, 256.0, 8191, 1.0) as u16,
        }
    }
}

impl Mesh {
    /// Nodes in a row, and rows of them.
    pub const NODES: usize = 32;

    /// Samples `gain(channel, x, y)` of R, G and B (0 to 2) at every node, x and y in 0..=1 from
    /// the top left, in the finest scale that has them all; NaN is 1. All lights get the same.
    #[must_use]
    pub fn from_fn(gain: impl Fn(usize, f64, f64) -> f64) -> Box<Self> {
        let at = |i: usize| {
            let (channel, node) = (
                i / (Self::NODES * Self::NODES),
                i % (Self::NODES * Self::NODES),
            );
            let place = |n: usize| n as f64 / (Self::NODES - 1) as f64;
            gain(
                channel,
                place(node % Self::NODES),
                place(node / Self::NODES),
            )
        };
        let largest = (0..3072).map(at).fold(1.0, f64::max);
        // A byte of 255 is a hair below the scale's end.
        let scale = (0..3_u8).find(|&s| largest <= step(s) * 255.0).unwrap_or(3);
        let mut mesh = Box::new(Self {
            scale,
            pages: [0, 1, 2],
            nodes: [Self::NODES as u8 - 1; 2],
            ..Self::default()
        });
        for (i, out) in mesh.mesh.iter_mut().enumerate() {
            *out = scaled(at(i), 1.0 / step(scale), 255, 1.0) * 0x01_01_01;
        }
        mesh
    }
}

/// Gain of a byte's lowest bit.
fn step(scale: u8) -> f64 {
    f64::from(2_u32 << scale) / 256.0
}

impl MeshSelection {
    /// The first light's tables, in full.
    pub const FIRST: Self = Self {
        banks: [0; 3],
        alphas: [0; 3],
        strength: 4096,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::Block;

    #[test]
    fn gains_and_levels_are_what_the_header_says() {
        let gains = AwbGains::from_gains([2.0, 1.0, f64::NAN, 99.0]);
        assert_eq!(gains.raw, [512, 256, 256, 4095]);
        assert_eq!(gains.gains()[3], AwbGains::MAX);
        assert_eq!(DigitalGain::from_gain(1.0).gain, 256);
        assert_eq!(DigitalGain::from_gain(f64::INFINITY).gain, 8191);
        assert_eq!(SensorOffset::uniform(1.0).levels, [0xf_ffff; 4]);
        assert_eq!(SensorOffset::uniform(f64::NAN).levels, [0; 4]);
    }

    #[test]
    fn the_mesh_takes_the_finest_scale_that_has_its_gains() {
        for (largest, scale) in [(1.0, 0), (1.9, 0), (2.5, 1), (4.0, 2), (15.0, 3), (99.0, 3)] {
            let mesh = Mesh::from_fn(|_, x, _| if x == 1.0 { largest } else { 1.0 });
            assert_eq!(mesh.scale, scale, "{largest}");
            let of = |node: usize| f64::from(mesh.mesh[node] & 0xff) * step(scale);
            assert!((of(0) - 1.0).abs() <= step(scale) / 2.0);
            assert!(
                (of(31) - largest.min(15.95)).abs() <= step(scale),
                "{largest}"
            );
        }
    }

    #[test]
    fn the_mesh_has_a_page_a_channel_and_the_same_for_every_light() {
        let mesh = Mesh::from_fn(|channel, _, y| {
            if y == 1.0 {
                1.0
            } else {
                [1.5, f64::NAN, 0.5][channel]
            }
        });
        assert_eq!(
            (mesh.mesh[0], mesh.mesh[1024], mesh.mesh[2048]),
            (0xc0_c0_c0, 0x80_80_80, 0x40_40_40)
        );
        assert_eq!(mesh.mesh[1023], 0x80_80_80);
        let mut body = vec![0; Mesh::SIZE - 8];
        mesh.encode(&mut body);
        assert_eq!(body[..12], [0, 0, 0, 1, 2, 31, 31, 0, 0xc0, 0xc0, 0xc0, 0]);
        assert_eq!(Mesh::decode(&body), Ok(*mesh));
    }
}
