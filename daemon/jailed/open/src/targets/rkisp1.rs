//! Rockchip ISP1.
//!
//! What its statistics do not tell, and what is taken instead:
//! - Colour is one mean of the frame's unclipped pixels, behind white balance and colour matrix:
//!   both are undone, and every zone gets that colour at its own luminance.
//! - Luminance is that of 5×5 or 9×9 zones and 16 or 32 bins, 8 bits, behind the same blocks. It is
//!   brought back to the sensor's by the factor that the frame's mean colour has.
//! - Clipping: a pixel in the uppermost bin counts as clipped, and so does a zone of such a mean.
//! - Statistics are behind lens shading correction. It is taken out of each zone's luminance, as
//!   exposure is metered as the sensor sees; a histogram has no places to take it out of.

use coldshoe_ipa::{Formats, IpaError, Sensor};
use coldshoe_isp::rkisp1::{
    self, AecMeas, AwbGain, AwbMeas, Bls, Cproc, Ctk, Dpf, DpfStrength, Flt, Goc, HstMeas, Lsc,
    Stats,
};
use coldshoe_isp::{Block, BuildError};

use super::in_force::{Colours, InForce};
use super::tuning::{Denoise, NoiseTuning};
use super::{Blocks, Decided, Taken, bits, luminance, shading, zone_weights};
use crate::measure::{Measured, Zone};
use crate::tuning::Tuning;

pub const FORMATS: Formats = Formats {
    stats: rkisp1::STATS_FORMAT,
    params: rkisp1::FORMAT,
    blocks: bits([
        Bls::KIND,
        AwbGain::KIND,
        Flt::KIND,
        Ctk::KIND,
        Goc::KIND,
        Dpf::KIND,
        DpfStrength::KIND,
        Cproc::KIND,
        Lsc::KIND,
        AwbMeas::KIND,
        HstMeas::KIND,
        AecMeas::KIND,
    ]),
};

/// Pixels with a channel above it stay out of the colour: they are clipped, or nearly.
const NEARLY_CLIPPED: u8 = 250;
/// A zone of this mean is mostly clipped.
const CLIPPED_ZONE: f64 = 0.95;
/// A luminance histogram weighs channels as BT.601 does.
const BT601: [f64; 3] = [0.299, 0.587, 0.114];
/// Light at which the noise filter's thresholds are reckoned.
const MIDDLE: f64 = 0.18;
/// Factor of the noise filter for gradients that are hardly more than noise.
const BLURRED: f64 = 6.0;

/// A Rockchip ISP1.
#[derive(Debug)]
pub struct Rkisp1 {
    /// Zones in a row, and bins.
    grid: (usize, usize),
    in_force: InForce,
    lsc: Option<Box<Lsc>>,
    /// Lens shading gain of each zone.
    shading: [f64; 81],
    denoise: Option<Denoise>,
    noise: NoiseTuning,
    awb: AwbMeas,
    aec: AecMeas,
    hst: HstMeas,
}

impl Rkisp1 {
    pub fn new(tuning: &Tuning, sensor: &Sensor) -> Self {
        let finer = tuning.rkisp1.is_finer();
        let grid = if finer { (9, 32) } else { (5, 16) };
        let (width, height) = (sensor.width, sensor.height);
        // Windows have 12 or 13 bits; the hardware has no larger frames.
        let side = |side: u32| side.min(4095) as u16;
        let window = [0, 0, side(width), side(height)];
        let lsc = tuning
            .lsc
            .as_ref()
            .and_then(|lsc| Lsc::from_fn(width, height, shading(lsc, sensor)).map(Box::new));
        let mut gains = [1.0; 81];
        if let (Some(lsc), true) = (&tuning.lsc, lsc.is_some()) {
            let gain = shading(lsc, sensor);
            let place = |n: usize| (n as f64 + 0.5) / grid.0 as f64;
            for (i, out) in gains.iter_mut().enumerate().take(grid.0 * grid.0) {
                let (x, y) = (place(i % grid.0), place(i / grid.0));
                *out = luminance([0, 1, 3].map(|channel| gain(channel, x, y))).max(0.1);
            }
        }
        Self {
            grid,
            in_force: InForce::default(),
            lsc,
            shading: gains,
            denoise: tuning.rkisp1.denoise.clone(),
            noise: tuning.noise.unwrap_or(NoiseTuning::TYPICAL),
            awb: AwbMeas {
                window,
                mode: 1,
                ref_cr: NEARLY_CLIPPED,
                min_y: NEARLY_CLIPPED,
                ref_cb: NEARLY_CLIPPED,
                ..AwbMeas::default()
            },
            aec: AecMeas {
                mode: 1,
                window,
                ..AecMeas::default()
            },
            hst: HstMeas {
                mode: 5,
                predivider: predivider(width, height),
                window,
                weights: zone_weights(tuning.agc.metering, grid.0, 16),
            },
        }
    }

    pub fn read(
        &self,
        bytes: &[u8],
        taken: &Taken,
        measured: &mut Measured,
    ) -> Result<bool, IpaError> {
        let stats = Stats::decode(bytes).map_err(IpaError::new)?;
        let Some(exp_mean) = stats.exp_mean else {
            return Ok(false);
        };
        let range = (1.0 - taken.black).max(0.01);
        let (columns, bins) = self.grid;
        let seen = stats.awb.filter(|(pixels, _)| *pixels > 0);
        // Where no pixel has a colour, grey is as good as any.
        let out = seen.map_or([0.5; 3], |(_, means)| {
            means.map(|mean| f64::from(mean) / 255.0)
        });
        let raw = self.in_force.newest().undo(out);
        let back = |measure: f64| {
            let factor = luminance(raw) / measure;
            let sane = factor.is_finite() && factor > 0.0;
            if sane { factor.clamp(0.05, 20.0) } else { 1.0 }
        };
        let from_mean = back(out.iter().sum::<f64>() / 3.0) / range;
        let from_y = back(out.iter().zip(BT601).map(|(value, w)| value * w).sum()) / range;

        measured.columns = columns;
        measured.black = taken.black;
        measured.range = range;
        measured.applied = taken.exposure();
        measured.bin_width = from_y / bins as f64;
        measured.histogram.clear();
        let counted = stats.histogram.unwrap_or_default();
        let counts = counted[..bins].iter().map(|&count| f64::from(count) / 32.0);
        measured.histogram.extend(counts);
        let all: f64 = measured.histogram.iter().sum();
        measured.clipped = measured.histogram[bins - 1] / all.max(1.0);
        let colour = self.colour(seen, out);
        measured.zones.clear();
        for (&mean, shading) in exp_mean[..columns * columns].iter().zip(self.shading) {
            let mean = f64::from(mean) / 255.0;
            let luminance = (mean * from_mean / shading).min(1.0);
            measured.zones.push(Zone {
                rgb: colour.map(|channel| channel * luminance),
                luminance,
                valid: 1.0,
                clipped: f64::from(mean >= CLIPPED_ZONE),
                contrast: None,
            });
        }
        Ok(true)
    }

    /// The frame's colour for a luminance of 1; black where it is not known.
    fn colour(&self, seen: Option<(u32, [u8; 3])>, out: [f64; 3]) -> [f64; 3] {
        let settled = self.in_force.settled().filter(|_| seen.is_some());
        let raw = settled.map_or([0.0; 3], |colours| colours.undo(out));
        let light = luminance(raw);
        if light > 0.0 {
            raw.map(|channel| channel / light)
        } else {
            [0.0; 3]
        }
    }

    pub fn write(
        &mut self,
        out: &mut Blocks<'_>,
        decided: &mut Decided<'_>,
    ) -> Result<(), BuildError> {
        // What the application asks for is done behind the tone curve where there is such a block.
        let behind = out.has::<Cproc>();
        let ahead = |asked: f64| if behind { 1.0 } else { asked };
        let brightness = if behind { 0.0 } else { decided.brightness };
        let [red, green, blue] = decided.gains;
        let gains = AwbGain::from_gains([red, green, green, blue]);
        let ccm = decided
            .ccm
            .process(decided.kelvin, ahead(decided.saturation));
        let ctk = Ctk::from_rows(ccm);
        let tone = decided.tone.process(ahead(decided.contrast), brightness);
        let goc = Goc::from_fn(|x| tone.at(x));

        out.push(&Bls::uniform(decided.black))?;
        out.push(&gains)?;
        out.push(&self.filter(decided.sensor_gain, decided.sharpness))?;
        out.push(&ctk)?;
        // The spacing of the finer curve is not documented.
        if self.grid.0 == 5 {
            out.push(&goc)?;
        }
        if let Some(denoise) = &self.denoise {
            out.push(&dpf(denoise))?;
            out.push(&DpfStrength {
                rgb: [denoise.strength(decided.sensor_gain); 3],
            })?;
        }
        out.push(&Cproc::new(
            decided.contrast,
            decided.brightness,
            decided.saturation,
        ))?;
        if let Some(lsc) = &self.lsc {
            out.push::<Lsc>(lsc)?;
        }
        out.push(&self.awb)?;
        out.push(&self.hst)?;
        out.push(&self.aec)?;

        let mut colours = Colours::of_gains([1.0; 3]);
        if out.has::<AwbGain>() {
            let [red, green, _, blue] = gains.gains();
            colours.gains = [red, green, blue];
        }
        if out.has::<Ctk>() {
            colours.matrix = ctk.rows();
        }
        self.in_force.send(colours);
        Ok(())
    }

    /// The noise filter: factors and thresholds at their reset values, which are for little noise;
    /// thresholds grow as noise does, so that what is blurred stays below what is sharpened. Sharpness
    /// multiplies the factors of gradients that are more than noise; none of them gets below that of
    /// what is blurred, or edges would be blurred more than areas.
    fn filter(&self, gain: f64, sharpness: f64) -> Flt {
        let gain = if gain.is_finite() { gain.max(1.0) } else { 1.0 };
        let more = self.noise.sigma(MIDDLE, gain) / self.noise.sigma(MIDDLE, 1.0);
        let threshold = |at_least: f64| (at_least * more).round().min(1023.0) as u32;
        let sharp = |factor: f64| (factor * sharpness).round().clamp(BLURRED, 63.0) as u32;
        Flt {
            mode: 1,
            grn_stage1: 4,
            chr_h_mode: 3,
            chr_v_mode: 3,
            thresh_bl0: threshold(13.0),
            thresh_bl1: threshold(5.0),
            thresh_sh0: threshold(26.0),
            thresh_sh1: threshold(44.0),
            lum_weight: 0x0003_2040,
            fac_sh1: sharp(16.0),
            fac_sh0: sharp(12.0),
            fac_mid: sharp(10.0),
            fac_bl0: BLURRED as u32,
            fac_bl1: 0x02,
        }
    }
}

/// Every so manieth pixel counts across and down, so that all pixels in one bin are below the 2¹⁵
/// that it can count.
fn predivider(width: u32, height: u32) -> u8 {
    let pixels = f64::from(width) * f64::from(height);
    (pixels / 32768.0).sqrt().ceil().clamp(3.0, 127.0) as u8
}

fn dpf(denoise: &Denoise) -> Dpf {
    Dpf {
        // The gains of white balance: noise is amplified by them, too.
        gain_mode: 4,
        green: denoise.green,
        green_on: [1; 2],
        red_blue: denoise.red_blue,
        red_blue_on: [1; 2],
        noise: denoise.noise_levels,
        ..Dpf::default()
    }
}
