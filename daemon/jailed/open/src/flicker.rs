//! Flicker: light on mains beats 100 or 120 times a second, and a rolling shutter makes bands of it.
//!
//! A row of zones r is read τ(r) after the frame's first row, at t. Of a scene that stands still, the
//! logarithm of the row's luminance over exposure changes with the beat of the light alone,
//!
//! `y(r) = scene(r) + Re[A·H·e^(2πi·f·τ(r))]`, `H = sinc(f·T)·e^(2πi·f·(t − T/2))`,
//!
//! T being the exposure time. The difference to the frame before, or to one longer ago where the frame
//! rate all but divides the beat and bands creep, knows nothing of the scene, so A follows from it by
//! least squares, over the last second or so. A beat is seen where the fit for one
//! frequency explains most of all differences: things that move and sensors that are noisy do not
//! keep time with the mains. Each frame counts alike, so that no single one can pass for a beat. Bands
//! that do not move at all, at a frame rate that divides the beat exactly, are of the scene for all
//! that can be told.
//!
//! With an exposure of whole periods the bands are gone, and so is what would tell that the lamp is
//! still on: what was found stays until another beat is seen, or until an exposure too short for it
//! has shown no beat for long.

mod fit;

use serde::Deserialize;

use crate::measure::Measured;

pub(crate) use fit::Fit;

/// Rows of zones that any supported ISP has, at most.
pub(crate) const ROWS: usize = 15;
/// Where bands creep, a frame is compared with the one so many frames before.
pub(crate) const LAG: usize = 16;
/// Frames that have to tell.
const ENOUGH: f64 = 16.0;
/// Share of all differences that the beat has to explain, and how much more than the other one.
const EXPLAINED: f64 = 0.65;
const AHEAD: f64 = 0.2;
/// Bands below it nobody sees.
const VISIBLE: f64 = 0.005;
/// Frames in a row in which it has to be seen; where bands creep, something that moves slowly can
/// look like them, but not for long.
const SURE: u32 = 4;
const SURE_OF_CREEPING: u32 = 32;
/// Frames without it until it is forgotten, and the share of differences that it may not reach.
const GONE: u32 = 90;
const NOTHING: f64 = 0.3;
/// A row with a larger share of clipped pixels does not tell how bright it is.
const CLIPPED: f64 = 0.3;
/// A pause after which the beat is followed anew, seconds.
const PAUSE: f64 = 1.0;

/// Mains frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mains {
    /// 50 Hz: 100 beats a second.
    Hz50,
    /// 60 Hz: 120 beats a second.
    Hz60,
}

impl Mains {
    pub(crate) const ALL: [Self; 2] = [Self::Hz50, Self::Hz60];

    /// Beats a second.
    #[must_use]
    pub fn beats(self) -> f64 {
        match self {
            Self::Hz50 => 100.0,
            Self::Hz60 => 120.0,
        }
    }

    /// Time of a beat, µs.
    #[must_use]
    pub fn period_us(self) -> f64 {
        1e6 / self.beats()
    }
}

/// What exposure is to do about mains light.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum FlickerMode {
    /// Nothing.
    #[serde(rename = "off")]
    Off,
    /// Whole beats of 50 Hz mains.
    #[serde(rename = "50hz")]
    Hz50,
    /// Whole beats of 60 Hz mains.
    #[serde(rename = "60hz")]
    Hz60,
    /// Whole beats of whichever is seen; nothing while none is.
    #[default]
    #[serde(rename = "auto")]
    Auto,
}

/// What exposure has to know of the light's beat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beat {
    /// Exposure times are multiples of it, µs; 0 for any.
    pub period_us: f64,
    /// How much bands stand out in the frame, in logarithms of luminance.
    pub swing: f64,
}

/// A frame, as far as later ones are compared with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    /// When its first row was read, ns.
    pub(crate) timestamp_ns: u64,
    /// µs.
    pub(crate) exposure_us: f64,
    /// Luminance over exposure of each row; 0 where it does not tell.
    pub(crate) rows: [f32; ROWS],
}

/// What is held from frame to frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FlickerState {
    /// The mains that exposure goes by.
    pub(crate) found: Option<Mains>,
    /// What was seen in the last frames, and in how many.
    pub(crate) seen: (Option<Mains>, u32),
    /// Frames in which what was found should have been seen, and was not.
    pub(crate) missing: u32,
    /// The newest first.
    pub(crate) past: [Option<Seen>; LAG],
    pub(crate) fits: [Fit; 2],
}

/// Finds the beat of one camera's light.
#[derive(Clone, Debug)]
pub struct Flicker {
    mode: FlickerMode,
    /// From the first row of the frame to the last, seconds.
    readout: f64,
    state: FlickerState,
}

impl Flicker {
    /// For a sensor that reads a frame's rows in `readout_us`.
    #[must_use]
    pub fn new(mode: FlickerMode, readout_us: f64) -> Self {
        Self {
            mode,
            readout: readout_us / 1e6,
            state: FlickerState::default(),
        }
    }

    pub(crate) fn state(&self) -> FlickerState {
        self.state
    }

    pub(crate) fn resume(&mut self, state: FlickerState) {
        self.state = state;
    }

    /// Looks at a frame whose first row was read at `timestamp_ns`.
    pub fn process(&mut self, frame: &Measured, timestamp_ns: u64) -> Beat {
        if self.mode == FlickerMode::Off {
            return Beat::default();
        }
        let now = Seen {
            timestamp_ns,
            // Where it is not known, no row tells either.
            exposure_us: frame.applied.exposure_us.clamp(0.0, 1e9).max(0.0),
            rows: rows(frame),
        };
        self.compare(&now, frame.rows().min(ROWS));
        self.decide(now.exposure_us);
        let mains = match self.mode {
            FlickerMode::Off => None,
            FlickerMode::Hz50 => Some(Mains::Hz50),
            FlickerMode::Hz60 => Some(Mains::Hz60),
            FlickerMode::Auto => self.state.found,
        };
        mains.map_or(Beat::default(), |mains| Beat {
            period_us: mains.period_us(),
            swing: self.swing(mains, now.exposure_us),
        })
    }

    /// Takes the differences to frames before into the fits.
    fn compare(&mut self, now: &Seen, count: usize) {
        let state = &mut self.state;
        let last = state.past[0].map_or(u64::MAX, |last| last.timestamp_ns);
        let step = now.timestamp_ns.saturating_sub(last) as f64 / 1e9;
        if step > 0.0 && step < PAUSE {
            for (fit, mains) in state.fits.iter_mut().zip(Mains::ALL) {
                fit.advance(mains.beats(), step);
                let before = state.past[if fit.creeps() { LAG - 1 } else { 0 }];
                if let Some(before) = before {
                    let turns = |us: f64| mains.beats() * us / 1e6;
                    let exposures = (turns(before.exposure_us), turns(now.exposure_us));
                    let readout = mains.beats() * self.readout;
                    fit.add(&changes(&before, now), count, LAG, exposures, readout);
                }
            }
        } else {
            (state.fits, state.past) = Default::default();
        }
        state.past.rotate_right(1);
        state.past[0] = Some(*now);
    }

    fn decide(&mut self, exposure_us: f64) {
        let state = &mut self.state;
        let seen = seen(state, exposure_us);
        let frames = if state.seen.0 == seen {
            state.seen.1.saturating_add(1)
        } else {
            1
        };
        state.seen = (seen, frames);
        if let Some(mains) = seen {
            let creeps = state.fits[mains as usize].creeps();
            if frames >= if creeps { SURE_OF_CREEPING } else { SURE } {
                state.found = seen;
            }
        }
        let absent = state.found.is_some_and(|mains| {
            let fit = &state.fits[mains as usize];
            // In whole periods, or where bands stand still, it could not be seen.
            let could = exposure_us < 0.7 * mains.period_us() && fit.moves();
            could && fit.explained() < NOTHING
        });
        state.missing = if absent && seen.is_none() {
            state.missing.saturating_add(1)
        } else {
            0
        };
        if state.missing >= GONE {
            (state.found, state.missing) = (None, 0);
        }
    }

    fn swing(&self, mains: Mains, exposure_us: f64) -> f64 {
        let fit = &self.state.fits[mains as usize];
        if fit.energy >= ENOUGH && fit.explained() > NOTHING {
            fit.bands(exposure_us / mains.period_us()).min(1.0)
        } else {
            0.0
        }
    }
}

/// The mains whose beat the last frames show.
fn seen(state: &FlickerState, exposure_us: f64) -> Option<Mains> {
    let [a, b] = state.fits.map(|fit| fit.explained());
    let (mains, share, other) = if a >= b {
        (Mains::Hz50, a, b)
    } else {
        (Mains::Hz60, b, a)
    };
    let fit = &state.fits[mains as usize];
    let clear = fit.energy >= ENOUGH && share >= EXPLAINED && share >= other + AHEAD;
    (clear && fit.bands(exposure_us / mains.period_us()) >= VISIBLE).then_some(mains)
}

/// How rows have changed, in logarithms; none where one of the frames does not tell.
fn changes(before: &Seen, now: &Seen) -> [Option<f64>; ROWS] {
    let mut changes = [None; ROWS];
    for (out, (&now, &before)) in changes.iter_mut().zip(now.rows.iter().zip(&before.rows)) {
        let told = now > 0.0 && before > 0.0;
        *out = told.then(|| (f64::from(now) / f64::from(before)).ln());
    }
    changes
}

/// Luminance over exposure of each row of zones; 0 where it does not tell.
fn rows(frame: &Measured) -> [f32; ROWS] {
    let mut rows = [0.0; ROWS];
    let total = frame.applied.total();
    for (out, zones) in rows
        .iter_mut()
        .zip(frame.zones.chunks(frame.columns.max(1)))
    {
        let light: f64 = zones.iter().map(|zone| zone.luminance).sum();
        let clipped: f64 = zones.iter().map(|zone| zone.clipped).sum();
        let level = light / zones.len() as f64 / total;
        let sane = (1e-30..1e30).contains(&level);
        let tells = clipped <= CLIPPED * zones.len() as f64 && sane;
        *out = if tells { level as f32 } else { 0.0 };
    }
    rows
}

#[cfg(test)]
mod tests;
