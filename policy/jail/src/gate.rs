//! The daemon's side of the gate: what to answer when a worker asks.

use crate::Arch;
use crate::profile::{Profile, Rule, Soft};
use std::fmt;

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// From its confinement until the module is loaded and created.
    Load,
    /// From then on, for good.
    Run,
}

impl Phase {
    /// Both, in the order of a worker's life.
    pub const ALL: [Phase; 2] = [Phase::Load, Phase::Run];

    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Load => "load",
            Phase::Run => "run",
        }
    }

    /// The phase of that [`name`](Phase::name).
    pub fn from_name(name: &str) -> Option<Phase> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to do about a call that the filter did not allow by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel goes on with it.
    Continue,
    /// The same, but only so often for calls of this entry.
    Counted {
        /// Which entry of `[[load]]`.
        entry: usize,
        /// How often at most.
        times: u32,
    },
    /// The kernel answers this error number.
    Errno(i32),
    /// The worker must end.
    Violation,
}

/// Answers the notifications of one profile's gate.
///
/// Decides on registers alone: what an argument points at, the worker can change afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    load: Vec<(u32, Rule)>,
    notified: Vec<Notified>,
    load_budget: u32,
    soft_budget: u32,
}

/// What the daemon answers with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Notified {
    number: u32,
    rule: Rule,
    errno: i32,
    /// In LOAD, too.
    always: bool,
}

impl Profile {
    /// Whether the daemon answers with this error in a phase. Loading is let through what it has an
    /// entry for; a call without one is refused in either.
    pub(crate) fn is_answered(&self, soft: &Soft, phase: Phase) -> bool {
        phase == Phase::Run || !self.load.iter().any(|load| load.name == soft.rule.name)
    }

    /// The gate on `arch`.
    pub fn gate(&self, arch: Arch) -> Gate {
        let known = |rule: &Rule| rule.number(arch).map(|number| (number, rule.clone()));
        Gate {
            load: self.load.iter().filter_map(known).collect(),
            notified: self
                .notified
                .iter()
                .filter_map(|soft| {
                    let (number, rule) = known(&soft.rule)?;
                    Some(Notified {
                        number,
                        rule,
                        errno: soft.errno.number(),
                        always: self.is_answered(soft, Phase::Load),
                    })
                })
                .collect(),
            load_budget: self.load_budget,
            soft_budget: self.soft_budget,
        }
    }
}

impl Gate {
    /// The answer to call `nr` with the argument registers `args`.
    ///
    /// A call that the filter allows is never asked about; here it is a violation.
    pub fn decide(&self, phase: Phase, nr: u32, args: &[u64; 6]) -> Verdict {
        let mut load = self.load.iter().enumerate();
        let loading = load.find(|(_, (number, rule))| *number == nr && rule.admits(args));
        if let (Phase::Load, Some((entry, (_, rule)))) = (phase, loading) {
            return match rule.times {
                Some(times) => Verdict::Counted { entry, times },
                None => Verdict::Continue,
            };
        }
        let answered = |soft: &&Notified| {
            let now = soft.always || phase == Phase::Run;
            now && soft.number == nr && soft.rule.admits(args)
        };
        self.notified
            .iter()
            .find(answered)
            .map_or(Verdict::Violation, |soft| Verdict::Errno(soft.errno))
    }

    /// How many [`Verdict::Continue`] and [`Verdict::Counted`] a worker may draw; one more is a violation, since each costs
    /// the daemon a wake-up. Counting is up to the daemon.
    pub const fn load_budget(&self) -> u32 {
        self.load_budget
    }

    /// How many [`Verdict::Errno`] a worker may draw, likewise.
    pub const fn soft_budget(&self) -> u32 {
        self.soft_budget
    }
}
