//! The sensor and its mode.

use std::ffi::c_char;

use coldshoe::Sensor;

use crate::fail::Fail;
use crate::record::Record;
use crate::text;

/// Order of the colours in the top left 2x2 pixels, row by row.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_bayer_order {
    /// Red green, green blue.
    COLDSHOE_BAYER_RGGB = 1,
    /// Green red, blue green.
    COLDSHOE_BAYER_GRBG = 2,
    /// Green blue, red green.
    COLDSHOE_BAYER_GBRG = 3,
    /// Blue green, green red.
    COLDSHOE_BAYER_BGGR = 4,
}

/// What the algorithms must know of the sensor and its mode.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_sensor {
    /// sizeof(struct coldshoe_sensor)
    pub struct_size: usize,
    /// Model name, as the driver gives it.
    pub model: *const c_char,
    /// Width of a frame in pixels.
    pub width: u32,
    /// Height of a frame in pixels.
    pub height: u32,
    /// One of enum coldshoe_bayer_order.
    pub bayer_order: u32,
    /// Bits of one raw sample, 6 to 24.
    pub bit_depth: u32,
    /// Frames from setting an exposure to the first frame that has it.
    pub exposure_delay: u32,
    /// Frames from setting a gain to the first frame that has it.
    pub gain_delay: u32,
    /// Time that one line takes, blanking included, in microseconds.
    pub line_length_us: f64,
    /// Shortest exposure in microseconds.
    pub min_exposure_us: f64,
    /// Longest exposure in microseconds.
    pub max_exposure_us: f64,
    /// Smallest analogue gain, a linear factor.
    pub min_analogue_gain: f64,
    /// Largest analogue gain, a linear factor.
    pub max_analogue_gain: f64,
    /// Largest digital gain, a linear factor, at least 1; 1: the sensor has none.
    pub max_digital_gain: f64,
    /// Raw level of black as a fraction of full scale, 0 to below 1.
    pub black_level: f64,
    /// Shortest frame duration in microseconds.
    pub min_frame_duration_us: f64,
    /// Longest frame duration in microseconds.
    pub max_frame_duration_us: f64,
    /// Lens position furthest away, in dioptres; 0 is infinity.
    pub min_lens_position: f64,
    /// Nearest lens position, in dioptres; 0: no lens that moves.
    pub max_lens_position: f64,
    /// Lines that a frame is longer than its exposure, at least.
    pub exposure_margin_lines: u32,
    /// 0
    pub reserved: u32,
}

// SAFETY: the first field is its size, the four-byte ones are paired, and any bytes are a number or
// a pointer.
unsafe impl Record for coldshoe_sensor {}

impl coldshoe_sensor {
    /// # Safety
    /// `model` is NULL or a string.
    pub(crate) unsafe fn checked(&self) -> Result<Sensor, Fail> {
        Ok(Sensor {
            // SAFETY: passed on.
            model: unsafe { text::required(self.model, "sensor.model") }?.to_owned(),
            width: self.width,
            height: self.height,
            // The daemon refuses what is none.
            bayer_order: i32::try_from(self.bayer_order).unwrap_or(0),
            bit_depth: self.bit_depth,
            exposure_delay: self.exposure_delay,
            gain_delay: self.gain_delay,
            line_length_us: self.line_length_us,
            min_exposure_us: self.min_exposure_us,
            max_exposure_us: self.max_exposure_us,
            min_analogue_gain: self.min_analogue_gain,
            max_analogue_gain: self.max_analogue_gain,
            max_digital_gain: self.max_digital_gain,
            black_level: self.black_level,
            min_frame_duration_us: self.min_frame_duration_us,
            max_frame_duration_us: self.max_frame_duration_us,
            min_lens_position: self.min_lens_position,
            max_lens_position: self.max_lens_position,
            exposure_margin_lines: self.exposure_margin_lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe::BayerOrder;

    #[test]
    fn the_orders_are_those_of_the_protocol() {
        use coldshoe_bayer_order::*;
        for (here, there) in [
            (COLDSHOE_BAYER_RGGB, BayerOrder::Rggb),
            (COLDSHOE_BAYER_GRBG, BayerOrder::Grbg),
            (COLDSHOE_BAYER_GBRG, BayerOrder::Gbrg),
            (COLDSHOE_BAYER_BGGR, BayerOrder::Bggr),
        ] {
            assert_eq!(here as i32, there as i32);
        }
    }
}
