//! How long the open module takes for a frame.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use coldshoe_camera::{Camera, LensConfig, Light, SensorRequest, scene};
use coldshoe_gates::rig::sensor;
use coldshoe_ipa::{Applied, Controls, FrameIn, Ipa};
use coldshoe_ipa_open::Open;
use coldshoe_isp::soft;
use serde::Serialize;
use stats_alloc::Region;

use crate::round::median;

/// What is measured.
pub(crate) const SUBJECTS: [Subject; 3] = [
    Subject {
        name: "open-grey-world",
        about: "process of the open module, built-in tuning",
        tuned: false,
        focus: false,
    },
    Subject {
        name: "open-search",
        about: "process of the open module, tuned to its sensor",
        tuned: true,
        focus: false,
    },
    Subject {
        name: "open-focus",
        about: "the same with a lens that is focused all the time",
        tuned: true,
        focus: true,
    },
];

/// How the module is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    tuned: bool,
    focus: bool,
}

/// What a frame took.
#[derive(Serialize)]
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    pub(crate) p50_us: f64,
    /// A frame.
    pub(crate) allocations: f64,
}

const TUNING: &[u8] = include_bytes!("../../../daemon/jailed/open/tuning/virtual.toml");
/// Frames of noise that come again and again.
const FRAMES: usize = 16;

/// Measures so many frames.
pub(crate) fn measure(subject: &Subject, rounds: usize) -> Result<Cost> {
    let mut camera = Camera::new(scene::open(None)?, Light::default());
    if subject.focus {
        camera = camera.with_lens(LensConfig::default());
    }
    let right = camera.target_exposure_us(0.0);
    camera.request(&SensorRequest {
        exposure_us: Some(right),
        ..SensorRequest::default()
    });
    (0..=camera.delay()).for_each(|_| drop(camera.next_frame()));
    let fail = |error: coldshoe_ipa::IpaError| anyhow!("{error}");
    let blocks = (1 << soft::TABLE.sizes.len()) - 1;
    let mut module = Open::new(subject.tuned.then_some(TUNING), blocks).map_err(fail)?;
    module.configure(&sensor(&camera)).map_err(fail)?;
    module.start().map_err(fail)?;
    let mut frames = Vec::with_capacity(FRAMES);
    for _ in 0..FRAMES {
        let captured = camera.next_frame();
        let statistics = match subject.focus {
            true => captured.statistics_with_focus(),
            false => captured.statistics(),
        };
        let mut bytes = vec![0; statistics.encoded_size()];
        statistics.encode(&mut bytes)?;
        frames.push((captured, bytes));
    }
    let mut params = vec![0; soft::MAX_PAYLOAD];
    let (mut times, mut number) = (Vec::with_capacity(rounds * FRAMES), 0);
    let mut allocations = 0;
    for _ in 0..rounds {
        for (captured, bytes) in &frames {
            number += 1;
            let frame = frame(number, captured, bytes, subject.focus);
            let region = Region::new(crate::ALLOCATOR);
            let begin = Instant::now();
            let answer = module
                .process(black_box(&frame), &mut params)
                .map_err(fail)?;
            times.push(begin.elapsed().as_secs_f64() * 1e6);
            black_box(answer);
            let change = region.change();
            allocations += change.allocations + change.reallocations;
        }
    }
    Ok(Cost {
        name: subject.name,
        allocations: allocations as f64 / times.len() as f64,
        p50_us: median(times).context("no frame")?,
    })
}

fn frame<'a>(
    number: u64,
    captured: &coldshoe_camera::Captured,
    stats: &'a [u8],
    focus: bool,
) -> FrameIn<'a> {
    FrameIn {
        frame: number,
        sensor_timestamp_ns: 0,
        deadline_ns: u64::MAX,
        applied: Applied {
            exposure_us: captured.applied.exposure_us,
            analogue_gain: captured.applied.analogue_gain,
            digital_gain: captured.applied.digital_gain,
            black_level: 0.0625,
            lens_position: captured.lens_position.unwrap_or(f64::NAN),
        },
        controls: Controls {
            set: if focus { Controls::AF_MODE } else { 0 },
            af_mode: 2,
            ..Controls::default()
        },
        stats: Some(stats),
    }
}
