//! Shot and read noise.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use super::SensorConfig;

/// Above this many electrons Poisson is taken for normal.
const NORMAL_ABOVE: f32 = 50.0;

/// Shot and read noise of one frame.
pub struct Noise {
    rng: Xoshiro256PlusPlus,
    shot: bool,
    read: f32,
}

impl Noise {
    /// A frame's noise depends on the seed and its number alone, not on the frames before it.
    pub fn new(config: &SensorConfig, sequence: u64) -> Self {
        let seed = config.seed ^ sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            shot: config.shot_noise,
            read: config.read_noise as f32,
        }
    }

    /// Electrons read where `mean` are expected.
    pub fn collect(&mut self, mean: f32) -> f32 {
        if self.shot && mean > NORMAL_ABOVE {
            let sigma = (mean + self.read * self.read).sqrt();
            return mean + sigma * self.normal();
        }
        let collected = if self.shot { self.poisson(mean) } else { mean };
        if self.read > 0.0 {
            collected + self.read * self.normal()
        } else {
            collected
        }
    }

    fn normal(&mut self) -> f32 {
        self.rng.sample(StandardNormal)
    }

    /// Inverts the distribution function: one random number, `mean` steps or so.
    fn poisson(&mut self, mean: f32) -> f32 {
        let target: f64 = self.rng.random();
        let mean = f64::from(mean);
        let mut probability = (-mean).exp();
        let mut below = probability;
        let mut count = 0.0;
        // 50 expected: beyond 200 nothing is left that a double can tell from 1.
        while below < target && count < 200.0 {
            count += 1.0;
            probability *= mean / count;
            below += probability;
        }
        count as f32
    }
}
