//! The findings in words, for the table and for the report.

use std::time::Duration;

use coldshoe::{Confinement, ModuleInfo};

use super::verdict::Verdict;

/// Rows that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    /// What, and how much. Several lines where it is a list.
    pub(super) rows: Vec<(String, String)>,
}

impl Section {
    fn new<const N: usize>(title: &'static str, rows: [(&str, String); N]) -> Self {
        Self {
            title,
            rows: rows.map(|(what, value)| (what.to_owned(), value)).into(),
        }
    }
}

/// What was filmed with what.
pub(super) fn setting(scene: String, module: &ModuleInfo) -> Section {
    let ModuleInfo {
        name,
        version,
        license,
        path,
        ..
    } = module;
    Section::new(
        "Film",
        [
            ("scene", scene),
            ("module", format!("{name} {version} ({license})")),
            ("file", path.clone()),
        ],
    )
}

/// How the module did.
pub(super) fn findings(verdict: &Verdict) -> [Section; 3] {
    let settled = |(part, frames): &(&str, Option<usize>)| {
        let value = match frames {
            Some(1) => "1 frame".to_owned(),
            Some(frames) => format!("{frames} frames"),
            None => "not within 5 %".to_owned(),
        };
        (format!("settled, {part}"), value)
    };
    let mut exposure = Section {
        title: "Exposure",
        rows: verdict.settled.iter().map(settled).collect(),
    };
    let error = 100.0 * verdict.luminance_error;
    exposure
        .rows
        .push(("error at the end".into(), format!("{error:+.1} %")));
    let white = Section::new(
        "White point",
        [
            ("error at the end", degrees(verdict.white_error)),
            ("worst, light steady", degrees(verdict.worst_white_error)),
        ],
    );
    let (p50, p99) = verdict.round_trip.unzip();
    let mut fates = format!("{} in time, {} held", verdict.fresh, verdict.held);
    if verdict.refused > 0 {
        fates += &format!(", {} refused by the ISP", verdict.refused);
    }
    let frames = Section::new(
        "Frames",
        [
            ("answered", fates),
            (
                "round trip",
                format!("p50 {}, p99 {}", milliseconds(p50), milliseconds(p99)),
            ),
        ],
    );
    [exposure, white, frames]
}

/// Where the lens was at the end, and where it should have been, dioptres.
pub(super) fn focus((position, subject): (f64, f64)) -> Section {
    Section::new(
        "Focus",
        [
            ("lens at the end", format!("{position:.2} dioptres")),
            ("the card", format!("{subject:.2} dioptres")),
        ],
    )
}

/// How the worker was confined, as the daemon tells it.
pub(super) fn jail(confinement: &Confinement) -> Section {
    let mode = match confinement.seccomp_mode {
        0 => "none",
        1 => "strict",
        2 => "filter",
        _ => "unknown",
    };
    let limits = confinement.limits.iter().map(|limit| match limit.value {
        u64::MAX => format!("{} unlimited", limit.name),
        value => format!("{} {value}", limit.name),
    });
    Section::new(
        "Jail",
        [
            ("NoNewPrivs", u8::from(confinement.no_new_privs).to_string()),
            (
                "seccomp",
                format!(
                    "mode {} ({mode}), filters: {}",
                    confinement.seccomp_mode, confinement.seccomp_filters
                ),
            ),
            (
                "Landlock",
                match confinement.landlock_abi {
                    0 => "none".to_owned(),
                    abi => format!(
                        "ABI {abi}, {} rights and scopes taken away",
                        confinement.landlock_rights.len()
                    ),
                },
            ),
            ("namespaces", words(&confinement.namespaces)),
            (
                "capabilities",
                match confinement.capabilities {
                    0 => "none".to_owned(),
                    some => format!("{some:#x}"),
                },
            ),
            (
                "store bypass",
                words(std::slice::from_ref(&confinement.speculation)),
            ),
            ("seals", list(&confinement.seals)),
            ("open files", list(&confinement.open_files)),
            ("limits", words(&limits.collect::<Vec<_>>())),
            ("control group", list(&confinement.cgroup)),
            ("done without", words(&confinement.degraded)),
            ("notes", list(&confinement.notes)),
        ],
    )
}

/// Short ones, on one line.
fn words(words: &[String]) -> String {
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|w| !w.is_empty())
        .collect();
    if words.is_empty() {
        return "–".into();
    }
    words.join(", ")
}

fn list(lines: &[String]) -> String {
    if lines.is_empty() {
        return "–".into();
    }
    lines.join("\n")
}

fn degrees(angle: Option<f64>) -> String {
    angle.map_or_else(|| "–".into(), |angle| format!("{angle:.2}°"))
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(
        || "–".into(),
        |time| format!("{:.3} ms", 1e3 * time.as_secs_f64()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Verdict {
        Verdict {
            settled: vec![("start", Some(1)), ("light +3 EV", None)],
            luminance_error: -0.0123,
            white_error: Some(1.234),
            worst_white_error: None,
            round_trip: Some((Duration::from_micros(120), Duration::from_micros(4500))),
            fresh: 118,
            held: 2,
            refused: 0,
            answers_at_the_end: true,
        }
    }

    fn value(sections: &[Section], title: &str, what: &str) -> String {
        let section = sections.iter().find(|s| s.title == title).unwrap();
        let row = section.rows.iter().find(|row| row.0 == what).unwrap();
        row.1.clone()
    }

    #[test]
    fn findings_carry_their_units() {
        let found = findings(&verdict());
        assert_eq!(value(&found, "Exposure", "settled, start"), "1 frame");
        let never = value(&found, "Exposure", "settled, light +3 EV");
        assert_eq!(never, "not within 5 %");
        assert_eq!(value(&found, "Exposure", "error at the end"), "-1.2 %");
        assert_eq!(value(&found, "White point", "error at the end"), "1.23°");
        assert_eq!(value(&found, "White point", "worst, light steady"), "–");
        assert_eq!(value(&found, "Frames", "answered"), "118 in time, 2 held");
        let trip = value(&found, "Frames", "round trip");
        assert_eq!(trip, "p50 0.120 ms, p99 4.500 ms");
    }

    #[test]
    fn a_jail_that_is_none_says_so() {
        let jail = [jail(&Confinement::default())];
        assert_eq!(value(&jail, "Jail", "NoNewPrivs"), "0");
        assert!(value(&jail, "Jail", "seccomp").starts_with("mode 0 (none)"));
        assert_eq!(value(&jail, "Jail", "Landlock"), "none");
        for what in [
            "open files",
            "namespaces",
            "seals",
            "control group",
            "done without",
        ] {
            assert_eq!(value(&jail, "Jail", what), "–", "{what}");
        }
    }
}
