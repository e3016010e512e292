//! The script: what the light does, and which frames are shown.

use coldshoe_camera::Light;

/// Fewest frames: six for each part.
pub(super) const MIN_FRAMES: u32 = 24;
/// Most frames: more than five minutes at 30 a second.
pub(super) const MAX_FRAMES: u32 = 10_000;
/// Frames shown of each part.
pub(super) const SHOWN: usize = 3;
/// The exposure that the film begins with, over the right one: 2.5 stops too bright.
pub(super) const FIRST_EXPOSURE: f64 = 5.657;

const WARM: f64 = 2856.0;
const COOL: f64 = 6500.0;

/// A stretch of frames under one light.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// What happens at its first frame.
    pub(super) name: &'static str,
    pub(super) light: Light,
    pub(super) first: usize,
    /// One past its last frame.
    pub(super) end: usize,
}

impl Part {
    /// The frames shown: where it begins, when requests can have come into force, where it ends.
    pub(super) fn shown(&self) -> [usize; SHOWN] {
        [self.first, (self.first + 3).min(self.end - 1), self.end - 1]
    }

    /// Where an algorithm is to have settled: the last third.
    pub(super) fn steady(&self) -> std::ops::Range<usize> {
        self.end - (self.end - self.first) / 3..self.end
    }

    pub(super) fn frames(&self) -> std::ops::Range<usize> {
        self.first..self.end
    }
}

/// A film of four parts of the same length, but for a remainder in the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Film {
    pub(super) parts: [Part; 4],
}

impl Film {
    pub(super) fn new(frames: u32) -> Self {
        let frames = frames.clamp(MIN_FRAMES, MAX_FRAMES) as usize;
        let script = [
            ("start", WARM, 0.0),
            ("light +3 EV", WARM, 3.0),
            ("light -3 EV", WARM, 0.0),
            ("2856 K to 6500 K", COOL, 0.0),
        ];
        let mut first = 0;
        let parts = script.map(|(name, kelvin, ev)| {
            let part = Part {
                name,
                light: Light::new(kelvin, ev),
                first,
                end: first + frames / 4,
            };
            first = part.end;
            part
        });
        let mut film = Self { parts };
        film.parts[3].end = frames;
        film
    }

    pub(super) fn len(&self) -> usize {
        self.parts[3].end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_fill_the_film() {
        for frames in [MIN_FRAMES, 25, 119, 120, MAX_FRAMES] {
            let film = Film::new(frames);
            assert_eq!(film.len(), frames as usize);
            assert_eq!(film.parts[0].first, 0);
            for pair in film.parts.windows(2) {
                assert_eq!(pair[0].end, pair[1].first);
            }
        }
    }

    #[test]
    fn a_length_out_of_bounds_is_brought_within() {
        assert_eq!(Film::new(0), Film::new(MIN_FRAMES));
        assert_eq!(Film::new(u32::MAX), Film::new(MAX_FRAMES));
    }

    #[test]
    fn frames_shown_and_steady_ones_are_the_parts_own() {
        for frames in [MIN_FRAMES, 120] {
            for part in Film::new(frames).parts {
                let shown = part.shown();
                assert!(shown.is_sorted_by(|a, b| a < b), "{shown:?}");
                assert!(shown.iter().all(|frame| part.frames().contains(frame)));
                assert!(!part.steady().is_empty());
                assert!(part.steady().start > part.first);
            }
        }
    }

    #[test]
    fn only_the_light_changes_and_one_thing_at_a_time() {
        let lights = Film::new(120).parts.map(|part| part.light);
        assert_eq!(lights[1], Light::new(2856.0, 3.0));
        assert_eq!(lights[0], lights[2]);
        assert_eq!(lights[3], Light::new(6500.0, 0.0));
    }
}
