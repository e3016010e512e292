//! Random surfaces side by side, as in the paintings of Piet Mondrian: a scene for each seed, to
//! judge algorithms on more than anybody could set up. 256×192, RGGB, through the lens of the
//! built-in scene.
//!
//! Colours are reflectances as of the built-in scene. Brightness is spread over some stops, as in
//! real scenes, and a few surfaces are neutral.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::spectrum::Spectrum;
use super::{CheckerScene, Scene, level_factor};
use crate::bayer::{Cfa, Dimensions, Mosaic};
use crate::light::Light;

const WIDTH: usize = 256;
const HEIGHT: usize = 192;
const SURFACES: usize = 40;
const PATCHES: usize = 160;
/// Share of the surfaces that are grey.
const GREY: f64 = 0.2;
/// Stops from the darkest to the brightest light that falls on a patch.
const STOPS: f64 = 4.0;

/// A scene of random surfaces.
#[derive(Debug)]
pub struct Mondrian {
    surfaces: Vec<Spectrum>,
    /// Surface and light of each pixel.
    pixels: Vec<(u8, f32)>,
    factor: f64,
}

impl Mondrian {
    /// Paints one. The same seed gives the same scene.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut dice = || random.random::<f64>();
        let surfaces = (0..SURFACES).map(|_| surface(&mut dice)).collect();
        let mut pixels = vec![(0, 0.5); WIDTH * HEIGHT];
        for _ in 0..PATCHES {
            paint(&mut pixels, &mut dice);
        }
        let mut scene = Self {
            surfaces,
            pixels,
            factor: 1.0,
        };
        scene.factor = level_factor(&scene.radiance(&Light::default()));
        scene
    }
}

fn surface(dice: &mut impl FnMut() -> f64) -> Spectrum {
    let grey = dice() < GREY;
    let level = 0.05 + 0.85 * dice();
    // Surfaces of strong colour are fewer than pale ones.
    let strength = dice().powi(2);
    let colour = [dice(), dice(), dice()];
    if grey {
        return Spectrum::grey(level);
    }
    Spectrum::from_linear_srgb(colour.map(|c| level * (1.0 - strength + strength * c)))
}

fn paint(pixels: &mut [(u8, f32)], dice: &mut impl FnMut() -> f64) {
    let material = (dice() * SURFACES as f64) as u8;
    let light = (STOPS * (dice() - 0.5)).exp2() as f32;
    let mut span = |side: usize| {
        let length = side as f64 * (0.05 + 0.3 * dice());
        let from = (side as f64 - length) * dice();
        from as usize..(from + length) as usize
    };
    let (columns, rows) = (span(WIDTH), span(HEIGHT));
    for row in rows {
        pixels[row * WIDTH..][columns.clone()].fill((material, light));
    }
}

impl Scene for Mondrian {
    fn name(&self) -> &str {
        "mondrian"
    }

    fn size(&self) -> Dimensions {
        Dimensions::new(WIDTH as u64, HEIGHT as u64)
            .expect("256 and 192 are even and within the bounds")
    }

    fn cfa(&self) -> Cfa {
        Cfa::Rggb
    }

    fn radiance(&self, light: &Light) -> Mosaic {
        let seen: Vec<_> = self
            .surfaces
            .iter()
            .map(|surface| surface.seen_under(light).map(|v| (v * self.factor) as f32))
            .collect();
        Mosaic::from_fn(self.size(), self.cfa(), |x, y, channel| {
            let (surface, level) = self.pixels[y * WIDTH + x];
            let across = |at: usize, side: usize| (at as f64 + 0.5) / side as f64;
            let lens = CheckerScene::lens(channel.rgb(), across(x, WIDTH), across(y, HEIGHT));
            lens as f32 * level * seen[usize::from(surface)][channel.rgb()]
        })
    }

    fn neutral(&self, light: &Light) -> Option<[f64; 3]> {
        Some(Spectrum::WHITE.seen_under(light))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_scene() {
        let light = Light::default();
        let of = |seed| Mondrian::new(seed).radiance(&light);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn it_comes_out_well_at_the_nominal_exposure_and_has_contrast() {
        for seed in 0..20 {
            let radiance = Mondrian::new(seed).radiance(&Light::default());
            assert!((10.0 * radiance.mean() - 0.16).abs() < 1e-3);
            let mut values = radiance.data().to_vec();
            values.sort_by(f32::total_cmp);
            let (dark, bright) = (values[values.len() / 20], values[values.len() * 19 / 20]);
            assert!(bright > 4.0 * dark, "{seed}: {dark} to {bright}");
        }
    }
}
