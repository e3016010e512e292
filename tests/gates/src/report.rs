//! The report: one HTML file with everything in it.

use std::fmt::Write;

use crate::gate::{Gate, Plot, Table};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#27272a}\
table{border-collapse:collapse;margin:1rem 0;width:100%}td,th{padding:.3rem .6rem;border-bottom:1px solid #e4e4e7;text-align:left;vertical-align:top}\
td.n{text-align:right;white-space:nowrap}.met{color:#15803d}.missed{color:#be123c;font-weight:600}small{color:#71717a}\
svg{width:100%;height:auto;margin:.5rem 0 1.5rem}";
const COLOURS: [&str; 8] = [
    "#2563eb", "#d97706", "#15803d", "#be123c", "#6d28d9", "#0e7490", "#a16207", "#52525b",
];
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 330.0;
/// Left, right, top, bottom.
const MARGIN: [f64; 4] = [56.0, 150.0, 16.0, 34.0];

/// What the report shows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The gates.
    pub gates: Vec<Gate>,
    /// Curves.
    pub plots: Vec<Plot>,
    /// More numbers.
    pub tables: Vec<Table>,
    /// What was left out, and what was run.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether every gate is met.
    #[must_use]
    pub fn met(&self) -> bool {
        !self.gates.is_empty() && self.gates.iter().all(Gate::met)
    }

    /// The whole page.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>Gates of the open module</title><style>{STYLE}</style></head><body>\n\
             <h1>Gates of the open module</h1>\n"
        );
        for note in &self.notes {
            let _ = writeln!(page, "<p>{}</p>", escape(note));
        }
        page.push_str(
            "<table><tr><th>gate</th><th>bound</th><th>measured</th><th></th><th>runs</th><th>the worst</th></tr>\n",
        );
        for gate in &self.gates {
            let (class, word) = if gate.met() {
                ("met", "met")
            } else {
                ("missed", "missed")
            };
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td class=\"n\">{} {}</td><td class=\"n\">{} {}</td>\
                 <td class=\"{class}\">{word}</td><td class=\"n\">{}</td><td><small>{}</small></td></tr>",
                escape(&gate.name),
                bound(gate),
                gate.unit,
                number(gate.measured),
                gate.unit,
                gate.runs,
                escape(&gate.note),
            );
        }
        page.push_str("</table>\n");
        for table in &self.tables {
            page.push_str(&rows(table));
        }
        for plot in &self.plots {
            let _ = write!(page, "<h2>{}</h2>\n{}\n", escape(&plot.title), svg(plot));
        }
        page.push_str("</body></html>\n");
        page
    }
}

/// The bound with its side.
#[must_use]
pub fn bound(gate: &Gate) -> String {
    format!(
        "{} {}",
        if gate.at_least { "≥" } else { "≤" },
        number(gate.bound)
    )
}

/// Up to two digits behind the point.
#[must_use]
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn rows(table: &Table) -> String {
    let cells = |row: &[String], tag: &str| {
        let cell = |text: &String| format!("<{tag}>{}</{tag}>", escape(text));
        format!("<tr>{}</tr>\n", row.iter().map(cell).collect::<String>())
    };
    let body: String = table.rows.iter().map(|row| cells(row, "td")).collect();
    let head = cells(&table.head, "th");
    format!(
        "<h2>{}</h2>\n<table>{head}{body}</table>\n",
        escape(&table.title)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A drawing of curves over frames.
#[must_use]
pub fn svg(plot: &Plot) -> String {
    let values = || {
        plot.series
            .iter()
            .flat_map(|one| one.values.iter().copied())
    };
    let finite = || values().filter(|value| value.is_finite());
    let (low, high) = (
        finite().fold(f64::MAX, f64::min),
        finite().fold(f64::MIN, f64::max),
    );
    let pad = (high - low).max(1e-3) * 0.05;
    let (low, high) = (low - pad, high + pad);
    let frames = plot
        .series
        .iter()
        .map(|one| one.values.len())
        .max()
        .unwrap_or(1)
        .max(2);
    let [left, right, top, bottom] = MARGIN;
    let x = |frame: usize| left + (WIDTH - left - right) * frame as f64 / (frames - 1) as f64;
    let y = |value: f64| top + (HEIGHT - top - bottom) * (high - value) / (high - low);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\" \
         font-family=\"sans-serif\" font-size=\"11\"><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>"
    );
    if let Some((a, b)) = plot.band {
        let (a, b) = (y(a.clamp(low, high)), y(b.clamp(low, high)));
        let _ = write!(
            out,
            "<rect x=\"{left}\" y=\"{b:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#dcf2e2\"/>",
            WIDTH - left - right,
            (a - b).max(1.0)
        );
    }
    for tick in ticks(low, high) {
        let _ = write!(
            out,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\" stroke=\"#e4e4e7\"/>\
             <text x=\"{3:.1}\" y=\"{4:.1}\" text-anchor=\"end\" fill=\"#71717a\">{1}</text>",
            WIDTH - right,
            number(tick),
            y(tick),
            left - 6.0,
            y(tick) + 4.0
        );
    }
    for frame in (0..frames).step_by(if frames > 60 { 10 } else { 5 }) {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#71717a\">{frame}</text>",
            x(frame),
            HEIGHT - bottom + 16.0
        );
    }
    let mut groups: Vec<&str> = plot.series.iter().map(|one| one.group.as_str()).collect();
    groups.sort_by(|a, b| first_number(a).total_cmp(&first_number(b)).then(a.cmp(b)));
    groups.dedup();
    for one in &plot.series {
        let group = groups
            .iter()
            .position(|group| *group == one.group)
            .unwrap_or(0);
        let points: String = one
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(frame, value)| format!("{:.1},{:.1} ", x(frame), y(*value)))
            .collect();
        let _ = write!(
            out,
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.3\" opacity=\"0.8\" points=\"{points}\"><title>{}</title></polyline>",
            COLOURS[group % COLOURS.len()],
            escape(&one.name)
        );
    }
    for (at, group) in groups.iter().enumerate() {
        let (px, py) = (WIDTH - right + 12.0, top + 16.0 * (at as f64 + 1.0));
        let colour = COLOURS[at % COLOURS.len()];
        let _ = write!(
            out,
            "<rect x=\"{px}\" y=\"{:.1}\" width=\"10\" height=\"3\" fill=\"{colour}\"/><text x=\"{}\" y=\"{py}\">{}</text>",
            py - 5.0,
            px + 16.0,
            escape(group)
        );
    }
    let _ = write!(
        out,
        "<text x=\"{left}\" y=\"{:.1}\" fill=\"#27272a\">frames</text>\
         <text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"#27272a\">{}</text></svg>",
        HEIGHT - 4.0,
        (top + HEIGHT - bottom) / 2.0,
        escape(&plot.y)
    );
    out
}

/// Groups are most often named by a number, `+2 EV`; those without come last.
fn first_number(name: &str) -> f64 {
    let number = |word: &str| word.parse::<f64>().ok();
    name.split_whitespace()
        .find_map(number)
        .unwrap_or(f64::INFINITY)
}

/// About five round numbers in between.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let fits = |digit: &f64| digit * decade >= rough;
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(fits).unwrap_or(10.0) * decade;
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|tick| tick as f64 * step).collect()
}
