//! How long a parameter buffer is judged.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use coldshoe_contract::{Allowed, Contract, Report, Verdict};
use serde::Serialize;
use stats_alloc::Region;

use crate::place::Pace;
use crate::plan::Scenario;
use crate::round::median;

/// A format, every block of which is in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    format: &'static str,
    /// Most µs, in the median.
    at_most: f64,
}

pub(crate) const SUBJECTS: [Subject; 2] = [
    Subject {
        name: "contract-rkisp1",
        about: "judging a buffer of all 21 blocks of rkisp1, 4,512 bytes",
        format: "rkisp1",
        at_most: 1.0,
    },
    Subject {
        name: "contract-mali-c55",
        about: "judging a buffer of all 11 blocks of mali-c55, with a mesh",
        format: "mali-c55",
        at_most: 5.0,
    },
];

/// Buffers between two looks at the clock.
const BATCH: u32 = 64;

/// What it took.
#[derive(Serialize)]
pub(crate) struct Judging {
    pub(crate) name: &'static str,
    pub(crate) bytes: usize,
    /// Median over batches, a buffer.
    pub(crate) p50_us: f64,
    /// The same with what passed copied out.
    pub(crate) copied_p50_us: f64,
    /// A buffer.
    pub(crate) allocations: f64,
    pub(crate) at_most_us: f64,
    /// Of the round trip of a frame at 120 Hz, unpinned, in the same run; None if not measured.
    pub(crate) share_of_round_trip: Option<f64>,
}

/// Judges so many batches.
pub(crate) fn measure(subject: &Subject, batches: usize) -> Result<Judging> {
    let contract = Contract::builtin(subject.format)?;
    let buffer = full(&contract);
    let (mut report, mut out) = (Report::new(), vec![0; buffer.len()]);
    let all = contract.all_blocks();
    let verdict = contract.validate(&buffer, all, &mut report);
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let mut judge = || {
        let verdict = contract.validate(black_box(&buffer), black_box(all), &mut report);
        black_box(verdict);
    };
    let region = Region::new(crate::ALLOCATOR);
    (0..BATCH).for_each(|_| judge());
    let change = region.change();
    let allocations = (change.allocations + change.reallocations) as f64 / f64::from(BATCH);
    let p50_us = time(batches, judge);
    let copied_p50_us = time(batches, || {
        let admitted = contract.admit(black_box(&buffer), black_box(all), &mut out, &mut report);
        black_box(admitted.map(<[u8]>::len).ok());
    });
    Ok(Judging {
        name: subject.name,
        bytes: buffer.len(),
        p50_us: p50_us.context("no batch")?,
        copied_p50_us: copied_p50_us.context("no batch")?,
        allocations,
        at_most_us: subject.at_most,
        share_of_round_trip: None,
    })
}

impl Judging {
    /// Holds it against a frame's round trip, if that was measured.
    pub(crate) fn against(mut self, scenarios: &[Scenario]) -> Self {
        let unpinned = scenarios.iter().find(|scenario| {
            let alone = scenario.cameras == 1 && scenario.pace == Pace::HZ_120;
            alone && scenario.placement == crate::place::Placement::Unpinned
        });
        let entry = unpinned.and_then(|scenario| scenario.entry("session-4k"));
        let trip = entry.and_then(|entry| entry.median(|round| Some(round.p50_us)));
        self.share_of_round_trip = trip.map(|trip| self.p50_us / trip);
        self
    }
}

/// Median of µs a call.
fn time(batches: usize, mut call: impl FnMut()) -> Option<f64> {
    let batch = |_| {
        let begin = Instant::now();
        (0..BATCH).for_each(|_| call());
        begin.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
    };
    median((0..batches).map(batch).collect::<Vec<_>>())
}

/// Every block once, switched on, each field at the most that it may say: curves that rise, too.
fn full(contract: &Contract) -> Vec<u8> {
    let mut data = Vec::new();
    for block in contract.blocks() {
        let mut body = vec![0; block.size() - 8];
        for field in block.fields() {
            let most = match &field.allowed {
                Allowed::Range { max, .. } => *max as u32,
                Allowed::Values(values) => values.last().map_or(0, |(value, _)| *value as u32),
            };
            let bits = (most << field.bits.map_or(0, |(first, _)| first)) & field.mask;
            for place in body[field.offset..field.end()].chunks_mut(field.number.width()) {
                let both = place.iter_mut().zip(bits.to_le_bytes());
                both.for_each(|(byte, bits)| *byte |= bits);
            }
        }
        data.extend(block.kind().to_le_bytes());
        data.extend(2_u16.to_le_bytes());
        data.extend((block.size() as u32).to_le_bytes());
        data.extend(body);
    }
    let mut bytes = contract.version().to_le_bytes().to_vec();
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}
