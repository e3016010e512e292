//! The least squares fit of one frequency.

use std::f64::consts::{PI, TAU};

use super::ROWS;

/// Mains and sensors do not keep their frequencies better than that, in turns a frame. At frame rates
/// that divide the beat, bands creep in whichever direction: all that counts is that they do.
const CREEP: f64 = 0.0025;
/// Where two regressors are nearly one, only their sum tells.
const RIDGE: f64 = 1e-3;
/// Share of the past that a frame leaves.
const KEPT: f64 = 1.0 - 1.0 / 32.0;
/// Differences below this, in logarithms, count for less.
const FLOOR: f64 = 1e-4;
/// With so many bands in a frame, what all rows have in common is not of the beat.
const MANY: f64 = 1.5;

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Phasor {
    re: f64,
    im: f64,
}

impl Phasor {
    /// Of a length and so many turns.
    fn of(length: f64, turns: f64) -> Self {
        let (im, re) = (TAU * turns).sin_cos();
        Self {
            re: length * re,
            im: length * im,
        }
    }

    /// `self + factor·other`.
    fn plus(self, factor: f64, other: Self) -> Self {
        Self {
            re: self.re + factor * other.re,
            im: self.im + factor * other.im,
        }
    }

    /// The same so many turns on.
    fn turned(self, turns: f64) -> Self {
        let by = Self::of(1.0, turns);
        Self {
            re: self.re * by.re - self.im * by.im,
            im: self.re * by.im + self.im * by.re,
        }
    }
}

/// Sums of the normal equations of `d = a·Re K − b·Im K`, and the beat's phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// Turns since the fit began, 0..1.
    pub phase: f64,
    /// Turns from the last frame but one to the last, -½..½.
    pub step: f64,
    /// Sums over pp, pq, qq, pd, qd.
    pub sums: [f64; 5],
    /// Sum over dd, each frame's scaled to 1 at most.
    pub energy: f64,
}

impl Fit {
    /// Goes on to a frame `seconds` later.
    pub fn advance(&mut self, beats: f64, seconds: f64) {
        let turns = beats * seconds;
        self.step = turns - turns.round();
        if !self.creeps() {
            self.phase = (self.phase + self.step).rem_euclid(1.0);
        }
        self.sums = self.sums.map(|sum| sum * KEPT);
        self.energy *= KEPT;
    }

    /// Whether the frame rate divides the beat, all but.
    pub fn creeps(&self) -> bool {
        self.step.abs() < CREEP
    }

    /// Whether bands clearly move from frame to frame.
    pub fn moves(&self) -> bool {
        self.step.abs() > 8.0 * CREEP
    }

    /// Takes in how rows have changed, in logarithms of luminance over exposure, since the frame
    /// before, or since one `lag` frames before where bands creep; none where a row does not tell.
    /// `exposures` are of then and now, in turns of the beat; so is `readout` of all `count` rows.
    pub fn add(
        &mut self,
        rows: &[Option<f64>; ROWS],
        count: usize,
        lag: usize,
        exposures: (f64, f64),
        readout: f64,
    ) {
        let many = readout >= MANY;
        let told = rows.iter().flatten().count();
        // A scene that gets brighter looks the same as few bands that creep.
        if 2 * told <= count || (self.creeps() && !many) {
            return;
        }
        let (then, ahead) = if self.creeps() {
            (self.phase, lag as f64 * CREEP)
        } else {
            (self.phase - self.step, 0.0)
        };
        let now = exposed(exposures.1, self.phase).turned(ahead);
        let change = now.plus(-1.0, exposed(exposures.0, then));
        let at = |row: usize| change.turned(readout * (row as f64 + 0.5) / count as f64);
        let told = told as f64;
        let (mut mean, mut model) = (0.0, Phasor::default());
        for (row, difference) in rows.iter().enumerate() {
            if let (Some(difference), true) = (difference, many) {
                mean += difference / told;
                model = model.plus(1.0 / told, at(row));
            }
        }
        let differences = || rows.iter().flatten().map(|d| d - mean);
        let square = differences().map(|d| d * d).sum::<f64>() / told;
        let weight = 1.0 / (told * square.max(FLOOR * FLOOR));
        if !(weight * square).is_finite() {
            return;
        }
        self.energy += weight * told * square;
        for (row, difference) in rows.iter().enumerate() {
            let Some(difference) = difference else {
                continue;
            };
            let Phasor { re: p, im } = at(row).plus(-1.0, model);
            let (q, d) = (-im, difference - mean);
            for (sum, product) in self
                .sums
                .iter_mut()
                .zip([p * p, p * q, q * q, p * d, q * d])
            {
                *sum += weight * product;
            }
        }
    }

    fn solve(&self) -> (f64, f64) {
        let [pp, pq, qq, pd, qd] = self.sums;
        let ridge = RIDGE * (pp + qq);
        let (pp, qq) = (pp + ridge, qq + ridge);
        let det = pp * qq - pq * pq;
        if det > 0.0 {
            ((pd * qq - qd * pq) / det, (qd * pp - pd * pq) / det)
        } else {
            (0.0, 0.0)
        }
    }

    /// Share of all differences that it explains, 0..=1.
    pub fn explained(&self) -> f64 {
        let (a, b) = self.solve();
        let share = (a * self.sums[3] + b * self.sums[4]) / self.energy;
        if share.is_finite() { share } else { 0.0 }
    }

    /// How far bands stand out at an exposure in turns, in logarithms of luminance.
    pub fn bands(&self, exposure: f64) -> f64 {
        let (a, b) = self.solve();
        a.hypot(b) * sinc(exposure).abs()
    }
}

/// The beat, averaged over an exposure that ended at a phase.
fn exposed(exposure: f64, phase: f64) -> Phasor {
    Phasor::of(sinc(exposure), phase - exposure / 2.0)
}

fn sinc(turns: f64) -> f64 {
    if turns.abs() < 1e-9 {
        1.0
    } else {
        (PI * turns).sin() / (PI * turns)
    }
}
