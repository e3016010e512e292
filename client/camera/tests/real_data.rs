//! Promises about real camera data. They are skipped, loudly, where the data is not.

use std::path::{Path, PathBuf};

use coldshoe_camera::{Camera, Cfa, Light, Scene, SensorConfig, SensorRequest, angle, scene};

fn data(folder: &str) -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = manifest.join("../../../shared/data").join(folder);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

fn sidecar(name: &str) -> PathBuf {
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/scenes");
    scenes.join(name)
}

fn flea3() -> Option<Box<dyn Scene>> {
    Some(scene::open(Some(&data("flea3-colorchecker")?)).unwrap())
}

#[test]
fn relit_neutral_patches_read_as_measured() {
    let Some(scene) = flea3() else { return };
    assert_eq!((scene.size().width(), scene.size().height()), (408, 342));
    for (kelvin, r, b) in [(2856.0, 0.479, 0.202), (9000.0, 0.244, 0.562)] {
        let [red, green, blue] = scene.neutral(&Light::new(kelvin, 0.0)).unwrap();
        assert!(
            (red / green - r).abs() < 0.002,
            "{kelvin} K: R/G {}",
            red / green
        );
        assert!(
            (blue / green - b).abs() < 0.002,
            "{kelvin} K: B/G {}",
            blue / green
        );
    }
}

#[test]
fn statistics_of_a_noisy_frame_see_the_relit_white() {
    let Some(scene) = flea3() else { return };
    let mut camera = Camera::new(scene, Light::new(2856.0, 0.0));
    let total = camera.target_exposure_us(0.0);
    camera.request(&SensorRequest {
        exposure_us: Some(total),
        ..SensorRequest::default()
    });
    for _ in 0..camera.delay() {
        camera.next_frame();
    }
    let stats = camera.next_frame().statistics();
    // Patches 20 and 21 lie in zones 4 to 7 of the eighth row.
    let zone = stats.zone_rgb(7 * 16 + 5).unwrap();
    assert!(
        angle::recovery(zone, camera.neutral().unwrap()) < 2.0,
        "{zone:?}"
    );
}

#[test]
fn raw_frames_open_through_their_sidecars() {
    for (folder, name, cfa, size) in [
        ("openisp", "openisp.toml", Cfa::Rggb, (1920, 1080)),
        ("nikon-dsc1339", "nikon.toml", Cfa::Rggb, (768, 512)),
    ] {
        if data(folder).is_none() {
            continue;
        }
        let scene = scene::open(Some(&sidecar(name))).unwrap();
        assert_eq!(scene.cfa(), cfa);
        assert_eq!((scene.size().width(), scene.size().height()), size);
        assert!(scene.neutral(&Light::default()).is_some());
    }
}

#[test]
fn a_raw_frame_at_its_own_exposure_has_the_clipped_share_it_was_taken_with() {
    if data("openisp").is_none() {
        return;
    }
    let scene = scene::open(Some(&sidecar("openisp.toml"))).unwrap();
    let config = SensorConfig::default().noiseless();
    let mut camera = Camera::with_sensor(scene, Light::default(), config);
    // The sensor starts at the nominal 10 ms.
    let frame = camera.next_frame().raw;
    let clipped = frame.data().iter().filter(|dn| **dn >= frame.white() - 1);
    let share = clipped.count() as f64 / frame.data().len() as f64;
    assert!((share - 0.098).abs() < 0.004, "{share}");
}
