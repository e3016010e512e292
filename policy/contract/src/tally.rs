//! Refusals of a session, counted by block and reason.

use coldshoe_isp::KIND_LIMIT;

use crate::report::{Class, Report};

const KINDS: usize = KIND_LIMIT as usize;

/// What was refused so far.
#[derive(Clone, Debug)]
pub struct Tally {
    /// By type and class.
    counts: [[u64; Class::ALL.len()]; KINDS],
    unknown: u64,
    buffers: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: [[0; Class::ALL.len()]; KINDS],
            unknown: 0,
            buffers: 0,
        }
    }
}

impl Tally {
    /// Takes in a report. Blocks of no type of the format are counted together.
    pub fn add(&mut self, report: &Report) {
        self.buffers += u64::from(report.whole().is_some());
        self.unknown += report.unknown() as u64;
        for refusal in report.refusals() {
            let class = refusal.reason.class();
            if class == Class::Unknown {
                continue;
            }
            if let Some(counts) = self.counts.get_mut(usize::from(refusal.kind)) {
                counts[class as usize] += u64::from(refusal.times);
            }
        }
    }

    /// Blocks of this type that were refused for this reason.
    #[must_use]
    pub fn count(&self, kind: u16, class: Class) -> u64 {
        let counts = self.counts.get(usize::from(kind));
        counts.map_or(0, |counts| counts[class as usize])
    }

    /// Blocks of no type of the format.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Buffers that were refused whole.
    #[must_use]
    pub const fn buffers(&self) -> u64 {
        self.buffers
    }

    /// What was refused at all, but for unknown blocks: type, reason and how often.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Class, u64)> + '_ {
        self.counts.iter().zip(0..).flat_map(|(counts, kind)| {
            let all = Class::ALL.into_iter().zip(counts);
            all.filter(|(_, count)| **count > 0)
                .map(move |(class, count)| (kind, class, *count))
        })
    }
}
