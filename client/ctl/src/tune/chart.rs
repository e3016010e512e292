//! The patches of a ColorChecker in a frame, found from its corners.
//!
//! A chart is flat, so what a camera makes of it is a homography: eight numbers that four points
//! determine. It takes each pixel to the chart, where patches lie on a grid of 6×4.

use coldshoe_camera::Mosaic;
use coldshoe_camera::scene::CheckerScene;

use super::fit::solve;
use super::input::{Unusable, unusable};

pub(super) const PATCHES: usize = 24;
const COLUMNS: f64 = 6.0;
const ROWS: f64 = 4.0;
/// Of a patch so much counts, in distances of patches on each side of its middle: edges do not.
const MIDDLE: f64 = 0.2;
/// Pixels of each colour that a patch needs.
const FEWEST: f64 = 16.0;

/// Pixels to chart: patch 1 is at (0, 0), patch 24 at (5, 3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Chart([f64; 8]);

impl Chart {
    /// From the middles of patches 1, 6, 24 and 19.
    pub(super) fn new(corners: &[[f64; 2]; 4]) -> Result<Self, Unusable> {
        let on_chart = [
            [0.0, 0.0],
            [COLUMNS - 1.0, 0.0],
            [COLUMNS - 1.0, ROWS - 1.0],
            [0.0, ROWS - 1.0],
        ];
        let (mut rows, mut values) = ([[0.0; 8]; 8], [0.0; 8]);
        for (i, ([x, y], [u, v])) in corners.iter().zip(on_chart).enumerate() {
            rows[2 * i] = [*x, *y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y];
            rows[2 * i + 1] = [0.0, 0.0, 0.0, *x, *y, 1.0, -v * x, -v * y];
            (values[2 * i], values[2 * i + 1]) = (u, v);
        }
        // Going round, a chart's corners all turn the same way.
        let turn = |i: usize| {
            let [a, b, c] = [0, 1, 2].map(|k| corners[(i + k) % 4]);
            (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
        };
        let turns = [0, 1, 2, 3].map(turn);
        let convex = turns.iter().all(|t| *t > 1.0) || turns.iter().all(|t| *t < -1.0);
        let found = solve(rows, values).filter(|_| convex);
        found.map(Self).ok_or_else(|| {
            unusable(
                "these are no corners of a chart",
                format!("{corners:?} is no quadrangle that goes round"),
                "give the middles of dark skin, bluish green, black and white, in this order",
            )
        })
    }

    /// The patch, 0 to 23, whose middle part a pixel is in.
    fn patch(&self, x: f64, y: f64) -> Option<usize> {
        let [a, b, c, d, e, f, g, h] = self.0;
        let w = g * x + h * y + 1.0;
        let (u, v) = ((a * x + b * y + c) / w, (d * x + e * y + f) / w);
        let (column, row) = (u.round(), v.round());
        let inside = (0.0..COLUMNS).contains(&column) && (0.0..ROWS).contains(&row);
        let middle = (u - column).abs() <= MIDDLE && (v - row).abs() <= MIDDLE;
        (w > 0.0 && inside && middle).then_some((row * COLUMNS + column) as usize)
    }

    /// Mean R, G and B of each patch; `gain(rgb, x, y)` undoes the lens, x and y in 0..=1.
    pub(super) fn read(
        &self,
        frame: &Mosaic,
        gain: impl Fn(usize, f64, f64) -> f64,
    ) -> Result<[[f64; 3]; PATCHES], Unusable> {
        let (width, height) = (frame.size().width(), frame.size().height());
        let mut sums = [[(0.0, 0.0); 3]; PATCHES];
        let mut clipped = [0.0; PATCHES];
        for (at, &value) in frame.data().iter().enumerate() {
            let (px, py) = (at % width, at / width);
            let (x, y) = (px as f64 + 0.5, py as f64 + 0.5);
            let Some(patch) = self.patch(x, y) else {
                continue;
            };
            let rgb = frame.cfa().channel(px, py).rgb();
            if value.is_nan() {
                clipped[patch] += 1.0;
                continue;
            }
            let (sum, count) = &mut sums[patch][rgb];
            *sum += f64::from(value) * gain(rgb, x / width as f64, y / height as f64);
            *count += 1.0;
        }
        let mut means = [[0.0; 3]; PATCHES];
        for (patch, channels) in sums.iter().enumerate() {
            let fewest = channels
                .iter()
                .map(|(_, count)| *count)
                .fold(f64::MAX, f64::min);
            let all: f64 = channels.iter().map(|(_, count)| count).sum();
            if clipped[patch] > 0.01 * all {
                return Err(unusable(
                    "the chart cannot be read",
                    format!("{} pixels of patch {} clip", clipped[patch], patch + 1),
                    "expose less, so that white does not clip",
                ));
            }
            if fewest < FEWEST {
                return Err(unusable(
                    "the chart cannot be read",
                    format!(
                        "patch {} has {fewest} pixels of a colour in the frame, at least {FEWEST} are needed",
                        patch + 1
                    ),
                    "correct --corners, or go nearer to the chart",
                ));
            }
            means[patch] = channels.map(|(sum, count)| sum / count);
        }
        Ok(means)
    }
}

/// Where the chart is in the built-in scene.
pub(super) fn built_in() -> [[f64; 2]; 4] {
    [1, 6, 24, 19].map(|number| {
        let [x0, x1, y0, y1] = CheckerScene::patch(number).unwrap_or_default();
        [(x0 + x1) as f64 / 2.0, (y0 + y1) as f64 / 2.0]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_camera::{Cfa, Dimensions};

    #[test]
    fn patches_are_found_in_a_chart_seen_from_aside_and_upside_down() {
        for corners in [
            [[40.0, 30.0], [280.0, 60.0], [250.0, 200.0], [70.0, 170.0]],
            [[280.0, 200.0], [40.0, 200.0], [60.0, 40.0], [270.0, 30.0]],
        ] {
            let chart = Chart::new(&corners).unwrap();
            for (corner, patch) in corners.iter().zip([0, 5, 23, 18]) {
                assert_eq!(chart.patch(corner[0], corner[1]), Some(patch));
            }
            // Where the diagonals meet is the middle of the chart: between patches.
            let size = Dimensions::new(320, 240).unwrap();
            let frame = Mosaic::from_fn(size, Cfa::Rggb, |x, y, channel| {
                let patch = chart.patch(x as f64 + 0.5, y as f64 + 0.5);
                patch.map_or(9.0, |patch| patch as f32 + channel.rgb() as f32 / 10.0)
            });
            let read = chart.read(&frame, |_, _, _| 2.0).unwrap();
            for (patch, rgb) in read.iter().enumerate() {
                for (channel, value) in rgb.iter().enumerate() {
                    let want = 2.0 * (patch as f64 + channel as f64 / 10.0);
                    assert!((value - want).abs() < 1e-4, "{patch} {channel}: {value}");
                }
            }
        }
    }

    #[test]
    fn corners_that_are_none_and_charts_outside_or_clipped_are_refused() {
        for corners in [
            [[0.0, 0.0], [100.0, 0.0], [200.0, 0.0], [0.0, 100.0]],
            [[0.0, 0.0], [100.0, 100.0], [100.0, 0.0], [0.0, 100.0]],
            [[5.0, 5.0]; 4],
        ] {
            assert!(
                Chart::new(&corners)
                    .unwrap_err()
                    .what
                    .contains("no corners")
            );
        }
        let chart =
            Chart::new(&[[10.0, 10.0], [300.0, 10.0], [300.0, 200.0], [10.0, 200.0]]).unwrap();
        let frame = |width, value: f32| {
            Mosaic::from_fn(
                Dimensions::new(width, 240).unwrap(),
                Cfa::Rggb,
                |_, _, _| value,
            )
        };
        let told = |frame| chart.read(&frame, |_, _, _| 1.0).unwrap_err().why;
        assert!(
            told(frame(200, 1.0)).contains("patch 5 has"),
            "{}",
            told(frame(200, 1.0))
        );
        assert!(told(frame(320, f32::NAN)).contains("patch 1 clip"));
    }
}
