//! The statistics buffer of the Arm Mali-C55.

use thiserror::Error;

use crate::wire::Wire;

/// The name of the statistics' format: `struct mali_c55_stats_buffer`.
pub const STATS_FORMAT: &str = "mali-c55-stats-1";

const FIVE_BINS: usize = 4096;
const RATIOS: usize = 5952;

/// `struct mali_c55_stats_buffer`, as far as it measures light and colour. It is large: box it.
///
/// | offset | type | field |
/// |---|---|---|
/// | 0 | u16\[1024\] | ae_1024bin_hist: counts as 4 bits of exponent and 12 of mantissa |
/// | 2048 | u16\[1024\] | the same after tone mapping |
/// | 4096 | u16\[225\]\[4\] | ae_5bin_hists: shares of bins 0, 1, 3, 4 in each zone, 65535ths |
/// | 5952 | {u16, u16, u32}\[225\] | awb_ratios: R/G and B/G in Q4.8, pixels |
/// | 7808 | u16\[225\]\[2\] | focus |
///
/// What lies in between is undefined and is not read. Zones come row by row, 15×15.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Pixels; with a plane a colour, 256 bins for each place of the colour filter array.
    pub histogram: [u32; 1024],
    /// Shares of the five bins in each zone, 65535ths.
    pub five_bins: [[u16; 5]; 225],
    /// R/G and B/G of each zone, Q4.8, and the pixels that they are of.
    pub ratios: [(u16, u16, u32); 225],
}

/// Why bytes are not valid statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// The buffer is not of the structure's size.
    #[error(
        "statistics of {got} bytes, struct mali_c55_stats_buffer has {}; send the whole struct",
        Stats::SIZE
    )]
    Size {
        /// Bytes found.
        got: usize,
    },
}

/// A count of pixels from the hardware's small floating point.
#[must_use]
pub fn unpack_count(raw: u16) -> u32 {
    let (exponent, mantissa) = (raw >> 12, u32::from(raw & 0xfff));
    match exponent {
        0 => mantissa * 2,
        _ => (mantissa + 4096) << exponent,
    }
}

/// The largest such number that is not above a count: for simulators and tests.
#[must_use]
pub fn pack_count(count: u32) -> u16 {
    if count < 8192 {
        return (count / 2) as u16;
    }
    let exponent = (count.ilog2() - 12).min(15);
    let mantissa = ((count >> exponent) - 4096).min(4095);
    // Below 16 and below 4096.
    ((exponent << 12) | mantissa) as u16
}

impl Stats {
    /// Bytes of the structure.
    pub const SIZE: usize = 8768;

    /// Statistics of nothing.
    pub const EMPTY: Self = Self {
        histogram: [0; 1024],
        five_bins: [[0; 5]; 225],
        ratios: [(0, 0, 0); 225],
    };

    /// Reads a buffer into `self`. Bits without a meaning are dropped, and shares that sum up to
    /// more than all leave nothing for the bin in the middle: every number means something.
    ///
    /// # Errors
    /// [`StatsError`] says what to send; `self` is as it was.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), StatsError> {
        if bytes.len() != Self::SIZE {
            return Err(StatsError::Size { got: bytes.len() });
        }
        for (count, raw) in self.histogram.iter_mut().zip(bytes.chunks_exact(2)) {
            *count = unpack_count(u16::get(raw));
        }
        for (bins, raw) in self
            .five_bins
            .iter_mut()
            .zip(bytes[FIVE_BINS..].chunks_exact(8))
        {
            let [b0, b1, b3, b4]: [u16; 4] = Wire::get(raw);
            let others = [b0, b1, b3, b4].map(u32::from).iter().sum::<u32>();
            // At most 0xffff.
            let b2 = 0xffff_u32.saturating_sub(others) as u16;
            *bins = [b0, b1, b2, b3, b4];
        }
        for (zone, raw) in self.ratios.iter_mut().zip(bytes[RATIOS..].chunks_exact(8)) {
            let [red, blue]: [u16; 2] = Wire::get(raw);
            *zone = (red & 0xfff, blue & 0xfff, u32::get(&raw[4..]));
        }
        Ok(())
    }

    /// Writes a buffer, as the hardware does: for simulators and tests.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; Self::SIZE];
        for (raw, count) in bytes.chunks_exact_mut(2).zip(&self.histogram) {
            pack_count(*count).put(raw);
        }
        for (raw, [b0, b1, _, b3, b4]) in
            bytes[FIVE_BINS..].chunks_exact_mut(8).zip(&self.five_bins)
        {
            [*b0, *b1, *b3, *b4].put(raw);
        }
        for (raw, (red, blue, pixels)) in bytes[RATIOS..].chunks_exact_mut(8).zip(&self.ratios) {
            [*red, *blue].put(&mut raw[..4]);
            pixels.put(&mut raw[4..]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_headers_formula() {
        assert_eq!(unpack_count(0), 0);
        assert_eq!(unpack_count(0x0fff), 8190);
        assert_eq!(unpack_count(0x1000), 8192);
        assert_eq!(unpack_count(0xffff), 8191 << 15);
        for raw in (0..=u16::MAX).step_by(7) {
            assert_eq!(pack_count(unpack_count(raw)), raw);
        }
        assert_eq!(pack_count(u32::MAX), u16::MAX);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut stats = Stats::EMPTY;
        for i in 0..1024 {
            stats.histogram[i] = unpack_count(i as u16 * 60);
        }
        for i in 0..225 {
            stats.five_bins[i] = [1000, 2000, 0xffff - 10_000, 3000, 4000];
            stats.ratios[i] = (i as u16, 256, 1000 + i as u32);
        }
        let mut back = Stats::EMPTY;
        back.read(&stats.encode()).unwrap();
        assert_eq!(back, stats);
    }

    #[test]
    fn any_bytes_mean_something_and_another_size_is_refused() {
        let mut stats = Stats::EMPTY;
        stats.read(&[0xff; Stats::SIZE]).unwrap();
        assert_eq!(stats.five_bins[224], [0xffff, 0xffff, 0, 0xffff, 0xffff]);
        assert_eq!(stats.ratios[0], (0xfff, 0xfff, u32::MAX));
        for got in [0, 8767, 8769] {
            let told = stats.read(&vec![0; got]).unwrap_err();
            assert_eq!(told, StatsError::Size { got });
        }
    }
}
