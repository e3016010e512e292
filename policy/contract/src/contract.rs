//! A contract: what a format's buffers may say.

use coldshoe_isp::KIND_LIMIT;
use serde::Deserialize;

use crate::block::Block;
use crate::error::ContractError;
use crate::parse;
use crate::rates::Rates;
use crate::standing::Quarantine;

/// What becomes of a buffer with a block that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The block is left out and keeps its last good content; the rest goes on.
    Drop,
    /// The buffer is refused with it.
    Fail,
}

/// The kernel's header that a format is documented in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As it is included.
    pub header: String,
    /// Bytes of a structure before the body of its block: 8 where it begins with the block's header.
    pub before_body: usize,
}

/// What a format's buffers, and the requests that come with them, may say.
#[derive(Clone, Debug)]
pub struct Contract {
    pub(crate) format: String,
    pub(crate) version: u32,
    pub(crate) description: String,
    pub(crate) mode: Mode,
    pub(crate) quarantine: Quarantine,
    pub(crate) rates: Rates,
    pub(crate) flags: Vec<(u8, String)>,
    pub(crate) driver_flags: u16,
    pub(crate) source: Option<Source>,
    pub(crate) blocks: Vec<Block>,
    /// Number of the block of each type, or [`NO_BLOCK`].
    pub(crate) by_kind: [u8; KIND_LIMIT as usize],
    pub(crate) max_payload: usize,
}

/// No block has this number: there are fewer.
pub(crate) const NO_BLOCK: u8 = u8::MAX;

impl Contract {
    /// The contracts that are built in: name and text.
    pub const BUILTIN: [(&'static str, &'static str); 3] = [
        ("rkisp1", include_str!("../formats/rkisp1.toml")),
        ("mali-c55", include_str!("../formats/mali-c55.toml")),
        (
            "coldshoe-soft",
            include_str!("../formats/coldshoe-soft.toml"),
        ),
    ];

    /// A contract that is built in.
    ///
    /// # Errors
    /// [`ContractError::NoSuchFormat`] names those that are.
    pub fn builtin(name: &str) -> Result<Self, ContractError> {
        match Self::BUILTIN.iter().find(|(known, _)| *known == name) {
            Some((name, text)) => Self::parse(&format!("{name}.toml"), text),
            None => Err(ContractError::NoSuchFormat {
                name: name.chars().take(64).collect(),
                known: Self::BUILTIN.map(|(name, _)| name).join(", "),
            }),
        }
    }

    /// The contract of a format: `text`, if there is one of somebody's own, or the one that is built
    /// in.
    ///
    /// # Errors
    /// As of [`parse`](Self::parse) and [`builtin`](Self::builtin), and
    /// [`ContractError::OtherFormat`] of a text that is about another one.
    pub fn of(format: &str, text: Option<&str>) -> Result<Self, ContractError> {
        let Some(text) = text else {
            return Self::builtin(format);
        };
        let contract = Self::parse(&format!("{format}.toml"), text)?;
        match contract.format == format {
            true => Ok(contract),
            false => Err(ContractError::OtherFormat {
                wanted: format.chars().take(64).collect(),
                got: contract.format,
            }),
        }
    }

    /// Reads a contract; `file` is for its errors alone.
    ///
    /// # Errors
    /// [`ContractError`] names file, block and field, and what is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, ContractError> {
        parse::parse(file, text)
    }

    /// The name of the format.
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// The only version of a buffer that is accepted.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Whose format it is.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What becomes of a buffer with a block that is refused.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// When a module is given up.
    #[must_use]
    pub const fn quarantine(&self) -> Quarantine {
        self.quarantine
    }

    /// How fast actuators may change.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        self.rates
    }

    /// The flags that are the driver's own: bit and name.
    #[must_use]
    pub fn flags(&self) -> &[(u8, String)] {
        &self.flags
    }

    /// The kernel's header that documents the format.
    #[must_use]
    pub const fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The blocks, by type.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The block of a type.
    #[must_use]
    #[inline]
    pub fn block(&self, kind: u16) -> Option<&Block> {
        let number = self.by_kind.get(usize::from(kind))?;
        self.blocks.get(usize::from(*number))
    }

    /// Bytes of the largest buffer: its header, and every block once.
    #[must_use]
    pub const fn max_payload(&self) -> usize {
        self.max_payload
    }

    /// All blocks of the format, as a mask of what hardware has.
    #[must_use]
    pub fn all_blocks(&self) -> u64 {
        self.blocks
            .iter()
            .fold(0, |mask, block| mask | 1 << block.kind)
    }
}
