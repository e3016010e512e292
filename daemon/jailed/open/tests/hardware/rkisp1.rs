//! A Rockchip ISP1: black level, lens shading, gains, matrix; then it measures.

use coldshoe_camera::RawFrame;
use coldshoe_isp::Blocks;
use coldshoe_isp::rkisp1::{AwbGain, AwbMeas, Bls, Ctk, Lsc, Stats};

use super::{Isp, cells, find, zone};

pub struct Rkisp1 {
    /// Zones in a row, and bins, as the hardware's revision has them.
    pub grid: (usize, usize),
    black: f64,
    gains: [f64; 4],
    matrix: [[f64; 3]; 3],
    lsc: Option<Box<Lsc>>,
    awb: AwbMeas,
}

impl Rkisp1 {
    /// As it is after reset.
    pub fn of_revision(revision: u32) -> Self {
        Self {
            grid: if revision < 12 { (5, 16) } else { (9, 32) },
            black: 0.0,
            gains: [1.0; 4],
            matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            lsc: None,
            awb: AwbMeas::default(),
        }
    }

    /// R, G and B of a cell where statistics are taken.
    fn develop(&self, x: f64, y: f64, channels: [f64; 4]) -> [f64; 3] {
        let mut channels = channels.map(|value| (value - self.black).max(0.0));
        if let Some(lsc) = &self.lsc {
            // 17 nodes; frames here divide into sectors evenly.
            let node = (y * 16.0).round() as usize * 17 + (x * 16.0).round() as usize;
            for (value, table) in channels.iter_mut().zip(&lsc.gains) {
                *value *= f64::from(table[node]) / 1024.0;
            }
        }
        for (value, gain) in channels.iter_mut().zip(self.gains) {
            *value = (*value * gain).min(1.0);
        }
        let [red, green_r, green_b, blue] = channels;
        let rgb = [red, f64::midpoint(green_r, green_b), blue];
        self.matrix.map(|row| {
            let sum: f64 = row.iter().zip(rgb).map(|(m, v)| m * v).sum();
            sum.clamp(0.0, 1.0)
        })
    }
}

impl Isp for Rkisp1 {
    fn obey(&mut self, blocks: &Blocks<'_>) {
        if let Some(bls) = find::<Bls>(blocks) {
            self.black = f64::from(bls.fixed[0]) / 4095.0;
        }
        if let Some(gains) = find::<AwbGain>(blocks) {
            self.gains = gains.gains();
        }
        if let Some(ctk) = find::<Ctk>(blocks) {
            self.matrix = ctk.rows();
        }
        if let Some(lsc) = find::<Lsc>(blocks) {
            self.lsc = Some(Box::new(lsc));
        }
        if let Some(awb) = find::<AwbMeas>(blocks) {
            self.awb = awb;
        }
    }

    fn measure(&self, raw: &RawFrame, frame: u32) -> Vec<u8> {
        let (columns, bins) = self.grid;
        let mut exp = vec![(0.0, 0.0); columns * columns];
        let mut histogram = [0_u32; 32];
        let (mut count, mut sums) = (0, [0.0; 3]);
        let limits = [self.awb.ref_cr, self.awb.min_y, self.awb.ref_cb].map(f64::from);
        for (at, (x, y, channels)) in cells(raw).enumerate() {
            let rgb = self.develop(x, y, channels);
            let (sum, cells) = &mut exp[zone(x, y, columns)];
            *sum += rgb.iter().sum::<f64>() * 85.0 / 256.0;
            *cells += 1.0;
            if at % 3 == 0 {
                let luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
                histogram[((luma * bins as f64) as usize).min(bins - 1)] += 32;
            }
            if self.awb.mode == 1 && rgb.iter().zip(limits).all(|(v, most)| v * 255.0 <= most) {
                count += 1;
                for (sum, value) in sums.iter_mut().zip(rgb) {
                    *sum += value;
                }
            }
        }
        let mut exp_mean = [0; 81];
        for (out, (sum, cells)) in exp_mean.iter_mut().zip(exp) {
            *out = (sum / cells * 255.0) as u8;
        }
        let stats = Stats {
            frame_id: frame,
            awb: Some((
                count,
                sums.map(|sum| (sum / f64::from(count.max(1)) * 255.0).round() as u8),
            )),
            exp_mean: Some(exp_mean),
            histogram: Some(histogram),
        };
        stats.encode().to_vec()
    }
}
