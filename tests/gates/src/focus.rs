//! How focus does: no gates are given for it, so these are its promises.

use anyhow::Result;
use coldshoe_camera::scene::DepthScene;
use coldshoe_camera::{Light, Scene};
use coldshoe_ipa::Controls;

use crate::gate::{Gate, Plot, Series};
use crate::rig::{Rig, Setup};
use crate::scenes::{Source, tuning};
use crate::work;

/// Frames in which a scan has to end: eight coarse steps and as many fine ones, each a frame to ask,
/// a delay, and a frame to measure, twice where it begins in the wrong direction.
const FRAMES: usize = 110;

struct Found {
    name: String,
    frames: usize,
    off: f64,
    positions: Vec<f64>,
}

/// Judges focus on a card at many distances, and on one that moves.
///
/// # Errors
/// A frame that the module refuses.
pub fn judge(seeds: u64) -> Result<(Vec<Gate>, Plot)> {
    let mut cases = Vec::new();
    for card in [0.3, 1.0, 2.2, 3.0, 4.7, 6.5, 8.0, 9.8] {
        for ev in [0.0, -5.0] {
            cases.extend((1..=seeds.min(4)).map(|seed| (card, ev, seed)));
        }
    }
    let found = work::share(&cases, |(card, ev, seed)| look(*card, *ev, *seed))?;
    let (starts, turns): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let mut gates = Vec::new();
    for (what, all) in [("start", &starts), ("the card moves", &turns)] {
        let slowest = all.iter().max_by_key(|one| one.frames);
        let widest = all.iter().max_by(|a, b| a.off.total_cmp(&b.off));
        let (Some(slowest), Some(widest)) = (slowest, widest) else {
            continue;
        };
        gates.push(Gate::at_most(
            &format!("focus: {what}, frames to stay within 0.25 dioptres"),
            "frames",
            FRAMES as f64,
            slowest.frames as f64,
            all.len(),
            slowest.name.clone(),
        ));
        gates.push(Gate::at_most(
            &format!("focus: {what}, error at the end"),
            "dioptres",
            0.25,
            widest.off,
            all.len(),
            widest.name.clone(),
        ));
    }
    let series = starts.iter().filter(|one| one.name.ends_with("seed 1"));
    let plot = Plot {
        title: "The lens finds a card".into(),
        y: "dioptres".into(),
        band: None,
        series: series
            .map(|one| Series {
                name: one.name.clone(),
                group: one.name.split(',').next().unwrap_or_default().into(),
                values: one.positions.clone(),
            })
            .collect(),
    };
    Ok((gates, plot))
}

fn look(card: f64, ev: f64, seed: u64) -> Result<(Found, Found)> {
    let source = Source::whole("depth", tuning::VIRTUAL);
    let setup = Setup {
        delay: 2,
        seed,
        light: Light::new(5000.0, ev),
        stale: false,
    };
    let scene = |card: f64| -> Box<dyn Scene> { Box::new(DepthScene::new(card, 0.5)) };
    let mut rig = Rig::with_lens(&source, scene(card), &setup)?;
    rig.controls = Controls {
        set: Controls::AF_MODE,
        af_mode: 2,
        ..Controls::default()
    };
    let first = track(
        &mut rig,
        card,
        &format!("card at {card}, {ev:+} EV, seed {seed}"),
    )?;
    // The card moves, by a quarter of the range.
    let moved = if card < 5.0 { card + 2.5 } else { card - 2.5 };
    rig.camera.set_scene(scene(moved));
    let name = format!("from {card} to {moved}, {ev:+} EV, seed {seed}");
    Ok((first, track(&mut rig, moved, &name)?))
}

fn track(rig: &mut Rig, card: f64, name: &str) -> Result<Found> {
    let steps = rig.run(FRAMES + 30)?;
    let positions: Vec<f64> = steps
        .iter()
        .map(|step| step.lens.unwrap_or(f64::NAN))
        .collect();
    let away = |at: &f64| at.is_nan() || (at - card).abs() > 0.25;
    Ok(Found {
        name: name.into(),
        frames: positions.iter().rposition(away).map_or(0, |last| last + 1),
        off: positions.last().map_or(f64::NAN, |at| (at - card).abs()),
        positions,
    })
}
