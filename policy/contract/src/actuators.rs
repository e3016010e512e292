//! What is asked of sensor and lens, and what is granted.
//!
//! An algorithm's requests are numbers that somebody else made. [`Actuators`] refuses what is no
//! quantity, clamps the rest to what the sensor can do and to how fast the contract lets it change,
//! and keeps exposure and frame duration together, each at the frame where it takes effect.

mod grant;
mod limits;
mod quantity;
mod schedule;

pub use grant::{Actuator, Actuators, Clamp, Granted, Judged, Requests, Wanted};
pub use limits::{GainModel, Limits, LimitsError, MAX_DELAY, Sensor};
pub use quantity::{Dioptres, Gain, GainCode, Lines, Microseconds, Unfit};
