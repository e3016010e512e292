//! The ISPs that the algorithms drive: from each one's statistics to [`Measured`], and from what the
//! algorithms decide to its blocks.
//!
//! | statistics | parameters | ISP |
//! |---|---|---|
//! | `coldshoe-stats-1`, with focus `-2` | `coldshoe-soft` | coldshoe's software ISP |
//! | `rkisp1-stats-1` | `rkisp1` | Rockchip ISP1 |
//! | `mali-c55-stats-1` | `mali-c55` | Arm Mali-C55 |
//!
//! Only the first tells all that the algorithms ask for. Of the others each file says what it takes
//! for what is missing.

mod in_force;
mod mali_c55;
mod rkisp1;
mod soft;

pub mod tuning;

use coldshoe_ipa::{Applied, Formats, IpaError, Sensor};
use coldshoe_isp::{Block, BuildError, ParamsBuilder};

use crate::agc::Metering;
use crate::ccm::Ccm;
use crate::exposure::Exposure;
use crate::lsc::LscTuning;
use crate::measure::Measured;
use crate::tone::Tone;
use crate::tuning::Tuning;

use mali_c55::MaliC55;
use rkisp1::Rkisp1;
use soft::Soft;

/// The pairs of formats that the module works with.
pub const FORMATS: &[Formats] = &[
    soft::FORMATS,
    soft::WITH_FOCUS,
    rkisp1::FORMATS,
    mali_c55::FORMATS,
];

/// Which ISP a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// coldshoe's software ISP.
    Soft,
    /// Rockchip ISP1.
    Rkisp1,
    /// Arm Mali-C55.
    MaliC55,
}

impl Kind {
    /// The ISP of a pair of formats; `None` if the module does not know it.
    #[must_use]
    pub fn of_formats(stats: &str, params: &str) -> Option<Self> {
        let is = |formats: Formats| (formats.stats, formats.params) == (stats, params);
        if is(soft::FORMATS) || is(soft::WITH_FOCUS) {
            Some(Self::Soft)
        } else if is(rkisp1::FORMATS) {
            Some(Self::Rkisp1)
        } else if is(mali_c55::FORMATS) {
            Some(Self::MaliC55)
        } else {
            None
        }
    }
}

/// One ISP, and what has to be kept from frame to frame to drive it.
#[derive(Debug)]
pub(crate) enum Target {
    Soft(Soft),
    Rkisp1(Box<Rkisp1>),
    MaliC55(Box<MaliC55>),
}

/// What there is to say of a frame's statistics beside the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// What the sensor applied.
    pub applied: Applied,
    /// The black level that the ISP was told, fraction of full scale.
    pub black: f64,
}

impl Taken {
    fn exposure(&self) -> Exposure {
        Exposure {
            exposure_us: self.applied.exposure_us,
            analogue_gain: self.applied.analogue_gain,
            digital_gain: self.applied.digital_gain,
        }
    }
}

/// What the algorithms decided for the picture.
#[derive(Debug)]
pub(crate) struct Decided<'a> {
    /// Black level, fraction of full scale.
    pub black: f64,
    /// White balance gains of R, G and B, the smallest 1.
    pub gains: [f64; 3],
    /// Colour temperature, K.
    pub kelvin: f64,
    /// Analogue and digital gain of the frame measured last.
    pub sensor_gain: f64,
    /// Asked for, relative to the tuning.
    pub contrast: f64,
    /// Asked for, -1..=1.
    pub brightness: f64,
    /// Asked for, relative to the tuning.
    pub saturation: f64,
    /// Asked for, relative to the tuning; only where there is a block that sharpens.
    pub sharpness: f64,
    pub ccm: &'a mut Ccm,
    pub tone: &'a mut Tone,
}

impl Target {
    /// An ISP in the sensor's mode.
    pub fn new(kind: Kind, tuning: &Tuning, sensor: &Sensor) -> Self {
        match kind {
            Kind::Soft => Self::Soft(Soft::new(tuning.lsc.as_ref(), sensor)),
            Kind::Rkisp1 => Self::Rkisp1(Box::new(Rkisp1::new(tuning, sensor))),
            Kind::MaliC55 => Self::MaliC55(Box::new(MaliC55::new(tuning, sensor))),
        }
    }

    /// Takes over a frame's statistics. `false` if the ISP measured no light at all: nothing is to
    /// be decided then.
    pub fn read(
        &mut self,
        bytes: &[u8],
        taken: &Taken,
        measured: &mut Measured,
    ) -> Result<bool, IpaError> {
        match self {
            Self::Soft(soft) => soft.read(bytes, measured),
            Self::Rkisp1(rkisp1) => rkisp1.read(bytes, taken, measured),
            Self::MaliC55(mali) => mali.read(bytes, taken, measured),
        }
    }

    /// Writes every block that the ISP has, each time: a frame that was dropped takes nothing with
    /// it.
    pub fn write(
        &mut self,
        params: &mut [u8],
        capabilities: u64,
        decided: &mut Decided<'_>,
    ) -> Result<usize, BuildError> {
        let version = match self {
            Self::Soft(_) => coldshoe_isp::soft::VERSION,
            Self::Rkisp1(_) => coldshoe_isp::rkisp1::VERSION,
            Self::MaliC55(_) => coldshoe_isp::mali_c55::VERSION,
        };
        let mut out = Blocks {
            params: ParamsBuilder::new(params, version)?,
            capabilities,
        };
        match self {
            Self::Soft(soft) => soft.write(&mut out, decided)?,
            Self::Rkisp1(rkisp1) => rkisp1.write(&mut out, decided)?,
            Self::MaliC55(mali) => mali.write(&mut out, decided)?,
        }
        Ok(out.params.finish())
    }
}

/// A parameter buffer for an ISP that has some of its format's blocks.
#[derive(Debug)]
pub(crate) struct Blocks<'a> {
    params: ParamsBuilder<'a>,
    capabilities: u64,
}

impl Blocks<'_> {
    fn has<B: Block>(&self) -> bool {
        self.capabilities & (1 << B::KIND) != 0
    }

    /// Adds a block that the ISP has.
    fn push<B: Block>(&mut self, block: &B) -> Result<(), BuildError> {
        if self.has::<B>() {
            self.params.push(block)
        } else {
            Ok(())
        }
    }
}

/// Bits of block types.
const fn bits<const N: usize>(kinds: [u16; N]) -> u64 {
    let (mut bits, mut i) = (0, 0);
    while i < N {
        bits |= 1 << kinds[i];
        i += 1;
    }
    bits
}

/// Weight of light in R, G and B.
fn luminance(rgb: [f64; 3]) -> f64 {
    (rgb[0] + 2.0 * rgb[1] + rgb[2]) / 4.0
}

/// The gain of a lens shading table at a place, channels R, Gr, Gb, B.
fn shading<'a>(lsc: &'a LscTuning, sensor: &Sensor) -> impl Fn(usize, f64, f64) -> f64 + use<'a> {
    let (width, height) = (sensor.width, sensor.height);
    move |channel, x, y| lsc.gain(channel, x, y, width, height)
}

/// Weights of `columns` × `columns` zones, 0..=`most`, at least 1 at one of them.
fn zone_weights<const N: usize>(metering: Metering, columns: usize, most: u8) -> [u8; N] {
    let mut weights = [0; N];
    for (i, weight) in weights.iter_mut().enumerate().take(columns * columns) {
        let place = |n: usize| (n as f64 + 0.5) / columns as f64;
        let share = crate::agc::weight(metering, place(i % columns), place(i / columns));
        *weight = (share * f64::from(most)).round() as u8;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_formats_has_its_isp_and_a_mixed_one_none() {
        let kinds = [Kind::Soft, Kind::Soft, Kind::Rkisp1, Kind::MaliC55];
        for (formats, kind) in FORMATS.iter().zip(kinds) {
            assert_eq!(Kind::of_formats(formats.stats, formats.params), Some(kind));
        }
        assert_eq!(Kind::of_formats(FORMATS[2].stats, FORMATS[3].params), None);
        assert_eq!(Kind::of_formats("", ""), None);
    }

    #[test]
    fn every_metering_has_weights() {
        for metering in [Metering::Matrix, Metering::Centre, Metering::Spot] {
            for columns in [5, 9, 15] {
                let weights: [u8; 225] = zone_weights(metering, columns, 15);
                assert_eq!(weights[columns * columns / 2], 15, "{metering:?} {columns}");
            }
        }
    }
}
