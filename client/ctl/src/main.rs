//! `coldshoectl`: the coldshoe command line. One file a verb.
#![forbid(unsafe_code)]

mod demo;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs camera algorithms in a jail, and shows how they do.
#[derive(Parser)]
#[command(name = "coldshoectl", version)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Films a scene through a jailed module and writes pictures and a report; needs no camera and
    /// no running daemon
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let CommandLine { verb } = CommandLine::parse();
    let done = match verb {
        Verb::Demo(options) => demo::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}error:{red:#} {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
