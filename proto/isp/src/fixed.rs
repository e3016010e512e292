//! Fixed point: Q4.12 numbers, fractions of 65535, and little-endian arrays of them.

/// One in Q4.12.
const Q12_ONE: f64 = 4096.0;

/// The nearest unsigned Q4.12 number within `min..=max` (raw). NaN becomes `otherwise`.
pub fn q12(value: f64, min: u16, max: u16, otherwise: f64) -> u16 {
    let value = if value.is_nan() { otherwise } else { value };
    (value * Q12_ONE)
        .round()
        .clamp(f64::from(min), f64::from(max)) as u16
}

/// The nearest signed Q4.12 number. NaN becomes `otherwise`.
pub fn q12_signed(value: f64, otherwise: f64) -> i16 {
    let value = if value.is_nan() { otherwise } else { value };
    (value * Q12_ONE)
        .round()
        .clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

/// The value of a Q4.12 number.
pub fn from_q12(raw: impl Into<f64>) -> f64 {
    raw.into() / Q12_ONE
}

/// The nearest fraction of 65535. NaN becomes 0.
pub fn unit(value: f64) -> u16 {
    // A cast of NaN is 0.
    (value * 65535.0).round().clamp(0.0, 65535.0) as u16
}

/// The value of a fraction of 65535.
pub fn from_unit(raw: u16) -> f64 {
    f64::from(raw) / 65535.0
}

/// Writes words one after the other, as many as fit.
pub fn write_u16s(body: &mut [u8], words: impl IntoIterator<Item = u16>) {
    for (bytes, word) in body.chunks_exact_mut(2).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// Reads `N` words from the front; a word that is not there is 0.
pub fn read_u16s<const N: usize>(body: &[u8]) -> [u16; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(body.as_chunks().0) {
        *word = u16::from_le_bytes(*bytes);
    }
    words
}

/// The nearest whole number of `1/one`, within `0..=max`. NaN becomes `otherwise`.
pub fn scaled(value: f64, one: f64, max: u32, otherwise: f64) -> u32 {
    let value = if value.is_nan() { otherwise } else { value };
    (value * one).round().clamp(0.0, f64::from(max)) as u32
}
