//! The gates of exposure.

use anyhow::Result;
use coldshoe_camera::Light;

use crate::gate::{Gate, Plot, Series};
use crate::rig::{Rig, Setup, Step};
use crate::scenes::Source;
use crate::{twins, work};

/// Within so much of the right exposure it has arrived.
const NEAR: f64 = 0.05;
const DELAYS: std::ops::RangeInclusive<u64> = 1..=4;
/// A frame that leaves the right exposure open by less than this factor tells it: a decision in the
/// middle is within 5 % of both ends.
const TELLS: f64 = 1.1;
/// Frames until a loop has settled for sure.
const SETTLE: usize = 40;
/// Frames that are looked at after a step.
const AFTER: usize = 70;

/// How light changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// The camera starts, its exposure wrong by so many EV.
    Start(f64),
    /// It has settled, and the light changes.
    Step { from: f64, to: f64 },
}

impl Change {
    fn ev(self) -> f64 {
        match self {
            Self::Start(ev) => ev,
            Self::Step { from, to } => to - from,
        }
    }
}

/// One run, judged.
#[derive(Clone, Debug)]
struct Run {
    scene: String,
    delay: u64,
    change: Change,
    /// Frames until the exposure stays within 5 %.
    frames: usize,
    /// Most that it went beyond.
    over: f64,
    /// Right exposures of scenes whose first frame is the same, largest over smallest.
    open: f64,
    ratios: Vec<f64>,
}

/// Frames until the exposure is near and stays so; 0 if it always was.
fn settled(ratios: &[f64]) -> usize {
    let wrong = |ratio: &f64| (ratio - 1.0).abs() > NEAR;
    ratios.iter().rposition(wrong).map_or(0, |last| last + 1)
}

/// How far the exposure went beyond the right one, coming from where it was after the change.
fn overshoot(ratios: &[f64], ev: f64) -> f64 {
    let beyond = |ratio: &f64| {
        if ev > 0.0 { 1.0 - ratio } else { ratio - 1.0 }
    };
    ratios.iter().map(beyond).fold(0.0, f64::max)
}

fn ratios(steps: &[Step]) -> Vec<f64> {
    steps.iter().map(|step| step.ratio).collect()
}

fn run(source: &Source, delay: u64, seed: u64, change: Change, stale: bool) -> Result<Run> {
    let first = match change {
        Change::Start(ev) => ev,
        Change::Step { from, .. } => from,
    };
    let mut setup = Setup {
        delay,
        seed,
        light: Light::new(5000.0, 0.0),
        stale,
    };
    let mut rig = Rig::new(source, source.open()?, &setup)?;
    // The light at which what the sensor starts with is right.
    let zero = rig.wrong_by();
    setup.light = Light::new(5000.0, first - zero);
    rig = Rig::new(source, source.open()?, &setup)?;
    if let Change::Step { to, .. } = change {
        rig.run(SETTLE)?;
        rig.light(Light::new(5000.0, to - zero));
    }
    let open = match change {
        Change::Start(ev) if ev > 0.0 => twins::open(rig.camera.radiance(), 10_000.0),
        _ => 1.0,
    };
    let ratios = ratios(&rig.run(AFTER)?);
    Ok(Run {
        open,
        scene: source.name.clone(),
        delay,
        change,
        frames: settled(&ratios),
        over: overshoot(&ratios, change.ev()),
        ratios,
    })
}

/// The worst of some runs, and which it was.
fn slowest(runs: &[Run]) -> (f64, String) {
    let worst = runs.iter().max_by_key(|run| run.frames);
    worst.map_or((f64::NAN, String::new()), |run| {
        (run.frames as f64, at(run))
    })
}

fn at(run: &Run) -> String {
    format!(
        "{}, delay {}, {:+} EV",
        run.scene,
        run.delay,
        run.change.ev()
    )
}

fn runs(sources: &[Source], seeds: u64, changes: &[Change]) -> Result<Vec<Run>> {
    let mut cases = Vec::new();
    for source in sources {
        for delay in DELAYS {
            for seed in 1..=seeds {
                cases.extend(changes.iter().map(|change| (source, delay, seed, *change)));
            }
        }
    }
    work::share(&cases, |(source, delay, seed, change)| {
        run(source, *delay, *seed, *change, false)
    })
}

/// How many of the runs are within `most` frames, by change: what the worst alone does not tell.
fn spread(runs: &[Run], most: usize) -> String {
    let mut evs: Vec<f64> = runs.iter().map(|run| run.change.ev()).collect();
    evs.sort_by(f64::total_cmp);
    evs.dedup();
    let part = |ev: &f64| {
        let of = || runs.iter().filter(|run| run.change.ev() == *ev);
        let good = of().filter(|run| run.frames <= most).count();
        let mean = of().map(|run| run.frames as f64).sum::<f64>() / of().count() as f64;
        format!("{ev:+} EV {good}/{} (mean {mean:.1})", of().count())
    };
    evs.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// Judges all of it.
///
/// # Errors
/// A scene that does not open, a frame that the module refuses.
pub fn judge(sources: &[Source], seeds: u64) -> Result<(Vec<Gate>, Vec<Plot>)> {
    let stops = [-3.0, -2.0, -1.0, 1.0, 2.0, 3.0];
    let starts = runs(sources, seeds, &stops.map(Change::Start))?;
    let steps = stops.map(|ev| Change::Step {
        from: -ev / 2.0,
        to: ev / 2.0,
    });
    let steps = runs(sources, seeds, &steps)?;
    let up = [Change::Step {
        from: -2.5,
        to: 2.5,
    }];
    let five = runs(sources, seeds, &up)?;

    let mut gates = Vec::new();
    let mut frames = |name: &str, runs: &[Run], most: usize| {
        let (worst, at) = slowest(runs);
        let note = format!("{at}; {}", spread(runs, most));
        gates.push(Gate::at_most(
            name,
            "frames",
            most as f64,
            worst,
            runs.len(),
            note,
        ));
    };
    let (told, burnt): (Vec<_>, Vec<_>) = starts.iter().cloned().partition(|run| run.open < TELLS);
    frames(
        "exposure: start, up to 3 EV wrong, frames that tell the right exposure",
        &told,
        6,
    );
    frames("exposure: steps up to 3 EV, damped", &steps, 15);
    frames("exposure: +5 EV", &five, 30);
    gates.extend(blind(&burnt));
    let all: Vec<_> = [&starts[..], &steps[..], &five[..]].concat();
    let worst = all.iter().max_by(|a, b| a.over.total_cmp(&b.over));
    let (over, at) = worst.map_or((f64::NAN, String::new()), |run| (run.over, at(run)));
    gates.push(Gate::at_most(
        "exposure: overshoot",
        "%",
        5.0,
        100.0 * over,
        all.len(),
        at,
    ));
    gates.extend(still(sources, seeds)?);
    gates.push(wind_up(sources, seeds)?);
    gates.push(control(sources)?);
    let plots = vec![
        plot("Exposure at the start", &starts),
        plot(
            "Exposure after a step of light",
            &[&steps[..], &five[..]].concat(),
        ),
    ];
    Ok((gates, plots))
}

/// Starts from a frame that does not tell the right exposure: with what clipped in it, scenes of quite
/// other brightness look the same. Whatever is decided on such a frame is a guess, and the next frame
/// that tells more comes a delay later: rounds are what counts.
fn blind(burnt: &[Run]) -> Vec<Gate> {
    let rounds = |run: &Run| run.frames as f64 / (run.delay + 1) as f64;
    let worst = burnt.iter().max_by(|a, b| rounds(a).total_cmp(&rounds(b)));
    let least = burnt.iter().min_by(|a, b| a.open.total_cmp(&b.open));
    let (Some(worst), Some(least)) = (worst, least) else {
        return Vec::new();
    };
    let within = burnt.iter().filter(|run| run.frames <= 6).count();
    vec![
        Gate::at_most(
            "exposure: start from a burnt frame, rounds of the delay",
            "rounds",
            4.0,
            rounds(worst),
            burnt.len(),
            format!(
                "{}; within 6 frames: {within} of {}",
                at(worst),
                burnt.len()
            ),
        ),
        Gate::at_least(
            "control: right exposures that fit such a frame, largest over smallest",
            "",
            TELLS,
            least.open,
            burnt.len(),
            format!(
                "the least open of them: {}. No decision on that frame is within 5 % of both; with delays of 3 \
                 and 4 it is the only one that can have an effect within 6 frames",
                at(least)
            ),
        ),
    ]
}

/// The last 60 frames of a scene that does not change.
fn still(sources: &[Source], seeds: u64) -> Result<[Gate; 2]> {
    let mut cases = Vec::new();
    for source in sources {
        for delay in DELAYS {
            for seed in 1..=seeds {
                cases.extend([-4.0, -1.0, 1.5].map(|ev| (source, delay, seed, ev)));
            }
        }
    }
    let found = work::share(&cases, |(source, delay, seed, ev)| {
        let setup = Setup {
            delay: *delay,
            seed: *seed,
            light: Light::new(5000.0, *ev),
            stale: false,
        };
        let steps = Rig::new(source, source.open()?, &setup)?.run(120)?;
        let last = &steps[60..];
        let (low, high) = last.iter().fold((f64::MAX, 0.0_f64), |(low, high), step| {
            (low.min(step.ratio), high.max(step.ratio))
        });
        let moved = last.windows(2).filter(|two| two[0].wanted != two[1].wanted);
        let place = format!("{}, delay {delay}, {ev:+} EV", source.name);
        Ok((high / low - 1.0, moved.count(), place))
    })?;
    let flicker = found.iter().max_by(|a, b| a.0.total_cmp(&b.0));
    let moved = found.iter().max_by_key(|one| one.1);
    let number = found.len();
    let (flicker, moved) = (
        flicker.cloned().unwrap_or_default(),
        moved.cloned().unwrap_or_default(),
    );
    Ok([
        Gate::at_most(
            "exposure: flicker over the last 60 frames, peak to peak",
            "%",
            1.0,
            100.0 * flicker.0,
            number,
            flicker.2,
        ),
        Gate::at_most(
            "exposure: control changes on a static scene",
            "",
            0.0,
            moved.1 as f64,
            number,
            moved.2,
        ),
    ])
}

/// Sixty frames at the maximum, then +3 EV: as fast as without.
fn wind_up(sources: &[Source], seeds: u64) -> Result<Gate> {
    let mut cases = Vec::new();
    for source in sources {
        for delay in DELAYS {
            cases.extend((1..=seeds).map(|seed| (source, delay, seed)));
        }
    }
    let found = work::share(&cases, |(source, delay, seed)| {
        let after = |frames: usize| -> Result<usize> {
            let setup = Setup {
                delay: *delay,
                seed: *seed,
                // The sensor's longest exposure at its largest gains is too little by 3 EV.
                light: Light::new(5000.0, -9.7),
                stale: false,
            };
            let mut rig = Rig::new(source, source.open()?, &setup)?;
            // The same frames come after the step, so that noise is the same.
            rig.skip(60 - frames);
            rig.run(20 + frames)?;
            rig.light(Light::new(5000.0, -3.7));
            Ok(settled(&ratios(&rig.run(AFTER)?)))
        };
        let (with, without) = (after(60)?, after(0)?);
        let place = format!(
            "{}, delay {delay}: {with} frames, {without} without",
            source.name
        );
        Ok((with as f64 - without as f64, place))
    })?;
    let worst = found.iter().max_by(|a, b| a.0.total_cmp(&b.0));
    let (more, place) = worst.cloned().unwrap_or((f64::NAN, String::new()));
    Ok(Gate::at_most(
        "exposure: wind-up, 60 frames at the maximum",
        "frames more",
        0.0,
        more,
        found.len(),
        place,
    ))
}

/// The control: told what it last asked for instead of what was in force, the same loop overshoots.
fn control(sources: &[Source]) -> Result<Gate> {
    let mut worst = 0.0_f64;
    for source in sources {
        for delay in DELAYS {
            let change = Change::Start(-3.0);
            worst = worst.max(run(source, delay, 1, change, true)?.over);
        }
    }
    Ok(Gate::at_least(
        "control: overshoot with metadata of another frame",
        "%",
        20.0,
        100.0 * worst,
        sources.len() * 4,
        "what matched metadata prevents; a harness that cannot fail would show nothing here".into(),
    ))
}

/// The first seed of each scene and change at a delay of 2.
fn plot(title: &str, runs: &[Run]) -> Plot {
    let mut seen = Vec::new();
    let mut series = Vec::new();
    for run in runs.iter().filter(|run| run.delay == 2) {
        let key = (run.scene.clone(), run.change.ev());
        if !seen.contains(&key) {
            series.push(Series {
                name: format!("{} {:+} EV", run.scene, run.change.ev()),
                group: format!("{:+} EV", run.change.ev()),
                values: run.ratios[..40].iter().map(|ratio| ratio.log2()).collect(),
            });
            seen.push(key);
        }
    }
    Plot {
        title: title.into(),
        y: "EV from the right exposure, delay 2".into(),
        band: Some(((1.0 - NEAR).log2(), (1.0 + NEAR).log2())),
        series,
    }
}
