//! The contact strip: a column for each part of the film, time running down.

use coldshoe_camera::{DimensionsError, Rgb8};

use super::canvas::{Canvas, Face, shrink};
use super::film::{Film, SHOWN};
use super::shoot::{Record, Reel};

/// Width of a still, pixels.
const WIDTH: usize = 320;
const GAP: i32 = 12;
const CAPTION: i32 = 22;
const HEADING: i32 = 36;
const PAPER: [u8; 3] = [24, 24, 27];
const INK: [u8; 3] = [228, 228, 231];
const GREY: [u8; 3] = [161, 161, 170];

/// A frame as the strip shows it.
pub(super) fn still(picture: &Rgb8) -> Rgb8 {
    shrink(picture, WIDTH)
}

/// Puts the stills of a film together.
pub(super) fn strip(film: &Film, reel: &Reel) -> Result<Rgb8, DimensionsError> {
    let side = |side: fn(&Rgb8) -> usize| {
        let longest = reel.stills.iter().map(|still| side(&still.picture)).max();
        longest.unwrap_or(2) as i32
    };
    // Room for the captions where the pictures are smaller than those.
    let (width, height) = (side(Rgb8::width).max(WIDTH as i32), side(Rgb8::height));
    let (columns, rows) = (film.parts.len() as i32, SHOWN as i32);
    let row_height = height + CAPTION + GAP;
    let even = |side: i32| u64::from(side.cast_unsigned()) & !1;
    let mut canvas = Canvas::new(
        even(columns * (width + GAP) + GAP),
        even(HEADING + rows * row_height + GAP),
        PAPER,
    )?;
    for (column, part) in (0..).zip(&film.parts) {
        let x = GAP + column * (width + GAP);
        canvas.write(part.name, (x, 10), Face::Large, INK);
        let stills = reel
            .stills
            .iter()
            .filter(|still| part.frames().contains(&still.frame));
        for (row, still) in (0..).zip(stills) {
            let y = HEADING + row * row_height;
            canvas.paste(&still.picture, x, y);
            let caption = caption(still.frame, &reel.records[still.frame]);
            canvas.write(&caption, (x, y + height + 5), Face::Plain, GREY);
        }
    }
    Ok(canvas.into_picture())
}

fn caption(frame: usize, record: &Record) -> String {
    let gain = record.applied.analogue_gain * record.applied.digital_gain;
    let ms = record.applied.exposure_us / 1000.0;
    format!("frame {frame}   {ms:.2} ms x {gain:.2}")
}
