//! A finished picture.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::bayer::Dimensions;

/// A picture: sRGB, 8 bits a channel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb8 {
    size: Dimensions,
    data: Vec<u8>,
}

/// Why a picture could not be written.
#[derive(Debug, Error)]
#[error("cannot write the picture {}: {source}; check that the folder exists and has room", path.display())]
pub struct PictureError {
    path: PathBuf,
    source: png::EncodingError,
}

impl Rgb8 {
    /// A picture of pixels in row order; missing ones are black, surplus ones dropped.
    #[must_use]
    pub fn from_pixels(size: Dimensions, pixels: impl IntoIterator<Item = [u8; 3]>) -> Self {
        let bytes = 3 * size.pixels();
        let mut data = Vec::with_capacity(bytes);
        data.extend(pixels.into_iter().take(size.pixels()).flatten());
        data.resize(bytes, 0);
        Self { size, data }
    }

    /// Width, pixels.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.size.width()
    }

    /// Height, pixels.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.size.height()
    }

    /// The pixel at (x, y), if there is one.
    #[must_use]
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let inside = x < self.width() && y < self.height();
        let at = 3 * (y * self.width() + x);
        inside
            .then(|| self.data.get(at..)?.first_chunk().copied())
            .flatten()
    }

    /// The bytes R, G, B of each pixel, row by row.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Writes the picture as PNG into memory.
    ///
    /// # Errors
    /// When the encoder fails, which memory does not make it do.
    pub fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the picture as a PNG file.
    ///
    /// # Errors
    /// [`PictureError`] when the file cannot be created or written.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), PictureError> {
        let path = path.as_ref();
        File::create(path)
            .map_err(png::EncodingError::from)
            .and_then(|file| self.encode(BufWriter::new(file)))
            .map_err(|source| PictureError {
                path: path.to_owned(),
                source,
            })
    }

    fn encode(&self, out: impl std::io::Write) -> Result<(), png::EncodingError> {
        // Sides are at most 8192.
        let (width, height) = (self.width() as u32, self.height() as u32);
        let mut encoder = png::Encoder::new(out, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.data)?;
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Rgb8 {
        let size = Dimensions::new(4, 2).unwrap();
        Rgb8::from_pixels(size, (0..8).map(|i| [i, 10 * i, 255 - i]))
    }

    #[test]
    fn a_png_file_reads_back_as_the_picture() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("picture.png");
        picture().write_png(&path).unwrap();
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        assert_eq!((info.width, info.height), (4, 2));
        assert_eq!(data, picture().data());
    }

    #[test]
    fn a_pixel_outside_is_none() {
        assert_eq!(picture().pixel(3, 1), Some([7, 70, 248]));
        assert_eq!(picture().pixel(4, 0), None);
        assert_eq!(picture().pixel(0, 2), None);
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let error = picture().write_png("/nonexistent/picture.png").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/picture.png"));
    }
}
