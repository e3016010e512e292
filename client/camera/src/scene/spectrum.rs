//! Reflectances, and the eyes that see them: a colour sensor and the CIE's standard observer.

use crate::light::Light;

/// Bands from 400 to 700 nm, every 10 nm.
const BANDS: usize = 31;

/// A reflectance, 0 to 1 in each band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spectrum([f64; BANDS]);

fn wavelength(band: usize) -> f64 {
    400.0 + 10.0 * band as f64
}

fn bell(nm: f64, centre: f64, left: f64, right: f64) -> f64 {
    let sigma = if nm < centre { left } else { right };
    (-0.5 * ((nm - centre) / sigma).powi(2)).exp()
}

/// Sensitivity of a sensor's R, G and B pixels: bells about where those of a silicon sensor with
/// dye filters and an infrared cut lie, overlapping as they do.
fn sensor(nm: f64) -> [f64; 3] {
    [
        0.62 * bell(nm, 598.0, 26.0, 38.0) + 0.04 * bell(nm, 440.0, 30.0, 30.0),
        bell(nm, 532.0, 38.0, 40.0),
        0.88 * bell(nm, 462.0, 30.0, 32.0),
    ]
}

/// CIE 1931 colour matching functions x, y, z as sums of bells: Wyman, Sloan and Shirley, "Simple
/// analytic approximations to the CIE XYZ color matching functions", JCGT 2 (2), 2013.
fn observer(nm: f64) -> [f64; 3] {
    [
        1.056 * bell(nm, 599.8, 37.9, 31.0) + 0.362 * bell(nm, 442.0, 16.0, 26.7)
            - 0.065 * bell(nm, 501.1, 20.4, 26.2),
        0.821 * bell(nm, 568.8, 46.9, 40.5) + 0.286 * bell(nm, 530.9, 16.3, 31.1),
        1.217 * bell(nm, 437.0, 11.8, 36.0) + 0.681 * bell(nm, 459.0, 26.0, 13.8),
    ]
}

/// XYZ to linear sRGB, IEC 61966-2-1.
const XYZ_TO_SRGB: [[f64; 3]; 3] = [
    [3.2406, -1.5372, -0.4986],
    [-0.9689, 1.8758, 0.0415],
    [0.0557, -0.2040, 1.0570],
];

impl Spectrum {
    /// Reflects all light.
    pub const WHITE: Self = Self([1.0; BANDS]);

    /// Reflects the same part of all light.
    pub const fn grey(reflectance: f64) -> Self {
        Self([reflectance; BANDS])
    }

    /// A smooth reflectance that has this linear sRGB colour in daylight: a mixture of a bluish, a
    /// greenish and a reddish one that add up to white, so grey comes out flat. Colours beyond what
    /// the mixture can do come out at its edge.
    pub fn from_linear_srgb(rgb: [f64; 3]) -> Self {
        let basis = basis();
        let seen = basis.map(|spectrum| spectrum.linear_srgb());
        let rows = [0, 1, 2].map(|channel| seen.map(|rgb| rgb[channel]));
        let parts = solve(rows, rgb).map(|part| part.clamp(0.01, 1.0));
        let mut bands = [0.0; BANDS];
        for (band, out) in bands.iter_mut().enumerate() {
            *out = (0..3).map(|i| parts[i] * basis[i].0[band]).sum();
        }
        Self(bands)
    }

    /// Linear sRGB in daylight (a black body of 6504 K stands for D65); white is (1, 1, 1).
    pub fn linear_srgb(&self) -> [f64; 3] {
        let daylight = Light::new(6504.0, 0.0);
        let srgb = |spectrum: &Self| {
            let xyz = spectrum.collect(&daylight, observer);
            XYZ_TO_SRGB.map(|row| row.iter().zip(xyz).map(|(m, v)| m * v).sum::<f64>())
        };
        let (colour, white) = (srgb(self), srgb(&Self::WHITE));
        [0, 1, 2].map(|i| colour[i] / white[i])
    }

    /// What the sensor's R, G and B pixels collect.
    pub fn seen_under(&self, light: &Light) -> [f64; 3] {
        self.collect(light, sensor)
    }

    fn collect(&self, light: &Light, eye: fn(f64) -> [f64; 3]) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for (band, reflectance) in self.0.iter().enumerate() {
            let nm = wavelength(band);
            let power = reflectance * light.power(nm);
            for (sum, sensitivity) in sums.iter_mut().zip(eye(nm)) {
                *sum += power * sensitivity;
            }
        }
        sums
    }
}

/// Bluish, greenish and reddish: smooth steps at 490 and 590 nm that add up to 1.
fn basis() -> [Spectrum; 3] {
    let step = |nm: f64, at: f64| 1.0 / (1.0 + (-(nm - at) / 14.0).exp());
    let part = |f: &dyn Fn(f64) -> f64| Spectrum(std::array::from_fn(|band| f(wavelength(band))));
    [
        part(&|nm| 1.0 - step(nm, 490.0)),
        part(&|nm| step(nm, 490.0) - step(nm, 590.0)),
        part(&|nm| step(nm, 590.0)),
    ]
}

/// Solves three equations by Cramer's rule.
pub fn solve(rows: [[f64; 3]; 3], values: [f64; 3]) -> [f64; 3] {
    let determinant = |m: [[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = determinant(rows);
    [0, 1, 2].map(|column| {
        let mut replaced = rows;
        for (row, value) in replaced.iter_mut().zip(values) {
            row[column] = value;
        }
        determinant(replaced) / whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_within_reach_comes_back() {
        for rgb in [[0.5, 0.5, 0.5], [0.4, 0.2, 0.1], [0.1, 0.2, 0.35]] {
            let got = Spectrum::from_linear_srgb(rgb).linear_srgb();
            for (got, want) in got.iter().zip(rgb) {
                assert!((got - want).abs() < 1e-6, "{got} against {want}");
            }
        }
    }

    #[test]
    fn grey_is_flat() {
        let Spectrum(bands) = Spectrum::from_linear_srgb([0.3; 3]);
        assert!(bands.iter().all(|band| (band - 0.3).abs() < 1e-9));
    }

    #[test]
    fn warm_light_is_redder_to_the_sensor() {
        let ratio = |kelvin| {
            let [r, g, b] = Spectrum::WHITE.seen_under(&Light::new(kelvin, 0.0));
            (r / g, b / g)
        };
        let (warm, cold) = (ratio(2856.0), ratio(9000.0));
        assert!(warm.0 > 1.5 * cold.0 && cold.1 > 1.5 * warm.1);
    }

    #[test]
    fn three_equations_are_solved() {
        let rows = [[2.0, 1.0, 0.0], [0.0, 1.0, -1.0], [1.0, 0.0, 3.0]];
        let got = solve(rows, [4.0, -1.0, 10.0]);
        for (got, want) in got.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - want).abs() < 1e-12);
        }
    }
}
