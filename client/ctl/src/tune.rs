//! `coldshoectl tune`: the open module's tuning from frames of one's own camera.

mod black_level;
mod chart;
mod colour;
mod fit;
mod input;
mod noise;
mod shading;
mod table;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use coldshoe_camera::SceneError;
use serde::Serialize;

use self::input::Unusable;
use self::table::Unwritten;
use crate::words::print;

/// Of the JSON.
const SCHEMA: u32 = 1;

/// Measures a camera for the open module: one table of a tuning file a verb.
///
/// Frames are raw files of 16-bit words with a sidecar in TOML, which tells size, bits, cfa, black and
/// white; either may be named. Without frames it is the camera without hardware that is measured.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Measures what pixels read without light, from dark frames
    BlackLevel(BlackLevel),
    /// Measures noise, from two or more frames of one still scene
    Noise(Noise),
    /// Measures lens shading, from frames of an evenly lit surface
    Shading(Shading),
    /// Measures the CT curve and colour matrices, from frames of a ColorChecker
    Colour(Colour),
}

#[derive(Args)]
pub(crate) struct Output {
    /// The tuning file to change: what was measured replaces what it says, the rest stays; it is made
    /// if it is not there [default: prints a tuning file]
    #[arg(long, value_name = "TUNING")]
    into: Option<PathBuf>,
    /// Prints JSON: what was measured, and of what
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct BlackLevel {
    /// Frames taken in the dark
    frames: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Noise {
    /// Frames of one still scene, all exposed alike
    frames: Vec<PathBuf>,
    /// Analogue times digital gain that they were taken with
    #[arg(long, default_value = "1", value_parser = gain)]
    gain: f64,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Shading {
    /// Frames of an evenly lit white or grey surface
    frames: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Colour {
    /// Frames of a ColorChecker, each of a light whose temperature its sidecar tells as `kelvin`; or
    /// a folder of radiance mosaics, which is relit
    frames: Vec<PathBuf>,
    /// Middles of the patches in the corners, in pixels: dark skin, bluish green, black, white
    #[arg(long, num_args = 4, value_name = "X,Y", value_parser = point)]
    corners: Option<Vec<[f64; 2]>>,
    /// Temperatures for the CT curve, K, where the scene can be relit
    #[arg(long, value_delimiter = ',', value_name = "K", value_parser = kelvin, default_values_t = colour::CURVE)]
    curve: Vec<f64>,
    /// Temperatures for the matrices, K, where the scene can be relit
    #[arg(long, value_delimiter = ',', value_name = "K", value_parser = kelvin, default_values_t = colour::MATRICES)]
    matrices: Vec<f64>,
    /// A tuning file with the lens shading to take out [default: that of --into]
    #[arg(long, value_name = "TUNING")]
    shading: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

fn number(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(format!("it is not from {low} to {high}"))
    }
}

fn gain(text: &str) -> Result<f64, String> {
    number(text, 0.01, 1000.0)
}

fn kelvin(text: &str) -> Result<f64, String> {
    number(text, 1500.0, 25_000.0)
}

fn point(text: &str) -> Result<[f64; 2], String> {
    let (x, y) = text.split_once(',').ok_or("write it as 120,80")?;
    Ok([number(x, 0.0, 10_000.0)?, number(y, 0.0, 10_000.0)?])
}

/// Why nothing was measured, or nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A frame cannot be read.
    #[error("a frame cannot be used\n  why: {0}\n  try: {remedy}", remedy = .0.remedy())]
    Frame(#[from] SceneError),
    /// Frames that do not show what they should.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// A tuning file.
    #[error(transparent)]
    Tuning(#[from] Unwritten),
    /// The words do not go out.
    #[error("the result cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Frame(SceneError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                3
            }
            _ => 1,
        }
    }
}

/// Something measured.
trait Measured: Serialize {
    /// The tables of a tuning file.
    fn tables(&self) -> String;
}

/// Carries out the verb.
pub(crate) fn run(verb: &Verb) -> Result<ExitCode, Error> {
    match verb {
        Verb::BlackLevel(options) => {
            finish(&black_level::measure(&options.frames)?, &options.output)
        }
        Verb::Noise(options) => finish(
            &noise::measure(&options.frames, options.gain)?,
            &options.output,
        ),
        Verb::Shading(options) => finish(&shading::measure(&options.frames)?, &options.output),
        Verb::Colour(options) => finish(&colour::measure(options)?, &options.output),
    }
}

/// The outermost table of the JSON.
#[derive(Serialize)]
struct Printed<'a, M> {
    schema: u32,
    #[serde(flatten)]
    measured: &'a M,
}

fn finish<M: Measured>(measured: &M, output: &Output) -> Result<ExitCode, Error> {
    let tables = measured.tables();
    if let Some(path) = &output.into {
        table::merge(path, &tables)?;
    }
    if output.json {
        let printed = Printed {
            schema: SCHEMA,
            measured,
        };
        print(&serde_json::to_string_pretty(&printed).map_err(io::Error::from)?)?;
    } else if output.into.is_none() {
        print(format!("{}\n{tables}", table::HEAD).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
