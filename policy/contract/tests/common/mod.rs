//! Buffers of any content.
#![allow(dead_code, reason = "each test uses its part")]

use coldshoe_contract::{Contract, Field};

pub const DISABLE: u16 = 1;
pub const ENABLE: u16 = 2;

/// A buffer of a version, and of blocks: type, flags, body.
pub fn buffer(version: u32, blocks: &[(u16, u16, Vec<u8>)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (kind, flags, body) in blocks {
        data.extend(kind.to_le_bytes());
        data.extend(flags.to_le_bytes());
        data.extend((8 + body.len() as u32).to_le_bytes());
        data.extend(body);
    }
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// A body of a block in which every field says the least that it may.
pub fn least(contract: &Contract, kind: u16) -> Vec<u8> {
    let block = contract.block(kind).expect("a block");
    let mut body = vec![0; block.size() - 8];
    for field in block.fields() {
        let least = match &field.allowed {
            coldshoe_contract::Allowed::Range { min, .. } => *min,
            coldshoe_contract::Allowed::Values(values) => values[0].0,
        };
        (0..field.len).for_each(|index| set(&mut body, field, index, least));
    }
    body
}

/// Every block once, switched on.
pub fn full(contract: &Contract) -> Vec<u8> {
    let blocks: Vec<_> = contract
        .blocks()
        .iter()
        .map(|block| (block.kind(), ENABLE, least(contract, block.kind())))
        .collect();
    buffer(contract.version(), &blocks)
}

/// Makes an element say `value`, and leaves other bits alone.
pub fn set(body: &mut [u8], field: &Field, index: usize, value: i64) {
    let width = field.number.width();
    let place = &mut body[field.offset + index * width..][..width];
    let mut bytes = [0; 4];
    bytes[..width].copy_from_slice(place);
    let first = field.bits.map_or(0, |(first, _)| first);
    let bits = (u32::from_le_bytes(bytes) & !field.mask) | ((value as u32) << first & field.mask);
    place.copy_from_slice(&bits.to_le_bytes()[..width]);
}
