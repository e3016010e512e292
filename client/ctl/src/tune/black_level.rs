//! `tune black-level`: what pixels read without light.
//!
//! Hot pixels are left out: in each channel the mean is that of the pixels within six standard
//! deviations of the median. The deviation is a quarter of what 95.4 % of the pixels span, which a few
//! hot ones do not change.

use std::path::PathBuf;

use coldshoe_camera::{Mosaic, RawFrame, SensorConfig, VirtualSensor, scene};
use serde::Serialize;

use super::input::{self, pixels, unusable};
use super::{Error, Measured};

/// Pixels farther from the median are hot.
const HOT: f64 = 6.0;
/// No sensor's black is above half of full scale, nor does it scatter over a fiftieth of it.
const HIGHEST: f64 = 0.5;
const WIDEST: f64 = 0.02;
/// Dark frames of the camera without hardware.
const FRAMES: usize = 4;

#[derive(Serialize)]
pub(crate) struct Found {
    /// Fraction of full scale.
    level: f64,
    /// R, Gr, Gb, B, DN.
    channels: [f64; 4],
    bits: u32,
    frames: usize,
    hot_pixels: u64,
}

impl Measured for Found {
    fn tables(&self) -> String {
        format!("[black_level]\nlevel = {:.5}\n", self.level)
    }
}

pub(super) fn measure(paths: &[PathBuf]) -> Result<Found, Error> {
    let frames: Vec<RawFrame> = if paths.is_empty() {
        in_the_dark()?
    } else {
        let files = input::frames(paths)?;
        files.into_iter().map(|file| file.frame).collect()
    };
    of_frames(&frames)
}

/// The virtual sensor behind its cap.
fn in_the_dark() -> Result<Vec<RawFrame>, Error> {
    let scene = scene::open(None)?;
    let night = Mosaic::from_fn(scene.size(), scene.cfa(), |_, _, _| 0.0);
    let mut sensor = VirtualSensor::new(SensorConfig::default(), scene.size(), scene.cfa());
    Ok((0..FRAMES).map(|_| sensor.capture(&night).raw).collect())
}

fn of_frames(frames: &[RawFrame]) -> Result<Found, Error> {
    let mut counts = vec![vec![0_u64; 1 << 16]; 4];
    for frame in frames {
        for (_, _, channel, dn) in pixels(frame) {
            counts[channel as usize][usize::from(dn)] += 1;
        }
    }
    let first = frames.first().ok_or_else(|| {
        unusable(
            "there is nothing to measure",
            "no frame is named",
            "name dark frames",
        )
    })?;
    let full = f64::from(first.full_scale());
    let (mut channels, mut hot_pixels) = ([0.0; 4], 0);
    for (out, counts) in channels.iter_mut().zip(&counts) {
        let (mean, spread, hot) = robust_mean(counts);
        if mean > HIGHEST * full || spread > WIDEST * full {
            return Err(unusable(
                "these frames are not dark",
                format!("a channel reads {mean:.1} ± {spread:.1} DN of {full}"),
                "close the lens with its cap, and take them again",
            )
            .into());
        }
        *out = mean;
        hot_pixels += hot;
    }
    Ok(Found {
        level: channels.iter().sum::<f64>() / 4.0 / full,
        channels,
        bits: first.bits(),
        frames: frames.len(),
        hot_pixels,
    })
}

/// Mean without hot pixels, standard deviation, hot pixels.
fn robust_mean(counts: &[u64]) -> (f64, f64, u64) {
    let all: u64 = counts.iter().sum();
    let median = quantile(counts, 0.5);
    let span = quantile(counts, 0.977) - quantile(counts, 0.023);
    let spread = (span as f64 / 4.0).max(0.5);
    let (mut sum, mut kept) = (0.0, 0);
    for (dn, &count) in counts.iter().enumerate() {
        if dn.abs_diff(median) as f64 <= HOT * spread {
            sum += dn as f64 * count as f64;
            kept += count;
        }
    }
    (sum / kept.max(1) as f64, spread, all - kept)
}

/// The DN that a share of the pixels is at or below.
fn quantile(counts: &[u64], share: f64) -> usize {
    let all: u64 = counts.iter().sum();
    let mut seen = 0;
    let reached = counts.iter().position(|count| {
        seen += count;
        seen as f64 >= share * all as f64
    });
    reached.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_camera::{Camera, Cfa, Dimensions, Light};

    fn frame(value: impl Fn(usize) -> u16) -> RawFrame {
        let size = Dimensions::new(64, 48).unwrap();
        let data = (0..size.pixels()).map(value).collect();
        RawFrame::new(size, Cfa::Bggr, 12, (0, 4095), data).unwrap()
    }

    #[test]
    fn hot_pixels_do_not_count() {
        let noisy = |i: usize| 100 + (i / 2 % 3) as u16;
        let found = of_frames(&[frame(|i| if i % 97 == 0 { 4000 } else { noisy(i) })]).unwrap();
        assert!(
            (found.level * 4095.0 - 101.0).abs() < 0.05,
            "{}",
            found.level
        );
        assert_eq!(found.hot_pixels, (64 * 48_u64).div_ceil(97));
    }

    #[test]
    fn a_frame_with_light_in_it_is_refused() {
        let bright = of_frames(&[frame(|i| (i * 37 % 4096) as u16)]);
        let text = bright.err().unwrap().to_string();
        assert!(
            text.contains("not dark") && text.lines().count() == 3,
            "{text}"
        );
        assert!(of_frames(&[frame(|_| 4095)]).is_err());
    }

    #[test]
    fn the_camera_without_hardware_reads_its_black_level() {
        let found = measure(&[]).unwrap();
        let truth = Camera::new(scene::open(None).unwrap(), Light::default())
            .limits()
            .black;
        assert!(
            (found.level - truth).abs() < 5e-5,
            "{} {truth}",
            found.level
        );
    }
}
