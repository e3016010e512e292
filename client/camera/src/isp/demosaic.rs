//! Demosaicing by the gradient-corrected linear filters of Malvar, He and Cutler, "High-quality
//! linear interpolation for demosaicing of Bayer-patterned color images", ICASSP 2004.

use crate::bayer::{Cfa, Channel, Dimensions};

/// Pixels the filters reach over the edge.
const MARGIN: usize = 2;

/// R, G and B of every pixel, row by row. Values stay within 0..=1.
pub fn demosaic(light: &[f32], size: Dimensions, cfa: Cfa) -> impl Iterator<Item = [f32; 3]> {
    let padded = Padded::new(light, size);
    (0..size.pixels()).map(move |at| {
        let (x, y) = (at % size.width(), at / size.width());
        padded.pixel(x, y, cfa.channel(x, y))
    })
}

/// The mosaic with a margin that mirrors it about its edge pixels: so filters meet their colours.
struct Padded {
    data: Vec<f32>,
    width: usize,
}

impl Padded {
    fn new(light: &[f32], size: Dimensions) -> Self {
        let width = size.width() + 2 * MARGIN;
        let mirror = |at: usize, side: usize| {
            let at = at.abs_diff(MARGIN);
            // In a frame of two pixels the mirror image is mirrored again.
            if at < side {
                at
            } else {
                (2 * (side - 1)).abs_diff(at)
            }
        };
        let mut data = Vec::with_capacity(width * (size.height() + 2 * MARGIN));
        for y in 0..size.height() + 2 * MARGIN {
            let row = &light[mirror(y, size.height()) * size.width()..][..size.width()];
            data.extend((0..width).map(|x| row[mirror(x, size.width())]));
        }
        Self { data, width }
    }

    fn pixel(&self, x: usize, y: usize, channel: Channel) -> [f32; 3] {
        let around = Around::new(self, x + MARGIN, y + MARGIN);
        let centre = around.centre;
        let rgb = match channel {
            Channel::R => [centre, around.green(), around.diagonal()],
            Channel::B => [around.diagonal(), around.green(), centre],
            Channel::Gr => [around.along_row(), centre, around.along_column()],
            Channel::Gb => [around.along_column(), centre, around.along_row()],
        };
        rgb.map(|value| value.clamp(0.0, 1.0))
    }
}

/// Sums of the neighbours that the filters weigh alike.
struct Around {
    centre: f32,
    /// One to the left and right; one above and below.
    near: (f32, f32),
    /// Two to the left and right; two above and below.
    far: (f32, f32),
    corners: f32,
}

impl Around {
    fn new(padded: &Padded, x: usize, y: usize) -> Self {
        let width = padded.width;
        // Five rows of five; the margin keeps them inside.
        let row = |dy: usize| &padded.data[(y + dy - MARGIN) * width + x - MARGIN..][..5];
        let (top, above, middle, below, bottom) = (row(0), row(1), row(2), row(3), row(4));
        Self {
            centre: middle[2],
            near: (middle[1] + middle[3], above[2] + below[2]),
            far: (middle[0] + middle[4], top[2] + bottom[2]),
            corners: above[1] + above[3] + below[1] + below[3],
        }
    }

    /// Green at red or blue.
    fn green(&self) -> f32 {
        let (near, far) = (self.near.0 + self.near.1, self.far.0 + self.far.1);
        (4.0 * self.centre + 2.0 * near - far) / 8.0
    }

    /// Red at blue, or blue at red.
    fn diagonal(&self) -> f32 {
        let far = self.far.0 + self.far.1;
        (6.0 * self.centre + 2.0 * self.corners - 1.5 * far) / 8.0
    }

    /// At green, the colour of its row.
    fn along_row(&self) -> f32 {
        self.at_green(self.near.0, self.far.0, self.far.1)
    }

    /// At green, the colour of its column.
    fn along_column(&self) -> f32 {
        self.at_green(self.near.1, self.far.1, self.far.0)
    }

    fn at_green(&self, near: f32, along: f32, across: f32) -> f32 {
        (5.0 * self.centre + 4.0 * near - self.corners - along + 0.5 * across) / 8.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mosaic(
        cfa: Cfa,
        (width, height): (u64, u64),
        rgb: impl Fn(usize, usize) -> [f32; 3],
    ) -> Vec<[f32; 3]> {
        let size = Dimensions::new(width, height).unwrap();
        let at = |i: usize| (i % size.width(), i / size.width());
        let light: Vec<_> = (0..size.pixels())
            .map(at)
            .map(|(x, y)| rgb(x, y)[cfa.channel(x, y).rgb()])
            .collect();
        demosaic(&light, size, cfa).collect()
    }

    #[test]
    fn a_flat_colour_comes_back_exactly_in_every_order_up_to_the_edges() {
        let colour = [0.25, 0.5, 0.75];
        for cfa in Cfa::ALL {
            for pixel in mosaic(cfa, (8, 6), |_, _| colour) {
                for (got, want) in pixel.iter().zip(colour) {
                    assert!((got - want).abs() < 1e-6, "{cfa:?}: {pixel:?}");
                }
            }
        }
    }

    #[test]
    fn a_ramp_comes_back_away_from_the_edges() {
        let ramp =
            |x: usize, y: usize| [0.2, 0.4, 0.3].map(|c| c + 0.01 * x as f32 + 0.02 * y as f32);
        for cfa in Cfa::ALL {
            let pixels = mosaic(cfa, (12, 10), ramp);
            for (at, pixel) in pixels.iter().enumerate() {
                let (x, y) = (at % 12, at / 12);
                if (2..10).contains(&x) && (2..8).contains(&y) {
                    for (got, want) in pixel.iter().zip(ramp(x, y)) {
                        assert!((got - want).abs() < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn the_smallest_frame_is_not_too_small() {
        assert_eq!(mosaic(Cfa::Bggr, (2, 2), |_, _| [0.5; 3]).len(), 4);
    }
}
