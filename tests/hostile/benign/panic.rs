//! A module in Rust that panics, and catches it.

use coldshoe_ipa::{
    Answer, Formats, FrameIn, Init, Ipa, IpaError, ModuleFlags, ModuleInfo, Sensor, export_ipa,
};

struct Panics;

impl Ipa for Panics {
    const INFO: ModuleInfo = ModuleInfo {
        name: "benign-panic",
        version: "1",
        license: "Apache-2.0 OR MIT",
        formats: &[Formats {
            stats: "coldshoe-stats-1",
            params: "coldshoe-soft",
            blocks: 0,
        }],
        flags: ModuleFlags { threads: false },
    };

    fn create(_: &Init<'_>) -> Result<Self, IpaError> {
        caught()?;
        Ok(Self)
    }

    fn configure(&mut self, _: &Sensor) -> Result<(), IpaError> {
        caught()
    }

    fn process(&mut self, _: &FrameIn<'_>, params: &mut [u8]) -> Result<Answer, IpaError> {
        caught()?;
        let empty = [1, 0, 0, 0, 0, 0, 0, 0];
        let room = params
            .get_mut(..empty.len())
            .ok_or_else(|| IpaError::new("no room"))?;
        room.copy_from_slice(&empty);
        Ok(Answer {
            params_size: empty.len(),
            ..Answer::default()
        })
    }
}

fn caught() -> Result<(), IpaError> {
    let values: Vec<u32> = (0..1000).collect();
    let beyond = values.len();
    match std::panic::catch_unwind(|| values[beyond]) {
        Ok(_) => Err(IpaError::new("an index beyond the end was found")),
        Err(_) => Ok(()),
    }
}

export_ipa!(Panics);
