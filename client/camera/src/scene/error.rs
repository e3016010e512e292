//! Why a scene could not be opened.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::npy::NpyError;
use crate::bayer::{DimensionsError, RawFrameError};

/// Why a scene could not be opened: the message says what and why, [`SceneError::remedy`] what to
/// do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SceneError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Not a regular file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// The folder holds too few radiance mosaics.
    #[error("{} holds {found} radiance mosaics, at least 3 bands are needed", path.display())]
    Bands {
        /// The folder.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
    /// A band outside what a camera sees.
    #[error("{} is of {nm} nm, outside 300 to 1100 nm", path.display())]
    Wavelength {
        /// The file.
        path: PathBuf,
        /// Its wavelength.
        nm: u32,
    },
    /// A `.npy` file is not one, or not of the expected kind.
    #[error("{} is no radiance mosaic: {source}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: NpyError,
    },
    /// Bands of different sizes.
    #[error("{} is of another size than the other bands", path.display())]
    Mismatch {
        /// The first that differs.
        path: PathBuf,
    },
    /// The label image cannot be used.
    #[error("the label image {} cannot be used: {reason}", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A raw frame without its description.
    #[error("{} has no sidecar: {} does not exist", path.display(), sidecar.display())]
    NoSidecar {
        /// The raw frame.
        path: PathBuf,
        /// Where the sidecar was looked for.
        sidecar: PathBuf,
    },
    /// A sidecar that does not parse.
    #[error("the sidecar {} does not parse: {reason}", path.display())]
    Sidecar {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A sidecar with a size no frame has.
    #[error("the sidecar {} says {source}", path.display())]
    Dimensions {
        /// The sidecar.
        path: PathBuf,
        /// What is wrong.
        source: DimensionsError,
    },
    /// A sidecar with levels or bits that no frame has.
    #[error("the sidecar {} says what cannot be: {source}", path.display())]
    Frame {
        /// The sidecar.
        path: PathBuf,
        /// What is wrong.
        source: RawFrameError,
    },
    /// A number in a sidecar is out of range.
    #[error("the sidecar {} has {key} outside {range}", path.display())]
    Value {
        /// The sidecar.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// A raw frame of another length than its sidecar says.
    #[error("the raw frame {} has {got} bytes, its sidecar says {want}", path.display())]
    Length {
        /// The raw frame.
        path: PathBuf,
        /// Bytes it has.
        got: u64,
        /// Bytes it should have: width × height × 2.
        want: u64,
    },
    /// A raw frame with a pixel of more bits than its sidecar says.
    #[error("the raw frame {} has a pixel of {dn}, its sidecar says {bits} bits", path.display())]
    Depth {
        /// The raw frame.
        path: PathBuf,
        /// The pixel's value.
        dn: u16,
        /// Bits of the sidecar.
        bits: u32,
    },
}

impl SceneError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path, or leave the scene out to use the built-in one".into()
            }
            Self::Io { .. } => "make the file readable for this user".into(),
            Self::NotAFile { .. } => {
                "give a raw frame, its sidecar, or a folder of radiance mosaics".into()
            }
            Self::Bands { .. } => {
                "give a folder with files named radiance_<nm>nm.npy, one for each band".into()
            }
            Self::Wavelength { .. } => "name the file after its band in nanometres".into(),
            Self::Npy { .. } => {
                "save the band again with numpy.save: float32, C order, two dimensions".into()
            }
            Self::Mismatch { .. } => "use bands of one capture in one folder".into(),
            Self::Labels { .. } => {
                "save the labels as 8-bit grey PNG of the mosaics' size, or remove them".into()
            }
            Self::NoSidecar { sidecar, .. } => format!(
                "write {} with width, height, bits, cfa, black and white",
                sidecar.display()
            ),
            Self::Sidecar { .. } => {
                "keys are file, width, height, bits, cfa (RGGB, GRBG, GBRG or BGGR), black, \
                 white, and if known as_shot, exposure_ms, kelvin"
                    .into()
            }
            Self::Dimensions { .. } | Self::Frame { .. } | Self::Value { .. } => {
                "correct the numbers in the sidecar".into()
            }
            Self::Length { .. } => {
                "copy the frame again if it was cut short, or correct width and height".into()
            }
            Self::Depth { .. } => {
                "correct bits in the sidecar; pixels are 16-bit words, little-endian, low bits used"
                    .into()
            }
        }
    }
}
