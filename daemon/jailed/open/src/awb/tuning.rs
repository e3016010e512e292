//! The `[awb]` table of a tuning file.

use serde::Deserialize;

use crate::ct_curve::CtCurve;
use crate::tuning::Fault;

/// The lowest prior that counts; below it a temperature is not ruled out by the prior alone.
pub(super) const LEAST_PRIOR: f64 = 1e-6;

/// How the white point is found.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Mean of the middle half of the zones.
    #[default]
    GreyWorld,
    /// Search along the CT curve.
    Search,
}

/// How likely a temperature is at a light level.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// Light level.
    pub lux: f64,
    /// Points (T in K, relative likelihood), linear in between.
    pub points: Vec<[f64; 2]>,
}

/// The `[awb]` table.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct AwbTuning {
    /// How the white point is found.
    pub method: Method,
    /// Points of the CT curve: T in K, R/G, B/G of a neutral surface.
    pub curve: Vec<[f64; 3]>,
    /// Temperature before anything was seen, K.
    pub default_temperature: f64,
    /// The most that one zone can count, δ.
    pub delta: f64,
    /// Exponent of a zone's luminance in its weight; 0 weighs all alike.
    pub bright_weight: f64,
    /// How far the fine search goes across the curve.
    pub transverse: f64,
    /// The grey world leaves out zones farther than this from the curve, in logarithms of R/G and
    /// B/G: no light makes grey look like that. Sensors differ, so it is a wide band.
    pub band: f64,
    /// Zones with a larger share of clipped pixels are left out.
    pub max_clipped: f64,
    /// Zones with less green are left out, full light being 1.
    pub min_level: f64,
    /// Share of the way to a decision that one frame goes.
    pub speed: f64,
    /// The same after the light has changed.
    pub chase_speed: f64,
    /// How likely temperatures are, by rising light level; empty: all alike.
    pub priors: Vec<Prior>,
}

impl Default for AwbTuning {
    fn default() -> Self {
        Self {
            method: Method::default(),
            curve: GENERIC_CURVE.to_vec(),
            default_temperature: 5000.0,
            delta: 0.02,
            bright_weight: 1.0,
            transverse: 0.01,
            band: 0.6,
            max_clipped: 0.02,
            min_level: 0.01,
            speed: 0.05,
            chase_speed: 0.35,
            priors: Vec::new(),
        }
    }
}

/// A textbook sensor under black bodies: gaussian sensitivities at 600, 540 and 460 nm (σ 40, 45,
/// 35 nm), scaled to R/G 0.52 and B/G 0.62 at 5500 K. Good for a rough temperature.
const GENERIC_CURVE: [[f64; 3]; 17] = [
    [2000.0, 1.0982, 0.1549],
    [2300.0, 0.9555, 0.2053],
    [2500.0, 0.8846, 0.2388],
    [2856.0, 0.7892, 0.2968],
    [3200.0, 0.7220, 0.3500],
    [3600.0, 0.6635, 0.4075],
    [4000.0, 0.6192, 0.4604],
    [4500.0, 0.5771, 0.5200],
    [5000.0, 0.5451, 0.5729],
    [5500.0, 0.5200, 0.6200],
    [6000.0, 0.4999, 0.6618],
    [6500.0, 0.4835, 0.6991],
    [7000.0, 0.4700, 0.7324],
    [8000.0, 0.4489, 0.7889],
    [9000.0, 0.4333, 0.8347],
    [10000.0, 0.4215, 0.8723],
    [12000.0, 0.4047, 0.9299],
];

impl AwbTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        CtCurve::new("awb.curve", &self.curve)?;
        let kelvin = 1000.0..=25_000.0;
        Fault::unless_in("awb.default_temperature", self.default_temperature, kelvin)?;
        Fault::unless_in("awb.delta", self.delta, 1e-4..=10.0)?;
        Fault::unless_in("awb.bright_weight", self.bright_weight, 0.0..=8.0)?;
        Fault::unless_in("awb.transverse", self.transverse, 0.0..=0.2)?;
        Fault::unless_in("awb.band", self.band, 0.01..=100.0)?;
        Fault::unless_in("awb.max_clipped", self.max_clipped, 0.0..=1.0)?;
        Fault::unless_in("awb.min_level", self.min_level, 1e-4..=1.0)?;
        Fault::unless_in("awb.speed", self.speed, 0.001..=1.0)?;
        Fault::unless_in("awb.chase_speed", self.chase_speed, 0.001..=1.0)?;
        if self.priors.len() > 16 {
            return Err(Fault::new(
                "awb.priors",
                "has too many entries; keep at most 16",
            ));
        }
        let mut lux = 0.0;
        for (i, prior) in self.priors.iter().enumerate() {
            let key = format!("awb.priors.{i}");
            Fault::unless_in(format!("{key}.lux"), prior.lux, lux..=1e7)?;
            lux = prior.lux;
            if !(1..=32).contains(&prior.points.len()) {
                return Err(Fault::new(format!("{key}.points"), "needs 1 to 32 points"));
            }
            let mut before = 1000.0;
            for (j, &[kelvin, likelihood]) in prior.points.iter().enumerate() {
                let key = format!("{key}.points.{j}");
                Fault::unless_in(format!("{key}.0"), kelvin, before..=25_000.0)?;
                Fault::unless_in(format!("{key}.1"), likelihood, LEAST_PRIOR..=1e6)?;
                before = kelvin;
            }
        }
        Ok(())
    }
}

impl Prior {
    pub(super) fn at(&self, kelvin: f64) -> f64 {
        let Some(first) = self.points.first() else {
            return 1.0;
        };
        let mut before = *first;
        for &point in &self.points {
            if kelvin <= point[0] {
                return between((before[0], before[1]), (point[0], point[1]), kelvin);
            }
            before = point;
        }
        before[1]
    }
}

/// Linear in between, constant beyond.
pub(super) fn between(a: (f64, f64), b: (f64, f64), x: f64) -> f64 {
    if b.0 <= a.0 {
        return b.1;
    }
    a.1 + (b.1 - a.1) * ((x - a.0) / (b.0 - a.0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuning_out_of_range_is_refused_by_key() {
        let refused = |change: fn(&mut AwbTuning)| {
            let mut tuning = AwbTuning::default();
            change(&mut tuning);
            tuning.check().unwrap_err().to_string()
        };
        assert!(refused(|t| t.delta = 0.0).contains("awb.delta"));
        assert!(refused(|t| t.curve.swap(2, 3)).contains("awb.curve.3"));
        let prior = |lux, points| Prior { lux, points };
        let mut tuning = AwbTuning {
            priors: vec![prior(10.0, vec![[3000.0, 1.0]]), prior(5.0, vec![])],
            ..AwbTuning::default()
        };
        assert!(
            tuning
                .check()
                .unwrap_err()
                .to_string()
                .contains("awb.priors.1.lux")
        );
        tuning.priors[1].lux = 20.0;
        assert!(
            tuning
                .check()
                .unwrap_err()
                .to_string()
                .contains("awb.priors.1.points")
        );
        tuning.priors[1].points = vec![[3000.0, f64::NAN]];
        assert!(
            tuning
                .check()
                .unwrap_err()
                .to_string()
                .contains("awb.priors.1.points.0.1")
        );
    }
}
