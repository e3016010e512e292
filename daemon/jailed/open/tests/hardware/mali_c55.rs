//! An Arm Mali-C55: it measures light before it does anything to it, and colour behind black level,
//! mesh and white balance.

use coldshoe_camera::RawFrame;
use coldshoe_isp::Blocks;
use coldshoe_isp::mali_c55::{AexpHist, AwbConfig, AwbGains, Mesh, SensorOffset, Stats, ZONES};

use super::{Isp, cells, find, zone};

pub struct MaliC55 {
    black: f64,
    gains: [f64; 4],
    mesh: Option<Box<Mesh>>,
    awb: AwbConfig,
    histogram: AexpHist,
    /// Where the five bins of a zone meet.
    pub thresholds: [f64; 4],
}

impl MaliC55 {
    /// As it is after reset.
    pub fn new() -> Self {
        Self {
            black: 0.0,
            gains: [1.0; 4],
            mesh: None,
            awb: AwbConfig::default(),
            histogram: AexpHist::default(),
            thresholds: [0.2, 0.4, 0.6, 0.8],
        }
    }

    /// Where colour is measured.
    fn develop(&self, x: f64, y: f64, channels: [f64; 4]) -> [f64; 4] {
        let mut channels = channels.map(|value| (value - self.black).max(0.0));
        if let Some(mesh) = &self.mesh {
            let node = (y * 31.0).round() as usize * 32 + (x * 31.0).round() as usize;
            let step = f64::from(2_u32 << mesh.scale) / 256.0;
            for (value, page) in channels.iter_mut().zip([0, 1, 1, 2]) {
                *value *= f64::from(mesh.mesh[page * 1024 + node] & 0xff) * step;
            }
        }
        let mut gains = self.gains.iter();
        channels.map(|value| (value * gains.next().unwrap()).min(1.0))
    }
}

impl Isp for MaliC55 {
    fn obey(&mut self, blocks: &Blocks<'_>) {
        if let Some(offset) = find::<SensorOffset>(blocks) {
            self.black = f64::from(offset.levels[0]) / f64::from((1 << 20) - 1);
        }
        if let Some(gains) = find::<AwbGains>(blocks) {
            self.gains = gains.gains();
        }
        if let Some(mesh) = find::<Mesh>(blocks) {
            self.mesh = Some(Box::new(mesh));
        }
        if let Some(awb) = find::<AwbConfig>(blocks) {
            self.awb = awb;
        }
        if let Some(histogram) = find::<AexpHist>(blocks) {
            self.histogram = histogram;
        }
    }

    fn measure(&self, raw: &RawFrame, _: u32) -> Vec<u8> {
        let mut stats = Stats::EMPTY;
        let mut five = vec![[0.0; 5]; ZONES * ZONES];
        let mut colour = vec![(0.0, 0.0, 0.0, 0_u32); ZONES * ZONES];
        for (x, y, channels) in cells(raw) {
            if self.histogram.plane_mode == 1 {
                for (plane, value) in channels.iter().enumerate() {
                    stats.histogram[plane * 256 + ((value * 256.0) as usize).min(255)] += 1;
                }
            }
            let zone = zone(x, y, ZONES);
            let light = channels.iter().sum::<f64>() / 4.0;
            five[zone][self
                .thresholds
                .iter()
                .filter(|&&edge| light >= edge)
                .count()] += 1.0;
            let seen = self.develop(x, y, channels);
            let limits =
                [self.awb.black_level, self.awb.white_level].map(|v| f64::from(v) / 1023.0);
            if self.awb.stats_mode == 1 && seen.iter().all(|v| (limits[0]..=limits[1]).contains(v))
            {
                let sums = &mut colour[zone];
                sums.0 += seen[0];
                sums.1 += f64::midpoint(seen[1], seen[2]);
                sums.2 += seen[3];
                sums.3 += 1;
            }
        }
        for (zone, bins) in five.iter().enumerate() {
            let all: f64 = bins.iter().sum();
            stats.five_bins[zone] = bins.map(|bin| (bin / all * 65535.0) as u16);
            let (red, green, blue, pixels) = colour[zone];
            let ratio = |sum: f64| (sum / green * 256.0) as u16;
            stats.ratios[zone] = (ratio(red), ratio(blue), pixels);
        }
        stats.encode()
    }
}
