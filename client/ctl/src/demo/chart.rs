//! The convergence chart: exposure, gains and errors over the frames.

use coldshoe_camera::{DimensionsError, Rgb8};

use super::canvas::{Canvas, Colour, Face};
use super::film::Film;
use super::shoot::{Fate, Record};
use super::verdict::SETTLED;

const WIDTH: i32 = 1280;
const TOP: i32 = 92;
const LEFT: i32 = 84;
const RIGHT: i32 = 36;
const BOTTOM: i32 = 56;
const PANEL: i32 = 190;
/// Above each panel, for its title and legend.
const TITLE: i32 = 44;
/// Height of a fault's mark.
const WEDGE: i32 = 12;

const PAPER: Colour = [255, 255, 255];
const INK: Colour = [39, 39, 42];
const GREY: Colour = [113, 113, 122];
const GRID: Colour = [228, 228, 231];
const STEP: Colour = [161, 161, 170];
const BAND: Colour = [220, 242, 226];
const BLUE: Colour = [37, 99, 235];
const ORANGE: Colour = [217, 119, 6];
const MARK: Colour = [234, 88, 60];
const RED: Colour = [190, 24, 60];
const VIOLET: Colour = [109, 40, 217];
const FAULT: Colour = [24, 24, 27];

/// How values become heights.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Linear { min: f64, max: f64 },
    Log { min: f64, max: f64 },
}

impl Scale {
    /// From 0, or from the smallest value, to above the largest.
    fn linear(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (min, max) = range(values);
        let (min, max) = (min.min(0.0), max.max(min.min(0.0) + 1e-3));
        let step = nice(max - min);
        Self::Linear {
            min: (min / step).floor() * step,
            max: (max / step).ceil() * step,
        }
    }

    /// Values are positive. From a tick below the smallest to one above the largest.
    fn log(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (min, max) = range(values);
        let (min, max) = (min.max(1e-6), max.max(1e-6));
        let below = |tick: &f64| *tick < min;
        let above = |tick: &f64| *tick > max;
        let steps = steps(min / 10.0, 10.0 * max);
        Self::Log {
            min: steps.iter().copied().rfind(below).unwrap_or(min / 2.0),
            max: steps.iter().copied().find(above).unwrap_or(2.0 * max),
        }
    }

    /// 0 at the bottom, 1 at the top.
    fn at(&self, value: f64) -> f64 {
        match *self {
            Self::Linear { min, max } => (value - min) / (max - min),
            Self::Log { min, max } => (value.max(1e-9) / min).ln() / (max / min).ln(),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { min, max } => {
                let step = nice(max - min);
                let count = ((max - min) / step).round() as i32;
                (0..=count).map(|i| min + f64::from(i) * step).collect()
            }
            Self::Log { min, max } => {
                // Fewer in a decade where there are many.
                let power = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-6;
                let mut ticks = steps(min, max);
                ticks.retain(|tick| max / min <= 200.0 || power(tick));
                ticks
            }
        }
    }
}

/// 1, 2 and 5 in each decade, from `min` to `max`.
fn steps(min: f64, max: f64) -> Vec<f64> {
    let decades = min.log10().floor() as i32..=max.log10().ceil() as i32;
    decades
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
        .filter(|step| (0.999 * min..=1.001 * max).contains(step))
        .collect()
}

/// The smallest and largest finite value; 0 to 1 where there is none.
fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    match (finite.clone().reduce(f64::min), finite.reduce(f64::max)) {
        (Some(min), Some(max)) => (min, max),
        _ => (0.0, 1.0),
    }
}

/// A step of 1, 2 or 5 that divides a span into about four.
fn nice(span: f64) -> f64 {
    let rough = span / 4.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|d| d * decade >= 0.999 * rough);
    digit.unwrap_or(10.0) * decade
}

struct Series {
    name: &'static str,
    colour: Colour,
    /// Not a number where there is nothing to draw.
    values: Vec<f64>,
}

struct Panel {
    title: &'static str,
    scale: Scale,
    series: Vec<Series>,
    /// A range worth being in, and its name.
    band: Option<(f64, f64, &'static str)>,
    /// Frames worth a mark, and what they are called.
    marks: (Vec<usize>, &'static str),
}

impl Panel {
    fn new(title: &'static str, scale: Scale, series: Vec<Series>) -> Self {
        Self {
            title,
            scale,
            series,
            band: None,
            marks: (Vec::new(), ""),
        }
    }
}

/// Draws the chart of a film, with a mark at each frame where something was done to it.
pub(super) fn chart(
    heading: &str,
    film: &Film,
    records: &[Record],
    faults: &[usize],
) -> Result<Rgb8, DimensionsError> {
    let panels = panels(records);
    let height = TOP + panels.len() as i32 * (TITLE + PANEL) + BOTTOM;
    let mut canvas = Canvas::new(WIDTH as u64, height as u64 & !1, PAPER)?;
    canvas.write(heading, (LEFT, 16), Face::Large, INK);
    let frames = records.len();
    for (index, panel) in (0..).zip(&panels) {
        let top = TOP + index * (TITLE + PANEL) + TITLE;
        draw(&mut canvas, panel, film, top, frames);
        for fault in faults {
            wedge(&mut canvas, x(*fault as f64, frames).round() as i32, top);
        }
    }
    names(&mut canvas, film, frames);
    if !faults.is_empty() {
        let right = WIDTH - RIGHT - Face::Plain.size("fault").0;
        canvas.write("fault", (right, 22), Face::Plain, GREY);
        wedge(&mut canvas, right - 14, 24);
    }
    let below = height - BOTTOM + 8;
    for frame in ticks_of(frames) {
        let label = frame.to_string();
        let at = x(frame as f64, frames) as i32 - Face::Plain.size(&label).0 / 2;
        canvas.write(&label, (at, below), Face::Plain, GREY);
    }
    let middle = (LEFT + WIDTH - RIGHT - Face::Bold.size("frame").0) / 2;
    canvas.write("frame", (middle, below + 20), Face::Bold, INK);
    Ok(canvas.into_picture())
}

fn panels(records: &[Record]) -> Vec<Panel> {
    let series = |name, colour, value: fn(&Record) -> f64| Series {
        name,
        colour,
        values: records.iter().map(value).collect(),
    };
    let exposure = series("exposure", BLUE, |r| r.applied.exposure_us / 1000.0);
    let analogue = series("analogue", BLUE, |r| r.applied.analogue_gain);
    let digital = series("digital", ORANGE, |r| r.applied.digital_gain);
    let luminance = series("error", RED, |r| (1.0 + r.luminance_error).log2());
    let white = series("error", VIOLET, |r| r.white_error.unwrap_or(f64::NAN));
    let gains = analogue.values.iter().chain(&digital.values).copied();
    let known = white.values.iter().any(|value| value.is_finite());
    let (low, high) = ((1.0 - SETTLED).log2(), (1.0 + SETTLED).log2());
    let unanswered = |(_, record): &(usize, &Record)| record.fate != Fate::Fresh;
    let held = records.iter().enumerate().filter(unanswered);
    let exposures = Scale::log(exposure.values.iter().copied());
    let stops = Scale::linear(luminance.values.iter().copied());
    let angles = Scale::linear(white.values.iter().copied());
    let white_title = if known {
        "White point against the truth, degrees"
    } else {
        "White point: the scene does not tell the truth"
    };
    vec![
        Panel {
            marks: (held.map(|(frame, _)| frame).collect(), "frame held"),
            ..Panel::new("Exposure time, ms", exposures, vec![exposure])
        },
        Panel::new("Gain", Scale::linear(gains), vec![analogue, digital]),
        Panel {
            band: Some((low, high, "within 5 %")),
            ..Panel::new("Luminance against the target, EV", stops, vec![luminance])
        },
        Panel::new(white_title, angles, vec![white]),
    ]
}

fn draw(canvas: &mut Canvas, panel: &Panel, film: &Film, top: i32, frames: usize) {
    let y = |value: f64| {
        let share = panel.scale.at(value).clamp(0.0, 1.0);
        f64::from(top) + f64::from(PANEL) * (1.0 - share)
    };
    if let Some((low, high, _)) = panel.band {
        let (from, to) = (y(high).floor() as i32, y(low).ceil() as i32);
        canvas.fill((LEFT, from), (WIDTH - RIGHT, to), BAND);
    }
    for tick in panel.scale.ticks() {
        let at = y(tick).round() as i32;
        canvas.fill((LEFT, at), (WIDTH - RIGHT, at + 1), GRID);
        let label = number(tick);
        let (width, height) = Face::Plain.size(&label);
        let corner = (LEFT - 10 - width, at - height / 2);
        canvas.write(&label, corner, Face::Plain, GREY);
    }
    for part in &film.parts[1..] {
        let at = x(part.first as f64, frames).round() as i32;
        canvas.fill((at, top - 4), (at + 1, top + PANEL), STEP);
    }
    // The first on top, and narrower, so that those that agree can be told apart.
    for (place, series) in panel.series.iter().enumerate().rev() {
        let points = (0..).zip(&series.values);
        let points: Vec<_> = points
            .map(|(frame, value)| (x(f64::from(frame), frames), *value))
            .collect();
        for run in points.split(|(_, value)| !value.is_finite()) {
            let run: Vec<_> = run.iter().map(|(x, value)| (*x, y(*value))).collect();
            canvas.line(&run, 2.5 + 3.0 * place as f64, series.colour);
        }
    }
    for frame in &panel.marks.0 {
        let (at, foot) = (x(*frame as f64, frames).round() as i32, top + PANEL);
        canvas.fill((at - 1, foot - 14), (at + 2, foot), MARK);
    }
    canvas.write(panel.title, (LEFT, top - 26), Face::Bold, INK);
    legend(canvas, panel, top - 26);
}

/// A wedge that points down from the top of a panel.
fn wedge(canvas: &mut Canvas, at: i32, top: i32) {
    for row in 0..WEDGE {
        let half = (WEDGE - row) / 2;
        canvas.fill(
            (at - half, top + row),
            (at + half + 1, top + row + 1),
            FAULT,
        );
    }
}

/// From right to left: marks, the band, the series where there is more than one thing.
fn legend(canvas: &mut Canvas, panel: &Panel, y: i32) {
    let mut entries = Vec::new();
    if !panel.marks.0.is_empty() {
        entries.push((panel.marks.1, MARK));
    }
    if let Some((_, _, name)) = panel.band {
        entries.push((name, BAND));
    }
    if panel.series.len() + entries.len() > 1 {
        let series = panel.series.iter().rev();
        entries.extend(series.map(|series| (series.name, series.colour)));
    }
    let mut right = WIDTH - RIGHT;
    for (name, colour) in entries {
        right -= Face::Plain.size(name).0;
        canvas.write(name, (right, y), Face::Plain, GREY);
        right -= 26;
        canvas.fill((right, y + 4), (right + 18, y + 12), colour);
        right -= 22;
    }
}

/// The parts' names above their frames.
fn names(canvas: &mut Canvas, film: &Film, frames: usize) {
    for part in &film.parts {
        let at = x(part.first as f64, frames).round() as i32;
        canvas.write(part.name, (at + 6, TOP - 30), Face::Plain, GREY);
        canvas.fill((at, TOP - 32), (at + 1, TOP - 12), STEP);
    }
}

fn x(frame: f64, frames: usize) -> f64 {
    let last = frames.saturating_sub(1).max(1) as f64;
    f64::from(LEFT) + frame / last * f64::from(WIDTH - RIGHT - LEFT)
}

fn ticks_of(frames: usize) -> impl Iterator<Item = usize> {
    let step = (nice(frames as f64 / 2.0) as usize).max(1);
    (0..frames).step_by(step)
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_camera::Applied;
    use std::time::Duration;

    #[test]
    fn a_linear_scale_holds_its_values_between_round_numbers() {
        let scale = Scale::linear([0.3, 2.7].into_iter());
        assert_eq!(scale, Scale::Linear { min: 0.0, max: 3.0 });
        assert_eq!(scale.ticks(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!((scale.at(0.0), scale.at(3.0)), (0.0, 1.0));
    }

    #[test]
    fn a_log_scale_has_ticks_of_1_2_5() {
        let scale = Scale::log([1.5, 30.0].into_iter());
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(Scale::log([33.0].into_iter()).ticks(), [20.0, 50.0]);
        let wide = Scale::log([0.15, 400.0].into_iter());
        assert_eq!(wide.ticks(), [0.1, 1.0, 10.0, 100.0]);
        assert!(scale.at(1.5) > 0.0 && scale.at(30.0) < 1.0);
    }

    #[test]
    fn a_scale_of_nothing_or_of_one_value_is_still_one() {
        for scale in [
            Scale::linear([f64::NAN].into_iter()),
            Scale::linear([0.0].into_iter()),
            Scale::linear([-2.0].into_iter()),
            Scale::log([4.0].into_iter()),
        ] {
            assert!(scale.at(0.5).is_finite(), "{scale:?}");
            assert!(scale.ticks().len() < 20, "{scale:?}");
        }
    }

    #[test]
    fn numbers_lose_what_they_do_not_need() {
        assert_eq!(number(0.500), "0.5");
        assert_eq!(number(20.0), "20");
        assert_eq!(number(-0.0), "0");
    }

    #[test]
    fn the_chart_shows_each_series_in_its_colour() {
        let film = Film::new(24);
        let record = |frame: usize| Record {
            applied: Applied {
                exposure_us: 1000.0 + 100.0 * frame as f64,
                analogue_gain: 2.0,
                digital_gain: 1.0,
            },
            luminance_error: 0.2,
            white_error: (frame > 3).then_some(1.5),
            round_trip: Duration::ZERO,
            fate: if frame == 7 {
                Fate::Refused
            } else {
                Fate::Fresh
            },
        };
        let records: Vec<_> = (0..24).map(record).collect();
        let chart = chart("heading", &film, &records, &[5, 20]).unwrap();
        for colour in [BLUE, ORANGE, RED, VIOLET, BAND, MARK, FAULT] {
            let pixels = chart.data().as_chunks::<3>().0;
            let count = pixels.iter().filter(|pixel| **pixel == colour).count();
            assert!(count > 40, "{colour:?}: {count}");
        }
    }
}
