//! `rkisp1` version 1: the blocks of the Rockchip ISP1 that a camera algorithm sets, and its
//! statistics.
//!
//! Source: `include/uapi/linux/rkisp1-config.h`. Each type here is the structure of that header, in
//! its units; the format has more blocks than these. Channels come in the order R, Gr, Gb, B.

mod shading;
mod stats;

pub use shading::Lsc;
pub use stats::{STATS_FORMAT, Stats, StatsError};

use crate::fixed::scaled;
use crate::wire::wire_block;

/// The name of the format.
pub const FORMAT: &str = "rkisp1";

/// The version in the buffer header.
pub const VERSION: u32 = 1;

wire_block! {
    /// Black level subtraction, `rkisp1_cif_isp_bls_config`; the windows measure nothing.
    Bls = 0 "BLS", 40 bytes {
        /// 1 subtracts what is measured in the windows instead of the fixed values.
        0 => enable_auto: u8,
        /// Fixed values of R, Gr, Gb, B, 12-bit levels.
        20 => fixed: [i16; 4],
    }
}

wire_block! {
    /// White balance gains, `rkisp1_cif_isp_awb_gain_config`: Q2.8, below 4.
    AwbGain = 3 "AWB_GAIN", 16 bytes {
        /// Of red.
        0 => red: u16,
        /// Of green in red lines.
        2 => green_r: u16,
        /// Of blue.
        4 => blue: u16,
        /// Of green in blue lines.
        6 => green_b: u16,
    }
}

wire_block! {
    /// Noise filter and sharpening, `rkisp1_cif_isp_flt_config`.
    Flt = 4 "FLT", 56 bytes {
        /// 0 uses `fac_mid` everywhere, 1 a factor by the gradient.
        0 => mode: u32,
        /// First stage of the green filter, 0..=8.
        4 => grn_stage1: u8,
        /// Horizontal chroma filter, 0..=3.
        5 => chr_h_mode: u8,
        /// Vertical chroma filter, 0..=3.
        6 => chr_v_mode: u8,
        /// Gradients up to this are blurred with `fac_bl0`, 10 bits.
        8 => thresh_bl0: u32,
        /// Gradients up to this are blurred with `fac_bl1`, 10 bits.
        12 => thresh_bl1: u32,
        /// Gradients from this on are sharpened with `fac_sh0`, 10 bits.
        16 => thresh_sh0: u32,
        /// Gradients from this on are sharpened with `fac_sh1`, 10 bits.
        20 => thresh_sh1: u32,
        /// Weight of luminance: kink, minimum, gain.
        24 => lum_weight: u32,
        /// 6 bits each.
        28 => fac_sh1: u32,
        /// Of the weaker sharpening.
        32 => fac_sh0: u32,
        /// In between.
        36 => fac_mid: u32,
        /// Of the weaker blurring.
        40 => fac_bl0: u32,
        /// Of the stronger blurring.
        44 => fac_bl1: u32,
    }
}

wire_block! {
    /// Cross talk correction: the colour matrix, `rkisp1_cif_isp_ctk_config`.
    Ctk = 6 "CTK", 32 bytes {
        /// Row by row, 11 bits of two's complement, 128 is 1.
        0 => coeff: [u16; 9],
        /// Added to R, G and B, 12 bits of two's complement.
        18 => offset: [u16; 3],
    }
}

wire_block! {
    /// Gamma out, `rkisp1_cif_isp_goc_config`. Hardware revisions up to 11 have 17 samples.
    Goc = 7 "GOC", 80 bytes {
        /// 0 spaces samples logarithmically, 1 evenly.
        0 => mode: u32,
        /// 12-bit levels.
        4 => gamma_y: [u16; 34],
    }
}

wire_block! {
    /// Denoising before demosaicing, `rkisp1_cif_isp_dpf_config`.
    Dpf = 8 "DPF", 80 bytes {
        /// What gains the noise is reckoned with; 4 are those of white balance.
        0 => gain_mode: u32,
        /// Noise gains of R, B, Gr, Gb, 12 bits.
        4 => nf_gain: [u16; 4],
        /// Spatial weights of green, 0..=16.
        12 => green: [u8; 6],
        /// Filter green in red lines, and in blue ones.
        18 => green_on: [u8; 2],
        /// Kernel of red and blue: 0 is 13×9, 1 is 9×9.
        20 => red_blue_size: u32,
        /// Spatial weights of red and blue, 0..=16.
        24 => red_blue: [u8; 6],
        /// Filter red, and blue.
        30 => red_blue_on: [u8; 2],
        /// Noise level by brightness, 10 bits.
        32 => noise: [u16; 17],
        /// 0 spaces them evenly, 1 logarithmically.
        68 => noise_scale: u32,
    }
}

wire_block! {
    /// Strength of that denoising, `rkisp1_cif_isp_dpf_strength_config`.
    DpfStrength = 9 "DPF_STRENGTH", 16 bytes {
        /// Of R, G and B.
        0 => rgb: [u8; 3],
    }
}

wire_block! {
    /// Contrast, brightness, saturation, hue: `rkisp1_cif_isp_cproc_config`.
    Cproc = 10 "CPROC", 16 bytes {
        /// 1: chrominance leaves in full range.
        0 => c_out_range: u8,
        /// 1: luminance comes in full range.
        1 => y_in_range: u8,
        /// 1: luminance leaves in full range.
        2 => y_out_range: u8,
        /// 128 is 1.
        3 => contrast: u8,
        /// Two's complement.
        4 => brightness: u8,
        /// 128 is 1.
        5 => saturation: u8,
        /// Two's complement, −90 to 87.188 degrees.
        6 => hue: u8,
    }
}

wire_block! {
    /// White balance statistics, `rkisp1_cif_isp_awb_meas_config`.
    AwbMeas = 13 "AWB_MEAS", 32 bytes {
        /// Left, top, width, height, pixels.
        0 => window: [u16; 4],
        /// 1 measures R, G and B, 2 Y, Cb and Cr.
        8 => mode: u32,
        /// Y, Cb, Cr: brighter pixels do not count.
        12 => max_y: u8,
        /// Y, Cb, Cr: darker pixels do not count. R, G, B: those with more green do not.
        13 => min_y: u8,
        /// Y, Cb, Cr: pixels with a larger Cb + Cr do not count.
        14 => max_csum: u8,
        /// Y, Cb, Cr: pixels with a smaller Cb or Cr do not count.
        15 => min_c: u8,
        /// Frames that the mean is taken over, less one.
        16 => frames: u8,
        /// Y, Cb, Cr: Cr of white. R, G, B: pixels with more red do not count.
        17 => ref_cr: u8,
        /// Y, Cb, Cr: Cb of white. R, G, B: pixels with more blue do not count.
        18 => ref_cb: u8,
        /// 1 uses `max_y`.
        19 => enable_ymax_cmp: u8,
    }
}

wire_block! {
    /// Histogram, `rkisp1_cif_isp_hst_config`.
    HstMeas = 14 "HST_MEAS", 104 bytes {
        /// 5 is that of luminance.
        0 => mode: u32,
        /// Every so manieth pixel counts.
        4 => predivider: u8,
        /// Left, top, width, height, pixels.
        6 => window: [u16; 4],
        /// Weights of 9×9 parts, 0..=16; revisions up to 11 have 5×5.
        14 => weights: [u8; 81],
    }
}

wire_block! {
    /// Exposure statistics, `rkisp1_cif_isp_aec_config`.
    AecMeas = 15 "AEC_MEAS", 24 bytes {
        /// 1 measures `(R + G + B)·85/256`.
        0 => mode: u32,
        /// 1 stops after a frame.
        4 => autostop: u32,
        /// Left, top, width, height, pixels.
        8 => window: [u16; 4],
    }
}

impl Bls {
    /// The same level, fraction of full scale, in all channels.
    #[must_use]
    pub fn uniform(level: f64) -> Self {
        Self {
            // At most 4095.
            fixed: [scaled(level, 4095.0, 4095, 0.0) as i16; 4],
            ..Self::default()
        }
    }
}

impl AwbGain {
    /// The largest gain.
    pub const MAX: f64 = 1023.0 / 256.0;

    /// Rounds gains (R, Gr, Gb, B) and cuts them to what the hardware has; NaN is 1.
    #[must_use]
    pub fn from_gains(gains: [f64; 4]) -> Self {
        let [red, green_r, green_b, blue] = gains.map(|gain| scaled(gain, 256.0, 1023, 1.0) as u16);
        Self {
            red,
            green_r,
            blue,
            green_b,
        }
    }

    /// The gains, R, Gr, Gb, B.
    #[must_use]
    pub fn gains(&self) -> [f64; 4] {
        [self.red, self.green_r, self.green_b, self.blue].map(|gain| f64::from(gain) / 256.0)
    }
}

impl Ctk {
    /// Rounds a matrix of rows to 128ths within −8..8, NaN to the identity's. What rounding takes
    /// from a row's sum is given back on the diagonal: grey stays grey.
    #[must_use]
    pub fn from_rows(rows: [[f64; 3]; 3]) -> Self {
        let mut coeff = [0; 9];
        for (i, row) in rows.iter().enumerate() {
            let mut raw = [0_i32; 3];
            for (j, &value) in row.iter().enumerate() {
                let one = if i == j { 1.0 } else { 0.0 };
                let value = if value.is_nan() { one } else { value };
                raw[j] = (value * 128.0).round().clamp(-1024.0, 1023.0) as i32;
            }
            let exact: f64 = row.iter().sum();
            if exact.abs() < 8.0 {
                let lost = (exact * 128.0).round() as i32 - raw.iter().sum::<i32>();
                // Three roundings lose one at most; more is a coefficient that was cut.
                raw[i] = (raw[i] + lost.clamp(-1, 1)).clamp(-1024, 1023);
            }
            for (j, value) in raw.into_iter().enumerate() {
                coeff[3 * i + j] = (value & 0x7ff) as u16;
            }
        }
        Self {
            coeff,
            offset: [0; 3],
        }
    }

    /// The matrix, row by row.
    #[must_use]
    pub fn rows(&self) -> [[f64; 3]; 3] {
        let value = |raw: u16| f64::from((raw << 5).cast_signed() >> 5) / 128.0;
        let m = self.coeff.map(value);
        [[m[0], m[1], m[2]], [m[3], m[4], m[5]], [m[6], m[7], m[8]]]
    }
}

impl Goc {
    /// Inputs of the 17 samples of revisions up to 11 in the logarithmic mode, 4096ths: denser
    /// where a gamma curve is steep. The header names the mode; the spacing is the hardware's.
    pub const LOGARITHMIC: [u16; 17] = [
        0, 64, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 2560, 3072, 3584, 4096,
    ];

    /// Samples a curve from 0..=1 to 0..=1 for hardware of revisions up to 11.
    #[must_use]
    pub fn from_fn(curve: impl Fn(f64) -> f64) -> Self {
        let mut gamma_y = [0; 34];
        for (y, x) in gamma_y.iter_mut().zip(Self::LOGARITHMIC) {
            *y = scaled(curve(f64::from(x) / 4096.0), 4095.0, 4095, 0.0) as u16;
        }
        Self { mode: 0, gamma_y }
    }
}

impl Cproc {
    /// Contrast and saturation, 1 being neutral, cut to 0..=1.992; brightness, -1..=1 of full light,
    /// 0 being neutral, cut to what there is; everything in full range.
    #[must_use]
    pub fn new(contrast: f64, brightness: f64, saturation: f64) -> Self {
        Self {
            c_out_range: 1,
            y_in_range: 1,
            y_out_range: 1,
            contrast: scaled(contrast, 128.0, 255, 1.0) as u8,
            brightness: (brightness * 256.0).round() as i8 as u8,
            saturation: scaled(saturation, 128.0, 255, 1.0) as u8,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::Block;

    #[test]
    fn gains_are_q2_8() {
        let gains = AwbGain::from_gains([2.0, 1.0, f64::NAN, 9.0]);
        let mut body = [0; 8];
        gains.encode(&mut body);
        assert_eq!(body, [0, 2, 0, 1, 0xff, 3, 0, 1]);
        assert_eq!(gains.gains(), [2.0, 1.0, 1.0, AwbGain::MAX]);
    }

    #[test]
    fn the_matrix_is_11_bits_of_twos_complement_and_keeps_grey() {
        let ctk = Ctk::from_rows([[1.0 / 3.0; 3], [-8.0, 9.0, 0.0], [f64::NAN, 0.5, 0.5]]);
        assert_eq!(ctk.coeff[..3].iter().sum::<u16>(), 128);
        assert_eq!(ctk.coeff[3..6], [0x400, 0x3ff, 0]);
        let rows = [
            [1.733, -0.511, -0.222],
            [-0.333, 1.666, -0.333],
            [0.017, -0.717, 1.7],
        ];
        let back = Ctk::from_rows(rows).rows();
        for (row, want) in back.iter().zip(&rows) {
            assert_eq!(row.iter().sum::<f64>(), 1.0);
            for (got, want) in row.iter().zip(want) {
                assert!((got - want).abs() <= 1.5 / 128.0, "{got} {want}");
            }
        }
    }

    #[test]
    fn levels_and_curves_end_at_the_largest_of_12_bits() {
        assert_eq!(Bls::uniform(1.0).fixed, [4095; 4]);
        assert_eq!(Bls::uniform(f64::NAN).fixed, [0; 4]);
        assert_eq!(Bls::uniform(64.0 / 1023.0).fixed, [256; 4]);
        let goc = Goc::from_fn(|x| x);
        assert_eq!(
            (goc.gamma_y[0], goc.gamma_y[16], goc.gamma_y[17]),
            (0, 4095, 0)
        );
        assert_eq!(goc.gamma_y[4], 256);
        assert_eq!(Cproc::new(9.0, 0.0, f64::NAN).contrast, 255);
        assert_eq!(Cproc::new(1.0, 0.0, f64::NAN).saturation, 128);
        assert_eq!(Cproc::new(1.0, -0.25, 1.0).brightness, 0xc0);
        assert_eq!(Cproc::new(1.0, 1.0, 1.0).brightness, 127);
        assert_eq!(Cproc::new(1.0, f64::NAN, 1.0).brightness, 0);
    }
}
