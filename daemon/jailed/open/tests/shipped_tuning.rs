//! The shipped tuning against the cameras it is for. `coldshoectl tune` makes it, and its tests make
//! it again; here it is held against what is known of those cameras.

use coldshoe_camera::scene::CheckerScene;
use coldshoe_camera::{Light, Scene};
use coldshoe_ipa_open::ct_curve::CtCurve;
use coldshoe_ipa_open::tuning::Tuning;

const VIRTUAL: &[u8] = include_bytes!("../tuning/virtual.toml");
const FLEA3: &[u8] = include_bytes!("../tuning/flea3.toml");

#[test]
fn the_virtual_cameras_curve_is_its_neutral_surface() {
    let (scene, tuning) = (CheckerScene::new(), Tuning::parse(VIRTUAL).unwrap());
    for [kelvin, red, blue] in tuning.awb.curve {
        let [r, g, b] = scene.neutral(&Light::new(kelvin, 0.0)).unwrap();
        assert!((red - r / g).abs() < 2e-3, "{kelvin} K: {red}, {}", r / g);
        assert!((blue - b / g).abs() < 2e-3, "{kelvin} K: {blue}, {}", b / g);
    }
}

#[test]
fn between_its_points_the_curve_is_within_a_third_of_a_degree() {
    let scene = CheckerScene::new();
    let tuning = Tuning::parse(VIRTUAL).unwrap();
    let curve = CtCurve::new("awb.curve", &tuning.awb.curve).unwrap();
    for kelvin in (2500..=9000).step_by(50) {
        let truth = scene.neutral(&Light::new(kelvin.into(), 0.0)).unwrap();
        let white = curve.at(kelvin.into());
        let off = coldshoe_camera::angle::recovery([white.red, 1.0, white.blue], truth);
        assert!(off < 0.33, "{kelvin} K: {off}");
    }
}

#[test]
fn the_virtual_cameras_matrices_are_fitted_to_the_chart() {
    let (scene, tuning) = (CheckerScene::new(), Tuning::parse(VIRTUAL).unwrap());
    assert!(tuning.ccm.matrices.len() >= 2);
    for entry in tuning.ccm.matrices {
        let fitted = scene.ccm(entry.temperature);
        for (have, want) in entry.matrix.iter().flatten().zip(fitted.iter().flatten()) {
            assert!(
                (have - want).abs() < 2e-3,
                "{} K: {have}, {want}",
                entry.temperature
            );
        }
    }
}

#[test]
fn the_virtual_cameras_shading_is_taken_out() {
    let tuning = Tuning::parse(VIRTUAL).unwrap();
    let lsc = tuning.lsc.unwrap();
    for (channel, rgb) in [(0, 0), (1, 1), (2, 1), (3, 2)] {
        for (x, y) in [(0.0, 0.0), (0.5, 0.5), (1.0, 0.25), (0.31, 0.93)] {
            let left = lsc.gain(channel, x, y, 640, 480) * CheckerScene::lens(rgb, x, y);
            assert!(
                (left - 1.0).abs() < 0.005,
                "{channel} at ({x}, {y}): {left}"
            );
        }
    }
}

#[test]
fn the_flea3s_curve_is_the_published_one() {
    // As its data page says: 2856 → 9000 K, R/G 0.48 → 0.24, B/G 0.20 → 0.56.
    let tuning = Tuning::parse(FLEA3).unwrap();
    let curve = CtCurve::new("awb.curve", &tuning.awb.curve).unwrap();
    for (kelvin, red, blue) in [(2856.0, 0.48, 0.20), (9000.0, 0.24, 0.56)] {
        let white = curve.at(kelvin);
        assert!((white.red - red).abs() < 0.006, "{white:?}");
        assert!((white.blue - blue).abs() < 0.006, "{white:?}");
    }
}
