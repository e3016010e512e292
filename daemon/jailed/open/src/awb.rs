//! Automatic white balance.
//!
//! With a calibrated sensor the white point is searched along the CT curve:
//! `J(T) = Σ_z w·min((r_z/r(T) − 1)² + (b_z/b(T) − 1)², δ) − ln prior(T | lux)`, in steps of T/50,
//! a parabola through the best three, then a fine search along and across the curve. Without one
//! it is the grey world's: the middle half of the zones is grey on average.

mod tuning;

use std::ops::RangeInclusive;

use coldshoe_ipa::AlgorithmState;

use crate::ct_curve::{CtCurve, WhitePoint};
use crate::measure::Measured;
use crate::tuning::Fault;

pub use tuning::{AwbTuning, Method, Prior};
use tuning::{LEAST_PRIOR, between};

/// Frames after the start that take a decision as it is: the exposure is not right yet.
const START_FRAMES: u32 = 10;
/// A decision this many degrees away, this many times in a row, is another light.
const OTHER_LIGHT: (f64, u32) = (3.0, 3);
/// Within so many degrees the new light is reached.
const REACHED: f64 = 0.3;
/// A larger share of clipped zones is much.
const MUCH_CLIPPED: f64 = 0.25;
/// R/G and B/G beyond these are no light's and no surface's, but noise.
const RATIOS: RangeInclusive<f64> = 0.01..=100.0;
/// Fewer zones than this say nothing about the light.
const FEWEST_ZONES: usize = 4;
/// A larger part of the misfit that could be, and the curve explains nothing.
const UNEXPLAINED: f64 = 0.98;
/// A coarse step is T/50; a fine one a fifth of it.
const COARSE: f64 = 1.02;
const FINE_STEPS: i32 = 5;
/// Offsets across the curve on each side.
const ACROSS_STEPS: i32 = 5;

/// What the application asks of white balance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhiteRequest {
    /// Whether gains follow the scene.
    pub auto: bool,
    /// What light to expect, with `auto` on.
    pub mode: LightMode,
    /// With `auto` off.
    pub manual: ManualWhite,
}

impl Default for WhiteRequest {
    fn default() -> Self {
        Self {
            auto: true,
            mode: LightMode::Auto,
            manual: ManualWhite::Hold,
        }
    }
}

/// What light to expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LightMode {
    /// Any.
    #[default]
    Auto,
    /// Of bulbs.
    Incandescent,
    /// Of halogen lamps.
    Tungsten,
    /// Of tubes.
    Fluorescent,
    /// Indoors.
    Indoor,
    /// Of the sun.
    Daylight,
    /// Of clouds and shade.
    Cloudy,
}

impl LightMode {
    /// The mode with that number in the module interface; a custom one is any light.
    pub(crate) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 | 7 => Self::Auto,
            1 => Self::Incandescent,
            2 => Self::Tungsten,
            3 => Self::Fluorescent,
            4 => Self::Indoor,
            5 => Self::Daylight,
            6 => Self::Cloudy,
            _ => return None,
        })
    }

    /// Temperatures that the white point is looked for in, K.
    pub fn kelvin(self) -> (f64, f64) {
        match self {
            Self::Auto => (0.0, f64::INFINITY),
            Self::Incandescent => (2500.0, 3000.0),
            Self::Tungsten => (3000.0, 3500.0),
            Self::Fluorescent => (4000.0, 4700.0),
            Self::Indoor => (3000.0, 5000.0),
            Self::Daylight => (5500.0, 6500.0),
            Self::Cloudy => (7000.0, 8500.0),
        }
    }
}

/// What holds with automatic white balance off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ManualWhite {
    /// The gains as they are.
    #[default]
    Hold,
    /// Gains of red and blue; green is 1.
    Gains(f64, f64),
    /// The gains of a temperature, K.
    Temperature(f64),
}

/// White balance of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhiteDecision {
    /// What a neutral surface reads.
    pub white: WhitePoint,
    /// K.
    pub temperature: f64,
    /// How far it is.
    pub state: AlgorithmState,
}

/// How much of a decision is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Decisions are taken as they are.
    Start { frames: u32 },
    /// Decisions are averaged; `far` in a row were of another light.
    Steady { far: u32 },
    /// On the way to another light.
    Chase,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    red: f64,
    blue: f64,
    weight: f64,
}

/// What white balance holds from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AwbState {
    /// What a neutral surface is taken to read.
    pub(crate) white: WhitePoint,
    /// How much of a decision is taken.
    pub(crate) pace: Pace,
}

impl AwbState {
    /// Whether it is one that white balance can come to.
    pub(crate) fn is_sane(&self) -> bool {
        let counted = match self.pace {
            Pace::Start { frames } => frames <= START_FRAMES,
            Pace::Steady { far } => far < OTHER_LIGHT.1,
            Pace::Chase => true,
        };
        counted && RATIOS.contains(&self.white.red) && RATIOS.contains(&self.white.blue)
    }
}

/// Automatic white balance of one camera.
#[derive(Clone, Debug)]
pub struct Awb {
    tuning: AwbTuning,
    curve: CtCurve,
    state: AwbState,
    /// Frames went by that nothing is known of, enough for another light.
    stale: bool,
    samples: Vec<Sample>,
    sorted: Vec<f64>,
}

impl Awb {
    /// White balance at its start, at the default temperature.
    ///
    /// # Errors
    /// [`Fault`] of a curve that is none.
    pub fn new(tuning: &AwbTuning) -> Result<Self, Fault> {
        let curve = CtCurve::new("awb.curve", &tuning.curve)?;
        Ok(Self {
            state: AwbState {
                white: plausible(curve.at(tuning.default_temperature)),
                pace: Pace::Start { frames: 0 },
            },
            stale: false,
            curve,
            tuning: tuning.clone(),
            samples: Vec::with_capacity(256),
            sorted: Vec::with_capacity(256),
        })
    }

    /// What a neutral surface is taken to read.
    pub fn white(&self) -> WhitePoint {
        self.state.white
    }

    /// Starts anew, keeping the white point until something was seen.
    pub fn restart(&mut self) {
        self.state.pace = Pace::Start { frames: 0 };
    }

    /// What it holds.
    pub(crate) fn state(&self) -> AwbState {
        self.state
    }

    /// Goes on from what another one held.
    pub(crate) fn resume(&mut self, state: AwbState) {
        self.state = state;
    }

    /// So many frames went by since that was held. In a few the light may have changed, and the
    /// picture have its colours already.
    pub(crate) fn missed(&mut self, frames: u64) {
        self.stale = frames >= OTHER_LIGHT.1.into();
    }

    /// White balance as it stands, without looking at a frame.
    pub fn prepare(&mut self, request: &WhiteRequest) -> WhiteDecision {
        if !request.auto {
            self.hold(request.manual);
        }
        let state = if request.auto {
            AlgorithmState::Searching
        } else {
            AlgorithmState::Locked
        };
        self.decision(state)
    }

    /// Looks at a frame; `exposed` says whether its exposure is what it should be.
    ///
    /// A frame that is not, with much of it clipped, decides nothing once there is a white point:
    /// what is left are its darkest surfaces, and they have colours of their own.
    pub fn process(
        &mut self,
        frame: &Measured,
        lux: Option<f64>,
        exposed: bool,
        request: &WhiteRequest,
    ) -> WhiteDecision {
        if !request.auto {
            return self.prepare(request);
        }
        let clipped = self.gather(frame);
        let started = !matches!(self.state.pace, Pace::Start { .. });
        if started && !exposed && clipped > MUCH_CLIPPED {
            return self.decision(AlgorithmState::Searching);
        }
        let range = request.mode.kelvin();
        let found = match self.tuning.method {
            Method::GreyWorld => self.grey_world(),
            Method::Search => self.search(lux, range).or_else(|| self.stand_in()),
        };
        let found = found.map(|white| self.expected(white, range));
        let Some(found) = found.filter(|white| white.is_sane()) else {
            return self.decision(AlgorithmState::Searching);
        };
        let before = self.state.white;
        let off = before.angle(found);
        let speed = self.pace(off);
        let white = plausible(WhitePoint {
            red: before.red + speed * (found.red - before.red),
            blue: before.blue + speed * (found.blue - before.blue),
        });
        self.state.white = white;
        let near = white.angle(found) <= 1.0 && self.state.pace != Pace::Chase;
        self.decision(if near {
            AlgorithmState::Converged
        } else {
            AlgorithmState::Searching
        })
    }

    fn hold(&mut self, manual: ManualWhite) {
        let white = match manual {
            ManualWhite::Hold => self.state.white,
            ManualWhite::Gains(red, blue) => WhitePoint {
                red: 1.0 / red,
                blue: 1.0 / blue,
            },
            ManualWhite::Temperature(kelvin) => self.curve.at(kelvin),
        };
        if white.is_sane() {
            self.state = AwbState {
                white: plausible(white),
                pace: Pace::Steady { far: 0 },
            };
        }
    }

    fn decision(&self, state: AlgorithmState) -> WhiteDecision {
        WhiteDecision {
            white: self.state.white,
            temperature: self.curve.temperature(self.state.white),
            state,
        }
    }

    /// How much of a decision that is `off` degrees away this frame takes.
    fn pace(&mut self, off: f64) -> f64 {
        let stale = std::mem::take(&mut self.stale);
        let (pace, speed) = match self.state.pace {
            Pace::Steady { .. } | Pace::Chase if stale && off > OTHER_LIGHT.0 => {
                (Pace::Steady { far: 0 }, 1.0)
            }
            Pace::Start { frames } if frames < START_FRAMES => {
                (Pace::Start { frames: frames + 1 }, 1.0)
            }
            Pace::Steady { far } if off > OTHER_LIGHT.0 && far + 1 >= OTHER_LIGHT.1 => {
                (Pace::Chase, self.tuning.chase_speed)
            }
            Pace::Steady { far } if off > OTHER_LIGHT.0 => {
                (Pace::Steady { far: far + 1 }, self.tuning.speed)
            }
            Pace::Chase if off > REACHED => (Pace::Chase, self.tuning.chase_speed),
            _ => (Pace::Steady { far: 0 }, self.tuning.speed),
        };
        self.state.pace = pace;
        speed
    }

    /// Zones that say something: lit, and not clipped. Returns the share of clipped ones.
    fn gather(&mut self, frame: &Measured) -> f64 {
        let tuning = &self.tuning;
        self.samples.clear();
        let (mut brightest, mut sum, mut clipped) = (0.0_f64, 0.0, 0.0);
        for zone in &frame.zones {
            let [red, green, blue] = zone.rgb;
            let sample = Sample {
                red: red / green,
                blue: blue / green,
                weight: zone.luminance,
            };
            let lit = zone.valid > 0.0 && green >= tuning.min_level && sample.weight.is_normal();
            let real = RATIOS.contains(&sample.red) && RATIOS.contains(&sample.blue);
            if zone.clipped > tuning.max_clipped {
                clipped += 1.0;
            } else if lit && real {
                brightest = brightest.max(sample.weight);
                self.samples.push(sample);
            }
        }
        for sample in &mut self.samples {
            sample.weight = (sample.weight / brightest).powf(tuning.bright_weight);
            sum += sample.weight;
        }
        let mean = sum / self.samples.len() as f64;
        for sample in &mut self.samples {
            sample.weight /= mean;
        }
        clipped / f64::max(frame.zones.len() as f64, 1.0)
    }

    /// The grey world of the zones that a light could have made grey, or of all if they are few.
    /// Instead of the search. An ISP that measures behind its gains may not find back from gains that
    /// no light needs.
    fn stand_in(&mut self) -> Option<WhitePoint> {
        let white = self.grey_world()?;
        self.curve.is_near(white).then_some(white)
    }

    fn grey_world(&mut self) -> Option<WhitePoint> {
        let (curve, band) = (&self.curve, self.tuning.band);
        let likely = |sample: &Sample| {
            let (red, blue) = (sample.red, sample.blue);
            curve.log_distance(WhitePoint { red, blue }) <= band
        };
        if self.samples.iter().filter(|sample| likely(sample)).count() >= FEWEST_ZONES {
            self.samples.retain(likely);
        }
        if self.samples.len() < FEWEST_ZONES {
            return None;
        }
        Some(WhitePoint {
            red: self.middle_half(|sample| sample.red),
            blue: self.middle_half(|sample| sample.blue),
        })
    }

    /// Mean of the middle half of the sorted values.
    fn middle_half(&mut self, value: impl Fn(&Sample) -> f64) -> f64 {
        self.sorted.clear();
        self.sorted.extend(self.samples.iter().map(value));
        self.sorted.sort_unstable_by(f64::total_cmp);
        let quarter = self.sorted.len() / 4;
        let middle = &self.sorted[quarter..self.sorted.len() - quarter];
        middle.iter().sum::<f64>() / middle.len() as f64
    }

    /// A white point of a light that is expected: itself, or the curve's at the nearest temperature.
    fn expected(&self, white: WhitePoint, (low, high): (f64, f64)) -> WhitePoint {
        let kelvin = self.curve.temperature(white);
        // The search's fine steps may lead out a little.
        if (0.97 * low..=1.03 * high).contains(&kelvin) {
            white
        } else {
            self.curve.at(kelvin.max(low).min(high))
        }
    }

    /// None where no light of the curve explains any zone: then the sensor is not the curve's, or
    /// nothing is grey.
    fn search(&self, lux: Option<f64>, range: (f64, f64)) -> Option<WhitePoint> {
        if self.samples.len() < FEWEST_ZONES {
            return None;
        }
        let kelvin = self.coarse(lux, range);
        let white = self.fine(kelvin, lux);
        let all: f64 = self.samples.iter().map(|sample| sample.weight).sum();
        (self.misfit(white) < UNEXPLAINED * all * self.tuning.delta).then_some(white)
    }

    fn coarse(&self, lux: Option<f64>, range: (f64, f64)) -> f64 {
        let (low, high) = self.curve.range();
        let (low, high) = (range.0.clamp(low, high), range.1.clamp(low, high));
        if low >= high {
            return low;
        }
        let steps = ((high / low).ln() / COARSE.ln()).ceil().max(1.0);
        let step = (high / low).powf(1.0 / steps);
        let cost = |i: f64| {
            let kelvin = low * step.powf(i);
            self.cost(self.curve.at(kelvin), kelvin, lux)
        };
        let (mut best, mut at) = (f64::INFINITY, 0.0);
        for i in 0..=steps as u32 {
            let j = cost(i.into());
            if j < best {
                (best, at) = (j, f64::from(i));
            }
        }
        if at > 0.0 && at < steps {
            at += vertex(cost(at - 1.0), best, cost(at + 1.0));
        }
        low * step.powf(at)
    }

    fn fine(&self, kelvin: f64, lux: Option<f64>) -> WhitePoint {
        let mut found = (f64::INFINITY, self.curve.at(kelvin));
        for i in -FINE_STEPS..=FINE_STEPS {
            let kelvin = kelvin * COARSE.powf(f64::from(i) / f64::from(FINE_STEPS));
            let (on, normal) = (self.curve.at(kelvin), self.curve.normal(kelvin));
            for across in -ACROSS_STEPS..=ACROSS_STEPS {
                let offset = self.tuning.transverse * f64::from(across) / f64::from(ACROSS_STEPS);
                let white = WhitePoint {
                    red: on.red + offset * normal.0,
                    blue: on.blue + offset * normal.1,
                };
                let j = self.cost(white, kelvin, lux);
                if white.is_sane() && j < found.0 {
                    found = (j, white);
                }
            }
        }
        found.1
    }

    /// J, smaller is likelier.
    fn cost(&self, white: WhitePoint, kelvin: f64, lux: Option<f64>) -> f64 {
        self.misfit(white) - self.prior(kelvin, lux).max(LEAST_PRIOR).ln()
    }

    fn misfit(&self, white: WhitePoint) -> f64 {
        let (to_red, to_blue) = (1.0 / white.red, 1.0 / white.blue);
        self.samples
            .iter()
            .map(|sample| {
                let (r, b) = (sample.red * to_red - 1.0, sample.blue * to_blue - 1.0);
                sample.weight * (r * r + b * b).min(self.tuning.delta)
            })
            .sum()
    }

    /// Likelihood of a temperature: linear between the light levels of the tuning.
    fn prior(&self, kelvin: f64, lux: Option<f64>) -> f64 {
        let Some(first) = self.tuning.priors.first() else {
            return 1.0;
        };
        let lux = lux.unwrap_or(first.lux);
        let mut before = first;
        for prior in &self.tuning.priors {
            if lux <= prior.lux {
                let (a, b) = (before.at(kelvin), prior.at(kelvin));
                return between((before.lux, a), (prior.lux, b), lux);
            }
            before = prior;
        }
        before.at(kelvin)
    }
}

/// The nearest white point whose ratios a light and a surface can have.
fn plausible(white: WhitePoint) -> WhitePoint {
    let within = |ratio: f64| ratio.clamp(*RATIOS.start(), *RATIOS.end());
    WhitePoint {
        red: within(white.red),
        blue: within(white.blue),
    }
}

/// Where between −1 and 1 the parabola through (−1, a), (0, b), (1, c) is lowest.
fn vertex(a: f64, b: f64, c: f64) -> f64 {
    let bend = a - 2.0 * b + c;
    if bend > 0.0 {
        (0.5 * (a - c) / bend).clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Zone;
    use proptest::prelude::*;

    /// A frame whose zones show these colours (R, G, B) in turn.
    fn frame(colours: &[[f64; 3]]) -> Measured {
        let zone = |i: usize| {
            let rgb = colours[i % colours.len()];
            Zone {
                rgb,
                luminance: (rgb[0] + 2.0 * rgb[1] + rgb[2]) / 4.0,
                valid: 100.0,
                clipped: 0.0,
                ..Zone::default()
            }
        };
        Measured {
            zones: (0..192).map(zone).collect(),
            columns: 16,
            ..Measured::default()
        }
    }

    fn seen(white: WhitePoint, surface: [f64; 3]) -> [f64; 3] {
        [surface[0] * white.red, surface[1], surface[2] * white.blue]
    }

    fn awb(method: Method) -> Awb {
        Awb::new(&AwbTuning {
            method,
            ..AwbTuning::default()
        })
        .unwrap()
    }

    fn look(awb: &mut Awb, frame: &Measured) -> WhiteDecision {
        awb.process(frame, None, true, &WhiteRequest::default())
    }

    /// Greys among saturated surfaces, under a light of the curve.
    fn scene(kelvin: f64) -> (Measured, WhitePoint) {
        let white = awb(Method::Search).curve.at(kelvin);
        let surfaces = [
            [0.3, 0.3, 0.3],
            [0.5, 0.1, 0.05],
            [0.1, 0.3, 0.1],
            [0.6, 0.6, 0.6],
            [0.05, 0.1, 0.4],
        ];
        (frame(&surfaces.map(|surface| seen(white, surface))), white)
    }

    #[test]
    fn the_search_finds_the_light_among_coloured_surfaces() {
        for kelvin in [2300.0, 2856.0, 3700.0, 5000.0, 6500.0, 9000.0, 11_000.0] {
            let (frame, white) = scene(kelvin);
            let found = look(&mut awb(Method::Search), &frame);
            assert!(found.white.angle(white) < 0.3, "{kelvin}: {found:?}");
            assert!((found.temperature / kelvin - 1.0).abs() < 0.03, "{found:?}");
        }
    }

    #[test]
    fn the_search_goes_across_the_curve_as_far_as_the_tuning_lets_it() {
        let curve = awb(Method::Search).curve;
        let (on, normal) = (curve.at(4000.0), curve.normal(4000.0));
        let off = |by: f64| WhitePoint {
            red: on.red + by * normal.0,
            blue: on.blue + by * normal.1,
        };
        let found = |by| look(&mut awb(Method::Search), &frame(&[seen(off(by), [0.4; 3])])).white;
        assert!(found(0.008).angle(off(0.008)) < 0.15);
        let missed = found(-0.05).angle(off(-0.05));
        assert!((0.5..2.5).contains(&missed), "{missed}");
    }

    #[test]
    fn the_grey_world_leaves_out_the_extremes() {
        let grey = [0.4, 0.6, 0.3];
        let mut colours = [grey; 8];
        colours[0] = [0.5, 0.4, 0.3];
        colours[5] = [0.2, 0.5, 0.5];
        let white = look(&mut awb(Method::GreyWorld), &frame(&colours)).white;
        assert!((white.red - 0.4 / 0.6).abs() < 1e-9, "{white:?}");
        assert!((white.blue - 0.5).abs() < 1e-9, "{white:?}");
    }

    #[test]
    fn the_grey_world_leaves_out_what_no_light_makes_of_grey() {
        let white = WhitePoint {
            red: 0.55,
            blue: 0.6,
        };
        let rose = seen(white, [0.6, 0.06, 0.05]);
        let colours = [rose, rose, seen(white, [0.3; 3]), rose];
        let found = look(&mut awb(Method::GreyWorld), &frame(&colours)).white;
        assert!(found.angle(white) < 0.01, "{found:?}");
        let all_rose = look(&mut awb(Method::GreyWorld), &frame(&[rose])).white;
        assert!((all_rose.red - 5.5).abs() < 1e-9, "{all_rose:?}");
    }

    #[test]
    fn clipped_dark_and_empty_zones_are_left_out() {
        let white = WhitePoint {
            red: 0.5,
            blue: 0.6,
        };
        let mut frame = frame(&[seen(white, [0.4; 3])]);
        for (i, zone) in frame.zones.iter_mut().enumerate() {
            match i % 4 {
                0 => (zone.rgb, zone.clipped) = ([1.0; 3], 0.5),
                1 => zone.rgb = [0.004, 0.005, 0.001],
                2 => *zone = Zone::default(),
                _ => {}
            }
        }
        let found = look(&mut awb(Method::GreyWorld), &frame);
        assert!(found.white.angle(white) < 1e-3, "{found:?}");
    }

    #[test]
    fn bright_zones_weigh_more() {
        let curve = awb(Method::Search).curve;
        let (bright, dim) = (curve.at(6500.0), curve.at(3000.0));
        let colours = [seen(bright, [0.8; 3]), seen(dim, [0.2; 3])];
        let found = look(&mut awb(Method::Search), &frame(&colours));
        assert!(found.white.angle(bright) < 0.5, "{found:?}");
    }

    #[test]
    fn the_prior_decides_between_two_lights() {
        let curve = awb(Method::Search).curve;
        let colours = [2800.0, 6500.0].map(|k| {
            let grey = seen(curve.at(k), [1.0; 3]);
            let luminance = (grey[0] + 2.0 + grey[2]) / 4.0;
            grey.map(|value| 0.4 * value / luminance)
        });
        let with = |points: &[[f64; 2]]| {
            let prior = Prior {
                lux: 100.0,
                points: points.to_vec(),
            };
            let mut awb = Awb::new(&AwbTuning {
                method: Method::Search,
                priors: vec![prior],
                ..AwbTuning::default()
            })
            .unwrap();
            look(&mut awb, &frame(&colours)).temperature
        };
        assert!(with(&[[3000.0, 1.0], [6000.0, 0.2]]) < 3000.0);
        assert!(with(&[[3000.0, 0.2], [6000.0, 1.0]]) > 6000.0);
    }

    #[test]
    fn priors_are_linear_in_temperature_and_light_level() {
        let prior = |lux, at_3000, at_6000| Prior {
            lux,
            points: vec![[3000.0, at_3000], [6000.0, at_6000]],
        };
        let awb = Awb::new(&AwbTuning {
            priors: vec![prior(100.0, 1.0, 0.5), prior(300.0, 0.2, 0.7)],
            ..AwbTuning::default()
        })
        .unwrap();
        let at = |kelvin, lux| (awb.prior(kelvin, lux) * 1e6).round() / 1e6;
        assert_eq!(at(4500.0, Some(100.0)), 0.75);
        assert_eq!(at(3000.0, Some(200.0)), 0.6);
        assert_eq!(at(2000.0, Some(1.0)), 1.0);
        assert_eq!(at(9000.0, Some(9e9)), 0.7);
        assert_eq!(at(9000.0, None), 0.5);
    }

    #[test]
    fn the_start_is_immediate_and_small_changes_are_averaged() {
        let mut awb = awb(Method::Search);
        for _ in 0..=START_FRAMES {
            look(&mut awb, &scene(5000.0).0);
        }
        let before = awb.white();
        let aim = look(&mut super::tests::awb(Method::Search), &scene(5300.0).0).white;
        let after = look(&mut awb, &scene(5300.0).0).white;
        let part = (after.red - before.red) / (aim.red - before.red);
        assert!((part - 0.05).abs() < 1e-6, "{part}");
    }

    #[test]
    fn another_light_is_chased_once_it_has_lasted() {
        let mut awb = awb(Method::Search);
        for _ in 0..20 {
            look(&mut awb, &scene(2856.0).0);
        }
        let (frame, white) = scene(6500.0);
        let off: Vec<f64> = (0..15)
            .map(|_| look(&mut awb, &frame).white.angle(white))
            .collect();
        assert!(off[1] > 0.85 * off[0], "{off:?}");
        assert!(off[14] < 0.5, "{off:?}");
    }

    #[test]
    fn after_missed_frames_another_light_is_taken_as_it_is() {
        let (frame, white) = scene(6500.0);
        let off = |missed| {
            let mut awb = awb(Method::Search);
            for _ in 0..20 {
                look(&mut awb, &scene(2856.0).0);
            }
            let state = awb.state();
            awb.resume(state);
            awb.missed(missed);
            look(&mut awb, &frame).white.angle(white)
        };
        assert!(off(30) < 0.3);
        assert!(off(2) > 5.0, "it cannot have been seen to last");
    }

    #[test]
    fn a_burnt_frame_decides_nothing_until_exposure_is_right() {
        let mut awb = awb(Method::Search);
        for _ in 0..=START_FRAMES {
            look(&mut awb, &scene(5000.0).0);
        }
        let before = awb.white();
        let mut burnt = scene(2500.0).0;
        for zone in burnt.zones.iter_mut().step_by(3) {
            zone.clipped = 1.0;
        }
        let mut process = |exposed| awb.process(&burnt, None, exposed, &WhiteRequest::default());
        assert_eq!(process(false).white, before);
        assert_eq!(process(false).state, AlgorithmState::Searching);
        assert_ne!(process(true).white, before);
    }

    #[test]
    fn locked_it_does_not_look() {
        let mut awb = awb(Method::Search);
        let before = look(&mut awb, &scene(3000.0).0).white;
        let request = WhiteRequest {
            auto: false,
            ..WhiteRequest::default()
        };
        let held = awb.process(&scene(8000.0).0, None, true, &request);
        assert_eq!((held.white, held.state), (before, AlgorithmState::Locked));
    }

    #[test]
    fn manual_gains_and_temperatures_are_taken() {
        let mut awb = awb(Method::Search);
        let mut ask = |manual| {
            awb.prepare(&WhiteRequest {
                auto: false,
                manual,
                ..WhiteRequest::default()
            })
        };
        let gains = ask(ManualWhite::Gains(2.0, 1.6)).white.gains();
        assert!((gains[0] - 2.0).abs() < 1e-12 && (gains[2] - 1.6).abs() < 1e-12);
        let decision = ask(ManualWhite::Temperature(4000.0));
        assert!((decision.temperature - 4000.0).abs() < 1e-6);
    }

    #[test]
    fn a_mode_says_where_to_look() {
        for method in [Method::Search, Method::GreyWorld] {
            let find = |mode| {
                let request = WhiteRequest {
                    mode,
                    ..WhiteRequest::default()
                };
                let frame = frame(&[seen(awb(method).curve.at(5000.0), [0.4; 3])]);
                awb(method)
                    .process(&frame, None, true, &request)
                    .temperature
            };
            assert!((find(LightMode::Auto) - 5000.0).abs() < 50.0);
            assert!((find(LightMode::Tungsten) - 3500.0).abs() < 110.0);
            assert!((find(LightMode::Cloudy) - 7000.0).abs() < 220.0);
            assert!((find(LightMode::Indoor) - 5000.0).abs() < 160.0);
        }
    }

    #[test]
    fn where_no_light_explains_anything_the_grey_world_stands_in() {
        let far = WhitePoint {
            red: 0.55,
            blue: 1.9,
        };
        let found = look(&mut awb(Method::Search), &frame(&[seen(far, [0.4; 3])]));
        assert!(found.white.angle(far) < 0.1, "{found:?}");
        // No light at all does this to a sensor.
        let absurd = WhitePoint {
            red: 8.0,
            blue: 0.1,
        };
        let mut awb = awb(Method::Search);
        let white = awb.curve.at(5000.0);
        let before = look(&mut awb, &frame(&[seen(white, [0.4; 3])]));
        let after = look(&mut awb, &frame(&[seen(absurd, [0.4; 3])]));
        assert_eq!(after.white, before.white);
    }

    #[test]
    fn without_zones_it_stays_and_says_so() {
        let mut awb = awb(Method::Search);
        let before = awb.white();
        let decision = look(&mut awb, &Measured::default());
        assert_eq!(decision.white, before);
        assert_eq!(decision.state, AlgorithmState::Searching);
    }

    #[test]
    fn the_vertex_is_the_parabolas_lowest_point() {
        let j = |x: f64| 3.0 * (x - 0.3) * (x - 0.3) + 1.0;
        assert!((vertex(j(-1.0), j(0.0), j(1.0)) - 0.3).abs() < 1e-12);
        assert_eq!(vertex(1.0, 1.0, 1.0), 0.0);
    }

    proptest! {
        #[test]
        fn no_zones_make_a_white_point_that_is_none(
            colours in prop::collection::vec(any::<[f64; 3]>(), 1..20),
            search in any::<bool>(),
        ) {
            let method = if search { Method::Search } else { Method::GreyWorld };
            let mut awb = awb(method);
            let decision = look(&mut awb, &frame(&colours));
            prop_assert!(decision.white.is_sane());
            prop_assert!(decision.temperature.is_finite());
        }
    }
}
