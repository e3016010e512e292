//! `coldshoectl libcamera`: has libcamera run its algorithms in coldshoe's jail.
//!
//! libcamera reads the first of its configuration files that is there, and no other: the user's,
//! `$XDG_CONFIG_HOME/libcamera/configuration.yaml`, then `/etc/libcamera/configuration.yaml`, then its
//! package's.

mod file;
mod library;
mod outline;
mod status;
mod text;
mod units;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::installation::{self, InstallationError};
use crate::words::print;
use file::Text;
use library::{Library, Version, names};
use outline::Unclear;
use text::Made;

const FILE: &str = "libcamera/configuration.yaml";
/// Of libcamera's package.
const PACKAGED: &str = "/usr/share/libcamera/configuration.yaml";
/// How libcamera's worker of an interface is called.
const PROXY: &str = "_ipa_proxy";
/// What such a name has to lead to.
const PROGRAM: &str = "coldshoe-libcamera";
const FORCE: &str = "LIBCAMERA_IPA_FORCE_ISOLATION";
const PATHS: &str = "LIBCAMERA_IPA_PROXY_PATH";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Has libcamera run its algorithms in coldshoe's jail, from a program's next start on
    Enable(Change),
    /// Takes out what enable has put into libcamera's configuration
    Disable(Change),
    /// Shows whether libcamera's algorithms run in coldshoe's jail for you, and what is in the way; ends
    /// with 6 if they do not
    Status(Status),
}

#[derive(Args)]
pub(crate) struct Change {
    /// For everybody, in /etc/libcamera/configuration.yaml [default if you are root]
    #[arg(long)]
    system: bool,
    /// For you alone, in $XDG_CONFIG_HOME/libcamera/configuration.yaml [default if you are not]
    #[arg(long, conflicts_with = "system")]
    user: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    place: Place,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Place {
    /// Directory with coldshoe-libcamera under the names of libcamera's workers [default:
    /// PREFIX/libexec/coldshoe/libcamera]
    #[arg(long, value_name = "DIR")]
    proxies: Option<PathBuf>,
    /// Where the system's directories are, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// Why nothing was changed or shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error(transparent)]
    Installation(#[from] InstallationError),
    #[error(
        "your configuration of libcamera is not known\n  why: neither XDG_CONFIG_HOME nor HOME is an absolute path\n  try: set HOME, or use --system"
    )]
    NoHome,
    #[error(
        "there is nothing in {} that libcamera could start\n  why: no name in it ends in {PROXY} and leads to {PROGRAM}\n  try: install coldshoe, or name the directory with --proxies", .0.display()
    )]
    NoProxies(PathBuf),
    #[error(
        "{} cannot stand in libcamera's configuration\n  why: it is not absolute, or has characters that text cannot hold\n  try: install coldshoe elsewhere", .0.display()
    )]
    Path(PathBuf),
    #[error(
        "libcamera {version} cannot be told by a file\n  why: {} is older than {}\n  try: set {FORCE}=1 and {PATHS}={} in the environment of programs that use cameras", path.display(), Version::CONFIGURED, proxies.display()
    )]
    Old {
        version: Version,
        path: PathBuf,
        proxies: PathBuf,
    },
    #[error(
        "{} stays as it is\n  why: {why}\n  try: write into it yourself, under `configuration:` and `ipa:`, the lines `force_isolation: true` and `proxy_paths: [{proxies}]`", path.display()
    )]
    Unclear {
        path: PathBuf,
        why: Unclear,
        proxies: String,
    },
    #[error(
        "{} stays as it is\n  why: {why}\n  try: take out what is not coldshoe's, or all lines from `# coldshoe: begin` to `# coldshoe: end`", path.display()
    )]
    Damaged { path: PathBuf, why: Unclear },
    #[error(
        "{} stays as it is\n  why: {why}\n  try: {}", path.display(), why.remedy()
    )]
    File { path: PathBuf, why: file::Error },
    #[error("the result cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::File { why, .. } if why.is_denied() => 5,
            Self::NoProxies(_) => 3,
            _ => 1,
        }
    }
}

/// Carries out the verb.
pub(crate) fn run(verb: &Verb) -> Result<ExitCode, Error> {
    let done = match verb {
        Verb::Enable(change) => change.enable()?,
        Verb::Disable(change) => change.disable()?,
        Verb::Status(options) => return options.run(),
    };
    print(&done)?;
    Ok(ExitCode::SUCCESS)
}

/// A path of the system's.
fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A directory of the user's own, by the variable that names it, or beneath his home.
fn own(variable: &str, below_home: &str) -> Option<PathBuf> {
    let dir = match std::env::var_os(variable) {
        // What is set and empty names none for libcamera.
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME")?).join(below_home),
    };
    dir.is_absolute().then_some(dir)
}

impl Place {
    /// Where libcamera is to look for workers.
    fn proxies(&self) -> Result<PathBuf, InstallationError> {
        self.proxies.clone().map_or_else(installation::proxies, Ok)
    }

    fn user_file(&self) -> Option<PathBuf> {
        Some(own("XDG_CONFIG_HOME", ".config")?.join(FILE))
    }

    fn system_file(&self) -> PathBuf {
        under(&self.root, Path::new("/etc")).join(FILE)
    }

    /// Files that libcamera looks for, the first that is there counts.
    fn files(&self) -> Vec<PathBuf> {
        let all = [self.system_file(), under(&self.root, Path::new(PACKAGED))];
        self.user_file().into_iter().chain(all).collect()
    }
}

/// Interfaces that libcamera would find coldshoe for.
fn interfaces(proxies: &Path) -> Vec<String> {
    let ours = |name: &String| {
        let path = proxies.join(name).canonicalize();
        let is_file = |path: &PathBuf| path.is_file() && path.file_name() == Some(PROGRAM.as_ref());
        let runs = |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        path.is_ok_and(|path| is_file(&path) && runs(&path))
    };
    let names = names(proxies).into_iter().filter(ours);
    names
        .filter_map(|name| Some(name.strip_suffix(PROXY)?.to_owned()))
        .collect()
}

impl Change {
    fn is_system(&self) -> bool {
        self.system || (!self.user && rustix::process::geteuid().is_root())
    }

    fn file(&self) -> Result<PathBuf, Error> {
        match self.is_system() {
            true => Ok(self.place.system_file()),
            false => self.place.user_file().ok_or(Error::NoHome),
        }
    }

    fn enable(&self) -> Result<String, Error> {
        let proxies = self.place.proxies()?;
        let path = self.file()?;
        if interfaces(&proxies).is_empty() {
            return Err(Error::NoProxies(proxies));
        }
        let quoted = proxies.to_str().filter(|_| proxies.is_absolute());
        let Some(quoted) = quoted.and_then(text::quoted) else {
            return Err(Error::Path(proxies));
        };
        let libraries = library::find(&self.place.root);
        refuse_old(&libraries, &proxies)?;
        let before = read(&path)?;
        let damaged = |why| Error::Damaged {
            path: path.clone(),
            why,
        };
        let parted = before
            .text()
            .map(text::parted)
            .transpose()
            .map_err(damaged)?;
        let (rest, made) = match parted.flatten() {
            Some(parted) => (parted.rest, parted.made),
            None => {
                let dirs = u8::try_from(before.missing_dirs()).unwrap_or(u8::MAX);
                let made = Made {
                    file: before.text().is_none(),
                    dirs,
                    ..Made::default()
                };
                (before.text().unwrap_or_default().to_owned(), made)
            }
        };
        let after = text::joined(&rest, &quoted, made).map_err(|why| Error::Unclear {
            path: path.clone(),
            why,
            proxies: quoted,
        })?;
        let shown = path.display();
        if before.text() == Some(&after) {
            return Ok(format!("{shown}: is enabled already"));
        }
        write(&path, || before.write(&after, self.is_system()))?;
        let done = format!("{shown}: enabled, for programs that are started from now on");
        let notes = self.notes(&path, before.text().is_none(), &libraries);
        Ok([done]
            .into_iter()
            .chain(notes)
            .collect::<Vec<_>>()
            .join("\n"))
    }

    /// What somebody may not expect of a file that counts from now on, or does not.
    fn notes(&self, path: &Path, new: bool, libraries: &[Library]) -> Vec<String> {
        let mut notes = Vec::new();
        let files = self.place.files();
        let at = files.iter().position(|file| file == path);
        let (before, after) = files.split_at(at.unwrap_or_default());
        let there = |files: &[PathBuf]| files.iter().find(|file| file.exists()).cloned();
        if let Some(first) = there(before) {
            notes.push(format!(
                "note: for you {} counts in its place: libcamera reads one file alone",
                first.display()
            ));
        }
        if let Some(hidden) = there(after.get(1..).unwrap_or_default()).filter(|_| new) {
            notes.push(format!(
                "note: libcamera reads one file alone: {} no longer counts where this one does",
                hidden.display()
            ));
        }
        if libraries.is_empty() {
            notes.push("note: libcamera itself was not found".to_owned());
        }
        notes.push("`coldshoectl libcamera status` shows what else is in the way".to_owned());
        notes
    }

    fn disable(&self) -> Result<String, Error> {
        let path = self.file()?;
        let shown = path.display();
        let before = read(&path)?;
        let parted = before.text().map(text::parted).transpose();
        let parted = parted.map_err(|why| Error::Damaged {
            path: path.clone(),
            why,
        })?;
        let Some(parted) = parted.flatten() else {
            return Ok(format!("{shown}: was not enabled by coldshoe"));
        };
        if parted.made.file {
            write(&path, || before.remove(parted.made.dirs.into()))?;
        } else {
            write(&path, || before.write(&parted.rest, self.is_system()))?;
        }
        Ok(format!(
            "{shown}: disabled, for programs that are started from now on"
        ))
    }
}

/// Where every libcamera is too old to read a file, writing one would only seem to help.
fn refuse_old(libraries: &[Library], proxies: &Path) -> Result<(), Error> {
    match libraries.iter().max_by_key(|library| library.version) {
        Some(newest) if !newest.version.is_configured() => Err(Error::Old {
            version: newest.version,
            path: newest.path.clone(),
            proxies: proxies.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Text, Error> {
    let failed = |why| Error::File {
        path: path.to_owned(),
        why,
    };
    Text::read(path).map_err(failed)
}

fn write(path: &Path, change: impl FnOnce() -> Result<(), file::Error>) -> Result<(), Error> {
    change().map_err(|why| Error::File {
        path: path.to_owned(),
        why,
    })
}
