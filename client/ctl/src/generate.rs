//! Completions and manual pages, from the command line itself.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::words::print;

#[derive(Args)]
pub(crate) struct Completion {
    /// Which shell
    shell: Shell,
}

#[derive(Args)]
pub(crate) struct Man {
    /// Where they go
    dir: PathBuf,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// They cannot be written.
    #[error(
        "the manual pages were not written\n  why: {0}\n  try: name a directory that you may write to"
    )]
    Write(#[source] io::Error),
    /// They cannot be printed.
    #[error("the completions cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[source] io::Error),
}

pub(crate) fn completion(mut command: Command, options: &Completion) -> Result<(), Error> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut command, "coldshoectl", &mut text);
    print(String::from_utf8_lossy(&text).trim_end()).map_err(Error::Print)
}

pub(crate) fn man(command: Command, options: &Man) -> Result<(), Error> {
    std::fs::create_dir_all(&options.dir)
        .and_then(|()| {
            clap_mangen::generate_to(command.disable_help_subcommand(true), &options.dir)
        })
        .map_err(Error::Write)
}
