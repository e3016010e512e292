//! What saving costs.

mod common;

use std::alloc::System;

use coldshoe_camera::{Light, scene};
use coldshoe_ipa::Ipa;
use common::{Loop, delays};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The only test of this process: no other thread allocates meanwhile.
#[test]
fn saving_allocates_nothing_and_the_size_is_always_the_same() {
    let scene = scene::open(None).unwrap();
    let tuning = include_bytes!("../tuning/virtual.toml");
    let mut camera = Loop::new(scene, tuning, Light::default(), delays(2));
    let mut state = [0; 4096];
    for frames in [0, 1, 20] {
        camera.run(frames);
        let region = Region::new(ALLOCATOR);
        let saved = camera.module.save_state(&mut state);
        let change = region.change();
        assert_eq!(saved, Ok(Some(1712)));
        assert_eq!((change.allocations, change.reallocations), (0, 0));
    }
}
