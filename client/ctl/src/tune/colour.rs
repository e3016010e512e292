//! `tune colour`: the CT curve and the colour matrices, from a ColorChecker.
//!
//! The curve is what patches 19 to 21 read, the brightest neutral ones, over what is published of
//! them: white paper is not quite white. Matrices are least squares over all 24 patches against their published linear
//! sRGB, after white balance, with rows of sum 1: grey stays grey.

use std::path::PathBuf;

use coldshoe_camera::scene::{self, CheckerScene};
use coldshoe_camera::{Light, Mosaic, Scene};
use serde::Serialize;
use toml_edit::Item;

use super::chart::{self, Chart, PATCHES};
use super::fit::solve;
use super::input::{self, Unusable, unusable};
use super::{Colour, Error, Measured, table};

/// Temperatures of the curve, K.
pub(super) const CURVE: [f64; 15] = [
    2300.0, 2500.0, 2856.0, 3200.0, 3600.0, 4000.0, 4500.0, 5000.0, 5500.0, 6000.0, 6500.0, 7000.0,
    8000.0, 9000.0, 10_000.0,
];
/// Temperatures of the matrices, K.
pub(super) const MATRICES: [f64; 3] = [2856.0, 4000.0, 6500.0];
/// Most of either, as the module has it.
const MOST: (usize, usize) = (64, 16);
/// Numbers of the patches that white is taken from.
const NEUTRAL: [usize; 3] = [19, 20, 21];

#[derive(Serialize)]
pub(crate) struct Found {
    /// K, R/G, B/G of a neutral surface.
    curve: Vec<[f64; 3]>,
    matrices: Vec<Matrix>,
}

#[derive(Serialize)]
struct Matrix {
    temperature: f64,
    matrix: [[f64; 3]; 3],
    /// Root of the mean squared distance to the published colours, linear sRGB.
    error: f64,
}

impl Measured for Found {
    fn tables(&self) -> String {
        let mut text = "[awb]\nmethod = \"search\"\ncurve = [\n".to_owned();
        for [kelvin, red, blue] in &self.curve {
            text += &format!("  [{kelvin}, {red:.4}, {blue:.4}],\n");
        }
        text += "]\n\n[ccm]\nmatrices = [\n";
        for Matrix {
            temperature,
            matrix,
            ..
        } in &self.matrices
        {
            let rows = matrix.map(|row| {
                let row = row.map(|m| (m * 1e4).round() / 1e4);
                // Rounded rows keep their sum.
                let green = 1.0 - row[0] - row[2];
                format!("[{:.4}, {green:.4}, {:.4}]", row[0], row[2])
            });
            let rows = rows.join(", ");
            text += &format!("  {{ temperature = {temperature}, matrix = [{rows}] }},\n");
        }
        text + "]\n"
    }
}

/// Charts, each under a light of some temperature.
enum Charts {
    /// Any light can be had.
    Relit(Box<dyn Scene>),
    /// By rising temperature.
    Frames(Vec<(f64, Mosaic)>),
}

pub(super) fn measure(options: &Colour) -> Result<Found, Error> {
    if options.curve.len() > MOST.0 || options.matrices.len() > MOST.1 {
        return Err(unusable(
            "these are too many temperatures",
            format!(
                "a curve has {} points at most, and there are {} matrices at most",
                MOST.0, MOST.1
            ),
            "name fewer of them",
        )
        .into());
    }
    let charts = Charts::open(&options.frames)?;
    let corners = match &options.corners {
        Some(corners) => corners.as_slice().try_into().ok(),
        None => options.frames.is_empty().then(chart::built_in),
    };
    let corners: [[f64; 2]; 4] = corners.ok_or_else(|| {
        unusable(
            "the chart is not known",
            "nobody tells where it is in the frames",
            "--corners X,Y X,Y X,Y X,Y: the middles of dark skin, bluish green, black and white",
        )
    })?;
    let chart = Chart::new(&corners)?;
    let flat = flat_field(options)?;
    let read = |frame: &Mosaic| chart.read(frame, |rgb, x, y| flat.gain(rgb, x, y));
    let (mut curve, mut matrices) = (Vec::new(), Vec::new());
    match charts {
        Charts::Relit(scene) => {
            let seen = |kelvin: f64| read(&scene.radiance(&Light::new(kelvin, 0.0)));
            for kelvin in rising(&options.curve) {
                curve.push(point(kelvin, &seen(kelvin)?)?);
            }
            for kelvin in rising(&options.matrices) {
                matrices.push(matrix(kelvin, &seen(kelvin)?)?);
            }
        }
        Charts::Frames(frames) => {
            for (kelvin, frame) in &frames {
                let patches = read(frame)?;
                curve.push(point(*kelvin, &patches)?);
                matrices.push(matrix(*kelvin, &patches)?);
            }
        }
    }
    check(&curve)?;
    Ok(Found { curve, matrices })
}

impl Charts {
    fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        let folder = match paths {
            [] => return Ok(Self::Relit(scene::open(None)?)),
            [one] if one.is_dir() => one,
            _ => return Self::frames(paths),
        };
        Ok(Self::Relit(scene::open(Some(folder))?))
    }

    fn frames(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut frames = Vec::new();
        for (file, path) in input::frames(paths)?.into_iter().zip(paths) {
            let kelvin = file.kelvin.ok_or_else(|| {
                unusable(
                    format!("the light of {} is not known", path.display()),
                    "its sidecar does not say `kelvin`",
                    "write the light's colour temperature into the sidecar, as in kelvin = 5000.0",
                )
            })?;
            frames.push((kelvin, input::light(&file.frame)));
        }
        frames.sort_by(|a, b| a.0.total_cmp(&b.0));
        if frames.len() > MOST.1 {
            return Err(unusable(
                "these are too many frames",
                format!(
                    "{} are named, and there are {} matrices at most",
                    frames.len(),
                    MOST.1
                ),
                "name fewer of them",
            )
            .into());
        }
        Ok(Self::Frames(frames))
    }
}

fn rising(kelvins: &[f64]) -> Vec<f64> {
    let mut sorted = kelvins.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    sorted
}

/// Linear sRGB of a patch, 1 to 24.
fn published(number: usize) -> [f64; 3] {
    CheckerScene::patch_srgb(number).unwrap_or_default()
}

/// What a white surface of full reflectance would read.
fn white(patches: &[[f64; 3]; PATCHES]) -> Result<[f64; 3], Unusable> {
    let white = [0, 1, 2].map(|rgb| {
        let seen: f64 = NEUTRAL.iter().map(|n| patches[n - 1][rgb]).sum();
        let known: f64 = NEUTRAL.iter().map(|n| published(*n)[rgb]).sum();
        seen / known
    });
    if white.iter().all(|value| *value > 1e-6) {
        return Ok(white);
    }
    Err(unusable(
        "the chart cannot be read",
        format!("patches {NEUTRAL:?} have no light in a colour"),
        "expose more, or correct --corners",
    ))
}

fn point(kelvin: f64, patches: &[[f64; 3]; PATCHES]) -> Result<[f64; 3], Unusable> {
    let [red, green, blue] = white(patches)?;
    Ok([kelvin, red / green, blue / green])
}

/// A curve that the module takes: R/G falls and B/G rises with temperature.
fn check(curve: &[[f64; 3]]) -> Result<(), Unusable> {
    let falls = |pair: &[[f64; 3]]| {
        let ([t0, r0, b0], [t1, r1, b1]) = (pair[0], pair[1]);
        t1 > t0 && r1 < r0 && b1 > b0
    };
    let why = match curve.windows(2).find(|pair| !falls(pair)) {
        Some(pair) => format!(
            "from {} K to {} K R/G goes from {:.4} to {:.4} and B/G from {:.4} to {:.4}",
            pair[0][0], pair[1][0], pair[0][1], pair[1][1], pair[0][2], pair[1][2]
        ),
        None if curve.len() < 2 => "one light makes no curve".into(),
        None => return Ok(()),
    };
    Err(unusable(
        "these lights are no CT curve",
        why,
        "name frames of two or more lights of different temperatures, and check --corners and `kelvin`",
    ))
}

fn matrix(kelvin: f64, patches: &[[f64; 3]; PATCHES]) -> Result<Matrix, Unusable> {
    let white = white(patches)?;
    let seen = |patch: usize| [0, 1, 2].map(|rgb| patches[patch][rgb] / white[rgb]);
    let (mut normal, mut right) = ([[0.0; 2]; 2], [[0.0; 2]; 3]);
    for patch in 0..PATCHES {
        let [r, g, b] = seen(patch);
        // Rows of sum 1: out = g + m_r·(r − g) + m_b·(b − g).
        let inputs = [r - g, b - g];
        for i in 0..2 {
            for j in 0..2 {
                normal[i][j] += inputs[i] * inputs[j];
            }
            for (row, want) in right.iter_mut().zip(published(patch + 1)) {
                row[i] += inputs[i] * (want - g);
            }
        }
    }
    let mut rows = [[0.0; 3]; 3];
    for (row, right) in rows.iter_mut().zip(right) {
        let [m_r, m_b] = solve(normal, right).ok_or_else(|| {
            unusable(
                "the chart cannot be read",
                "its patches have no colours that tell three channels apart",
                "correct --corners",
            )
        })?;
        *row = [m_r, 1.0 - m_r - m_b, m_b];
    }
    let off = |patch: usize| -> f64 {
        let (seen, want) = (seen(patch), published(patch + 1));
        rows.iter()
            .zip(want)
            .map(|(row, want)| {
                (row.iter().zip(seen).map(|(m, v)| m * v).sum::<f64>() - want).powi(2)
            })
            .sum()
    };
    let error = ((0..PATCHES).map(off).sum::<f64>() / (3 * PATCHES) as f64).sqrt();
    Ok(Matrix {
        temperature: kelvin,
        matrix: rows,
        error,
    })
}

/// Lens shading gains, as `[lsc.grid]` has them; none is 1 everywhere.
struct Flat(Option<Grid>);

struct Grid {
    columns: usize,
    channels: [Vec<f64>; 3],
}

fn flat_field(options: &Colour) -> Result<Flat, Error> {
    let Some(path) = options.shading.as_ref().or(options.output.into.as_ref()) else {
        return Ok(Flat(None));
    };
    let document = table::read(path)?;
    let Some(lsc) = document.as_ref().and_then(|document| document.get("lsc")) else {
        return Ok(Flat(None));
    };
    let grid = Grid::of(lsc).ok_or_else(|| {
        unusable(
            format!("the lens shading of {} cannot be taken out", path.display()),
            "its [lsc] is no grid of gains",
            "measure it with coldshoectl tune shading, or name a tuning file without it in --shading",
        )
    })?;
    Ok(Flat(Some(grid)))
}

impl Grid {
    fn of(lsc: &Item) -> Option<Self> {
        let grid = lsc.get("grid")?;
        let number =
            |value: &toml_edit::Value| value.as_float().or(value.as_integer().map(|n| n as f64));
        let gains = |name| -> Option<Vec<f64>> {
            let gains = grid.get(name)?.as_array()?.iter().map(number);
            gains
                .collect::<Option<Vec<_>>>()
                .filter(|gains| gains.iter().all(|gain| gain.is_finite()))
        };
        let columns = usize::try_from(grid.get("columns")?.as_integer()?).ok()?;
        let channels = [gains("red")?, gains("green")?, gains("blue")?];
        let whole =
            |gains: &Vec<f64>| gains.len() >= 2 * columns && gains.len().is_multiple_of(columns);
        ((2..=64).contains(&columns) && channels.iter().all(whole))
            .then_some(Self { columns, channels })
    }
}

impl Flat {
    /// Bilinear between nodes, the outermost of which are on the frame's edge.
    fn gain(&self, rgb: usize, x: f64, y: f64) -> f64 {
        let Some(Grid { columns, channels }) = &self.0 else {
            return 1.0;
        };
        let gains = &channels[rgb];
        let rows = gains.len() / columns;
        let place = |at: f64, count: usize| {
            let at = at.clamp(0.0, 1.0) * (count - 1) as f64;
            let low = (at as usize).min(count - 2);
            (low, at - low as f64)
        };
        let ((column, right), (row, down)) = (place(x, *columns), place(y, rows));
        let node = |dx: usize, dy: usize| gains[(row + dy) * columns + column + dx];
        let across = |dy: usize| node(0, dy) + (node(1, dy) - node(0, dy)) * right;
        across(0) + (across(1) - across(0)) * down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_that_turns_back_is_refused() {
        for (curve, why) in [
            (vec![[2856.0, 0.8, 0.3]], "one light"),
            (
                vec![[2856.0, 0.8, 0.3], [4000.0, 0.9, 0.4]],
                "R/G goes from 0.8000 to 0.9000",
            ),
            (
                vec![[4000.0, 0.8, 0.3], [4000.0, 0.7, 0.4]],
                "from 4000 K to 4000 K",
            ),
        ] {
            let refused = check(&curve).unwrap_err();
            assert!(refused.why.contains(why), "{}", refused.why);
        }
    }

    #[test]
    fn colours_as_published_need_no_matrix_whatever_the_white() {
        let patches = std::array::from_fn(|patch| {
            let [r, g, b] = CheckerScene::patch_srgb(patch + 1).unwrap();
            [0.2 * r, 0.4 * g, 0.3 * b]
        });
        let found = matrix(5000.0, &patches).unwrap();
        for (i, row) in found.matrix.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert!((value - f64::from(u8::from(i == j))).abs() < 1e-9);
            }
        }
        assert!(found.error < 1e-9);
        let [kelvin, red, blue] = point(5000.0, &patches).unwrap();
        assert_eq!(kelvin, 5000.0);
        assert!((red - 0.5).abs() < 1e-9 && (blue - 0.75).abs() < 1e-9);
    }

    #[test]
    fn a_chart_without_light_or_colour_is_refused() {
        assert!(matrix(5000.0, &[[0.0; 3]; PATCHES]).is_err());
        assert!(matrix(5000.0, &[[0.5; 3]; PATCHES]).is_err());
    }
}
