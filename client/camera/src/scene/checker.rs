//! The built-in scene: a ColorChecker on a grey wall, a grey wedge on a wooden table, two shiny
//! balls and a lamp, through a lens with a little shading. 640×480, RGGB.
//!
//! Surfaces have smooth reflectances made from published sRGB colours, so that the scene can be
//! under any black body; see [`super::spectrum`].

use super::spectrum::{Spectrum, solve};
use super::{Scene, level_factor};
use crate::bayer::{Cfa, Dimensions, Mosaic};
use crate::light::Light;

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// The 24 patches of an X-Rite ColorChecker Classic, sRGB (D65), as published by the maker: rows
/// from dark skin to bluish green, orange to orange yellow, blue to cyan, white to black.
const PATCHES: [[u8; 3]; 24] = [
    [115, 82, 68],
    [194, 150, 130],
    [98, 122, 157],
    [87, 108, 67],
    [133, 128, 177],
    [103, 189, 170],
    [214, 126, 44],
    [80, 91, 166],
    [193, 90, 99],
    [94, 60, 108],
    [157, 188, 64],
    [224, 163, 46],
    [56, 61, 150],
    [70, 148, 73],
    [175, 54, 60],
    [231, 199, 31],
    [187, 86, 149],
    [8, 133, 161],
    [243, 243, 242],
    [200, 200, 200],
    [160, 160, 160],
    [122, 122, 121],
    [85, 85, 85],
    [52, 52, 52],
];

const WALL: usize = 24;
const WOOD: usize = 25;
const BLACK: usize = 26;
const WEDGE: usize = 27;
const WEDGE_STEPS: usize = 20;

/// Left, top of the chart; side of a patch; gap between patches.
const CHART: (usize, usize, usize, usize) = (32, 40, 56, 8);
/// Left, top of the wedge; width and height of a step.
const STEPS: (usize, usize, usize, usize) = (40, 400, 28, 44);
const TABLE: usize = 345;
/// Loss of light in the corners for R, G and B.
const SHADING: [f64; 3] = [0.34, 0.30, 0.27];

/// Centre, radius and material of a ball.
const BALLS: [(f64, f64, f64, usize); 2] = [(500.0, 290.0, 62.0, 14), (588.0, 322.0, 40.0, 12)];
/// Centre, radius of the lamp, and how many times brighter than white paper it is.
const LAMP: (f64, f64, f64, f32) = (545.0, 80.0, 22.0, 12.0);

/// The built-in scene.
#[derive(Debug)]
pub struct CheckerScene {
    materials: Vec<Spectrum>,
    points: Vec<Point>,
    factor: f64,
}

/// What a pixel looks at.
#[derive(Clone, Copy, Debug)]
struct Point {
    material: u8,
    /// Light that falls on the material.
    shade: f32,
    /// Light mirrored, of the light's own colour.
    shine: f32,
}

impl CheckerScene {
    /// Draws the scene.
    #[must_use]
    pub fn new() -> Self {
        let patches = PATCHES.map(|srgb| Spectrum::from_linear_srgb(srgb.map(srgb_to_linear)));
        let mut materials = patches.to_vec();
        materials.push(Spectrum::grey(0.22));
        materials.push(Spectrum::from_linear_srgb([0.22, 0.13, 0.07]));
        materials.push(Spectrum::grey(0.03));
        materials.extend((0..WEDGE_STEPS).map(|step| {
            let down = step as f64 / (WEDGE_STEPS - 1) as f64;
            Spectrum::grey(0.95 * (0.02_f64 / 0.95).powf(down))
        }));
        let points = (0..WIDTH * HEIGHT)
            .map(|at| point(at % WIDTH, at / WIDTH))
            .collect();
        let mut scene = Self {
            materials,
            points,
            factor: 1.0,
        };
        scene.factor = level_factor(&scene.radiance(&Light::default()));
        scene
    }

    /// The part of the light that the lens lets through at (x, y), each 0..=1 from the top left,
    /// for R, G or B (0, 1, 2).
    #[must_use]
    pub fn lens(rgb: usize, x: f64, y: f64) -> f64 {
        let (x, y) = (2.0 * x - 1.0, 2.0 * y - 1.0);
        1.0 - SHADING[rgb.min(2)] * (x * x + y * y) / 2.0
    }

    /// The pixels `(x0..x1, y0..y1)` of a patch, 1 to 24 as on the chart, without its edges.
    #[must_use]
    pub fn patch(number: usize) -> Option<[usize; 4]> {
        let index = number.checked_sub(1).filter(|index| *index < 24)?;
        let (left, top, side, gap) = CHART;
        let x = left + gap + index % 6 * (side + gap);
        let y = top + gap + index / 6 * (side + gap);
        Some([x + 4, x + side - 4, y + 4, y + side - 4])
    }

    /// Linear sRGB of a patch, 1 to 24, as published.
    #[must_use]
    pub fn patch_srgb(number: usize) -> Option<[f64; 3]> {
        let srgb = PATCHES.get(number.checked_sub(1)?)?;
        Some(srgb.map(srgb_to_linear))
    }

    /// The colour correction matrix that suits this scene's sensor under a light of `kelvin`: from
    /// white-balanced camera RGB to linear sRGB, least squares over the patches, rows of sum 1.
    #[must_use]
    pub fn ccm(&self, kelvin: f64) -> [[f64; 3]; 3] {
        let light = Light::new(kelvin, 0.0);
        let white = Spectrum::WHITE.seen_under(&light);
        let (mut normal, mut right) = ([[0.0; 2]; 2], [[0.0; 2]; 3]);
        for (material, srgb) in self.materials.iter().zip(PATCHES) {
            let seen = material.seen_under(&light);
            let [r, g, b] = [0, 1, 2].map(|i| seen[i] / white[i]);
            // Rows of sum 1: out = g + m_r·(r − g) + m_b·(b − g).
            let inputs = [r - g, b - g];
            for i in 0..2 {
                for j in 0..2 {
                    normal[i][j] += inputs[i] * inputs[j];
                }
                for (channel, row) in right.iter_mut().enumerate() {
                    row[i] += inputs[i] * (srgb_to_linear(srgb[channel]) - g);
                }
            }
        }
        let [[a, b], [c, d]] = normal;
        right.map(|[u, v]| {
            let rows = [[a, b, 0.0], [c, d, 0.0], [0.0, 0.0, 1.0]];
            let [m_r, m_b, _] = solve(rows, [u, v, 0.0]);
            [m_r, 1.0 - m_r - m_b, m_b]
        })
    }
}

impl Default for CheckerScene {
    fn default() -> Self {
        Self::new()
    }
}

impl Scene for CheckerScene {
    fn name(&self) -> &str {
        "built-in"
    }

    fn size(&self) -> Dimensions {
        Dimensions::new(WIDTH as u64, HEIGHT as u64)
            .expect("640 and 480 are even and within the bounds")
    }

    fn cfa(&self) -> Cfa {
        Cfa::Rggb
    }

    fn radiance(&self, light: &Light) -> Mosaic {
        let scaled = |rgb: [f64; 3]| rgb.map(|value| (self.factor * value) as f32);
        let white = scaled(Spectrum::WHITE.seen_under(light));
        let materials: Vec<_> = self
            .materials
            .iter()
            .map(|material| scaled(material.seen_under(light)))
            .collect();
        let sharp = |x: usize, y: usize, rgb: usize| {
            let point = self.points[y * WIDTH + x];
            point.shade * materials[usize::from(point.material)][rgb] + point.shine * white[rgb]
        };
        Mosaic::from_fn(self.size(), self.cfa(), |x, y, channel| {
            let rgb = channel.rgb();
            let across = |at: usize, side: usize| (at as f64 + 0.5) / side as f64;
            let lens = Self::lens(rgb, across(x, WIDTH), across(y, HEIGHT)) as f32;
            lens * blur(x, y, |x, y| sharp(x, y, rgb))
        })
    }

    fn neutral(&self, light: &Light) -> Option<[f64; 3]> {
        Some(Spectrum::WHITE.seen_under(light))
    }
}

/// A lens is not sharper than the filters are apart: each pixel sees a little of its neighbours
/// (1 2 1 both ways). Without it every edge would come out of a demosaic with a coloured fringe.
fn blur(x: usize, y: usize, sharp: impl Fn(usize, usize) -> f32) -> f32 {
    let taps = |at: usize, side: usize| {
        [
            (at.saturating_sub(1), 0.25),
            (at, 0.5),
            ((at + 1).min(side - 1), 0.25),
        ]
    };
    let rows = taps(y, HEIGHT).into_iter();
    rows.flat_map(|row| taps(x, WIDTH).map(|column| (column, row)))
        .map(|((x, by_x), (y, by_y))| by_x * by_y * sharp(x, y))
        .sum()
}

/// sRGB's transfer function, IEC 61966-2-1.
fn srgb_to_linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.04045 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

/// What the pixel at (x, y) looks at: the nearest thing in front.
fn point(x: usize, y: usize) -> Point {
    let (fx, fy) = (x as f64 + 0.5, y as f64 + 0.5);
    lamp(fx, fy)
        .or_else(|| BALLS.iter().find_map(|ball| on_ball(*ball, fx, fy)))
        .unwrap_or_else(|| {
            let material =
                chart(x, y)
                    .or_else(|| wedge(x, y))
                    .unwrap_or(if y < TABLE { WALL } else { WOOD });
            // Light falls off a little over the wall; grain runs along the wood.
            let shade = match material {
                WALL => 0.75 + 0.35 * fx / WIDTH as f64,
                WOOD => 0.9 + 0.1 * (fy * 0.8 + 3.0 * (fx * 0.013).sin()).sin(),
                _ => 1.0,
            };
            matt(material, shade)
        })
}

fn matt(material: usize, shade: f64) -> Point {
    Point {
        material: material as u8,
        shade: shade as f32,
        shine: 0.0,
    }
}

fn lamp(x: f64, y: f64) -> Option<Point> {
    let (cx, cy, radius, brightness) = LAMP;
    ((x - cx).hypot(y - cy) < radius).then_some(Point {
        material: BLACK as u8,
        shade: 0.0,
        shine: brightness,
    })
}

/// A ball lit from the upper left, with a highlight.
fn on_ball((cx, cy, radius, material): (f64, f64, f64, usize), x: f64, y: f64) -> Option<Point> {
    let (nx, ny) = ((x - cx) / radius, (y - cy) / radius);
    let nz = (1.0 - nx * nx - ny * ny).sqrt();
    if nz.is_nan() {
        return None;
    }
    // Unit vectors towards the light, and halfway between light and eye.
    let lit = (-0.48 * nx - 0.60 * ny + 0.64 * nz).max(0.0);
    let mirrored = (-0.265 * nx - 0.331 * ny + 0.906 * nz).max(0.0);
    Some(Point {
        shine: (6.0 * mirrored.powi(180)) as f32,
        ..matt(material, 0.15 + 0.85 * lit)
    })
}

fn chart(x: usize, y: usize) -> Option<usize> {
    let (left, top, side, gap) = CHART;
    let (x, y) = (x.checked_sub(left)?, y.checked_sub(top)?);
    let pitch = side + gap;
    if x >= 6 * pitch + gap || y >= 4 * pitch + gap {
        return None;
    }
    let within = |at: usize| at % pitch >= gap;
    Some(if within(x) && within(y) {
        y / pitch * 6 + x / pitch
    } else {
        BLACK
    })
}

fn wedge(x: usize, y: usize) -> Option<usize> {
    let (left, top, width, height) = STEPS;
    let step = x.checked_sub(left)? / width;
    (step < WEDGE_STEPS && (top..top + height).contains(&y)).then_some(WEDGE + step)
}
