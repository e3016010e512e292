//! A frame, as the pipeline knows it.

use coldshoe::{Applied, Controls, Frame, Moment};

use crate::fail::Fail;
use crate::record::Record;

/// Bits of coldshoe_applied.set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_applied_bit {
    /// lens_position: there is a lens actuator.
    COLDSHOE_APPLIED_LENS_POSITION = 1 << 0,
}

/// What the sensor really applied to the frame that the statistics come from.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_applied {
    /// Which of the optional fields count: bits of enum coldshoe_applied_bit.
    pub set: u32,
    /// 0
    pub reserved: u32,
    /// Exposure time in microseconds.
    pub exposure_us: f64,
    /// Linear factor.
    pub analogue_gain: f64,
    /// Linear factor.
    pub digital_gain: f64,
    /// Fraction of full scale.
    pub black_level: f64,
    /// Dioptres. Optional.
    pub lens_position: f64,
}

/// Bits of coldshoe_controls.set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_control {
    /// ae_enable
    COLDSHOE_CONTROL_AE_ENABLE = 1 << 0,
    /// awb_enable
    COLDSHOE_CONTROL_AWB_ENABLE = 1 << 1,
    /// exposure_value
    COLDSHOE_CONTROL_EXPOSURE_VALUE = 1 << 2,
    /// exposure_us
    COLDSHOE_CONTROL_EXPOSURE_TIME = 1 << 3,
    /// analogue_gain
    COLDSHOE_CONTROL_ANALOGUE_GAIN = 1 << 4,
    /// colour_temperature
    COLDSHOE_CONTROL_COLOUR_TEMPERATURE = 1 << 5,
    /// colour_gain_red and colour_gain_blue
    COLDSHOE_CONTROL_COLOUR_GAINS = 1 << 6,
    /// contrast
    COLDSHOE_CONTROL_CONTRAST = 1 << 7,
    /// saturation
    COLDSHOE_CONTROL_SATURATION = 1 << 8,
    /// sharpness
    COLDSHOE_CONTROL_SHARPNESS = 1 << 9,
    /// brightness
    COLDSHOE_CONTROL_BRIGHTNESS = 1 << 10,
    /// lens_position
    COLDSHOE_CONTROL_LENS_POSITION = 1 << 11,
    /// ae_metering
    COLDSHOE_CONTROL_AE_METERING = 1 << 12,
    /// awb_mode
    COLDSHOE_CONTROL_AWB_MODE = 1 << 13,
    /// af_mode
    COLDSHOE_CONTROL_AF_MODE = 1 << 14,
    /// af_trigger
    COLDSHOE_CONTROL_AF_TRIGGER = 1 << 15,
    /// af_pause
    COLDSHOE_CONTROL_AF_PAUSE = 1 << 16,
}

/// What the application asks for with a frame. What is not set stays as it was tuned.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_controls {
    /// Which fields count: bits of enum coldshoe_control.
    pub set: u32,
    /// 0
    pub reserved: u32,
    /// 0 keeps exposure and gains as they are.
    pub ae_enable: u32,
    /// 0 keeps colour gains as they are.
    pub awb_enable: u32,
    /// EV, -8 to 8.
    pub exposure_value: f64,
    /// Microseconds, with AE off.
    pub exposure_us: f64,
    /// Linear factor, with AE off.
    pub analogue_gain: f64,
    /// Kelvin, with AWB off.
    pub colour_temperature: f64,
    /// Linear factor, with AWB off; green is 1.
    pub colour_gain_red: f64,
    /// Linear factor, with AWB off; green is 1.
    pub colour_gain_blue: f64,
    /// 1 = as tuned.
    pub contrast: f64,
    /// 1 = as tuned.
    pub saturation: f64,
    /// 1 = as tuned.
    pub sharpness: f64,
    /// -1 to 1; 0 = as tuned.
    pub brightness: f64,
    /// Dioptres, with manual focus.
    pub lens_position: f64,
    /// As libcamera's AeMeteringMode: 0 centre-weighted, 1 spot, 2 matrix, 3 custom.
    pub ae_metering: u32,
    /// As libcamera's AwbMode: 0 auto, 1 incandescent, 2 tungsten, 3 fluorescent, 4 indoor,
    /// 5 daylight, 6 cloudy, 7 custom.
    pub awb_mode: u32,
    /// As libcamera's AfMode: 0 manual, 1 auto, 2 continuous.
    pub af_mode: u32,
    /// As libcamera's AfTrigger: 0 start, 1 cancel.
    pub af_trigger: u32,
    /// As libcamera's AfPause: 0 immediate, 1 deferred, 2 resume.
    pub af_pause: u32,
    /// 0
    pub reserved_2: u32,
}

/// A frame, as the pipeline knows it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_frame {
    /// sizeof(struct coldshoe_frame)
    pub struct_size: usize,
    /// The pipeline's frame number.
    pub number: u64,
    /// When the sensor exposed it, in nanoseconds of CLOCK_MONOTONIC, as V4L2 buffers carry it.
    pub sensor_timestamp_ns: u64,
    /// When the pipeline goes on without an answer, in nanoseconds of CLOCK_MONOTONIC.
    pub deadline_ns: u64,
    /// What the sensor really applied to it.
    pub applied: coldshoe_applied,
    /// What the application asks for.
    pub controls: coldshoe_controls,
}

// SAFETY: the first field is its size, the four-byte ones are paired, and any bytes are a number.
unsafe impl Record for coldshoe_frame {}

/// Optional fields by their bits.
struct Fields {
    name: &'static str,
    left: u32,
}

impl Fields {
    fn new(name: &'static str, set: u32, reserved: u32) -> Result<Self, Fail> {
        if reserved != 0 {
            return Err(unknown(name, "its field reserved is not 0"));
        }
        Ok(Self { name, left: set })
    }

    fn take<T>(&mut self, bit: u32, value: T) -> Option<T> {
        let set = self.left & bit != 0;
        self.left &= !bit;
        set.then_some(value)
    }

    fn end(self) -> Result<(), Fail> {
        match self.left {
            0 => Ok(()),
            _ => Err(unknown(self.name, "it sets bits that have no meaning")),
        }
    }
}

fn unknown(name: &'static str, why: &'static str) -> Fail {
    Fail::Argument {
        name,
        why: why.into(),
        remedy: "set the whole structure to zero first, or use a newer libcoldshoe",
    }
}

impl coldshoe_applied {
    fn checked(&self) -> Result<Applied, Fail> {
        use coldshoe_applied_bit::*;
        let mut fields = Fields::new("frame.applied", self.set, self.reserved)?;
        let lens_position = fields.take(COLDSHOE_APPLIED_LENS_POSITION as u32, self.lens_position);
        fields.end()?;
        Ok(Applied {
            exposure_us: self.exposure_us,
            analogue_gain: self.analogue_gain,
            digital_gain: self.digital_gain,
            black_level: self.black_level,
            lens_position,
        })
    }
}

impl coldshoe_controls {
    fn checked(&self) -> Result<Controls, Fail> {
        use coldshoe_control::*;
        let reserved = self.reserved | self.reserved_2;
        let mut fields = Fields::new("frame.controls", self.set, reserved)?;
        let gains = [self.colour_gain_red, self.colour_gain_blue];
        let controls = Controls {
            ae_enable: fields.take(COLDSHOE_CONTROL_AE_ENABLE as u32, self.ae_enable != 0),
            awb_enable: fields.take(COLDSHOE_CONTROL_AWB_ENABLE as u32, self.awb_enable != 0),
            exposure_value: fields
                .take(COLDSHOE_CONTROL_EXPOSURE_VALUE as u32, self.exposure_value),
            exposure_us: fields.take(COLDSHOE_CONTROL_EXPOSURE_TIME as u32, self.exposure_us),
            analogue_gain: fields.take(COLDSHOE_CONTROL_ANALOGUE_GAIN as u32, self.analogue_gain),
            colour_temperature: fields.take(
                COLDSHOE_CONTROL_COLOUR_TEMPERATURE as u32,
                self.colour_temperature,
            ),
            colour_gains: fields.take(COLDSHOE_CONTROL_COLOUR_GAINS as u32, gains),
            contrast: fields.take(COLDSHOE_CONTROL_CONTRAST as u32, self.contrast),
            saturation: fields.take(COLDSHOE_CONTROL_SATURATION as u32, self.saturation),
            sharpness: fields.take(COLDSHOE_CONTROL_SHARPNESS as u32, self.sharpness),
            brightness: fields.take(COLDSHOE_CONTROL_BRIGHTNESS as u32, self.brightness),
            lens_position: fields.take(COLDSHOE_CONTROL_LENS_POSITION as u32, self.lens_position),
            ae_metering: fields.take(COLDSHOE_CONTROL_AE_METERING as u32, self.ae_metering),
            awb_mode: fields.take(COLDSHOE_CONTROL_AWB_MODE as u32, self.awb_mode),
            af_mode: fields.take(COLDSHOE_CONTROL_AF_MODE as u32, self.af_mode),
            af_trigger: fields.take(COLDSHOE_CONTROL_AF_TRIGGER as u32, self.af_trigger),
            af_pause: fields.take(COLDSHOE_CONTROL_AF_PAUSE as u32, self.af_pause),
        };
        fields.end()?;
        Ok(controls)
    }
}

impl coldshoe_frame {
    pub(crate) fn checked(&self) -> Result<Frame, Fail> {
        Ok(Frame {
            number: self.number,
            sensor_timestamp: Moment::from_ns(self.sensor_timestamp_ns),
            deadline: Moment::from_ns(self.deadline_ns),
            applied: self.applied.checked()?,
            controls: self.controls.checked()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls(set: u32) -> coldshoe_controls {
        coldshoe_controls {
            set,
            reserved: 0,
            ae_enable: 1,
            awb_enable: 0,
            exposure_value: 2.0,
            exposure_us: 3.0,
            analogue_gain: 4.0,
            colour_temperature: 5.0,
            colour_gain_red: 6.0,
            colour_gain_blue: 7.0,
            contrast: 8.0,
            saturation: 9.0,
            sharpness: 10.0,
            brightness: 11.0,
            lens_position: 12.0,
            ae_metering: 13,
            awb_mode: 14,
            af_mode: 15,
            af_trigger: 16,
            af_pause: 17,
            reserved_2: 0,
        }
    }

    #[test]
    fn each_bit_sets_its_control_and_no_other() {
        let all = Controls {
            ae_enable: Some(true),
            awb_enable: Some(false),
            exposure_value: Some(2.0),
            exposure_us: Some(3.0),
            analogue_gain: Some(4.0),
            colour_temperature: Some(5.0),
            colour_gains: Some([6.0, 7.0]),
            contrast: Some(8.0),
            saturation: Some(9.0),
            sharpness: Some(10.0),
            brightness: Some(11.0),
            lens_position: Some(12.0),
            ae_metering: Some(13),
            awb_mode: Some(14),
            af_mode: Some(15),
            af_trigger: Some(16),
            af_pause: Some(17),
        };
        let seen = |set| controls(set).checked().unwrap();
        assert_eq!(seen(0), Controls::default());
        assert_eq!(seen((1 << 17) - 1), all);
        for bit in 0..17 {
            let words = format!("{:?}", seen(1 << bit));
            assert_eq!(words.matches("Some").count(), 1, "{words}");
        }
    }

    #[test]
    fn bits_without_a_meaning_are_refused() {
        assert!(controls(1 << 17).checked().is_err());
        let reserved = coldshoe_controls {
            reserved: 1,
            ..controls(0)
        };
        assert!(reserved.checked().is_err());
    }
}
