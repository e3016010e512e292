//! The gates of tone, contrast stretch switched on.

use anyhow::Result;
use coldshoe_camera::{Camera, Light, SensorConfig};
use coldshoe_isp::soft::ToneCurve;

use crate::gate::Gate;
use crate::rig::Rig;
use crate::scenes::Source;
use crate::work;

const STRETCH: &str = "\n[tone.stretch]\n";
/// Light of middle grey; what is displayed of it is looked at.
const GREY: f64 = 0.1;
/// Half a code of eight bits.
const SEEN: f64 = 0.002;

/// What one run led to.
struct Run {
    place: String,
    /// Frames until the curve stays within half a code of its last.
    frames: usize,
    /// Curves that differ from the one before, of the last 60 frames.
    changes: usize,
    /// How far the stretch moves what is displayed, at most.
    effect: f64,
}

fn run(source: &Source, seed: u64) -> Result<Run> {
    let tuning = [source.tuning, STRETCH.as_bytes()].concat();
    let config = SensorConfig {
        seed,
        ..SensorConfig::default()
    };
    let camera = Camera::with_sensor(source.open()?, Light::new(5000.0, -1.0), config);
    let mut rig = Rig::of(&tuning, camera, false)?;
    rig.step()?;
    let plain = rig.tone()?;
    rig.run(40)?;
    rig.light(Light::new(3200.0, 1.0));
    let mut curves = Vec::new();
    for _ in 0..140 {
        rig.step()?;
        curves.push(rig.tone()?);
    }
    let last = curves[139];
    let off = |curve: &ToneCurve| (curve.at(GREY) - last.at(GREY)).abs() > SEEN;
    let still = curves[80..].windows(2);
    let steps = (0..=256).map(|i| f64::from(i) / 256.0);
    let moved = steps.map(|x| (last.at(x) - plain.at(x)).abs());
    Ok(Run {
        place: source.name.clone(),
        frames: curves.iter().rposition(off).map_or(0, |at| at + 1),
        changes: still.filter(|two| two[0] != two[1]).count(),
        effect: moved.fold(0.0, f64::max),
    })
}

/// Judges all of it.
///
/// # Errors
/// A scene that does not open, a frame that the module refuses.
pub fn judge(sources: &[Source], seeds: u64) -> Result<[Gate; 3]> {
    let mut cases = Vec::new();
    for source in sources {
        cases.extend((1..=seeds).map(|seed| (source, seed)));
    }
    let runs = work::share(&cases, |(source, seed)| run(source, *seed))?;
    let slowest = runs.iter().max_by_key(|run| run.frames);
    let shakiest = runs.iter().max_by_key(|run| run.changes);
    let most = runs.iter().max_by(|a, b| a.effect.total_cmp(&b.effect));
    let place = |run: Option<&Run>| run.map_or(String::new(), |run| run.place.clone());
    Ok([
        Gate::at_most(
            "tone: stretch, another light, frames to stay within half a code at middle grey",
            "frames",
            30.0,
            slowest.map_or(f64::NAN, |run| run.frames as f64),
            runs.len(),
            place(slowest),
        ),
        Gate::at_most(
            "tone: stretch, curves that change in the last 60 frames",
            "",
            0.0,
            shakiest.map_or(f64::NAN, |run| run.changes as f64),
            runs.len(),
            place(shakiest),
        ),
        Gate::at_least(
            "control: what the stretch changes, where it changes most",
            "codes",
            10.0,
            most.map_or(f64::NAN, |run| 255.0 * run.effect),
            runs.len(),
            place(most),
        ),
    ])
}
