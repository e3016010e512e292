//! A software ISP that does what `coldshoe-soft` blocks say.
//!
//! Stages in order: black level and white to 0..1, lens shading, white balance, clipping, demosaic,
//! colour matrix, tone curve, 8 bits.

mod demosaic;
mod levels;

use coldshoe_isp::soft::{
    BlackLevel, Ccm, Lsc, ParamsError, SoftParams, ToneCurve, Update, WbGains,
};

use crate::bayer::RawFrame;
use crate::rgb8::Rgb8;

/// Steps of the table that the tone curve is looked up in.
const TONE_STEPS: usize = 4096;

/// The ISP and the blocks it applies: the last good one of each type.
#[derive(Clone, Debug, Default)]
pub struct SoftIsp {
    black_level: Option<BlackLevel>,
    lsc: Option<Lsc>,
    wb_gains: Option<WbGains>,
    ccm: Option<Ccm>,
    tone_curve: Option<ToneCurve>,
}

impl SoftIsp {
    /// An ISP that applies no block: no black level, gains of 1, a straight line for a curve.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over the blocks of a buffer. What the buffer does not name stays as it was.
    ///
    /// # Errors
    /// [`ParamsError`] when anything in the buffer is wrong; then nothing of it is taken over.
    pub fn apply(&mut self, params: &[u8]) -> Result<(), ParamsError> {
        let params = SoftParams::decode(params)?;
        update(&mut self.black_level, params.black_level);
        update(&mut self.lsc, params.lsc);
        update(&mut self.wb_gains, params.wb_gains);
        update(&mut self.ccm, params.ccm);
        update(&mut self.tone_curve, params.tone_curve);
        Ok(())
    }

    /// Makes a picture of a raw frame.
    #[must_use]
    pub fn render(&self, raw: &RawFrame) -> Rgb8 {
        let light = levels::balance(
            raw,
            self.black_level.unwrap_or_default().fractions(),
            self.lsc.as_ref(),
            self.wb_gains.unwrap_or_default().gains(),
        );
        let ccm = self
            .ccm
            .map(|ccm| ccm.rows().map(|row| row.map(|m| m as f32)));
        let tone = self.tone_table();
        let to_8_bits = |value: f32| tone[(value.clamp(0.0, 1.0) * TONE_STEPS as f32) as usize];
        let pixels = demosaic::demosaic(&light, raw.size(), raw.cfa())
            .map(|rgb| ccm.map_or(rgb, |ccm| multiply(&ccm, rgb)).map(to_8_bits));
        Rgb8::from_pixels(raw.size(), pixels)
    }

    /// The tone curve as bytes for inputs of 0..=1.
    fn tone_table(&self) -> Vec<u8> {
        let curve = self.tone_curve.unwrap_or_default();
        (0..=TONE_STEPS)
            .map(|step| curve.at(step as f64 / TONE_STEPS as f64))
            .map(|value| (value * 255.0).round() as u8)
            .collect()
    }
}

fn update<T>(block: &mut Option<T>, with: Update<T>) {
    match with {
        Update::Keep => {}
        Update::Disable => *block = None,
        Update::Set(value) => *block = Some(value),
    }
}

fn multiply(ccm: &[[f32; 3]; 3], [r, g, b]: [f32; 3]) -> [f32; 3] {
    ccm.map(|[x, y, z]| x * r + y * g + z * b)
}

#[cfg(test)]
mod tests;
