//! Frames to measure.

use std::path::{Path, PathBuf};

use coldshoe_camera::scene::RawFile;
use coldshoe_camera::{Channel, Mosaic, RawFrame};

use super::Error;

/// Frames that are read at once: a minute of darkness is more than enough.
const MOST_FRAMES: usize = 64;

/// Frames that do not show what they should: three lines.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  why: {why}\n  try: {remedy}")]
pub(crate) struct Unusable {
    pub(super) what: String,
    pub(super) why: String,
    pub(super) remedy: String,
}

pub(super) fn unusable(
    what: impl Into<String>,
    why: impl Into<String>,
    remedy: impl Into<String>,
) -> Unusable {
    Unusable {
        what: what.into(),
        why: why.into(),
        remedy: remedy.into(),
    }
}

/// Reads frames, and makes sure that they are of one camera in one mode.
pub(super) fn frames(paths: &[PathBuf]) -> Result<Vec<RawFile>, Error> {
    if paths.len() > MOST_FRAMES {
        return Err(unusable(
            "these are too many frames",
            format!("{} are named, {MOST_FRAMES} at most are read", paths.len()),
            "name fewer of them",
        )
        .into());
    }
    let mut files: Vec<RawFile> = Vec::with_capacity(paths.len());
    for path in paths {
        let file = RawFile::read(path)?;
        if let Some(first) = files.first() {
            alike(&first.frame, &file.frame, path)?;
        }
        files.push(file);
    }
    Ok(files)
}

fn alike(first: &RawFrame, frame: &RawFrame, path: &Path) -> Result<(), Unusable> {
    let mode = |frame: &RawFrame| {
        let (size, levels) = (frame.size(), (frame.black(), frame.white()));
        let (width, height) = (size.width(), size.height());
        (width, height, frame.cfa(), frame.bits(), levels)
    };
    if mode(first) == mode(frame) {
        return Ok(());
    }
    Err(unusable(
        format!("{} does not go with the frames before it", path.display()),
        format!(
            "it is {:?}, they are {:?} (width, height, cfa, bits, levels)",
            mode(frame),
            mode(first)
        ),
        "name frames of one camera in one mode",
    ))
}

/// Every pixel with its channel: R, Gr, Gb, B are 0 to 3.
pub(super) fn pixels(frame: &RawFrame) -> impl Iterator<Item = (usize, usize, Channel, u16)> + '_ {
    let width = frame.size().width();
    frame.data().iter().enumerate().map(move |(at, &dn)| {
        let (x, y) = (at % width, at / width);
        (x, y, frame.cfa().channel(x, y), dn)
    })
}

/// A frame's light: full light is 1, black 0, and a clipped pixel is NaN.
pub(super) fn light(frame: &RawFrame) -> Mosaic {
    let (black, white) = (f32::from(frame.black()), f32::from(frame.white()));
    let width = frame.size().width();
    Mosaic::from_fn(frame.size(), frame.cfa(), |x, y, _| {
        let dn = frame.data()[y * width + x];
        if dn < frame.white() {
            (f32::from(dn) - black) / (white - black)
        } else {
            f32::NAN
        }
    })
}
