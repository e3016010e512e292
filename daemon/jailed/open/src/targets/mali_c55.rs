//! Arm Mali-C55.
//!
//! What its statistics do not tell, and what is taken instead:
//! - The histogram is of raw pixels, a plane a colour, with black. Black is subtracted, and each
//!   plane is scaled to the frame's mean luminance: what is left is a histogram of luminance, exact
//!   in its mean, and in its spread as far as the scene is grey.
//! - The zones' five bins have thresholds that the interface does not set. So they say which zones
//!   are brighter, and the histogram says how bright the frame is.
//! - A zone's colour is that of its pixels that do not clip, behind white balance, which is undone. A
//!   zone without such a pixel has no colour, and counts as clipped as the frame is.
//!
//! Digital gain is left at 1: it comes before the statistics, and a gain that nobody accounts for
//! would be taken for light. There is no colour matrix and no tone curve in this interface.

use coldshoe_ipa::{Formats, IpaError, Sensor};
use coldshoe_isp::mali_c55::{
    self, AexpHist, AexpHistWeights, AwbConfig, AwbGains, DigitalGain, Mesh, MeshSelection,
    SensorOffset, Stats, ZONES,
};
use coldshoe_isp::{Block, BuildError};

use super::in_force::{Colours, InForce};
use super::{Blocks, Decided, Taken, bits, luminance, shading};
use crate::measure::{Measured, Zone};
use crate::tuning::Tuning;

pub const FORMATS: Formats = Formats {
    stats: mali_c55::STATS_FORMAT,
    params: mali_c55::FORMAT,
    blocks: bits([
        SensorOffset::KIND,
        AexpHist::KIND,
        AexpHistWeights::KIND,
        DigitalGain::KIND,
        AwbGains::KIND,
        AwbConfig::KIND,
        Mesh::KIND,
        MeshSelection::KIND,
    ]),
};

/// Bins of a plane of the histogram.
const BINS: usize = 256;
/// Every third column and every row: pairs of rows alternate, so that all colours count.
const HISTOGRAM: AexpHist = AexpHist {
    skip_x: 1,
    offset_x: 0,
    skip_y: 0,
    offset_y: 0,
    scale_bottom: 0,
    scale_top: 0,
    plane_mode: 1,
    tap_point: 1,
};
/// Metering weighs zones; in the histogram all are alike, so that its mean is the frame's.
const WEIGHTS: AexpHistWeights = AexpHistWeights {
    zones: [ZONES as u8; 2],
    weights: [1; 225],
};
/// Ratios from 1/16 to just below 16, and of pixels that are neither dark nor near their limit.
const RATIOS: AwbConfig = AwbConfig {
    tap_point: 0,
    stats_mode: 1,
    white_level: 1000,
    black_level: 8,
    cr_max_min: [4095, 16],
    cb_max_min: [4095, 16],
    zones: [ZONES as u8; 2],
    cr_high_low: [4095, 16],
    cb_high_low: [4095, 16],
};

/// An Arm Mali-C55.
#[derive(Debug)]
pub struct MaliC55 {
    in_force: InForce,
    mesh: Option<Box<Mesh>>,
    stats: Box<Stats>,
}

impl MaliC55 {
    pub fn new(tuning: &Tuning, sensor: &Sensor) -> Self {
        let mesh = tuning.lsc.as_ref().map(|lsc| {
            let gain = shading(lsc, sensor);
            // Channels are R, Gr, Gb, B.
            Mesh::from_fn(|rgb, x, y| gain([0, 1, 3][rgb], x, y))
        });
        Self {
            in_force: InForce::default(),
            mesh,
            stats: Box::new(Stats::EMPTY),
        }
    }

    pub fn read(
        &mut self,
        bytes: &[u8],
        taken: &Taken,
        measured: &mut Measured,
    ) -> Result<bool, IpaError> {
        self.stats.read(bytes).map_err(IpaError::new)?;
        let black = taken.black.clamp(0.0, 0.9);
        measured.columns = ZONES;
        measured.black = black;
        measured.range = 1.0 - black;
        measured.applied = taken.exposure();
        let Some(light) = self.histogram(measured) else {
            return Ok(false);
        };
        let settled = self.in_force.settled();
        let brightness = |bins: &[u16; 5]| {
            let middle = [0.1, 0.3, 0.5, 0.7, 0.9];
            bins.iter()
                .zip(middle)
                .map(|(&share, at)| f64::from(share) * at)
                .sum::<f64>()
        };
        let all: f64 = self.stats.five_bins.iter().map(brightness).sum();
        let scale = light * self.stats.five_bins.len() as f64 / all;
        measured.zones.clear();
        for (bins, &ratios) in self.stats.five_bins.iter().zip(&self.stats.ratios) {
            let share = brightness(bins) * scale;
            let luminance = if share.is_finite() {
                share.min(1.0)
            } else {
                light
            };
            let (_, _, pixels) = ratios;
            measured.zones.push(Zone {
                rgb: settled.map_or([0.0; 3], |colours| colour(&colours, ratios, luminance)),
                luminance,
                valid: 1.0,
                clipped: if pixels > 0 { 0.0 } else { measured.clipped },
                contrast: None,
            });
        }
        Ok(true)
    }

    /// Makes the histogram of luminance and returns its mean; `None` without pixels.
    fn histogram(&self, measured: &mut Measured) -> Option<f64> {
        let (black, range) = (measured.black, measured.range);
        let level =
            |bin: usize| (((bin as f64 + 0.5) / BINS as f64 - black) / range).clamp(0.0, 1.0);
        let mut planes = [(0.0, 0.0, 0.0); 4];
        for (plane, (mean, pixels, clipped)) in
            self.stats.histogram.chunks_exact(BINS).zip(&mut planes)
        {
            *pixels = plane.iter().map(|&count| f64::from(count)).sum();
            let sum: f64 = plane
                .iter()
                .enumerate()
                .map(|(bin, &count)| f64::from(count) * level(bin))
                .sum();
            *mean = sum / f64::max(*pixels, 1.0);
            *clipped = plane.last().map_or(0.0, |&count| f64::from(count)) / f64::max(*pixels, 1.0);
        }
        if planes.iter().all(|(_, pixels, _)| *pixels == 0.0) {
            return None;
        }
        // The two greens are half of a cell.
        let light = planes.iter().map(|(mean, _, _)| mean / 4.0).sum::<f64>();
        measured.clipped = planes
            .iter()
            .fold(0.0, |most, (_, _, clipped)| f64::max(most, *clipped));
        measured.bin_width = 1.0 / BINS as f64;
        measured.histogram.clear();
        measured.histogram.resize(BINS, 0.0);
        for (plane, (mean, _, _)) in self.stats.histogram.chunks_exact(BINS).zip(planes) {
            let scale = if mean > 0.0 { light / mean } else { 1.0 };
            for (bin, &count) in plane.iter().enumerate() {
                let to = (level(bin) * scale * BINS as f64) as usize;
                measured.histogram[to.min(BINS - 1)] += f64::from(count);
            }
        }
        Some(light)
    }

    pub fn write(
        &mut self,
        out: &mut Blocks<'_>,
        decided: &mut Decided<'_>,
    ) -> Result<(), BuildError> {
        let [red, green, blue] = decided.gains;
        let gains = AwbGains::from_gains([red, green, green, blue]);
        out.push(&SensorOffset::uniform(decided.black))?;
        out.push(&HISTOGRAM)?;
        out.push(&WEIGHTS)?;
        out.push(&DigitalGain::from_gain(1.0))?;
        out.push(&gains)?;
        out.push(&RATIOS)?;
        if let Some(mesh) = &self.mesh {
            out.push::<Mesh>(mesh)?;
            out.push(&MeshSelection::FIRST)?;
        }
        let [red, green, _, blue] = gains.gains();
        let has = out.has::<AwbGains>();
        self.in_force.send(Colours::of_gains(if has {
            [red, green, blue]
        } else {
            [1.0; 3]
        }));
        Ok(())
    }
}

/// A zone's colour as the sensor saw it, at a luminance; black where it has none.
fn colour(colours: &Colours, (red, blue, pixels): (u16, u16, u32), light: f64) -> [f64; 3] {
    if pixels == 0 {
        return [0.0; 3];
    }
    let raw = colours.undo([f64::from(red) / 256.0, 1.0, f64::from(blue) / 256.0]);
    raw.map(|channel| channel * light / luminance(raw))
}
