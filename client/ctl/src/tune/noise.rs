//! `tune noise`: the photon transfer curve.
//!
//! Half the squared difference of two frames of one still scene is a pixel's variance, whatever the
//! scene is. By brightness it is a line, `σ² = shot·x + read²`, fitted by least squares with each
//! brightness weighed by how well its variance is known. Rounding to whole numbers adds a twelfth of
//! a DN², which is taken off.

use std::path::PathBuf;

use coldshoe_camera::{Camera, Light, RawFrame, SensorConfig, SensorRequest, scene};
use serde::Serialize;

use super::input::{self, unusable};
use super::{Error, Measured};

/// Classes of brightness.
const CLASSES: usize = 64;
/// Pixels that a class needs to say something.
const FEWEST: f64 = 200.0;
/// The means of two frames of one still scene differ by less.
const STILL: f64 = 0.02;
/// Frames of the camera without hardware.
const FRAMES: usize = 8;

#[derive(Serialize)]
pub(crate) struct Found {
    /// Variance of full light at a gain of 1, full light being 1.
    shot: f64,
    /// Standard deviation without light at a gain of 1.
    read: f64,
    /// `[light, variance]` of each class, at the gain of the frames.
    curve: Vec<[f64; 2]>,
    gain: f64,
    frames: usize,
}

impl Measured for Found {
    fn tables(&self) -> String {
        format!(
            "[noise]\nshot = {:.2e}\nread = {:.2e}\n",
            self.shot, self.read
        )
    }
}

pub(super) fn measure(paths: &[PathBuf], gain: f64) -> Result<Found, Error> {
    let frames: Vec<RawFrame> = if paths.is_empty() {
        of_the_built_in_scene()?
    } else {
        let files = input::frames(paths)?;
        files.into_iter().map(|file| file.frame).collect()
    };
    of_frames(&frames, if paths.is_empty() { 1.0 } else { gain })
}

fn of_the_built_in_scene() -> Result<Vec<RawFrame>, Error> {
    let mut camera = Camera::with_sensor(
        scene::open(None)?,
        Light::default(),
        SensorConfig::default(),
    );
    camera.request(&SensorRequest {
        exposure_us: Some(camera.limits().max_exposure_us),
        analogue_gain: Some(1.0),
        digital_gain: Some(1.0),
    });
    for _ in 0..=camera.delay() {
        camera.next_frame();
    }
    Ok((0..FRAMES).map(|_| camera.next_frame().raw).collect())
}

fn of_frames(frames: &[RawFrame], gain: f64) -> Result<Found, Error> {
    let [first, _, ..] = frames else {
        return Err(unusable(
            "noise cannot be measured",
            format!(
                "{} frame is named, and it takes two to tell noise from the scene",
                frames.len()
            ),
            "name two or more frames of one still scene",
        )
        .into());
    };
    let range = f64::from(first.white()) - f64::from(first.black());
    let mut classes = [(0.0, 0.0, 0.0); CLASSES];
    for pair in frames.windows(2) {
        gather(&pair[0], &pair[1], range, &mut classes)?;
    }
    let known = classes.iter().filter(|(pixels, ..)| *pixels >= FEWEST);
    let curve: Vec<[f64; 3]> = known
        .map(|(pixels, light, variance)| [light / pixels, variance / pixels, *pixels])
        .collect();
    let span =
        curve.last().map_or(0.0, |last| last[0]) - curve.first().map_or(0.0, |first| first[0]);
    if curve.len() < 4 || span < 0.1 {
        return Err(unusable(
            "noise cannot be measured",
            format!("the scene has {} levels of brightness with enough pixels, over {:.0} % of full light", curve.len(), 100.0 * span),
            "take a scene with dark and bright parts, such as a grey wedge",
        )
        .into());
    }
    let (slope, offset) = line(&curve);
    let read = (offset - 1.0 / 12.0 / (range * range)).max(0.0).sqrt();
    if slope <= 0.0 {
        return Err(unusable(
            "noise cannot be measured",
            "it does not grow with light: these frames are not as a sensor gives them",
            "name raw frames without noise reduction",
        )
        .into());
    }
    Ok(Found {
        shot: slope / gain,
        read: read / gain,
        curve: curve
            .iter()
            .map(|[light, variance, _]| [*light, *variance])
            .collect(),
        gain,
        frames: frames.len(),
    })
}

/// Adds pixels, light and variance of two frames to the classes.
fn gather(
    a: &RawFrame,
    b: &RawFrame,
    range: f64,
    classes: &mut [(f64, f64, f64); CLASSES],
) -> Result<(), Error> {
    let black = f64::from(a.black());
    let mean = |frame: &RawFrame| {
        let sum: f64 = frame.data().iter().map(|&dn| f64::from(dn)).sum();
        (sum / frame.data().len() as f64 - black).max(1.0)
    };
    let change = mean(b) / mean(a);
    if (change - 1.0).abs() > STILL {
        return Err(unusable(
            "noise cannot be measured",
            format!("from one frame to the next the mean changes by a factor of {change:.3}"),
            "take frames of one still scene under a steady light, all exposed alike",
        )
        .into());
    }
    // Clipped noise is less noise: stay away from both ends.
    let (low, high) = (
        f64::from(a.black()) + 1.0,
        f64::from(a.white()) - 0.02 * range,
    );
    for (&dn_a, &dn_b) in a.data().iter().zip(b.data()) {
        let (dn_a, dn_b) = (f64::from(dn_a), f64::from(dn_b));
        let middle = f64::midpoint(dn_a, dn_b);
        if middle < low || dn_a.max(dn_b) > high {
            continue;
        }
        let light = (middle - black) / range;
        let class = &mut classes[((light * CLASSES as f64) as usize).min(CLASSES - 1)];
        class.0 += 1.0;
        class.1 += light;
        class.2 += (dn_a - dn_b).powi(2) / 2.0 / (range * range);
    }
    Ok(())
}

/// Slope and offset; a variance is known the better the smaller it is, and the more pixels it is of.
fn line(points: &[[f64; 3]]) -> (f64, f64) {
    let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for [light, variance, pixels] in points {
        let weight = pixels / variance.max(1e-12).powi(2);
        n += weight;
        x += weight * light;
        y += weight * variance;
        xx += weight * light * light;
        xy += weight * light * variance;
    }
    let slope = (n * xy - x * y) / (n * xx - x * x);
    (slope, (y - slope * x) / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_camera_without_hardware_has_the_noise_it_was_given() {
        let found = measure(&[], 1.0).unwrap();
        let config = SensorConfig::default();
        assert!(
            (found.shot * config.full_well - 1.0).abs() < 0.02,
            "{}",
            found.shot
        );
        assert!(
            (found.read * config.full_well / config.read_noise - 1.0).abs() < 0.15,
            "{}",
            found.read
        );
    }

    #[test]
    fn what_cannot_be_measured_is_refused_in_three_lines() {
        let frames = of_the_built_in_scene().unwrap();
        let dimmer = frames[0].data().iter().map(|dn| dn * 4 / 5).collect();
        let (size, cfa) = (frames[0].size(), frames[0].cfa());
        let dimmer = RawFrame::new(size, cfa, 10, (64, 1023), dimmer).unwrap();
        let flat = |seed: u16| {
            let data = (0..size.pixels())
                .map(|i| 500 + (i as u16).wrapping_mul(seed) % 7)
                .collect();
            RawFrame::new(size, cfa, 10, (64, 1023), data).unwrap()
        };
        for (frames, why) in [
            (vec![frames[0].clone()], "it takes two"),
            (vec![frames[0].clone(), dimmer], "changes by a factor"),
            (vec![flat(31), flat(57)], "levels of brightness"),
            (vec![frames[0].clone(), frames[0].clone()], "does not grow"),
        ] {
            let text = of_frames(&frames, 1.0).err().unwrap().to_string();
            assert!(text.contains(why) && text.lines().count() == 3, "{text}");
        }
    }
}
