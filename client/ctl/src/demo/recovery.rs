//! How the film went on after each fault.

use std::time::{Duration, Instant};

use super::chaos::Done;
use super::shoot::{Fate, Record};
use super::summary::Section;

/// Where the pipeline stood when a frame was over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pulse {
    pub(super) over: Instant,
    /// There was nothing to go on with.
    pub(super) without: bool,
    /// The next frame was due by then.
    pub(super) late: bool,
    /// Workers that had taken over.
    pub(super) replaced: u64,
    /// Exposure × gains that the sensor was last asked for, in µs.
    pub(super) total_us: Option<f64>,
    /// Gains of red and blue in force, green is 1.
    pub(super) white: [f64; 2],
}

/// A fault, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recovery {
    pub(super) done: Done,
    /// Frames that went on with the last parameters.
    pub(super) held: usize,
    /// Until the next worker's first answer; `None`: it did not come in the film.
    pub(super) took: Option<Duration>,
    before: Option<Pulse>,
    after: Option<Pulse>,
}

/// What the faults of a film cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Recoveries {
    pub(super) all: Vec<Recovery>,
    pub(super) without: usize,
    pub(super) late: usize,
}

impl Recoveries {
    pub(super) fn of(done: &[Done], records: &[Record], pulses: &[Pulse]) -> Self {
        let ends = done.iter().skip(1).map(|next| next.frame);
        let ends = ends.chain([records.len()]);
        let recovery = |(done, end): (&Done, usize)| {
            let frames = done.frame..end.min(records.len()).max(done.frame);
            let back = frames.clone().find(|frame| {
                records[*frame].fate == Fate::Fresh && pulses[*frame].replaced > done.replaced
            });
            let held = (done.frame..back.unwrap_or(frames.end))
                .filter(|frame| records[*frame].fate != Fate::Fresh)
                .count();
            let after = back.map(|frame| pulses[frame]);
            Recovery {
                done: *done,
                held,
                took: after.map(|pulse| pulse.over - done.at),
                before: done.frame.checked_sub(1).map(|frame| pulses[frame]),
                after,
            }
        };
        Self {
            all: done.iter().zip(ends).map(recovery).collect(),
            without: pulses.iter().filter(|pulse| pulse.without).count(),
            late: pulses.iter().filter(|pulse| pulse.late).count(),
        }
    }

    /// Two lines for whoever counts.
    pub(super) fn counts(&self) -> String {
        let Self { without, late, .. } = self;
        format!("frames without parameters: {without}\nlate frames: {late}")
    }

    pub(super) fn section(&self, seed: u64) -> Section {
        let row = |recovery: &Recovery| {
            let Done { frame, deed, .. } = recovery.done;
            (format!("frame {frame}: {}", deed.name()), recovery.tell())
        };
        let mut rows = vec![("seed".to_owned(), seed.to_string())];
        rows.extend(self.all.iter().map(row));
        rows.push((
            "frames without parameters".to_owned(),
            self.without.to_string(),
        ));
        rows.push(("late frames".to_owned(), self.late.to_string()));
        Section {
            title: "Chaos",
            rows,
        }
    }
}

impl Recovery {
    fn tell(&self) -> String {
        let took = match self.took {
            Some(took) => format!("fresh after {:.1} ms", 1e3 * took.as_secs_f64()),
            None => "no other worker answered".to_owned(),
        };
        let exposure = |pulse: &Pulse| {
            let total = pulse.total_us;
            total.map_or_else(|| "–".to_owned(), |us| format!("{:.2}", us / 1e3))
        };
        let white = |pulse: &Pulse| {
            let [red, blue] = pulse.white;
            format!("{red:.2}/{blue:.2}")
        };
        let mut text = format!("{} held, {took}", self.held);
        if let (Some(before), Some(after)) = (&self.before, &self.after) {
            text += &format!(
                "\nexposure × gain {} → {} ms, white {} → {}",
                exposure(before),
                exposure(after),
                white(before),
                white(after)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::chaos::Deed;
    use super::*;
    use coldshoe::WhyHeld;
    use coldshoe_camera::Applied;

    fn film(start: Instant, held: std::ops::Range<usize>) -> (Vec<Record>, Vec<Pulse>) {
        let record = |frame| Record {
            applied: Applied {
                exposure_us: 1.0,
                analogue_gain: 1.0,
                digital_gain: 1.0,
            },
            luminance_error: 0.0,
            white_error: None,
            round_trip: Duration::ZERO,
            fate: match held.contains(&frame) {
                true => Fate::Held(WhyHeld::Fault),
                false => Fate::Fresh,
            },
        };
        let pulse = |frame: usize| Pulse {
            over: start + Duration::from_millis(10) * frame as u32,
            without: false,
            late: frame == 3,
            replaced: u64::from(frame >= held.end),
            total_us: Some(1000.0 * frame as f64),
            white: [1.5, 2.0],
        };
        let frames = || 0..20;
        (
            frames().map(record).collect(),
            frames().map(pulse).collect(),
        )
    }

    fn done(frame: usize, start: Instant) -> Done {
        Done {
            frame,
            deed: Deed::Kill,
            at: start + Duration::from_millis(10) * frame as u32,
            replaced: 0,
        }
    }

    #[test]
    fn a_recovery_ends_with_the_next_workers_first_answer() {
        let start = Instant::now();
        let (records, pulses) = film(start, 6..9);
        let found = Recoveries::of(&[done(5, start)], &records, &pulses);
        let recovery = &found.all[0];
        // Frame 5 was still answered by the worker that was about to go.
        assert_eq!(
            (recovery.held, recovery.took),
            (3, Some(Duration::from_millis(40)))
        );
        assert_eq!((found.without, found.late), (0, 1));
        let section = found.section(7);
        assert_eq!(section.rows[0], ("seed".to_owned(), "7".to_owned()));
        assert_eq!(section.rows[1].0, "frame 5: worker killed");
        let told = "3 held, fresh after 40.0 ms\nexposure × gain 4.00 → 9.00 ms, white 1.50/2.00 → 1.50/2.00";
        assert_eq!(section.rows[1].1, told);
        assert_eq!(
            found.counts(),
            "frames without parameters: 0\nlate frames: 1"
        );
    }

    #[test]
    fn a_worker_that_never_comes_is_told_as_such() {
        let start = Instant::now();
        let (records, pulses) = film(start, 6..20);
        let found = Recoveries::of(&[done(6, start)], &records, &pulses);
        assert_eq!((found.all[0].held, found.all[0].took), (14, None));
        assert!(found.section(0).rows[1].1.contains("no other worker"));
    }
}
