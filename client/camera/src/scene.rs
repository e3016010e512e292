//! What the camera looks at.

mod checker;
mod depth;
mod error;
mod mondrian;
mod npy;
pub mod radiance;
pub mod raw;
mod spectrum;

use std::fs::{self, File};
use std::path::Path;

pub use checker::CheckerScene;
pub use depth::DepthScene;
pub use error::SceneError;
pub use mondrian::Mondrian;
pub use npy::NpyError;
pub use radiance::RadianceScene;
pub use raw::{RawFile, RawScene};

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

    /// The scene under a light, through a lens that is focused at so many dioptres. A scene without
    /// depth is sharp at any.
    fn focused(&self, light: &Light, dioptres: f64) -> Mosaic {
        let _ = dioptres;
        self.radiance(light)
    }

    /// Ground truth: where a lens has to be focused for what is in the middle, dioptres; `None`
    /// without depth.
    fn depth(&self) -> Option<f64> {
        None
    }

    /// Ground truth: raw RGB of a neutral surface under a light, black subtracted, of any length;
    /// `None` where the scene does not tell.
    fn neutral(&self, light: &Light) -> Option<[f64; 3]>;
}

/// Opens a scene: the built-in one, the built-in one with depth (named `depth`, where no file is),
/// a folder of radiance mosaics, or a raw frame.
///
/// # Errors
/// [`SceneError`] says what is wrong with the file, and [`SceneError::remedy`] what to do.
pub fn open(path: Option<&Path>) -> Result<Box<dyn Scene>, SceneError> {
    let Some(path) = path else {
        return Ok(Box::new(CheckerScene::new()));
    };
    if path == Path::new("depth") && !path.exists() {
        return Ok(Box::new(DepthScene::default()));
    }
    let metadata = fs::metadata(path).map_err(|source| SceneError::io(path, source))?;
    if metadata.is_dir() {
        Ok(Box::new(RadianceScene::open(path)?))
    } else {
        Ok(Box::new(RawScene::open(path)?))
    }
}

/// Opens a regular file and tells its length. Anything else is refused before it is opened: opening
/// a pipe would wait for its writer.
fn open_regular(path: &Path) -> Result<(File, u64), SceneError> {
    let io_error = |source| SceneError::io(path, source);
    if !fs::metadata(path).map_err(io_error)?.is_file() {
        return Err(SceneError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(io_error)?;
    let len = file.metadata().map_err(io_error)?.len();
    Ok((file, len))
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
