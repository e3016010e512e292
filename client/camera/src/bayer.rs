//! The colour filter array, and the two kinds of mosaic behind it: radiance and raw frames.

use thiserror::Error;

/// What a pixel sees. As a number: its place in the arrays of `coldshoe-soft` (R, Gr, Gb, B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Red.
    R = 0,
    /// Green in a row with red.
    Gr = 1,
    /// Green in a row with blue.
    Gb = 2,
    /// Blue.
    B = 3,
}

impl Channel {
    /// Index into a triple R, G, B.
    #[must_use]
    pub const fn rgb(self) -> usize {
        match self {
            Self::R => 0,
            Self::Gr | Self::Gb => 1,
            Self::B => 2,
        }
    }
}

/// Order of the colour filters: the top row of a 2×2 cell, then the one below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Cfa {
    /// RG over GB.
    Rggb,
    /// GR over BG.
    Grbg,
    /// GB over RG.
    Gbrg,
    /// BG over GR.
    Bggr,
}

impl Cfa {
    /// All orders.
    pub const ALL: [Self; 4] = [Self::Rggb, Self::Grbg, Self::Gbrg, Self::Bggr];

    /// The filter of the pixel at (x, y).
    #[must_use]
    pub const fn channel(self, x: usize, y: usize) -> Channel {
        let (red_x, red_y) = self.red();
        match ((x ^ red_x) & 1, (y ^ red_y) & 1) {
            (0, 0) => Channel::R,
            (_, 0) => Channel::Gr,
            (0, _) => Channel::Gb,
            _ => Channel::B,
        }
    }

    /// Where red lies in a cell: (x, y), each 0 or 1.
    #[must_use]
    pub const fn red(self) -> (usize, usize) {
        match self {
            Self::Rggb => (0, 0),
            Self::Grbg => (1, 0),
            Self::Gbrg => (0, 1),
            Self::Bggr => (1, 1),
        }
    }
}

/// Width and height of a frame in pixels: even, so that it is made of whole cells, and bounded, so
/// that they can be trusted for an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    width: usize,
    height: usize,
}

/// Dimensions that no frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{width}×{height} pixels; both sides have to be even and within {}..={}",
    Dimensions::MIN_SIDE,
    Dimensions::MAX_SIDE
)]
pub struct DimensionsError {
    width: u64,
    height: u64,
}

impl Dimensions {
    /// Shortest side, pixels.
    pub const MIN_SIDE: usize = 2;
    /// Longest side, pixels: 64 million pixels at most.
    pub const MAX_SIDE: usize = 8192;

    /// Checks width and height.
    ///
    /// # Errors
    /// [`DimensionsError`] when a side is odd, too short or too long.
    pub fn new(width: u64, height: u64) -> Result<Self, DimensionsError> {
        let side = |pixels: u64| {
            usize::try_from(pixels)
                .ok()
                .filter(|side| (Self::MIN_SIDE..=Self::MAX_SIDE).contains(side))
                .filter(|side| side.is_multiple_of(2))
        };
        match (side(width), side(height)) {
            (Some(width), Some(height)) => Ok(Self { width, height }),
            _ => Err(DimensionsError { width, height }),
        }
    }

    /// Width, pixels.
    #[must_use]
    pub const fn width(self) -> usize {
        self.width
    }

    /// Height, pixels.
    #[must_use]
    pub const fn height(self) -> usize {
        self.height
    }

    /// Number of pixels.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.width * self.height
    }
}

/// Radiance behind the colour filters, row by row, in **full scales per millisecond at gain 1**:
/// an exposure of `1/value` ms just saturates the pixel. Times `white − black` it is DN per ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Mosaic {
    size: Dimensions,
    cfa: Cfa,
    data: Vec<f32>,
}

impl Mosaic {
    /// Fills a mosaic with `value(x, y, channel)`.
    #[must_use]
    pub fn from_fn(
        size: Dimensions,
        cfa: Cfa,
        mut value: impl FnMut(usize, usize, Channel) -> f32,
    ) -> Self {
        let mut data = Vec::with_capacity(size.pixels());
        for y in 0..size.height {
            for x in 0..size.width {
                data.push(value(x, y, cfa.channel(x, y)));
            }
        }
        Self { size, cfa, data }
    }

    /// Size in pixels.
    #[must_use]
    pub const fn size(&self) -> Dimensions {
        self.size
    }

    /// Order of the colour filters.
    #[must_use]
    pub const fn cfa(&self) -> Cfa {
        self.cfa
    }

    /// The values, row by row.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Mean of all pixels, which is the mean luminance (R + 2G + B)/4.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.data.iter().map(|&value| f64::from(value)).sum::<f64>() / self.data.len() as f64
    }
}

/// A frame as the sensor sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    size: Dimensions,
    cfa: Cfa,
    bits: u32,
    black: u16,
    white: u16,
    data: Vec<u16>,
}

/// Numbers that make no raw frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RawFrameError {
    /// Bits a pixel.
    #[error("bits is {0}; 8 to 16 are possible")]
    Bits(u32),
    /// Black and white levels.
    #[error("black {black} and white {white} do not fit in {bits} bits with black below white")]
    Levels {
        /// Black level, DN.
        black: u32,
        /// White level, DN.
        white: u32,
        /// Bits a pixel.
        bits: u32,
    },
    /// Number of pixels.
    #[error("{got} pixels came, {want} are in the frame")]
    Pixels {
        /// Pixels that came.
        got: usize,
        /// Pixels of the frame.
        want: usize,
    },
}

impl RawFrame {
    /// Puts a frame together. Pixels are DN, row by row, of `bits` bits; `black` is what they read
    /// without light, `white` where they clip.
    ///
    /// # Errors
    /// [`RawFrameError`] when the numbers do not fit together.
    pub fn new(
        size: Dimensions,
        cfa: Cfa,
        bits: u32,
        (black, white): (u32, u32),
        data: Vec<u16>,
    ) -> Result<Self, RawFrameError> {
        if !(8..=16).contains(&bits) {
            return Err(RawFrameError::Bits(bits));
        }
        let levels = || {
            let (black, white) = (u16::try_from(black).ok()?, u16::try_from(white).ok()?);
            (black < white && u32::from(white) < 1 << bits).then_some((black, white))
        };
        let Some((black, white)) = levels() else {
            return Err(RawFrameError::Levels { black, white, bits });
        };
        if data.len() != size.pixels() {
            return Err(RawFrameError::Pixels {
                got: data.len(),
                want: size.pixels(),
            });
        }
        Ok(Self {
            size,
            cfa,
            bits,
            black,
            white,
            data,
        })
    }

    /// Size in pixels.
    #[must_use]
    pub const fn size(&self) -> Dimensions {
        self.size
    }

    /// Order of the colour filters.
    #[must_use]
    pub const fn cfa(&self) -> Cfa {
        self.cfa
    }

    /// The largest DN the format holds, `2^bits − 1`.
    #[must_use]
    pub const fn full_scale(&self) -> u16 {
        u16::MAX >> (16 - self.bits)
    }

    /// Bits a pixel, 8 to 16.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// What a pixel reads without light, DN.
    #[must_use]
    pub const fn black(&self) -> u16 {
        self.black
    }

    /// Where pixels clip, DN.
    #[must_use]
    pub const fn white(&self) -> u16 {
        self.white
    }

    /// The pixels in DN, row by row.
    #[must_use]
    pub fn data(&self) -> &[u16] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_has_the_filters_of_its_name() {
        let name = |cfa: Cfa| {
            [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| match cfa.channel(x, y) {
                Channel::R => 'R',
                Channel::Gr | Channel::Gb => 'G',
                Channel::B => 'B',
            })
        };
        let names = Cfa::ALL.map(|cfa| name(cfa).iter().collect::<String>());
        assert_eq!(names, ["RGGB", "GRBG", "GBRG", "BGGR"]);
    }

    #[test]
    fn a_green_is_gr_where_its_row_has_red() {
        for cfa in Cfa::ALL {
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let row = [cfa.channel(0, y), cfa.channel(1, y)];
                match cfa.channel(x, y) {
                    Channel::Gr => assert!(row.contains(&Channel::R)),
                    Channel::Gb => assert!(row.contains(&Channel::B)),
                    Channel::R | Channel::B => {}
                }
            }
        }
    }

    #[test]
    fn zero_odd_and_absurd_sides_are_refused() {
        for (width, height) in [(0, 480), (640, 0), (641, 480), (640, 8194), (u64::MAX, 2)] {
            assert!(Dimensions::new(width, height).is_err());
        }
        assert_eq!(Dimensions::new(8192, 2).unwrap().pixels(), 16384);
    }

    #[test]
    fn levels_that_do_not_fit_in_the_bits_are_refused() {
        let size = Dimensions::new(2, 2).unwrap();
        let frame = |bits, levels, n| RawFrame::new(size, Cfa::Rggb, bits, levels, vec![0; n]);
        assert!(frame(10, (64, 1023), 4).is_ok());
        assert_eq!(frame(10, (64, 1023), 4).unwrap().full_scale(), 1023);
        assert_eq!(frame(16, (0, 65535), 4).unwrap().full_scale(), 65535);
        assert_eq!(frame(17, (64, 1023), 4), Err(RawFrameError::Bits(17)));
        assert!(matches!(
            frame(10, (64, 1024), 4),
            Err(RawFrameError::Levels { .. })
        ));
        assert!(matches!(
            frame(10, (64, 64), 4),
            Err(RawFrameError::Levels { .. })
        ));
        assert_eq!(
            frame(10, (64, 1023), 3),
            Err(RawFrameError::Pixels { got: 3, want: 4 })
        );
    }
}
