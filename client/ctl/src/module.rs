//! `coldshoectl module`: what can be said of a module without running any of it, and what is decided
//! about it.

mod claims;
mod decide;
mod image;
mod libraries;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::AnsiColor;
use clap::{Args, Subcommand};
use coldshoe_jail::{Arch, Outcome, Profile, ProfileError, RefusedSymbol};
use coldshoed::Unfit;
use comfy_table::Row as Line;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::claims::Claims;
use self::decide::{Options, Quarantine, Release};
use self::image::{Image, ImageError, Stack};
use self::libraries::Library;
use crate::file::{self, Unread};
use crate::words::{plain, print, width};

/// Of the JSON.
const SCHEMA: u32 = 1;
/// Largest module, in bytes, as the daemon has it.
const MAX_MODULE: u64 = 256 << 20;
/// What a module exports.
const ENTRY: &str = "coldshoe_ipa_module";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Shows what a module is, needs and may not do, without running any of it
    Inspect(Inspect),
    /// Trusts the bytes that a module has now
    Trust(Options),
    /// Forgets what is known of a module's bytes: it is new when it is loaded next
    Forget(Options),
    /// Has a module not loaded any more, and taken from the sessions that run it
    Quarantine(Quarantine),
    /// Lets a module that failed too often, or was put into quarantine, be used again
    Release(Release),
}

/// Ends with 1 if the module cannot be loaded here.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The module's file
    file: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing can be said of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// It is not there.
    #[error("there is no {}\n  why: {source}\n  try: name the module's file, as in ./acme.so", path.display())]
    NotFound { path: PathBuf, source: io::Error },
    /// It is not to be read.
    #[error("{} cannot be read\n  why: {why}\n  try: name a module's file that you may read", path.display())]
    Unreadable { path: PathBuf, why: String },
    /// It is something else.
    #[error("{} is no module\n  why: {why}\n  try: name a shared object, as in cc -shared -fPIC", path.display())]
    NoModule { path: PathBuf, why: ImageError },
    /// A profile that is built in is broken.
    #[error("the jail is not known\n  why: {0}\n  try: another build of coldshoectl")]
    Profile(#[from] ProfileError),
    /// The daemon has not done it.
    #[error(transparent)]
    Undecided(#[from] decide::Error),
    /// The words do not go out.
    #[error("the result cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 3,
            Self::Undecided(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// Carries out the verb.
pub(crate) fn run(verb: &Verb) -> Result<ExitCode, Error> {
    let done = match verb {
        Verb::Inspect(options) => return inspect(options),
        Verb::Trust(options) => decide::trust(options)?,
        Verb::Forget(options) => decide::forget(options)?,
        Verb::Quarantine(options) => decide::quarantine(options)?,
        Verb::Release(release) => {
            decide::release(release)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    print(&done)?;
    Ok(ExitCode::SUCCESS)
}

fn inspect(options: &Inspect) -> Result<ExitCode, Error> {
    let bytes = read(&options.file)?;
    let image = Image::parse(&bytes).map_err(|why| Error::NoModule {
        path: options.file.clone(),
        why,
    })?;
    let jails = Jails::builtin()?;
    let report = Report::new(&options.file, &bytes, &image, &jails);
    let text = if options.json {
        serde_json::to_string_pretty(&report).map_err(io::Error::from)?
    } else {
        report.in_words(width())
    };
    print(&text)?;
    Ok(if report.obstacles.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The two jails that a module may end up in.
struct Jails {
    single: Profile,
    threaded: Profile,
}

impl Jails {
    fn builtin() -> Result<Self, ProfileError> {
        Ok(Self {
            single: Profile::builtin("single")?,
            threaded: Profile::builtin("threaded")?,
        })
    }
}

/// A function that a module imports and cannot use while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Refused {
    symbol: &'static str,
    syscall: &'static str,
    outcome: Outcome,
    why: &'static str,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    file: PathBuf,
    size: usize,
    sha256: String,
    machine: String,
    soname: Option<String>,
    /// Name, version and so on, if they can be known without running the module.
    claims: Option<Claims>,
    /// The profile that it needs, as far as its imports and claims tell.
    profile: String,
    /// Why that one; nothing for the first.
    threads: Vec<String>,
    libraries: Vec<Library>,
    search_paths: Vec<String>,
    /// How many functions and data it takes from others; `None` if its tables do not tell.
    imports: Option<usize>,
    refused: Vec<Refused>,
    /// Why it cannot be loaded here, and what mends that.
    obstacles: Vec<Obstacle>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Obstacle {
    why: String,
    remedy: Cow<'static, str>,
}

impl Report {
    fn new(path: &Path, bytes: &[u8], image: &Image<'_>, jails: &Jails) -> Self {
        let machine = image.machine();
        let arch = Arch::ALL.into_iter().find(|arch| arch.name() == machine);
        let imports = image.imports();
        let taken = imports.clone().unwrap_or_default();
        let refused = |profile: &Profile| arch.map(|arch| refused(profile, arch, &taken));
        let single = refused(&jails.single).unwrap_or_default();
        let threaded = refused(&jails.threaded).unwrap_or_default();
        let claims = Claims::find(image);
        let mut threads: Vec<String> = single
            .iter()
            .filter(|one| !threaded.iter().any(|other| other.symbol == one.symbol))
            .map(|one| format!("it imports {}", one.symbol))
            .collect();
        if claims.as_ref().is_some_and(|claims| claims.threads) {
            threads.push("it says so itself".to_owned());
        }
        let (profile, refused) = if threads.is_empty() {
            (&jails.single, single)
        } else {
            (&jails.threaded, threaded)
        };
        let here = machine == std::env::consts::ARCH;
        let dirs = libraries::dirs(profile.readable());
        let mut report = Self {
            schema: SCHEMA,
            file: path.to_owned(),
            size: bytes.len(),
            sha256: hex(&Sha256::digest(bytes)),
            machine,
            soname: image.soname(),
            claims,
            profile: profile.name().to_owned(),
            threads,
            libraries: libraries::find(image.needed(), if here { &dirs } else { &[] }),
            search_paths: image.search_paths(),
            imports: imports.map(|imports| imports.len()),
            refused,
            obstacles: Vec::new(),
        };
        report.obstacles = report.obstacles(image, here);
        report.add_what_the_daemon_finds(bytes);
        report
    }

    fn obstacles(&self, image: &Image<'_>, here: bool) -> Vec<Obstacle> {
        let mut found = Vec::new();
        let mut add = |why: String, remedy: &'static str| {
            let remedy = remedy.into();
            found.push(Obstacle { why, remedy });
        };
        if image.is_program() {
            add("it is a program".to_owned(), "link it with -shared");
        }
        if !here {
            let (it, here) = (&self.machine, std::env::consts::ARCH);
            let why = format!("it is built for {it}, this machine is {here}");
            add(why, "take a build for this machine");
        }
        match image.exports(ENTRY) {
            Some(true) => {}
            Some(false) => add(
                format!("it does not export {ENTRY}"),
                "define it with COLDSHOE_IPA_EXPORT, or export_ipa! in Rust",
            ),
            None => add(
                "it has no hash table of its symbols".to_owned(),
                "link it with --hash-style=gnu",
            ),
        }
        match image.stack() {
            Stack::Plain => {}
            Stack::Executable => add(
                "it asks for an executable stack".to_owned(),
                "link it with -z noexecstack",
            ),
            Stack::Unsaid => add(
                "it does not say that it needs no executable stack".to_owned(),
                "link it with -z noexecstack",
            ),
        }
        if image.text_relocations() {
            let why = "it has text relocations: the loader would have to write to its code";
            add(why.to_owned(), "compile all of it with -fPIC");
        }
        if image.writable_code() {
            let why = "it has a segment that is writable and executable at once";
            add(why.to_owned(), "link it without -N");
        }
        for library in self.libraries.iter().filter(|l| here && l.path.is_none()) {
            add(
                format!("{} is in no library directory of the jail", library.name),
                "install that library with the system's, or link it statically",
            );
        }
        found
    }

    /// The daemon looks, too, before it starts a worker, and by the same code. It stops at its first
    /// reason: one that stands there already in other words is not told twice.
    fn add_what_the_daemon_finds(&mut self, bytes: &[u8]) {
        let Err(unfit) = coldshoed::check_module(Cursor::new(bytes)) else {
            return;
        };
        if self.obstacles.is_empty() || matches!(unfit, Unfit::Damaged(_)) {
            self.obstacles.push(Obstacle {
                why: unfit.to_string(),
                remedy: unfit.remedy().into(),
            });
        }
    }

    fn in_words(&self, width: u16) -> String {
        let bold = AnsiColor::Cyan.on_default().bold();
        let mut text = format!("{bold}{}{bold:#}\n", clean(&self.file.to_string_lossy()));
        let mut table = plain(width);
        for (name, value) in self.facts() {
            table.add_row(Line::from([name, &value]));
        }
        text.push_str(&table.trim_fmt());
        if !self.refused.is_empty() {
            let _ = write!(
                text,
                "\n\n{bold}Imports that are refused while it runs{bold:#}\nAn import is no proof of \
                 use: libraries bring code that never runs.\n"
            );
            let mut table = plain(width);
            for one in &self.refused {
                let outcome = format!("{}: {}", one.syscall, one.outcome.words());
                table.add_row(Line::from([one.symbol, &outcome, one.why]));
            }
            text.push_str(&table.trim_fmt());
        }
        let _ = write!(text, "\n\n{}", self.verdict());
        text
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let mut add = |name, value: String| facts.push((name, value));
        match &self.claims {
            Some(claims) => {
                let Claims {
                    name,
                    version,
                    license,
                    ..
                } = claims;
                add(
                    "Module",
                    format!("{name} {version}, {license} (as its table says)"),
                );
                add(
                    "Interface",
                    format!("{ENTRY}, version {}", claims.abi_version),
                );
                let formats = claims.formats.iter().map(|(a, b)| format!("{a} → {b}"));
                add("Formats", formats.collect::<Vec<_>>().join("\n"));
            }
            None => add(
                "Module",
                "name, version, licence and interface version are unknown until it is loaded: it \
                 makes its table when it runs"
                    .to_owned(),
            ),
        }
        add("SHA-256", self.sha256.clone());
        add("Machine", format!("{}, {} bytes", self.machine, self.size));
        add(
            "Profile",
            match self.threads.as_slice() {
                [] => self.profile.clone(),
                why => format!("{}: {}", self.profile, why.join(", ")),
            },
        );
        let libraries = self.libraries.iter().map(|library| match &library.path {
            Some(path) => format!("{} ({})", library.name, path.display()),
            None => library.name.clone(),
        });
        let libraries: Vec<String> = libraries.collect();
        add(
            "Libraries",
            match libraries.is_empty() {
                true => "none".to_owned(),
                false => libraries.join("\n"),
            },
        );
        if !self.search_paths.is_empty() {
            let paths = self.search_paths.join(", ");
            let words = "in the jail only the system's library directories exist";
            add("Search path", format!("{paths}: {words}"));
        }
        let imports = self
            .imports
            .map_or("unknown".to_owned(), |count| count.to_string());
        add(
            "Imports",
            format!("{imports}, of which {} are refused", self.refused.len()),
        );
        facts
    }

    fn verdict(&self) -> String {
        if self.obstacles.is_empty() {
            let green = AnsiColor::Green.on_default().bold();
            let profile = &self.profile;
            return format!(
                "{green}Nothing keeps it from being loaded under {profile:?}.{green:#}"
            );
        }
        let red = AnsiColor::Red.on_default().bold();
        let obstacles = self.obstacles.iter();
        let lines = obstacles.map(|one| format!("  {}; {}", one.why, one.remedy));
        let lines = lines.collect::<Vec<_>>().join("\n");
        format!("{red}It cannot be loaded here:{red:#}\n{lines}")
    }
}

fn refused(profile: &Profile, arch: Arch, taken: &BTreeSet<&[u8]>) -> Vec<Refused> {
    let all = profile.refused_symbols(arch).into_iter();
    let imported = all.filter(|one| taken.contains(one.symbol.as_bytes()));
    let ours = |one: RefusedSymbol| Refused {
        symbol: one.symbol,
        syscall: one.syscall,
        outcome: one.outcome,
        why: one.why,
    };
    imported.map(ours).collect()
}

/// A regular file of bounded size, never waiting for anything.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    file::read(path, MAX_MODULE).map_err(|unread| match unread {
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
