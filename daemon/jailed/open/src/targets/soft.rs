//! coldshoe's software ISP: its statistics are what the algorithms were written for.

use coldshoe_ipa::{Formats, IpaError, Sensor};
use coldshoe_isp::soft::{self, BlackLevel, Ccm, Lsc, ToneCurve, WbGains};
use coldshoe_isp::{BuildError, STATS_FORMAT, STATS_FORMAT_2, Statistics};

use super::{Blocks, Decided};
use crate::lsc::LscTuning;
use crate::measure::Measured;

pub const FORMATS: Formats = Formats {
    stats: STATS_FORMAT,
    params: soft::FORMAT,
    blocks: (1 << soft::TABLE.sizes.len()) - 1,
};

/// Its statistics with contrast, for focus.
pub const WITH_FOCUS: Formats = Formats {
    stats: STATS_FORMAT_2,
    ..FORMATS
};

/// The software ISP.
#[derive(Debug)]
pub struct Soft {
    lsc: Option<Shading>,
}

/// Lens shading: the block, and the tuning it came from with the frame's width and height.
#[derive(Debug)]
struct Shading {
    block: Box<Lsc>,
    tuning: LscTuning,
    size: (u32, u32),
}

impl Shading {
    /// The statistics are those of the frame as the sensor sees it.
    fn unshade(&self, frame: &mut Measured) {
        let (width, height) = self.size;
        // Channels are R, Gr, Gb, B.
        frame.unshade(|rgb, x, y| self.tuning.gain([0, 1, 3][rgb], x, y, width, height));
    }
}

impl Soft {
    pub fn new(lsc: Option<&LscTuning>, sensor: &Sensor) -> Self {
        Self {
            lsc: lsc.map(|tuning| Shading {
                block: Box::new(tuning.correction(sensor.width, sensor.height)),
                tuning: tuning.clone(),
                size: (sensor.width, sensor.height),
            }),
        }
    }

    pub fn read(&self, bytes: &[u8], measured: &mut Measured) -> Result<bool, IpaError> {
        let stats = Statistics::decode(bytes).map_err(IpaError::new)?;
        measured.read(&stats);
        if let Some(lsc) = &self.lsc {
            lsc.unshade(measured);
        }
        Ok(true)
    }

    pub fn write(&self, out: &mut Blocks<'_>, decided: &mut Decided<'_>) -> Result<(), BuildError> {
        let [red, green, blue] = decided.gains;
        out.push(&BlackLevel::uniform(decided.black))?;
        out.push(&WbGains::from_gains([red, green, green, blue]))?;
        let ccm = decided.ccm.process(decided.kelvin, decided.saturation);
        out.push(&Ccm::from_rows(ccm))?;
        out.push::<ToneCurve>(decided.tone.process(decided.contrast, decided.brightness))?;
        match &self.lsc {
            Some(lsc) => out.push::<Lsc>(&lsc.block),
            None => Ok(()),
        }
    }
}
