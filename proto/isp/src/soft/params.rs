//! A whole `coldshoe-soft` buffer, decoded.

use thiserror::Error;

use super::{BlackLevel, Ccm, FORMAT, Lsc, TABLE, ToneCurve, WbGains};
use crate::blocks::{Block, BlockError, RawBlock, TableError};
use crate::walker::{Blocks, ParseError};

/// What a buffer says about one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Update<T> {
    /// Nothing: what was applied last stays.
    #[default]
    Keep,
    /// Take the block out.
    Disable,
    /// Apply this.
    Set(T),
}

/// What a buffer says about all blocks of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftParams {
    /// Type 0.
    pub black_level: Update<BlackLevel>,
    /// Type 1.
    pub wb_gains: Update<WbGains>,
    /// Type 2.
    pub ccm: Update<Ccm>,
    /// Type 3.
    pub tone_curve: Update<ToneCurve>,
    /// Type 4.
    pub lsc: Update<Lsc>,
}

/// Why a buffer is not a valid `coldshoe-soft` buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// The framing is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A block is not the format's.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A block has a wrong value in it.
    #[error(transparent)]
    Block(#[from] BlockError),
}

impl SoftParams {
    /// Reads a whole buffer; one bad block fails all of it.
    ///
    /// # Errors
    /// [`ParamsError`] names the first block that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParamsError> {
        let blocks = Blocks::parse(bytes)?;
        TABLE.check(&blocks)?;
        let mut params = Self::default();
        for block in &blocks {
            params.merge(&block)?;
        }
        Ok(params)
    }

    /// Reads one block; when it is bad, the rest stays as it was.
    ///
    /// # Errors
    /// [`BlockError`] when the block is unknown, or its body is wrong.
    pub fn merge(&mut self, block: &RawBlock<'_>) -> Result<(), BlockError> {
        match block.kind {
            BlackLevel::KIND => self.black_level = decode(block)?,
            WbGains::KIND => self.wb_gains = decode(block)?,
            Ccm::KIND => self.ccm = decode(block)?,
            ToneCurve::KIND => self.tone_curve = decode(block)?,
            Lsc::KIND => self.lsc = decode(block)?,
            kind => {
                return Err(BlockError::Unknown {
                    kind,
                    format: FORMAT,
                });
            }
        }
        Ok(())
    }
}

fn decode<B: Block>(block: &RawBlock<'_>) -> Result<Update<B>, BlockError> {
    if block.flags.is_disable() {
        Ok(Update::Disable)
    } else {
        B::decode(block.body).map(Update::Set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamsBuilder;
    use crate::soft::{MAX_PAYLOAD, VERSION};

    fn buffer(version: u32, fill: impl FnOnce(&mut ParamsBuilder<'_>)) -> Vec<u8> {
        let mut bytes = vec![0; MAX_PAYLOAD];
        let mut params = ParamsBuilder::new(&mut bytes, version).unwrap();
        fill(&mut params);
        let len = params.finish();
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn every_block_fits_in_the_largest_payload() {
        let bytes = buffer(VERSION, |params| {
            params.push(&BlackLevel::default()).unwrap();
            params.push(&WbGains::default()).unwrap();
            params.push(&Ccm::default()).unwrap();
            params.push(&ToneCurve::default()).unwrap();
            params.push(&Lsc::default()).unwrap();
        });
        assert_eq!(bytes.len(), MAX_PAYLOAD);
        assert_eq!(TABLE.max_payload(), MAX_PAYLOAD);
        let params = SoftParams::decode(&bytes).unwrap();
        assert_eq!(params.ccm, Update::Set(Ccm::identity()));
        assert_eq!(params.lsc, Update::Set(Lsc::flat()));
    }

    #[test]
    fn what_is_not_named_is_kept_and_what_is_disabled_goes() {
        let bytes = buffer(VERSION, |params| {
            params.push_disabled::<ToneCurve>().unwrap();
        });
        let params = SoftParams::decode(&bytes).unwrap();
        assert_eq!(params.tone_curve, Update::Disable);
        assert_eq!(params.ccm, Update::Keep);
    }

    #[test]
    fn an_unknown_block_is_refused_whatever_it_contains() {
        let raw = RawBlock {
            kind: 5,
            flags: crate::BlockFlags::DISABLE,
            body: &[],
        };
        let bytes = buffer(VERSION, |params| params.push_raw(&raw).unwrap());
        assert_eq!(
            SoftParams::decode(&bytes),
            Err(TableError::Unknown { kind: 5 }.into())
        );
    }

    #[test]
    fn another_version_is_refused() {
        let bytes = buffer(2, |_| ());
        assert_eq!(
            SoftParams::decode(&bytes),
            Err(TableError::Version { got: 2, want: 1 }.into())
        );
    }

    #[test]
    fn a_block_without_its_body_is_refused_unless_disabled() {
        let raw = RawBlock {
            kind: 2,
            flags: crate::BlockFlags::ENABLE,
            body: &[0; 16],
        };
        let bytes = buffer(VERSION, |params| params.push_raw(&raw).unwrap());
        assert_eq!(
            SoftParams::decode(&bytes),
            Err(TableError::Size {
                kind: 2,
                got: 24,
                want: 32
            }
            .into())
        );
    }
}
