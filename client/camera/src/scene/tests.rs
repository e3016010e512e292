use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A folder to write scenes into.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn refusal(&self, path: &Path) -> SceneError {
        let Err(error) = open(Some(path)) else {
            panic!("{} was accepted", path.display());
        };
        // Each message names its object, and there is always a way out.
        let object = self.0.path().to_str().unwrap();
        assert!(error.to_string().contains(object), "{error}");
        assert!(error.remedy().len() > 10, "{error}");
        error
    }

    fn folder_refusal(&self) -> SceneError {
        self.refusal(self.0.path())
    }

    /// Three bands of 4×2 pixels, each pixel of band i reading i + 1.
    fn with_bands() -> Self {
        let folder = Self::new();
        for (i, nm) in [450, 550, 650].iter().enumerate() {
            folder.write(
                &format!("radiance_{nm}nm.npy"),
                npy((2, 4), &[i as f32 + 1.0; 8]),
            );
        }
        folder
    }
}

fn npy_with(header: &str, values: &[f32]) -> Vec<u8> {
    let header = format!("{header:117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn npy((rows, columns): (usize, usize), values: &[f32]) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    npy_with(&header, values)
}

fn png(width: u32, height: u32, color: png::ColorType, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    bytes
}

const SIDECAR: &str =
    "width = 4\nheight = 2\nbits = 10\ncfa = \"GRBG\"\nblack = 64\nwhite = 1000\n";

fn raw(pixels: [u16; 8]) -> Vec<u8> {
    pixels.iter().flat_map(|dn| dn.to_le_bytes()).collect()
}

// The built-in scene

#[test]
fn without_a_path_the_scene_is_the_built_in_one() {
    let scene = open(None).unwrap();
    assert_eq!((scene.size().width(), scene.size().height()), (640, 480));
    assert!(scene.neutral(&Light::default()).is_some());
}

#[test]
fn the_neutral_patches_read_as_the_ground_truth_says() {
    let scene = CheckerScene::new();
    for kelvin in [2856.0, 6500.0] {
        let light = Light::new(kelvin, 1.0);
        let (radiance, truth) = (scene.radiance(&light), scene.neutral(&light).unwrap());
        let [x0, x1, y0, y1] = CheckerScene::patch(21).unwrap();
        let mut rgb = [0.0; 3];
        for y in y0..y1 {
            for x in x0..x1 {
                let channel = scene.cfa().channel(x, y);
                let share = if channel.rgb() == 1 { 0.5 } else { 1.0 };
                rgb[channel.rgb()] += share * f64::from(radiance.data()[y * 640 + x]);
            }
        }
        assert!(
            crate::angle::recovery(rgb, truth) < 1.0,
            "{rgb:?} {truth:?}"
        );
    }
}

#[test]
fn the_built_in_scene_has_highlights_brighter_than_white_paper() {
    let radiance = CheckerScene::new().radiance(&Light::default());
    let [x0, _, y0, _] = CheckerScene::patch(19).unwrap();
    let white = radiance.data()[y0 * 640 + x0];
    assert!(radiance.data().iter().any(|value| *value > 5.0 * white));
}

#[test]
fn there_is_no_patch_0_or_25() {
    assert_eq!(CheckerScene::patch(0), None);
    assert_eq!(CheckerScene::patch(25), None);
    assert_eq!(CheckerScene::patch_srgb(25), None);
}

#[test]
fn a_stop_of_light_doubles_every_scene() {
    let folder = Folder::with_bands();
    folder.write("a.raw", raw([100, 200, 300, 400, 500, 600, 700, 800]));
    let sidecar = folder.write("a.raw.toml", format!("file = \"a.raw\"\n{SIDECAR}"));
    for path in [None, Some(folder.0.path()), Some(sidecar.as_path())] {
        let scene = open(path).unwrap();
        let mean = |ev| scene.radiance(&Light::new(4000.0, ev)).mean();
        assert!(
            (mean(1.0) / mean(0.0) - 2.0).abs() < 1e-4,
            "{}",
            scene.name()
        );
    }
}

// A folder of radiance mosaics

#[test]
fn a_folder_is_the_sum_of_its_bands_at_its_own_level() {
    let folder = Folder::with_bands();
    let scene = open(Some(folder.0.path())).unwrap();
    assert_eq!(scene.cfa(), Cfa::Gbrg);
    assert!(scene.neutral(&Light::default()).is_none());
    let at = |kelvin| f64::from(scene.radiance(&Light::new(kelvin, 0.0)).data()[0]);
    let want = |kelvin| {
        let power = |nm| crate::light::black_body(kelvin, nm);
        power(450.0) + 2.0 * power(550.0) + 3.0 * power(650.0)
    };
    assert!((at(5000.0) - 0.016).abs() < 1e-6);
    assert!((at(2856.0) / at(9000.0) - want(2856.0) / want(9000.0)).abs() < 1e-5);
}

#[test]
fn labels_tell_the_neutral_colour() {
    let folder = Folder::with_bands();
    // GBRG: only the right half is labelled, and reads twice as much in the reddest band.
    let mut red = [3.0; 8];
    red[6] = 9.0;
    folder.write("radiance_650nm.npy", npy((2, 4), &red));
    let labels = [0, 0, 19, 20, 0, 24, 21, 19];
    folder.write(
        "x_550nm_labels.png",
        png(4, 2, png::ColorType::Grayscale, &labels),
    );
    folder.write("x_999nm_labels.png", b"of no band here: never read");
    let scene = open(Some(folder.0.path())).unwrap();
    let light = Light::new(5000.0, 0.0);
    let [r, g, b] = scene.neutral(&light).unwrap();
    assert!((g - b).abs() < 1e-9);
    assert!((r - g - 6.0 * light.power(650.0)).abs() < 1e-6);
}

#[test]
fn a_label_image_that_does_not_fit_is_refused() {
    let grey = png::ColorType::Grayscale;
    for bytes in [
        b"no png".to_vec(),
        png(2, 4, grey, &[19; 8]),
        png(4, 2, png::ColorType::Rgb, &[19; 24]),
        png(4, 2, grey, &[0; 8]),
        png(4, 2, grey, &[19, 0, 0, 0, 0, 0, 0, 0]),
        png(4, 2, grey, &[19; 8])[..60].to_vec(),
    ] {
        let folder = Folder::with_bands();
        folder.write("x_550nm_labels.png", bytes);
        assert!(matches!(folder.folder_refusal(), SceneError::Labels { .. }));
    }
}

#[test]
fn a_folder_without_enough_bands_is_refused() {
    let folder = Folder::new();
    assert!(matches!(
        folder.folder_refusal(),
        SceneError::Bands { found: 0, .. }
    ));
    folder.write("radiance_550nm.npy", npy((2, 4), &[1.0; 8]));
    assert!(matches!(
        folder.folder_refusal(),
        SceneError::Bands { found: 1, .. }
    ));
}

#[test]
fn a_band_nobody_sees_is_refused() {
    let folder = Folder::with_bands();
    folder.write("radiance_0nm.npy", npy((2, 4), &[1.0; 8]));
    assert!(matches!(
        folder.folder_refusal(),
        SceneError::Wavelength { nm: 0, .. }
    ));
}

#[test]
fn bands_of_different_sizes_are_refused() {
    let folder = Folder::with_bands();
    folder.write("radiance_650nm.npy", npy((4, 2), &[1.0; 8]));
    assert!(matches!(
        folder.folder_refusal(),
        SceneError::Mismatch { .. }
    ));
}

#[test]
fn a_band_cut_short_anywhere_is_refused() {
    let whole = npy((2, 4), &[1.0; 8]);
    let mut long = whole.clone();
    long.push(0);
    for bytes in (0..whole.len()).map(|len| &whole[..len]).chain([&long[..]]) {
        let folder = Folder::with_bands();
        folder.write("radiance_550nm.npy", bytes);
        assert!(matches!(folder.folder_refusal(), SceneError::Npy { .. }));
    }
}

#[test]
fn a_band_of_another_kind_or_absurd_size_is_refused() {
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}), }}")
    };
    for header in [
        header("<f8", "False", "2, 4"),
        header("<f4", "True", "2, 4"),
        header("<f4", "False", "8,"),
        header("<f4", "False", "0, 4"),
        header("<f4", "False", "4000000000, 4000000000"),
        String::new(),
    ] {
        let folder = Folder::with_bands();
        folder.write("radiance_550nm.npy", npy_with(&header, &[1.0; 8]));
        assert!(
            matches!(folder.folder_refusal(), SceneError::Npy { .. }),
            "{header}"
        );
    }
}

#[test]
fn a_band_with_a_number_that_is_no_radiance_is_refused() {
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        let folder = Folder::with_bands();
        let mut values = [1.0; 8];
        values[5] = bad;
        folder.write("radiance_550nm.npy", npy((2, 4), &values));
        assert!(folder.folder_refusal().to_string().contains("value 5"));
    }
}

#[test]
fn a_folder_in_the_place_of_a_band_is_refused() {
    let folder = Folder::with_bands();
    fs::create_dir(folder.0.path().join("radiance_600nm.npy")).unwrap();
    let error = folder.folder_refusal();
    assert!(matches!(error, SceneError::NotAFile { .. }), "{error}");
}

// A raw frame

#[test]
fn a_raw_frame_at_its_own_exposure_is_itself() {
    let folder = Folder::new();
    let path = folder.write("a.raw", raw([64, 532, 300, 400, 0, 600, 700, 1000]));
    folder.write("a.raw.toml", format!("{SIDECAR}exposure_ms = 5.0\n"));
    let scene = open(Some(&path)).unwrap();
    assert_eq!((scene.cfa(), scene.name()), (Cfa::Grbg, "a.raw"));
    let radiance = scene.radiance(&Light::default());
    let seen: Vec<_> = radiance
        .data()
        .iter()
        .map(|v| (v * 5.0 * 936.0 + 64.0).round())
        .collect();
    assert_eq!(
        seen,
        [64.0, 532.0, 300.0, 400.0, 64.0, 600.0, 700.0, 1000.0]
    );
}

#[test]
fn the_sidecar_opens_the_frame_it_names() {
    let folder = Folder::new();
    folder.write("a.raw", raw([100; 8]));
    let sidecar = folder.write("other.toml", format!("file = \"a.raw\"\n{SIDECAR}"));
    assert_eq!(open(Some(&sidecar)).unwrap().size().width(), 4);
}

#[test]
fn as_shot_gains_tell_the_neutral_colour_and_light_shifts_it() {
    let folder = Folder::new();
    let path = folder.write("a.raw", raw([100; 8]));
    folder.write(
        "a.raw.toml",
        format!("{SIDECAR}as_shot = [2.0, 1.0, 1.25]\nkelvin = 5000.0\n"),
    );
    let scene = open(Some(&path)).unwrap();
    let [r, g, b] = scene.neutral(&Light::new(5000.0, 0.0)).unwrap();
    assert!((r / g - 0.5).abs() < 1e-9 && (b / g - 0.8).abs() < 1e-9);
    let [warm_r, warm_g, warm_b] = scene.neutral(&Light::new(2856.0, 0.0)).unwrap();
    assert!(warm_r / warm_g > 0.6 && warm_b / warm_g < 0.6);
}

#[test]
fn blown_pixels_are_lifted_to_neutral() {
    let folder = Folder::new();
    // GRBG: the left cell has blown greens, the right cell is blown altogether.
    let path = folder.write("a.raw", raw([1000, 700, 1000, 1000, 700, 1000, 1000, 1000]));
    folder.write(
        "a.raw.toml",
        format!("{SIDECAR}as_shot = [2.0, 1.0, 1.25]\n"),
    );
    let scene = open(Some(&path)).unwrap();
    let radiance = scene.radiance(&Light::default());
    let balanced: Vec<_> = radiance
        .data()
        .iter()
        .enumerate()
        .map(|(at, v)| v * [2.0, 1.0, 1.25][scene.cfa().channel(at % 4, at / 4).rgb()])
        .collect();
    let red = balanced[1];
    assert!((balanced[0] - red).abs() < 1e-6 && (balanced[5] - red).abs() < 1e-6);
    assert!(
        [2, 3, 6, 7]
            .iter()
            .all(|at| (balanced[*at] - 0.2).abs() < 1e-6)
    );
}

#[test]
fn a_frame_that_is_missing_is_refused() {
    let folder = Folder::new();
    assert!(matches!(
        folder.refusal(&folder.0.path().join("no.raw")),
        SceneError::Io { .. }
    ));
    let sidecar = folder.write("a.toml", format!("file = \"no.raw\"\n{SIDECAR}"));
    assert!(matches!(folder.refusal(&sidecar), SceneError::Io { .. }));
}

#[test]
fn a_device_in_the_place_of_a_frame_is_refused() {
    let folder = Folder::new();
    let sidecar = folder.write("a.toml", format!("file = \"/dev/zero\"\n{SIDECAR}"));
    let error = open(Some(&sidecar)).err().unwrap();
    assert!(matches!(error, SceneError::NotAFile { .. }), "{error}");
}

#[test]
fn a_frame_without_a_sidecar_is_refused() {
    let folder = Folder::new();
    let path = folder.write("a.raw", raw([0; 8]));
    let error = folder.refusal(&path);
    assert!(matches!(error, SceneError::NoSidecar { .. }));
    assert!(error.remedy().contains("a.raw.toml"));
}

#[test]
fn a_frame_cut_short_or_too_long_is_refused() {
    let whole = raw([0; 8]);
    let mut long = whole.clone();
    long.extend([0, 0]);
    for bytes in [&whole[..0], &whole[..1], &whole[..15], &long] {
        let folder = Folder::new();
        let path = folder.write("a.raw", bytes);
        folder.write("a.raw.toml", SIDECAR);
        assert!(matches!(
            folder.refusal(&path),
            SceneError::Length { want: 16, .. }
        ));
    }
}

#[test]
fn a_sidecar_with_bad_numbers_is_refused() {
    for (from, to) in [
        ("width = 4", "width = 0"),
        ("width = 4", "width = 3"),
        ("height = 2", "height = 4000000000"),
        ("bits = 10", "bits = 7"),
        ("bits = 10", "bits = 99"),
        ("white = 1000", "white = 1024"),
        ("white = 1000", "white = 64"),
        ("black = 64", "black = 70000"),
        ("white = 1000", "white = 1000\nas_shot = [0.0, 1.0, 1.0]"),
        ("white = 1000", "white = 1000\nas_shot = [nan, 1.0, 1.0]"),
        ("white = 1000", "white = 1000\nexposure_ms = 0.0"),
        ("white = 1000", "white = 1000\nkelvin = inf"),
    ] {
        let folder = Folder::new();
        let path = folder.write("a.raw", raw([0; 8]));
        folder.write("a.raw.toml", SIDECAR.replace(from, to));
        let error = folder.refusal(&path);
        let expected = matches!(
            error,
            SceneError::Dimensions { .. } | SceneError::Frame { .. } | SceneError::Value { .. }
        );
        assert!(expected, "{to}: {error}");
    }
}

#[test]
fn a_sidecar_that_does_not_parse_is_refused() {
    for text in [
        "",
        "not toml",
        &SIDECAR.replace("GRBG", "RGBW"),
        &SIDECAR.replace("width = 4", "width = -4"),
        &SIDECAR.replace("bits", "bit"),
        &format!("{SIDECAR}lens = \"50 mm\"\n"),
        &format!("{SIDECAR}as_shot = [1.0, 1.0]\n"),
        &format!("{SIDECAR}# {}", "x".repeat(70_000)),
    ] {
        let folder = Folder::new();
        let path = folder.write("a.raw", raw([0; 8]));
        folder.write("a.raw.toml", text);
        assert!(
            matches!(folder.refusal(&path), SceneError::Sidecar { .. }),
            "{text}"
        );
    }
    let folder = Folder::new();
    let path = folder.write("a.raw", raw([0; 8]));
    folder.write("a.raw.toml", b"\xff\xfe");
    assert!(matches!(folder.refusal(&path), SceneError::Sidecar { .. }));
}

#[test]
fn a_sidecar_opened_by_itself_has_to_name_its_frame() {
    let folder = Folder::new();
    let path = folder.write("a.toml", SIDECAR);
    assert!(matches!(folder.refusal(&path), SceneError::Sidecar { .. }));
}

#[test]
fn a_pixel_of_more_bits_than_the_sidecar_says_is_refused() {
    let folder = Folder::new();
    let path = folder.write("a.raw", raw([0, 0, 0, 1024, 0, 0, 0, 0]));
    folder.write("a.raw.toml", SIDECAR);
    assert!(matches!(
        folder.refusal(&path),
        SceneError::Depth {
            dn: 1024,
            bits: 10,
            ..
        }
    ));
}
