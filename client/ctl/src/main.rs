//! `coldshoectl`: the coldshoe command line. One file a verb.
#![forbid(unsafe_code)]

mod bus;
mod check;
mod config;
mod contract;
mod daemon;
mod demo;
mod file;
mod generate;
mod hold;
mod info;
mod installation;
mod libcamera;
mod list;
mod module;
mod monitor;
mod objects;
mod policy;
mod set;
mod signals;
mod status;
mod told;
mod top;
mod tune;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// What a verb ends with.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 no daemon, 5 denied, \
    6 not all is well, 130 interrupted";

/// Runs camera algorithms in a jail, and shows how they do.
#[derive(Parser)]
#[command(name = "coldshoectl", version, after_help = EXIT_CODES)]
struct CommandLine {
    /// Whether words are coloured; by default they are on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Colour,
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
    /// Looks at modules, and decides which are trusted, put away, or used again
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
    List(list::List),
    /// Shows all that there is to tell of a session or a module
    Info(info::Options),
    /// Has libcamera run its algorithms in coldshoe's jail
    #[command(subcommand)]
    Libcamera(libcamera::Verb),
    /// Keeps exposure, white balance or focus of a session as they are while a program runs
    Hold(hold::Options),
    /// Sets controls of a session, from its next frame on
    Set(set::Options),
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

/// When words are coloured.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

impl From<Colour> for anstream::ColorChoice {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Auto => Self::Auto,
            Colour::Always => Self::Always,
            Colour::Never => Self::Never,
        }
    }
}

/// An error in three lines, and the code to end with.
struct Failure {
    text: String,
    code: u8,
}

fn main() -> ExitCode {
    let CommandLine { color, verb } = CommandLine::parse();
    anstream::ColorChoice::from(color).write_global();
    let done = match verb {
        Verb::Demo(options) => demo::run(&options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Config(verb) => config::run(&verb)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Check(options) => check::run(&options).map_err(|e| failure(&e, e.exit_code())),
        Verb::Module(verb) => module::run(&verb).map_err(|e| failure(&e, e.exit_code())),
        Verb::List(list) => list::run(&list)
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
        Verb::Info(options) => info::run(&options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| failure(&e, e.exit_code())),
        Verb::Hold(options) => hold::run(&options).map_err(|e| failure(&e, e.exit_code())),
        Verb::Libcamera(verb) => libcamera::run(&verb).map_err(|e| failure(&e, e.exit_code())),
        Verb::Set(options) => set::run(&options)
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
