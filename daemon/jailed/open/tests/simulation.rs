//! Exposure control in a closed loop with a scene of zones and a sensor with delays.

use std::collections::VecDeque;

use coldshoe_ipa::AlgorithmState;
use coldshoe_ipa_open::agc::{Agc, AgcTuning, ExposureDecision, ExposureRequest};
use coldshoe_ipa_open::exposure::{Exposure, Limits};
use coldshoe_ipa_open::measure::{Measured, Zone};

const LIMITS: Limits = Limits {
    exposure_us: (80.0, 33_300.0),
    gain: (1.0, 10.0),
    digital_gain: 4.0,
    line_us: 20.0,
    gain_model: None,
};
const REACH: f64 = 33_300.0 * 10.0 * 4.0;
/// Total exposure at which the scene is right at a light of 0 EV, µs.
const RIGHT: f64 = 10_000.0;

/// A sensor in front of a scene whose zones spread over some stops.
struct Simulation {
    agc: Agc,
    in_flight: VecDeque<Exposure>,
    light_ev: f64,
    /// Zone luminances of a rightly exposed frame at 0 EV.
    zones: Vec<f64>,
}

impl Simulation {
    fn new(delay: usize, light_ev: f64) -> Self {
        let first = Exposure {
            exposure_us: 10_000.0,
            analogue_gain: 1.0,
            digital_gain: 1.0,
        };
        // Stops −2.5 to 2.5 about the middle, more of them near it; the mean is brought to 0.16.
        let stops = (0..192).map(|i| 2.5 * ((f64::from(i) * 97.0 % 192.0) / 96.0 - 1.0).powi(3));
        let raw: Vec<f64> = stops.map(f64::exp2).collect();
        let mean = raw.iter().sum::<f64>() / 192.0;
        Self {
            agc: Agc::new(&AgcTuning::default(), LIMITS),
            in_flight: vec![first; delay + 1].into(),
            light_ev,
            zones: raw.iter().map(|z| 0.16 * z / mean).collect(),
        }
    }

    /// Total exposure over the right one, before the step, and what the step decides.
    fn step(&mut self) -> (f64, ExposureDecision) {
        let applied = self.in_flight.pop_front().unwrap();
        let brightness = applied.total() / RIGHT * self.light_ev.exp2();
        let decision = self.agc.process(
            &frame(&self.zones, brightness, applied),
            &ExposureRequest::default(),
        );
        self.in_flight.push_back(decision.exposure);
        (brightness, decision)
    }

    fn run(&mut self, frames: usize) -> Vec<f64> {
        (0..frames).map(|_| self.step().0).collect()
    }
}

/// Each zone holds pixels from 0.8 to 1.2 of its mean.
fn frame(zones: &[f64], brightness: f64, applied: Exposure) -> Measured {
    let mut frame = Measured {
        columns: 16,
        bin_width: 1.0 / 256.0,
        histogram: vec![0.0; 256],
        range: 1.0,
        applied,
        ..Measured::default()
    };
    for zone in zones {
        let (mut sum, mut valid, mut clipped) = (0.0, 0.0, 0.0);
        for spread in 0..21 {
            let light = zone * brightness * (0.8 + 0.02 * f64::from(spread));
            sum += light.min(1.0);
            frame.histogram[(light.min(0.9999) * 256.0) as usize] += 1.0;
            if light < 1.0 {
                valid += 1.0;
            } else {
                clipped += 1.0;
            }
        }
        frame.zones.push(Zone {
            rgb: [sum / 21.0; 3],
            luminance: sum / 21.0,
            valid,
            clipped: clipped / 21.0,
            ..Zone::default()
        });
        frame.clipped += clipped / 21.0 / zones.len() as f64;
    }
    frame
}

/// Frames until the exposure is within 5 % and stays there.
fn settled(ratios: &[f64]) -> usize {
    let last = ratios.iter().rposition(|r| (r - 1.0).abs() > 0.05);
    last.map_or(0, |last| last + 1)
}

/// How far the exposure went beyond the right one, coming from the side of the first frame.
fn overshoot(ratios: &[f64]) -> f64 {
    let beyond = |r: &f64| if ratios[0] > 1.0 { 1.0 - r } else { r - 1.0 };
    ratios.iter().map(beyond).fold(0.0, f64::max)
}

#[test]
fn it_starts_from_dark_and_bright_within_three_rounds_of_the_delay() {
    for delay in 1..=4 {
        for ev in [-6.0, -3.0, -1.0, 1.0, 3.0, 4.0] {
            let ratios = Simulation::new(delay, ev).run(40);
            let rounds = if ev > 2.0 { 3 } else { 2 };
            let took = settled(&ratios);
            assert!(
                took <= rounds * (delay + 1),
                "delay {delay}, {ev} EV: {took}"
            );
            let over = overshoot(&ratios);
            assert!(over <= 0.05, "delay {delay}, {ev} EV: overshoot {over}");
        }
    }
}

#[test]
fn it_follows_three_stops_damped_and_without_overshoot() {
    for delay in 1..=4 {
        for ev in [-3.0, 3.0] {
            let mut simulation = Simulation::new(delay, 0.0);
            simulation.run(40);
            simulation.light_ev = ev;
            let ratios = simulation.run(80);
            let took = settled(&ratios);
            let bound = if ev < 0.0 { 18 } else { 27 };
            assert!(took <= bound, "delay {delay}, {ev} EV: {took}");
            let over = overshoot(&ratios);
            assert!(over <= 0.05, "delay {delay}, {ev} EV: overshoot {over}");
        }
    }
}

#[test]
fn it_follows_five_stops_down_within_thirty_frames() {
    for delay in 1..=4 {
        let mut simulation = Simulation::new(delay, 2.0);
        simulation.run(40);
        simulation.light_ev = -3.0;
        assert!(settled(&simulation.run(80)) <= 30);
    }
}

#[test]
fn a_static_scene_moves_no_control() {
    for delay in 1..=4 {
        let mut simulation = Simulation::new(delay, -2.0);
        simulation.run(40);
        let (_, before) = simulation.step();
        assert_eq!(before.state, AlgorithmState::Converged);
        for _ in 0..60 {
            assert_eq!(simulation.step().1.exposure, before.exposure);
        }
    }
}

#[test]
fn time_at_the_limit_costs_nothing_afterwards() {
    let after = |frames: usize| {
        let mut simulation = Simulation::new(2, -11.0);
        simulation.run(20 + frames);
        let (_, decision) = simulation.step();
        assert!((decision.exposure.total() / REACH - 1.0).abs() < 1e-9);
        assert_eq!(decision.state, AlgorithmState::Failed);
        simulation.light_ev = -3.0;
        settled(&simulation.run(80))
    };
    assert_eq!(after(0), after(60));
}

#[test]
fn a_mode_with_a_single_exposure_is_no_division_by_zero() {
    let limits = Limits {
        exposure_us: (1_000.0, 1_000.0),
        gain: (1.0, 1.0),
        digital_gain: 1.0,
        line_us: 1_000.0,
        gain_model: None,
    };
    let mut agc = Agc::new(&AgcTuning::default(), limits);
    let applied = limits.nearest(1.0, 1.0);
    let scene = frame(&[0.01; 192], 1.0, applied);
    let decision = agc.process(&scene, &ExposureRequest::default());
    assert_eq!(decision.exposure, applied);
}
