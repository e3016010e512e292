//! Refusals in words.

use crate::contract::Contract;
use crate::report::{Reason, Refusal};

impl Contract {
    /// What is wrong with a block, and what the contract says: one line, without the block's name.
    #[must_use]
    pub fn why(&self, refusal: &Refusal) -> String {
        let block = self.block(refusal.kind);
        let field = |number: u16| block.and_then(|block| block.fields().get(usize::from(number)));
        match refusal.reason {
            Reason::Unknown => format!("{} does not have it", self.format()),
            Reason::Duplicate => format!("comes {} times; send it once", refusal.times),
            Reason::Unsupported => "this hardware does not have it".to_owned(),
            Reason::Flags { flags } => format!(
                "flags {flags:#06x} have no meaning; set DISABLE, ENABLE or neither{}",
                if self.flags().is_empty() {
                    ""
                } else {
                    ", and the driver's own"
                }
            ),
            Reason::Size { got } => format!(
                "has {got} bytes instead of {}",
                block.map_or(0, crate::Block::size)
            ),
            Reason::Reserved { at } => {
                format!("byte {at} of its body has a reserved bit that is not zero")
            }
            Reason::Range {
                field: number,
                index,
                value,
            } => match field(number) {
                Some(field) => format!(
                    "{}{} is {value}, not of {}",
                    field.name,
                    element(field.len, index),
                    field.allowed
                ),
                None => format!("field {number} is {value}"),
            },
            Reason::Falls {
                field: number,
                index,
            } => match field(number) {
                Some(field) => format!("{}[{index}] is below the one before it", field.name),
                None => format!("field {number} falls"),
            },
        }
    }
}

fn element(len: usize, index: u32) -> String {
    match len {
        1 => String::new(),
        _ => format!("[{index}]"),
    }
}
