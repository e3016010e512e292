//! `tune shading`: a grid of gains that makes an evenly lit surface even.
//!
//! At each node a plane is fitted to the light around it, so that nodes on the edge, which have light
//! on one side only, are as good as the others. Gains are 1 where a channel is brightest.

use std::path::PathBuf;

use coldshoe_camera::scene::CheckerScene;
use coldshoe_camera::{Mosaic, Scene};
use serde::Serialize;

use super::fit::solve;
use super::input::{self, unusable};
use super::{Error, Measured};

/// Nodes in a row, and rows of them.
const COLUMNS: usize = 17;
const ROWS: usize = 13;
/// Half a node's distance is looked at on each side, and at least so many pixels.
const LEAST: f64 = 4.0;
/// A surface as dark as this is more noise than light.
const DARK: f64 = 0.05;

#[derive(Serialize)]
pub(crate) struct Found {
    columns: usize,
    red: Vec<f64>,
    green: Vec<f64>,
    blue: Vec<f64>,
    frames: usize,
}

impl Measured for Found {
    fn tables(&self) -> String {
        let mut text = format!("[lsc.grid]\ncolumns = {COLUMNS}\n");
        for (name, gains) in [
            ("red", &self.red),
            ("green", &self.green),
            ("blue", &self.blue),
        ] {
            text += &format!("{name} = [\n");
            for row in gains.chunks(COLUMNS) {
                let row: Vec<_> = row.iter().map(|gain| format!("{gain:.3}")).collect();
                text += &format!("  {},\n", row.join(", "));
            }
            text += "]\n";
        }
        text
    }
}

pub(super) fn measure(paths: &[PathBuf]) -> Result<Found, Error> {
    let frames = if paths.is_empty() {
        vec![white_wall()]
    } else {
        let files = input::frames(paths)?;
        files.iter().map(|file| input::light(&file.frame)).collect()
    };
    let [red, green, blue] = [0, 1, 2].map(|rgb| gains(&frames, rgb));
    Ok(Found {
        columns: COLUMNS,
        red: red?,
        green: green?,
        blue: blue?,
        frames: frames.len(),
    })
}

/// A white wall through the lens of the built-in scene.
fn white_wall() -> Mosaic {
    let scene = CheckerScene::new();
    let (width, height) = (scene.size().width() as f64, scene.size().height() as f64);
    Mosaic::from_fn(scene.size(), scene.cfa(), |x, y, channel| {
        let at = |n: usize, side: f64| (n as f64 + 0.5) / side;
        CheckerScene::lens(channel.rgb(), at(x, width), at(y, height)) as f32
    })
}

fn gains(frames: &[Mosaic], rgb: usize) -> Result<Vec<f64>, Error> {
    let nodes = (0..ROWS * COLUMNS).map(|node| {
        let (x, y) = (node % COLUMNS, node / COLUMNS);
        let at = |n: usize, count: usize| n as f64 / (count - 1) as f64;
        light_at(frames, rgb, at(x, COLUMNS), at(y, ROWS))
    });
    let light: Vec<f64> = nodes.collect::<Result<_, _>>()?;
    let most = light.iter().copied().fold(0.0, f64::max);
    let least = light.iter().copied().fold(most, f64::min);
    if most < DARK || least < most / 8.0 {
        return Err(unusable(
            "these frames are no flat field",
            format!(
                "light is from {:.1} % to {:.1} % of full",
                100.0 * least,
                100.0 * most
            ),
            "fill the frame with an evenly lit white surface, at half of full light",
        )
        .into());
    }
    Ok(light.iter().map(|light| most / light).collect())
}

/// The light of a channel at a place in 0..=1.
fn light_at(frames: &[Mosaic], rgb: usize, x: f64, y: f64) -> Result<f64, Error> {
    let Some(first) = frames.first() else {
        return Ok(0.0);
    };
    let (width, height) = (first.size().width(), first.size().height());
    let reach = |side: usize, count: usize| (side as f64 / count as f64 / 2.0).max(LEAST);
    let (rx, ry) = (reach(width, COLUMNS - 1), reach(height, ROWS - 1));
    let (cx, cy) = (x * width as f64, y * height as f64);
    let within = |centre: f64, reach: f64, side: usize| {
        (centre - reach).max(0.0) as usize..((centre + reach) as usize).min(side)
    };
    let (mut normal, mut right, mut clipped, mut all) = ([[0.0; 3]; 3], [0.0; 3], 0, 0);
    for frame in frames {
        for py in within(cy, ry, height) {
            for px in within(cx, rx, width) {
                if frame.cfa().channel(px, py).rgb() != rgb {
                    continue;
                }
                all += 1;
                let value = f64::from(frame.data()[py * width + px]);
                if value.is_nan() {
                    clipped += 1;
                    continue;
                }
                let terms = [
                    1.0,
                    (px as f64 + 0.5 - cx) / rx,
                    (py as f64 + 0.5 - cy) / ry,
                ];
                for i in 0..3 {
                    for j in 0..3 {
                        normal[i][j] += terms[i] * terms[j];
                    }
                    right[i] += terms[i] * value;
                }
            }
        }
    }
    match solve(normal, right) {
        Some([light, ..]) if 100 * clipped < all => Ok(light.max(0.0)),
        _ => Err(unusable(
            "these frames are no flat field",
            format!("around ({cx:.0}, {cy:.0}) {clipped} of {all} pixels of a colour clip"),
            "expose less, so that the brightest part is at half of full light",
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_lens_is_turned_over() {
        let found = measure(&[]).unwrap();
        for (node, gain) in found.red.iter().enumerate() {
            let (x, y) = (
                (node % COLUMNS) as f64 / 16.0,
                (node / COLUMNS) as f64 / 12.0,
            );
            let want = 1.0 / CheckerScene::lens(0, x, y);
            assert!((gain - want).abs() < 2e-3, "({x}, {y}): {gain} {want}");
        }
    }

    #[test]
    fn darkness_and_clipping_are_refused() {
        let scene = CheckerScene::new();
        let flat = |value: f32| vec![Mosaic::from_fn(scene.size(), scene.cfa(), |_, _, _| value)];
        for (light, why) in [
            (0.01, "1.0 % of full"),
            (f32::NAN, "pixels of a colour clip"),
        ] {
            let text = gains(&flat(light), 0).unwrap_err().to_string();
            assert!(text.contains(why) && text.lines().count() == 3, "{text}");
        }
        assert!(
            gains(&flat(0.5), 0)
                .unwrap()
                .iter()
                .all(|gain| (gain - 1.0).abs() < 1e-9)
        );
    }
}
