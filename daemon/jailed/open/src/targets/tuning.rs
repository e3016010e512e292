//! What a camera needs to know of its ISP: the `[rkisp1]` table and the `[noise]` table.

use serde::Deserialize;

use crate::tuning::Fault;

/// Hardware revisions of the Rockchip ISP1 that have another layout of statistics begin here.
const FINER: u32 = 12;
const MOST_STRENGTHS: usize = 16;

/// The `[rkisp1]` table.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Rkisp1Tuning {
    /// Revision of the hardware as its media device says it: 10 is the RK3288, the RK3399 and the
    /// i.MX8MP, 12 the RK3326 and the PX30.
    pub revision: u32,
    /// Denoising before demosaicing; without it that block is not touched.
    pub denoise: Option<Denoise>,
}

/// The `[rkisp1.denoise]` table, in the units of `linux/rkisp1-config.h`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Denoise {
    /// Spatial weights of green, 0..=16.
    pub green: [u8; 6],
    /// Spatial weights of red and blue, 0..=16.
    pub red_blue: [u8; 6],
    /// Noise level by brightness, 0..=1023, spaced evenly.
    pub noise_levels: [u16; 17],
    /// `[gain, strength]` by rising gain; linear in the gain's logarithm.
    pub strength: Vec<[f64; 2]>,
}

impl Default for Rkisp1Tuning {
    fn default() -> Self {
        Self {
            revision: 10,
            denoise: None,
        }
    }
}

impl Rkisp1Tuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("rkisp1.revision", self.revision, 10..=13)?;
        self.denoise.as_ref().map_or(Ok(()), Denoise::check)
    }

    /// Whether statistics are of 9×9 zones and 32 bins instead of 5×5 and 16.
    pub(crate) fn is_finer(&self) -> bool {
        self.revision >= FINER
    }
}

impl Denoise {
    fn check(&self) -> Result<(), Fault> {
        for (name, weights) in [("green", &self.green), ("red_blue", &self.red_blue)] {
            for (i, &weight) in weights.iter().enumerate() {
                Fault::unless_in(format!("rkisp1.denoise.{name}.{i}"), weight, 0..=16)?;
            }
        }
        for (i, &level) in self.noise_levels.iter().enumerate() {
            Fault::unless_in(format!("rkisp1.denoise.noise_levels.{i}"), level, 0..=1023)?;
        }
        let count = self.strength.len();
        if !(1..=MOST_STRENGTHS).contains(&count) {
            return Err(Fault::new(
                "rkisp1.denoise.strength",
                format!("has {count} entries; give 1 to {MOST_STRENGTHS} of [gain, strength]"),
            ));
        }
        let mut before = 0.0;
        for (i, [gain, strength]) in self.strength.iter().enumerate() {
            let key = |j: usize| format!("rkisp1.denoise.strength.{i}.{j}");
            Fault::unless_in(key(0), *gain, 0.01..=10_000.0)?;
            Fault::unless_in(key(1), *strength, 0.0..=255.0)?;
            if *gain <= before {
                return Err(Fault::new(key(0), "does not rise; sort entries by gain"));
            }
            before = *gain;
        }
        Ok(())
    }

    /// Strength at a gain of the sensor; beyond the ends that of the end.
    pub(crate) fn strength(&self, gain: f64) -> u8 {
        let mut before = self.strength.first().copied().unwrap_or_default();
        for &[at, strength] in &self.strength {
            if gain <= at {
                let span = (at / before[0]).ln();
                let part = if span > 0.0 {
                    ((gain / before[0]).ln() / span).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                return (before[1] + (strength - before[1]) * part).round() as u8;
            }
            before = [at, strength];
        }
        before[1].round() as u8
    }
}

/// The `[noise]` table: `σ²(x) = gain·shot·x + gain²·read²`, x and σ in fractions of full light.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NoiseTuning {
    /// Variance of full light at a gain of 1.
    pub shot: f64,
    /// Standard deviation without light at a gain of 1.
    pub read: f64,
}

impl NoiseTuning {
    /// What is taken for a sensor that nobody measured: a full well of 10,000 electrons, of which
    /// the dark takes 5.
    pub const TYPICAL: Self = Self {
        shot: 1e-4,
        read: 5e-4,
    };

    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("noise.shot", self.shot, 1e-9..=0.1)?;
        Fault::unless_in("noise.read", self.read, 0.0..=0.1)
    }

    /// Standard deviation at a light level and a gain.
    pub fn sigma(&self, light: f64, gain: f64) -> f64 {
        (gain * self.shot * light + (gain * self.read).powi(2)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::Tuning;

    fn refusal(text: &str) -> String {
        Tuning::parse(text.as_bytes()).unwrap_err().to_string()
    }

    const DENOISE: &str = "version = 1
[rkisp1]
revision = 12
[rkisp1.denoise]
green = [16, 16, 16, 8, 8, 8]
red_blue = [16, 16, 16, 8, 8, 8]
noise_levels = [1023, 900, 800, 700, 600, 500, 400, 300, 200, 200, 200, 200, 200, 200, 200, 200, 200]
strength = [[1, 10], [4, 50]]
";

    #[test]
    fn strength_is_linear_in_stops_and_constant_beyond() {
        let tuning = Tuning::parse(DENOISE.as_bytes()).unwrap();
        assert!(tuning.rkisp1.is_finer());
        let denoise = tuning.rkisp1.denoise.unwrap();
        let at = |gain| denoise.strength(gain);
        assert_eq!(
            (at(0.5), at(1.0), at(2.0), at(4.0), at(99.0)),
            (10, 10, 30, 50, 50)
        );
        assert_eq!(at(f64::NAN), 50);
    }

    #[test]
    fn what_the_hardware_cannot_have_is_refused_with_its_key() {
        for (from, to, key) in [
            ("revision = 12", "revision = 9", "rkisp1.revision"),
            ("green = [16", "green = [17", "rkisp1.denoise.green.0"),
            ("[1023,", "[1024,", "rkisp1.denoise.noise_levels.0"),
            ("[4, 50]", "[1, 50]", "rkisp1.denoise.strength.1.0"),
            ("[4, 50]", "[4, 256]", "rkisp1.denoise.strength.1.1"),
            ("[[1, 10], [4, 50]]", "[]", "rkisp1.denoise.strength"),
        ] {
            let text = refusal(&DENOISE.replacen(from, to, 1));
            assert!(text.contains(key), "{to}: {text}");
        }
        assert!(
            refusal("version = 1\n[noise]\nshot = 0\nread = 0\n").contains("line 3: noise.shot")
        );
    }

    #[test]
    fn noise_grows_with_light_and_gain() {
        let noise = NoiseTuning {
            shot: 1e-4,
            read: 1e-3,
        };
        assert!((noise.sigma(0.0, 2.0) - 2e-3).abs() < 1e-12);
        assert!((noise.sigma(1.0, 1.0) - 0.01005).abs() < 1e-5);
    }
}
