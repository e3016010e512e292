//! `coldshoectl`: the coldshoe command line. One file a verb.
#![forbid(unsafe_code)]

mod check;
mod config;
mod contract;
mod daemon;
mod demo;
mod file;
mod generate;
mod installation;
mod list;
mod module;
mod monitor;
mod policy;
mod signals;
mod status;
mod told;
mod top;
mod tune;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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
    /// Shows what is set, by which file, and whether files with settings are well
    #[command(subcommand)]
    Config(config::Verb),
    /// Shows what this machine can enforce, and what stands in for what it cannot
    Check(check::Options),
    /// Looks at modules, and lets those that were quarantined be used again
    #[command(subcommand)]
    Module(module::Verb),
    /// Shows on one screen how the daemon and its sessions do, and what to do about it; ends with 6
    /// if something is not well
    Status(status::Options),
    /// Shows live how sessions do, until q is pressed
    Top(top::Options),
    /// Prints what happens to sessions as it happens
    Monitor(monitor::Options),
    /// Shows what a running daemon has
    #[command(subcommand)]
    List(list::Verb),
    /// Shows the jails
    #[command(subcommand)]
    Policy(policy::Verb),
    /// Shows what parameters may say, and holds buffers against it
    #[command(subcommand)]
    Contract(contract::Verb),
    /// Measures a camera and writes what was found into a tuning file of the open module
    #[command(subcommand)]
    Tune(tune::Verb),
    /// Prints the completions of a shell
    Completion(generate::Completion),
    /// Writes the manual pages into a directory
    #[command(hide = true)]
    Man(generate::Man),
}

/// An error in three lines, and the code to end with.
struct Failure {
    text: String,
    code: u8,
}

fn main() -> ExitCode {
    let CommandLine { verb } = CommandLine::parse();
    let done = match verb {
        Verb::Demo(options) => demo::run(&options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Config(verb) => config::run(&verb)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Check(options) => check::run(&options).map_err(|e| failure(&e, e.exit_code())),
        Verb::Module(verb) => module::run(&verb).map_err(|e| failure(&e, e.exit_code())),
        Verb::List(verb) => list::run(&verb)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Policy(verb) => policy::run(&verb)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Status(options) => status::run(&options).map_err(|e| failure(&e, e.exit_code())),
        Verb::Top(options) => top::run(&options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Monitor(options) => monitor::run(&options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Tune(verb) => tune::run(&verb).map_err(|e| failure(&e, e.exit_code())),
        Verb::Completion(options) => generate::completion(CommandLine::command(), &options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, 1)),
        Verb::Man(options) => generate::man(CommandLine::command(), &options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, 1)),
        Verb::Contract(verb) => contract::run(&verb).map_err(|e| failure(&e, e.exit_code())),
    };
    done.unwrap_or_else(|Failure { text, code }| {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        anstream::eprintln!("{red}error:{red:#} {text}");
        ExitCode::from(code)
    })
}

fn failure(error: &impl std::error::Error, code: u8) -> Failure {
    let text = error.to_string();
    Failure { text, code }
}
