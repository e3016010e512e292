//! What the algorithms measure with, whichever ISP the statistics came from.

use coldshoe_isp::Statistics;
use coldshoe_isp::stats::Focus;

use crate::exposure::Exposure;

/// Mean of a zone; full light is 1 and black is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Zone {
    /// R, G and B before white balance, over the pixels that are not clipped.
    pub rgb: [f64; 3],
    /// Luminance before white balance; a clipped pixel counts as full light.
    pub luminance: f64,
    /// Pixels that are not clipped.
    pub valid: f64,
    /// Share of clipped pixels, 0..=1.
    pub clipped: f64,
    /// Mean squared difference of neighbouring greens, full light being 1; none where the ISP does
    /// not tell.
    pub contrast: Option<f64>,
}

/// One frame's statistics.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Zones, row by row; a zone without pixels is all zero.
    pub zones: Vec<Zone>,
    /// Zones in a row.
    pub columns: usize,
    /// Pixels of each luminance, linear, before white balance.
    pub histogram: Vec<f64>,
    /// Luminance that a bin spans, full light being 1.
    pub bin_width: f64,
    /// Share of clipped pixels in the frame.
    pub clipped: f64,
    /// Black level that was subtracted, fraction of full scale.
    pub black: f64,
    /// Full light less black level, fraction of full scale.
    pub range: f64,
    /// What the sensor really applied to this frame.
    pub applied: Exposure,
    /// Where the lens was for this frame, dioptres; none where nobody tells.
    pub lens: Option<f64>,
}

impl Measured {
    /// An empty frame with room for the statistics of any supported format.
    pub fn new() -> Self {
        Self {
            // The Mali-C55 has the most.
            zones: Vec::with_capacity(225),
            histogram: Vec::with_capacity(Statistics::BINS),
            ..Self::default()
        }
    }

    /// Takes over a frame of `coldshoe-stats-1` or `-2`; allocates nothing after [`new`](Self::new).
    pub fn read(&mut self, stats: &Statistics) {
        let range = stats.range();
        self.columns = Statistics::COLUMNS;
        self.bin_width = stats.bin_level(1.0);
        self.black = stats.black.iter().map(|&b| f64::from(b)).sum::<f64>() / 4.0 / 65535.0;
        self.range = (range[0] + 2.0 * range[1] + range[2]) / 4.0 / 65535.0;
        self.applied = Exposure {
            exposure_us: stats.exposure_us,
            analogue_gain: stats.analogue_gain,
            digital_gain: stats.digital_gain,
        };
        self.histogram.clear();
        self.histogram
            .extend(stats.histogram.iter().map(|&n| f64::from(n)));
        self.zones.clear();
        let (mut all, mut clipped) = (0.0, 0.0);
        for (index, zone) in stats.zones.iter().enumerate() {
            let total = f64::from(zone.valid) + f64::from(zone.clipped);
            all += total;
            clipped += f64::from(zone.clipped);
            self.zones.push(Zone {
                rgb: stats.zone_rgb(index).unwrap_or_default(),
                luminance: stats
                    .zone_luminance(index)
                    .unwrap_or_default()
                    .clamp(0.0, 1.0),
                valid: zone.valid.into(),
                clipped: f64::from(zone.clipped) / total.max(1.0),
                contrast: stats.focus.as_ref().map(|focus| {
                    let Focus { contrast, pairs } = focus[index];
                    contrast as f64 / f64::max(pairs.into(), 1.0) / (range[1] * range[1])
                }),
            });
        }
        self.clipped = clipped / f64::max(all, 1.0);
    }

    /// Takes lens shading out of the zones' colours; `gain` is that of R, G or B (0 to 2) at the
    /// place (x, y) of a zone's centre. Luminance stays: exposure is metered as the sensor sees.
    pub fn unshade(&mut self, gain: impl Fn(usize, f64, f64) -> f64) {
        let (columns, rows) = (self.columns.max(1), self.rows().max(1));
        for (i, zone) in self.zones.iter_mut().enumerate() {
            let x = ((i % columns) as f64 + 0.5) / columns as f64;
            let y = ((i / columns) as f64 + 0.5) / rows as f64;
            for (rgb, value) in zone.rgb.iter_mut().enumerate() {
                *value *= gain(rgb, x, y);
            }
        }
    }

    /// Rows of zones.
    pub fn rows(&self) -> usize {
        self.zones.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Mean luminance of the brightness ranks `low..high` (inter-quantile mean), full light being
    /// 1; `None` for a histogram without pixels.
    pub fn inter_quantile_mean(&self, low: f64, high: f64) -> Option<f64> {
        let total: f64 = self.histogram.iter().sum();
        let (from, to) = (low * total, high * total);
        let (mut below, mut sum, mut weight) = (0.0, 0.0, 0.0);
        for (bin, &count) in self.histogram.iter().enumerate() {
            let part = (f64::min(below + count, to) - f64::max(below, from)).max(0.0);
            sum += part * (bin as f64 + 0.5);
            weight += part;
            below += count;
        }
        (weight > 0.0).then(|| (sum / weight * self.bin_width).min(1.0))
    }

    /// The luminance below which lies `share` of the pixels, full light being 1; `None` without pixels.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: f64 = self.histogram.iter().sum();
        let wanted = share * total;
        let mut below = 0.0;
        for (bin, &count) in self.histogram.iter().enumerate() {
            if count > 0.0 && below + count >= wanted {
                let part = ((wanted - below) / count).clamp(0.0, 1.0);
                return Some(((bin as f64 + part) * self.bin_width).min(1.0));
            }
            below += count;
        }
        None
    }

    /// The lowest bin at or below which lies `share` of the pixels; `None` without pixels.
    pub fn quantile_bin(&self, share: f64) -> Option<usize> {
        let total: f64 = self.histogram.iter().sum();
        let mut seen = 0.0;
        self.histogram.iter().position(|&count| {
            seen += count;
            seen > 0.0 && seen >= share * total
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_histogram(counts: &[(usize, f64)]) -> Measured {
        let mut histogram = vec![0.0; 256];
        for &(bin, count) in counts {
            histogram[bin] = count;
        }
        Measured {
            histogram,
            bin_width: 1.0 / 256.0,
            ..Measured::default()
        }
    }

    #[test]
    fn the_inter_quantile_mean_splits_bins_at_the_ranks() {
        let frame = with_histogram(&[(10, 90.0), (100, 10.0)]);
        let top = frame.inter_quantile_mean(0.9, 1.0).unwrap();
        assert!((top - 100.5 / 256.0).abs() < 1e-12);
        let half = frame.inter_quantile_mean(0.8, 1.0).unwrap();
        assert!((half - 55.5 / 256.0).abs() < 1e-12);
    }

    #[test]
    fn a_histogram_without_pixels_has_no_mean_and_no_quantile() {
        let frame = with_histogram(&[]);
        assert_eq!(frame.inter_quantile_mean(0.0, 1.0), None);
        assert_eq!(frame.quantile_bin(0.02), None);
    }

    #[test]
    fn a_quantile_lies_within_its_bin() {
        let frame = with_histogram(&[(10, 50.0), (100, 50.0)]);
        for (share, bin) in [
            (0.0, 10.0),
            (0.25, 10.5),
            (0.5, 11.0),
            (0.75, 100.5),
            (1.0, 101.0),
        ] {
            let level = frame.quantile(share).unwrap();
            assert!((level - bin / 256.0).abs() < 1e-12, "{share}: {level}");
        }
        assert_eq!(with_histogram(&[]).quantile(0.5), None);
    }

    #[test]
    fn the_quantile_bin_is_where_the_share_is_reached() {
        let frame = with_histogram(&[(3, 1.0), (16, 1.0), (200, 98.0)]);
        assert_eq!(frame.quantile_bin(0.02), Some(16));
        assert_eq!(frame.quantile_bin(0.03), Some(200));
    }

    #[test]
    fn unshading_takes_the_gain_of_the_zones_centre() {
        let zone = Zone {
            rgb: [0.25; 3],
            luminance: 0.25,
            ..Zone::default()
        };
        let mut frame = Measured {
            columns: 2,
            zones: vec![zone; 4],
            ..Measured::default()
        };
        frame.unshade(|rgb, x, y| {
            if (rgb, x, y) == (2, 0.75, 0.25) {
                2.0
            } else {
                1.0
            }
        });
        assert_eq!(frame.zones[1].rgb, [0.25, 0.25, 0.5]);
        assert_eq!(frame.zones[0], zone);
        assert_eq!(frame.zones[1].luminance, 0.25);
    }

    #[test]
    fn a_frame_is_read_in_units_of_full_light() {
        let mut stats = Statistics::empty(7, 16, 12);
        stats.black = [4096; 4];
        stats.white = 65535;
        stats.zones[5] = coldshoe_isp::stats::Zone {
            r: 61439,
            g: 30720,
            b: 0,
            valid: 1,
            clipped: 0,
        };
        stats.zones[6].clipped = 1;
        let mut frame = Measured::new();
        frame.read(&stats);
        assert_eq!((frame.columns, frame.rows()), (16, 12));
        assert_eq!(frame.zones[5].rgb[0], 1.0);
        assert!((frame.zones[5].luminance - 0.5).abs() < 1e-4);
        assert_eq!(frame.zones[6].luminance, 1.0);
        assert_eq!(frame.zones[6].clipped, 1.0);
        assert_eq!(frame.clipped, 0.5);
        assert!((frame.black - 0.0625).abs() < 1e-4);
    }
}
