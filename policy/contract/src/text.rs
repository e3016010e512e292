//! The form of a contract's text.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::contract::Mode;
use crate::field::Number;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContractText {
    pub(crate) format: String,
    pub(crate) version: u32,
    pub(crate) description: String,
    pub(crate) mode: Mode,
    pub(crate) quarantine: QuarantineText,
    pub(crate) actuators: ActuatorsText,
    /// Flags of blocks that are the driver's own: name and bit.
    #[serde(default)]
    pub(crate) flags: BTreeMap<String, u8>,
    pub(crate) source: Option<SourceText>,
    #[serde(default)]
    pub(crate) block: Vec<BlockText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuarantineText {
    pub(crate) violations: u32,
    pub(crate) forgiven_after: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActuatorsText {
    pub(crate) exposure_factor: f64,
    pub(crate) analogue_gain_factor: f64,
    pub(crate) digital_gain_factor: f64,
    pub(crate) frame_duration_factor: f64,
    pub(crate) lens_dioptres: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceText {
    pub(crate) header: String,
    pub(crate) starts_at: StartText,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StartText {
    Block,
    Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockText {
    pub(crate) r#type: u16,
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) r#struct: Option<String>,
    pub(crate) meaning: String,
    #[serde(default)]
    pub(crate) field: Vec<FieldText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldText {
    pub(crate) name: String,
    pub(crate) member: Option<String>,
    pub(crate) offset: usize,
    pub(crate) r#type: Number,
    pub(crate) len: Option<usize>,
    pub(crate) bits: Option<[u8; 2]>,
    pub(crate) mask: Option<u32>,
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) values: Option<BTreeMap<String, i64>>,
    #[serde(default)]
    pub(crate) rises: bool,
    pub(crate) unit: Option<String>,
    pub(crate) meaning: String,
}
