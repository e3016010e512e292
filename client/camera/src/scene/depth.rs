//! A scene with depth: a printed card in the middle, a wall behind it, through
//! a lens with the shading of the built-in scene's. 320×240, RGGB.
//!
//! What is not where the lens is focused is blurred by a Gaussian whose width in pixels is its
//! distance in dioptres times a constant: the thin lens, for small apertures. Prints are black and
//! white blocks of several sizes, so that there is something to see however blurred it is.

use super::spectrum::Spectrum;
use super::{CheckerScene, Scene, level_factor};
use crate::bayer::{Cfa, Dimensions, Mosaic};
use crate::light::Light;

const WIDTH: usize = 320;
const HEIGHT: usize = 240;
/// Standard deviation of the blur, pixels a dioptre.
const BLUR: f64 = 2.5;
/// The lens itself, in focus, pixels.
const SHARPEST: f64 = 0.6;
/// The card: columns and rows.
const CARD: [std::ops::Range<usize>; 2] = [70..250, 50..190];
/// Sides of the prints' blocks, pixels.
const BLOCKS: [usize; 4] = [4, 8, 16, 32];

/// A card before a wall.
#[derive(Clone, Debug)]
pub struct DepthScene {
    /// Of card and wall, dioptres.
    depths: [f64; 2],
    print: Vec<f32>,
    factor: f64,
}

impl DepthScene {
    /// A card and a wall at these distances, dioptres.
    #[must_use]
    pub fn new(card: f64, wall: f64) -> Self {
        let print = (0..WIDTH * HEIGHT)
            .map(|at| print(at % WIDTH, at / WIDTH))
            .collect();
        let mut scene = Self {
            depths: [card, wall],
            print,
            factor: 1.0,
        };
        scene.factor = level_factor(&scene.radiance(&Light::default()));
        scene
    }

    /// What a lens that is focused there makes of card and wall, of a white surface's light.
    fn seen(&self, dioptres: f64) -> Vec<f32> {
        let [card, wall] = self.depths.map(|depth| {
            let sigma = SHARPEST.hypot(BLUR * (dioptres - depth));
            blurred(&self.print, sigma)
        });
        let on_card =
            |at: usize| CARD[0].contains(&(at % WIDTH)) && CARD[1].contains(&(at / WIDTH));
        let points = card.into_iter().zip(wall).enumerate();
        points
            .map(|(at, (card, wall))| if on_card(at) { card } else { wall })
            .collect()
    }
}

impl Default for DepthScene {
    /// A card at 33 cm, a wall at 2 m.
    fn default() -> Self {
        Self::new(3.0, 0.5)
    }
}

/// Reflectance of a print: blocks of every size, and grey between them.
fn print(x: usize, y: usize) -> f32 {
    let dark = |side: usize| {
        let block = (x / side).wrapping_mul(0x9e37_79b9) ^ (y / side).wrapping_mul(0x85eb_ca6b);
        let mixed = (block ^ side).wrapping_mul(0xc2b2_ae35);
        (mixed >> 13) & 1 == 1
    };
    let count = BLOCKS.iter().filter(|side| dark(**side)).count();
    0.06 + 0.84 * (count as f32 / BLOCKS.len() as f32)
}

/// Gaussian blur both ways; edges are mirrored.
fn blurred(image: &[f32], sigma: f64) -> Vec<f32> {
    let reach = (3.0 * sigma).ceil() as i64;
    let bell = |at: i64| (-0.5 * (at as f64 / sigma).powi(2)).exp();
    let sum: f64 = (-reach..=reach).map(bell).sum();
    let taps: Vec<f32> = (-reach..=reach).map(|at| (bell(at) / sum) as f32).collect();
    let mirror = |at: i64, side: usize| {
        let (at, side) = (at.rem_euclid(2 * side as i64), side as i64);
        (if at < side { at } else { 2 * side - 1 - at }) as usize
    };
    let pass = |image: &[f32], side: usize, place: &dyn Fn(usize, usize) -> usize| {
        let mut out = vec![0.0; image.len()];
        for line in 0..image.len() / side {
            let padded: Vec<f32> = (-reach..side as i64 + reach)
                .map(|at| image[place(line, mirror(at, side))])
                .collect();
            for at in 0..side {
                let window = padded[at..].iter().zip(&taps);
                out[place(line, at)] = window.map(|(value, tap)| value * tap).sum();
            }
        }
        out
    };
    let rows = pass(image, WIDTH, &|line, at| line * WIDTH + at);
    pass(&rows, HEIGHT, &|line, at| at * WIDTH + line)
}

impl Scene for DepthScene {
    fn name(&self) -> &str {
        "depth"
    }

    fn size(&self) -> Dimensions {
        Dimensions::new(WIDTH as u64, HEIGHT as u64)
            .expect("320 and 240 are even and within the bounds")
    }

    fn cfa(&self) -> Cfa {
        Cfa::Rggb
    }

    /// Through a lens that is focused on the card.
    fn radiance(&self, light: &Light) -> Mosaic {
        self.focused(light, self.depths[0])
    }

    fn focused(&self, light: &Light, dioptres: f64) -> Mosaic {
        let white = Spectrum::WHITE.seen_under(light);
        let white = white.map(|value| (self.factor * value) as f32);
        let seen = self.seen(dioptres);
        Mosaic::from_fn(self.size(), self.cfa(), |x, y, channel| {
            let across = |at: usize, side: usize| (at as f64 + 0.5) / side as f64;
            let lens = CheckerScene::lens(channel.rgb(), across(x, WIDTH), across(y, HEIGHT));
            lens as f32 * white[channel.rgb()] * seen[y * WIDTH + x]
        })
    }

    fn depth(&self) -> Option<f64> {
        Some(self.depths[0])
    }

    fn neutral(&self, light: &Light) -> Option<[f64; 3]> {
        Some(Spectrum::WHITE.seen_under(light))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_keeps_the_light_and_takes_contrast_the_more_the_farther_off() {
        let scene = DepthScene::default();
        let light = Light::default();
        let spread = |dioptres| {
            let mosaic = scene.focused(&light, dioptres);
            let mean = mosaic.mean();
            let part = mosaic.data().iter();
            let sum: f64 = part.map(|v| (f64::from(*v) / mean - 1.0).powi(2)).sum();
            (mean, sum)
        };
        let (sharp, near, far) = (spread(3.0), spread(4.0), spread(8.0));
        assert!((sharp.0 / far.0 - 1.0).abs() < 0.02);
        assert!(sharp.1 > 1.1 * near.1 && near.1 > 1.1 * far.1);
    }
}
