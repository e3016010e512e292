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
/// Beats a second. Mains are never quite right, and at 30 frames a second 120.00 beats would stand
/// still, with nothing to see.
const BEATS: [f64; 4] = [100.0, 99.96, 119.95, 120.03];
/// Bands of so much of the light are as good as none.
const NONE: f64 = 1.0;
/// Frames from the start.
const FRAMES: usize = 180;
/// Levels at which 12, 15 and 21 ms are right: whole beats fit.
const DIM: [f64; 3] = [-0.3, -0.6, -1.05];
/// Levels at which not even one beat fits.
const BRIGHT: [f64; 2] = [2.0, 4.0];

#[derive(Clone, Copy)]
struct Case<'a> {
    source: &'a Source,
    delay: u64,
    seed: u64,
    beats: f64,
    ev: f64,
    auto: bool,
    sensor: fn() -> SensorConfig,
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
            ..(self.sensor)()
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

    /// How far bands stand out in a frame, % of its light.
    fn bands(&self, step: &Step) -> f64 {
        let half = std::f64::consts::PI * self.beats * step.applied.exposure_us / 1e6;
        100.0 * DEPTH * (half.sin() / half).abs()
    }
}

/// Bands are looked for in the means of rows, and noise is in them as there are pixels: each here stands
/// for 4×4 of a sensor of 640×480.
fn full_size() -> SensorConfig {
    let one = SensorConfig::default();
    SensorConfig {
        full_well: 16.0 * one.full_well,
        read_noise: 4.0 * one.read_noise,
        ..one
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
                for beats in BEATS {
                    cases.extend(levels.iter().map(|&ev| Case {
                        source,
                        delay,
                        seed,
                        beats,
                        ev,
                        auto,
                        sensor: full_size,
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
    gates.extend(too_bright(sources, seeds)?);
    gates.push(steady(sources, seeds)?);
    Ok((gates, plot))
}

/// Light that beats, and whole beats that fit.
fn found(sources: &[Source], seeds: u64) -> Result<(Vec<Gate>, Plot)> {
    let cases_on = cases(sources, seeds, &DIM, true);
    let runs = work::share(&cases_on, |case| {
        let steps = case.rig()?.run(FRAMES)?;
        Ok(steps
            .iter()
            .map(|step| case.bands(step))
            .collect::<Vec<_>>())
    })?;
    let off = cases(sources, 1, &DIM, false);
    let left = work::share(&off, |case| {
        let steps = case.rig()?.run(60)?;
        Ok(case.bands(&steps[59]))
    })?;
    let frames = |bands: &Vec<f64>| {
        bands
            .iter()
            .rposition(|band| *band > NONE)
            .map_or(0, |at| at + 1)
    };
    let worst = |judged: fn(f64) -> bool| {
        let some = runs
            .iter()
            .zip(&cases_on)
            .filter(|(_, case)| judged(case.beats));
        let slowest = some.max_by_key(|(bands, _)| frames(bands));
        slowest.map_or((f64::NAN, String::new()), |(bands, case)| {
            (frames(bands) as f64, case.place())
        })
    };
    let mut series: Vec<Series> = Vec::new();
    for (case, bands) in cases_on.iter().zip(&runs) {
        if case.delay == 1 && case.seed == 1 {
            series.push(Series {
                name: case.place(),
                group: format!("{:.0} Hz mains", (case.beats / 20.0).round() * 10.0),
                values: bands[..90].to_vec(),
            });
        }
    }
    let gate = |name: &str, bound: f64, judged: fn(f64) -> bool| {
        let (frames, place) = worst(judged);
        let runs = cases_on.iter().filter(|case| judged(case.beats)).count();
        Gate::at_most(name, "frames", bound, frames, runs, place)
    };
    let gates = vec![
        gate(
            "flicker: start, 50 Hz mains, frames until bands stay below 1 % of the light",
            40.0,
            |beats| beats < 110.0,
        ),
        gate(
            "flicker: start, 60 Hz mains, where bands creep, the same",
            120.0,
            |beats| beats > 110.0,
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
fn too_bright(sources: &[Source], seeds: u64) -> Result<[Gate; 2]> {
    let cases = cases(sources, seeds, &BRIGHT, true);
    let moved = work::share(&cases, |case| {
        let steps = case.rig()?.run(FRAMES)?;
        let last = steps[FRAMES - 60..].iter().map(|step| step.ratio);
        let (low, high) = last.fold((f64::MAX, 0.0_f64), |(low, high), ratio| {
            (low.min(ratio), high.max(ratio))
        });
        let steps = steps[FRAMES - 60..].windows(2);
        let changes = steps.map(|two| two[1].ratio / two[0].ratio);
        let ways: Vec<_> = changes
            .filter(|change| *change != 1.0)
            .map(|change| change > 1.0)
            .collect();
        let turns = ways.windows(2).filter(|two| two[0] != two[1]).count();
        Ok((100.0 * (high / low - 1.0), turns))
    })?;
    let runs = || moved.iter().zip(&cases);
    let clear = || runs().filter(|(_, case)| case.beats < 110.0);
    let swings = clear().max_by(|((a, _), _), ((b, _), _)| a.total_cmp(b));
    let turns = runs().max_by_key(|((_, turns), _)| *turns);
    Ok([
        Gate::at_most(
            "flicker: 50 Hz, too bright for a beat, exposure over the last 60 frames, peak to peak",
            "%",
            5.0,
            swings.map_or(f64::NAN, |((swing, _), _)| *swing),
            clear().count(),
            swings.map_or(String::new(), |(_, case)| case.place()),
        ),
        Gate::at_most(
            "flicker: too bright for a beat, times that exposure turns in the last 60 frames",
            "",
            0.0,
            turns.map_or(f64::NAN, |((_, turns), _)| *turns as f64),
            cases.len(),
            turns.map_or(String::new(), |(_, case)| case.place()),
        ),
    ])
}

/// Light that does not beat, and steps of it: whoever looks for a beat asks for just what whoever does
/// not look asks for.
fn steady(sources: &[Source], seeds: u64) -> Result<Gate> {
    let mut cases = Vec::new();
    for source in sources {
        for delay in [1, 4] {
            for seed in 1..=seeds {
                let sensors: [fn() -> SensorConfig; 2] = [SensorConfig::default, full_size];
                for sensor in sensors {
                    cases.extend([-2.5, 2.0].map(|ev| Case {
                        source,
                        delay,
                        seed,
                        beats: 0.0,
                        ev,
                        auto: true,
                        sensor,
                    }));
                }
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
