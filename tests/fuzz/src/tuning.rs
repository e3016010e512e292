//! The open module's tuning file, and what an accepted one does to the algorithms.

use coldshoe_ipa::{Applied, Controls, FrameIn, Ipa, Sensor};
use coldshoe_ipa_open::Open;
use coldshoe_ipa_open::tuning::Tuning;
use coldshoe_isp::Statistics;
use coldshoe_isp::soft::{self, SoftParams};

/// A tuning file. One that is accepted gives a module that works: its parameters are of the
/// format, and what it asks the sensor for is a number.
pub(crate) fn run(bytes: &[u8]) {
    if let Err(error) = Tuning::parse(bytes) {
        return assert!(!error.to_string().is_empty());
    }
    let mut module = Open::new(Some(bytes), u64::MAX).expect("accepted already");
    // That a tuning does not suit a sensor is a reason to refuse, not to fail later.
    if module.configure(&sensor()).is_err() || module.start().is_err() {
        return;
    }
    let mut stats = vec![0; Statistics::SIZE];
    grey().encode(&mut stats).expect("room");
    for stats in [None, Some(&stats), Some(&stats)] {
        let mut params = vec![0; soft::MAX_PAYLOAD];
        let frame = frame(stats.map(Vec::as_slice));
        let answer = module
            .process(&frame, &mut params)
            .expect("a frame like any");
        SoftParams::decode(&params[..answer.params_size]).expect("parameters of the format");
        let wanted = answer.wanted;
        for value in [
            wanted.exposure_us,
            wanted.analogue_gain,
            wanted.digital_gain,
        ] {
            assert!(value.is_finite() && value >= 0.0, "{wanted:?}");
        }
    }
}

/// A frame of one middling grey.
fn grey() -> Statistics {
    const VALID: u32 = 100;
    let mut stats = Statistics::empty(1, 640, 480);
    let sum = u64::from(VALID) * 12_000;
    for zone in &mut stats.zones {
        (zone.r, zone.g, zone.b, zone.valid) = (sum, sum, sum, VALID);
    }
    stats.histogram[46] = VALID * Statistics::ZONES as u32;
    stats
}

fn sensor() -> Sensor {
    Sensor {
        struct_size: size_of::<Sensor>() as u32,
        bayer_order: 1,
        width: 640,
        height: 480,
        bit_depth: 10,
        exposure_delay: 2,
        gain_delay: 1,
        exposure_margin_lines: 0,
        line_length_us: 20.0,
        min_exposure_us: 20.0,
        max_exposure_us: 30_000.0,
        min_analogue_gain: 1.0,
        max_analogue_gain: 16.0,
        max_digital_gain: 4.0,
        black_level: 0.0625,
        min_frame_duration_us: 10_000.0,
        max_frame_duration_us: 33_333.0,
        min_lens_position: 0.0,
        max_lens_position: 0.0,
    }
}

fn frame(stats: Option<&[u8]>) -> FrameIn<'_> {
    FrameIn {
        frame: 1,
        sensor_timestamp_ns: 0,
        deadline_ns: u64::MAX,
        applied: Applied {
            exposure_us: 10_000.0,
            analogue_gain: 1.0,
            digital_gain: 1.0,
            black_level: 0.0625,
            lens_position: f64::NAN,
        },
        controls: Controls::default(),
        stats,
    }
}
