//! A raw frame as a scene.
//!
//! The frame is a file of 16-bit little-endian words, row by row, low bits used. A sidecar in TOML
//! tells what it is; `scene.raw` has it in `scene.raw.toml`, or the sidecar is opened itself and
//! names the frame:
//!
//! ```toml
//! file = "scene.raw"        # relative to the sidecar; may be left out in scene.raw.toml
//! width = 1920
//! height = 1080
//! bits = 10
//! cfa = "RGGB"              # RGGB, GRBG, GBRG or BGGR
//! black = 64                # DN
//! white = 1023              # DN at which pixels clip
//! as_shot = [1.9, 1.0, 1.3] # optional: white balance gains of R, G, B
//! exposure_ms = 10.0        # optional: exposure at gain 1 that gives this very frame
//! kelvin = 5000.0           # optional: temperature of the light it was taken under
//! ```
//!
//! **Approximations.** Where a pixel clipped, its light is taken to be neutral: it is lifted to the
//! brightest of its cell's channels after white balance, or stays where it clipped when the gains
//! are not known. Another light multiplies R, G and B by what the built-in scene's sensor makes of a
//! grey surface under both lights, for the frame does not tell the spectra of what is in it.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::spectrum::Spectrum;
use super::{NOMINAL_MS, Scene, SceneError, open_regular};
use crate::bayer::{Cfa, Dimensions, Mosaic, RawFrame};
use crate::light::Light;

const MAX_SIDECAR: u64 = 64 * 1024;
const NOMINAL_KELVIN: f64 = 5000.0;

/// A raw frame.
#[derive(Debug)]
pub struct RawScene {
    name: String,
    /// Under the light it was taken in.
    radiance: Mosaic,
    light: Light,
    as_shot: Option<[f64; 3]>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    file: Option<PathBuf>,
    width: u64,
    height: u64,
    bits: u32,
    cfa: Cfa,
    black: u32,
    white: u32,
    as_shot: Option<[f64; 3]>,
    exposure_ms: Option<f64>,
    kelvin: Option<f64>,
}

/// A raw frame as it is, and what its sidecar tells of the light.
#[derive(Clone, Debug)]
pub struct RawFile {
    /// The frame.
    pub frame: RawFrame,
    /// Temperature of the light it was taken under, K, if that is known.
    pub kelvin: Option<f64>,
    name: String,
    sidecar: Sidecar,
}

impl RawFile {
    /// Reads a raw frame, or the one that a sidecar is of.
    ///
    /// # Errors
    /// [`SceneError`] names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, SceneError> {
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let sidecar = Sidecar::read(path)?;
            let Some(file) = &sidecar.file else {
                return Err(SceneError::Sidecar {
                    path: path.to_owned(),
                    reason: "it does not say which file it describes".into(),
                });
            };
            let frame = path.parent().unwrap_or(Path::new("")).join(file);
            return Self::with_sidecar(&frame, path, sidecar);
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".toml");
        let beside = PathBuf::from(beside);
        if !beside.exists() {
            return Err(SceneError::NoSidecar {
                path: path.to_owned(),
                sidecar: beside,
            });
        }
        let sidecar = Sidecar::read(&beside)?;
        Self::with_sidecar(path, &beside, sidecar)
    }

    fn with_sidecar(path: &Path, beside: &Path, sidecar: Sidecar) -> Result<Self, SceneError> {
        sidecar.check(beside)?;
        let size = Dimensions::new(sidecar.width, sidecar.height).map_err(|source| {
            SceneError::Dimensions {
                path: beside.to_owned(),
                source,
            }
        })?;
        let levels = (sidecar.black, sidecar.white);
        let data = read_words(path, size)?;
        let frame =
            RawFrame::new(size, sidecar.cfa, sidecar.bits, levels, data).map_err(|source| {
                SceneError::Frame {
                    path: beside.to_owned(),
                    source,
                }
            })?;
        if let Some(&dn) = frame.data().iter().find(|dn| **dn > frame.full_scale()) {
            return Err(SceneError::Depth {
                path: path.to_owned(),
                dn,
                bits: frame.bits(),
            });
        }
        let name = beside.file_stem().unwrap_or(beside.as_os_str());
        Ok(Self {
            frame,
            kelvin: sidecar.kelvin,
            name: name.to_string_lossy().into(),
            sidecar,
        })
    }
}

impl RawScene {
    /// Opens a raw frame, or the sidecar of one.
    ///
    /// # Errors
    /// [`SceneError`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, SceneError> {
        let RawFile {
            frame,
            kelvin,
            name,
            sidecar,
        } = RawFile::read(path)?;
        Ok(Self {
            name,
            radiance: radiance_of(
                &frame,
                sidecar.exposure_ms.unwrap_or(NOMINAL_MS),
                sidecar.as_shot.unwrap_or([1.0; 3]),
            ),
            light: Light::new(kelvin.unwrap_or(NOMINAL_KELVIN), 0.0),
            as_shot: sidecar.as_shot,
        })
    }

    /// What another light does to R, G and B.
    fn relight(&self, light: &Light) -> [f64; 3] {
        let (from, to) = (
            Spectrum::WHITE.seen_under(&self.light),
            Spectrum::WHITE.seen_under(light),
        );
        [0, 1, 2].map(|i| to[i] / from[i])
    }
}

impl Scene for RawScene {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Dimensions {
        self.radiance.size()
    }

    fn cfa(&self) -> Cfa {
        self.radiance.cfa()
    }

    fn radiance(&self, light: &Light) -> Mosaic {
        let factors = self.relight(light).map(|factor| factor as f32);
        let mut values = self.radiance.data().iter();
        Mosaic::from_fn(self.size(), self.cfa(), |_, _, channel| {
            values
                .next()
                .map_or(0.0, |value| value * factors[channel.rgb()])
        })
    }

    fn neutral(&self, light: &Light) -> Option<[f64; 3]> {
        let gains = self.as_shot?;
        let factors = self.relight(light);
        Some([0, 1, 2].map(|i| factors[i] / gains[i]))
    }
}

impl Sidecar {
    fn read(path: &Path) -> Result<Self, SceneError> {
        let io_error = |source| SceneError::io(path, source);
        let refuse = |reason: String| SceneError::Sidecar {
            path: path.to_owned(),
            reason,
        };
        let (file, _) = open_regular(path)?;
        let mut bytes = Vec::new();
        file.take(MAX_SIDECAR + 1)
            .read_to_end(&mut bytes)
            .map_err(io_error)?;
        if bytes.len() as u64 > MAX_SIDECAR {
            return Err(refuse(format!("it is longer than {MAX_SIDECAR} bytes")));
        }
        toml::from_slice(&bytes).map_err(|error| refuse(error.to_string().trim_end().into()))
    }

    /// Checks the numbers that are not part of a frame.
    fn check(&self, path: &Path) -> Result<(), SceneError> {
        let within = |value: f64, (min, max): (f64, f64)| (min..=max).contains(&value);
        let gains_ok = |gains: [f64; 3]| gains.iter().all(|gain| within(*gain, (0.05, 20.0)));
        for (ok, key, range) in [
            (self.as_shot.is_none_or(gains_ok), "as_shot", "0.05 to 20"),
            (
                self.exposure_ms.is_none_or(|ms| within(ms, (1e-3, 1e5))),
                "exposure_ms",
                "0.001 to 100000",
            ),
            (
                self.kelvin
                    .is_none_or(|kelvin| within(kelvin, Light::KELVIN)),
                "kelvin",
                "1500 to 25000",
            ),
        ] {
            if !ok {
                return Err(SceneError::Value {
                    path: path.to_owned(),
                    key,
                    range,
                });
            }
        }
        Ok(())
    }
}

/// Reads the pixels; the file's length is checked before memory is asked for.
fn read_words(path: &Path, size: Dimensions) -> Result<Vec<u16>, SceneError> {
    let (mut file, got) = open_regular(path)?;
    let io_error = |source| SceneError::io(path, source);
    let want = 2 * size.pixels() as u64;
    if got != want {
        return Err(SceneError::Length {
            path: path.to_owned(),
            got,
            want,
        });
    }
    let mut bytes = vec![0; 2 * size.pixels()];
    file.read_exact(&mut bytes).map_err(io_error)?;
    let words = bytes.as_chunks().0.iter();
    Ok(words.map(|bytes| u16::from_le_bytes(*bytes)).collect())
}

/// Full scales per ms that give this frame when exposed for `ms`.
fn radiance_of(frame: &RawFrame, ms: f64, gains: [f64; 3]) -> Mosaic {
    let (black, white) = (f32::from(frame.black()), f32::from(frame.white()));
    let gains = gains.map(|gain| gain as f32);
    let width = frame.size().width();
    let light =
        |at: usize| ((f32::from(frame.data()[at]) - black) / (white - black)).clamp(0.0, 1.0);
    Mosaic::from_fn(frame.size(), frame.cfa(), |x, y, channel| {
        let at = y * width + x;
        let value = if frame.data()[at] < frame.white() {
            light(at)
        } else {
            // The cell's four pixels, in balance; this one is full scale, so at least 1.
            let corner = (y & !1) * width + (x & !1);
            let cell = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| {
                light(corner + dy * width + dx) * gains[frame.cfa().channel(dx, dy).rgb()]
            });
            cell.into_iter().fold(0.0, f32::max) / gains[channel.rgb()]
        };
        value / ms as f32
    })
}
