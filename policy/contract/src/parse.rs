//! From TOML to a checked contract.

use std::collections::BTreeMap;

use coldshoe_isp::{HEADER_SIZE, KIND_LIMIT};

use crate::block::Block;
use crate::checks::Checks;
use crate::contract::{Contract, NO_BLOCK, Source};
use crate::error::{ContractError, Problem};
use crate::field::{Allowed, Field};
use crate::rates::Rates;
use crate::standing::Quarantine;
use crate::text::{BlockText, ContractText, FieldText, StartText};

/// Bytes of a contract's text.
const MAX_TEXT: usize = 256 << 10;
const MAX_BLOCK: usize = 64 << 10;
const MAX_FIELDS: usize = 1024;
const MAX_WORDS: usize = 200;
/// Flags that all formats have, or may have one day.
const COMMON_FLAGS: u8 = 8;

pub(crate) fn parse(file: &str, text: &str) -> Result<Contract, ContractError> {
    let head = |problem| ContractError::Head {
        file: file.to_owned(),
        problem,
    };
    if text.len() > MAX_TEXT {
        return Err(head(Problem::TooLong(MAX_TEXT)));
    }
    let stated: ContractText = toml::from_str(text).map_err(|source| ContractError::Syntax {
        file: file.to_owned(),
        source: Box::new(source),
    })?;
    words("format", &stated.format).map_err(head)?;
    words("description", &stated.description).map_err(head)?;
    let (quarantine, rates) = (
        quarantine(&stated).map_err(head)?,
        rates(&stated).map_err(head)?,
    );
    let (flags, driver_flags) = flags(&stated.flags).map_err(head)?;
    let mut blocks: Vec<Block> = Vec::new();
    for text in stated.block {
        let block = block(file, text, &blocks)?;
        blocks.push(block);
    }
    if blocks.is_empty() {
        return Err(head(Problem::NoBlock));
    }
    blocks.sort_by_key(Block::kind);
    let mut by_kind = [NO_BLOCK; KIND_LIMIT as usize];
    for (block, number) in blocks.iter().zip(0..) {
        by_kind[usize::from(block.kind)] = number;
    }
    Ok(Contract {
        max_payload: HEADER_SIZE + blocks.iter().map(Block::size).sum::<usize>(),
        format: stated.format,
        version: stated.version,
        description: stated.description,
        mode: stated.mode,
        quarantine,
        rates,
        flags,
        driver_flags,
        source: stated.source.map(|source| Source {
            header: source.header,
            before_body: match source.starts_at {
                StartText::Block => HEADER_SIZE,
                StartText::Body => 0,
            },
        }),
        blocks,
        by_kind,
    })
}

fn quarantine(stated: &ContractText) -> Result<Quarantine, Problem> {
    let quarantine = Quarantine {
        violations: stated.quarantine.violations,
        forgiven_after: stated.quarantine.forgiven_after,
    };
    for (key, value) in [
        ("quarantine.violations", quarantine.violations),
        ("quarantine.forgiven_after", quarantine.forgiven_after),
    ] {
        if value == 0 {
            let range = "a number of frames from 1 on";
            return Err(Problem::Setting { key, range });
        }
    }
    Ok(quarantine)
}

fn rates(stated: &ContractText) -> Result<Rates, Problem> {
    let stated = &stated.actuators;
    let rates = Rates {
        exposure_factor: stated.exposure_factor,
        analogue_gain_factor: stated.analogue_gain_factor,
        digital_gain_factor: stated.digital_gain_factor,
        frame_duration_factor: stated.frame_duration_factor,
        lens_dioptres: stated.lens_dioptres,
    };
    for (key, factor) in [
        ("actuators.exposure_factor", rates.exposure_factor),
        ("actuators.analogue_gain_factor", rates.analogue_gain_factor),
        ("actuators.digital_gain_factor", rates.digital_gain_factor),
        (
            "actuators.frame_duration_factor",
            rates.frame_duration_factor,
        ),
    ] {
        if !(1.01..=1e6).contains(&factor) {
            let range = "a factor from 1.01 to 1e6";
            return Err(Problem::Setting { key, range });
        }
    }
    if !(0.01..=1e3).contains(&rates.lens_dioptres) {
        return Err(Problem::Setting {
            key: "actuators.lens_dioptres",
            range: "from 0.01 to 1e3",
        });
    }
    Ok(rates)
}

fn flags(stated: &BTreeMap<String, u8>) -> Result<(Vec<(u8, String)>, u16), Problem> {
    let mut mask = 0;
    for (name, bit) in stated {
        words("flags", name)?;
        let one = 1_u16.checked_shl((*bit).into()).unwrap_or(0);
        if *bit < COMMON_FLAGS || one == 0 || mask & one != 0 {
            return Err(Problem::Flag(name.clone()));
        }
        mask |= one;
    }
    let mut flags: Vec<_> = stated
        .iter()
        .map(|(name, bit)| (*bit, name.clone()))
        .collect();
    flags.sort();
    Ok((flags, mask))
}

fn block(file: &str, text: BlockText, others: &[Block]) -> Result<Block, ContractError> {
    let name = text.name.clone();
    let wrong = |problem| ContractError::Block {
        file: file.to_owned(),
        block: name.clone(),
        problem,
    };
    words("name", &text.name).map_err(wrong)?;
    words("meaning", &text.meaning).map_err(wrong)?;
    if let Some(structure) = &text.r#struct {
        words("struct", structure).map_err(wrong)?;
    }
    if text.r#type >= KIND_LIMIT {
        return Err(wrong(Problem::Type(text.r#type)));
    }
    if others.iter().any(|other| other.kind == text.r#type) {
        return Err(wrong(Problem::Again(format!("type {}", text.r#type))));
    }
    if others.iter().any(|other| other.name == text.name) {
        return Err(wrong(Problem::Again(format!("name {}", text.name))));
    }
    if !text.size.is_multiple_of(8) || !(2 * HEADER_SIZE..=MAX_BLOCK).contains(&text.size) {
        return Err(wrong(Problem::Size(text.size)));
    }
    if !(1..=MAX_FIELDS).contains(&text.field.len()) {
        return Err(wrong(Problem::Fields(text.field.len())));
    }
    let body = text.size - HEADER_SIZE;
    let mut taken = vec![0; body];
    let mut fields: Vec<Field> = Vec::new();
    for stated in text.field {
        let wrong = |problem| ContractError::Field {
            file: file.to_owned(),
            block: name.clone(),
            field: stated.name.clone(),
            problem,
        };
        let field = field(&stated, body).map_err(wrong)?;
        if fields.iter().any(|other| other.name == field.name) {
            return Err(wrong(Problem::Again(format!("name {}", field.name))));
        }
        if !take(&field, &mut taken) {
            let other = fields.iter().find(|other| meet(other, &field));
            let other = other.map_or_else(|| "another".to_owned(), |other| other.name.clone());
            return Err(wrong(Problem::Overlap(other)));
        }
        fields.push(field);
    }
    fields.sort_by_key(|field| (field.offset, field.bits));
    Ok(Block {
        kind: text.r#type,
        name: text.name,
        size: text.size,
        structure: text.r#struct,
        meaning: text.meaning,
        checks: Checks::new(&fields, body),
        fields,
    })
}

fn field(stated: &FieldText, body: usize) -> Result<Field, Problem> {
    words("name", &stated.name)?;
    words("meaning", &stated.meaning)?;
    for (key, text) in [("unit", &stated.unit), ("member", &stated.member)] {
        text.as_deref().map_or(Ok(()), |text| words(key, text))?;
    }
    let number = stated.r#type;
    let len = stated.len.unwrap_or(1);
    let end = len
        .checked_mul(number.width())
        .and_then(|bytes| bytes.checked_add(stated.offset))
        .filter(|end| *end > stated.offset);
    match end {
        Some(end) if end <= body => {}
        _ => {
            let end = end.unwrap_or(usize::MAX);
            return Err(Problem::Past { end, body });
        }
    }
    if !stated.offset.is_multiple_of(number.width()) {
        return Err(Problem::Unaligned);
    }
    let ones = number.ones();
    let (mask, bits) = match (stated.bits, stated.mask) {
        (None, None) => (ones, None),
        (Some(_), Some(_)) => return Err(Problem::Bits),
        _ if number.is_signed() => return Err(Problem::Bits),
        (None, Some(mask)) if mask != 0 && mask & !ones == 0 => (mask, None),
        (Some([first, last]), None) if first <= last && last < number.bits() => {
            let mask = (ones >> (number.bits() - 1 - last)) & (ones << first);
            (mask, Some((first, last)))
        }
        _ => return Err(Problem::Bits),
    };
    let (least, most) = match bits {
        Some((first, _)) => (0, i64::from(mask >> first)),
        None => number.range(),
    };
    let allowed = match &stated.values {
        None => {
            let (min, max) = (stated.min.unwrap_or(least), stated.max.unwrap_or(most));
            if min > max || min < least || max > most {
                return Err(Problem::Range);
            }
            Allowed::Range { min, max }
        }
        Some(_) if stated.min.is_some() || stated.max.is_some() => return Err(Problem::Values),
        Some(values) => allowed(values, most)?,
    };
    let whole_u16 = number == crate::Number::U16 && mask == ones && len > 1;
    if stated.rises && !whole_u16 {
        return Err(Problem::Rises);
    }
    Ok(Field {
        name: stated.name.clone(),
        member: stated.member.clone(),
        offset: stated.offset,
        number,
        len,
        bits,
        mask,
        allowed,
        rises: stated.rises,
        unit: stated.unit.clone(),
        meaning: stated.meaning.clone(),
    })
}

fn allowed(values: &BTreeMap<String, i64>, most: i64) -> Result<Allowed, Problem> {
    let mut by_value: Vec<_> = values
        .iter()
        .map(|(name, value)| (*value, name.clone()))
        .collect();
    by_value.sort();
    let repeats = by_value.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let outside = |(value, _): &(i64, String)| !(0..=most.min(63)).contains(value);
    if by_value.is_empty() || repeats || by_value.iter().any(outside) {
        return Err(Problem::Values);
    }
    by_value
        .iter()
        .try_for_each(|(_, name)| words("values", name))?;
    Ok(Allowed::Values(by_value))
}

/// Marks the bits of a field, unless one of them is another's.
fn take(field: &Field, taken: &mut [u8]) -> bool {
    let bytes = field.mask.to_le_bytes();
    let width = field.number.width();
    let place = taken[field.offset..field.end()].iter_mut();
    place
        .zip(bytes[..width].iter().cycle())
        .fold(true, |free, (taken, bits)| {
            let meets = *taken & bits != 0;
            *taken |= bits;
            free && !meets
        })
}

/// Whether two fields share a byte, and bits where they are parts of the same numbers.
fn meet(one: &Field, other: &Field) -> bool {
    let bytes = one.offset < other.end() && other.offset < one.end();
    let same = one.number.width() == other.number.width();
    bytes && (!same || one.mask & other.mask != 0)
}

/// A text of one line.
fn words(key: &'static str, text: &str) -> Result<(), Problem> {
    let fits = !text.is_empty() && text.len() <= MAX_WORDS;
    if fits && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Problem::Text(key))
    }
}
