//! Every control that the module claims has an effect that shows in the closed loop.

mod common;

use coldshoe_camera::scene::DepthScene;
use coldshoe_camera::{Light, Rgb8, SoftIsp, scene};
use coldshoe_ipa::{AlgorithmState, Controls};
use common::{Loop, Step, delays};

const TUNING: &[u8] = include_bytes!("../tuning/virtual.toml");

fn settled() -> Loop {
    let scene = scene::open(None).unwrap();
    let mut camera = Loop::new(scene, TUNING, Light::new(4500.0, 0.0), delays(2));
    camera.run(20);
    camera
}

/// Asks once, and lets it take effect.
fn ask(camera: &mut Loop, controls: Controls) -> Step {
    camera.controls = controls;
    camera.step();
    camera.controls = Controls::default();
    camera.run(25).pop().unwrap()
}

fn picture(camera: &Loop, step: &Step) -> Rgb8 {
    let mut isp = SoftIsp::new();
    isp.apply(&camera.params[..step.answer.params_size])
        .unwrap();
    isp.render(&step.captured.raw)
}

/// Mean of all values, mean distance from it, and mean difference of red and blue.
fn look(picture: &Rgb8) -> (f64, f64, f64) {
    let pixels = || picture.data().as_chunks::<3>().0.iter();
    let count = pixels().count() as f64;
    let light = |p: &[u8; 3]| p.iter().map(|v| f64::from(*v)).sum::<f64>() / 3.0;
    let mean = pixels().map(light).sum::<f64>() / count;
    let spread = pixels().map(|p| (light(p) - mean).abs()).sum::<f64>() / count;
    let colour = pixels()
        .map(|p| f64::from(p[0].abs_diff(p[2])))
        .sum::<f64>()
        / count;
    (mean, spread, colour)
}

#[test]
fn metering_by_the_middle_sees_another_brightness_than_by_all() {
    // The middle of the scene is a chart, the right of it is a lamp.
    let with = |ae_metering| {
        let controls = Controls {
            set: Controls::AE_METERING,
            ae_metering,
            ..Controls::default()
        };
        let step = ask(&mut settled(), controls);
        (
            step.captured.applied.total_us(),
            step.answer.metadata.luminance,
        )
    };
    let (centre, spot, matrix, tuned) = (with(0), with(1), with(2), with(3));
    assert!(
        (matrix.0 / tuned.0 - 1.0).abs() < 0.02,
        "{matrix:?} {tuned:?}"
    );
    // So little that exposure stays where it is.
    assert!(
        (centre.1 / matrix.1 - 1.0).abs() > 0.002,
        "{centre:?} {matrix:?}"
    );
    assert!(
        (spot.0 / matrix.0 - 1.0).abs() > 0.03,
        "{spot:?} {matrix:?}"
    );
}

#[test]
fn a_time_has_priority_and_gain_keeps_the_picture_as_bright() {
    let mut camera = settled();
    let controls = Controls {
        set: Controls::EXPOSURE_TIME,
        exposure_us: 2_000.0,
        ..Controls::default()
    };
    let step = ask(&mut camera, controls);
    assert!((step.captured.applied.exposure_us - 2_000.0).abs() < 20.0);
    assert!(
        (step.exposure_ratio - 1.0).abs() < 0.05,
        "{}",
        step.exposure_ratio
    );
    let free = Controls {
        set: Controls::AE_ENABLE,
        ae_enable: 1,
        ..Controls::default()
    };
    assert!(ask(&mut camera, free).captured.applied.exposure_us > 4_000.0);
}

#[test]
fn a_gain_has_priority_and_time_keeps_the_picture_as_bright() {
    let controls = Controls {
        set: Controls::ANALOGUE_GAIN,
        analogue_gain: 4.0,
        ..Controls::default()
    };
    let step = ask(&mut settled(), controls);
    assert!((step.captured.applied.analogue_gain - 4.0).abs() < 0.1);
    assert!(
        (step.exposure_ratio - 1.0).abs() < 0.05,
        "{}",
        step.exposure_ratio
    );
}

#[test]
fn a_white_balance_mode_keeps_to_its_lights() {
    for (awb_mode, (low, high)) in [
        (1, (2_500.0, 3_000.0)),
        (2, (3_000.0, 3_500.0)),
        (3, (4_000.0, 4_700.0)),
        (4, (3_000.0, 5_000.0)),
        (5, (5_500.0, 6_500.0)),
        (6, (7_000.0, 8_500.0)),
    ] {
        let mut camera = settled();
        let controls = Controls {
            set: Controls::AWB_MODE,
            awb_mode,
            ..Controls::default()
        };
        let found = ask(&mut camera, controls)
            .answer
            .metadata
            .colour_temperature;
        assert!(
            (0.96 * low..1.04 * high).contains(&found),
            "{awb_mode}: {found}"
        );
        let auto = Controls {
            set: Controls::AWB_MODE,
            ..Controls::default()
        };
        let back = ask(&mut camera, auto).answer.metadata.colour_temperature;
        assert!((back / 4_500.0 - 1.0).abs() < 0.06, "{awb_mode}: {back}");
    }
}

#[test]
fn brightness_contrast_and_saturation_show_in_the_picture() {
    let with = |set, brightness, contrast, saturation| {
        let mut camera = settled();
        let controls = Controls {
            set,
            brightness,
            contrast,
            saturation,
            ..Controls::default()
        };
        let step = ask(&mut camera, controls);
        look(&picture(&camera, &step))
    };
    let plain = with(0, 0.0, 0.0, 0.0);
    let bright = with(Controls::BRIGHTNESS, 0.2, 0.0, 0.0);
    assert!(bright.0 > plain.0 + 25.0, "{bright:?} {plain:?}");
    let hard = with(Controls::CONTRAST, 0.0, 1.4, 0.0);
    assert!(hard.1 > 1.1 * plain.1, "{hard:?} {plain:?}");
    let grey = with(Controls::SATURATION, 0.0, 0.0, 0.0);
    assert!(grey.2 < 0.3 * plain.2, "{grey:?} {plain:?}");
}

fn deep(seed_ev: f64) -> Loop {
    let scene = Box::new(DepthScene::new(4.0, 0.5));
    Loop::with_lens(scene, TUNING, Light::new(5000.0, seed_ev), delays(2))
}

fn focus(set: u32, af_mode: u32, value: f64) -> Controls {
    Controls {
        set: set | Controls::AF_MODE,
        af_mode,
        lens_position: value,
        ..Controls::default()
    }
}

#[test]
fn by_hand_the_lens_goes_where_it_is_told() {
    let mut camera = deep(0.0);
    let step = ask(&mut camera, focus(Controls::LENS_POSITION, 0, 6.0));
    assert_eq!(step.captured.lens_position, Some(6.0));
    assert_eq!(step.answer.metadata.af_state, AlgorithmState::Locked as u32);
}

#[test]
fn a_trigger_starts_one_scan_that_ends_on_the_card() {
    let mut camera = deep(0.0);
    camera.run(15);
    let idle = ask(&mut camera, focus(0, 1, 0.0));
    assert_eq!(idle.captured.lens_position, Some(0.0));
    camera.controls = focus(Controls::AF_TRIGGER, 1, 0.0);
    let last = camera.run(80).pop().unwrap();
    assert_eq!(
        last.answer.metadata.af_state,
        AlgorithmState::Converged as u32
    );
    let at = last.captured.lens_position.unwrap();
    assert!((at - 4.0).abs() < 0.25, "{at}");
    // The trigger is still set: no other scan follows, and the lens stays.
    assert!(
        camera
            .run(40)
            .iter()
            .all(|step| step.captured.lens_position == Some(at))
    );
}

#[test]
fn continuous_focus_follows_the_card_unless_it_is_paused() {
    let mut camera = deep(0.0);
    camera.controls = focus(0, 2, 0.0);
    let at = camera
        .run(90)
        .pop()
        .unwrap()
        .captured
        .lens_position
        .unwrap();
    assert!((at - 4.0).abs() < 0.25, "{at}");
    camera.controls = Controls {
        af_pause: 0,
        ..focus(Controls::AF_PAUSE, 2, 0.0)
    };
    camera.step();
    assert!(camera.camera.set_scene(Box::new(DepthScene::new(7.5, 0.5))));
    let held = camera.run(60).pop().unwrap();
    assert_eq!(held.captured.lens_position, Some(at));
    camera.controls.af_pause = 2;
    let at = camera
        .run(110)
        .pop()
        .unwrap()
        .captured
        .lens_position
        .unwrap();
    assert!((at - 7.5).abs() < 0.25, "{at}");
}

#[test]
fn sharpness_changes_nothing_where_no_block_sharpens() {
    let with = |set| {
        let mut camera = settled();
        let controls = Controls {
            set,
            sharpness: 4.0,
            ..Controls::default()
        };
        let size = ask(&mut camera, controls).answer.params_size;
        camera.params[..size].to_vec()
    };
    assert!(with(Controls::SHARPNESS) == with(0));
}
