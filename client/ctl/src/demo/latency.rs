//! How long the answers took, as a histogram.

use std::fmt::Write as _;
use std::time::Duration;

use super::shoot::{Fate, Record};

const BAR: usize = 44;
const GAP: usize = 8;
const HEIGHT: usize = 160;
const TOP: usize = 24;
const BOTTOM: usize = 44;

/// Round trips by size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Latencies {
    /// Where each column ends, µs, and how many are in it.
    columns: Vec<(u64, usize)>,
}

impl Latencies {
    /// Of the frames that were answered in time. Columns end at 1, 2 and 5 of each decade, from the
    /// shortest round trip to the longest.
    pub(super) fn of(records: &[Record]) -> Self {
        let trips = records
            .iter()
            .filter(|record| record.fate == Fate::Fresh)
            .map(|record| record.round_trip);
        let mut columns: Vec<(u64, usize)> = ends().map(|end| (end, 0)).collect();
        for trip in trips {
            let place = columns.partition_point(|(end, _)| Duration::from_micros(*end) < trip);
            if let Some((_, count)) = columns.get_mut(place) {
                *count += 1;
            }
        }
        let filled = |(_, count): &(u64, usize)| *count > 0;
        let columns = match (
            columns.iter().position(filled),
            columns.iter().rposition(filled),
        ) {
            (Some(first), Some(last)) => columns[first..=last].to_vec(),
            _ => Vec::new(),
        };
        Self { columns }
    }

    /// As SVG, or in words if nothing was answered.
    pub(super) fn svg(&self) -> String {
        let Some(most) = self.columns.iter().map(|(_, count)| *count).max() else {
            return "<p>No frame was answered in time.</p>\n".to_owned();
        };
        let width = self.columns.len() * (BAR + GAP) + GAP;
        let foot = TOP + HEIGHT;
        let mut svg = format!(
            "<figure><svg role=\"img\" aria-label=\"Round trips\" width=\"{width}\" \
             viewBox=\"0 0 {width} {}\" font-family=\"inherit\" font-size=\"12\" \
             text-anchor=\"middle\">\n",
            foot + BOTTOM
        );
        for (place, (end, count)) in self.columns.iter().enumerate() {
            let (left, height) = (GAP + place * (BAR + GAP), count * HEIGHT / most);
            let (top, middle) = (foot - height, left + BAR / 2);
            // Writing to a string cannot fail.
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{BAR}\" height=\"{height}\" \
                 fill=\"#2563eb\"/>\n\
                 <text x=\"{middle}\" y=\"{}\" fill=\"#71717a\">{count}</text>\n\
                 <text x=\"{middle}\" y=\"{}\" fill=\"#27272a\">≤ {}</text>",
                top - 6,
                foot + 18,
                short(*end),
            );
        }
        svg + "</svg><figcaption>Frames by their round trip, from handing over the statistics to \
               holding the parameters, the module's own work included.</figcaption></figure>\n"
    }
}

/// 1, 2, 5, 10 … µs, to ten minutes.
fn ends() -> impl Iterator<Item = u64> {
    (0..9).flat_map(|decade| [1, 2, 5].map(|digit| digit * 10_u64.pow(decade)))
}

fn short(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe::WhyHeld;
    use coldshoe_camera::Applied;

    fn record(us: u64, fate: Fate) -> Record {
        Record {
            applied: Applied {
                exposure_us: 1.0,
                analogue_gain: 1.0,
                digital_gain: 1.0,
            },
            luminance_error: 0.0,
            white_error: None,
            round_trip: Duration::from_micros(us),
            fate,
        }
    }

    #[test]
    fn each_answer_is_in_the_column_that_ends_at_or_above_it() {
        let records = [20, 21, 50, 600, 100_000]
            .map(|us| record(us, Fate::Fresh))
            .into_iter()
            .chain([record(3, Fate::Held(WhyHeld::Deadline))])
            .collect::<Vec<_>>();
        let columns = Latencies::of(&records).columns;
        let filled: Vec<_> = columns.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [&(20, 1), &(50, 2), &(1000, 1), &(100_000, 1)]);
        assert_eq!(columns.first(), Some(&(20, 1)));
        assert_eq!(columns.last(), Some(&(100_000, 1)));
    }

    #[test]
    fn every_column_is_drawn_and_none_where_nothing_was_answered() {
        let svg = Latencies::of(&[record(20, Fate::Fresh), record(70, Fate::Fresh)]).svg();
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert!(svg.contains("≤ 20 µs") && svg.contains("≤ 100 µs"), "{svg}");
        assert!(Latencies::of(&[]).svg().contains("No frame"));
    }
}
