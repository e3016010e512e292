//! The `[af]` table of a tuning file.

use serde::Deserialize;

use crate::tuning::Fault;

/// The `[af]` table.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct AfTuning {
    /// Coarse steps across the range of the lens.
    pub steps: u32,
    /// In continuous mode the scene has changed when the measure falls to this part of what it was,
    /// or rises to as many times.
    pub retrigger: f64,
    /// Where the lens goes when nothing stands out, dioptres; without it, back where it was.
    pub rest: Option<f64>,
}

impl Default for AfTuning {
    fn default() -> Self {
        Self {
            steps: 12,
            retrigger: 0.75,
            rest: None,
        }
    }
}

impl AfTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("af.steps", self.steps, 2..=100)?;
        Fault::unless_in("af.retrigger", self.retrigger, 0.1..=0.95)?;
        self.rest.map_or(Ok(()), |rest| {
            Fault::unless_in("af.rest", rest, 0.0..=100.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuning_out_of_range_is_refused_by_key() {
        let bad = |change: fn(&mut AfTuning)| {
            let mut tuning = AfTuning::default();
            change(&mut tuning);
            tuning.check().unwrap_err().to_string()
        };
        assert!(bad(|t| t.steps = 0).contains("af.steps"));
        assert!(bad(|t| t.retrigger = f64::NAN).contains("af.retrigger"));
        assert!(bad(|t| t.rest = Some(-1.0)).contains("af.rest"));
    }
}
