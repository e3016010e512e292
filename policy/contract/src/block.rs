//! What a block is: its type, its size, its fields.

use coldshoe_isp::HEADER_SIZE;

use crate::checks::Checks;
use crate::field::Field;
use crate::report::Reason;

/// A block of a format.
#[derive(Clone, Debug)]
pub struct Block {
    pub(crate) kind: u16,
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) structure: Option<String>,
    pub(crate) meaning: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) checks: Checks,
}

impl Block {
    /// The type in its header.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        self.kind
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes, header included.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The C structure that it is documented as.
    #[must_use]
    pub fn structure(&self) -> Option<&str> {
        self.structure.as_deref()
    }

    /// What it is for.
    #[must_use]
    pub fn meaning(&self) -> &str {
        &self.meaning
    }

    /// Its fields, in the order in which they lie.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Judges a body of the right size.
    #[inline]
    pub(crate) fn judge(&self, body: &[u8]) -> Result<(), Reason> {
        if self.checks.pass(body) {
            return Ok(());
        }
        self.reason(body).map_or(Ok(()), Err)
    }

    /// The first thing that is wrong: a reserved bit, then field by field.
    #[cold]
    fn reason(&self, body: &[u8]) -> Option<Reason> {
        debug_assert_eq!(body.len() + HEADER_SIZE, self.size);
        if let Some(at) = self.checks.reserved_at(body) {
            return Some(Reason::Reserved { at: at as u32 });
        }
        self.fields.iter().zip(0..).find_map(|(field, number)| {
            let mut before = i64::MIN;
            let mut fall = None;
            for (value, index) in field.values(body).zip(0..) {
                if !field.allowed.has(value) {
                    return Some(Reason::Range {
                        field: number,
                        index,
                        value,
                    });
                }
                if field.rises && value < before {
                    fall = fall.or(Some(Reason::Falls {
                        field: number,
                        index,
                    }));
                }
                before = value;
            }
            fall
        })
    }
}
