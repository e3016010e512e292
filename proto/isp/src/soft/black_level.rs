//! BLACK_LEVEL: what a pixel reads without light.

use crate::blocks::{Block, BlockError};
use crate::fixed;

/// Black level of each channel (type 0, 16 bytes).
///
/// | offset in the body | type | field | range | unit |
/// |---|---|---|---|---|
/// | 0 | u16 | r | 0..=65535 | fraction of full scale × 65535 |
/// | 2 | u16 | gr | 0..=65535 | the same |
/// | 4 | u16 | gb | 0..=65535 | the same |
/// | 6 | u16 | b | 0..=65535 | the same |
///
/// Full scale is the largest number the raw format can hold, `2^bits − 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlackLevel(pub [u16; 4]);

impl BlackLevel {
    /// Rounds fractions of full scale (R, Gr, Gb, B); outside 0..=1 they are clamped, NaN is 0.
    #[must_use]
    pub fn from_fractions(levels: [f64; 4]) -> Self {
        Self(levels.map(fixed::unit))
    }

    /// The same level for all channels, as a fraction of full scale.
    #[must_use]
    pub fn uniform(level: f64) -> Self {
        Self::from_fractions([level; 4])
    }

    /// Fractions of full scale, R, Gr, Gb, B.
    #[must_use]
    pub fn fractions(&self) -> [f64; 4] {
        self.0.map(fixed::from_unit)
    }
}

impl Block for BlackLevel {
    const KIND: u16 = 0;
    const NAME: &'static str = "BLACK_LEVEL";
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
    fn fractions_are_clamped_and_nan_is_no_level() {
        let level = BlackLevel::from_fractions([0.0625, -1.0, 2.0, f64::NAN]);
        assert_eq!(level.0, [4096, 0, 65535, 0]);
        assert!((level.fractions()[0] - 0.0625).abs() < 1.0 / 65535.0);
    }
}
