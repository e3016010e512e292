//! CCM: from the camera's RGB to linear sRGB.

use crate::blocks::{Block, BlockError, HEADER_SIZE};
use crate::fixed;

const COEFFICIENTS: usize = 9;

/// Colour correction matrix (type 2, 32 bytes).
///
/// | offset in the body | type | field | range | unit |
/// |---|---|---|---|---|
/// | 0 | i16\[9\] | m, row by row: `out[i] = Σ m[3i+j]·in[j]` | −32768..=32767 | Q4.12, −8 to just below 8 |
/// | 18 | u8\[6\] | reserved | 0 | – |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ccm([i16; COEFFICIENTS]);

impl Ccm {
    /// Leaves colours as they are.
    #[must_use]
    pub const fn identity() -> Self {
        Self([4096, 0, 0, 0, 4096, 0, 0, 0, 4096])
    }

    /// Rounds a matrix of rows; coefficients outside −8..8 are clamped, NaN becomes the
    /// identity's.
    #[must_use]
    pub fn from_rows(rows: [[f64; 3]; 3]) -> Self {
        let mut raw = [0; COEFFICIENTS];
        for (i, out) in raw.iter_mut().enumerate() {
            let identity = if i % 4 == 0 { 1.0 } else { 0.0 };
            *out = fixed::q12_signed(rows[i / 3][i % 3], identity);
        }
        Self(raw)
    }

    /// The matrix, row by row.
    #[must_use]
    pub fn rows(&self) -> [[f64; 3]; 3] {
        let m = self.0.map(fixed::from_q12);
        [[m[0], m[1], m[2]], [m[3], m[4], m[5]], [m[6], m[7], m[8]]]
    }
}

impl Default for Ccm {
    fn default() -> Self {
        Self::identity()
    }
}

impl Block for Ccm {
    const KIND: u16 = 2;
    const NAME: &'static str = "CCM";
    const SIZE: usize = 32;

    fn encode(&self, body: &mut [u8]) {
        fixed::write_u16s(body, self.0.map(i16::cast_unsigned));
    }

    fn decode(body: &[u8]) -> Result<Self, BlockError> {
        BlockError::expect_size::<Self>(body)?;
        let words: [u16; (Self::SIZE - HEADER_SIZE) / 2] = fixed::read_u16s(body);
        let (raw, reserved) = words.split_at(COEFFICIENTS);
        if reserved.iter().any(|&word| word != 0) {
            return Err(BlockError::Reserved { block: Self::NAME });
        }
        let mut m = [0; COEFFICIENTS];
        for (out, word) in m.iter_mut().zip(raw) {
            *out = word.cast_signed();
        }
        Ok(Self(m))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_to_the_last_bit_of_q4_12() {
        let rows = [[1.8, -0.6, -0.2], [-0.3, 1.5, -0.2], [0.0, -0.7, 1.7]];
        for (got, want) in Ccm::from_rows(rows)
            .rows()
            .iter()
            .flatten()
            .zip(rows.iter().flatten())
        {
            assert!((got - want).abs() <= 0.5 / 4096.0);
        }
    }

    #[test]
    fn coefficients_are_clamped_and_nan_is_the_identitys() {
        let ccm = Ccm::from_rows([[f64::NAN; 3], [100.0, -100.0, 1.0], [f64::NAN; 3]]);
        assert_eq!(ccm.0, [4096, 0, 0, 32767, -32768, 4096, 0, 0, 4096]);
    }

    #[test]
    fn a_reserved_byte_that_is_not_zero_is_refused() {
        for at in 18..24 {
            let mut body = [0; 24];
            body[at] = 1;
            assert_eq!(
                Ccm::decode(&body),
                Err(BlockError::Reserved { block: "CCM" })
            );
        }
    }
}
