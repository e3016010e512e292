//! Autofocus by contrast: the lens climbs the hill.
//!
//! The measure is the mean squared difference of neighbouring greens over the squared mean of
//! green, which neither exposure nor gain changes. A scan goes in coarse steps for as long as the
//! measure rises, turns round if it never did, then in fine steps across the best place, and ends
//! on the top of the parabola through the best three. Each measurement waits until the lens is where
//! the statistics' own frame says it is.
//!
//! In continuous mode a scan starts when the scene has changed for some frames and is still again.

use coldshoe_ipa::AlgorithmState;

use crate::measure::Measured;

mod tuning;

pub use tuning::AfTuning;

/// Fine steps in a coarse one.
const FINE: f64 = 4.0;
/// Below this part of the best measure the top is behind.
const BEHIND: f64 = 0.85;
/// So many measurements in a row have to be behind.
const IN_A_ROW: u32 = 2;
/// A top that stands out by less than this factor is none.
const STANDS_OUT: f64 = 1.15;
/// Closer than this part of the range the lens is where it should be.
const THERE: f64 = 0.002;
/// Frames after which a lens that did not get there is taken as it is.
const PATIENCE: u32 = 12;
/// Frames in a row that a change has to last, and then stillness.
const LASTS: u32 = 5;
/// From frame to frame a still scene's measure changes by less than this.
const STILL: f64 = 0.05;

/// Who moves the lens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FocusMode {
    /// The application.
    #[default]
    Manual,
    /// A scan, when the application asks for one.
    Auto,
    /// Scans, whenever the scene changes.
    Continuous,
}

/// What the application asks of focus.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FocusRequest {
    /// Who moves the lens.
    pub mode: FocusMode,
    /// Dioptres in manual mode; `None` leaves the lens where it is.
    pub position: Option<f64>,
    /// Continuous mode holds.
    pub paused: bool,
    /// It will, after the scan.
    pub pause_after: bool,
}

/// What happens once, with one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocusTrigger {
    /// A scan starts.
    Start,
    /// It ends where it is.
    Cancel,
}

/// How far a scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was looked for.
    #[default]
    Idle,
    /// In coarse steps; turned round or not.
    Coarse {
        /// It is the second direction.
        turned: bool,
    },
    /// In fine steps.
    Fine,
    /// On the way to the top.
    Arriving,
    /// There.
    Focused,
    /// There is no top.
    Failed,
}

/// What focus holds from frame to frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AfState {
    pub(crate) phase: Phase,
    /// Where the lens is to be, dioptres; none before anything was asked.
    pub(crate) target: Option<f64>,
    /// Signed, dioptres.
    pub(crate) step: f64,
    /// Where the scan began.
    pub(crate) origin: f64,
    /// Best measure of the scan and its place, the measures before and behind it.
    pub(crate) best: f64,
    pub(crate) best_at: f64,
    pub(crate) before: f64,
    pub(crate) behind: f64,
    /// The last measure, and the least of the scan.
    pub(crate) last: f64,
    pub(crate) least: f64,
    /// Measurements since the best; frames waited for the lens; frames of change or stillness.
    pub(crate) since: u32,
    pub(crate) waited: u32,
    pub(crate) lasted: u32,
    /// Whether the scene changed, and has to be still before a scan.
    pub(crate) changed: bool,
}

/// Autofocus of one camera.
#[derive(Clone, Debug)]
pub struct Af {
    tuning: AfTuning,
    /// Farthest and nearest focus, dioptres; none without a lens that moves.
    range: Option<(f64, f64)>,
    state: AfState,
}

/// What a frame leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FocusDecision {
    /// Where the lens is to be, dioptres; none leaves it alone.
    pub position: Option<f64>,
    /// How far it is.
    pub state: AlgorithmState,
}

impl Af {
    /// Focus of a lens with this range, dioptres; a range that is none is no lens.
    pub fn new(tuning: &AfTuning, range: (f64, f64)) -> Self {
        let (far, near) = range;
        let moves = far.is_finite() && near.is_finite() && far >= 0.0 && near > far;
        Self {
            tuning: *tuning,
            range: moves.then_some(range),
            state: AfState::default(),
        }
    }

    pub(crate) fn state(&self) -> AfState {
        self.state
    }

    /// Goes on from what another one held. This lens may have another range.
    pub(crate) fn resume(&mut self, state: AfState) {
        self.state = state;
        self.state.target = state.target.map(|target| self.within(target));
    }

    /// Decides where the lens is to be after a frame. `exposed` says whether its exposure is what it
    /// should be: no scan begins before.
    pub fn process(
        &mut self,
        frame: &Measured,
        request: &FocusRequest,
        trigger: Option<FocusTrigger>,
        exposed: bool,
    ) -> FocusDecision {
        if self.range.is_none() {
            return FocusDecision {
                position: None,
                state: AlgorithmState::Unknown,
            };
        }
        match request.mode {
            FocusMode::Manual => self.manual(request),
            FocusMode::Auto => self.auto(frame, trigger),
            FocusMode::Continuous => self.continuous(frame, request, exposed),
        }
        let hold = request.mode == FocusMode::Continuous && request.paused;
        let state = match self.state.phase {
            _ if request.mode == FocusMode::Manual || hold => AlgorithmState::Locked,
            Phase::Idle => AlgorithmState::Unknown,
            Phase::Coarse { .. } | Phase::Fine | Phase::Arriving => AlgorithmState::Searching,
            Phase::Focused => AlgorithmState::Converged,
            Phase::Failed => AlgorithmState::Failed,
        };
        FocusDecision {
            position: self.state.target,
            state,
        }
    }

    fn manual(&mut self, request: &FocusRequest) {
        self.state.phase = Phase::Idle;
        if let Some(position) = request.position {
            self.state.target = Some(self.within(position));
        }
    }

    fn auto(&mut self, frame: &Measured, trigger: Option<FocusTrigger>) {
        match trigger {
            Some(FocusTrigger::Start) => self.begin(frame),
            Some(FocusTrigger::Cancel) => {
                self.state.phase = Phase::Idle;
                self.state.target = frame.lens.or(self.state.target);
            }
            None => self.scan(frame),
        }
    }

    fn continuous(&mut self, frame: &Measured, request: &FocusRequest, exposed: bool) {
        if request.paused {
            // What was on its way ends here.
            if self.scans() {
                self.state.phase = Phase::Idle;
                self.state.target = frame.lens.or(self.state.target);
            }
            return;
        }
        match self.state.phase {
            Phase::Coarse { .. } | Phase::Fine | Phase::Arriving => self.scan(frame),
            _ if request.pause_after => {}
            Phase::Idle if exposed => self.begin(frame),
            Phase::Focused | Phase::Failed => self.watch(frame, exposed),
            Phase::Idle => {}
        }
    }

    /// Whether a scan is under way.
    pub fn scans(&self) -> bool {
        matches!(
            self.state.phase,
            Phase::Coarse { .. } | Phase::Fine | Phase::Arriving
        )
    }

    /// Has the scene changed, and is it still again?
    fn watch(&mut self, frame: &Measured, exposed: bool) {
        let Some(now) = measure(frame) else { return };
        let state = &mut self.state;
        if !state.changed {
            let ratio = now / state.best.max(1e-12);
            let other = !(self.tuning.retrigger..=1.0 / self.tuning.retrigger).contains(&ratio);
            state.lasted = if other { state.lasted + 1 } else { 0 };
            state.changed = state.lasted >= LASTS;
            state.lasted %= LASTS;
        } else {
            let still = exposed && (now / state.last.max(1e-12) - 1.0).abs() < STILL;
            state.lasted = if still { state.lasted + 1 } else { 0 };
            if state.lasted >= LASTS {
                self.begin(frame);
                return;
            }
        }
        self.state.last = now;
    }

    /// A scan begins where the lens is, towards where there is more room.
    fn begin(&mut self, frame: &Measured) {
        let (far, near) = self.range.unwrap_or_default();
        let origin = self.within(frame.lens.or(self.state.target).unwrap_or(far));
        let step = (near - far) / f64::from(self.tuning.steps);
        self.state = AfState {
            phase: Phase::Coarse { turned: false },
            target: Some(origin),
            step: if near - origin >= origin - far {
                step
            } else {
                -step
            },
            origin,
            least: f64::MAX,
            ..AfState::default()
        };
    }

    /// One measurement further, once the lens is there.
    fn scan(&mut self, frame: &Measured) {
        let (Some(target), true) = (self.state.target, self.scans()) else {
            return;
        };
        let (far, near) = self.range.unwrap_or_default();
        let there = frame
            .lens
            .is_none_or(|lens| (lens - target).abs() <= THERE * (near - far));
        // Without a word of where the lens is only time tells.
        let arrived = if frame.lens.is_some() { there } else { false };
        self.state.waited += 1;
        if !arrived && self.state.waited < PATIENCE {
            return;
        }
        self.state.waited = 0;
        let Some(now) = measure(frame) else { return };
        match self.state.phase {
            Phase::Coarse { turned } => self.coarse(now, turned),
            Phase::Fine => self.fine(now),
            Phase::Arriving => self.arrive(now),
            _ => {}
        }
    }

    /// Takes a measurement into account.
    fn note(&mut self, now: f64) {
        let state = &mut self.state;
        let at = state.target.unwrap_or_default();
        state.least = state.least.min(now);
        if now > state.best {
            (state.before, state.behind) = (state.last, 0.0);
            (state.best, state.best_at) = (now, at);
            state.since = 0;
        } else {
            if state.since == 0 {
                state.behind = now;
            }
            state.since += 1;
        }
        state.last = now;
    }

    fn coarse(&mut self, now: f64, turned: bool) {
        self.note(now);
        let state = &mut self.state;
        let at = state.target.unwrap_or_default();
        let over = state.since >= IN_A_ROW && now < BEHIND * state.best;
        let next = self.within(at + self.state.step);
        let end = next == at;
        if !over && !end {
            self.state.target = Some(next);
            return;
        }
        // It fell, or ended, from the first step on: the top may be the other way.
        let origin_is_best = self.state.best_at == self.state.origin;
        let back = self.within(self.state.origin - self.state.step);
        if !turned && origin_is_best && back != self.state.origin {
            self.state.phase = Phase::Coarse { turned: true };
            self.state.step = -self.state.step;
            self.state.since = 0;
            self.state.target = Some(back);
            return;
        }
        if self.state.best < STANDS_OUT * self.state.least {
            self.state.phase = Phase::Failed;
            let rest = self.tuning.rest.unwrap_or(self.state.origin);
            self.state.target = Some(self.within(rest));
            self.settle(now);
            return;
        }
        // From the coarse step behind the best to the one before it.
        let from = self.within(self.state.best_at + self.state.step);
        self.state.step /= -FINE;
        self.state.phase = Phase::Fine;
        self.state.target = Some(from);
        (self.state.best, self.state.last, self.state.since) = (0.0, 0.0, 0);
    }

    fn fine(&mut self, now: f64) {
        self.note(now);
        let at = self.state.target.unwrap_or_default();
        let behind = (self.state.best_at - at).abs() / self.state.step.abs();
        let next = self.within(at + self.state.step);
        let over = self.state.since >= IN_A_ROW && now < BEHIND * self.state.best;
        if next != at && !over && behind < 2.0 * FINE {
            self.state.target = Some(next);
            return;
        }
        let AfState {
            before,
            best,
            behind,
            ..
        } = self.state;
        let bend = before - 2.0 * best + behind;
        let offset = if before > 0.0 && behind > 0.0 && bend < 0.0 {
            (0.5 * (before - behind) / bend).clamp(-1.0, 1.0)
        } else {
            0.0
        };
        let top = self.state.best_at + offset * self.state.step;
        self.state.target = Some(self.within(top));
        self.state.phase = Phase::Arriving;
    }

    fn arrive(&mut self, now: f64) {
        // Back where it was best it has to be about as good: or the scene has changed meanwhile.
        if now < BEHIND * self.state.best {
            self.state.phase = Phase::Failed;
        } else {
            self.state.phase = Phase::Focused;
        }
        self.settle(now);
    }

    /// From here on changes are watched for.
    fn settle(&mut self, now: f64) {
        self.state.best = now;
        self.state.last = now;
        self.state.lasted = 0;
        self.state.changed = self.state.phase == Phase::Failed && self.state.target.is_none();
    }

    fn within(&self, position: f64) -> f64 {
        let (far, near) = self.range.unwrap_or_default();
        position.max(far).min(near)
    }
}

/// Contrast over the middle half of the frame, in units of its squared mean; `None` without light or
/// without the statistics for it.
fn measure(frame: &Measured) -> Option<f64> {
    let (columns, rows) = (frame.columns.max(1), frame.rows());
    let middle = |at: usize, of: usize| (of / 4..of - of / 4).contains(&at);
    let (mut contrast, mut light, mut count) = (0.0, 0.0, 0.0);
    for (i, zone) in frame.zones.iter().enumerate() {
        if !middle(i % columns, columns) || !middle(i / columns, rows) || zone.valid <= 0.0 {
            continue;
        }
        contrast += zone.contrast?;
        light += zone.rgb[1];
        count += 1.0;
    }
    let (contrast, light) = (contrast / count, light / count);
    let value = contrast / (light * light);
    (value.is_finite() && light > 1e-3).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Zone;

    /// A frame with a lens there, whose subject is at 4 dioptres.
    fn frame(lens: f64, subject: f64) -> Measured {
        let off = lens - subject;
        let zone = Zone {
            rgb: [0.2; 3],
            luminance: 0.2,
            valid: 100.0,
            contrast: Some(0.04 * (0.01 + 0.2 / (1.0 + off * off))),
            ..Zone::default()
        };
        Measured {
            zones: vec![zone; 192],
            columns: 16,
            lens: Some(lens),
            ..Measured::default()
        }
    }

    fn af() -> Af {
        Af::new(&AfTuning::default(), (0.0, 10.0))
    }

    fn request(mode: FocusMode) -> FocusRequest {
        FocusRequest {
            mode,
            ..FocusRequest::default()
        }
    }

    /// Runs with a lens that moves at once; returns the last decision and frames until converged.
    fn run(
        af: &mut Af,
        request: &FocusRequest,
        lens: &mut f64,
        subject: f64,
        frames: usize,
    ) -> FocusDecision {
        let mut decision = None;
        for _ in 0..frames {
            let now = af.process(&frame(*lens, subject), request, None, true);
            *lens = now.position.unwrap_or(*lens);
            decision = Some(now);
        }
        decision.unwrap()
    }

    #[test]
    fn a_scan_finds_the_subject_from_wherever_it_begins() {
        for start in [0.0, 1.0, 3.9, 4.0, 6.0, 10.0] {
            for subject in [0.0, 0.4, 4.0, 4.13, 9.7, 10.0] {
                let (mut af, mut lens) = (af(), start);
                let auto = request(FocusMode::Auto);
                let first = af.process(
                    &frame(lens, subject),
                    &auto,
                    Some(FocusTrigger::Start),
                    true,
                );
                assert_eq!(first.state, AlgorithmState::Searching);
                let end = run(&mut af, &auto, &mut lens, subject, 60);
                assert_eq!(end.state, AlgorithmState::Converged, "{start} {subject}");
                assert!((lens - subject).abs() < 0.1, "{start}: {lens}, {subject}");
            }
        }
    }

    #[test]
    fn without_contrast_it_fails_and_the_lens_rests() {
        let (mut af, flat) = (af(), |lens| {
            let mut frame = frame(lens, 4.0);
            frame
                .zones
                .iter_mut()
                .for_each(|zone| zone.contrast = Some(1e-4));
            frame
        });
        let auto = request(FocusMode::Auto);
        let mut lens = 2.0;
        let mut trigger = Some(FocusTrigger::Start);
        let mut state = AlgorithmState::Unknown;
        for _ in 0..60 {
            let decision = af.process(&flat(lens), &auto, trigger.take(), true);
            lens = decision.position.unwrap();
            state = decision.state;
        }
        assert_eq!(state, AlgorithmState::Failed);
    }

    #[test]
    fn it_waits_for_the_lens_before_it_measures() {
        let mut af = af();
        let auto = request(FocusMode::Auto);
        af.process(&frame(0.0, 4.0), &auto, Some(FocusTrigger::Start), true);
        let next = af.process(&frame(0.0, 4.0), &auto, None, true).position;
        for _ in 0..PATIENCE - 1 {
            assert_eq!(
                af.process(&frame(0.0, 4.0), &auto, None, true).position,
                next
            );
        }
        assert_ne!(
            af.process(&frame(0.0, 4.0), &auto, None, true).position,
            next
        );
    }

    #[test]
    fn in_continuous_mode_another_subject_is_found_and_a_still_one_left_alone() {
        let (mut af, mut lens) = (af(), 0.0);
        let always = request(FocusMode::Continuous);
        run(&mut af, &always, &mut lens, 4.0, 60);
        assert!((lens - 4.0).abs() < 0.1);
        let before = lens;
        run(&mut af, &always, &mut lens, 4.0, 100);
        assert_eq!(lens, before);
        let end = run(&mut af, &always, &mut lens, 7.0, 100);
        assert!((lens - 7.0).abs() < 0.1, "{lens}");
        assert_eq!(end.state, AlgorithmState::Converged);
    }

    #[test]
    fn paused_it_holds_at_once_or_after_the_scan() {
        for at_once in [true, false] {
            let (mut af, mut lens) = (af(), 0.0);
            run(&mut af, &request(FocusMode::Continuous), &mut lens, 4.0, 6);
            let pause = FocusRequest {
                paused: at_once,
                pause_after: true,
                ..request(FocusMode::Continuous)
            };
            run(&mut af, &pause, &mut lens, 4.0, 60);
            assert_eq!((lens - 4.0).abs() < 0.1, !at_once, "{lens}");
            let before = lens;
            run(&mut af, &pause, &mut lens, 8.0, 60);
            assert_eq!(lens, before);
        }
    }

    #[test]
    fn by_hand_the_lens_goes_where_it_is_told_within_its_range() {
        let mut af = af();
        let by_hand = |position| FocusRequest {
            position,
            ..FocusRequest::default()
        };
        let go = |af: &mut Af, position| {
            af.process(&frame(0.0, 4.0), &by_hand(position), None, true)
                .position
        };
        assert_eq!(go(&mut af, None), None);
        assert_eq!(go(&mut af, Some(3.0)), Some(3.0));
        assert_eq!(go(&mut af, Some(99.0)), Some(10.0));
    }

    #[test]
    fn without_a_lens_or_statistics_nothing_moves() {
        let mut none = Af::new(&AfTuning::default(), (0.0, 0.0));
        let always = request(FocusMode::Continuous);
        let decision = none.process(&frame(0.0, 4.0), &always, None, true);
        assert_eq!(
            (decision.position, decision.state),
            (None, AlgorithmState::Unknown)
        );
        let mut blind = frame(0.0, 4.0);
        blind.zones.iter_mut().for_each(|zone| zone.contrast = None);
        let mut af = af();
        for _ in 0..50 {
            let position = af.process(&blind, &always, None, true).position;
            assert_eq!(position, Some(0.0));
        }
    }
}
