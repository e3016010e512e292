//! The module in a closed loop with the virtual camera and its built-in scene.

mod common;

use coldshoe_camera::{Light, scene};
use coldshoe_ipa::{AlgorithmState, Controls};
use common::{Loop, delays, settled};

const TUNING: &[u8] = include_bytes!("../tuning/virtual.toml");

fn built_in(kelvin: f64, ev: f64, delay: u64) -> Loop {
    let scene = scene::open(None).unwrap();
    Loop::new(scene, TUNING, Light::new(kelvin, ev), delays(delay))
}

#[test]
fn exposure_starts_within_5_percent_of_the_oracle() {
    for delay in [1, 4] {
        for ev in [-4.0, 0.0, 4.0] {
            let steps = built_in(5000.0, ev, delay).run(20);
            let took = settled(&steps);
            assert!(
                took <= 2 * (delay as usize + 1),
                "delay {delay}, {ev} EV: {took}"
            );
        }
    }
}

#[test]
fn exposure_follows_three_stops_without_overshoot() {
    for delay in [1, 4] {
        for (ev, bound) in [(-3.0, 18), (3.0, 27)] {
            let mut camera = built_in(5000.0, 0.0, delay);
            camera.run(20);
            camera.camera.set_light(Light::new(5000.0, ev));
            let steps = camera.run(40);
            let took = settled(&steps);
            assert!(took <= bound, "delay {delay}, {ev} EV: {took}");
            let beyond = steps
                .iter()
                .map(|step| (step.exposure_ratio - 1.0) * ev.signum());
            let over = beyond.fold(0.0, |most: f64, ratio| most.max(-ratio));
            assert!(over <= 0.05, "delay {delay}, {ev} EV: overshoot {over}");
        }
    }
}

#[test]
fn a_static_scene_with_noise_moves_no_control() {
    let mut camera = built_in(5000.0, -2.0, 2);
    camera.run(30);
    let steps = camera.run(30);
    assert!(
        steps
            .iter()
            .all(|step| step.captured.applied == steps[0].captured.applied)
    );
    let ae = |state: AlgorithmState| state as u32;
    assert_eq!(
        steps[29].answer.metadata.ae_state,
        ae(AlgorithmState::Converged)
    );
    assert_eq!(
        steps[29].answer.metadata.awb_state,
        ae(AlgorithmState::Converged)
    );
}

#[test]
fn the_white_point_is_found_within_3_degrees() {
    for kelvin in [2856.0, 4000.0, 6500.0] {
        let steps = built_in(kelvin, 0.0, 2).run(30);
        let error = steps[29].white_error;
        assert!(error <= 3.0, "{kelvin} K: {error}");
        let found = steps[29].answer.metadata.colour_temperature;
        assert!((found / kelvin - 1.0).abs() < 0.05, "{kelvin} K: {found}");
    }
}

#[test]
fn the_white_point_survives_a_step_of_light() {
    let mut camera = built_in(4000.0, 0.0, 2);
    camera.run(20);
    for ev in [3.0, 0.0] {
        camera.camera.set_light(Light::new(4000.0, ev));
        let steps = camera.run(40);
        let worst = steps
            .iter()
            .map(|step| step.white_error)
            .fold(0.0, f64::max);
        assert!(worst <= 3.0, "{ev} EV: {worst}");
        assert!((steps[39].exposure_ratio - 1.0).abs() <= 0.05);
    }
}

#[test]
fn another_illuminant_is_reached_in_15_frames_and_then_still() {
    for (from, to) in [(2856.0, 6500.0), (6500.0, 2856.0)] {
        let mut camera = built_in(from, 0.0, 2);
        camera.run(20);
        camera.camera.set_light(Light::new(to, 0.0));
        let steps = camera.run(60);
        let last = steps[59].white_error;
        let arrived = steps
            .iter()
            .rposition(|step| (step.white_error - last).abs() > 0.5);
        assert!(
            arrived.is_some_and(|frame| frame < 15),
            "{from} → {to} K: {arrived:?}"
        );
        assert!(last <= 3.0, "{from} → {to} K: {last}");
        let tail = steps[40..].iter().map(|step| step.white_error);
        let (low, high) = tail.fold((f64::MAX, 0.0), |(low, high): (f64, f64), error| {
            (low.min(error), high.max(error))
        });
        assert!(high - low <= 0.1, "{from} → {to} K: jitter {}", high - low);
    }
}

#[test]
fn compensation_moves_the_mean_by_stops() {
    let mut camera = built_in(5000.0, 0.0, 1);
    camera.run(20);
    camera.controls = Controls {
        set: Controls::EXPOSURE_VALUE,
        exposure_value: -1.0,
        ..Controls::default()
    };
    let steps = camera.run(40);
    let applied = steps[39].captured.applied.total_us();
    let ratio = applied / camera.camera.target_exposure_us(-1.0);
    assert!((ratio - 1.0).abs() <= 0.05, "{ratio}");
}
