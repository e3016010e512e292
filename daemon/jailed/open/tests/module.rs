//! The verbs, as a worker calls them.

mod common;

use std::cell::RefCell;

use coldshoe_camera::{Light, scene};
use coldshoe_ipa::{Actuators, AlgorithmState, Answer, Applied, Controls, FrameIn, Ipa, IpaError};
use coldshoe_ipa_open::Open;
use coldshoe_isp::soft::{self, SoftParams, Update};
use coldshoe_isp::{Block, Statistics};
use common::{ALL_BLOCKS, Loop, delays, sensor};
use proptest::prelude::*;

const TUNING: &[u8] = include_bytes!("../tuning/virtual.toml");

fn camera() -> Loop {
    let scene = scene::open(None).unwrap();
    Loop::new(scene, TUNING, Light::default(), delays(2))
}

fn frame(stats: Option<&[u8]>) -> FrameIn<'_> {
    FrameIn {
        frame: 0,
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

fn process(module: &mut Open, stats: Option<&[u8]>) -> Result<(Answer, SoftParams), IpaError> {
    let mut params = [0; soft::MAX_PAYLOAD];
    let answer = module.process(&frame(stats), &mut params)?;
    Ok((
        answer,
        SoftParams::decode(&params[..answer.params_size]).unwrap(),
    ))
}

fn statistics(camera: &mut Loop) -> Vec<u8> {
    let mut bytes = vec![0; Statistics::SIZE];
    let stats = camera.camera.next_frame().statistics();
    stats.encode(&mut bytes).unwrap();
    bytes
}

fn set<T>(update: Update<T>) -> T {
    match update {
        Update::Set(value) => value,
        _ => panic!("block is not set"),
    }
}

#[test]
fn before_the_first_frame_it_prepares_parameters_and_asks_for_nothing() {
    let (answer, params) = process(&mut camera().module, None).unwrap();
    assert_eq!(answer.wanted.set, 0);
    assert_eq!(answer.metadata.awb_state, AlgorithmState::Searching as u32);
    assert!((answer.metadata.colour_temperature - 5000.0).abs() < 1.0);
    assert!((set(params.black_level).fractions()[0] - 0.0625).abs() < 1e-3);
    assert_eq!(set(params.tone_curve).knots()[256], 65535);
    assert!(set(params.lsc).node(0, 0, 0) > 1.4);
    set(params.ccm);
}

#[test]
fn a_frame_is_answered_with_all_blocks_and_all_exposure_controls() {
    let mut camera = camera();
    let bytes = statistics(&mut camera);
    let (answer, params) = process(&mut camera.module, Some(&bytes)).unwrap();
    let all = Actuators::EXPOSURE | Actuators::ANALOGUE_GAIN | Actuators::DIGITAL_GAIN;
    assert_eq!(answer.wanted.set, all);
    let gains = set(params.wb_gains).gains();
    let ratio = gains[0] / gains[1];
    assert!((ratio / answer.metadata.colour_gain_red - 1.0).abs() < 1e-3);
    assert_eq!(gains.into_iter().fold(f64::MAX, f64::min), 1.0);
    for row in set(params.ccm).rows() {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-3);
    }
    assert!((0.05..0.5).contains(&answer.metadata.luminance));
}

#[test]
fn only_blocks_that_the_isp_has_are_written() {
    let camera = camera();
    let mut module = Open::new(Some(TUNING), 1 << soft::WbGains::KIND).unwrap();
    module.configure(&sensor(&camera.camera)).unwrap();
    module.start().unwrap();
    let (_, params) = process(&mut module, None).unwrap();
    set(params.wb_gains);
    assert_eq!(params.ccm, Update::Keep);
    assert_eq!(params.lsc, Update::Keep);
}

#[test]
fn without_tuning_it_runs_on_the_built_in_one() {
    let mut camera = camera();
    let bytes = statistics(&mut camera);
    let mut module = Open::new(None, ALL_BLOCKS).unwrap();
    module.configure(&sensor(&camera.camera)).unwrap();
    module.start().unwrap();
    let (_, params) = process(&mut module, Some(&bytes)).unwrap();
    assert_eq!(params.lsc, Update::Keep);
    assert_eq!(set(params.ccm), soft::Ccm::identity());
}

#[test]
fn manual_exposure_and_gains_are_obeyed_and_reported_as_locked() {
    let mut camera = camera();
    camera.run(3);
    camera.controls = Controls {
        set: Controls::AE_ENABLE
            | Controls::EXPOSURE_TIME
            | Controls::ANALOGUE_GAIN
            | Controls::AWB_ENABLE
            | Controls::COLOUR_GAINS,
        exposure_us: 5_000.0,
        analogue_gain: 2.0,
        colour_gain_red: 1.9,
        colour_gain_blue: 1.3,
        ..Controls::default()
    };
    let answer = camera.run(5).pop().unwrap().answer;
    assert!((answer.wanted.exposure_us - 5_000.0).abs() < 20.0);
    assert_eq!(answer.wanted.analogue_gain, 2.0);
    assert_eq!(answer.metadata.ae_state, AlgorithmState::Locked as u32);
    assert_eq!(answer.metadata.awb_state, AlgorithmState::Locked as u32);
    assert!((answer.metadata.colour_gain_red - 1.9).abs() < 1e-9);
    assert!((answer.metadata.colour_gain_blue - 1.3).abs() < 1e-9);
}

#[test]
fn locked_it_holds_through_a_change_of_light() {
    let mut camera = camera();
    camera.run(20);
    camera.controls = Controls {
        set: Controls::AE_ENABLE | Controls::AWB_ENABLE,
        ..Controls::default()
    };
    let before = camera.step().answer;
    camera.camera.set_light(Light::new(2856.0, 2.0));
    let after = camera.run(10).pop().unwrap().answer;
    assert_eq!(after.wanted, before.wanted);
    assert_eq!(
        after.metadata.colour_gain_red,
        before.metadata.colour_gain_red
    );
}

#[test]
fn verbs_out_of_order_say_what_is_missing() {
    let mut module = Open::new(None, ALL_BLOCKS).unwrap();
    for error in [
        module.start().unwrap_err(),
        process(&mut module, None).unwrap_err(),
    ] {
        assert!(error.to_string().contains("configure"), "{error}");
    }
}

#[test]
fn a_tuning_that_is_refused_is_the_reason_create_gives() {
    let error = Open::new(Some(b"version = 1\n[agc]\nfoo = 1"), 0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("line 3") && text.contains("foo"), "{text}");
}

#[test]
fn a_parameter_buffer_too_small_is_an_error_not_a_panic() {
    let mut camera = camera();
    for size in [0, 7, 8, 100, 2000] {
        let mut params = vec![0; size];
        let answer = camera.module.process(&frame(None), &mut params);
        assert!(answer.unwrap_err().to_string().contains("larger buffer"));
    }
}

#[test]
fn bad_statistics_are_an_error_and_the_next_frame_is_as_before() {
    let mut camera = camera();
    let mut second = self::camera();
    let good = statistics(&mut camera);
    for bad in [&[][..], &good[1..], &[0xff; Statistics::SIZE]] {
        assert!(process(&mut camera.module, Some(bad)).is_err());
    }
    let (after, _) = process(&mut camera.module, Some(&good)).unwrap();
    let (fresh, _) = process(&mut second.module, Some(&good)).unwrap();
    assert_eq!(after.wanted, fresh.wanted);
}

#[test]
fn no_valid_statistics_make_it_ask_for_what_the_sensor_has_not() {
    let camera = camera();
    let limits = sensor(&camera.camera);
    let module = RefCell::new(camera.module);
    proptest!(|(
        light in prop::collection::vec(0.0..=1.0_f64, 3 * Statistics::ZONES),
        valid in prop::collection::vec(0..=4_u32, Statistics::ZONES),
        bins in prop::collection::vec(0..3_u32, Statistics::BINS),
        exposure in prop_oneof![Just(0.0), 1e-9..1e12_f64],
        gain in 1e-6..1e6_f64,
        black in any::<[u16; 4]>(),
        white in 1..=u16::MAX,
    )| {
        let mut stats = Statistics::empty(1, 32, 24);
        stats.exposure_us = exposure;
        stats.analogue_gain = gain;
        (stats.black, stats.white) = (black, white);
        for (i, zone) in stats.zones.iter_mut().enumerate() {
            zone.valid = valid[i];
            zone.clipped = 4 - valid[i];
            let most = f64::from(valid[i]) * 65535.0;
            zone.r = (light[3 * i] * most) as u64;
            zone.g = (light[3 * i + 1] * most) as u64;
            zone.b = (light[3 * i + 2] * most) as u64;
        }
        stats.histogram.copy_from_slice(&bins);
        let mut bytes = vec![0; Statistics::SIZE];
        stats.encode(&mut bytes).unwrap();
        prop_assume!(Statistics::decode(&bytes).is_ok());
        let (answer, _) = process(&mut module.borrow_mut(), Some(&bytes)).unwrap();
        let wanted = answer.wanted;
        prop_assert!((limits.min_exposure_us..=limits.max_exposure_us).contains(&wanted.exposure_us));
        prop_assert!((limits.min_analogue_gain..=limits.max_analogue_gain).contains(&wanted.analogue_gain));
        prop_assert!((1.0..=limits.max_digital_gain).contains(&wanted.digital_gain));
        let metadata = answer.metadata;
        for value in [metadata.luminance, metadata.colour_temperature, metadata.colour_gain_red, metadata.colour_gain_blue] {
            prop_assert!(value.is_finite());
        }
    });
}
