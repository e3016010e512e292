//! What a module used, from a trace of its buffers.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use coldshoe_contract::{BlockUse, Contract, Report, Trace, Usage};
use comfy_table::Row;
use serde::Serialize;

use super::show::heading;
use super::{Error, SCHEMA, Words};
use crate::daemon;
use crate::words::plain;

/// Buffers that the format is guessed by.
const GUESSED_BY: usize = 64;

/// A trace, and what is known of it.
pub(super) struct Recorded {
    pub(super) bytes: Vec<u8>,
    /// Of the session.
    pub(super) format: Option<String>,
    pub(super) capabilities: u64,
}

/// Reads a trace, or records one of a session.
pub(super) fn recorded(options: &super::Audit) -> Result<Recorded, Error> {
    let named = options.trace.to_str().and_then(|text| text.parse().ok());
    let Some(session) = named.filter(|_| !options.trace.exists()) else {
        return Ok(Recorded {
            bytes: super::read(&options.trace)?,
            format: None,
            capabilities: u64::MAX,
        });
    };
    let mut daemon = options.daemon.ask()?;
    let tracing = daemon
        .trace(session, options.frames)
        .map_err(daemon::Error::from)?;
    // Before anything is recorded: without a contract there is nothing to hold it against.
    super::contract(options.format.as_ref().unwrap_or(&tracing.params_format))?;
    let mut bytes = Vec::new();
    File::from(tracing.pipe)
        .take(super::MAX_FILE)
        .read_to_end(&mut bytes)?;
    // A daemon that ends does so in the middle of a buffer.
    let whole = Trace::new(&bytes)
        .map_while(Result::ok)
        .map(|buffer| 4 + buffer.len())
        .sum();
    bytes.truncate(whole);
    match bytes.is_empty() {
        true => Err(Error::Silent(session)),
        false => Ok(Recorded {
            bytes,
            format: Some(tracing.params_format),
            capabilities: tracing.isp_capabilities,
        }),
    }
}

/// The buffers of a trace.
pub(super) fn buffers<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, Error> {
    let buffers: Result<Vec<_>, _> = Trace::new(bytes).collect();
    let buffers = buffers.map_err(|why| Error::NoTrace {
        path: path.to_owned(),
        why,
    })?;
    if buffers.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(buffers)
}

/// The contract that accepts most blocks; of equals the first.
pub(super) fn likely(path: &Path, buffers: &[&[u8]]) -> Result<Contract, Error> {
    let (mut report, mut best) = (Report::new(), None);
    for (name, _) in Contract::BUILTIN {
        let contract = Contract::builtin(name)?;
        let mut accepted = 0;
        for buffer in buffers.iter().take(GUESSED_BY) {
            contract.validate(buffer, u64::MAX, &mut report);
            accepted += report.accepted().len();
        }
        let most = best.as_ref().map_or(0, |(most, _)| *most);
        if accepted > most {
            best = Some((accepted, contract));
        }
    }
    best.map(|(_, contract)| contract).ok_or(Error::NoFormat {
        path: path.to_owned(),
    })
}

/// What was used.
#[derive(Debug, Serialize)]
pub(super) struct Audited {
    schema: u32,
    format: String,
    buffers: u64,
    /// Buffers that were refused whole.
    buffers_refused: u64,
    blocks: Vec<BlockUsed>,
    /// Blocks of the format that never came.
    unused: Vec<String>,
    /// Blocks that the format does not have.
    unknown: Vec<Unknown>,
}

#[derive(Debug, Serialize)]
struct BlockUsed {
    r#type: u16,
    name: String,
    configured: u64,
    disabled: u64,
    /// Of those configured, how many had another size; their fields were not looked at.
    other_sizes: u64,
    refused: Vec<Refused>,
    fields: Vec<FieldUsed>,
}

#[derive(Debug, Serialize)]
struct Refused {
    reason: &'static str,
    times: u64,
}

#[derive(Debug, Serialize)]
struct FieldUsed {
    name: String,
    least: i64,
    most: i64,
    unit: Option<String>,
    /// For the table: what it may say.
    #[serde(skip)]
    allowed: String,
}

#[derive(Debug, Serialize)]
struct Unknown {
    r#type: u16,
    times: u64,
    largest: usize,
}

impl Audited {
    pub(super) fn new(contract: &Contract, buffers: &[&[u8]], capabilities: u64) -> Self {
        let mut usage = Usage::new(contract);
        for buffer in buffers {
            usage.add(buffer, capabilities);
        }
        let (mut blocks, mut unused) = (Vec::new(), Vec::new());
        for (block, used) in contract.blocks().iter().zip(usage.blocks()) {
            let BlockUse {
                configured,
                disabled,
                other_sizes,
                fields,
            } = used;
            if configured + disabled == 0 {
                unused.push(block.name().to_owned());
                continue;
            }
            let of_block = usage
                .tally()
                .iter()
                .filter(|(kind, ..)| *kind == block.kind());
            let fields = block.fields().iter().zip(fields);
            blocks.push(BlockUsed {
                r#type: block.kind(),
                name: block.name().to_owned(),
                configured: *configured,
                disabled: *disabled,
                other_sizes: *other_sizes,
                refused: of_block
                    .map(|(_, class, times)| Refused {
                        reason: class.name(),
                        times,
                    })
                    .collect(),
                fields: fields
                    .filter_map(|(field, range)| {
                        let (least, most) = (*range)?;
                        Some(FieldUsed {
                            name: field.name.clone(),
                            least,
                            most,
                            unit: field.unit.clone(),
                            allowed: field.allowed.to_string(),
                        })
                    })
                    .collect(),
            });
        }
        let unknown = usage.unknown().map(|(kind, used)| Unknown {
            r#type: kind,
            times: used.times,
            largest: used.largest,
        });
        Self {
            schema: SCHEMA,
            format: contract.format().to_owned(),
            buffers: usage.buffers(),
            buffers_refused: usage.tally().buffers(),
            blocks,
            unused,
            unknown: unknown.collect(),
        }
    }

    /// Whether all of it is within the contract.
    pub(super) fn good(&self) -> bool {
        let refused = self.blocks.iter().any(|block| !block.refused.is_empty());
        !refused && self.unknown.is_empty() && self.buffers_refused == 0
    }
}

impl Words for Audited {
    fn in_words(&self, width: u16) -> String {
        let whole = match self.buffers_refused {
            0 => String::new(),
            refused => format!(", {refused} of them refused whole"),
        };
        let mut text = vec![format!("{}, {} buffers{whole}", self.format, self.buffers)];
        text.extend(self.blocks.iter().map(|block| block.in_words(width)));
        if !self.unknown.is_empty() {
            let unknown = self.unknown.iter().map(|unknown| {
                let Unknown {
                    r#type,
                    times,
                    largest,
                } = unknown;
                format!("type {}: {times} times, {largest} bytes at most", r#type)
            });
            let unknown: Vec<_> = unknown.collect();
            text.push(format!(
                "{}\n{}",
                heading("Blocks that nobody documents"),
                unknown.join("\n")
            ));
        }
        if !self.unused.is_empty() {
            text.push(format!("Never used: {}.", self.unused.join(", ")));
        }
        text.join("\n\n")
    }
}

impl BlockUsed {
    fn in_words(&self, width: u16) -> String {
        let mut table = plain(width);
        for field in &self.fields {
            let said = match (field.least, field.most) {
                (least, most) if least == most => least.to_string(),
                (least, most) => format!("{least}..={most}"),
            };
            table.add_row(Row::from([
                field.name.clone(),
                said,
                field.unit.clone().unwrap_or_default(),
                format!("of {}", field.allowed),
            ]));
        }
        let title = heading(&format!("{} {}", self.r#type, self.name));
        let mut counts = vec![format!("configured {} times", self.configured)];
        let more = [
            (self.disabled, "switched off"),
            (self.other_sizes, "of another size"),
        ];
        let more = more.into_iter().filter(|(times, _)| *times > 0);
        counts.extend(more.map(|(times, what)| format!("{what} {times} times")));
        let refused = self.refused.iter();
        counts.extend(
            refused.map(|refused| format!("REFUSED {}: {}", refused.reason, refused.times)),
        );
        let text = format!("{title}\n{}\n{}", counts.join(", "), table.trim_fmt());
        text.trim_end().to_owned()
    }
}
