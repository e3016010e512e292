//! What is held of the stretch of contrast.

use super::{Reader, StateError, Writer};
use crate::tone::{Followed, StretchState};

impl Writer<'_> {
    pub(super) fn stretch(&mut self, state: Option<StretchState>) {
        for followed in [
            state.map(|state| state.dark),
            state.map(|state| state.bright),
        ] {
            self.positive(followed.map(|followed| followed.level));
            self.u32(followed.is_some_and(|followed| followed.moving).into());
        }
    }
}

impl Reader<'_> {
    pub(super) fn stretch(&mut self) -> Result<Option<StretchState>, StateError> {
        match (self.followed()?, self.followed()?) {
            (None, None) => Ok(None),
            (Some(dark), Some(bright)) => Ok(Some(StretchState { dark, bright })),
            _ => Err(StateError::Value),
        }
    }

    fn followed(&mut self) -> Result<Option<Followed>, StateError> {
        match (self.positive()?, self.u32()?) {
            (None, 0) => Ok(None),
            (Some(level), moving @ 0..=1) if level <= 1.0 => Ok(Some(Followed {
                level,
                moving: moving == 1,
            })),
            _ => Err(StateError::Value),
        }
    }
}
