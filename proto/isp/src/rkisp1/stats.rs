//! The statistics buffer of the Rockchip ISP1.

use thiserror::Error;

use crate::wire::Wire;

/// The name of the statistics' format: `struct rkisp1_stat_buffer`.
pub const STATS_FORMAT: &str = "rkisp1-stats-1";

const AWB: u32 = 1;
const AUTOEXP: u32 = 1 << 1;
const HIST: u32 = 1 << 3;

/// `struct rkisp1_stat_buffer`, less what focus and black level measurement leave in it.
///
/// | offset | type | field |
/// |---|---|---|
/// | 0 | u32 | meas_type: which of them were measured |
/// | 4 | u32 | frame_id |
/// | 8 | u32 | awb_mean\[0\].cnt: pixels in the means |
/// | 12 | u8\[3\] | means of green, blue and red |
/// | 16 | u8\[81\] | exp_mean: luminance of 9×9 blocks; of 5×5, in the first 25, up to revision 11 |
/// | 98 | u16\[4\] | black levels |
/// | 108 | u32\[6\] | focus |
/// | 132 | u32\[32\] | hist_bins, 16 up to revision 11: 32nds of pixels in the lower 20 bits |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Number of the frame.
    pub frame_id: u32,
    /// Pixels in the means, and the means of R, G and B, 255 being full scale.
    pub awb: Option<(u32, [u8; 3])>,
    /// Luminance of the blocks, row by row.
    pub exp_mean: Option<[u8; 81]>,
    /// Pixels, times 32.
    pub histogram: Option<[u32; 32]>,
}

/// Why bytes are not valid statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// The buffer is not of the structure's size.
    #[error(
        "statistics of {got} bytes, struct rkisp1_stat_buffer has {}; send the whole struct",
        Stats::SIZE
    )]
    Size {
        /// Bytes found.
        got: usize,
    },
}

impl Stats {
    /// Bytes of the structure.
    pub const SIZE: usize = 260;

    /// Reads a buffer. What the hardware says it did not measure is not there; every number that is
    /// left means something.
    ///
    /// # Errors
    /// [`StatsError`] says what to send.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatsError> {
        let bytes: &[u8; Self::SIZE] = bytes
            .try_into()
            .map_err(|_| StatsError::Size { got: bytes.len() })?;
        let measured = u32::get(bytes);
        let [green, blue, red] = Wire::get(&bytes[12..]);
        let bins: [u32; 32] = Wire::get(&bytes[132..]);
        Ok(Self {
            frame_id: u32::get(&bytes[4..]),
            awb: (measured & AWB != 0).then(|| (u32::get(&bytes[8..]), [red, green, blue])),
            exp_mean: (measured & AUTOEXP != 0).then(|| Wire::get(&bytes[16..])),
            histogram: (measured & HIST != 0).then(|| bins.map(|bin| bin & 0xf_ffff)),
        })
    }

    /// Writes a buffer, as the driver does: for simulators and tests.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let bit = |there: bool, bit: u32| if there { bit } else { 0 };
        let measured = bit(self.awb.is_some(), AWB)
            | bit(self.exp_mean.is_some(), AUTOEXP)
            | bit(self.histogram.is_some(), HIST);
        measured.put(&mut bytes);
        self.frame_id.put(&mut bytes[4..]);
        let (count, [red, green, blue]) = self.awb.unwrap_or_default();
        count.put(&mut bytes[8..]);
        [green, blue, red].put(&mut bytes[12..16]);
        self.exp_mean.unwrap_or([0; 81]).put(&mut bytes[16..97]);
        self.histogram.unwrap_or_default().put(&mut bytes[132..]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_was_not_measured_is_not_there() {
        let stats = Stats {
            frame_id: 9,
            awb: Some((1000, [10, 20, 30])),
            exp_mean: Some(std::array::from_fn(|i| i as u8)),
            histogram: Some(std::array::from_fn(|i| i as u32 * 1000)),
        };
        let bytes = stats.encode();
        assert_eq!(bytes[12..16], [20, 30, 10, 0]);
        assert_eq!(Stats::decode(&bytes), Ok(stats.clone()));
        for part in 0..3 {
            let mut less = stats.clone();
            match part {
                0 => less.awb = None,
                1 => less.exp_mean = None,
                _ => less.histogram = None,
            }
            assert_eq!(Stats::decode(&less.encode()), Ok(less));
        }
    }

    #[test]
    fn another_size_is_refused() {
        for got in [0, 259, 261] {
            let told = Stats::decode(&vec![0; got]).unwrap_err();
            assert_eq!(told, StatsError::Size { got });
        }
    }
}
