//! Controls that take effect some frames after they were written.

use std::collections::VecDeque;

/// A register of the sensor: what was written lands `delay` frames later.
#[derive(Clone, Debug)]
pub struct Register<T> {
    current: T,
    delay: u64,
    /// (first frame it applies to, value), oldest first.
    pending: VecDeque<(u64, T)>,
}

impl<T: Copy> Register<T> {
    pub fn new(value: T, delay: u64) -> Self {
        Self {
            current: value,
            delay,
            pending: VecDeque::new(),
        }
    }

    /// Writes a value before frame `next` is captured. A second write before the same frame
    /// replaces the first.
    pub fn queue(&mut self, next: u64, value: T) {
        let frame = next + self.delay;
        match self.pending.back_mut() {
            Some(last) if last.0 == frame => last.1 = value,
            _ => self.pending.push_back((frame, value)),
        }
    }

    /// The value in force for `frame`. Frames are asked for in order.
    pub fn at(&mut self, frame: u64) -> T {
        while let Some((_, value)) = self.pending.pop_front_if(|(at, _)| *at <= frame) {
            self.current = value;
        }
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lands_after_its_delay_and_not_before() {
        for delay in 0..=4 {
            let mut register = Register::new(1, delay);
            register.queue(0, 2);
            let seen: Vec<_> = (0..6).map(|frame| register.at(frame)).collect();
            let want: Vec<_> = (0..6).map(|f| if f < delay { 1 } else { 2 }).collect();
            assert_eq!(seen, want, "delay {delay}");
        }
    }

    #[test]
    fn the_last_of_two_writes_before_a_frame_counts() {
        let mut register = Register::new(1, 1);
        register.queue(0, 2);
        register.queue(0, 3);
        assert_eq!([register.at(0), register.at(1), register.at(2)], [1, 3, 3]);
    }

    #[test]
    fn writes_before_each_frame_land_one_after_the_other() {
        let mut register = Register::new(0, 2);
        let seen: Vec<_> = (0..5)
            .map(|frame| {
                register.queue(frame, frame + 10);
                register.at(frame)
            })
            .collect();
        assert_eq!(seen, [0, 0, 10, 11, 12]);
    }
}
