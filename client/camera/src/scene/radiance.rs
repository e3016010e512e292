//! A captured scene that can be relit: a folder of `radiance_<nm>nm.npy`.
//!
//! Each file is the scene under one narrow band of light, as a mosaic in GBRG order. Under any
//! other light the scene is the sum of the bands, weighted with the light's power at each.
//! Brightness is scaled to the scene's own level, so the unit of the files does not matter.
//!
//! Ground truth comes from a label image beside them, `*_<nm>nm_labels.png` for one of the bands:
//! 8-bit grey of the mosaics' size, each pixel the number of the ColorChecker patch it shows.
//! Patches 19 to 21 are the brightest neutral ones.

use std::fs;
use std::io::BufReader;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{Scene, SceneError, level_factor, npy, open_regular};
use crate::bayer::{Cfa, Dimensions, Mosaic};
use crate::light::Light;

const ORDER: Cfa = Cfa::Gbrg;
const NEUTRAL_PATCHES: RangeInclusive<u8> = 19..=21;
const MIN_BANDS: usize = 3;
/// Bands of 10 nm from 300 to 1100 nm: what a folder may ask us to read.
const MAX_BANDS: usize = 81;

/// A folder of radiance mosaics.
#[derive(Debug)]
pub struct RadianceScene {
    name: String,
    size: Dimensions,
    bands: Vec<Band>,
    /// Per wavelength R, G, B of the neutral patches, if there are labels.
    neutral: Option<Vec<[f64; 3]>>,
}

#[derive(Debug)]
struct Band {
    nm: f64,
    values: Vec<f32>,
}

impl RadianceScene {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`SceneError`] names the file that is wrong.
    pub fn open(folder: &Path) -> Result<Self, SceneError> {
        let listing = Listing::read(folder)?;
        let mut size = None;
        let mut bands = Vec::with_capacity(listing.bands.len());
        for (nm, path) in &listing.bands {
            let (band_size, values) = npy::read(path)?;
            if *size.get_or_insert(band_size) != band_size {
                return Err(SceneError::Mismatch { path: path.clone() });
            }
            bands.push(Band {
                nm: f64::from(*nm),
                values,
            });
        }
        let Some(size) = size else {
            return Err(SceneError::Bands {
                path: folder.to_owned(),
                found: 0,
            });
        };
        let neutral = match &listing.labels {
            Some(path) => Some(neutral_of(&bands, &read_labels(path, size)?, size, path)?),
            None => None,
        };
        let name = folder
            .file_name()
            .map_or_else(|| "radiance".into(), |name| name.to_string_lossy().into());
        let mut scene = Self {
            name,
            size,
            bands,
            neutral,
        };
        let factor = level_factor(&scene.radiance(&Light::default())) as f32;
        for band in &mut scene.bands {
            band.values.iter_mut().for_each(|value| *value *= factor);
        }
        Ok(scene)
    }
}

impl Scene for RadianceScene {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Dimensions {
        self.size
    }

    fn cfa(&self) -> Cfa {
        ORDER
    }

    fn radiance(&self, light: &Light) -> Mosaic {
        let weights: Vec<f32> = self
            .bands
            .iter()
            .map(|b| light.power(b.nm) as f32)
            .collect();
        let width = self.size.width();
        Mosaic::from_fn(self.size, ORDER, |x, y, _| {
            let at = y * width + x;
            let bands = self.bands.iter().zip(&weights);
            bands.map(|(band, weight)| weight * band.values[at]).sum()
        })
    }

    fn neutral(&self, light: &Light) -> Option<[f64; 3]> {
        let mut rgb = [0.0; 3];
        for (band, neutral) in self.bands.iter().zip(self.neutral.as_ref()?) {
            for (sum, value) in rgb.iter_mut().zip(neutral) {
                *sum += light.power(band.nm) * value;
            }
        }
        Some(rgb)
    }
}

/// The files of a folder that matter.
struct Listing {
    /// By wavelength.
    bands: Vec<(u32, PathBuf)>,
    labels: Option<PathBuf>,
}

impl Listing {
    fn read(folder: &Path) -> Result<Self, SceneError> {
        let io_error = |source| SceneError::io(folder, source);
        let mut bands = Vec::new();
        let mut labels = Vec::new();
        for entry in fs::read_dir(folder).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if let Some(nm) = band_of(name) {
                if !(300..=1100).contains(&nm) {
                    return Err(SceneError::Wavelength { path, nm });
                }
                bands.push((nm, path));
            } else if name.ends_with("nm_labels.png") {
                labels.push(path);
            }
        }
        bands.sort();
        labels.sort();
        if !(MIN_BANDS..=MAX_BANDS).contains(&bands.len()) {
            return Err(SceneError::Bands {
                path: folder.to_owned(),
                found: bands.len(),
            });
        }
        let is_of_a_band = |path: &PathBuf| {
            let name = path.to_string_lossy();
            let of = |nm| name.ends_with(&format!("_{nm}nm_labels.png"));
            bands.iter().any(|(nm, _)| of(*nm))
        };
        let labels = labels.into_iter().find(is_of_a_band);
        Ok(Self { bands, labels })
    }
}

/// The wavelength in `radiance_<nm>nm.npy`.
fn band_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("radiance_")?.strip_suffix("nm.npy")?;
    digits.parse().ok()
}

/// Reads a label image; its size is checked before memory is asked for.
fn read_labels(path: &Path, size: Dimensions) -> Result<Vec<u8>, SceneError> {
    let refuse = |reason: String| SceneError::Labels {
        path: path.to_owned(),
        reason,
    };
    let (file, _) = open_regular(path)?;
    let limits = png::Limits {
        bytes: 4 * size.pixels() + (1 << 20),
    };
    let decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
    let mut reader = decoder
        .read_info()
        .map_err(|error| refuse(error.to_string()))?;
    let info = reader.info();
    let sides = (info.width as usize, info.height as usize);
    if sides != (size.width(), size.height()) {
        return Err(refuse(format!("it is {}×{} pixels", sides.0, sides.1)));
    }
    if reader.output_color_type() != (png::ColorType::Grayscale, png::BitDepth::Eight) {
        return Err(refuse("it is not 8-bit grey".into()));
    }
    let mut labels = vec![0; size.pixels()];
    reader
        .next_frame(&mut labels)
        .map_err(|error| refuse(error.to_string()))?;
    Ok(labels)
}

/// Mean R, G, B of the neutral patches in each band.
fn neutral_of(
    bands: &[Band],
    labels: &[u8],
    size: Dimensions,
    path: &Path,
) -> Result<Vec<[f64; 3]>, SceneError> {
    let mut counts = [0.0; 3];
    let mut sums = vec![[0.0; 3]; bands.len()];
    for (at, label) in labels.iter().enumerate() {
        if !NEUTRAL_PATCHES.contains(label) {
            continue;
        }
        let (x, y) = (at % size.width(), at / size.width());
        let channel = ORDER.channel(x, y).rgb();
        counts[channel] += 1.0;
        for (sum, band) in sums.iter_mut().zip(bands) {
            sum[channel] += f64::from(band.values[at]);
        }
    }
    if counts.contains(&0.0) {
        return Err(SceneError::Labels {
            path: path.to_owned(),
            reason: "it marks no pixels of the neutral patches 19 to 21".into(),
        });
    }
    for sum in &mut sums {
        for (value, count) in sum.iter_mut().zip(counts) {
            *value /= count;
        }
    }
    Ok(sums)
}
