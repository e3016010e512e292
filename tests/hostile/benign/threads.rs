//! A module in Rust with threads of its own.

use coldshoe_ipa::{
    Answer, Formats, FrameIn, Init, Ipa, IpaError, ModuleFlags, ModuleInfo, Sensor, export_ipa,
};

struct Threads;

impl Ipa for Threads {
    const INFO: ModuleInfo = ModuleInfo {
        name: "benign-threads",
        version: "1",
        license: "Apache-2.0 OR MIT",
        formats: &[Formats {
            stats: "coldshoe-stats-1",
            params: "coldshoe-soft",
            blocks: 0,
        }],
        flags: ModuleFlags { threads: true },
    };

    fn create(_: &Init<'_>) -> Result<Self, IpaError> {
        work()?;
        Ok(Self)
    }

    fn configure(&mut self, _: &Sensor) -> Result<(), IpaError> {
        work()
    }

    fn process(&mut self, _: &FrameIn<'_>, params: &mut [u8]) -> Result<Answer, IpaError> {
        work()?;
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

fn work() -> Result<(), IpaError> {
    let (told, sums) = std::sync::mpsc::channel();
    let threads: Vec<_> = (0..4_u64)
        .map(|part| {
            let told = told.clone();
            std::thread::Builder::new()
                .name(format!("part-{part}"))
                .spawn(move || told.send((part * 1000..(part + 1) * 1000).sum::<u64>()))
        })
        .collect();
    drop(told);
    for thread in threads {
        let thread = thread.map_err(|error| IpaError::new(error.to_string()))?;
        let sent = thread
            .join()
            .map_err(|_| IpaError::new("a thread panicked"))?;
        sent.map_err(|_| IpaError::new("nobody listened"))?;
    }
    let sum: u64 = sums.iter().sum();
    if sum == 7_998_000 {
        Ok(())
    } else {
        Err(IpaError::new("the parts do not add up"))
    }
}

export_ipa!(Threads);
