//! The light on a scene: a black body at some level, steady or beating with the mains.

use std::f64::consts::PI;

/// Second radiation constant, nm·K (CODATA 2018: 0.014387768775 m·K).
const C2: f64 = 1.438_776_877_5e7;

/// Wavelength at which relative spectral power is 1, nm: the CIE's convention.
const REFERENCE_NM: f64 = 560.0;

/// A black body of a temperature, at a level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Light {
    kelvin: f64,
    ev: f64,
    flicker: Option<Flicker>,
}

/// A lamp on mains: its brightness is `1 + depth·cos(2π·hz·t)` times its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flicker {
    /// Beats a second, twice the mains frequency: 100 or 120.
    pub hz: f64,
    /// 0 to 1; a bulb has 0.05 to 0.2, a tube on a coil 0.3 to 0.5, a simple LED lamp up to 1.
    pub depth: f64,
}

impl Flicker {
    /// Mean brightness from `end_us − exposure_us` to `end_us`, relative to the lamp's.
    #[must_use]
    pub fn exposed(&self, end_us: f64, exposure_us: f64) -> f64 {
        let half = PI * self.hz * exposure_us / 1e6;
        let blurred = if half > 0.0 { half.sin() / half } else { 1.0 };
        let middle = 2.0 * PI * self.hz * end_us / 1e6 - half;
        1.0 + self.depth * blurred * middle.cos()
    }
}

impl Light {
    /// Temperatures a light can have, K.
    pub const KELVIN: (f64, f64) = (1500.0, 25_000.0);
    /// Levels a light can have, EV.
    pub const EV: (f64, f64) = (-12.0, 12.0);

    /// A black body of `kelvin`, `ev` stops above the scene's own level. Both are clamped to
    /// [`Light::KELVIN`] and [`Light::EV`]; NaN becomes the default's.
    #[must_use]
    pub fn new(kelvin: f64, ev: f64) -> Self {
        let default = Self::default();
        let clamp = |value: f64, (min, max): (f64, f64), otherwise: f64| {
            if value.is_nan() {
                otherwise
            } else {
                value.clamp(min, max)
            }
        };
        Self {
            kelvin: clamp(kelvin, Self::KELVIN, default.kelvin),
            ev: clamp(ev, Self::EV, default.ev),
            flicker: None,
        }
    }

    /// The same from a lamp that beats `hz` times a second; `depth` is clamped to 0..=1. A beat that
    /// is no number leaves the light steady.
    #[must_use]
    pub fn beating(self, hz: f64, depth: f64) -> Self {
        let sane = hz.is_finite() && depth.is_finite();
        let depth = depth.clamp(0.0, 1.0);
        Self {
            flicker: sane.then_some(Flicker { hz, depth }),
            ..self
        }
    }

    /// How it beats; none if it is steady.
    #[must_use]
    pub const fn flicker(&self) -> Option<Flicker> {
        self.flicker
    }

    /// Temperature, K.
    #[must_use]
    pub const fn kelvin(&self) -> f64 {
        self.kelvin
    }

    /// Level in stops; 0 is the scene's own.
    #[must_use]
    pub const fn ev(&self) -> f64 {
        self.ev
    }

    /// Level as a factor, `2^EV`.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.ev.exp2()
    }

    /// Spectral power at a wavelength, relative to 560 nm, times the level.
    #[must_use]
    pub fn power(&self, nm: f64) -> f64 {
        self.level() * black_body(self.kelvin, nm)
    }
}

impl Default for Light {
    /// 5000 K at the scene's own level.
    fn default() -> Self {
        Self {
            kelvin: 5000.0,
            ev: 0.0,
            flicker: None,
        }
    }
}

/// Spectral power of a black body, Planck's law, 1 at 560 nm.
#[must_use]
pub fn black_body(kelvin: f64, nm: f64) -> f64 {
    let planck = |nm: f64| nm.powi(-5) / (C2 / (nm * kelvin)).exp_m1();
    planck(nm) / planck(REFERENCE_NM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_black_body_has_the_published_shape_of_illuminant_a() {
        // CIE 15 tabulates illuminant A (2856 K) at 100 for 560 nm.
        for (nm, want) in [
            (400.0, 14.71),
            (500.0, 59.86),
            (600.0, 129.04),
            (700.0, 198.26),
        ] {
            let got = 100.0 * black_body(2855.5, nm);
            assert!((got - want).abs() < 0.2, "{nm} nm: {got} against {want}");
        }
    }

    #[test]
    fn a_stop_doubles_the_light() {
        let one = Light::new(5000.0, 1.0).power(480.0);
        assert!((one / Light::new(5000.0, 0.0).power(480.0) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_light_out_of_range_is_clamped_and_nan_is_the_default() {
        assert_eq!(Light::new(f64::NAN, f64::NAN), Light::default());
        assert_eq!(Light::new(0.0, -99.0), Light::new(1500.0, -12.0));
        assert_eq!(Light::new(f64::INFINITY, 99.0), Light::new(25_000.0, 12.0));
    }

    #[test]
    fn whole_beats_are_the_mean_and_half_of_one_is_not() {
        let lamp = Flicker {
            hz: 100.0,
            depth: 0.4,
        };
        for end_us in [0.0, 1_234.0, 7_000.0] {
            assert!((lamp.exposed(end_us, 20_000.0) - 1.0).abs() < 1e-9);
        }
        // The bright half, and no time at all.
        let bright = lamp.exposed(2_500.0, 5_000.0);
        assert!((bright - 1.0 - 0.4 * 2.0 / PI).abs() < 1e-9, "{bright}");
        assert!((lamp.exposed(5_000.0, 0.0) - 0.6).abs() < 1e-9);
    }

    #[test]
    fn a_beat_that_is_no_number_leaves_the_light_steady() {
        let light = Light::default();
        assert_eq!(light.beating(f64::NAN, 0.5), light);
        assert_eq!(light.beating(100.0, f64::NAN), light);
        let deepest = light.beating(100.0, 7.0).flicker();
        assert!(deepest.is_some_and(|flicker| flicker.depth == 1.0));
    }
}
