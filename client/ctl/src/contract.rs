//! `coldshoectl contract`: what a format's buffers may say, whether one does, and what was used.

mod audit;
mod check;
mod show;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use coldshoe_contract::{Contract, ContractError, TraceError};

use crate::daemon::{self, Daemon};
use crate::file::{self, Unread};
use crate::words::{print, width};

/// Of the JSON.
const SCHEMA: u32 = 1;
/// Bytes of the largest file that is read: an hour of full rkisp1 buffers at 30 Hz fits.
const MAX_FILE: u64 = 512 << 20;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Shows a contract: every block of a format, and every field, with what it may say
    Show(Show),
    /// Judges a dumped parameter buffer, block by block
    Check(Check),
    /// Shows which blocks and fields a module used, and with which values
    Audit(Audit),
}

#[derive(Args)]
pub(crate) struct Show {
    /// Which format: its name, or a file with a contract
    #[arg(value_parser = known)]
    format: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Ends with 1 if anything is refused.
#[derive(Args)]
pub(crate) struct Check {
    /// Which format: its name, or a file with a contract
    #[arg(value_parser = known)]
    format: String,
    /// The buffer as it would go to the pipeline: its header, and the blocks
    file: PathBuf,
    /// The blocks that the hardware has, a bit each, as in 0x1f [default: all]
    #[arg(long, value_name = "MASK", value_parser = mask)]
    capabilities: Option<u64>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// A trace is one buffer after the other, each behind its length: four bytes, little-endian. Of a
/// session it is recorded now, while its frames flow, from memory that its worker can write to: what the
/// pipeline itself refused is in `list sessions`. Ends with 1 if anything in it is outside the
/// contract.
#[derive(Args)]
pub(crate) struct Audit {
    /// Which format: its name, or a file with a contract [default: the session's, or the one that accepts
    /// most of the trace]
    #[arg(long, value_parser = known)]
    format: Option<String>,
    /// The number of a session, or the file with the buffers
    #[arg(value_name = "SESSION|TRACE")]
    trace: PathBuf,
    /// Frames of a session that are recorded
    #[arg(long, value_name = "N", default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    #[command(flatten)]
    daemon: Daemon,
    /// The blocks that the hardware has, a bit each, as in 0x1f [default: the session's, or all]
    #[arg(long, value_name = "MASK", value_parser = mask)]
    capabilities: Option<u64>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

fn known(text: &str) -> Result<String, String> {
    let names = Contract::BUILTIN.map(|(name, _)| name);
    match names.contains(&text) || is_file(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "built in are: {}; or name a .toml file",
            names.join(", ")
        )),
    }
}

fn is_file(text: &str) -> bool {
    text.contains('/') || text.ends_with(".toml")
}

fn contract(name: &str) -> Result<Contract, Error> {
    if !is_file(name) {
        return Ok(Contract::builtin(name)?);
    }
    let text = String::from_utf8(read(Path::new(name))?).map_err(|_| Error::Unreadable {
        path: name.into(),
        why: "it is not text".to_owned(),
    })?;
    Ok(Contract::parse(name, &text)?)
}

fn mask(text: &str) -> Result<u64, String> {
    let mask = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    mask.map_err(|error| format!("{error}; state a mask as in 0x1f"))
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A contract cannot be used.
    #[error(
        "the contract is not known\n  why: {0}\n  try: the name of one that is built in, or the file of one that is whole"
    )]
    Contract(#[from] ContractError),
    /// The file is not there.
    #[error("there is no {}\n  why: {source}\n  try: name the file with the dump", path.display())]
    NotFound { path: PathBuf, source: io::Error },
    /// It is not to be read.
    #[error("{} cannot be read\n  why: {why}\n  try: name a file that you may read", path.display())]
    Unreadable { path: PathBuf, why: String },
    /// No trace.
    #[error(
        "{} is no trace\n  why: {why}\n  try: write each buffer behind its length, four bytes, little-endian",
        path.display()
    )]
    NoTrace { path: PathBuf, why: TraceError },
    /// No contract knows any of it.
    #[error(
        "nobody knows the format of {}\n  why: no contract accepts any block of it\n  try: --format, as in --format rkisp1",
        path.display()
    )]
    NoFormat { path: PathBuf },
    /// A trace of nothing.
    #[error("{} has no buffer\n  why: it is empty\n  try: record while frames flow", path.display())]
    Empty { path: PathBuf },
    /// The daemon does not tell.
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
    /// A session of which nothing came.
    #[error(
        "session {0} sent no parameters\n  why: no frame of it was answered with any\n  try: again while frames flow"
    )]
    Silent(u64),
    /// The words do not go out.
    #[error("the result cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 3,
            Self::Unreadable { .. }
            | Self::NoTrace { .. }
            | Self::NoFormat { .. }
            | Self::Empty { .. } => 2,
            Self::Daemon(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// Carries out the verb.
pub(crate) fn run(verb: &Verb) -> Result<ExitCode, Error> {
    let (text, good) = match verb {
        Verb::Show(options) => {
            let contract = contract(&options.format)?;
            (output(options.json, &show::Shown::new(&contract))?, true)
        }
        Verb::Check(options) => {
            let contract = contract(&options.format)?;
            let bytes = read(&options.file)?;
            let mask = options.capabilities.unwrap_or(u64::MAX);
            let checked = check::Checked::new(&contract, &bytes, mask);
            (output(options.json, &checked)?, checked.good())
        }
        Verb::Audit(options) => {
            let audit::Recorded {
                bytes,
                format,
                capabilities,
            } = audit::recorded(options)?;
            let buffers = audit::buffers(&options.trace, &bytes)?;
            let contract = match options.format.clone().or(format) {
                Some(format) => contract(&format)?,
                None => audit::likely(&options.trace, &buffers)?,
            };
            let mask = options.capabilities.unwrap_or(capabilities);
            let audited = audit::Audited::new(&contract, &buffers, mask);
            (output(options.json, &audited)?, audited.good())
        }
    };
    print(&text)?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What can be told in words, and as JSON.
trait Words: serde::Serialize {
    fn in_words(&self, width: u16) -> String;
}

fn output(json: bool, what: &impl Words) -> Result<String, Error> {
    Ok(if json {
        serde_json::to_string_pretty(what).map_err(io::Error::from)?
    } else {
        what.in_words(width())
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    file::read(path, MAX_FILE).map_err(|unread| match unread {
        Unread::NotFound(source) => Error::NotFound {
            path: path.to_owned(),
            source,
        },
        Unread::Unreadable(why) => Error::Unreadable {
            path: path.to_owned(),
            why,
        },
    })
}

#[cfg(test)]
mod tests;
