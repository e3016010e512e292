//! What is held of the light's beat.

use super::{Reader, StateError, Writer};
use crate::flicker::{Fit, FlickerState, LAG, Mains, ROWS, Seen};

/// Nothing that is summed up gets near it.
const MOST: f64 = 1e12;
/// In the place of a frame that is not there.
const NONE: Seen = Seen {
    timestamp_ns: 0,
    exposure_us: -1.0,
    rows: [0.0; ROWS],
};

impl Writer<'_> {
    pub(super) fn flicker(&mut self, state: &FlickerState) {
        let number = |mains: Option<Mains>| mains.map_or(0, |mains| 1 + mains as u32);
        self.u32(number(state.found));
        self.u32(number(state.seen.0));
        self.u32(state.seen.1);
        self.u32(state.missing);
        for seen in &state.past {
            let seen = seen.unwrap_or(NONE);
            self.put(seen.timestamp_ns.to_le_bytes());
            self.f64(seen.exposure_us);
            seen.rows
                .into_iter()
                .for_each(|row| self.put(row.to_le_bytes()));
        }
        for fit in &state.fits {
            self.f64(fit.phase);
            self.f64(fit.step);
            fit.sums.into_iter().for_each(|sum| self.f64(sum));
            self.f64(fit.energy);
        }
    }
}

impl Reader<'_> {
    pub(super) fn flicker(&mut self) -> Result<FlickerState, StateError> {
        let (found, seen) = (self.mains()?, (self.mains()?, self.u32()?));
        let missing = self.u32()?;
        let mut past = [None; LAG];
        for seen in &mut past {
            *seen = self.seen()?;
        }
        let mut fits = [Fit::default(); 2];
        for fit in &mut fits {
            fit.phase = self.within(0.0, 1.0)?;
            fit.step = self.within(-0.5, 0.5)?;
            for sum in &mut fit.sums {
                *sum = self.within(-MOST, MOST)?;
            }
            fit.energy = self.within(0.0, MOST)?;
        }
        Ok(FlickerState {
            found,
            seen,
            missing,
            past,
            fits,
        })
    }

    fn seen(&mut self) -> Result<Option<Seen>, StateError> {
        let timestamp_ns = u64::from_le_bytes(self.take()?);
        let exposure_us = self.within(-1.0, 1e9)?;
        let mut rows = [0.0; ROWS];
        for row in &mut rows {
            *row = f32::from_le_bytes(self.take()?);
            if !(*row >= 0.0 && row.is_finite()) {
                return Err(StateError::Value);
            }
        }
        let seen = Seen {
            timestamp_ns,
            exposure_us,
            rows,
        };
        if exposure_us >= 0.0 {
            return Ok(Some(seen));
        }
        let none = seen == NONE && rows.iter().all(|row| row.to_bits() == 0);
        none.then_some(None).ok_or(StateError::Value)
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
