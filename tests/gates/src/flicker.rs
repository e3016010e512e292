//! The gates of flicker: light that beats with the mains, and a shutter that rolls.

use anyhow::Result;
use coldshoe_camera::{Camera, Delays, Light, SensorConfig};

use crate::gate::{Gate, Plot, Series};
use crate::rig::{Rig, Step};
use crate::scenes::Source;
use crate::work;

/// A tube on a coil.
const DEPTH: f64 = 0.4;
/// From the first row to the last, µs: most of a frame at 30 frames a second, as sensors do.
const READOUT_US: f64 = 27_000.0;
/// Beats a second, and the period that exposure has to keep to, µs. Mains are never quite right. At 30
/// frames a second 120.00 beats would stand still, with nothing to see.
const BEATS: [(f64, f64); 5] = [
    (100.0, 10_000.0),
    (99.96, 10_000.0),
    (100.03, 10_000.0),
    (119.95, 8_333.3),
    (120.03, 8_333.3),
];
/// Frames from the start.
const FRAMES: usize = 150;
/// Levels at which 10 to 33 ms are right or more: whole beats fit.
const DIM: [f64; 3] = [-4.0, -2.5, -1.3];
/// Levels at which not even one beat fits.
const BRIGHT: [f64; 2] = [2.0, 4.0];

#[derive(Clone, Copy)]
struct Case<'a> {
    source: &'a Source,
    delay: u64,
    seed: u64,
    beats: f64,
    period_us: f64,
    ev: f64,
    auto: bool,
}

impl Case<'_> {
    fn place(&self) -> String {
        format!(
            "{}, {} beats a second, delay {}, {:+} EV",
            self.source.name, self.beats, self.delay, self.ev
        )
    }

    fn rig(&self) -> Result<Rig> {
        let scene = self.source.open()?;
        let line_us = READOUT_US / scene.size().height() as f64;
        let config = SensorConfig {
            delays: Delays {
                exposure: self.delay,
                analogue_gain: self.delay.min(1),
                digital_gain: self.delay.min(1),
            },
            line_us,
            lines: (1, (33_000.0 / line_us) as u32),
            seed: self.seed,
            ..SensorConfig::default()
        };
        // Scenes differ in how much light is right: 10 ms at 0 EV for each.
        let probe = Rig::of(
            self.source.tuning,
            Camera::new(self.source.open()?, Light::default()),
            false,
        )?;
        let light = Light::new(5000.0, self.ev - probe.wrong_by());
        let light = if self.beats > 0.0 {
            light.beating(self.beats, DEPTH)
        } else {
            light
        };
        let tuning = if self.auto {
            self.source.tuning.to_vec()
        } else {
            without(self.source.tuning)
        };
        Rig::of(&tuning, Camera::with_sensor(scene, light, config), false)
    }

    /// How far bands stand out in a frame, share of its light.
    fn bands(&self, step: &Step) -> f64 {
        let half = std::f64::consts::PI * self.beats * step.applied.exposure_us / 1e6;
        DEPTH * (half.sin() / half).abs()
    }

    fn is_whole(&self, step: &Step) -> bool {
        let beats = step.applied.exposure_us / self.period_us;
        beats > 0.9 && (beats - beats.round()).abs() * self.period_us <= READOUT_US / 100.0
    }
}

/// The same tuning with flicker switched off.
fn without(tuning: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(tuning);
    let text = if text.contains("[agc]\n") {
        text.replacen("[agc]\n", "[agc]\nflicker = \"off\"\n", 1)
    } else {
        format!("{text}\n[agc]\nflicker = \"off\"\n")
    };
    text.into_bytes()
}

fn cases<'a>(sources: &'a [Source], seeds: u64, levels: &[f64], auto: bool) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for source in sources {
        for delay in [1, 4] {
            for seed in 1..=seeds {
                for (beats, period_us) in BEATS {
                    cases.extend(levels.iter().map(|&ev| Case {
                        source,
                        delay,
                        seed,
                        beats,
                        period_us,
                        ev,
                        auto,
                    }));
                }
            }
        }
    }
    cases
}

/// Judges all of it.
///
/// # Errors
/// A scene that does not open, a frame that the module refuses.
pub fn judge(sources: &[Source], seeds: u64) -> Result<(Vec<Gate>, Plot)> {
    let (mut gates, plot) = found(sources, seeds)?;
    gates.push(too_bright(sources, seeds)?);
    gates.push(steady(sources, seeds)?);
    Ok((gates, plot))
}

/// Light that beats, and whole beats that fit.
fn found(sources: &[Source], seeds: u64) -> Result<(Vec<Gate>, Plot)> {
    let cases_on = cases(sources, seeds, &DIM, true);
    let runs = work::share(&cases_on, |case| {
        let steps = case.rig()?.run(FRAMES)?;
        let wrong = steps.iter().rposition(|step| !case.is_whole(step));
        let bands: Vec<f64> = steps.iter().map(|step| 100.0 * case.bands(step)).collect();
        Ok((wrong.map_or(0, |last| last + 1), bands))
    })?;
    let off = cases(sources, 1, &DIM, false);
    let left = work::share(&off, |case| {
        let steps = case.rig()?.run(60)?;
        Ok(100.0 * case.bands(&steps[59]))
    })?;
    let missed = runs.iter().filter(|run| run.0 >= FRAMES).count();
    let slowest = runs.iter().zip(&cases_on).max_by_key(|(run, _)| run.0);
    let last = |bands: &Vec<f64>| bands[FRAMES - 30..].iter().copied().fold(0.0, f64::max);
    let worst = runs
        .iter()
        .zip(&cases_on)
        .max_by(|(a, _), (b, _)| last(&a.1).total_cmp(&last(&b.1)));
    let mut series: Vec<Series> = Vec::new();
    for (case, (_, bands)) in cases_on.iter().zip(&runs) {
        if case.delay == 1 && case.seed == 1 {
            series.push(Series {
                name: case.place(),
                group: format!("{:.0} Hz mains", (case.beats / 20.0).round() * 10.0),
                values: bands[..60].to_vec(),
            });
        }
    }
    let gates = vec![
        Gate::at_most(
            "flicker: mains not found, or the wrong ones",
            "",
            0.0,
            missed as f64,
            runs.len(),
            String::new(),
        ),
        Gate::at_most(
            "flicker: start, frames until exposure stays at whole beats",
            "frames",
            45.0,
            slowest.map_or(f64::NAN, |(run, _)| run.0 as f64),
            runs.len(),
            slowest.map_or(String::new(), |(_, case)| case.place()),
        ),
        Gate::at_most(
            "flicker: bands left, share of the light",
            "%",
            1.0,
            worst.map_or(f64::NAN, |(run, _)| last(&run.1)),
            runs.len(),
            worst.map_or(String::new(), |(_, case)| case.place()),
        ),
        Gate::at_least(
            "control: bands where flicker is switched off, the most",
            "%",
            5.0,
            left.iter().copied().fold(0.0, f64::max),
            left.len(),
            format!(
                "{:.2} % in the mean",
                left.iter().sum::<f64>() / left.len() as f64
            ),
        ),
    ];
    let plot = Plot {
        title: "Bands in light that beats".into(),
        y: "% of the light, delay 1".into(),
        band: Some((0.0, 1.0)),
        series,
    };
    Ok((gates, plot))
}

/// Light that beats, and not even one beat fits: bands stay, and exposure does not follow them.
fn too_bright(sources: &[Source], seeds: u64) -> Result<Gate> {
    let cases = cases(sources, seeds, &BRIGHT, true);
    let moved = work::share(&cases, |case| {
        let steps = case.rig()?.run(FRAMES)?;
        let last = &steps[FRAMES - 60..];
        let changes = last.windows(2).filter(|two| two[0].wanted != two[1].wanted);
        Ok(changes.count())
    })?;
    let worst = moved.iter().zip(&cases).max_by_key(|(moved, _)| **moved);
    Ok(Gate::at_most(
        "flicker: too bright for a beat, control changes in the last 60 frames",
        "",
        0.0,
        worst.map_or(f64::NAN, |(moved, _)| *moved as f64),
        cases.len(),
        worst.map_or(String::new(), |(_, case)| case.place()),
    ))
}

/// Light that does not beat, and steps of it: whoever looks for a beat asks for just what whoever does
/// not look asks for.
fn steady(sources: &[Source], seeds: u64) -> Result<Gate> {
    let mut cases = Vec::new();
    for source in sources {
        for delay in [1, 4] {
            for seed in 1..=seeds {
                cases.extend([-4.0, -2.0, 0.0, 3.0].map(|ev| Case {
                    source,
                    delay,
                    seed,
                    beats: 0.0,
                    period_us: 0.0,
                    ev,
                    auto: true,
                }));
            }
        }
    }
    let wrong = work::share(&cases, |case| {
        let run = |auto: bool| -> Result<Vec<_>> {
            let mut rig = Case { auto, ..*case }.rig()?;
            let mut wanted = Vec::new();
            let first = rig.camera.light();
            for ev in [0.0, 2.0, -1.0, 0.0] {
                rig.light(Light::new(5000.0, first.ev() + ev));
                wanted.extend(rig.run(75)?.iter().map(|step| step.wanted));
            }
            Ok(wanted)
        };
        Ok(run(true)? != run(false)?)
    })?;
    let place = wrong.iter().zip(&cases).find(|(wrong, _)| **wrong);
    Ok(Gate::at_most(
        "flicker: mains found in steady light, 300 frames each with three steps",
        "",
        0.0,
        wrong.iter().filter(|wrong| **wrong).count() as f64,
        cases.len(),
        place.map_or(String::new(), |(_, case)| case.place()),
    ))
}
