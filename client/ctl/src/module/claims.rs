//! What a module says of itself, read from its table without running any of it.
//!
//! `coldshoe_ipa_module` is a function, so where its table lies is only certain once it has run.
//! But a table that is a constant, as in the C examples, has a form that nothing else has: a size,
//! a version, and then pointers in a fixed order to texts and to code, all put there by the loader.
//! If exactly one place of the image has that form it is taken, as a claim; a module that makes its
//! table at run time, as the Rust SDK does, stays unknown until it is loaded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::image::Image;

/// `sizeof(struct coldshoe_ipa_module)` of the first version of the interface.
const SIZE: u32 = 112;
/// A later version may have grown to this.
const MAX_SIZE: u32 = 4096;
const MAX_VERSION: u32 = 64;
const MAX_STRING: usize = 128;
const MAX_FORMATS: u64 = 64;
const FLAG_THREADS: u64 = 1;

const ABI_VERSION: u64 = 4;
const NAME: u64 = 8;
const VERSION: u64 = 16;
const LICENSE: u64 = 24;
const FLAGS: u64 = 32;
const FORMATS: u64 = 40;
/// `sizeof(struct coldshoe_ipa_format)`.
const FORMAT: u64 = 24;
/// create, configure, start, process, stop, destroy.
const VERBS: [u64; 6] = [48, 56, 64, 72, 80, 88];

/// The fields of a module's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Claims {
    pub(crate) abi_version: u32,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: String,
    pub(crate) threads: bool,
    /// Pairs of statistics and parameters.
    pub(crate) formats: Vec<(String, String)>,
}

impl Claims {
    /// The claims of the only table in the image; `None` if there is none, or more than one.
    pub(crate) fn find(image: &Image<'_>) -> Option<Self> {
        let relocations = image.relocations();
        let mut tables = relocations
            .keys()
            .filter_map(|name| name.checked_sub(NAME))
            .filter_map(|at| read(image, &relocations, at));
        let only = tables.next()?;
        tables.next().is_none().then_some(only)
    }
}

fn read(image: &Image<'_>, relocations: &BTreeMap<u64, u64>, at: u64) -> Option<Claims> {
    let field = |offset: u64| at.checked_add(offset);
    let number = |offset| {
        let bytes = image.at(field(offset)?)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let pointer = |offset| relocations.get(&field(offset)?).copied();
    let text = |offset| text(image, pointer(offset)?);
    let (size, abi_version) = (number(0)?, number(ABI_VERSION)?);
    let plausible = (SIZE..=MAX_SIZE).contains(&size) && (1..=MAX_VERSION).contains(&abi_version);
    let verbs = VERBS
        .iter()
        .all(|verb| pointer(*verb).is_some_and(|code| image.is_code(code)));
    if !plausible || !verbs {
        return None;
    }
    Some(Claims {
        abi_version,
        name: text(NAME)?,
        version: text(VERSION)?,
        license: text(LICENSE)?,
        threads: image.u64_at(field(FLAGS)?)? & FLAG_THREADS != 0,
        formats: formats(image, relocations, pointer(FORMATS)?),
    })
}

fn formats(
    image: &Image<'_>,
    relocations: &BTreeMap<u64, u64>,
    first: u64,
) -> Vec<(String, String)> {
    let pair = |n: u64| {
        let at = first.checked_add(n * FORMAT)?;
        let part = |at: u64| text(image, *relocations.get(&at)?);
        Some((part(at)?, part(at.checked_add(8)?)?))
    };
    (0..MAX_FORMATS).map_while(pair).collect()
}

fn text(image: &Image<'_>, at: u64) -> Option<String> {
    let text = image.text_at(at, MAX_STRING)?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}
