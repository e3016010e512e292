//! The smallest useful Rust module: daylight white balance gains that never change, and an
//! exposure that is asked for once.

use coldshoe_ipa::{
    Actuators, Answer, Formats, FrameIn, Init, Ipa, IpaError, ModuleFlags, ModuleInfo, Sensor,
    Wanted, export_ipa,
};

/// Version of the `coldshoe-soft` parameter format.
const SOFT_VERSION: u32 = 1;
/// Block type and size of WB_GAINS.
const WB_GAINS: (u16, u32) = (1, 16);
/// Red, green, green, blue in Q4.12.
const DAYLIGHT: [u16; 4] = [7987, 4096, 4096, 5505];

struct Fixed {
    exposure_us: f64,
}

impl Ipa for Fixed {
    const INFO: ModuleInfo = ModuleInfo {
        name: "example-rust",
        version: "1.0",
        license: "Apache-2.0 OR MIT",
        formats: &[Formats {
            stats: "coldshoe-stats-1",
            params: "coldshoe-soft",
            // White balance gains.
            blocks: 1 << 1,
        }],
        flags: ModuleFlags { threads: false },
    };

    fn create(_: &Init<'_>) -> Result<Self, IpaError> {
        Ok(Self { exposure_us: 0.0 })
    }

    fn configure(&mut self, sensor: &Sensor) -> Result<(), IpaError> {
        self.exposure_us = 10_000_f64.clamp(sensor.min_exposure_us, sensor.max_exposure_us);
        Ok(())
    }

    fn process(&mut self, _: &FrameIn<'_>, params: &mut [u8]) -> Result<Answer, IpaError> {
        let mut buffer = Vec::with_capacity(24);
        buffer.extend(SOFT_VERSION.to_le_bytes());
        buffer.extend(WB_GAINS.1.to_le_bytes());
        buffer.extend(WB_GAINS.0.to_le_bytes());
        buffer.extend([0, 0]);
        buffer.extend(WB_GAINS.1.to_le_bytes());
        buffer.extend(DAYLIGHT.iter().flat_map(|gain| gain.to_le_bytes()));
        params
            .get_mut(..buffer.len())
            .ok_or_else(|| IpaError::new("the parameter buffer has no room for WB_GAINS"))?
            .copy_from_slice(&buffer);
        let mut answer = Answer {
            params_size: buffer.len(),
            ..Answer::default()
        };
        answer.wanted = Wanted {
            set: Actuators::EXPOSURE,
            exposure_us: self.exposure_us,
            ..Wanted::default()
        };
        Ok(answer)
    }
}

export_ipa!(Fixed);
