//! What is held of the light's beat.

use super::{Reader, StateError, Writer};
use crate::flicker::{Before, Fit, FlickerState, Mains, ROWS};

/// Nothing that is summed up gets near it.
const MOST: f64 = 1e12;

impl Writer<'_> {
    pub(super) fn flicker(&mut self, state: &FlickerState) {
        let number = |mains: Option<Mains>| mains.map_or(0, |mains| 1 + mains as u32);
        self.u32(number(state.found));
        self.u32(number(state.seen.0));
        self.u32(state.seen.1);
        self.u32(state.missing);
        let none = Before {
            timestamp_ns: 0,
            exposure_us: -1.0,
            rows: [0.0; ROWS],
        };
        let before = state.before.unwrap_or(none);
        self.put(before.timestamp_ns.to_le_bytes());
        self.f64(before.exposure_us);
        before.rows.into_iter().for_each(|row| self.f64(row));
        for fit in &state.fits {
            self.f64(fit.phase);
            self.f64(fit.step);
            fit.sums.into_iter().for_each(|sum| self.f64(sum));
        }
        self.f64(state.energy);
    }
}

impl Reader<'_> {
    pub(super) fn flicker(&mut self) -> Result<FlickerState, StateError> {
        let (found, seen) = (self.mains()?, (self.mains()?, self.u32()?));
        let missing = self.u32()?;
        let timestamp_ns = u64::from_le_bytes(self.take()?);
        let exposure_us = self.within(-1.0, 1e9)?;
        let mut rows = [0.0; ROWS];
        for row in &mut rows {
            *row = self.within(0.0, f64::MAX)?;
        }
        let none = exposure_us < 0.0;
        let empty = timestamp_ns == 0 && rows.iter().all(|row| row.to_bits() == 0);
        if none && !(exposure_us == -1.0 && empty) {
            return Err(StateError::Value);
        }
        let before = (!none).then_some(Before {
            timestamp_ns,
            exposure_us,
            rows,
        });
        let mut fits = [Fit::default(); 2];
        for fit in &mut fits {
            fit.phase = self.within(0.0, 1.0)?;
            fit.step = self.within(-0.5, 0.5)?;
            for sum in &mut fit.sums {
                *sum = self.within(-MOST, MOST)?;
            }
        }
        let energy = self.within(0.0, MOST)?;
        Ok(FlickerState {
            found,
            seen,
            missing,
            before,
            fits,
            energy,
        })
    }

    /// 0 for none.
    fn mains(&mut self) -> Result<Option<Mains>, StateError> {
        match self.u32()? {
            0 => Ok(None),
            number => Mains::ALL
                .get(number as usize - 1)
                .copied()
                .map(Some)
                .ok_or(StateError::Value),
        }
    }
}
