//! What a module really asked for: which blocks and fields, and with which values.

use std::collections::BTreeMap;

use coldshoe_isp::Frames;

use crate::contract::Contract;
use crate::report::{Class, Report};
use crate::tally::Tally;

/// Bit 0 of a block's flags.
const DISABLE: u16 = 1;
/// Types that nobody documents and that are told apart.
const UNKNOWN_KINDS: usize = 256;

/// What buffers asked for, passed or not.
#[derive(Clone, Debug)]
pub struct Usage<'c> {
    contract: &'c Contract,
    report: Report,
    tally: Tally,
    buffers: u64,
    blocks: Vec<BlockUse>,
    unknown: BTreeMap<u16, UnknownUse>,
}

/// How a block was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockUse {
    /// How often it was configured.
    pub configured: u64,
    /// How often it was switched off.
    pub disabled: u64,
    /// How often one of another size came: its fields were not looked at.
    pub other_sizes: u64,
    /// The least and the most that each field said, in the contract's order; none of a block that was
    /// never configured.
    pub fields: Vec<Option<(i64, i64)>>,
}

/// How a block that the format does not have was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownUse {
    /// How often it came.
    pub times: u64,
    /// Bytes of the largest, header included.
    pub largest: usize,
}

impl<'c> Usage<'c> {
    /// Nothing yet.
    #[must_use]
    pub fn new(contract: &'c Contract) -> Self {
        let unused = |block: &crate::Block| BlockUse {
            fields: vec![None; block.fields().len()],
            ..BlockUse::default()
        };
        Self {
            report: Report::new(),
            tally: Tally::default(),
            buffers: 0,
            blocks: contract.blocks().iter().map(unused).collect(),
            unknown: BTreeMap::new(),
            contract,
        }
    }

    /// Takes in a buffer. One whose lengths do not add up is counted, and says nothing.
    pub fn add(&mut self, buffer: &[u8], capabilities: u64) {
        self.buffers += 1;
        self.contract
            .validate(buffer, capabilities, &mut self.report);
        self.tally.add(&self.report);
        if buffer.len() > self.contract.max_payload() {
            return;
        }
        let Ok(frames) = Frames::parse(buffer) else {
            return;
        };
        for framed in &frames {
            let size = coldshoe_isp::HEADER_SIZE + framed.body.len();
            let number = self.contract.blocks().iter();
            let mut found = number.zip(&mut self.blocks);
            let Some((block, used)) = found.find(|(block, _)| block.kind() == framed.kind) else {
                let room = self.unknown.len() < UNKNOWN_KINDS;
                if room || self.unknown.contains_key(&framed.kind) {
                    let unknown = self.unknown.entry(framed.kind).or_default();
                    unknown.times += 1;
                    unknown.largest = unknown.largest.max(size);
                }
                continue;
            };
            if framed.flags & DISABLE != 0 {
                used.disabled += 1;
                continue;
            }
            used.configured += 1;
            if size != block.size() {
                used.other_sizes += 1;
                continue;
            }
            for (field, range) in block.fields().iter().zip(&mut used.fields) {
                for value in field.values(framed.body) {
                    let (least, most) = range.unwrap_or((value, value));
                    *range = Some((least.min(value), most.max(value)));
                }
            }
        }
    }

    /// Buffers so far.
    #[must_use]
    pub const fn buffers(&self) -> u64 {
        self.buffers
    }

    /// How each block of the contract was used, in the contract's order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockUse] {
        &self.blocks
    }

    /// Blocks that the format does not have, by type; of the first 256 types.
    pub fn unknown(&self) -> impl Iterator<Item = (u16, UnknownUse)> + '_ {
        self.unknown.iter().map(|(kind, used)| (*kind, *used))
    }

    /// What was refused.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether anything was refused.
    #[must_use]
    pub fn has_refusals(&self) -> bool {
        self.tally.buffers() > 0 || self.tally.unknown() > 0 || self.tally.iter().next().is_some()
    }

    /// How often a block of the contract was refused.
    #[must_use]
    pub fn refused(&self, kind: u16) -> u64 {
        Class::ALL
            .iter()
            .map(|class| self.tally.count(kind, *class))
            .sum()
    }
}
