//! A dumped buffer, block by block.

use coldshoe_contract::{Contract, Report, Verdict};
use coldshoe_isp::{Frames, HEADER_SIZE};
use comfy_table::Row;
use serde::Serialize;

use super::{SCHEMA, Words};
use crate::words::plain;

/// What became of a buffer.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    schema: u32,
    format: String,
    bytes: usize,
    verdict: &'static str,
    /// Why all of it is refused.
    refused: Option<String>,
    /// None where its lengths do not add up: where a block ends cannot be known.
    blocks: Vec<BlockChecked>,
}

#[derive(Debug, Serialize)]
struct BlockChecked {
    offset: usize,
    r#type: u16,
    name: Option<String>,
    size: usize,
    accepted: bool,
    /// One word for it.
    reason: Option<&'static str>,
    why: Option<String>,
}

impl Checked {
    pub(super) fn new(contract: &Contract, bytes: &[u8], capabilities: u64) -> Self {
        let mut report = Report::new();
        let verdict = contract.validate(bytes, capabilities, &mut report);
        let frames = if bytes.len() <= contract.max_payload() {
            Frames::parse(bytes).ok()
        } else {
            None
        };
        let framed = frames.iter().flat_map(Frames::iter);
        // A buffer of another version is not looked into.
        let looked_into = report.refused() > 0 || verdict == Verdict::Accepted;
        let blocks = framed.filter(|_| looked_into).map(|framed| {
            let of_kind = |kind| kind == framed.kind;
            // Of the unknown only some are named in a report; all others are told once a type.
            let refusal = report
                .refusals()
                .iter()
                .find(|refusal| of_kind(refusal.kind));
            let known = contract.block(framed.kind);
            let unknown = coldshoe_contract::Reason::Unknown;
            let reason = match refusal {
                Some(refusal) => Some(refusal.reason),
                None if known.is_none() => Some(unknown),
                None => None,
            };
            BlockChecked {
                offset: framed.offset,
                r#type: framed.kind,
                name: known.map(|block| block.name().to_owned()),
                size: HEADER_SIZE + framed.body.len(),
                accepted: reason.is_none(),
                reason: reason.map(|reason| reason.class().name()),
                why: match refusal {
                    Some(refusal) => Some(contract.why(refusal)),
                    None => reason.map(|_| format!("{} does not have it", contract.format())),
                },
            }
        });
        Self {
            schema: SCHEMA,
            format: contract.format().to_owned(),
            bytes: bytes.len(),
            verdict: match verdict {
                Verdict::Accepted => "accepted",
                Verdict::Dropped => "dropped",
                Verdict::Refused(_) => "refused",
            },
            refused: match verdict {
                Verdict::Refused(whole) => Some(whole.to_string()),
                _ => None,
            },
            blocks: blocks.collect(),
        }
    }

    pub(super) fn good(&self) -> bool {
        self.verdict == "accepted"
    }
}

impl Words for Checked {
    fn in_words(&self, width: u16) -> String {
        let mut table = plain(width);
        for block in &self.blocks {
            let name = block.name.as_deref().unwrap_or("?");
            table.add_row(Row::from([
                block.offset.to_string(),
                format!("{} {name}", block.r#type),
                format!("{} bytes", block.size),
                if block.accepted {
                    "accepted"
                } else {
                    "REFUSED"
                }
                .to_owned(),
                block.why.clone().unwrap_or_default(),
            ]));
        }
        let accepted = self.blocks.iter().filter(|block| block.accepted).count();
        let refused = self.blocks.len() - accepted;
        let last = match (&self.refused, refused) {
            (Some(why), _) => format!("The buffer is refused: {why}."),
            (None, 0) => format!("All {accepted} blocks are accepted."),
            (None, _) => format!(
                "{accepted} blocks are accepted, {refused} refused and left out: their last good content stays."
            ),
        };
        let head = format!("{}, {} bytes", self.format, self.bytes);
        let table = table.trim_fmt();
        let parts = [head.as_str(), &table, &last];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("\n\n")
    }
}
