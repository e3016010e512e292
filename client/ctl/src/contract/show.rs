//! A contract in words.

use anstyle::AnsiColor;
use coldshoe_contract::{Allowed, Block, Contract, Field, Mode};
use comfy_table::Row;
use serde::Serialize;

use super::{SCHEMA, Words};
use crate::words::plain;

/// A contract, as it is told.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    schema: u32,
    format: &'a str,
    description: &'a str,
    version: u32,
    /// What becomes of a buffer with a block that is refused: drop or fail.
    mode: &'static str,
    largest_buffer: usize,
    header: Option<&'a str>,
    quarantine: Quarantine,
    /// Most that may change from one frame to the next.
    rates: Rates,
    flags: Vec<Flag<'a>>,
    blocks: Vec<BlockShown<'a>>,
}

#[derive(Debug, Serialize)]
struct Quarantine {
    violations: u32,
    forgiven_after: u32,
}

#[derive(Debug, Serialize)]
struct Rates {
    exposure_factor: f64,
    analogue_gain_factor: f64,
    digital_gain_factor: f64,
    frame_duration_factor: f64,
    lens_dioptres: f64,
}

#[derive(Debug, Serialize)]
struct Flag<'a> {
    bit: u8,
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct BlockShown<'a> {
    r#type: u16,
    name: &'a str,
    size: usize,
    r#struct: Option<&'a str>,
    meaning: &'a str,
    fields: Vec<FieldShown<'a>>,
}

#[derive(Debug, Serialize)]
struct FieldShown<'a> {
    name: &'a str,
    offset: usize,
    r#type: String,
    len: usize,
    /// First and last, where the field is part of a number.
    bits: Option<(u8, u8)>,
    mask: u32,
    min: Option<i64>,
    max: Option<i64>,
    values: Option<Vec<Named<'a>>>,
    rises: bool,
    unit: Option<&'a str>,
    meaning: &'a str,
    /// For the table: what it may say.
    #[serde(skip)]
    allowed: String,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    value: i64,
    name: &'a str,
}

impl<'a> Shown<'a> {
    pub(super) fn new(contract: &'a Contract) -> Self {
        let (quarantine, rates) = (contract.quarantine(), contract.rates());
        let flag = |(bit, name): &'a (u8, String)| Flag { bit: *bit, name };
        Self {
            schema: SCHEMA,
            format: contract.format(),
            description: contract.description(),
            version: contract.version(),
            mode: match contract.mode() {
                Mode::Drop => "drop",
                Mode::Fail => "fail",
            },
            largest_buffer: contract.max_payload(),
            header: contract.source().map(|source| source.header.as_str()),
            quarantine: Quarantine {
                violations: quarantine.violations,
                forgiven_after: quarantine.forgiven_after,
            },
            rates: Rates {
                exposure_factor: rates.exposure_factor,
                analogue_gain_factor: rates.analogue_gain_factor,
                digital_gain_factor: rates.digital_gain_factor,
                frame_duration_factor: rates.frame_duration_factor,
                lens_dioptres: rates.lens_dioptres,
            },
            flags: contract.flags().iter().map(flag).collect(),
            blocks: contract.blocks().iter().map(BlockShown::new).collect(),
        }
    }

    fn head(&self, width: u16) -> String {
        let Self {
            quarantine, rates, ..
        } = self;
        let refused = match self.mode {
            "fail" => "the whole buffer is refused with it",
            _ => "it is left out, and its last good content stays",
        };
        let changes = format!(
            "exposure {} ×, analogue gain {} ×, digital gain {} ×, frame duration {} ×, up or down; lens {} dpt",
            rates.exposure_factor,
            rates.analogue_gain_factor,
            rates.digital_gain_factor,
            rates.frame_duration_factor,
            rates.lens_dioptres
        );
        let given_up = format!(
            "at {} frames with something refused; {} good ones in a row make up for one",
            quarantine.violations, quarantine.forgiven_after
        );
        let flags = self
            .flags
            .iter()
            .map(|flag| format!(", bit {} {}", flag.bit, flag.name));
        let flags = format!("bit 0 DISABLE, bit 1 ENABLE{}", flags.collect::<String>());
        let buffer = format!(
            "version {}, {} bytes at most",
            self.version, self.largest_buffer
        );
        let mut table = plain(width);
        table.add_row(Row::from(["Buffer", &buffer]));
        if let Some(header) = self.header {
            table.add_row(Row::from(["Documented in", &format!("<{header}>")]));
        }
        table.add_row(Row::from(["Flags of a block", &flags]));
        table.add_row(Row::from(["A refused block", refused]));
        table.add_row(Row::from(["A module is given up", &given_up]));
        table.add_row(Row::from(["Most change a frame", &changes]));
        let title = heading(&format!("{}: {}", self.format, self.description));
        format!("{title}\n{}", table.trim_fmt())
    }
}

impl Words for Shown<'_> {
    fn in_words(&self, width: u16) -> String {
        let mut text = vec![self.head(width)];
        text.extend(self.blocks.iter().map(|block| block.in_words(width)));
        text.push(
            "Offsets are in bytes from the end of a block's header. Any other block is refused, and so is any\n\
             bit that no field has."
                .to_owned(),
        );
        text.join("\n\n")
    }
}

impl<'a> BlockShown<'a> {
    fn new(block: &'a Block) -> Self {
        Self {
            r#type: block.kind(),
            name: block.name(),
            size: block.size(),
            r#struct: block.structure(),
            meaning: block.meaning(),
            fields: block.fields().iter().map(FieldShown::new).collect(),
        }
    }

    fn in_words(&self, width: u16) -> String {
        let mut table = plain(width);
        for field in &self.fields {
            table.add_row(Row::from([
                field.offset.to_string(),
                field.name.to_owned(),
                field.kind(),
                field.allowed.clone(),
                field.unit.unwrap_or_default().to_owned(),
                field.meaning.to_owned(),
            ]));
        }
        let title = heading(&format!(
            "{} {}, {} bytes",
            self.r#type, self.name, self.size
        ));
        let structure = self.r#struct.map(|name| format!(" (struct {name})"));
        let about = format!("{}{}", self.meaning, structure.unwrap_or_default());
        format!("{title}\n{about}\n{}", table.trim_fmt())
    }
}

impl<'a> FieldShown<'a> {
    fn new(field: &'a Field) -> Self {
        let (range, values) = match &field.allowed {
            Allowed::Range { min, max } => (Some((*min, *max)), None),
            Allowed::Values(values) => {
                let named = values.iter().map(|(value, name)| Named {
                    value: *value,
                    name,
                });
                (None, Some(named.collect()))
            }
        };
        let rises = if field.rises { ", never falling" } else { "" };
        Self {
            name: &field.name,
            offset: field.offset,
            r#type: field.number.to_string(),
            len: field.len,
            bits: field.bits,
            mask: field.mask,
            min: range.map(|(min, _)| min),
            max: range.map(|(_, max)| max),
            values,
            rises: field.rises,
            unit: field.unit.as_deref(),
            meaning: &field.meaning,
            allowed: format!("{}{rises}", field.allowed),
        }
    }

    /// As in `u16[17] bits 0 to 11`.
    fn kind(&self) -> String {
        let len = match self.len {
            1 => String::new(),
            len => format!("[{len}]"),
        };
        let ones = match self.r#type.as_str() {
            "u8" => u32::from(u8::MAX),
            "u16" => u32::from(u16::MAX),
            _ => u32::MAX,
        };
        let bits = match self.bits {
            Some((first, last)) if first == last => format!(" bit {first}"),
            Some((first, last)) => format!(" bits {first} to {last}"),
            None if self.r#type.starts_with('u') && self.mask != ones => {
                format!(" mask {:#x}", self.mask)
            }
            None => String::new(),
        };
        format!("{}{len}{bits}", self.r#type)
    }
}

pub(super) fn heading(text: &str) -> String {
    let bold = AnsiColor::Cyan.on_default().bold();
    format!("{bold}{text}{bold:#}")
}
