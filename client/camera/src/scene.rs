//! What the camera looks at.

mod checker;
mod error;
mod npy;
mod radiance;
mod raw;
mod spectrum;

use std::path::Path;

pub use checker::CheckerScene;
pub use error::SceneError;
pub use radiance::RadianceScene;
pub use raw::RawScene;

use crate::bayer::{Cfa, Dimensions, Mosaic};
use crate::light::Light;

/// Exposure at gain 1 at which a scene under its own light comes out well, ms.
const NOMINAL_MS: f64 = 10.0;

/// Something to look at, through the colour filters of its own sensor.
pub trait Scene: Send {
    /// A short name for messages and captions.
    fn name(&self) -> &str;

    /// Size in pixels.
    fn size(&self) -> Dimensions;

    /// Order of the colour filters.
    fn cfa(&self) -> Cfa;

    /// The scene under a light.
    fn radiance(&self, light: &Light) -> Mosaic;

    /// Ground truth: raw RGB of a neutral surface under a light, black subtracted, of any length;
    /// `None` where the scene does not tell.
    fn neutral(&self, light: &Light) -> Option<[f64; 3]>;
}

/// Opens a scene: the built-in one, a folder of radiance mosaics, or a raw frame.
///
/// # Errors
/// [`SceneError`] says what is wrong with the file, and [`SceneError::remedy`] what to do.
pub fn open(path: Option<&Path>) -> Result<Box<dyn Scene>, SceneError> {
    let Some(path) = path else {
        return Ok(Box::new(CheckerScene::new()));
    };
    let metadata = std::fs::metadata(path).map_err(|source| SceneError::io(path, source))?;
    if metadata.is_dir() {
        Ok(Box::new(RadianceScene::open(path)?))
    } else {
        Ok(Box::new(RawScene::open(path)?))
    }
}

/// Brings a scene to its own level: a mean of 0.16 at the nominal exposure.
fn level_factor(radiance: &Mosaic) -> f64 {
    let mean = radiance.mean();
    if mean > 0.0 {
        0.16 / (mean * NOMINAL_MS)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests;
