//! TONE_CURVE: from linear light to display values.

use crate::blocks::{Block, BlockError, HEADER_SIZE};
use crate::fixed;

/// Tone curve, the same for R, G and B (type 3, 528 bytes).
///
/// | offset in the body | type | field | range | unit |
/// |---|---|---|---|---|
/// | 0 | u16\[257\] | knots: output at an input of `i / 256`, linear in between | non-decreasing | 65535 is 1.0 |
/// | 514 | u8\[6\] | reserved | 0 | – |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToneCurve([u16; ToneCurve::KNOTS]);

impl ToneCurve {
    /// Number of knots.
    pub const KNOTS: usize = 257;

    /// Output equals input.
    #[must_use]
    pub fn linear() -> Self {
        Self::from_fn(|x| x)
    }

    /// Samples `curve` at the inputs 0, 1/256 … 1. Outputs are clamped to 0..=1, and lifted to the
    /// knot before them where the curve falls or is NaN.
    #[must_use]
    pub fn from_fn(mut curve: impl FnMut(f64) -> f64) -> Self {
        let mut knots = [0; Self::KNOTS];
        let mut floor = 0;
        for (i, knot) in knots.iter_mut().enumerate() {
            floor = fixed::unit(curve(i as f64 / (Self::KNOTS - 1) as f64)).max(floor);
            *knot = floor;
        }
        Self(knots)
    }

    /// A curve of raw knots.
    ///
    /// # Errors
    /// [`BlockError::NotMonotone`] when it falls somewhere.
    pub fn from_knots(knots: [u16; Self::KNOTS]) -> Result<Self, BlockError> {
        match knots.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(at) => Err(BlockError::NotMonotone {
                block: Self::NAME,
                index: at + 1,
            }),
            None => Ok(Self(knots)),
        }
    }

    /// The raw knots; 65535 is 1.0.
    #[must_use]
    pub const fn knots(&self) -> &[u16; Self::KNOTS] {
        &self.0
    }

    /// The curve at `x`, interpolated; below 0 (and at NaN) it is the first knot, above 1 the last.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        let scaled = x.clamp(0.0, 1.0) * (Self::KNOTS - 1) as f64;
        let left = (scaled as usize).min(Self::KNOTS - 2);
        let (a, b) = (
            fixed::from_unit(self.0[left]),
            fixed::from_unit(self.0[left + 1]),
        );
        // `as` turned NaN into 0; `max` does the same for the rest.
        let part = (scaled - left as f64).max(0.0);
        a + (b - a) * part
    }
}

impl Default for ToneCurve {
    fn default() -> Self {
        Self::linear()
    }
}

impl Block for ToneCurve {
    const KIND: u16 = 3;
    const NAME: &'static str = "TONE_CURVE";
    const SIZE: usize = 528;

    fn encode(&self, body: &mut [u8]) {
        fixed::write_u16s(body, self.0);
    }

    fn decode(body: &[u8]) -> Result<Self, BlockError> {
        BlockError::expect_size::<Self>(body)?;
        let words: [u16; (Self::SIZE - HEADER_SIZE) / 2] = fixed::read_u16s(body);
        let Some((knots, reserved)) = words.split_first_chunk() else {
            return Err(BlockError::Reserved { block: Self::NAME });
        };
        if reserved.iter().any(|&word| word != 0) {
            return Err(BlockError::Reserved { block: Self::NAME });
        }
        Self::from_knots(*knots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linear_curve_gives_back_its_input() {
        let curve = ToneCurve::linear();
        for x in [0.0, 0.1, 0.5, 0.777, 1.0] {
            assert!((curve.at(x) - x).abs() < 1.0 / 65535.0);
        }
    }

    #[test]
    fn inputs_outside_the_range_meet_the_ends_and_nan_the_first_knot() {
        let curve = ToneCurve::from_fn(|x| 0.25 + 0.5 * x);
        assert!((curve.at(-3.0) - 0.25).abs() < 1e-4);
        assert!((curve.at(9.0) - 0.75).abs() < 1e-4);
        assert!((curve.at(f64::NAN) - 0.25).abs() < 1e-4);
    }

    #[test]
    fn sampling_a_falling_or_undefined_function_gives_a_flat_piece() {
        let curve = ToneCurve::from_fn(|x| if x > 0.5 { f64::NAN } else { 1.0 - x });
        assert_eq!(curve.knots(), &[65535; ToneCurve::KNOTS]);
    }

    #[test]
    fn a_falling_curve_is_refused_with_its_knot() {
        let mut body = [0; 520];
        ToneCurve::linear().encode(&mut body);
        body[200..202].fill(0);
        assert_eq!(
            ToneCurve::decode(&body),
            Err(BlockError::NotMonotone {
                block: "TONE_CURVE",
                index: 100
            })
        );
    }

    #[test]
    fn a_reserved_byte_that_is_not_zero_is_refused() {
        let mut body = [0; 520];
        body[519] = 1;
        assert_eq!(
            ToneCurve::decode(&body),
            Err(BlockError::Reserved {
                block: "TONE_CURVE"
            })
        );
    }
}
