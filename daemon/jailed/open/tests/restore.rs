//! A replaced worker goes on where the old one was: closed loop on the virtual camera, noise on.

mod common;

use std::cell::RefCell;

use coldshoe_camera::{Light, scene};
use coldshoe_ipa::{Answer, Applied, Controls, FrameIn, Ipa, Sensor};
use coldshoe_ipa_open::Open;
use coldshoe_isp::{Statistics, soft};
use common::{ALL_BLOCKS, Beside, Loop, Step, delays, sensor, settled};
use proptest::prelude::*;

const TUNING: &[u8] = include_bytes!("../tuning/virtual.toml");
/// Bytes of a state.
const SIZE: usize = 1712;

fn built_in(kelvin: f64, ev: f64, delay: u64) -> Loop {
    let scene = scene::open(None).unwrap();
    Loop::new(scene, TUNING, Light::new(kelvin, ev), delays(delay))
}

fn beside(camera: &Loop, state: Option<&[u8]>) -> Beside {
    Beside::new(TUNING, &sensor(&camera.camera), state)
}

fn total(answer: &Answer) -> f64 {
    let wanted = answer.wanted;
    wanted.exposure_us * wanted.analogue_gain * wanted.digital_gain
}

/// How far two answers are from each other: the largest of exposure × gains and both colour gains.
fn apart(a: &Answer, b: &Answer) -> f64 {
    let values = |answer: &Answer| {
        let metadata = answer.metadata;
        [
            total(answer),
            metadata.colour_gain_red,
            metadata.colour_gain_blue,
        ]
    };
    let pairs = values(a).into_iter().zip(values(b));
    pairs.fold(0.0, |most, (a, b)| f64::max(most, (b / a - 1.0).abs()))
}

/// The largest step from one frame's exposure to the next one's.
fn jump(exposures_us: &[f64]) -> f64 {
    let steps = exposures_us.windows(2);
    steps.fold(0.0, |most, pair| {
        f64::max(most, (pair[1] / pair[0] - 1.0).abs())
    })
}

fn exposures(steps: &[Step]) -> Vec<f64> {
    let total = |step: &Step| step.captured.applied.total_us();
    steps.iter().map(total).collect()
}

/// Both see the next frames, and answer them with the same bytes.
fn assert_the_same_answers(camera: &mut Loop, mut other: Beside, frames: usize) {
    for frame in 0..frames {
        let answer = camera.step_beside(std::slice::from_mut(&mut other)).answer;
        assert_eq!(answer.wanted, other.answer.wanted, "{frame}");
        assert_eq!(answer.metadata, other.answer.metadata, "{frame}");
        let size = answer.params_size;
        assert_eq!(size, other.answer.params_size);
        assert!(camera.params[..size] == other.params[..size], "{frame}");
    }
}

#[test]
fn in_steady_state_it_answers_as_the_old_one_would_have_byte_for_byte() {
    let mut camera = built_in(2856.0, 0.0, 2);
    camera.run(40);
    let other = beside(&camera, Some(&camera.saved()));
    assert_the_same_answers(&mut camera, other, 60);
}

#[test]
fn on_its_way_to_another_light_it_answers_as_the_old_one_would_have_byte_for_byte() {
    for (kelvin, ev, frames) in [(5000.0, 3.0, 6), (2856.0, -3.0, 6), (2856.0, 0.0, 2)] {
        let mut camera = built_in(5000.0, 0.0, 2);
        camera.run(20);
        camera.camera.set_light(Light::new(kelvin, ev));
        camera.run(frames);
        let other = beside(&camera, Some(&camera.saved()));
        assert_the_same_answers(&mut camera, other, 20);
    }
}

#[test]
fn in_its_first_frames_it_answers_as_the_old_one_would_have_byte_for_byte() {
    for frames in [0, 3] {
        let mut camera = built_in(4000.0, 2.0, 2);
        camera.run(frames);
        let other = beside(&camera, Some(&camera.saved()));
        assert_the_same_answers(&mut camera, other, 15);
    }
}

#[test]
fn with_a_state_30_frames_old_a_static_scene_stays_within_half_a_percent() {
    let mut camera = built_in(2856.0, 0.0, 2);
    camera.controls = Controls {
        set: Controls::EXPOSURE_VALUE,
        exposure_value: -0.5,
        ..Controls::default()
    };
    camera.step();
    camera.controls = Controls::default();
    camera.run(40);
    let state = camera.saved();
    camera.run(30);
    let mut others = [Some(&state[..]), None].map(|state| beside(&camera, state));
    let mut worst = [0.0; 2];
    for _ in 0..60 {
        let answer = camera.step_beside(&mut others).answer;
        for (worst, other) in worst.iter_mut().zip(&others) {
            *worst = f64::max(*worst, apart(&answer, &other.answer));
        }
    }
    let [restored, started_anew] = worst;
    assert!(restored < 0.005, "{restored}");
    assert!(started_anew > 0.005, "nothing to hold: {started_anew}");
}

/// Exposures around a replacement of a module that was once asked for less light.
fn replaced(age: usize, missed: usize, restore: bool) -> Vec<f64> {
    let mut camera = built_in(5000.0, 0.0, 2);
    camera.controls = Controls {
        set: Controls::EXPOSURE_VALUE,
        exposure_value: -1.0,
        ..Controls::default()
    };
    camera.step();
    camera.controls = Controls::default();
    camera.run(24);
    let state = camera.saved();
    let mut seen = exposures(&camera.run(age + 1)[age..]);
    let state = if age == 0 { camera.saved() } else { state };
    let held = camera.miss(missed);
    seen.extend(held.iter().map(|frame| frame.applied.total_us()));
    camera.replace(TUNING, restore.then_some(&state));
    seen.extend(exposures(&camera.run(12)));
    seen
}

#[test]
fn with_up_to_8_frames_missed_exposure_jumps_by_less_than_2_percent() {
    for (age, missed) in [(0, 0), (0, 1), (0, 8), (30, 8)] {
        let worst = jump(&replaced(age, missed, true));
        assert!(worst < 0.02, "{age} frames old, {missed} missed: {worst}");
    }
    let worst = jump(&replaced(0, 8, false));
    assert!(worst > 0.5, "nothing to hold: {worst}");
}

#[test]
fn replaced_on_its_way_it_arrives_as_before_and_without_overshoot() {
    for (ev, bound) in [(-3.0, 18), (3.0, 27)] {
        for (delay, missed) in [(1, 0), (1, 8), (4, 0), (4, 8)] {
            let name = format!("{ev} EV, delay {delay}, {missed} missed");
            let mut camera = built_in(5000.0, 0.0, delay);
            camera.run(20);
            camera.camera.set_light(Light::new(5000.0, ev));
            let mut steps = camera.run(6);
            let state = camera.saved();
            camera.miss(missed);
            camera.replace(TUNING, Some(&state));
            steps.extend(camera.run(30));
            let took = settled(&steps);
            assert!(took <= bound, "{name}: {took}");
            let beyond = steps
                .iter()
                .map(|step| (step.exposure_ratio - 1.0) * ev.signum());
            let over = beyond.fold(0.0, |most: f64, ratio| most.max(-ratio));
            assert!(over <= 0.05, "{name}: overshoot {over}");
        }
    }
}

#[test]
fn a_state_older_than_a_change_of_light_takes_neither_exposure_nor_colour_back() {
    let mut camera = built_in(2856.0, 0.0, 2);
    camera.run(20);
    let state = camera.saved();
    camera.camera.set_light(Light::new(6500.0, 2.0));
    let before = camera.run(30).pop().unwrap();
    camera.miss(4);
    camera.replace(TUNING, Some(&state));
    let after = camera.run(12);
    let mut seen = vec![before.captured.applied.total_us()];
    seen.extend(exposures(&after));
    assert!(jump(&seen) < 0.02, "{}", jump(&seen));
    for step in &after {
        let off = (step.white_error - before.white_error).abs();
        assert!(off < 1.0, "{off}");
    }
}

#[test]
fn a_state_of_another_sensor_mode_is_clamped_to_what_this_one_reaches() {
    let mut camera = built_in(4000.0, -6.0, 2);
    camera.run(20);
    let full = sensor(&camera.camera);
    let less = Sensor {
        max_exposure_us: full.max_exposure_us / 4.0,
        max_frame_duration_us: full.max_frame_duration_us / 4.0,
        max_analogue_gain: 2.0,
        max_digital_gain: 1.0,
        ..full
    };
    let mut others = [Beside::new(TUNING, &less, Some(&camera.saved()))];
    let reach = less.max_exposure_us * 2.0;
    let wanted = camera.step_beside(&mut others).answer;
    assert!(total(&wanted) > 2.0 * reach);
    assert_within(&others[0].answer, &less);
    let asked = total(&others[0].answer);
    assert!(asked > 0.99 * reach, "{asked} of {reach}");
}

fn assert_within(answer: &Answer, sensor: &Sensor) {
    let (wanted, metadata) = (answer.wanted, answer.metadata);
    let within = |value: f64, low: f64, high: f64| {
        assert!((low..=high).contains(&value), "{wanted:?} of {sensor:?}");
    };
    within(
        wanted.exposure_us,
        sensor.min_exposure_us,
        sensor.max_exposure_us,
    );
    within(
        wanted.analogue_gain,
        sensor.min_analogue_gain,
        sensor.max_analogue_gain,
    );
    within(wanted.digital_gain, 1.0, sensor.max_digital_gain);
    for gain in [metadata.colour_gain_red, metadata.colour_gain_blue] {
        assert!((1.0 / 16.0..=16.0).contains(&gain), "{metadata:?}");
    }
    assert!(metadata.colour_temperature.is_finite());
}

#[test]
fn saving_changes_nothing() {
    let mut camera = built_in(4000.0, 1.0, 2);
    let mut other = [beside(&camera, None)];
    for _ in 0..20 {
        let answer = camera.step_beside(&mut other).answer;
        assert_eq!(answer.wanted, other[0].answer.wanted);
        assert_eq!(answer.metadata, other[0].answer.metadata);
        assert_eq!(camera.saved(), camera.saved());
    }
}

#[test]
fn after_stop_it_is_still_there_to_be_saved() {
    let mut camera = built_in(4000.0, 1.0, 2);
    camera.run(20);
    let state = camera.saved();
    camera.module.stop().unwrap();
    assert_eq!(camera.saved(), state);
}

#[test]
fn a_state_without_room_is_an_error_that_says_how_much_it_takes() {
    let camera = built_in(4000.0, 1.0, 2);
    let error = camera.module.save_state(&mut [0; SIZE - 1]).unwrap_err();
    assert!(
        error.to_string().contains(&format!("give {SIZE}")),
        "{error}"
    );
    assert_eq!(camera.module.save_state(&mut [0; SIZE]), Ok(Some(SIZE)));
}

#[test]
fn a_state_that_is_refused_leaves_the_instance_as_it_was() {
    let mut camera = built_in(4000.0, 1.0, 2);
    let mut other = beside(&camera, None);
    camera.run(5);
    let mut torn = camera.saved();
    torn.truncate(100);
    camera.replace(TUNING, None);
    for state in [&torn[..], &[7; 176], &[]] {
        let error = other.module.restore_state(state).unwrap_err().to_string();
        assert!(error.contains("start without it"), "{error}");
    }
    assert_the_same_answers(&mut camera, other, 5);
}

#[test]
fn a_state_before_configure_is_refused_and_says_so() {
    let mut camera = built_in(4000.0, 1.0, 2);
    camera.run(1);
    let mut module = Open::new(Some(TUNING), ALL_BLOCKS).unwrap();
    for error in [
        module.restore_state(&camera.saved()).unwrap_err(),
        module.save_state(&mut [0; SIZE]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("configure"), "{error}");
    }
}

/// A flat grey picture of which some cells in a hundred are clipped.
fn flat(level: f64, clipped: u32, black: u16) -> Vec<u8> {
    let mut stats = Statistics::empty(1, 160, 120);
    (stats.exposure_us, stats.black) = (8_000.0, [black; 4]);
    let valid = 100 - clipped;
    let sum = (level * f64::from(65535 - black)) as u64 * u64::from(valid);
    for zone in &mut stats.zones {
        (zone.r, zone.g, zone.b) = (sum * 5 / 8, sum, sum / 2);
        (zone.valid, zone.clipped) = (valid, clipped);
    }
    stats.histogram[(level * 255.0) as usize] = valid * 192;
    stats.histogram[255] = clipped * 192;
    let mut bytes = vec![0; Statistics::SIZE];
    stats.encode(&mut bytes).unwrap();
    bytes
}

/// Statistics of some lights, exposed rightly and wrongly, with what was applied.
fn frames() -> Vec<(Applied, Vec<u8>)> {
    let mut camera = built_in(4000.0, 0.0, 1);
    let lights = [(4000.0, 0.0), (2856.0, 4.0), (6500.0, -4.0), (5000.0, 1.0)];
    let mut frames = Vec::new();
    for (kelvin, ev) in lights {
        camera.camera.set_light(Light::new(kelvin, ev));
        for step in camera.run(3) {
            let mut stats = vec![0; Statistics::SIZE];
            step.captured.statistics().encode(&mut stats).unwrap();
            let applied = Applied {
                exposure_us: step.captured.applied.exposure_us,
                analogue_gain: step.captured.applied.analogue_gain,
                digital_gain: step.captured.applied.digital_gain,
                black_level: 0.0625,
                lens_position: f64::NAN,
            };
            frames.push((applied, stats));
        }
    }
    let applied = frames[0].0;
    // One that lifts highlights, one that clips some of them, one that shows what black is.
    for (level, clipped, black) in [(0.1, 0, 4096), (0.05, 3, 4096), (0.001, 0, 1024)] {
        frames.push((applied, flat(level, clipped, black)));
    }
    frames
}

fn controls() -> impl Strategy<Value = Controls> {
    let numbers = (-3.0..3.0_f64, 50.0..40_000.0_f64, 0.5..20.0_f64);
    let colours = (1500.0..12_000.0_f64, 0.3..4.0_f64, 0.3..4.0_f64);
    let tastes = (0.0..2.0_f64, 0.0..2.0_f64);
    let set = prop_oneof![Just(0), 0..1_u32 << 17];
    let modes = (0..5_u32, 0..9_u32, 0..4_u32, 0..3_u32, 0..4_u32);
    let lens = (-1.5..1.5_f64, 0.0..20.0_f64);
    (
        set,
        0..2_u32,
        0..2_u32,
        numbers,
        colours,
        tastes,
        modes,
        lens,
    )
        .prop_map(
            |(set, ae_enable, awb_enable, numbers, colours, tastes, modes, lens)| Controls {
                ae_metering: modes.0,
                awb_mode: modes.1,
                af_mode: modes.2,
                af_trigger: modes.3,
                af_pause: modes.4,
                brightness: lens.0,
                lens_position: lens.1,
                set,
                ae_enable,
                awb_enable,
                reserved: 0,
                exposure_value: numbers.0,
                exposure_us: numbers.1,
                analogue_gain: numbers.2,
                colour_temperature: colours.0,
                colour_gain_red: colours.1,
                colour_gain_blue: colours.2,
                contrast: tastes.0,
                saturation: tastes.1,
                sharpness: 2.0 * tastes.0,
                ..Controls::default()
            },
        )
}

/// Which frame, whether its statistics are there, and what is asked with it.
fn story(most: usize) -> impl Strategy<Value = Vec<(usize, bool, Controls)>> {
    let seen = prop::bool::weighted(0.9);
    prop::collection::vec((0..15_usize, seen, controls()), 0..most)
}

#[test]
fn whatever_has_happened_nothing_is_forgotten() {
    let frames = frames();
    let sensor = sensor(&built_in(4000.0, 0.0, 1).camera);
    let made = |state: Option<&[u8]>| Beside::new(TUNING, &sensor, state);
    let answers = |made: &mut Beside, story: &[(usize, bool, Controls)], from: u64| {
        let mut answers = Vec::new();
        for (number, (which, seen, controls)) in (from..).zip(story) {
            let (applied, stats) = &frames[*which];
            let input = FrameIn {
                frame: number,
                sensor_timestamp_ns: 33_333_333 * number,
                deadline_ns: u64::MAX,
                applied: *applied,
                controls: *controls,
                stats: seen.then_some(stats),
            };
            let answer = made.module.process(&input, &mut made.params).unwrap();
            let params = made.params[..answer.params_size].to_vec();
            answers.push((answer.wanted, answer.metadata, params));
        }
        answers
    };
    let config = ProptestConfig::with_cases(64);
    proptest!(config, |(before in story(40), after in story(20))| {
        let mut first = made(None);
        answers(&mut first, &before, 0);
        let mut state = [0; SIZE];
        first.module.save_state(&mut state).unwrap();
        let mut second = made(Some(&state));
        let next = before.len() as u64;
        prop_assert_eq!(
            answers(&mut first, &after, next),
            answers(&mut second, &after, next)
        );
    });
}

#[test]
fn no_state_that_is_taken_makes_it_ask_for_what_the_sensor_has_not() {
    let frames = frames();
    let mut camera = built_in(4000.0, 0.0, 1);
    camera.run(15);
    let (saved, sensor) = (camera.saved(), sensor(&camera.camera));
    let module = RefCell::new(Open::new(Some(TUNING), ALL_BLOCKS).unwrap());
    let changes = || prop::collection::vec((12..SIZE, any::<u8>()), 1..8);
    let numbers = || prop::collection::vec((12..SIZE - 8, 1e-9..1e300_f64), 0..3);
    proptest!(|(changes in changes(), numbers in numbers(), which in 0..15_usize)| {
        let mut state = saved.clone();
        for (at, number) in numbers {
            state[at & !3..][..8].copy_from_slice(&f64::to_le_bytes(number));
        }
        for (at, byte) in changes {
            state[at] = byte;
        }
        let mut module = module.borrow_mut();
        module.configure(&sensor).unwrap();
        let _ = module.restore_state(&state);
        module.start().unwrap();
        let (applied, stats) = &frames[which];
        let input = FrameIn {
            frame: 17,
            sensor_timestamp_ns: 0,
            deadline_ns: u64::MAX,
            applied: *applied,
            controls: Controls::default(),
            stats: Some(stats),
        };
        let mut params = [0; soft::MAX_PAYLOAD];
        for _ in 0..3 {
            let answer = module.process(&input, &mut params).unwrap();
            assert_within(&answer, &sensor);
        }
    });
}
