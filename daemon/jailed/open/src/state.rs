//! The state that a replaced worker goes on from: all that the algorithms hold from frame to frame.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u8\[4\] | magic `CSOP` |
//! | 4 | u32 | version 4 |
//! | 8 | u32 | size of the whole, 1712 |
//! | 12 | u32 | bit 0: exposure is automatic; 1: white balance is; 2: there is a last frame; 3: focus is paused; 4: it will be after the scan; 5: a position was asked for by hand; 6: the lens was told where to be; 7: the scene has changed |
//! | 16 | u64 | number of the last frame |
//! | 24 | f64 | compensation, EV |
//! | 32 | f64\[2\] | exposure, µs, and gain asked for; 0: not asked for |
//! | 48 | u32, f64\[2\] | white balance asked for. 0: hold; 1: gains of red and blue; 2: temperature, K |
//! | 68 | f64\[3\] | brightness, contrast and saturation asked for |
//! | 92 | u32\[5\] | metering asked for (0: as tuned, 1: matrix, 2: centre, 3: spot), light expected, mode of focus, its trigger (0: none, 1: start, 2: cancel), phase of its scan |
//! | 112 | f64\[10\] | focus, dioptres: asked for, target, step, origin, best; measures: best, before, behind, last, least |
//! | 192 | u32\[3\] | focus: measurements since the best, frames waited, frames lasted |
//! | 204 | f64 | filtered total exposure, µs at a gain of 1; 0: none yet |
//! | 212 | f64\[3\] | exposure decided last: µs, analogue gain, digital gain; 0: none yet |
//! | 236 | u32 | frames since exposure's start |
//! | 240 | f64\[3\] | the brightest cells: exposure and luminance last seen, answer to exposure |
//! | 264 | f64\[2\] | R/G and B/G of a neutral surface |
//! | 280 | u32\[2\] | pace of white balance and its count. 0: start, 1: steady, 2: chase |
//! | 288 | f64\[2\] | black level: where it started, where it is, fractions of full scale |
//! | 304 | f64 | temperature of the colour matrix, K; 0: none yet |
//! | 312 | u32\[4\] | mains found, and seen last (0: none, 1: 50 Hz, 2: 60 Hz); frames seen; frames missing |
//! | 328 | (u64, f64, f32\[15\]) × 16 | the last frames: when they were read, ns; exposure, µs, -1 for none; luminance over exposure of rows, 1/µs |
//! | 1544 | f64\[8\] × 2 | fits of 100 and 120 Hz: phase and step, turns; five sums; sum of squared differences |
//! | 1672 | f64 | wanted total exposure without the light's beat, µs at a gain of 1; 0: none yet |
//! | 1680 | f64, u32 | luminance of dark pixels, full light being 1; 1: it is on its way; 0, 0: none yet |
//! | 1692 | f64, u32 | luminance of bright pixels, the same |
//! | 1704 | f64 | sharpness asked for |

mod flicker;
mod stretch;

use thiserror::Error;

use crate::af::{AfState, FocusMode, FocusRequest, Phase};
use crate::agc::{AgcState, ExposureRequest, Metering, Response};
use crate::awb::{AwbState, LightMode, ManualWhite, Pace, WhiteRequest};
use crate::black_level::BlackState;
use crate::controls::Requests;
use crate::ct_curve::WhitePoint;
use crate::exposure::Exposure;
use crate::flicker::FlickerState;
use crate::tone::StretchState;

const MAGIC: [u8; 4] = *b"CSOP";
const VERSION: u32 = 4;
/// Bytes of a saved state.
pub const SIZE: usize = 1712;

const AE_AUTO: u32 = 1 << 0;
const AWB_AUTO: u32 = 1 << 1;
const HAS_LAST_FRAME: u32 = 1 << 2;
const AF_PAUSED: u32 = 1 << 3;
const AF_PAUSES: u32 = 1 << 4;
const HAS_POSITION: u32 = 1 << 5;
const HAS_TARGET: u32 = 1 << 6;
const HAS_CHANGED: u32 = 1 << 7;
const FLAGS: u32 = (1 << 8) - 1;

/// What the algorithms have found out, and what the application asked of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Number of the last frame.
    pub last_frame: Option<u64>,
    pub requests: Requests,
    pub agc: AgcState,
    pub af: AfState,
    pub awb: AwbState,
    pub black: BlackState,
    /// Temperature of the colour matrix in use, K.
    pub ccm: Option<f64>,
    pub flicker: FlickerState,
    pub stretch: Option<StretchState>,
}

/// Why bytes are not a saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// Not what `save_state` wrote.
    #[error("state: not one of this version of the open module; start without it")]
    Format,
    /// A value that cannot have been saved.
    #[error("state: a value is out of its range; start without it")]
    Value,
}

impl State {
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let mut out = Writer(&mut bytes);
        out.put(MAGIC);
        out.u32(VERSION);
        out.u32(SIZE as u32);
        let flag = |set: bool, bit| if set { bit } else { 0 };
        let Requests {
            exposure,
            white,
            focus,
            ..
        } = self.requests;
        let af = self.af;
        out.u32(
            flag(exposure.auto, AE_AUTO)
                | flag(white.auto, AWB_AUTO)
                | flag(self.last_frame.is_some(), HAS_LAST_FRAME)
                | flag(focus.paused, AF_PAUSED)
                | flag(focus.pause_after, AF_PAUSES)
                | flag(focus.position.is_some(), HAS_POSITION)
                | flag(af.target.is_some(), HAS_TARGET)
                | flag(af.changed, HAS_CHANGED),
        );
        out.put(self.last_frame.unwrap_or(0).to_le_bytes());
        out.f64(exposure.ev);
        out.positive(exposure.exposure_us);
        out.positive(exposure.gain);
        let (manual, values) = match white.manual {
            ManualWhite::Hold => (0, [0.0; 2]),
            ManualWhite::Gains(red, blue) => (1, [red, blue]),
            ManualWhite::Temperature(kelvin) => (2, [kelvin, 0.0]),
        };
        out.u32(manual);
        out.f64(values[0]);
        out.f64(values[1]);
        out.f64(self.requests.brightness);
        out.f64(self.requests.contrast);
        out.f64(self.requests.saturation);
        out.u32(exposure.metering.map_or(0, |metering| 1 + metering as u32));
        out.u32(white.mode as u32);
        out.u32(focus.mode as u32);
        out.u32(self.requests.trigger.map_or(0, |trigger| trigger + 1));
        out.u32(match af.phase {
            Phase::Idle => 0,
            Phase::Coarse { turned: false } => 1,
            Phase::Coarse { turned: true } => 2,
            Phase::Fine => 3,
            Phase::Arriving => 4,
            Phase::Focused => 5,
            Phase::Failed => 6,
        });
        out.f64(focus.position.unwrap_or(0.0));
        out.f64(af.target.unwrap_or(0.0));
        for value in [
            af.step, af.origin, af.best_at, af.best, af.before, af.behind, af.last, af.least,
        ] {
            out.f64(value);
        }
        out.u32(af.since);
        out.u32(af.waited);
        out.u32(af.lasted);
        out.positive(self.agc.filtered);
        out.positive(self.agc.held.map(|held| held.exposure_us));
        out.positive(self.agc.held.map(|held| held.analogue_gain));
        out.positive(self.agc.held.map(|held| held.digital_gain));
        out.u32(self.agc.frames);
        let Response { seen, slope } = self.agc.response;
        for value in [seen.0, seen.1, slope] {
            out.f64(value);
        }
        out.f64(self.awb.white.red);
        out.f64(self.awb.white.blue);
        let (pace, count) = match self.awb.pace {
            Pace::Start { frames } => (0, frames),
            Pace::Steady { far } => (1, far),
            Pace::Chase => (2, 0),
        };
        out.u32(pace);
        out.u32(count);
        out.f64(self.black.start);
        out.f64(self.black.level);
        out.positive(self.ccm);
        out.flicker(&self.flicker);
        out.positive(self.agc.calm);
        out.stretch(self.stretch);
        out.f64(self.requests.sharpness);
        bytes
    }

    /// Takes nothing that [`encode`](Self::encode) would not write, byte for byte.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let bytes: &[u8; SIZE] = bytes.try_into().map_err(|_| StateError::Format)?;
        let mut from = Reader(bytes);
        if (from.take()?, from.u32()?, from.u32()?) != (MAGIC, VERSION, SIZE as u32) {
            return Err(StateError::Format);
        }
        let flags = from.u32()?;
        let frame = u64::from_le_bytes(from.take()?);
        let last_frame = (flags & HAS_LAST_FRAME != 0).then_some(frame);
        if flags & !FLAGS != 0 || last_frame.unwrap_or(0) != frame {
            return Err(StateError::Value);
        }
        let mut exposure = ExposureRequest {
            auto: flags & AE_AUTO != 0,
            ev: from.within(f64::MIN, f64::MAX)?,
            exposure_us: from.positive()?,
            gain: from.positive()?,
            metering: None,
        };
        let mut white = WhiteRequest {
            auto: flags & AWB_AUTO != 0,
            mode: LightMode::Auto,
            manual: from.manual()?,
        };
        let brightness = from.within(-1.0, 1.0)?;
        let (contrast, saturation) = (from.within(0.0, f64::MAX)?, from.within(0.0, f64::MAX)?);
        exposure.metering = from.metering()?;
        white.mode = from.light()?;
        let (focus, trigger, af) = from.focus(flags)?;
        let mut requests = Requests {
            exposure,
            white,
            focus,
            trigger,
            brightness,
            contrast,
            saturation,
            sharpness: 1.0,
        };
        let mut agc = AgcState {
            filtered: from.positive()?,
            held: from.exposure()?,
            frames: from.u32()?,
            response: Response {
                seen: (from.within(0.0, f64::MAX)?, from.within(0.0, 2.0)?),
                slope: from.within(0.0, 1.0)?,
            },
            calm: None,
        };
        let awb = from.awb()?;
        let black = BlackState {
            start: from.within(0.0, 0.5)?,
            level: from.within(0.0, 0.5)?,
        };
        let ccm = from.positive()?;
        let flicker = from.flicker()?;
        agc.calm = from.positive()?;
        let stretch = from.stretch()?;
        requests.sharpness = from.within(0.0, f64::MAX)?;
        Ok(Self {
            last_frame,
            requests,
            agc,
            af,
            awb,
            black,
            ccm,
            flicker,
            stretch,
        })
    }
}

/// The rest of the bytes, to be written in order.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put<const N: usize>(&mut self, value: [u8; N]) {
        let (at, rest) = std::mem::take(&mut self.0).split_at_mut(N);
        at.copy_from_slice(&value);
        self.0 = rest;
    }

    fn u32(&mut self, value: u32) {
        self.put(value.to_le_bytes());
    }

    fn f64(&mut self, value: f64) {
        self.put(value.to_le_bytes());
    }

    /// A positive number, or 0 for none.
    fn positive(&mut self, value: Option<f64>) {
        self.f64(value.unwrap_or(0.0));
    }
}

/// The rest of the bytes, to be read in order.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (value, rest) = self.0.split_first_chunk().ok_or(StateError::Format)?;
        self.0 = rest;
        Ok(*value)
    }

    fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    /// A number from `low` to `high`, which NaN is not.
    fn within(&mut self, low: f64, high: f64) -> Result<f64, StateError> {
        let value = f64::from_le_bytes(self.take()?);
        (low..=high)
            .contains(&value)
            .then_some(value)
            .ok_or(StateError::Value)
    }

    /// A positive number, or 0 for none.
    fn positive(&mut self) -> Result<Option<f64>, StateError> {
        let value = f64::from_le_bytes(self.take()?);
        match value {
            _ if value.to_bits() == 0 => Ok(None),
            _ if value > 0.0 && value.is_finite() => Ok(Some(value)),
            _ => Err(StateError::Value),
        }
    }

    fn manual(&mut self) -> Result<ManualWhite, StateError> {
        match (self.u32()?, self.positive()?, self.positive()?) {
            (0, None, None) => Ok(ManualWhite::Hold),
            (1, Some(red), Some(blue)) => Ok(ManualWhite::Gains(red, blue)),
            (2, Some(kelvin), None) => Ok(ManualWhite::Temperature(kelvin)),
            _ => Err(StateError::Value),
        }
    }

    fn metering(&mut self) -> Result<Option<Metering>, StateError> {
        let all = [Metering::Matrix, Metering::Centre, Metering::Spot];
        match self.u32()? {
            0 => Ok(None),
            number => all
                .get(number as usize - 1)
                .copied()
                .map(Some)
                .ok_or(StateError::Value),
        }
    }

    fn light(&mut self) -> Result<LightMode, StateError> {
        // A custom one is none of its own.
        let number = self.u32()?;
        let mode = LightMode::of(number).filter(|mode| *mode as u32 == number);
        mode.ok_or(StateError::Value)
    }

    /// A number that has to be 0 unless it is there.
    fn optional(&mut self, there: bool) -> Result<Option<f64>, StateError> {
        let value = self.within(-1e6, 1e6)?;
        if !there && value.to_bits() != 0 {
            return Err(StateError::Value);
        }
        Ok(there.then_some(value))
    }

    fn focus(&mut self, flags: u32) -> Result<(FocusRequest, Option<u32>, AfState), StateError> {
        let modes = [FocusMode::Manual, FocusMode::Auto, FocusMode::Continuous];
        let mode = modes.get(self.u32()? as usize).copied();
        let trigger = match self.u32()? {
            0 => None,
            number @ 1..=2 => Some(number - 1),
            _ => return Err(StateError::Value),
        };
        let phase = match self.u32()? {
            0 => Phase::Idle,
            1 => Phase::Coarse { turned: false },
            2 => Phase::Coarse { turned: true },
            3 => Phase::Fine,
            4 => Phase::Arriving,
            5 => Phase::Focused,
            6 => Phase::Failed,
            _ => return Err(StateError::Value),
        };
        let request = FocusRequest {
            mode: mode.ok_or(StateError::Value)?,
            position: self.optional(flags & HAS_POSITION != 0)?,
            paused: flags & AF_PAUSED != 0,
            pause_after: flags & AF_PAUSES != 0,
        };
        let target = self.optional(flags & HAS_TARGET != 0)?;
        let mut number = || self.within(f64::MIN, f64::MAX);
        let state = AfState {
            phase,
            target,
            step: number()?,
            origin: number()?,
            best_at: number()?,
            best: number()?,
            before: number()?,
            behind: number()?,
            last: number()?,
            least: number()?,
            since: self.u32()?,
            waited: self.u32()?,
            lasted: self.u32()?,
            changed: flags & HAS_CHANGED != 0,
        };
        Ok((request, trigger, state))
    }

    fn exposure(&mut self) -> Result<Option<Exposure>, StateError> {
        match (self.positive()?, self.positive()?, self.positive()?) {
            (None, None, None) => Ok(None),
            (Some(exposure_us), Some(analogue_gain), Some(digital_gain)) => Ok(Some(Exposure {
                exposure_us,
                analogue_gain,
                digital_gain,
            })),
            _ => Err(StateError::Value),
        }
    }

    fn awb(&mut self) -> Result<AwbState, StateError> {
        let white = WhitePoint {
            red: f64::from_le_bytes(self.take()?),
            blue: f64::from_le_bytes(self.take()?),
        };
        let pace = match (self.u32()?, self.u32()?) {
            (0, frames) => Pace::Start { frames },
            (1, far) => Pace::Steady { far },
            (2, 0) => Pace::Chase,
            _ => return Err(StateError::Value),
        };
        let state = AwbState { white, pace };
        state.is_sane().then_some(state).ok_or(StateError::Value)
    }
}

#[cfg(test)]
mod tests;
