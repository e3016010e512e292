//! `coldshoectl tune` makes the shipped tuning, from the camera without hardware and from real frames,
//! and finds out what is known of generated ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coldshoe_camera::scene::{self, CheckerScene};
use coldshoe_camera::{
    Camera, Cfa, Light, Mosaic, RawFrame, Scene, SensorConfig, SensorRequest, VirtualSensor,
};
use coldshoe_ipa_open::tuning::Tuning;

const SHIPPED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../daemon/jailed/open/tuning"
);
/// Where the chart is in the real frames: what the documentation says.
const FLEA3: [&str; 5] = ["--corners", "60,58", "351,58", "337,222", "74,217"];

fn tune(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coldshoectl"));
    command.arg("tune").args(arguments);
    command.output().expect("it runs")
}

fn done(arguments: &[&str]) -> String {
    let output = tune(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).expect("text")
}

fn refused(arguments: &[&str], why: &str) {
    let output = tune(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} was done");
    assert!(told.contains(why), "{why:?} is not in {told}");
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        matches!(lines[..], [what, why, remedy] if what.starts_with("error: ") && why.starts_with("  why: ") && remedy.starts_with("  try: ")),
        "{told}"
    );
}

fn read(path: &Path) -> Tuning {
    match Tuning::parse(&fs::read(path).expect("it is there")) {
        Ok(tuning) => tuning,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn shipped(name: &str) -> Tuning {
    read(&Path::new(SHIPPED).join(name))
}

/// The data that the shipped tuning is made of.
fn data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// The last digit that is written may be rounded otherwise on another machine.
fn close<'a>(
    have: impl IntoIterator<Item = &'a f64>,
    want: impl IntoIterator<Item = &'a f64>,
    by: f64,
) {
    let (have, want): (Vec<_>, Vec<_>) = (have.into_iter().collect(), want.into_iter().collect());
    assert_eq!(have.len(), want.len());
    for (have, want) in have.iter().zip(want) {
        assert!((*have - want).abs() <= by, "{have} for {want}");
    }
}

fn same_colours(made: &Tuning, shipped: &Tuning) {
    assert_eq!(made.awb.method, shipped.awb.method);
    close(
        made.awb.curve.iter().flatten(),
        shipped.awb.curve.iter().flatten(),
        1.1e-4,
    );
    let all = |tuning: &Tuning| -> Vec<f64> {
        let entries = tuning.ccm.matrices.iter();
        entries
            .flat_map(|entry| {
                std::iter::once(entry.temperature).chain(entry.matrix.into_iter().flatten())
            })
            .collect()
    };
    close(&all(made), &all(shipped), 3e-4);
}

#[test]
fn the_shipped_tuning_of_the_camera_without_hardware_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("virtual.toml");
    for verb in ["black-level", "noise", "shading", "colour"] {
        assert_eq!(done(&[verb, "--into", text(&path)]), "");
    }
    let (made, shipped) = (read(&path), shipped("virtual.toml"));
    same_colours(&made, &shipped);
    close(
        made.black_level.level.as_slice(),
        shipped.black_level.level.as_slice(),
        2e-5,
    );
    let noise = |tuning: &Tuning| {
        tuning
            .noise
            .map(|noise| [1e4 * noise.shot, 1e4 * noise.read])
            .unwrap()
    };
    close(&noise(&made), &noise(&shipped), 0.02);
    let grid = |tuning: Tuning| {
        let grid = tuning.lsc.unwrap().grid.unwrap();
        [grid.red, grid.green, grid.blue].concat()
    };
    close(&grid(made), &grid(shipped), 1.1e-3);
}

#[test]
fn a_shipped_file_that_is_made_again_is_the_same_to_its_comments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("virtual.toml");
    let before = fs::read_to_string(Path::new(SHIPPED).join("virtual.toml")).unwrap();
    fs::write(&path, &before).unwrap();
    done(&["shading", "--into", text(&path)]);
    let comments = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| line.starts_with('#') || line.starts_with('['));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let after = fs::read_to_string(&path).unwrap();
    assert_eq!(comments(&after), comments(&before));
    assert_eq!(after.lines().count(), before.lines().count());
}

#[test]
fn the_shipped_tuning_of_the_flea3_is_made_of_its_frames() {
    let Some(frames) = data("flea3-colorchecker") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flea3.toml");
    let mut arguments = vec!["colour", text(&frames), "--into", text(&path)];
    arguments.extend(FLEA3);
    done(&arguments);
    same_colours(&read(&path), &shipped("flea3.toml"));
}

#[test]
fn a_real_dark_frame_reads_as_its_page_says() {
    let Some(frame) = data("dark-frame/BlackImage_1920x1080_12bits_BGGR.raw") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let sidecar = folder.path().join("dark.toml");
    let file = frame.canonicalize().unwrap();
    let about = format!(
        "file = {:?}\nwidth = 1920\nheight = 1080\nbits = 12\ncfa = \"BGGR\"\nblack = 0\nwhite = 4095\n",
        text(&file)
    );
    fs::write(&sidecar, about).unwrap();
    let found: serde_json::Value =
        serde_json::from_str(&done(&["black-level", text(&sidecar), "--json"])).unwrap();
    let level = found["level"].as_f64().unwrap() * 4095.0;
    assert!((level - 2.97).abs() < 0.1, "{level}");
    let hot = found["hot_pixels"].as_u64().unwrap();
    assert!((300..3000).contains(&hot), "{hot}");
}

/// Writes a frame with its sidecar.
fn save(folder: &Path, name: &str, frame: &RawFrame, more: &str) -> PathBuf {
    let path = folder.join(format!("{name}.raw"));
    let bytes: Vec<u8> = frame
        .data()
        .iter()
        .flat_map(|dn| dn.to_le_bytes())
        .collect();
    fs::write(&path, bytes).unwrap();
    let cfa = match frame.cfa() {
        Cfa::Rggb => "RGGB",
        other => panic!("{other:?}"),
    };
    let about = format!(
        "width = {}\nheight = {}\nbits = {}\ncfa = \"{cfa}\"\nblack = {}\nwhite = {}\n{more}",
        frame.size().width(),
        frame.size().height(),
        frame.bits(),
        frame.black(),
        frame.white()
    );
    fs::write(folder.join(format!("{name}.raw.toml")), about).unwrap();
    path
}

/// What the virtual sensor makes of some light at the nominal exposure.
fn captured(light: &Mosaic, frames: usize) -> Vec<RawFrame> {
    let mut sensor = VirtualSensor::new(SensorConfig::default(), light.size(), light.cfa());
    (0..frames).map(|_| sensor.capture(light).raw).collect()
}

#[test]
fn what_is_known_of_generated_frames_is_found_in_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("mine.toml");
    let checker = CheckerScene::new();
    let mosaic = |value: &dyn Fn(usize, f64, f64) -> f64| {
        Mosaic::from_fn(checker.size(), checker.cfa(), |x, y, channel| {
            value(
                channel.rgb(),
                (x as f64 + 0.5) / 640.0,
                (y as f64 + 0.5) / 480.0,
            ) as f32
        })
    };
    let run = |verb: &str, frames: &[PathBuf], more: &[&str]| {
        let mut arguments = vec![verb];
        arguments.extend(frames.iter().map(|path| text(path)));
        arguments.extend(["--into", text(&into)]);
        arguments.extend(more);
        done(&arguments);
    };
    let all = |name: &str, frames: Vec<RawFrame>| -> Vec<PathBuf> {
        let named = frames.iter().enumerate();
        named
            .map(|(i, frame)| save(folder.path(), &format!("{name}{i}"), frame, ""))
            .collect()
    };
    run(
        "black-level",
        &all("dark", captured(&mosaic(&|_, _, _| 0.0), 2)),
        &[],
    );
    // A wedge, in full scales per ms at 10 ms.
    run(
        "noise",
        &all("wedge", captured(&mosaic(&|_, x, _| 0.09 * x), 6)),
        &["--gain", "1"],
    );
    let wall = mosaic(&|rgb, x, y| 0.05 * CheckerScene::lens(rgb, x, y));
    run("shading", &all("wall", captured(&wall, 4)), &[]);
    let charts: Vec<PathBuf> = [2856.0, 6500.0]
        .map(|kelvin| {
            let mut camera = Camera::new(scene::open(None).unwrap(), Light::new(kelvin, 0.0));
            camera.request(&SensorRequest {
                exposure_us: Some(6000.0),
                ..SensorRequest::default()
            });
            for _ in 0..camera.delay() {
                camera.next_frame();
            }
            let name = format!("chart{kelvin}");
            save(
                folder.path(),
                &name,
                &camera.next_frame().raw,
                &format!("kelvin = {kelvin:.1}\n"),
            )
        })
        .to_vec();
    run(
        "colour",
        &charts,
        &["--corners", "68,76", "388,76", "388,268", "68,268"],
    );

    let (found, config) = (read(&into), SensorConfig::default());
    assert!((found.black_level.level.unwrap() - 64.0 / 1023.0).abs() < 1e-4);
    let noise = found.noise.unwrap();
    assert!(
        (noise.shot * config.full_well - 1.0).abs() < 0.05,
        "{noise:?}"
    );
    assert!(
        (noise.read * config.full_well / config.read_noise - 1.0).abs() < 0.35,
        "{noise:?}"
    );
    let lsc = found.lsc.unwrap();
    for (x, y) in [(0.0, 0.0), (0.5, 0.5), (1.0, 0.3)] {
        let left = lsc.gain(0, x, y, 640, 480) * CheckerScene::lens(0, x, y);
        assert!((left - 1.0).abs() < 0.02, "({x}, {y}): {left}");
    }
    for [kelvin, red, blue] in found.awb.curve {
        let [r, g, b] = checker.neutral(&Light::new(kelvin, 0.0)).unwrap();
        assert!(
            (red * g / r - 1.0).abs() < 0.02 && (blue * g / b - 1.0).abs() < 0.02,
            "{kelvin}"
        );
    }
    for entry in found.ccm.matrices {
        let want = checker.ccm(entry.temperature);
        close(entry.matrix.iter().flatten(), want.iter().flatten(), 0.15);
    }

    // What these frames are not.
    let (dark, chart) = (folder.path().join("dark0.raw"), text(&charts[0]));
    refused(&["black-level", chart], "a channel reads");
    refused(&["noise", text(&dark)], "it takes two");
    refused(
        &["noise", text(&dark), chart],
        "the mean changes by a factor",
    );
    refused(&["shading", text(&dark)], "light is from");
    refused(&["colour", chart], "nobody tells where it is");
    let corners = ["--corners", "68,76", "388,76", "388,268", "68,268"];
    refused(
        &[&["colour", chart][..], &corners[..]].concat(),
        "one light makes no curve",
    );
    refused(
        &[&["colour", text(&dark)][..], &corners[..]].concat(),
        "does not say `kelvin`",
    );
}

#[test]
fn files_that_are_none_are_refused_in_three_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    refused(&["black-level", "/nowhere/frame.raw"], "no sidecar");
    fs::write(&path, "version = 7\n").unwrap();
    refused(&["black-level", "--into", text(&path)], "its version is 7");
    assert_eq!(fs::read_to_string(&path).unwrap(), "version = 7\n");
    refused(
        &["black-level", "--into", "/nowhere/none.toml"],
        "No such file",
    );
    refused(
        &["black-level", "--into", text(folder.path())],
        "not a regular file",
    );
    refused(
        &["colour", "--corners", "1,1", "2,2", "3,3", "4,4"],
        "no quadrangle",
    );
}

#[test]
fn without_a_file_a_whole_tuning_file_is_printed() {
    let text = done(&["black-level"]);
    assert_eq!(text, "version = 1\n\n[black_level]\nlevel = 0.06256\n");
    assert!(Tuning::parse(text.as_bytes()).is_ok());
}
