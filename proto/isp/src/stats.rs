//! `coldshoe-stats-1`: the statistics a camera algorithm works from.
//!
//! **A cell** is a 2×2 block of the colour filter array: R, Gr, Gb and B once each. A frame of
//! `width` × `height` cells is divided into 16×12 **zones**; zone (x, y) covers the cells from
//! `⌊x·width/16⌋` up to and without `⌊(x+1)·width/16⌋`, and rows likewise.
//!
//! **Units.** A raw value is scaled to 16 bits, `v = round(DN · 65535 / (2^bits − 1))`, and the
//! channel's black level is subtracted, floored at 0. So full light reads `white − black`, not
//! 65535: [`Statistics::zone_rgb`], [`Statistics::zone_luminance`] and [`Statistics::bin_level`]
//! give values in which full light is 1.
//!
//! **Clipping.** A cell with any raw value at or above `white` is clipped. It counts in `clipped`,
//! stays out of the sums, and is in the histogram.
//!
//! The layout, [`Statistics::SIZE`] bytes, little-endian:
//!
//! | offset | type | field | range | unit |
//! |---|---|---|---|---|
//! | 0 | u8\[4\] | magic | `CSST` | – |
//! | 4 | u32 | version | 1 | – |
//! | 8 | u64 | sequence: number of the frame | any | frames |
//! | 16 | u32 | width | 1..=65536 | cells |
//! | 20 | u32 | height | 1..=65536 | cells |
//! | 24 | f64 | exposure in force for this frame | finite, ≥ 0 | µs |
//! | 32 | f64 | analogue gain in force for this frame | finite, > 0 | ratio |
//! | 40 | f64 | digital gain in force for this frame | finite, > 0 | ratio |
//! | 48 | u16\[4\] | black level of R, Gr, Gb, B | any | 65535 is full scale |
//! | 56 | u16 | white: where pixels clip | > 0 | 65535 is full scale |
//! | 58 | u8\[6\] | reserved | 0 | – |
//! | 64 | zone\[192\] | zones, row by row from the top left | see below | |
//! | 6208 | u32\[256\] | histogram of luminance, linear, before white balance | Σ ≤ cells | cells |
//!
//! | offset in a zone | type | field | range | unit |
//! |---|---|---|---|---|
//! | 0 | u64 | r: Σ R over the valid cells | ≤ valid × 65535 | above |
//! | 8 | u64 | g: ⌊Σ (Gr + Gb) / 2⌋ over the valid cells | ≤ valid × 65535 | above |
//! | 16 | u64 | b: Σ B over the valid cells | ≤ valid × 65535 | above |
//! | 24 | u32 | valid | valid + clipped ≤ cells of the zone | cells |
//! | 28 | u32 | clipped | the same | cells |
//!
//! `coldshoe-stats-2` is the same with version 2, and with what focus is judged by behind it,
//! [`Statistics::SIZE_2`] bytes in all:
//!
//! | offset | type | field | range | unit |
//! |---|---|---|---|---|
//! | 7232 | focus\[192\] | zones as above | see below | |
//!
//! | offset in a zone | type | field | range | unit |
//! |---|---|---|---|---|
//! | 0 | u64 | contrast: Σ ΔG² over pairs | ≤ pairs × 65535² | above, squared |
//! | 8 | u32 | pairs of valid cells side by side or one above the other, both in the zone | ≤ 2 × valid | pairs |
//! | 12 | u8\[4\] | reserved | 0 | – |
//!
//! ΔG is the difference of two cells' greens, a cell's green being ⌊(Gr + Gb) / 2⌋.
//!
//! The luminance of a cell is `Y = ⌊(R + Gr + Gb + B) / 4⌋`, which is (R + 2G + B)/4; it falls into
//! bin `⌊Y / 256⌋`.

use thiserror::Error;

/// The name of the format.
pub const STATS_FORMAT: &str = "coldshoe-stats-1";

/// The name of the format that tells of focus, too.
pub const STATS_FORMAT_2: &str = "coldshoe-stats-2";

const MAGIC: [u8; 4] = *b"CSST";
const VERSION: u32 = 1;
const VERSION_2: u32 = 2;
const FOCUS: usize = 16;
const HEADER: usize = 64;
const ZONE: usize = 32;
const FULL: u64 = 65535;
const MAX_SIDE: u32 = 65536;

/// One of the 16×12 zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Sum of R over the valid cells.
    pub r: u64,
    /// Sum of G over the valid cells, a cell's G being the mean of its two greens.
    pub g: u64,
    /// Sum of B over the valid cells.
    pub b: u64,
    /// Cells in the sums.
    pub valid: u32,
    /// Cells with a clipped pixel, left out of the sums.
    pub clipped: u32,
}

/// What focus is judged by in a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// Sum of the squared differences of greens over the pairs.
    pub contrast: u64,
    /// Pairs of neighbouring cells.
    pub pairs: u32,
}

/// Statistics of one frame, and what the sensor really applied to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Number of the frame.
    pub sequence: u64,
    /// Width of the frame in cells, 1..=65536.
    pub width: u32,
    /// Height of the frame in cells, 1..=65536.
    pub height: u32,
    /// Exposure in force for this frame, µs.
    pub exposure_us: f64,
    /// Analogue gain in force for this frame.
    pub analogue_gain: f64,
    /// Digital gain in force for this frame.
    pub digital_gain: f64,
    /// Black level of R, Gr, Gb, B; 65535 is full scale.
    pub black: [u16; 4],
    /// Where pixels clip; 65535 is full scale.
    pub white: u16,
    /// Zones, row by row from the top left.
    pub zones: [Zone; Statistics::ZONES],
    /// Cells of each luminance.
    pub histogram: [u32; Statistics::BINS],
    /// What focus is judged by, zone by zone; only `coldshoe-stats-2` has it.
    pub focus: Option<[Focus; Statistics::ZONES]>,
}

/// Why bytes are not valid statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// The buffer is not of the format's size.
    #[error(
        "statistics of {got} bytes, {STATS_FORMAT} has {}, {STATS_FORMAT_2} {}; send the whole struct",
        Statistics::SIZE,
        Statistics::SIZE_2
    )]
    Size {
        /// Bytes found.
        got: usize,
    },
    /// Not this format, or another version of it.
    #[error(
        "statistics do not start with the magic and version of {STATS_FORMAT}; check the format"
    )]
    Format,
    /// A header field is out of range.
    #[error("statistics: {field} is out of its range; see the table of {STATS_FORMAT}")]
    Header {
        /// Field name.
        field: &'static str,
    },
    /// A zone counts more than it has.
    #[error(
        "statistics: zone {index} has more cells or light than fit in it; count each cell once"
    )]
    Zone {
        /// Index of the zone, row by row.
        index: usize,
    },
    /// The histogram counts more cells than the frame has.
    #[error("statistics: the histogram has more cells than the frame; count each cell once")]
    Histogram,
}

impl Statistics {
    /// Zones in a row.
    pub const COLUMNS: usize = 16;
    /// Rows of zones.
    pub const ROWS: usize = 12;
    /// Zones of a frame.
    pub const ZONES: usize = Self::COLUMNS * Self::ROWS;
    /// Bins of the histogram.
    pub const BINS: usize = 256;
    /// Bytes of the encoded struct.
    pub const SIZE: usize = HEADER + Self::ZONES * ZONE + Self::BINS * 4;
    /// Bytes of the encoded struct with what focus is judged by.
    pub const SIZE_2: usize = Self::SIZE + Self::ZONES * FOCUS;

    /// Statistics of a frame in which nothing was counted yet: exposure 0, gains 1, no black
    /// level, white at full scale.
    #[must_use]
    pub const fn empty(sequence: u64, width: u32, height: u32) -> Self {
        Self {
            sequence,
            width,
            height,
            exposure_us: 0.0,
            analogue_gain: 1.0,
            digital_gain: 1.0,
            black: [0; 4],
            white: u16::MAX,
            zones: [Zone {
                r: 0,
                g: 0,
                b: 0,
                valid: 0,
                clipped: 0,
            }; Self::ZONES],
            histogram: [0; Self::BINS],
            focus: None,
        }
    }

    /// The cells `(x0..x1, y0..y1)` of a zone as `[x0, x1, y0, y1]`; an empty range for an index
    /// out of range.
    #[must_use]
    pub fn zone_cells(&self, index: usize) -> [u32; 4] {
        if index >= Self::ZONES {
            return [0; 4];
        }
        let edge = |i: usize, count: usize, side: u32| {
            // At most `side`, a u32.
            (i as u64 * u64::from(side) / count as u64) as u32
        };
        let (x, y) = (index % Self::COLUMNS, index / Self::COLUMNS);
        [
            edge(x, Self::COLUMNS, self.width),
            edge(x + 1, Self::COLUMNS, self.width),
            edge(y, Self::ROWS, self.height),
            edge(y + 1, Self::ROWS, self.height),
        ]
    }

    /// What full light reads in R, G and B, in the units of the sums: `white − black`, at least 1.
    #[must_use]
    pub fn range(&self) -> [f64; 3] {
        let [r, gr, gb, b] = self.black.map(f64::from);
        [r, (gr + gb) / 2.0, b].map(|black| (f64::from(self.white) - black).max(1.0))
    }

    /// Mean R, G and B of a zone's valid cells, full light being 1; `None` when it has none.
    #[must_use]
    pub fn zone_rgb(&self, index: usize) -> Option<[f64; 3]> {
        let zone = self.zones.get(index).filter(|zone| zone.valid > 0)?;
        let n = f64::from(zone.valid);
        let [r, g, b] = self.range();
        Some([
            zone.r as f64 / n / r,
            zone.g as f64 / n / g,
            zone.b as f64 / n / b,
        ])
    }

    /// Mean luminance `(R + 2G + B)/4` of a zone, full light being 1 and a clipped cell counting as
    /// full light; `None` when the zone has no cells.
    #[must_use]
    pub fn zone_luminance(&self, index: usize) -> Option<f64> {
        let zone = self.zones.get(index)?;
        let (valid, clipped) = (f64::from(zone.valid), f64::from(zone.clipped));
        let [r, g, b] = self.zone_rgb(index).unwrap_or_default();
        let light = valid * (r + 2.0 * g + b) / 4.0 + clipped;
        (valid + clipped > 0.0).then(|| light / (valid + clipped))
    }

    /// Luminance at `position` of the histogram, full light being 1. Bin `i` spans the positions
    /// `i..i + 1`.
    #[must_use]
    pub fn bin_level(&self, position: f64) -> f64 {
        let [r, g, b] = self.range();
        position * 256.0 / ((r + 2.0 * g + b) / 4.0)
    }

    /// Bytes of these statistics once encoded: [`Self::SIZE_2`] if they tell of focus, else
    /// [`Self::SIZE`].
    #[must_use]
    pub const fn encoded_size(&self) -> usize {
        if self.focus.is_some() {
            Self::SIZE_2
        } else {
            Self::SIZE
        }
    }

    /// Writes the statistics to the front of `out` and returns how many bytes:
    /// [`Self::encoded_size`].
    ///
    /// # Errors
    /// [`StatsError::Size`] when `out` is too short; it is left as it was.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, StatsError> {
        let got = out.len();
        let Some(out) = out.get_mut(..self.encoded_size()) else {
            return Err(StatsError::Size { got });
        };
        let (out, behind) = out.split_at_mut(Self::SIZE);
        let (header, rest) = out.split_at_mut(HEADER);
        self.encode_header(header);
        let (zones, histogram) = rest.split_at_mut(Self::ZONES * ZONE);
        for (bytes, zone) in zones.chunks_exact_mut(ZONE).zip(&self.zones) {
            bytes[..8].copy_from_slice(&zone.r.to_le_bytes());
            bytes[8..16].copy_from_slice(&zone.g.to_le_bytes());
            bytes[16..24].copy_from_slice(&zone.b.to_le_bytes());
            bytes[24..28].copy_from_slice(&zone.valid.to_le_bytes());
            bytes[28..].copy_from_slice(&zone.clipped.to_le_bytes());
        }
        for (bytes, count) in histogram.chunks_exact_mut(4).zip(&self.histogram) {
            bytes.copy_from_slice(&count.to_le_bytes());
        }
        let zones = self.focus.iter().flatten();
        for (bytes, zone) in behind.chunks_exact_mut(FOCUS).zip(zones) {
            bytes[..8].copy_from_slice(&zone.contrast.to_le_bytes());
            bytes[8..12].copy_from_slice(&zone.pairs.to_le_bytes());
            bytes[12..].fill(0);
        }
        Ok(self.encoded_size())
    }

    fn encode_header(&self, header: &mut [u8]) {
        header.fill(0);
        header[..4].copy_from_slice(&MAGIC);
        let version = if self.focus.is_some() {
            VERSION_2
        } else {
            VERSION
        };
        header[4..8].copy_from_slice(&version.to_le_bytes());
        header[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        header[16..20].copy_from_slice(&self.width.to_le_bytes());
        header[20..24].copy_from_slice(&self.height.to_le_bytes());
        header[24..32].copy_from_slice(&self.exposure_us.to_le_bytes());
        header[32..40].copy_from_slice(&self.analogue_gain.to_le_bytes());
        header[40..48].copy_from_slice(&self.digital_gain.to_le_bytes());
        for (bytes, black) in header[48..56].chunks_exact_mut(2).zip(self.black) {
            bytes.copy_from_slice(&black.to_le_bytes());
        }
        header[56..58].copy_from_slice(&self.white.to_le_bytes());
    }

    /// Reads statistics and checks every field against the table above.
    ///
    /// # Errors
    /// [`StatsError`] names what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatsError> {
        let version = match bytes.len() {
            Self::SIZE => VERSION,
            Self::SIZE_2 => VERSION_2,
            got => return Err(StatsError::Size { got }),
        };
        let mut bytes = Reader(bytes);
        if bytes.take() != MAGIC || bytes.u32() != version {
            return Err(StatsError::Format);
        }
        let mut stats = Self::empty(bytes.u64(), bytes.u32(), bytes.u32());
        stats.exposure_us = bytes.f64();
        stats.analogue_gain = bytes.f64();
        stats.digital_gain = bytes.f64();
        stats.black.fill_with(|| bytes.u16());
        stats.white = bytes.u16();
        let reserved: [u8; 6] = bytes.take();
        for zone in &mut stats.zones {
            *zone = Zone {
                r: bytes.u64(),
                g: bytes.u64(),
                b: bytes.u64(),
                valid: bytes.u32(),
                clipped: bytes.u32(),
            };
        }
        stats.histogram.fill_with(|| bytes.u32());
        let mut unused = 0;
        if version == VERSION_2 {
            stats.focus = Some(std::array::from_fn(|_| {
                let zone = Focus {
                    contrast: bytes.u64(),
                    pairs: bytes.u32(),
                };
                unused |= bytes.u32();
                zone
            }));
        }
        if unused != 0 {
            return Err(StatsError::Header { field: "reserved" });
        }
        if reserved != [0; 6] {
            return Err(StatsError::Header { field: "reserved" });
        }
        stats.check()?;
        Ok(stats)
    }

    /// Checks ranges and counts.
    ///
    /// # Errors
    /// [`StatsError`] names what is wrong.
    pub fn check(&self) -> Result<(), StatsError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let exposure_ok = self.exposure_us.is_finite() && self.exposure_us >= 0.0;
        for (ok, field) in [
            ((1..=MAX_SIDE).contains(&self.width), "width"),
            ((1..=MAX_SIDE).contains(&self.height), "height"),
            (exposure_ok, "exposure"),
            (positive(self.analogue_gain), "analogue gain"),
            (positive(self.digital_gain), "digital gain"),
            (self.white > 0, "white"),
        ] {
            if !ok {
                return Err(StatsError::Header { field });
            }
        }
        for (index, zone) in self.zones.iter().enumerate() {
            let [x0, x1, y0, y1] = self.zone_cells(index);
            let cells = u64::from(x1 - x0) * u64::from(y1 - y0);
            let counted = u64::from(zone.valid) + u64::from(zone.clipped);
            let brightest = u64::from(zone.valid) * FULL;
            if counted > cells || zone.r.max(zone.g).max(zone.b) > brightest {
                return Err(StatsError::Zone { index });
            }
        }
        let focus = self.focus.iter().flatten().zip(&self.zones);
        for (index, (focus, zone)) in focus.enumerate() {
            let most = u128::from(focus.pairs) * u128::from(FULL * FULL);
            let pairs = 2 * u64::from(zone.valid);
            if u64::from(focus.pairs) > pairs || u128::from(focus.contrast) > most {
                return Err(StatsError::Zone { index });
            }
        }
        let counted: u64 = self.histogram.iter().map(|&count| u64::from(count)).sum();
        if counted > u64::from(self.width) * u64::from(self.height) {
            return Err(StatsError::Histogram);
        }
        Ok(())
    }
}

/// Takes little-endian fields off the front; past the end they are 0.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = rest;
        *field
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Statistics {
        let mut stats = Statistics::empty(7, 320, 240);
        stats.exposure_us = 10_000.0;
        stats.analogue_gain = 2.0;
        stats.black = [4096; 4];
        stats.zones[5] = Zone {
            r: 100 * 61439,
            g: 50 * 61439,
            b: 0,
            valid: 100,
            clipped: 20,
        };
        stats.histogram[3] = 240;
        stats
    }

    fn bytes(stats: &Statistics) -> Vec<u8> {
        let mut out = vec![0xee; Statistics::SIZE];
        assert_eq!(stats.encode(&mut out), Ok(Statistics::SIZE));
        out
    }

    fn with_focus() -> Statistics {
        let mut focus = [Focus::default(); Statistics::ZONES];
        focus[5] = Focus {
            contrast: 7 << 36,
            pairs: 180,
        };
        Statistics {
            focus: Some(focus),
            ..sample()
        }
    }

    fn encoded_2() -> Vec<u8> {
        let mut out = vec![0xee; Statistics::SIZE_2];
        assert_eq!(with_focus().encode(&mut out), Ok(Statistics::SIZE_2));
        out
    }

    #[test]
    fn focus_is_behind_what_version_1_has_and_survives_the_way() {
        assert_eq!(Statistics::SIZE_2, 7232 + 192 * 16);
        let (one, two) = (bytes(&sample()), encoded_2());
        assert_eq!(two[4], 2);
        assert_eq!(two[8..7232], one[8..]);
        assert_eq!(two[7232 + 5 * 16 + 8..][..4], [180, 0, 0, 0]);
        assert_eq!(Statistics::decode(&two), Ok(with_focus()));
        let mut small = vec![0; Statistics::SIZE_2 - 1];
        assert!(with_focus().encode(&mut small).is_err());
    }

    #[test]
    fn focus_that_cannot_be_is_refused() {
        let broken = |at: usize, to: u8| {
            let mut bytes = encoded_2();
            bytes[at] = to;
            Statistics::decode(&bytes)
        };
        let zone = 7232 + 5 * 16;
        assert_eq!(broken(zone + 8, 201), Err(StatsError::Zone { index: 5 }));
        assert_eq!(broken(zone + 7, 0xff), Err(StatsError::Zone { index: 5 }));
        assert_eq!(
            broken(zone + 12, 1),
            Err(StatsError::Header { field: "reserved" })
        );
        assert_eq!(broken(4, 1), Err(StatsError::Format));
    }

    #[test]
    fn statistics_survive_the_way() {
        assert_eq!(Statistics::decode(&bytes(&sample())), Ok(sample()));
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        assert_eq!(Statistics::SIZE, 7232);
        let bytes = bytes(&sample());
        assert_eq!(&bytes[..8], b"CSST\x01\0\0\0");
        assert_eq!(bytes[24..32], 10_000.0_f64.to_le_bytes());
        assert_eq!(bytes[56..58], [0xff, 0xff]);
        assert_eq!(bytes[64 + 5 * 32 + 24..][..4], [100, 0, 0, 0]);
        assert_eq!(bytes[6208 + 12..][..4], [240, 0, 0, 0]);
    }

    #[test]
    fn a_short_or_long_buffer_is_refused() {
        let mut bytes = bytes(&sample());
        bytes.push(0);
        for len in [0, 63, Statistics::SIZE - 1, Statistics::SIZE + 1] {
            assert_eq!(
                Statistics::decode(&bytes[..len]),
                Err(StatsError::Size { got: len })
            );
        }
        assert_eq!(
            sample().encode(&mut [0; 100]),
            Err(StatsError::Size { got: 100 })
        );
    }

    #[test]
    fn another_format_or_version_is_refused() {
        for at in [0, 4] {
            let mut bytes = bytes(&sample());
            bytes[at] ^= 2;
            assert_eq!(Statistics::decode(&bytes), Err(StatsError::Format));
        }
    }

    #[test]
    fn header_fields_out_of_range_are_refused_by_name() {
        type Spoil = fn(&mut Statistics);
        let cases: [(&str, Spoil); 8] = [
            ("width", |s| s.width = 0),
            ("height", |s| s.height = 65537),
            ("exposure", |s| s.exposure_us = f64::NAN),
            ("exposure", |s| s.exposure_us = -1.0),
            ("analogue gain", |s| s.analogue_gain = f64::INFINITY),
            ("analogue gain", |s| s.analogue_gain = 0.0),
            ("digital gain", |s| s.digital_gain = -2.0),
            ("white", |s| s.white = 0),
        ];
        for (field, spoil) in cases {
            let mut stats = sample();
            spoil(&mut stats);
            assert_eq!(
                Statistics::decode(&bytes(&stats)),
                Err(StatsError::Header { field })
            );
        }
        let mut bytes = bytes(&sample());
        bytes[63] = 1;
        assert_eq!(
            Statistics::decode(&bytes),
            Err(StatsError::Header { field: "reserved" })
        );
    }

    #[test]
    fn a_zone_with_more_cells_or_light_than_fit_is_refused() {
        let mut stats = sample();
        stats.zones[5].clipped = 301;
        assert_eq!(
            Statistics::decode(&bytes(&stats)),
            Err(StatsError::Zone { index: 5 })
        );
        let mut stats = sample();
        stats.zones[191].b = 1;
        assert_eq!(
            Statistics::decode(&bytes(&stats)),
            Err(StatsError::Zone { index: 191 })
        );
    }

    #[test]
    fn a_histogram_with_more_cells_than_the_frame_is_refused() {
        let mut stats = sample();
        stats.histogram = [301; 256];
        assert_eq!(
            Statistics::decode(&bytes(&stats)),
            Err(StatsError::Histogram)
        );
    }

    #[test]
    fn zones_cover_every_cell_once_even_where_they_do_not_divide_evenly() {
        for (width, height) in [(320, 240), (204, 171), (7, 3), (1, 1)] {
            let stats = Statistics::empty(0, width, height);
            let cells: u32 = (0..Statistics::ZONES)
                .map(|i| stats.zone_cells(i))
                .map(|[x0, x1, y0, y1]| (x1 - x0) * (y1 - y0))
                .sum();
            assert_eq!(cells, width * height);
        }
    }

    #[test]
    fn full_light_is_one_and_a_clipped_cell_counts_as_full_light() {
        let stats = sample();
        assert_eq!(stats.zone_rgb(5), Some([1.0, 0.5, 0.0]));
        assert_eq!(stats.zone_rgb(6), None);
        let luminance = stats.zone_luminance(5).unwrap();
        assert!((luminance - (100.0 * 0.5 + 20.0) / 120.0).abs() < 1e-12);
        assert!((stats.bin_level(61439.0 / 256.0) - 1.0).abs() < 1e-12);
    }
}
