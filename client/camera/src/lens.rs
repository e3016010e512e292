//! A lens whose focus an actuator moves.

use crate::delayed::Register;

/// What a lens is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LensConfig {
    /// Farthest and nearest focus, dioptres.
    pub range: (f64, f64),
    /// The most that it moves from one frame to the next, dioptres.
    pub speed: f64,
    /// Frames until it starts to move.
    pub delay: u64,
    /// Where it is at first, dioptres.
    pub first: f64,
}

impl Default for LensConfig {
    /// As a voice coil of a phone: from infinity to 10 cm, at once across a fifth of that.
    fn default() -> Self {
        Self {
            range: (0.0, 10.0),
            speed: 2.0,
            delay: 1,
            first: 0.0,
        }
    }
}

/// The lens.
#[derive(Clone, Debug)]
pub(crate) struct Lens {
    config: LensConfig,
    target: Register<f64>,
    position: f64,
}

impl Lens {
    pub(crate) fn new(config: LensConfig) -> Self {
        Self {
            target: Register::new(config.first, config.delay),
            position: config.first,
            config,
        }
    }

    pub(crate) fn range(&self) -> (f64, f64) {
        self.config.range
    }

    /// Asks for a focus before frame `next`; NaN asks for nothing.
    pub(crate) fn ask(&mut self, next: u64, dioptres: f64) {
        let (far, near) = self.config.range;
        if !dioptres.is_nan() {
            self.target.queue(next, dioptres.max(far).min(near));
        }
    }

    /// Where it is for a frame. Frames are asked for in order.
    pub(crate) fn at(&mut self, frame: u64) -> f64 {
        let (target, speed) = (self.target.at(frame), self.config.speed);
        self.position += (target - self.position).max(-speed).min(speed);
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_late_moves_at_its_speed_and_stays_in_range() {
        let mut lens = Lens::new(LensConfig::default());
        lens.ask(0, 5.0);
        let seen: Vec<_> = (0..6).map(|frame| lens.at(frame)).collect();
        assert_eq!(seen, [0.0, 2.0, 4.0, 5.0, 5.0, 5.0]);
        lens.ask(6, 99.0);
        lens.ask(6, f64::NAN);
        assert_eq!((6..12).map(|frame| lens.at(frame)).last(), Some(10.0));
    }
}
