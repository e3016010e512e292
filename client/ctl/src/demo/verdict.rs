//! What the film shows, in numbers.

use std::time::Duration;

use super::film::Film;
use super::shoot::{Fate, Record};

/// An exposure is settled within this share of the right one.
pub(super) const SETTLED: f64 = 0.05;

/// The numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Each part's name, and the frames until the exposure was settled for good; `None` if it never
    /// was.
    pub(super) settled: Vec<(&'static str, Option<usize>)>,
    /// Error of the last frame's luminance, a share.
    pub(super) luminance_error: f64,
    /// Error of the last frame's white point, degrees.
    pub(super) white_error: Option<f64>,
    /// The largest one where the light has been steady.
    pub(super) worst_white_error: Option<f64>,
    /// Median and 99th percentile of the round trip, over the frames answered in time.
    pub(super) round_trip: Option<(Duration, Duration)>,
    /// Frames by their fate.
    pub(super) fresh: usize,
    pub(super) held: usize,
    pub(super) refused: usize,
    /// Whether parameters still came in the last part.
    pub(super) answers_at_the_end: bool,
}

impl Verdict {
    /// Judges the records of a whole film.
    pub(super) fn of(film: &Film, records: &[Record]) -> Self {
        let count = |what: fn(&Fate) -> bool| records.iter().filter(|r| what(&r.fate)).count();
        let mut trips: Vec<_> = records
            .iter()
            .filter(|record| record.fate == Fate::Fresh)
            .map(|record| record.round_trip)
            .collect();
        trips.sort_unstable();
        let settled = film.parts.iter().map(|part| {
            let errors = records[part.frames()].iter().map(|r| r.luminance_error);
            (part.name, settled(errors))
        });
        let steady = film.parts.iter().flat_map(|part| &records[part.steady()]);
        let last = records.last();
        let last_part = &records[film.parts[3].frames()];
        Self {
            settled: settled.collect(),
            luminance_error: last.map_or(f64::NAN, |last| last.luminance_error),
            white_error: last.and_then(|last| last.white_error),
            worst_white_error: steady.filter_map(|r| r.white_error).reduce(f64::max),
            round_trip: percentile(&trips, 50).zip(percentile(&trips, 99)),
            fresh: count(|fate| *fate == Fate::Fresh),
            held: count(|fate| !matches!(fate, Fate::Fresh | Fate::Refused)),
            refused: count(|fate| *fate == Fate::Refused),
            answers_at_the_end: last_part.iter().any(|record| record.fate == Fate::Fresh),
        }
    }
}

/// Frames until errors stay within [`SETTLED`]; `None` if they do not.
fn settled(errors: impl ExactSizeIterator<Item = f64> + DoubleEndedIterator) -> Option<usize> {
    let len = errors.len();
    // Not a number is not settled.
    let off = |error: f64| error.is_nan() || error.abs() > SETTLED;
    let frames = errors.enumerate().rfind(|(_, error)| off(*error));
    let frames = frames.map_or(0, |(last, _)| last + 1);
    (frames < len).then_some(frames)
}

/// The nearest-rank percentile of sorted values.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe::WhyHeld;
    use coldshoe_camera::Applied;

    fn settle(errors: &[f64]) -> Option<usize> {
        settled(errors.iter().copied())
    }

    #[test]
    fn settled_counts_the_frames_until_the_error_stays_small() {
        assert_eq!(settle(&[0.01, -0.05, 0.0]), Some(0));
        assert_eq!(settle(&[3.0, -0.2, 0.04]), Some(2));
    }

    #[test]
    fn passing_through_the_target_is_not_settling() {
        assert_eq!(settle(&[3.0, 0.01, -0.2, -0.06, 0.01, 0.0]), Some(4));
    }

    #[test]
    fn what_is_off_at_the_end_has_not_settled() {
        assert_eq!(settle(&[0.0, 0.0, 0.051]), None);
        assert_eq!(settle(&[0.0, f64::NAN]), None);
        assert_eq!(settle(&[]), None);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&values, 50), Some(Duration::from_micros(100)));
        assert_eq!(percentile(&values, 99), Some(Duration::from_micros(198)));
        assert_eq!(percentile(&values[..1], 99), Some(values[0]));
        assert_eq!(percentile(&values[..2], 99), Some(values[1]));
        assert_eq!(percentile(&[], 50), None);
    }

    fn record(luminance_error: f64, white_error: f64, fate: Fate, us: u64) -> Record {
        Record {
            applied: Applied {
                exposure_us: 1.0,
                analogue_gain: 1.0,
                digital_gain: 1.0,
            },
            luminance_error,
            white_error: Some(white_error),
            round_trip: Duration::from_micros(us),
            fate,
        }
    }

    #[test]
    fn the_worst_white_point_leaves_out_the_frames_after_a_step() {
        let film = Film::new(24);
        let mut records = vec![record(0.0, 1.0, Fate::Fresh, 10); 24];
        records[18].white_error = Some(12.0);
        records[23].white_error = Some(2.0);
        let verdict = Verdict::of(&film, &records);
        assert_eq!(verdict.worst_white_error, Some(2.0));
        assert_eq!(verdict.white_error, Some(2.0));
    }

    #[test]
    fn held_frames_are_counted_and_stay_out_of_the_round_trips() {
        let film = Film::new(24);
        let mut records = vec![record(0.0, 1.0, Fate::Fresh, 10); 24];
        records[3] = record(0.0, 1.0, Fate::Held(WhyHeld::Deadline), 33_000);
        records[4].fate = Fate::Refused;
        let verdict = Verdict::of(&film, &records);
        assert_eq!((verdict.fresh, verdict.held, verdict.refused), (22, 1, 1));
        let ten = Duration::from_micros(10);
        assert_eq!(verdict.round_trip, Some((ten, ten)));
        assert!(verdict.answers_at_the_end);
    }

    #[test]
    fn a_module_that_falls_silent_is_found_out() {
        let film = Film::new(24);
        let mut records = vec![record(0.0, 1.0, Fate::Fresh, 10); 24];
        for record in &mut records[18..] {
            record.fate = Fate::Held(WhyHeld::ModuleError);
        }
        assert!(!Verdict::of(&film, &records).answers_at_the_end);
    }
}
