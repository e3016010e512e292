//! Quantities that cannot be taken for each other.

use std::fmt;

/// Why a number is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not a number.
    #[error("is not a number; ask for a finite one")]
    Nan,
    /// Infinite.
    #[error("is infinite; ask for a finite one")]
    Infinite,
    /// Below zero.
    #[error("is negative; ask for zero or more")]
    Negative,
    /// Too small to be reckoned with at full speed and precision.
    #[error("is denormal; ask for zero or a number that counts")]
    Denormal,
}

/// The number, if it is finite, not negative and not denormal.
const fn fit(value: f64) -> Result<f64, Unfit> {
    if value.is_nan() {
        Err(Unfit::Nan)
    } else if value.is_infinite() {
        Err(Unfit::Infinite)
    } else if value.is_subnormal() {
        Err(Unfit::Denormal)
    } else if value < 0.0 {
        Err(Unfit::Negative)
    } else {
        // −0 counts as 0.
        Ok(value.abs())
    }
}

macro_rules! quantity {
    ($(#[$about:meta])* $name:ident, $unit:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// A quantity: finite, not negative, not denormal.
            ///
            /// # Errors
            /// [`Unfit`] says what the number is instead.
            pub const fn new(value: f64) -> Result<Self, Unfit> {
                match fit(value) {
                    Ok(value) => Ok(Self(value)),
                    Err(unfit) => Err(unfit),
                }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }

            /// Of numbers that are fit, and come out of fit ones.
            pub(crate) const fn from_fit(value: f64) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}", $unit), self.0)
            }
        }
    };
}

quantity!(
    /// A time.
    Microseconds,
    " µs"
);
quantity!(
    /// A gain, as a factor.
    Gain,
    " ×"
);
quantity!(
    /// A lens position: 0 is infinity, 10 is a tenth of a metre.
    Dioptres,
    " dpt"
);

/// A time in lines of the sensor. Only a [`Sensor`](super::Sensor) knows how long one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lines(pub u32);

/// A gain as the sensor's register has it. Only its [`GainModel`](super::GainModel) knows what it is
/// worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GainCode(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_quantity_is_refused_by_what_it_is() {
        for (value, unfit) in [
            (f64::NAN, Unfit::Nan),
            (f64::INFINITY, Unfit::Infinite),
            (f64::NEG_INFINITY, Unfit::Infinite),
            (-1.0, Unfit::Negative),
            (f64::MIN_POSITIVE / 2.0, Unfit::Denormal),
            (-f64::MIN_POSITIVE / 2.0, Unfit::Denormal),
            (f64::from_bits(1), Unfit::Denormal),
        ] {
            assert_eq!(Gain::new(value), Err(unfit), "{value}");
        }
        for value in [0.0, -0.0, f64::MIN_POSITIVE, 1.0, f64::MAX] {
            assert_eq!(Microseconds::new(value).map(Microseconds::get), Ok(value));
        }
        assert!(Gain::new(-0.0).is_ok_and(|gain| gain.get().is_sign_positive()));
    }
}
