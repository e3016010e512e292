//! The `[agc]` table of a tuning file.

use serde::Deserialize;

use crate::exposure::{GainModel, Stage};
use crate::flicker::FlickerMode;
use crate::tuning::Fault;

/// No target is above this: nothing could be told from full light.
pub(super) const BRIGHTEST_TARGET: f64 = 0.95;
const MAX_STAGES: usize = 16;

/// Which zones count.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Metering {
    /// All of them alike.
    #[default]
    Matrix,
    /// The centre more than the edges.
    Centre,
    /// The central eighth of width and height each way.
    Spot,
}

/// Which histogram constraints hold.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ConstraintMode {
    /// None.
    None,
    /// The brightest 2 % are brought to at least 0.5.
    #[default]
    Normal,
    /// As normal, and they stay below 0.8.
    Highlight,
    /// The darker half is brought to at least 0.17.
    Shadows,
}

/// The `[agc]` table.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct AgcTuning {
    /// Mean luminance aimed at, full light being 1.
    pub target: f64,
    /// Which zones count.
    pub metering: Metering,
    /// Which histogram constraints hold.
    pub constraint_mode: ConstraintMode,
    /// Share of the way to the wanted exposure that one frame goes, in stops; its square root
    /// within 30 %.
    pub speed: f64,
    /// Frames after the start that go all the way.
    pub startup_frames: u32,
    /// The exposure stays while it is wrong by less than this factor.
    pub dead_band: f64,
    /// What exposure does about light that beats with the mains.
    pub flicker: FlickerMode,
    /// Codes of the sensor's analogue gain; without them it takes any.
    pub gain_model: Option<GainModel>,
    /// How exposure and gain share the work; empty: all exposure first.
    pub stages: Vec<Stage>,
}

impl Default for AgcTuning {
    fn default() -> Self {
        Self {
            target: 0.16,
            metering: Metering::default(),
            constraint_mode: ConstraintMode::default(),
            speed: 0.5,
            startup_frames: 10,
            dead_band: 0.02,
            flicker: FlickerMode::default(),
            gain_model: None,
            stages: Vec::new(),
        }
    }
}

impl AgcTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("agc.target", self.target, 0.001..=BRIGHTEST_TARGET)?;
        Fault::unless_in("agc.speed", self.speed, 0.001..=1.0)?;
        Fault::unless_in("agc.startup_frames", self.startup_frames, 0..=1000)?;
        Fault::unless_in("agc.dead_band", self.dead_band, 0.0..=0.5)?;
        if let Some(model) = &self.gain_model {
            model.check()?;
        }
        if self.stages.len() > MAX_STAGES {
            return Err(Fault::new(
                "agc.stages",
                format!(
                    "has {} stages; keep at most {MAX_STAGES}",
                    self.stages.len()
                ),
            ));
        }
        let mut before = Stage {
            exposure_us: 1e-3,
            gain: 1.0,
        };
        for (i, stage) in self.stages.iter().enumerate() {
            let key = |name| format!("agc.stages.{i}.{name}");
            Fault::unless_in(
                key("exposure_us"),
                stage.exposure_us,
                before.exposure_us..=1e9,
            )?;
            Fault::unless_in(key("gain"), stage.gain, before.gain..=1e6)?;
            before = *stage;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuning_out_of_range_is_refused_by_key() {
        let refused = |change: fn(&mut AgcTuning)| {
            let mut tuning = AgcTuning::default();
            change(&mut tuning);
            tuning.check().unwrap_err().to_string()
        };
        assert!(refused(|t| t.speed = 0.0).contains("agc.speed"));
        assert!(refused(|t| t.dead_band = f64::NAN).contains("agc.dead_band"));
        let stage = |exposure_us, gain| Stage { exposure_us, gain };
        let mut tuning = AgcTuning {
            stages: vec![stage(100.0, 2.0), stage(50.0, 4.0)],
            ..AgcTuning::default()
        };
        assert!(
            tuning
                .check()
                .unwrap_err()
                .to_string()
                .contains("agc.stages.1.exposure_us")
        );
        tuning.stages = vec![stage(100.0, 2.0); 17];
        assert!(
            tuning
                .check()
                .unwrap_err()
                .to_string()
                .contains("agc.stages")
        );
    }
}
