//! Something to draw on: other pictures, lines, areas, and text in fonts of its own.

use coldshoe_camera::{Dimensions, DimensionsError, Rgb8};
use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_9X15, FONT_9X15_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::text::{Baseline, Text};

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// A font, Latin 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    Plain,
    Bold,
    Large,
}

impl Face {
    fn font(self) -> &'static MonoFont<'static> {
        match self {
            Self::Plain => &FONT_9X15,
            Self::Bold => &FONT_9X15_BOLD,
            Self::Large => &FONT_10X20,
        }
    }

    /// Width and height of a line.
    pub(super) fn size(self, text: &str) -> (i32, i32) {
        let Size { width, height } = self.font().character_size;
        (text.chars().count() as i32 * width as i32, height as i32)
    }
}

/// A picture in the making.
pub(super) struct Canvas {
    size: Dimensions,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// An empty canvas; both sides are even.
    pub(super) fn new(width: u64, height: u64, paper: Colour) -> Result<Self, DimensionsError> {
        let size = Dimensions::new(width, height)?;
        Ok(Self {
            pixels: vec![paper; size.pixels()],
            size,
        })
    }

    /// What lies outside is left out.
    fn pixel(&mut self, x: i32, y: i32) -> Option<&mut Colour> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        let inside = x < self.size.width() && y < self.size.height();
        inside.then(|| &mut self.pixels[y * self.size.width() + x])
    }

    /// Draws a picture with its top left corner at (x, y).
    pub(super) fn paste(&mut self, picture: &Rgb8, x: i32, y: i32) {
        for (row, dy) in picture.data().chunks(3 * picture.width()).zip(0..) {
            for (colour, dx) in row.as_chunks().0.iter().zip(0..) {
                if let Some(pixel) = self.pixel(x + dx, y + dy) {
                    *pixel = *colour;
                }
            }
        }
    }

    /// Writes a line with its top left corner at (x, y).
    pub(super) fn write(&mut self, text: &str, (x, y): (i32, i32), face: Face, [r, g, b]: Colour) {
        let style = MonoTextStyle::new(face.font(), Rgb888::new(r, g, b));
        let text = Text::with_baseline(text, Point::new(x, y), style, Baseline::Top);
        let Ok(_) = text.draw(self);
    }

    /// Draws a smooth line along points, with round ends.
    pub(super) fn line(&mut self, points: &[(f64, f64)], width: f64, colour: Colour) {
        // Where two stretches meet, the pixel takes the better covered: they must not add up.
        let mut cover = vec![0.0_f32; self.pixels.len()];
        for pair in points.windows(2) {
            if let [a, b] = *pair {
                self.stretch(&mut cover, a, b, width);
            }
        }
        for (pixel, cover) in self.pixels.iter_mut().zip(cover) {
            if cover > 0.0 {
                blend(pixel, colour, f64::from(cover));
            }
        }
    }

    fn stretch(&self, cover: &mut [f32], a: (f64, f64), b: (f64, f64), width: f64) {
        let reach = width / 2.0 + 1.0;
        let range = |a: f64, b: f64, side: usize| {
            let (low, high) = (a.min(b) - reach, a.max(b) + reach);
            low.max(0.0) as usize..side.min(high.max(0.0) as usize + 1)
        };
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let squared = dx * dx + dy * dy;
        for y in range(a.1, b.1, self.size.height()) {
            for x in range(a.0, b.0, self.size.width()) {
                // From the pixel's middle to the nearest point of the line.
                let (px, py) = (x as f64 + 0.5 - a.0, y as f64 + 0.5 - a.1);
                let along = if squared > 0.0 {
                    ((px * dx + py * dy) / squared).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let distance = (px - along * dx).hypot(py - along * dy);
                let covered = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0) as f32;
                let pixel = &mut cover[y * self.size.width() + x];
                *pixel = pixel.max(covered);
            }
        }
    }

    /// Fills the pixels from one corner to the one before the other.
    pub(super) fn fill(&mut self, from: (i32, i32), to: (i32, i32), colour: Colour) {
        for y in from.1..to.1 {
            for x in from.0..to.0 {
                if let Some(pixel) = self.pixel(x, y) {
                    *pixel = colour;
                }
            }
        }
    }

    pub(super) fn into_picture(self) -> Rgb8 {
        Rgb8::from_pixels(self.size, self.pixels)
    }
}

fn blend(pixel: &mut Colour, colour: Colour, cover: f64) {
    for (below, above) in pixel.iter_mut().zip(colour) {
        let mixed = f64::from(*below) * (1.0 - cover) + f64::from(above) * cover;
        *below = mixed.round() as u8;
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.size.width() as u32, self.size.height() as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = embedded_graphics::Pixel<Rgb888>>,
    {
        for embedded_graphics::Pixel(Point { x, y }, colour) in pixels {
            if let Some(pixel) = self.pixel(x, y) {
                *pixel = [colour.r(), colour.g(), colour.b()];
            }
        }
        Ok(())
    }
}

/// A picture as a smaller one, at most `width` wide: each pixel is the mean of those that it stands
/// for. One that is narrow enough stays as it is.
pub(super) fn shrink(picture: &Rgb8, width: usize) -> Rgb8 {
    let (from_width, from_height) = (picture.width(), picture.height());
    if from_width <= width {
        return picture.clone();
    }
    let even = |side: usize| (side & !1).max(2);
    let width = even(width);
    let height = even(from_height * width / from_width);
    let Ok(size) = Dimensions::new(width as u64, height as u64) else {
        return picture.clone();
    };
    let mean = |x: usize, y: usize| {
        let (x0, x1) = (x * from_width / width, (x + 1) * from_width / width);
        let (y0, y1) = (y * from_height / height, (y + 1) * from_height / height);
        let (mut sum, mut count) = ([0_u32; 3], 0);
        for row in picture.data()[3 * y0 * from_width..3 * y1.max(y0 + 1) * from_width]
            .chunks(3 * from_width)
        {
            for pixel in row[3 * x0..3 * x1].as_chunks::<3>().0 {
                sum = [0, 1, 2].map(|i| sum[i] + u32::from(pixel[i]));
                count += 1;
            }
        }
        sum.map(|sum| ((sum + count / 2) / count.max(1)) as u8)
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Rgb8::from_pixels(size, pixels.map(|(x, y)| mean(x, y)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u64, height: u64, pixel: impl Fn(usize) -> Colour) -> Rgb8 {
        let size = Dimensions::new(width, height).unwrap();
        Rgb8::from_pixels(size, (0..size.pixels()).map(pixel))
    }

    #[test]
    fn what_lies_outside_the_canvas_is_left_out() {
        let mut canvas = Canvas::new(20, 10, [255; 3]).unwrap();
        canvas.paste(&picture(4, 4, |_| [1, 2, 3]), 18, -2);
        canvas.write("outside", (15, 5), Face::Large, [0; 3]);
        let drawn = canvas.into_picture();
        assert_eq!(drawn.pixel(18, 0), Some([1, 2, 3]));
        assert_eq!(drawn.pixel(17, 0), Some([255; 3]));
        assert_eq!(drawn.pixel(0, 9), Some([255; 3]));
    }

    #[test]
    fn text_is_written_in_its_colour_and_size() {
        let mut canvas = Canvas::new(40, 20, [255; 3]).unwrap();
        canvas.write("µ°", (0, 0), Face::Bold, [200, 0, 0]);
        let drawn = canvas.into_picture();
        let red: Vec<_> = (0..800)
            .filter(|at| drawn.pixel(at % 40, at / 40) == Some([200, 0, 0]))
            .collect();
        assert!(red.len() > 20);
        let (width, height) = Face::Bold.size("µ°");
        assert!(
            red.iter()
                .all(|at| at % 40 < width as usize && at / 40 < height as usize)
        );
    }

    #[test]
    fn a_line_covers_what_it_is_wide_and_no_more() {
        let mut canvas = Canvas::new(20, 10, [0; 3]).unwrap();
        canvas.line(&[(3.0, 5.5), (10.5, 5.5), (18.0, 5.5)], 3.0, [200; 3]);
        canvas.line(&[(-50.0, 0.5), (50.0, 0.5)], 1.0, [200; 3]);
        let drawn = canvas.into_picture();
        let column: Vec<_> = (2..9).map(|y| drawn.pixel(10, y).unwrap()[0]).collect();
        assert_eq!(column, [0, 0, 200, 200, 200, 0, 0]);
        assert_eq!(drawn.pixel(19, 0), Some([200; 3]));
        assert_eq!(drawn.pixel(0, 5), Some([0; 3]));
    }

    #[test]
    fn a_smaller_picture_has_the_means_of_the_larger() {
        let checker = picture(8, 8, |at| [if at % 2 == 0 { 10 } else { 20 }, 7, 0]);
        let small = shrink(&checker, 4);
        assert_eq!((small.width(), small.height()), (4, 4));
        assert!((0..16).all(|at| small.pixel(at % 4, at / 4) == Some([15, 7, 0])));
    }

    #[test]
    fn odd_ratios_and_flat_pictures_shrink_too() {
        for (width, height) in [(408, 342), (1920, 2), (302, 8000)] {
            let small = shrink(&picture(width, height, |_| [9; 3]), 300);
            assert_eq!(small.width(), 300);
            assert_eq!(small.pixel(299, small.height() - 1), Some([9; 3]));
        }
    }

    #[test]
    fn a_narrow_picture_stays() {
        let narrow = picture(4, 2, |at| [at as u8; 3]);
        assert_eq!(shrink(&narrow, 4), narrow);
    }
}
