//! Statistics of a raw frame, in the format `coldshoe-stats-1`.

use coldshoe_isp::Statistics;
use coldshoe_isp::stats::Focus;

use crate::bayer::RawFrame;
use crate::sensor::{Applied, Captured};

impl Captured {
    /// The frame's statistics.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        measure(&self.raw, &self.applied, self.sequence)
    }

    /// The same with what focus is judged by: `coldshoe-stats-2`.
    #[must_use]
    pub fn statistics_with_focus(&self) -> Statistics {
        let mut stats = self.statistics();
        stats.focus = Some(focus(&self.raw, &stats));
        stats
    }
}

/// Measures a frame. The format's page in [`coldshoe_isp::stats`] says what is counted how.
#[must_use]
pub fn measure(raw: &RawFrame, applied: &Applied, sequence: u64) -> Statistics {
    let size = raw.size();
    // Sides are at most 8192.
    let (width, height) = ((size.width() / 2) as u32, (size.height() / 2) as u32);
    let mut stats = Statistics::empty(sequence, width, height);
    stats.exposure_us = applied.exposure_us;
    stats.analogue_gain = applied.analogue_gain;
    stats.digital_gain = applied.digital_gain;
    stats.black = [to_16_bits(raw, raw.black()); 4];
    stats.white = to_16_bits(raw, raw.white());
    let values = Values::new(raw);
    for index in 0..Statistics::ZONES {
        let [x0, x1, y0, y1] = stats.zone_cells(index);
        for y in y0..y1 {
            values.row(&mut stats, index, y as usize, x0 as usize..x1 as usize);
        }
        // Both greens of each cell were added up: halve once, so that nothing is lost to rounding.
        stats.zones[index].g /= 2;
    }
    stats
}

/// Contrast of each zone.
fn focus(raw: &RawFrame, stats: &Statistics) -> [Focus; Statistics::ZONES] {
    let values = Values::new(raw);
    let width = stats.width as usize;
    let greens: Vec<Option<i64>> = (0..width * stats.height as usize)
        .map(|at| values.green(at % width, at / width))
        .collect();
    let mut focus = [Focus::default(); Statistics::ZONES];
    for (index, zone) in focus.iter_mut().enumerate() {
        let [x0, x1, y0, y1] = stats.zone_cells(index).map(|edge| edge as usize);
        for y in y0..y1 {
            for x in x0..x1 {
                let at = y * width + x;
                let Some(here) = greens[at] else { continue };
                let right = (x + 1 < x1).then(|| greens[at + 1]);
                let below = (y + 1 < y1).then(|| greens[at + width]);
                for there in [right, below].into_iter().flatten().flatten() {
                    zone.contrast += here.abs_diff(there).pow(2);
                    zone.pairs += 1;
                }
            }
        }
    }
    focus
}

/// `round(DN · 65535 / full scale)`.
fn to_16_bits(raw: &RawFrame, dn: u16) -> u16 {
    let full = u32::from(raw.full_scale());
    let dn = u32::from(dn.min(raw.full_scale()));
    ((dn * 65535 + full / 2) / full) as u16
}

/// A frame and the value of each DN: 16 bits, black subtracted.
struct Values<'a> {
    raw: &'a RawFrame,
    table: Vec<u16>,
}

impl<'a> Values<'a> {
    fn new(raw: &'a RawFrame) -> Self {
        let black = to_16_bits(raw, raw.black());
        let table = (0..=raw.full_scale())
            .map(|dn| to_16_bits(raw, dn).saturating_sub(black))
            .collect();
        Self { raw, table }
    }

    /// Counts the cells of one row of a zone. G gets both greens of a cell.
    fn row(&self, stats: &mut Statistics, zone: usize, y: usize, xs: std::ops::Range<usize>) {
        let width = self.raw.size().width();
        let rows = &self.raw.data()[2 * y * width..][..2 * width];
        let (top, bottom) = rows.split_at(width);
        let (red_x, red_y) = self.raw.cfa().red();
        let (red_row, blue_row) = if red_y == 0 {
            (top, bottom)
        } else {
            (bottom, top)
        };
        let (mut r, mut g, mut b, mut valid, mut clipped) = (0_u64, 0_u64, 0_u64, 0, 0);
        for x in xs {
            let (red, blue) = (2 * x + red_x, 2 * x + 1 - red_x);
            let dns = [red_row[red], red_row[blue], blue_row[red], blue_row[blue]];
            let cell = dns.map(|dn| u64::from(self.value(dn)));
            let luminance = cell.iter().sum::<u64>() / 4;
            stats.histogram[(luminance / 256) as usize] += 1;
            if dns.iter().any(|&dn| dn >= self.raw.white()) {
                clipped += 1;
            } else {
                valid += 1;
                r += cell[0];
                g += cell[1] + cell[2];
                b += cell[3];
            }
        }
        let zone = &mut stats.zones[zone];
        zone.r += r;
        zone.g += g;
        zone.b += b;
        zone.valid += valid;
        zone.clipped += clipped;
    }

    /// The mean of a cell's two greens; none of a clipped cell.
    fn green(&self, x: usize, y: usize) -> Option<i64> {
        let width = self.raw.size().width();
        let mut sum = 0;
        for (px, py) in [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| (2 * x + dx, 2 * y + dy)) {
            let dn = self.raw.data()[py * width + px];
            if dn >= self.raw.white() {
                return None;
            }
            if self.raw.cfa().channel(px, py).rgb() == 1 {
                sum += i64::from(self.value(dn));
            }
        }
        Some(sum / 2)
    }

    /// A DN beyond full scale reads as full scale.
    fn value(&self, dn: u16) -> u16 {
        self.table[usize::from(dn.min(self.raw.full_scale()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bayer::{Cfa, Dimensions};

    const APPLIED: Applied = Applied {
        exposure_us: 1000.0,
        analogue_gain: 2.0,
        digital_gain: 1.5,
    };

    /// A 12-bit frame of all sorts of values, some of them clipped.
    fn frame(cfa: Cfa) -> RawFrame {
        let size = Dimensions::new(70, 50).unwrap();
        let data =
            (0..size.pixels() as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 20) as u16);
        RawFrame::new(size, cfa, 12, (200, 4000), data.collect()).unwrap()
    }

    /// The definition, cell by cell and pixel by pixel.
    fn counted_plainly(raw: &RawFrame) -> Statistics {
        let mut stats = Statistics::empty(9, 35, 25);
        stats.exposure_us = APPLIED.exposure_us;
        stats.analogue_gain = APPLIED.analogue_gain;
        stats.digital_gain = APPLIED.digital_gain;
        let scaled = |dn: u16| (f64::from(dn) * 65535.0 / 4095.0).round();
        stats.black = [scaled(200) as u16; 4];
        stats.white = scaled(4000) as u16;
        let mut doubled_green = [0; Statistics::ZONES];
        for cell in 0..35 * 25 {
            let (cx, cy) = (cell % 35, cell / 35);
            let zone = (0..Statistics::ZONES)
                .find(|zone| {
                    let [x0, x1, y0, y1] = stats.zone_cells(*zone).map(|v| v as usize);
                    (x0..x1).contains(&cx) && (y0..y1).contains(&cy)
                })
                .unwrap();
            let (mut rgb, mut clipped) = ([0_u64; 3], false);
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| (2 * cx + x, 2 * cy + y)) {
                let dn = raw.data()[y * 70 + x];
                clipped |= dn >= 4000;
                rgb[raw.cfa().channel(x, y).rgb()] += (scaled(dn) - scaled(200)).max(0.0) as u64;
            }
            stats.histogram[(rgb.iter().sum::<u64>() / 4 / 256) as usize] += 1;
            if clipped {
                stats.zones[zone].clipped += 1;
            } else {
                stats.zones[zone].valid += 1;
                stats.zones[zone].r += rgb[0];
                doubled_green[zone] += rgb[1];
                stats.zones[zone].b += rgb[2];
            }
        }
        for (zone, doubled) in stats.zones.iter_mut().zip(doubled_green) {
            zone.g = doubled / 2;
        }
        stats
    }

    #[test]
    fn sums_and_histogram_match_a_plain_count_in_every_filter_order() {
        for cfa in Cfa::ALL {
            let raw = frame(cfa);
            let stats = measure(&raw, &APPLIED, 9);
            assert_eq!(stats, counted_plainly(&raw), "{cfa:?}");
            assert!(
                stats
                    .zones
                    .iter()
                    .any(|zone| zone.clipped > 0 && zone.valid > 0)
            );
            assert_eq!(stats.check(), Ok(()));
        }
    }

    #[test]
    fn the_same_light_in_another_filter_order_gives_the_same_statistics() {
        let colour = [900_u16, 1700, 600];
        let of = |cfa: Cfa| {
            let size = Dimensions::new(64, 48).unwrap();
            let at = |i: usize| colour[cfa.channel(i % 64, i / 64).rgb()] + (i / 128) as u16;
            let data = (0..size.pixels()).map(at).collect();
            measure(
                &RawFrame::new(size, cfa, 12, (200, 4095), data).unwrap(),
                &APPLIED,
                0,
            )
        };
        for cfa in Cfa::ALL {
            assert_eq!(of(cfa), of(Cfa::Rggb), "{cfa:?}");
        }
    }

    #[test]
    fn a_frame_without_light_has_empty_sums_and_a_full_first_bin() {
        let size = Dimensions::new(32, 24).unwrap();
        let raw = RawFrame::new(size, Cfa::Gbrg, 10, (64, 1023), vec![64; 32 * 24]).unwrap();
        let stats = measure(&raw, &APPLIED, 0);
        assert_eq!(stats.histogram[0], 16 * 12);
        assert!(
            stats
                .zones
                .iter()
                .all(|z| (z.r, z.g, z.b, z.valid) == (0, 0, 0, 1))
        );
    }
}
