//! WB_GAINS: what makes a neutral surface neutral.

use crate::blocks::{Block, BlockError};
use crate::fixed;

/// White balance gains of each channel (type 1, 16 bytes).
///
/// | offset in the body | type | field | range | unit |
/// |---|---|---|---|---|
/// | 0 | u16 | r | 0..=65535 | Q4.12: 4096 is a gain of 1, the largest just below 16 |
/// | 2 | u16 | gr | 0..=65535 | the same |
/// | 4 | u16 | gb | 0..=65535 | the same |
/// | 6 | u16 | b | 0..=65535 | the same |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WbGains(pub [u16; 4]);

impl WbGains {
    /// Rounds gains (R, Gr, Gb, B); outside 0..16 they are clamped, NaN is 1.
    #[must_use]
    pub fn from_gains(gains: [f64; 4]) -> Self {
        Self(gains.map(|gain| fixed::q12(gain, 0, u16::MAX, 1.0)))
    }

    /// The gains, R, Gr, Gb, B.
    #[must_use]
    pub fn gains(&self) -> [f64; 4] {
        self.0.map(fixed::from_q12)
    }
}

impl Default for WbGains {
    /// All gains 1.
    fn default() -> Self {
        Self([4096; 4])
    }
}

impl Block for WbGains {
    const KIND: u16 = 1;
    const NAME: &'static str = "WB_GAINS";
    const SIZE: usize = 16;

    fn encode(&self, body: &mut [u8]) {
        fixed::write_u16s(body, self.0);
    }

    fn decode(body: &[u8]) -> Result<Self, BlockError> {
        BlockError::expect_size::<Self>(body)?;
        Ok(Self(fixed::read_u16s(body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_rounded_and_clamped_and_nan_is_one() {
        let gains = WbGains::from_gains([1.949, 20.0, -3.0, f64::NAN]);
        assert_eq!(gains.0, [7983, 65535, 0, 4096]);
        assert_eq!(WbGains::default().gains(), [1.0; 4]);
    }
}
