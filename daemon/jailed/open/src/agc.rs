//! Automatic exposure and gain control.
//!
//! The gain g that would bring the image to its target is solved for with saturation in mind,
//! `Y(g) = Σ w·min(z·g, 1) / Σ w`, then held within the histogram constraints. The wanted total
//! exposure `E* = t·ag·dg·g` uses the exposure of the statistics' own frame: frames still in
//! flight ask for the same E* again, so delays cannot make the loop overshoot.

mod cells;
mod tuning;

use coldshoe_ipa::AlgorithmState;

use crate::exposure::{Exposure, Limits};
use crate::flicker::Beat;
use crate::measure::{Measured, Zone};

use cells::Cells;
use tuning::BRIGHTEST_TARGET;
pub use tuning::{AgcTuning, ConstraintMode, Metering};

/// Within this factor of the wanted exposure the filter is faster.
const NEAR: f64 = 0.3;
/// With a larger share of clipped pixels a frame is burnt.
const BURNT: f64 = 0.005;
/// So much another exposure, in logarithms, tells how the brightest cells answer to it.
const MOVED: f64 = 0.03;
/// They do not answer less than that.
const LEAST_SLOPE: f64 = 0.1;
/// Frames that the beat of the light is averaged over, and how much of it is left then.
const CALM: f64 = 8.0;
const LEFT: f64 = 0.1;
/// Within this factor the exposure counts as converged.
const CONVERGED: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Lower,
    Upper,
}

/// `gc = target / IQM(low, high)` bounds the gain.
#[derive(Clone, Copy, Debug)]
struct Constraint {
    bound: Bound,
    low: f64,
    high: f64,
    target: f64,
}

const fn constraint(bound: Bound, low: f64, high: f64, target: f64) -> Constraint {
    Constraint {
        bound,
        low,
        high,
        target,
    }
}

impl ConstraintMode {
    /// Lower bounds come first: an upper one has the last word.
    fn constraints(self) -> &'static [Constraint] {
        const NORMAL: Constraint = constraint(Bound::Lower, 0.98, 1.0, 0.5);
        const UPPER: Constraint = constraint(Bound::Upper, 0.98, 1.0, 0.8);
        const SHADOWS: Constraint = constraint(Bound::Lower, 0.0, 0.5, 0.17);
        match self {
            Self::None => &[],
            Self::Normal => &[NORMAL],
            Self::Highlight => &[NORMAL, UPPER],
            Self::Shadows => &[SHADOWS],
        }
    }
}

/// What the application asks of exposure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExposureRequest {
    /// Whether exposure and gain follow the scene.
    pub auto: bool,
    /// Compensation, EV.
    pub ev: f64,
    /// Exposure time, µs. With `auto` off `None` keeps it as it is; with `auto` on a time has
    /// priority, and gain alone follows the scene.
    pub exposure_us: Option<f64>,
    /// Analogue gain, the same way.
    pub gain: Option<f64>,
    /// Which zones count; `None`: as tuned.
    pub metering: Option<Metering>,
}

impl Default for ExposureRequest {
    fn default() -> Self {
        Self {
            auto: true,
            ev: 0.0,
            exposure_us: None,
            gain: None,
            metering: None,
        }
    }
}

/// What a frame leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExposureDecision {
    /// What the sensor is to apply.
    pub exposure: Exposure,
    /// How far it is.
    pub state: AlgorithmState,
    /// Metered luminance of the frame, full light being 1.
    pub luminance: f64,
}

/// What exposure control holds from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AgcState {
    /// Filtered total exposure, µs at a gain of 1; always within reach, so that it cannot wind up.
    pub(crate) filtered: Option<f64>,
    /// What was decided last.
    pub(crate) held: Option<Exposure>,
    /// Frames since the start.
    pub(crate) frames: u32,
    /// What the last exposures did to the brightest cells.
    pub(crate) response: Response,
    /// Wanted total exposure, averaged over the light's beat, µs at a gain of 1.
    pub(crate) calm: Option<f64>,
}

/// How the brightest cells answer to exposure. Where a colour of theirs clips, they answer less
/// than in proportion, and no single frame tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Response {
    /// Total exposure, µs, and mean luminance of the brightest cells then; 0 before any.
    pub(crate) seen: (f64, f64),
    /// Logarithm of luminance over logarithm of exposure.
    pub(crate) slope: f64,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            seen: (0.0, 0.0),
            slope: 1.0,
        }
    }
}

impl Response {
    fn see(&mut self, total: f64, level: f64) {
        let change = (total / self.seen.0).ln();
        if !(change.abs() > MOVED && level > 0.0) {
            return;
        }
        let slope = (level / self.seen.1).ln() / change;
        // Any other is that of another light.
        self.slope = if (-0.1..=1.2).contains(&slope) {
            slope.clamp(LEAST_SLOPE, 1.0)
        } else {
            1.0
        };
        self.seen = (total, level);
    }

    /// The gain that really brings about what `gain` would in proportion. Only near by: farther off
    /// the response is another.
    fn correct(&self, gain: f64) -> f64 {
        if gain.ln().abs() < NEAR / 3.0 {
            gain.powf(1.0 / self.slope)
        } else {
            gain
        }
    }
}

/// Automatic exposure and gain control of one camera.
#[derive(Clone, Debug)]
pub struct Agc {
    tuning: AgcTuning,
    limits: Limits,
    reach: (f64, f64),
    state: AgcState,
    /// Of the light, as far as it is known.
    beat: Beat,
    /// Frames went by that nothing is known of.
    stale: bool,
}

impl Agc {
    /// Control of a sensor with these limits, at its start.
    pub fn new(tuning: &AgcTuning, limits: Limits) -> Self {
        let limits = Limits {
            gain_model: tuning.gain_model,
            ..limits
        };
        Self {
            reach: limits.reach(&tuning.stages, 0.0),
            tuning: tuning.clone(),
            limits,
            state: AgcState {
                filtered: None,
                held: None,
                frames: 0,
                response: Response::default(),
                calm: None,
            },
            beat: Beat::default(),
            stale: false,
        }
    }

    /// The light beats like this from the next frame on.
    pub fn set_beat(&mut self, beat: Beat) {
        self.beat = beat;
    }

    /// Total exposure that the filter stands at, µs at a gain of 1.
    pub fn total(&self) -> Option<f64> {
        self.state.filtered
    }

    /// Starts anew from where it stands: the next frames go all the way again.
    pub fn restart(&mut self) {
        self.state.frames = 0;
    }

    /// What it holds.
    pub(crate) fn state(&self) -> AgcState {
        self.state
    }

    /// Goes on from what another one held. This sensor's mode may reach less.
    pub(crate) fn resume(&mut self, state: &AgcState) {
        self.state = AgcState {
            filtered: state.filtered.map(|total| self.reachable(total)),
            held: state.held.map(|held| self.possible(held)),
            ..*state
        };
    }

    /// So many frames went by since that was held.
    pub(crate) fn missed(&mut self, frames: u64) {
        self.stale = frames > 0;
    }

    /// Decides on the exposure to ask for after a frame.
    pub fn process(&mut self, frame: &Measured, request: &ExposureRequest) -> ExposureDecision {
        let metering = request.metering.unwrap_or(self.tuning.metering);
        let luminance = metered(frame, metering);
        let stale = std::mem::take(&mut self.stale);
        let (limits, flicker) = self.free(request);
        self.reach = limits.reach(&self.tuning.stages, flicker);
        if !request.auto {
            return ExposureDecision {
                exposure: self.hold(frame, request),
                state: AlgorithmState::Locked,
                luminance,
            };
        }
        let now = self.applied_total(frame);
        let wanted = now * self.wanted_gain(frame, now, request.ev, metering);
        let calm = self.calm(wanted);
        let aim = self.reachable(calm);
        if stale {
            self.catch_up(now, aim);
        }
        let filtered = self.reachable(self.filter(aim, frame.clipped > BURNT));
        self.state.filtered = Some(filtered);
        self.state.frames = self.state.frames.saturating_add(1);
        let split = limits.split(filtered, &self.tuning.stages, flicker);
        self.state.held = Some(split);
        ExposureDecision {
            exposure: split,
            state: how_far(now, aim, wanted),
            luminance,
        }
    }

    /// What is left to choose from: all that the sensor can, or less where a time or a gain has
    /// priority; and the flicker period that times are multiples of.
    fn free(&self, request: &ExposureRequest) -> (Limits, f64) {
        if !request.auto {
            return (self.limits, self.beat.period_us);
        }
        let flicker = match request.exposure_us {
            Some(_) => 0.0,
            None => self.beat.period_us,
        };
        (self.limits.with(request.exposure_us, request.gain), flicker)
    }

    /// Manual exposure, or what was in force when automatic control was switched off.
    fn hold(&mut self, frame: &Measured, request: &ExposureRequest) -> Exposure {
        let before = self.state.held.unwrap_or(frame.applied);
        let held = match (request.exposure_us, request.gain) {
            (None, None) => self.possible(before),
            (time, gain) => self.limits.nearest(
                time.unwrap_or(before.exposure_us),
                gain.unwrap_or(before.analogue_gain),
            ),
        };
        self.state.held = Some(held);
        self.state.filtered = Some(self.reachable(held.total()));
        self.state.frames = self.tuning.startup_frames;
        held
    }

    /// The nearest exposure that the sensor takes.
    fn possible(&self, exposure: Exposure) -> Exposure {
        let digital_gain = exposure.digital_gain.min(self.limits.digital_gain).max(1.0);
        Exposure {
            digital_gain,
            ..self
                .limits
                .nearest(exposure.exposure_us, exposure.analogue_gain)
        }
    }

    /// What the sensor applies may be newer than the state that this one goes on from. It is, if
    /// it has come nearer to the aim: to go back and come again would be seen.
    fn catch_up(&mut self, now: f64, aim: f64) {
        let off = |total: f64| (total / aim).ln().abs();
        let newer = |filtered: f64| {
            (now / filtered - 1.0).abs() > self.tuning.dead_band && off(now) < off(filtered)
        };
        if self.state.filtered.is_some_and(newer) {
            self.state.filtered = Some(self.reachable(now));
        }
    }

    /// The exposure of the statistics' own frame; what was asked for last if they do not say.
    fn applied_total(&self, frame: &Measured) -> f64 {
        let total = frame.applied.total();
        if total.is_finite() && total > 0.0 {
            return total;
        }
        self.state.filtered.unwrap_or(self.reach.0)
    }

    fn reachable(&self, total: f64) -> f64 {
        // NaN ends up at the shortest exposure.
        total.max(self.reach.0).min(self.reach.1)
    }

    /// In bands that stay exposure must not follow the beat, which would only add to it: what the beat
    /// can account for is averaged.
    fn calm(&mut self, wanted: f64) -> f64 {
        let near = |calm: f64| (wanted / calm).ln().abs() <= self.beat.swing;
        let calm = match self.state.calm {
            Some(calm) if self.beat.swing > 0.0 && near(calm) => {
                calm * (wanted / calm).powf(1.0 / CALM)
            }
            _ => wanted,
        };
        self.state.calm = (calm.is_finite() && calm > 0.0).then_some(calm);
        calm
    }

    /// IIR towards `aim` in stops, with a dead band and a quick start: as many frames on the way up
    /// as on the way down. Out of a burnt frame it goes faster, for the aim is not all of the way.
    fn filter(&self, aim: f64, burnt: bool) -> f64 {
        let Some(filtered) = self.state.filtered else {
            return aim;
        };
        let off = (aim / filtered).ln();
        if off.abs() <= self.tuning.dead_band + LEFT * self.beat.swing {
            return filtered;
        }
        let speed = if self.starting() || (burnt && off < 0.0) {
            1.0
        } else if off.abs() <= NEAR {
            self.tuning.speed.sqrt()
        } else {
            self.tuning.speed
        };
        filtered * (speed * off).exp()
    }

    fn starting(&self) -> bool {
        self.state.frames < self.tuning.startup_frames
    }

    fn wanted_gain(&mut self, frame: &Measured, now: f64, ev: f64, metering: Metering) -> f64 {
        let compensation = if ev.is_finite() {
            ev.clamp(-8.0, 8.0).exp2()
        } else {
            1.0
        };
        let aim = |target: f64| (target * compensation).min(BRIGHTEST_TARGET);
        let Some(cells) = Cells::of(frame) else {
            return 1.0;
        };
        let mut gain = solve(aim(self.tuning.target), metered(frame, metering), |gain| {
            metered_at(frame, &cells, metering, gain)
        });
        for constraint in self.tuning.constraint_mode.constraints() {
            let (low, high) = (constraint.low, constraint.high);
            let Some(level) = frame.inter_quantile_mean(low, high) else {
                continue;
            };
            let bound = solve(aim(constraint.target), level, |gain| {
                cells.mean_of_ranks(low, high, gain).unwrap_or(0.0)
            });
            gain = match constraint.bound {
                Bound::Upper => gain.min(bound),
                Bound::Lower => {
                    self.state.response.see(now, level);
                    gain.max(self.state.response.correct(bound))
                }
            };
        }
        gain
    }
}

fn how_far(now: f64, aim: f64, wanted: f64) -> AlgorithmState {
    let off = |a: f64, b: f64| (a / b - 1.0).abs() > CONVERGED;
    if off(now, aim) {
        AlgorithmState::Searching
    } else if off(aim, wanted) {
        AlgorithmState::Failed
    } else {
        AlgorithmState::Converged
    }
}

/// Weight of the zone at column `x` and row `y`.
pub(crate) fn weight(metering: Metering, x: f64, y: f64) -> f64 {
    let (dx, dy) = (x - 0.5, y - 0.5);
    match metering {
        Metering::Matrix => 1.0,
        Metering::Centre => (-(dx * dx + dy * dy) / (2.0 * 0.25 * 0.25)).exp(),
        Metering::Spot if dx.abs() < 0.0625 && dy.abs() < 0.0625 => 1.0,
        Metering::Spot => 0.0,
    }
}

/// Metered luminance of a frame, a clipped cell being full light.
fn metered(frame: &Measured, metering: Metering) -> f64 {
    weighted(frame, metering, |zone| zone.luminance)
}

/// Weighted mean over the zones that have pixels.
fn weighted(frame: &Measured, metering: Metering, value: impl Fn(&Zone) -> f64) -> f64 {
    let (columns, rows) = (frame.columns.max(1), frame.rows().max(1));
    let (mut sum, mut weights) = (0.0, 0.0);
    let empty = |zone: &Zone| zone.valid <= 0.0 && zone.clipped <= 0.0;
    for (i, zone) in frame.zones.iter().enumerate().filter(|(_, z)| !empty(z)) {
        let x = ((i % columns) as f64 + 0.5) / columns as f64;
        let y = ((i / columns) as f64 + 0.5) / rows as f64;
        let w = weight(metering, x, y);
        sum += w * value(zone);
        weights += w;
    }
    if weights > 0.0 { sum / weights } else { 0.0 }
}

/// The same with single cells that clip, and with light of those that did.
fn metered_at(frame: &Measured, cells: &Cells, metering: Metering, gain: f64) -> f64 {
    let light = cells.mean(gain);
    if metering == Metering::Matrix {
        return light;
    }
    // Zones tell where light is, cells how much of it clips.
    let beyond = cells.clipped_light() - 1.0;
    let zones = |metering| {
        weighted(frame, metering, |zone| {
            ((zone.luminance + zone.clipped * beyond) * gain).min(1.0)
        })
    };
    let all = zones(Metering::Matrix).max(1e-9);
    (zones(metering) * light / all).min(1.0)
}

/// The gain at which a luminance reaches `target`. It is `now` at a gain of 1, and rises with the
/// gain as `model` says, which is off by a factor at most.
fn solve(target: f64, now: f64, model: impl Fn(f64) -> f64) -> f64 {
    let factor = (now / model(1.0)).clamp(0.5, 2.0);
    let factor = if factor.is_nan() { 1.0 } else { factor };
    let mut gain = 1.0;
    for _ in 0..24 {
        // The floor keeps a black frame finite.
        let more = (target / (factor * model(gain)).max(0.001)).clamp(0.1, 10.0);
        gain *= more;
        if (more - 1.0).abs() < 0.002 {
            break;
        }
    }
    gain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::tests::limits;

    /// A frame of zones with these luminances, spread evenly.
    fn frame(luminances: &[f64], applied_us: f64) -> Measured {
        let mut frame = Measured {
            columns: 16,
            bin_width: 1.0 / 255.0,
            histogram: vec![0.0; 256],
            applied: Exposure {
                exposure_us: applied_us,
                analogue_gain: 1.0,
                digital_gain: 1.0,
            },
            ..Measured::default()
        };
        for i in 0..192 {
            let light = luminances[i % luminances.len()];
            let luminance = light.min(1.0);
            let clipped = f64::from(light >= 1.0);
            frame.histogram[(luminance * 255.0) as usize] += 100.0;
            frame.zones.push(Zone {
                rgb: [luminance; 3],
                luminance,
                valid: 100.0 * (1.0 - clipped),
                clipped,
                ..Zone::default()
            });
            frame.clipped += clipped / 192.0;
        }
        frame
    }

    fn agc(constraint_mode: ConstraintMode) -> Agc {
        let tuning = AgcTuning {
            constraint_mode,
            ..AgcTuning::default()
        };
        Agc::new(&tuning, limits())
    }

    fn auto() -> ExposureRequest {
        ExposureRequest::default()
    }

    fn total(agc: &mut Agc, frame: &Measured) -> f64 {
        agc.process(frame, &auto()).exposure.total()
    }

    fn about(got: f64, want: f64) {
        assert!((got / want - 1.0).abs() < 0.015, "got {got}, want {want}");
    }

    #[test]
    fn the_target_follows_from_the_frames_own_exposure() {
        let mut agc = agc(ConstraintMode::None);
        about(total(&mut agc, &frame(&[0.08], 1000.0)), 2000.0);
        about(total(&mut agc, &frame(&[0.08], 1000.0)), 2000.0);
        about(total(&mut agc, &frame(&[0.16], 2000.0)), 2000.0);
    }

    #[test]
    fn zones_that_saturate_on_the_way_are_allowed_for() {
        let mut agc = agc(ConstraintMode::None);
        // 12 of 192 zones saturate: 0.16 = (12 + 180·0.01·g)/192.
        let mut lights = vec![0.01; 15];
        lights.push(0.5);
        let g = (0.16 * 16.0 - 1.0) / 0.15;
        about(total(&mut agc, &frame(&lights, 1000.0)), 1000.0 * g);
    }

    #[test]
    fn a_flat_scene_is_lifted_to_half() {
        about(
            total(&mut agc(ConstraintMode::Normal), &frame(&[0.1], 1000.0)),
            5000.0,
        );
    }

    #[test]
    fn highlights_stay_below_the_upper_bound() {
        let mut lights = vec![0.02; 15];
        lights.push(0.4);
        let scene = frame(&lights, 1000.0);
        let mut free = agc(ConstraintMode::Normal);
        let mut kept = agc(ConstraintMode::Highlight);
        assert!(total(&mut free, &scene) > 2500.0);
        about(total(&mut kept, &scene), 2000.0);
    }

    #[test]
    fn shadows_are_lifted_by_their_mean() {
        let middle_of_a_bin = 12.5 / 255.0;
        let scene = frame(&[middle_of_a_bin, 0.9], 1000.0);
        let want = 1000.0 * 0.17 / middle_of_a_bin;
        about(total(&mut agc(ConstraintMode::Shadows), &scene), want);
    }

    #[test]
    fn the_way_down_from_a_burnt_frame_is_no_farther_than_highlights_allow() {
        let mut agc = agc(ConstraintMode::Normal);
        // A white wall at full light would be right at half of it, whatever its mean.
        let burnt = total(&mut agc, &frame(&[1.0], 10_000.0));
        assert!((1_800.0..=5_000.0).contains(&burnt), "{burnt}");
    }

    #[test]
    fn compensation_is_in_stops_and_capped() {
        let mut agc = agc(ConstraintMode::None);
        let with = |agc: &mut Agc, ev| {
            let request = ExposureRequest { ev, ..auto() };
            agc.process(&frame(&[0.1], 1000.0), &request)
                .exposure
                .total()
        };
        about(with(&mut agc, 1.0), 3200.0);
        about(with(&mut agc, -1.0), 800.0);
        // The dimmest pixels count as full light when they clip.
        assert!((6_500.0..=9_500.0).contains(&with(&mut agc, 8.0)));
        about(with(&mut agc, f64::NAN), 1600.0);
    }

    #[test]
    fn the_first_frames_go_all_the_way_and_later_ones_half_of_it_in_stops() {
        let mut agc = agc(ConstraintMode::None);
        for _ in 0..10 {
            about(total(&mut agc, &frame(&[0.16], 1000.0)), 1000.0);
        }
        about(total(&mut agc, &frame(&[0.04], 1000.0)), 2000.0);
        about(
            total(&mut agc, &frame(&[0.04], 1000.0)),
            2000.0 * 2.0_f64.sqrt(),
        );
        agc.state.filtered = Some(3600.0);
        let near = 3600.0 * (4.0_f64 / 3.6).powf(0.5_f64.sqrt());
        about(total(&mut agc, &frame(&[0.04], 1000.0)), near);
    }

    #[test]
    fn a_beat_that_cannot_be_avoided_is_not_followed_and_another_light_is() {
        let mut agc = agc(ConstraintMode::None);
        let swing = 0.3;
        agc.set_beat(Beat {
            period_us: 10_000.0,
            swing,
        });
        for _ in 0..20 {
            total(&mut agc, &frame(&[0.16], 1000.0));
        }
        for turn in 0..30 {
            let beat = 1.0 + 0.2 * (f64::from(turn) * std::f64::consts::TAU / 3.0).sin();
            assert_eq!(total(&mut agc, &frame(&[0.16 * beat], 1000.0)), 1000.0);
        }
        assert!(total(&mut agc, &frame(&[0.32], 1000.0)) < 750.0);
    }

    #[test]
    fn within_the_dead_band_nothing_moves() {
        let mut agc = agc(ConstraintMode::None);
        let first = total(&mut agc, &frame(&[0.16], 1000.0));
        for light in [0.1625, 0.158, 0.1615] {
            assert_eq!(total(&mut agc, &frame(&[light], 1000.0)), first);
        }
    }

    #[test]
    fn the_filter_does_not_wind_up_at_the_limit() {
        let mut agc = agc(ConstraintMode::None);
        for _ in 0..60 {
            let at_most = total(&mut agc, &frame(&[0.001], 640_000.0));
            assert_eq!(at_most, 640_000.0);
        }
        assert_eq!(agc.total(), Some(640_000.0));
        let back = total(&mut agc, &frame(&[0.32], 640_000.0));
        about(back, 640_000.0 * 0.5_f64.sqrt());
    }

    #[test]
    fn an_exposure_out_of_reach_is_reported_as_failed() {
        let mut agc = agc(ConstraintMode::None);
        let decision = agc.process(&frame(&[0.01], 640_000.0), &auto());
        assert_eq!(decision.state, AlgorithmState::Failed);
        let decision = agc.process(&frame(&[0.16], 640_000.0), &auto());
        assert_eq!(decision.state, AlgorithmState::Converged);
        let decision = agc.process(&frame(&[0.5], 640_000.0), &auto());
        assert_eq!(decision.state, AlgorithmState::Searching);
    }

    #[test]
    fn switched_off_it_holds_what_it_had_and_comes_back_from_there() {
        let mut agc = agc(ConstraintMode::None);
        let had = agc.process(&frame(&[0.08], 1000.0), &auto()).exposure;
        let off = ExposureRequest {
            auto: false,
            ..auto()
        };
        let held = agc.process(&frame(&[0.9], 2000.0), &off);
        assert_eq!((held.exposure, held.state), (had, AlgorithmState::Locked));
        about(
            total(&mut agc, &frame(&[0.32], 2000.0)),
            2000.0 * 0.5_f64.sqrt(),
        );
    }

    #[test]
    fn manual_values_are_taken_one_by_one() {
        let mut agc = agc(ConstraintMode::None);
        agc.process(&frame(&[0.16], 1000.0), &auto());
        let mut off = ExposureRequest {
            auto: false,
            gain: Some(4.0),
            ..auto()
        };
        let e = agc.process(&frame(&[0.16], 1000.0), &off).exposure;
        assert_eq!(e.analogue_gain, 4.0);
        about(e.exposure_us, 1000.0);
        off.exposure_us = Some(6_010.0);
        let e = agc.process(&frame(&[0.16], 1000.0), &off).exposure;
        assert_eq!((e.exposure_us, e.analogue_gain), (6_000.0, 4.0));
    }

    #[test]
    fn spot_looks_at_the_middle_and_centre_leans_to_it() {
        let mut scene = frame(&[0.02], 1000.0);
        for row in 5..7 {
            for column in 7..9 {
                scene.zones[row * 16 + column].luminance = 0.4;
            }
        }
        let seen = |metering| metered(&scene, metering);
        assert!((seen(Metering::Spot) - 0.4).abs() < 1e-9);
        assert!(seen(Metering::Centre) > 1.4 * seen(Metering::Matrix));
    }

    #[test]
    fn a_time_or_a_gain_has_priority_and_the_other_follows() {
        let mut agc = agc(ConstraintMode::None);
        let time = ExposureRequest {
            exposure_us: Some(500.0),
            ..auto()
        };
        let e = agc.process(&frame(&[0.08], 1000.0), &time).exposure;
        assert_eq!(e.exposure_us, 500.0);
        about(e.total(), 2000.0);
        let gain = ExposureRequest {
            gain: Some(4.0),
            ..auto()
        };
        let e = agc.process(&frame(&[0.08], 1000.0), &gain).exposure;
        assert_eq!(e.analogue_gain, 4.0);
        about(e.total(), 2000.0);
    }

    #[test]
    fn the_application_chooses_what_is_metered() {
        let mut scene = frame(&[0.02], 1000.0);
        for row in 5..7 {
            for column in 7..9 {
                scene.zones[row * 16 + column].luminance = 0.4;
            }
        }
        let with = |metering| {
            let request = ExposureRequest { metering, ..auto() };
            total_of(agc(ConstraintMode::None).process(&scene, &request))
        };
        assert!(with(Some(Metering::Spot)) < 0.2 * with(None));
    }

    fn total_of(decision: ExposureDecision) -> f64 {
        decision.exposure.total()
    }

    #[test]
    fn it_goes_on_within_what_this_mode_reaches() {
        let state = AgcState {
            filtered: Some(1e9),
            held: Some(Exposure {
                exposure_us: 33_333.0,
                analogue_gain: 16.0,
                digital_gain: 9.0,
            }),
            frames: 100,
            response: Response::default(),
            calm: None,
        };
        let mut agc = agc(ConstraintMode::None);
        agc.resume(&state);
        assert_eq!(agc.total(), Some(640_000.0));
        let off = ExposureRequest {
            auto: false,
            ..auto()
        };
        let held = agc.process(&frame(&[0.16], 1000.0), &off).exposure;
        assert_eq!(held, limits().split(1e9, &[], 0.0));
    }

    #[test]
    fn after_missed_frames_it_goes_on_from_whichever_is_nearer_to_the_aim() {
        let standing = |at, missed, applied_us| {
            let mut agc = agc(ConstraintMode::None);
            agc.state.filtered = Some(at);
            agc.state.frames = 100;
            agc.missed(missed);
            // 4000 µs would be right.
            let luminance = 0.16 * applied_us / 4_000.0;
            total(&mut agc, &frame(&[luminance], applied_us))
        };
        // The sensor was brought to the aim since.
        about(standing(1_000.0, 30, 4_000.0), 4_000.0);
        // A stream starts, or what was asked for is still on its way.
        about(standing(4_000.0, 30, 10_000.0), 4_000.0);
        // Nothing was missed: no other knows better.
        about(standing(1_000.0, 0, 4_000.0), 2_000.0);
    }

    #[test]
    fn frames_without_light_pixels_or_exposure_do_no_harm() {
        let mut agc = agc(ConstraintMode::Shadows);
        for scene in [
            Measured::default(),
            frame(&[0.0], 0.0),
            frame(&[0.5], f64::NAN),
            frame(&[1.0], f64::INFINITY),
        ] {
            let e = agc.process(&scene, &auto()).exposure;
            assert!((20.0..=640_000.0 * 1.001).contains(&e.total()), "{e:?}");
        }
    }
}
