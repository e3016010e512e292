//! Chance that can be had again.

use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers that follow from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// From `COLDSHOE_SEED`, or the time. Says which, so that the same can be thrown again.
    pub(crate) fn new() -> Self {
        let given = std::env::var("COLDSHOE_SEED").ok();
        let seed = match given {
            Some(text) => text.parse().expect("COLDSHOE_SEED is a number"),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                u64::from(since.expect("after 1970").subsec_nanos())
            }
        };
        println!("COLDSHOE_SEED={seed}");
        Self(seed)
    }

    /// One of 0 to `sides` - 1.
    pub(crate) fn throw(&mut self, sides: u64) -> u64 {
        // Steele, Lea, Flood: SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}
