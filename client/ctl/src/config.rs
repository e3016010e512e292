//! `coldshoectl config`: what is set, by whom, and whether it is well.

use std::io;
use std::path::PathBuf;

use anstyle::AnsiColor;
use clap::{Args, Subcommand};
use coldshoed::settings::{Key, Settings, SettingsError, Sources, When};
use coldshoed::{Config, ContractsError, ProfileFileError};
use serde::Serialize;

use crate::installation::{self, InstallationError};
use crate::words::{plain, print, width};

/// Of the JSON.
const SCHEMA: u32 = 1;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Says whether coldshoed would take its settings
    Validate(Validate),
    /// Shows every key with the value that counts, and where that comes from
    Show(Show),
    /// Says what keys mean, and when a change of them counts
    Explain(Explain),
}

#[derive(Args)]
pub(crate) struct Validate {
    /// This file alone [default: all that coldshoed reads]
    file: Option<PathBuf>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    daemon: Daemon,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Explain {
    /// This key alone
    key: Option<String>,
}

/// Whose settings.
#[derive(Args)]
struct Daemon {
    /// Those of the system's daemon [default: in a login session, those of your own]
    #[arg(long)]
    system: bool,
    /// Those of your own daemon
    #[arg(long, conflicts_with = "system")]
    user: bool,
    /// Those of a daemon with the same --config-dir
    #[arg(long = "config-dir", value_name = "DIR", conflicts_with_all = ["system", "user"])]
    config_dirs: Vec<PathBuf>,
}

/// Why nothing is shown, or why the settings are not well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// What a daemon of this release needs is not there.
    #[error("the settings cannot be looked at\n  why: {0}\n  try: install programs of one release")]
    BuiltIn(io::Error),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
    #[error(transparent)]
    Contracts(#[from] ContractsError),
    #[error(
        "there is no key {0:?}\n  why: coldshoed.toml has others\n  try: `coldshoectl config explain` lists every key"
    )]
    NoKey(String),
    #[error("the settings cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoKey(_) => 3,
            _ => 1,
        }
    }
}

/// Carries out the verb.
pub(crate) fn run(verb: &Verb) -> Result<(), Error> {
    match verb {
        Verb::Validate(options) => options.run(),
        Verb::Show(options) => options.run(),
        Verb::Explain(options) => options.run(),
    }
}

impl Daemon {
    /// What a daemon has before it is told anything, and where it is told.
    fn settings(&self) -> Result<(Config, Sources), Error> {
        let program = installation::daemon()?;
        let config = Config::of(&program).map_err(Error::BuiltIn)?;
        let sources = match self.config_dirs.as_slice() {
            [] => {
                let user = self.user || (!self.system && Config::is_users_own());
                Sources::installed(Config::prefix_of(&program), user)
            }
            dirs => Sources::of(dirs.to_vec()),
        };
        Ok((config, sources))
    }
}

impl Validate {
    fn run(&self) -> Result<(), Error> {
        let (config, sources) = self.daemon.settings()?;
        let settings = match &self.file {
            Some(file) => Settings::of_file(file)?,
            None => sources.read()?,
        };
        let set = settings.entries().into_iter();
        let set = set.filter(|entry| entry.value.is_some()).count();
        config.with(&settings)?.check_contracts()?;
        let keys = if set == 1 { "key is" } else { "keys are" };
        Ok(print(&match &self.file {
            Some(file) => format!("{} is well: {set} {keys} set", file.display()),
            None => format!("the settings are well: {set} {keys} set"),
        })?)
    }
}

#[derive(Serialize)]
struct Row {
    key: &'static str,
    /// As in a file.
    value: Option<String>,
    from: String,
}

impl Show {
    fn run(&self) -> Result<(), Error> {
        let (config, sources) = self.daemon.settings()?;
        let settings = config.settings().overridden_by(sources.read()?);
        let rows: Vec<Row> = settings
            .entries()
            .into_iter()
            .map(|entry| Row {
                key: entry.key.name,
                value: entry.value,
                from: entry.origin.to_string(),
            })
            .collect();
        if self.json {
            let json = serde_json::json!({
                "schema": SCHEMA,
                "sources": sources.dirs(),
                "settings": rows,
            });
            return Ok(print(&json.to_string())?);
        }
        let mut table = plain(width());
        table.set_header(["KEY", "VALUE", "FROM"]);
        for row in &rows {
            table.add_row([
                row.key,
                row.value.as_deref().unwrap_or("-"),
                row.from.as_str(),
            ]);
        }
        let dirs: Vec<String> = sources
            .dirs()
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        let dirs = dirs.join(", ");
        Ok(print(&format!(
            "{}\n\nRead, each overriding those before: {dirs}\nOptions of coldshoed override all.",
            table.trim_fmt()
        ))?)
    }
}

impl Explain {
    fn run(&self) -> Result<(), Error> {
        let known = Settings::KEYS.iter();
        let keys: Vec<&Key> = match &self.key {
            None => known.collect(),
            Some(name) => {
                // As on the command line, too.
                let wanted = |key: &&Key| {
                    key.name == name.as_str()
                        || key.option.trim_start_matches('-') == name.trim_start_matches('-')
                };
                let found: Vec<&Key> = known.filter(wanted).collect();
                if found.is_empty() {
                    return Err(Error::NoKey(name.clone()));
                }
                found
            }
        };
        let bold = AnsiColor::Green.on_default().bold();
        let texts: Vec<String> = keys
            .into_iter()
            .map(|key| {
                let when = match key.when {
                    When::Reload => "counts after a reload, for sessions that are opened then",
                    When::Restart => "counts after a restart",
                };
                let meaning: Vec<&str> = key.meaning.iter().map(|line| line.trim()).collect();
                format!(
                    "{bold}{}{bold:#}\n    {}\n    option {}; {when}",
                    key.name,
                    meaning.join("\n    "),
                    key.option
                )
            })
            .collect();
        Ok(print(&texts.join("\n\n"))?)
    }
}
