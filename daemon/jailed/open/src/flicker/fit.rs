//! The least squares fit of one frequency.

use std::f64::consts::{PI, TAU};

/// Mains and sensors do not keep their frequencies better than that, in turns a frame. At frame rates
/// that divide the beat, bands creep in whichever direction: all that counts is that they do.
const CREEP: f64 = 0.0025;
/// Where two regressors are nearly one, only their sum tells.
const RIDGE: f64 = 1e-3;

/// A complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phasor {
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

    fn less(self, other: Self) -> Self {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }

    /// The same so many turns on.
    pub fn turned(self, turns: f64) -> Self {
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
}

impl Fit {
    /// Goes on by `seconds`; returns how the beat of depth 1 in the first row changes between two
    /// exposures, in seconds.
    pub fn advance(&mut self, beats: f64, seconds: f64, times: (f64, f64)) -> Phasor {
        let turns = beats * seconds;
        self.step = turns - turns.round();
        let creeps = self.step.abs() < CREEP;
        let before = exposed(beats, times.0, self.phase);
        if !creeps {
            self.phase = (self.phase + self.step).rem_euclid(1.0);
        }
        let now = exposed(beats, times.1, self.phase);
        let ahead = if creeps { CREEP } else { 0.0 };
        now.turned(ahead).less(before)
    }

    /// Leaves so much of what was.
    pub fn fade(&mut self, kept: f64) {
        self.sums = self.sums.map(|sum| sum * kept);
    }

    /// Adds a difference where the beat of depth 1 would make `change`.
    pub fn add(&mut self, change: Phasor, difference: f64, weight: f64) {
        let (p, q) = (change.re, -change.im);
        let products = [p * p, p * q, q * q, p * difference, q * difference];
        for (sum, product) in self.sums.iter_mut().zip(products) {
            *sum += weight * product;
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

    /// How much of the weighted squares it explains.
    pub fn explained(&self) -> f64 {
        let (a, b) = self.solve();
        a * self.sums[3] + b * self.sums[4]
    }

    /// How far bands stand out at an exposure in seconds, in logarithms of luminance.
    pub fn bands(&self, beats: f64, exposure: f64) -> f64 {
        let (a, b) = self.solve();
        a.hypot(b) * sinc(beats * exposure).abs()
    }

    /// Whether bands move from frame to frame.
    pub fn moves(&self) -> bool {
        self.step.abs() > 8.0 * CREEP
    }
}

/// The beat, averaged over an exposure that ended at a phase.
fn exposed(beats: f64, exposure: f64, phase: f64) -> Phasor {
    let turns = beats * exposure;
    Phasor::of(sinc(turns), phase - turns / 2.0)
}

fn sinc(turns: f64) -> f64 {
    if turns.abs() < 1e-9 {
        1.0
    } else {
        (PI * turns).sin() / (PI * turns)
    }
}
