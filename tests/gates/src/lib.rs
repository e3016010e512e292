//! The gates of the open module: how fast, how steady and how right it is, on generated scenes and
//! on real raw data, with noise, delays of one to four frames, and many seeds.
//!
//! `make gates` measures everything, prints bound and measurement, and writes a report with the
//! curves; a test measures a little of it. What the bounds mean is said where they are measured.
#![forbid(unsafe_code)]

pub mod exposure;
pub mod flicker;
pub mod focus;
pub mod gate;
pub mod report;
pub mod rig;
pub mod scenes;
pub mod tone;
pub mod twins;
pub mod white;
pub mod work;

use std::path::Path;

use anyhow::Result;

use report::Report;

/// Measures every gate with so many seeds, with the real data that is in `data` or beside the
/// sources.
///
/// # Errors
/// A scene that does not open, a frame that the module refuses.
pub fn measure(seeds: u64, data: Option<&Path>) -> Result<Report> {
    let (sources, missing) = scenes::all(data)?;
    let mut report = Report::default();
    if let Some(missing) = missing {
        report
            .notes
            .push(format!("SKIPPED, for it is not there: {missing}"));
    }
    let names: Vec<_> = sources.iter().map(|source| source.name.as_str()).collect();
    report.notes.push(format!(
        "Scenes {}; noise on, delays of 1 to 4 frames, {seeds} seeds each. The worst run counts.",
        names.join(", ")
    ));
    let (gates, plots) = exposure::judge(&sources, seeds)?;
    report.gates.extend(gates);
    report.plots.extend(plots);
    let (gates, plot) = flicker::judge(&sources, seeds)?;
    report.gates.extend(gates);
    report.plots.push(plot);
    let (gates, plots, table) = white::judge(&sources, seeds)?;
    report.gates.extend(gates);
    report.plots.extend(plots);
    report.tables.push(table);
    report.gates.extend(tone::judge(&sources, seeds)?);
    let (gates, plot) = focus::judge(seeds)?;
    report.gates.extend(gates);
    report.plots.push(plot);
    Ok(report)
}
