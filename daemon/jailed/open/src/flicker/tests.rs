use super::*;
use crate::exposure::Exposure;
use crate::measure::Zone;
use std::f64::consts::PI;

const READOUT_US: f64 = 27_000.0;
const DEPTH: f64 = 0.2;

/// Frames of a scene whose rows differ, in a light of so many beats a second.
struct World {
    beats: f64,
    frame_us: f64,
    frames: u64,
    /// Moves the scene, if it moves.
    motion: f64,
}

impl World {
    fn new(beats: f64, fps: f64) -> Self {
        Self {
            beats,
            frame_us: 1e6 / fps,
            frames: 0,
            motion: 0.0,
        }
    }

    fn frame(&mut self, exposure_us: f64) -> (Measured, u64) {
        let start = self.frames as f64 * self.frame_us;
        self.frames += 1;
        let zones = (0..192).map(|i| {
            let row = (i / 16) as f64;
            let read = start + READOUT_US * (row + 0.5) / 12.0;
            let turns = self.beats * exposure_us / 1e6;
            let phase = 2.0 * PI * self.beats * read / 1e6 - PI * turns;
            let beat = 1.0 + DEPTH * (PI * turns).sin() / (PI * turns).max(1e-9) * phase.cos();
            // Steps of a chaotic sequence: nothing of them keeps time.
            self.motion = 3.99 * self.motion * (1.0 - self.motion);
            let scene = 0.1 + 0.02 * (i % 7) as f64 + 0.05 * self.motion;
            Zone {
                luminance: scene * beat,
                valid: 100.0,
                ..Zone::default()
            }
        });
        let measured = Measured {
            zones: zones.collect(),
            columns: 16,
            applied: Exposure {
                exposure_us,
                analogue_gain: 2.0,
                digital_gain: 1.0,
            },
            ..Measured::default()
        };
        (measured, (start * 1000.0) as u64)
    }

    fn show(&mut self, flicker: &mut Flicker, exposure_us: f64, frames: usize) -> Beat {
        let mut beat = Beat::default();
        for _ in 0..frames {
            let (frame, at) = self.frame(exposure_us);
            beat = flicker.process(&frame, at);
        }
        beat
    }
}

fn auto() -> Flicker {
    Flicker::new(FlickerMode::Auto, READOUT_US)
}

#[test]
fn the_mains_are_told_apart_within_40_frames_at_any_frame_rate() {
    for mains in Mains::ALL {
        for fps in [14.99, 23.976, 25.1, 29.97, 48.1] {
            let beat = World::new(mains.beats(), fps).show(&mut auto(), 6_000.0, 40);
            assert_eq!(beat.period_us, mains.period_us(), "{mains:?} at {fps}");
        }
    }
}

#[test]
fn how_much_bands_stand_out_is_known() {
    let beat = World::new(100.0, 30.0).show(&mut auto(), 5_000.0, 60);
    let want = DEPTH * 2.0 / PI;
    assert!(
        (beat.swing / want - 1.0).abs() < 0.1,
        "{} {want}",
        beat.swing
    );
}

#[test]
fn bands_that_creep_are_seen_though_the_frame_rate_divides_the_beat() {
    let cases = [
        (119.97, 30.0),
        (120.04, 30.0),
        (120.0, 59.94),
        (99.98, 50.0),
        (100.0, 20.01),
    ];
    for (beats, fps) in cases {
        let beat = World::new(beats, fps).show(&mut auto(), 6_000.0, 80);
        let want = if beats > 110.0 { 8_333.3 } else { 10_000.0 };
        assert!((beat.period_us - want).abs() < 0.1, "{beats} at {fps}");
    }
}

#[test]
fn what_moves_is_no_beat() {
    let mut world = World::new(0.0, 30.0);
    world.motion = 0.3;
    let mut flicker = auto();
    for _ in 0..2_000 {
        assert_eq!(world.show(&mut flicker, 6_000.0, 1), Beat::default());
    }
}

#[test]
fn a_scene_that_passes_by_is_no_beat() {
    // Shelves, a wall and a window, one above the other.
    let scene = |at: f64| {
        let waves = [(0.9, 0.5), (2.3, 0.3), (3.1, 0.3), (5.7, 0.2), (11.3, 0.1)];
        let sum = waves.map(|(cycles, depth)| depth * (cycles * at + 7.0 * cycles).sin());
        0.2 * sum.iter().sum::<f64>().exp()
    };
    for rows_a_frame in [0.002, 0.02, 0.1, 0.5, 2.0] {
        for fps in [29.97, 30.0, 50.0, 24.0] {
            let mut flicker = auto();
            for number in 0..600 {
                let (mut frame, at) = World::new(0.0, fps).frame(6_000.0);
                for (i, zone) in frame.zones.iter_mut().enumerate() {
                    let row = (i / 16) as f64 + rows_a_frame * f64::from(number);
                    zone.luminance = scene(row / 12.0);
                }
                let at = at + (f64::from(number) * 1e9 / fps) as u64;
                let beat = flicker.process(&frame, at);
                assert_eq!(beat, Beat::default(), "{rows_a_frame} {fps} {number}");
            }
        }
    }
}

#[test]
fn a_light_that_beats_otherwise_is_not_taken_for_mains() {
    for beats in [90.0, 97.0, 108.0, 133.0, 1_000.0] {
        let beat = World::new(beats, 29.0).show(&mut auto(), 3_000.0, 300);
        assert_eq!(beat, Beat::default(), "{beats}");
    }
}

#[test]
fn what_was_found_stays_in_whole_beats_and_goes_with_the_lamp() {
    let mut flicker = auto();
    let mut world = World::new(100.0, 30.0);
    world.show(&mut flicker, 6_000.0, 40);
    assert_eq!(
        world.show(&mut flicker, 10_000.0, 1_000).period_us,
        10_000.0
    );
    // Daylight, and still whole beats: nothing tells that the lamp is off.
    world.beats = 0.0;
    assert_eq!(
        world.show(&mut flicker, 20_000.0, 1_000).period_us,
        10_000.0
    );
    let short = |flicker: &mut Flicker, world: &mut World, frames| {
        world.motion = 0.3;
        world.show(flicker, 2_000.0, frames).period_us
    };
    assert_eq!(short(&mut flicker, &mut world, 60), 10_000.0);
    assert_eq!(short(&mut flicker, &mut world, 60), 0.0);
}

#[test]
fn other_mains_are_seen_through_the_multiples_of_the_first() {
    let mut flicker = auto();
    World::new(100.0, 30.01).show(&mut flicker, 6_000.0, 40);
    let beat = World::new(120.0, 30.01).show(&mut flicker, 10_000.0, 100);
    assert_eq!(beat.period_us, Mains::Hz60.period_us());
}

#[test]
fn a_mode_that_is_given_needs_no_light() {
    let still = |mode| {
        World::new(0.0, 30.0)
            .show(&mut Flicker::new(mode, READOUT_US), 6_000.0, 3)
            .period_us
    };
    assert_eq!(still(FlickerMode::Hz50), 10_000.0);
    assert!((still(FlickerMode::Hz60) - 8_333.3).abs() < 0.1);
    let off = &mut Flicker::new(FlickerMode::Off, READOUT_US);
    assert_eq!(
        World::new(100.0, 30.0).show(off, 6_000.0, 60),
        Beat::default()
    );
}

#[test]
fn frames_without_time_light_or_exposure_do_no_harm() {
    let mut flicker = auto();
    let (good, _) = World::new(100.0, 30.0).frame(6_000.0);
    let odd = |exposure_us| Measured {
        applied: Exposure {
            exposure_us,
            ..good.applied
        },
        ..good.clone()
    };
    for frame in [Measured::default(), odd(0.0), odd(f64::NAN), odd(1e300)] {
        for at in [0, 0, 5, u64::MAX, 3] {
            assert_eq!(flicker.process(&frame, at), Beat::default());
        }
    }
    let beat = World::new(100.0, 30.0).show(&mut flicker, 6_000.0, 60);
    assert_eq!(beat.period_us, 10_000.0);
}
