//! The right exposure, found from the light itself: an oracle to judge exposure algorithms by.
//!
//! A noise-free frame of total exposure `E` (µs × gains) reads `min(L·E, 1)` at each pixel, full
//! light being 1. The picture is on target where the larger of two exposures is reached:
//! - its mean is `min(0.16·2^EV, 0.95)`: each of the 16×12 zones weighs the same, and a cell with a
//!   clipped pixel counts as 1;
//! - the mean luminance of its brightest 2 % of cells is 0.5 (the lower bound of the "Normal"
//!   constraint mode).

use coldshoe_isp::Statistics;

use crate::bayer::Mosaic;

const MEAN_TARGET: f64 = 0.16;
const MEAN_CAP: f64 = 0.95;
const BRIGHTEST: f64 = 0.02;
const BRIGHTEST_TARGET: f64 = 0.5;

/// Total exposures searched, µs.
const RANGE_US: (f64, f64) = (1e-3, 1e12);

/// What to meter for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metering {
    /// Exposure compensation, EV.
    pub ev: f64,
}

/// The total exposure, µs × gains, at which the picture is on target. In a scene without light it
/// is the end of the range searched, 10¹² µs.
#[must_use]
pub fn total_exposure_us(radiance: &Mosaic, metering: &Metering) -> f64 {
    let cells = Cells::new(radiance);
    let mean = (MEAN_TARGET * metering.ev.exp2()).min(MEAN_CAP);
    let mut scratch = Vec::with_capacity(cells.0.len());
    let on_mean = bisect(|us| cells.mean(us) >= mean);
    let on_brightest = bisect(|us| cells.brightest(us, &mut scratch) >= BRIGHTEST_TARGET);
    on_mean.max(on_brightest)
}

/// Mean luminance of the noise-free frame at a total exposure, as metered: the error of an
/// exposure in a picture is its difference to the target's.
#[must_use]
pub fn mean_luminance(radiance: &Mosaic, total_us: f64) -> f64 {
    Cells::new(radiance).mean(total_us)
}

/// The smallest exposure that is enough, to 1 in 10⁹.
fn bisect(mut enough: impl FnMut(f64) -> bool) -> f64 {
    let (mut low, mut high) = (RANGE_US.0.ln(), RANGE_US.1.ln());
    for _ in 0..36 {
        let middle = f64::midpoint(low, high);
        if enough(middle.exp()) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high.exp()
}

/// Radiance of each 2×2 cell in full scales per µs, and its zone.
struct Cells(Vec<([f32; 4], u16)>);

impl Cells {
    fn new(radiance: &Mosaic) -> Self {
        let (width, height) = (radiance.size().width() / 2, radiance.size().height() / 2);
        let zones = Statistics::empty(0, width as u32, height as u32);
        let data = radiance.data();
        let mut cells = Vec::with_capacity(width * height);
        for zone in 0..Statistics::ZONES {
            let [x0, x1, y0, y1] = zones.zone_cells(zone).map(|edge| edge as usize);
            for y in y0..y1 {
                for x in x0..x1 {
                    let top = 2 * y * 2 * width + 2 * x;
                    let bottom = top + 2 * width;
                    let pixels = [data[top], data[top + 1], data[bottom], data[bottom + 1]];
                    cells.push((pixels.map(|pixel| pixel / 1000.0), zone as u16));
                }
            }
        }
        Self(cells)
    }

    fn mean(&self, us: f64) -> f64 {
        let us = us as f32;
        let mut zones = [(0.0, 0.0); Statistics::ZONES];
        for (cell, zone) in &self.0 {
            let brightest = cell.iter().fold(0.0, |a: f32, &b| a.max(b));
            let luminance = if brightest * us >= 1.0 {
                1.0
            } else {
                cell.iter().sum::<f32>() * us / 4.0
            };
            let (sum, count) = &mut zones[usize::from(*zone)];
            *sum += f64::from(luminance);
            *count += 1.0;
        }
        let means = zones.iter().filter(|(_, count)| *count > 0.0);
        let (sum, count) = means.fold((0.0, 0.0), |(sum, n), zone| {
            (sum + zone.0 / zone.1, n + 1.0)
        });
        sum / count
    }

    /// Mean luminance of the brightest cells, clipped as in the frame's histogram.
    fn brightest(&self, us: f64, scratch: &mut Vec<f32>) -> f64 {
        let us = us as f32;
        let luminance = |(cell, _): &([f32; 4], u16)| {
            cell.iter().map(|pixel| (pixel * us).min(1.0)).sum::<f32>() / 4.0
        };
        scratch.clear();
        scratch.extend(self.0.iter().map(luminance));
        let count = ((scratch.len() as f64 * BRIGHTEST).round() as usize).clamp(1, scratch.len());
        scratch.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        let sum: f64 = scratch[..count].iter().map(|&value| f64::from(value)).sum();
        sum / count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bayer::{Cfa, Dimensions};

    fn scene(value: impl Fn(usize, usize) -> f32) -> Mosaic {
        let size = Dimensions::new(64, 48).unwrap();
        Mosaic::from_fn(size, Cfa::Rggb, |x, y, _| value(x, y))
    }

    #[test]
    fn a_flat_scene_is_exposed_for_the_highlights() {
        // The brightest 2 % are as bright as the rest: 0.5 asks for more than 0.16 does.
        let flat = scene(|_, _| 0.1);
        let us = total_exposure_us(&flat, &Metering::default());
        assert!((us - 5000.0).abs() < 1.0, "{us}");
    }

    #[test]
    fn a_scene_with_bright_spots_is_exposed_for_the_mean() {
        // A twentieth of the frame is ten times as bright: the spots stay below full light.
        let spots = scene(|x, _| if x % 32 < 2 { 0.1 } else { 0.01 });
        let us = total_exposure_us(&spots, &Metering::default());
        assert!((mean_luminance(&spots, us) - 0.16).abs() < 1e-4);
        assert!(us > 5000.0);
    }

    #[test]
    fn twice_the_light_needs_half_the_exposure() {
        let spots = |level: f32| scene(move |x, y| level * ((x * 7 + y * 13) % 50 + 1) as f32);
        let one = total_exposure_us(&spots(0.001), &Metering::default());
        let two = total_exposure_us(&spots(0.002), &Metering::default());
        assert!((one / two - 2.0).abs() < 1e-3);
    }

    #[test]
    fn a_stop_of_compensation_doubles_the_mean() {
        let spots = scene(|x, _| if x % 32 < 2 { 0.1 } else { 0.01 });
        let us = total_exposure_us(&spots, &Metering { ev: 1.0 });
        assert!((mean_luminance(&spots, us) - 0.32).abs() < 1e-4);
    }

    #[test]
    fn a_scene_without_light_ends_the_search() {
        let us = total_exposure_us(&scene(|_, _| 0.0), &Metering::default());
        assert!(us >= 0.99 * RANGE_US.1);
    }
}
