//! The state that a replaced worker goes on from.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u8\[4\] | magic `CSOP` |
//! | 4 | u32 | version 1 |
//! | 8 | f64 | total exposure, µs at a gain of 1 |
//! | 16 | f64 | R/G of a neutral surface |
//! | 24 | f64 | B/G of a neutral surface |
//! | 32 | f64 | black level, fraction of full scale |

use thiserror::Error;

use crate::ct_curve::WhitePoint;

const HEAD: [u8; 8] = *b"CSOP\x01\0\0\0";
/// Bytes of a saved state.
pub const SIZE: usize = 40;

/// What the algorithms have found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    pub total_exposure_us: f64,
    pub white: WhitePoint,
    pub black: f64,
}

/// Why bytes are not a saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// Not what `save_state` wrote.
    #[error("state: not one of this version of the open module; start without it")]
    Format,
    /// A value that cannot have been saved.
    #[error("state: a value is out of its range; start without it")]
    Value,
}

impl State {
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let values = [
            self.total_exposure_us,
            self.white.red,
            self.white.blue,
            self.black,
        ];
        bytes[..8].copy_from_slice(&HEAD);
        for (chunk, value) in bytes[8..].chunks_exact_mut(8).zip(values) {
            chunk.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let bytes: &[u8; SIZE] = bytes.try_into().map_err(|_| StateError::Format)?;
        let (head, rest) = bytes.split_at(8);
        if head != HEAD {
            return Err(StateError::Format);
        }
        let mut values = [0.0; 4];
        for (value, chunk) in values.iter_mut().zip(rest.as_chunks::<8>().0) {
            *value = f64::from_le_bytes(*chunk);
        }
        let [total_exposure_us, red, blue, black] = values;
        let white = WhitePoint { red, blue };
        let exposed = total_exposure_us.is_finite() && total_exposure_us > 0.0;
        if !(exposed && white.is_sane() && (0.0..=0.5).contains(&black)) {
            return Err(StateError::Value);
        }
        Ok(Self {
            total_exposure_us,
            white,
            black,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATE: State = State {
        total_exposure_us: 12_345.6,
        white: WhitePoint {
            red: 0.6,
            blue: 0.5,
        },
        black: 0.0625,
    };

    #[test]
    fn what_was_saved_comes_back() {
        assert_eq!(State::decode(&STATE.encode()), Ok(STATE));
    }

    #[test]
    fn another_length_magic_or_version_is_refused() {
        let bytes = STATE.encode();
        assert_eq!(State::decode(&bytes[..39]), Err(StateError::Format));
        for at in [0, 4] {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(State::decode(&bytes), Err(StateError::Format));
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let odd = [
            State {
                black: 0.6,
                ..STATE
            },
            State {
                total_exposure_us: f64::NAN,
                ..STATE
            },
            State {
                white: WhitePoint {
                    red: -1.0,
                    blue: 1.0,
                },
                ..STATE
            },
        ];
        for state in odd {
            assert_eq!(State::decode(&state.encode()), Err(StateError::Value));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_taken_that_would_not_be_written(bytes in prop::collection::vec(any::<u8>(), SIZE)) {
            let mut bytes = bytes;
            bytes[..8].copy_from_slice(&HEAD);
            if let Ok(state) = State::decode(&bytes) {
                prop_assert_eq!(&state.encode()[..], &bytes[..]);
            }
        }
    }
}
