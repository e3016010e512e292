//! What a frame leaves open.
//!
//! Of a clipped pixel a frame tells only that it is at least full light. The dimmest scene that gives
//! the frame has all of them just there, the brightest has no bound. Both look the same to any
//! algorithm, but their right exposures are not.

use coldshoe_camera::Mosaic;
use coldshoe_camera::metering::{self, Metering};

/// How many times brighter than full light stands for no bound.
const BRIGHT: f32 = 64.0;

/// The largest over the smallest right exposure of the scenes that look like this one in a frame of
/// `total_us`.
#[must_use]
pub fn open(radiance: &Mosaic, total_us: f64) -> f64 {
    let full = (1000.0 / total_us) as f32;
    let with = |clipped: f32| {
        let width = radiance.size().width();
        let twin = Mosaic::from_fn(radiance.size(), radiance.cfa(), |x, y, _| {
            let value = radiance.data()[y * width + x];
            if value >= full { clipped * full } else { value }
        });
        metering::total_exposure_us(&twin, &Metering::default())
    };
    with(1.0) / with(BRIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_camera::{Cfa, Dimensions};

    fn scene(value: impl Fn(usize) -> f32) -> Mosaic {
        let size = Dimensions::new(64, 48).unwrap();
        Mosaic::from_fn(size, Cfa::Rggb, |x, _, _| value(x))
    }

    #[test]
    fn nothing_is_open_where_nothing_clips_and_much_where_much_does() {
        let dark = scene(|x| 0.001 + 0.0005 * x as f32);
        assert!((open(&dark, 10_000.0) - 1.0).abs() < 1e-6);
        let burnt = scene(|x| if x < 32 { 0.05 } else { 0.4 });
        assert!(open(&burnt, 10_000.0) > 2.0);
    }
}
