//! What was found, and how it is told.

use anstyle::{AnsiColor, Color, Style};
use comfy_table::{Cell, ContentArrangement, Table, presets};

use crate::probe::Row;

/// What became of a control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Free {
    /// The attack works without a jail.
    Works(String),
    /// It cannot work on this machine, for this reason.
    Impossible(String),
    /// It does not work, and should: the probe proves nothing.
    Broken(String),
}

/// One attempt, in the jail and out of it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Row of the list.
    pub row: u8,
    /// Which probe, and when.
    pub probe: String,
    /// What was seen in the jail.
    pub jail: String,
    /// What should have been; `None` if that is what was seen.
    pub expected: Option<String>,
    /// The same without a jail.
    pub free: Free,
}

impl Finding {
    /// Whether the jail has held.
    pub fn held(&self) -> bool {
        self.expected.is_none()
    }
}

/// The verdict over one row.
#[derive(Clone, Debug)]
pub struct Verdict {
    number: u8,
    attempt: &'static str,
    probes: usize,
    held: usize,
    works: usize,
    impossible: usize,
    broken: usize,
}

impl Verdict {
    /// Of all findings of a row.
    pub fn of(row: &Row, findings: &[Finding]) -> Self {
        let own: Vec<_> = findings
            .iter()
            .filter(|finding| finding.row == row.number)
            .collect();
        let count = |what: fn(&Finding) -> bool| own.iter().filter(|finding| what(finding)).count();
        Self {
            number: row.number,
            attempt: row.attempt,
            probes: own.len(),
            held: count(Finding::held),
            works: count(|finding| matches!(finding.free, Free::Works(_))),
            impossible: count(|finding| matches!(finding.free, Free::Impossible(_))),
            broken: count(|finding| matches!(finding.free, Free::Broken(_))),
        }
    }

    /// Every probe was held, and at least one shows that it would have worked.
    pub fn holds(&self) -> bool {
        self.probes > 0 && self.held == self.probes && self.works > 0 && self.broken == 0
    }
}

/// Prints the verdicts and whatever is not as it should be; `true` if all rows hold.
pub fn print(rows: &[Row], findings: &[Finding], verbose: bool) -> bool {
    let verdicts: Vec<_> = rows.iter().map(|row| Verdict::of(row, findings)).collect();
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["ROW", "ATTEMPT", "IN THE JAIL", "WITHOUT IT"]);
    for verdict in &verdicts {
        let Verdict {
            probes,
            held,
            works,
            impossible,
            ..
        } = verdict;
        let mut free = format!("{works} of {probes} work");
        if *impossible > 0 {
            free += &format!(", {impossible} cannot on this machine");
        }
        if verdict.broken > 0 {
            free += &format!(", {} BROKEN", verdict.broken);
        }
        table.add_row([
            Cell::new(verdict.number),
            Cell::new(verdict.attempt),
            Cell::new(format!("{held} of {probes} held")),
            Cell::new(free),
        ]);
    }
    anstream::println!("{table}\n");
    for finding in findings {
        tell(finding, verbose);
    }
    let held = verdicts.iter().filter(|verdict| verdict.holds()).count();
    let probes = findings.len();
    let works = findings
        .iter()
        .filter(|f| matches!(f.free, Free::Works(_)))
        .count();
    let all = held == verdicts.len();
    let style = colour(if all {
        AnsiColor::Green
    } else {
        AnsiColor::Red
    });
    anstream::println!(
        "\n{style}{held} of {} rows held{style:#}: {probes} probes, {works} of them shown to work \
         without the jail",
        verdicts.len(),
    );
    all
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour))).bold()
}

fn tell(finding: &Finding, verbose: bool) {
    let Finding {
        row,
        probe,
        jail,
        expected,
        free,
    } = finding;
    let (red, yellow) = (colour(AnsiColor::Red), colour(AnsiColor::Yellow));
    if let Some(expected) = expected {
        anstream::println!("{red}NOT HELD{red:#} {row} {probe}: {jail}; expected {expected}");
    }
    match free {
        Free::Broken(why) => {
            anstream::println!("{red}NO CONTROL{red:#} {row} {probe}: without the jail: {why}");
        }
        Free::Impossible(why) => {
            anstream::println!("{yellow}no control here{yellow:#} {row} {probe}: {why}");
        }
        Free::Works(how) if verbose => {
            anstream::println!("{row} {probe}: {jail}; without the jail: {how}");
        }
        Free::Works(_) => {}
    }
}
