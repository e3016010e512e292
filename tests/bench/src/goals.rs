//! The goals of the frame path, as ratios in one run.

use serde::Serialize;

use crate::contract::Judging;
use crate::hotpath::{self, HotPath};
use crate::place::{Pace, Placement};
use crate::plan::{Entry, Scenario};
use crate::round::Round;

use Against::{Nothing, Over, Times};
use Figure::{ClientShare, Cpu, P50, P99, Share};
use Placement::{OneCpu, TwoCpus, Unpinned};

/// What is looked at.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    P50,
    P99,
    /// CPU time of both sides a frame.
    Cpu,
    /// CPU time of both sides as a share of a core.
    Share,
    /// CPU time of the pipeline's thread as a share of a core.
    ClientShare,
    Allocations,
    SystemCalls,
}

impl Figure {
    fn of(self, round: &Round) -> Option<f64> {
        match self {
            P50 => Some(round.p50_us),
            P99 => Some(round.p99_us),
            Cpu => round.cpu_us(),
            Share => round.share(),
            ClientShare => Some(round.client_share()),
            Self::Allocations | Self::SystemCalls => None,
        }
    }
}

/// What it is compared with.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Against {
    /// Its ratio to the same figure of another contestant.
    Times(&'static str),
    /// How much more it is than that of another contestant, in µs.
    Over(&'static str),
    /// Itself.
    Nothing,
}

/// One line of the page of goals: `figure` of contestant `of` at every pace and placement named.
struct Goal {
    row: &'static str,
    of: &'static str,
    figure: Figure,
    against: Against,
    at_most: f64,
    cameras: u32,
    paces: &'static [Pace],
    placements: &'static [Placement],
}

const ALL_PACES: &[Pace] = &[Pace::BackToBack, Pace::HZ_120, Pace::HZ_1000];
const ALL_PLACEMENTS: &[Placement] = &[OneCpu, TwoCpus, Unpinned];

const EVERYWHERE: Goal = Goal {
    row: "",
    of: "",
    figure: P50,
    against: Nothing,
    at_most: 0.0,
    cameras: 1,
    paces: ALL_PACES,
    placements: ALL_PLACEMENTS,
};

const AWAKE: Goal = Goal {
    of: "frame-awake-4k",
    paces: &[Pace::BackToBack],
    placements: &[TwoCpus, Unpinned],
    ..EVERYWHERE
};

const LIBCAMERA: Goal = Goal {
    of: "frame-4k",
    paces: &[Pace::HZ_120],
    ..EVERYWHERE
};

const SAFETY: Goal = Goal {
    row: "safe from a hostile peer, over trusting zero-copy",
    paces: &[Pace::BackToBack],
    placements: &[OneCpu],
    ..EVERYWHERE
};

const JAIL: Goal = Goal {
    row: "jailed against plain",
    paces: &[Pace::BackToBack, Pace::HZ_120],
    ..EVERYWHERE
};

const ISOLATED: Goal = Goal {
    row: "libcamera's isolation through coldshoe",
    paces: &[Pace::BackToBack, Pace::HZ_120],
    ..EVERYWHERE
};

const CAMERAS: Goal = Goal {
    of: "frame-4k",
    figure: Cpu,
    against: Times("futex"),
    at_most: 1.15,
    paces: &[Pace::HZ_240],
    placements: &[Unpinned],
    ..EVERYWHERE
};

const PREDICTIVE: Goal = Goal {
    of: "session-predictive-4k",
    paces: &[Pace::HZ_120],
    placements: &[TwoCpus],
    ..EVERYWHERE
};

#[rustfmt::skip]
const GOALS: &[Goal] = &[
    Goal { row: "asleep, 4 KiB both ways", of: "frame-4k", against: Times("futex"), at_most: 1.05, ..EVERYWHERE },
    Goal { row: "asleep, 4 KiB both ways", of: "frame-4k", figure: P99, against: Times("futex"), at_most: 1.15, ..EVERYWHERE },
    Goal { row: "asleep, 64 KiB there, 4 KiB back", of: "frame-64k", against: Times("futex"), at_most: 1.25, ..EVERYWHERE },
    Goal { row: "awake, 4 KiB both ways", against: Times("spin"), at_most: 3.0, ..AWAKE },
    Goal { row: "awake, 4 KiB both ways", against: Times("iceoryx2-spin-4k"), at_most: 0.3, ..AWAKE },
    // Fifty times faster.
    Goal { row: "predictive, own CPU", against: Times("futex"), at_most: 0.02, ..PREDICTIVE },
    Goal { row: "predictive, own CPU", figure: Share, at_most: 0.025, ..PREDICTIVE },
    Goal { row: "against libcamera's IPC, 4 KiB", against: Times("libcamera-4k"), at_most: 0.35, ..LIBCAMERA },
    Goal { row: "against libcamera's IPC, 4 KiB", figure: Cpu, against: Times("libcamera-4k"), at_most: 0.4, ..LIBCAMERA },
    Goal { of: "inline-4k", against: Over("trusting-4k"), at_most: 0.2, ..SAFETY },
    Goal { of: "inline-64k", against: Over("trusting-64k"), at_most: 2.5, ..SAFETY },
    Goal { row: "flood of wakes", of: "flood", figure: ClientShare, at_most: 0.02, placements: &[TwoCpus, Unpinned], ..SAFETY },
    Goal { row: "asynchronous against synchronous", of: "session-async-4k", against: Times("session-4k"), at_most: 1.1, ..LIBCAMERA },
    Goal { row: "1 camera at 240 Hz, CPU", cameras: 1, ..CAMERAS },
    Goal { row: "8 cameras at 240 Hz, CPU", cameras: 8, ..CAMERAS },
    Goal { row: "32 cameras at 240 Hz, CPU", cameras: 32, ..CAMERAS },
    Goal { of: "frame-jailed-4k", against: Times("frame-4k"), at_most: 1.02, ..JAIL },
    Goal { of: "ipa-jailed", against: Times("ipa-seqpacket"), at_most: 1.02, ..ISOLATED },
    Goal { of: "ipa-relayed", against: Times("ipa-plain"), at_most: 2.0, ..ISOLATED },
    Goal { of: "ipa-frame-relayed", against: Times("ipa-frame-plain"), at_most: 2.0, ..ISOLATED },
    Goal { of: "frame-jailed-64k", against: Times("frame-64k"), at_most: 1.02, ..JAIL },
];

/// Limits of the hot path: contestant, figure, most a frame.
const COUNTS: [(&str, Figure, f64); 6] = [
    ("frame-4k", Figure::Allocations, 0.0),
    ("frame-awake-4k", Figure::Allocations, 0.0),
    ("frame-4k", Figure::SystemCalls, 2.0),
    ("frame-awake-4k", Figure::SystemCalls, 0.0),
    ("session-4k", Figure::Allocations, 0.0),
    ("session-4k", Figure::SystemCalls, 2.0),
];

/// What became of a goal at one pace and placement.
#[derive(Serialize)]
pub(crate) struct Verdict {
    pub(crate) row: &'static str,
    pub(crate) of: &'static str,
    pub(crate) figure: Figure,
    pub(crate) against: Against,
    pub(crate) cameras: u32,
    pub(crate) pace: Option<Pace>,
    pub(crate) placement: Option<Placement>,
    /// µs, a share, or a count, as the figure says.
    pub(crate) measured: Option<f64>,
    /// `measured` as compared.
    pub(crate) compared: Option<f64>,
    pub(crate) at_most: f64,
    /// None if not measured.
    pub(crate) met: Option<bool>,
    pub(crate) why_not_measured: Option<String>,
}

/// Contestants that a goal of any of `names` is measured against.
pub(crate) fn partners(names: &[&str]) -> Vec<&'static str> {
    let goals = GOALS.iter().filter(|goal| names.contains(&goal.of));
    goals
        .filter_map(|goal| match goal.against {
            Times(other) | Over(other) => Some(other),
            Nothing => None,
        })
        .collect()
}

/// Holds what was measured against the goals. Those whose contestant did not take part are left out.
pub(crate) fn judge(
    scenarios: &[Scenario],
    hot_paths: &[HotPath],
    contracts: &[Judging],
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for goal in GOALS {
        for scenario in scenarios.iter().filter(|scenario| goal.covers(scenario)) {
            let Some(entry) = scenario.entry(goal.of) else {
                continue;
            };
            verdicts.push(goal.verdict(scenario, entry));
        }
    }
    verdicts.extend(hot_paths.iter().flat_map(counts));
    verdicts.extend(contracts.iter().flat_map(judging));
    verdicts
}

/// Both goals of judging a buffer.
fn judging(contract: &Judging) -> [Verdict; 2] {
    let both = [
        (P50, contract.p50_us, contract.at_most_us),
        (Figure::Allocations, contract.allocations, 0.0),
    ];
    both.map(|(figure, measured, at_most)| Verdict {
        row: "judging a full parameter buffer",
        of: contract.name,
        figure,
        against: Nothing,
        cameras: 1,
        pace: None,
        placement: None,
        measured: Some(measured),
        compared: Some(measured),
        at_most,
        met: Some(measured <= at_most),
        why_not_measured: None,
    })
}

impl Goal {
    fn covers(&self, scenario: &Scenario) -> bool {
        self.cameras == scenario.cameras
            && self.paces.contains(&scenario.pace)
            && self.placements.contains(&scenario.placement)
    }

    fn verdict(&self, scenario: &Scenario, entry: &Entry) -> Verdict {
        let measured = entry.median(|round| self.figure.of(round));
        let versus = |name, of: fn(f64, f64) -> f64| {
            let other = scenario.entry(name)?;
            entry.against(other, |own, other| {
                Some(of(self.figure.of(own)?, self.figure.of(other)?))
            })
        };
        let compared = match self.against {
            Times(name) => versus(name, |own, other| own / other),
            Over(name) => versus(name, |own, other| own - other),
            Nothing => measured,
        };
        let unknown = || "the kernel does not tell, or nobody to compare with".to_owned();
        Verdict {
            row: self.row,
            of: self.of,
            figure: self.figure,
            against: self.against,
            cameras: self.cameras,
            pace: Some(scenario.pace),
            placement: Some(scenario.placement),
            measured,
            compared,
            at_most: self.at_most,
            met: compared.map(|compared| compared <= self.at_most),
            why_not_measured: compared.is_none().then(unknown),
        }
    }
}

fn counts(path: &HotPath) -> impl Iterator<Item = Verdict> {
    let limits = COUNTS.into_iter().filter(|(of, ..)| *of == path.name);
    limits.map(|(of, figure, at_most)| {
        let measured = match figure {
            Figure::Allocations => Some(path.allocations),
            _ => path.system_calls,
        };
        Verdict {
            row: "hot path of the pipeline, a frame",
            of,
            figure,
            against: Nothing,
            cameras: 1,
            pace: None,
            placement: None,
            measured,
            compared: measured,
            at_most,
            met: measured.map(|count| count <= at_most),
            why_not_measured: measured
                .is_none()
                .then(|| hotpath::NOBODY_COUNTS.to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(own: [f64; 3], futex: [f64; 3]) -> Scenario {
        let entry = |name, figures: [f64; 3]| Entry {
            name,
            about: "",
            rounds: figures
                .map(|p50_us| Round {
                    p50_us,
                    p99_us: p50_us,
                    client_cpu_us: 1.0,
                    peer_cpu_us: None,
                    wall_us: 100.0,
                    cameras: 1,
                })
                .into(),
        };
        Scenario {
            cameras: 1,
            pace: Pace::HZ_120,
            placement: OneCpu,
            frames: 1,
            entries: vec![entry("frame-4k", own), entry("futex", futex)],
        }
    }

    fn of_row(verdicts: &[Verdict], row: &str) -> Vec<Option<bool>> {
        let same = verdicts.iter().filter(|verdict| verdict.row == row);
        same.map(|verdict| verdict.met).collect()
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_a_round() {
        // Medians 20 and 20, ratios 1.0, 0.5 and 1.5 while the machine slows down.
        let verdicts = judge(
            &[scenario([10.0, 20.0, 60.0], [10.0, 40.0, 20.0])],
            &[],
            &[],
        );
        let p50 = verdicts
            .iter()
            .find(|verdict| verdict.of == "frame-4k")
            .unwrap();
        assert_eq!((p50.measured, p50.compared), (Some(20.0), Some(1.0)));
        assert_eq!(of_row(&verdicts, p50.row), [Some(true), Some(true)]);
    }

    #[test]
    fn a_goal_that_is_missed_says_so() {
        let verdicts = judge(&[scenario([11.0; 3], [10.0; 3])], &[], &[]);
        // 1.1: too slow at p50, fast enough at p99.
        let row = "asleep, 4 KiB both ways";
        assert_eq!(of_row(&verdicts, row), [Some(false), Some(true)]);
    }

    #[test]
    fn what_nobody_measured_is_not_met() {
        let verdicts = judge(&[scenario([1.0; 3], [1.0; 3])], &[], &[]);
        // The partner did not take part.
        let row = "against libcamera's IPC, 4 KiB";
        assert_eq!(of_row(&verdicts, row), [None, None]);
        // Nor did this contestant.
        assert!(of_row(&verdicts, "predictive, own CPU").is_empty());
    }

    #[test]
    fn everybody_that_a_goal_is_measured_against_takes_part() {
        for goal in GOALS {
            for name in partners(&[goal.of]).into_iter().chain([goal.of]) {
                assert!(crate::contest::find(name).is_ok(), "{name}");
            }
        }
    }
}
