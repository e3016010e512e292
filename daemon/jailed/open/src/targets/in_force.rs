//! What an ISP did to the light before it measured it.
//!
//! Hardware measures colour behind its white balance gains, some behind its colour matrix, too. To
//! know what the sensor saw, one has to know which of them were in force for a frame, and nobody
//! tells: parameters take as many frames as the pipeline is deep. So the last ones are kept. Where
//! all of them are alike it does not matter which it was; where they are not, the frame says nothing
//! about colour. It is the same guard that keeps a loop with an unknown delay from swinging.

use std::array;

use crate::ccm::{IDENTITY, Matrix};

/// Frames that parameters may take until their effect is measured.
const DEEPEST: usize = 6;
/// Gains and coefficients that differ by less are alike.
const ALIKE: f64 = 0.005;

/// Gains of R, G and B, then a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colours {
    pub gains: [f64; 3],
    pub matrix: Matrix,
}

impl Colours {
    /// Gains without a matrix behind them.
    pub fn of_gains(gains: [f64; 3]) -> Self {
        Self {
            gains,
            matrix: IDENTITY,
        }
    }

    /// What the sensor saw where this came out. Colours that no light has are cut to black.
    pub fn undo(&self, out: [f64; 3]) -> [f64; 3] {
        let [a, b, c] = solve(&self.matrix, out).unwrap_or(out);
        let [red, green, blue] = self.gains.map(|gain| gain.max(0.01));
        [a / red, b / green, c / blue].map(|value| value.max(0.0))
    }

    fn is_like(&self, other: &Self) -> bool {
        let gains = self.gains.iter().zip(&other.gains);
        let matrix = self
            .matrix
            .iter()
            .flatten()
            .zip(other.matrix.iter().flatten());
        gains
            .chain(matrix)
            .all(|(a, b)| (a - b).abs() <= ALIKE * b.abs().max(1.0))
    }
}

/// Cramer's rule; `None` for a matrix that cannot be undone.
fn solve(m: &Matrix, out: [f64; 3]) -> Option<[f64; 3]> {
    let det = |m: &Matrix| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = det(m);
    (whole.abs() > 1e-3).then(|| {
        array::from_fn(|column| {
            let mut with = *m;
            for (row, value) in with.iter_mut().zip(out) {
                row[column] = value;
            }
            det(&with) / whole
        })
    })
}

/// The colours of the last answers.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// The newest first.
    sent: [Option<Colours>; DEEPEST],
}

impl InForce {
    /// These go out now.
    pub fn send(&mut self, colours: Colours) {
        self.sent.rotate_right(1);
        self.sent[0] = Some(colours);
    }

    /// What was sent last, for what a small error does no harm to.
    pub fn newest(&self) -> Colours {
        self.sent[0].unwrap_or(Colours::of_gains([1.0; 3]))
    }

    /// What is in force, if only one thing can be.
    pub fn settled(&self) -> Option<Colours> {
        let newest = self.sent[0]?;
        let all = |sent: &Option<Colours>| sent.is_some_and(|sent| sent.is_like(&newest));
        self.sent.iter().all(all).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_settled_until_all_that_may_be_in_force_is_alike() {
        let mut sent = InForce::default();
        let warm = Colours::of_gains([1.0, 1.2, 2.0]);
        for _ in 0..DEEPEST {
            assert_eq!(sent.settled(), None);
            sent.send(warm);
        }
        assert_eq!(sent.settled(), Some(warm));
        let nearly = Colours::of_gains([1.0, 1.2, 2.003]);
        sent.send(nearly);
        assert_eq!(sent.settled(), Some(nearly));
        sent.send(Colours::of_gains([1.1, 1.2, 2.0]));
        assert_eq!(sent.settled(), None);
    }

    #[test]
    fn what_the_isp_did_is_undone() {
        let colours = Colours {
            gains: [2.0, 1.0, 1.5],
            matrix: [[1.8, -0.6, -0.2], [-0.3, 1.5, -0.2], [0.0, -0.7, 1.7]],
        };
        let seen = [0.2, 0.4, 0.3];
        let balanced: [f64; 3] = array::from_fn(|i| seen[i] * colours.gains[i]);
        let out = colours
            .matrix
            .map(|row| row.iter().zip(balanced).map(|(m, v)| m * v).sum());
        for (got, want) in colours.undo(out).iter().zip(seen) {
            assert!((got - want).abs() < 1e-12);
        }
    }

    #[test]
    fn a_matrix_that_cannot_be_undone_is_left_out() {
        let grey = Colours {
            gains: [2.0, 1.0, 1.0],
            matrix: [[0.2, 0.7, 0.1]; 3],
        };
        assert_eq!(grey.undo([0.4, 0.4, 0.4]), [0.2, 0.4, 0.4]);
    }
}
