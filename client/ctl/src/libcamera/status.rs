//! `coldshoectl libcamera status`: what libcamera would do, and what is in the way.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::AnsiColor;
use coldshoe::{Overview, default_socket};
use coldshoed::Config;
use coldshoed::settings::Sources;
use comfy_table::Row as Line;
use serde::Serialize;

use super::file::MAX_FILE;
use super::library::{self, Library, names};
use super::text::{self, Said};
use super::units::{Dirs, Manager, Restricted};
use super::{Error, FORCE, PATHS, PROXY, Place, Status, Version, interfaces, own, under};
use crate::file::{self, Unread};
use crate::installation;
use crate::words::{clean, plain, print, width};

/// Of the JSON.
const SCHEMA: u32 = 1;
/// What is in the way ends it with this.
const DEGRADED: u8 = 6;
/// Most bytes of what others wrote in a line.
const MAX_WORDS: usize = 512;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Absent,
    /// Nothing of isolation.
    Silent,
    /// By our lines.
    Enabled,
    /// By somebody else's.
    ByHand,
    /// It is not understood here, or not to be read.
    Unclear,
}

#[derive(Debug, Serialize)]
struct File {
    path: PathBuf,
    state: State,
    /// Why it is not understood.
    why: Option<String>,
    /// Whether it is the one that libcamera reads.
    counts: bool,
    #[serde(skip)]
    said: Said,
}

/// One of libcamera's interfaces.
#[derive(Debug, Serialize)]
struct Interface {
    name: String,
    /// libcamera's own worker, which runs in the jail.
    worker: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Daemon {
    socket: Option<PathBuf>,
    /// Why it does not answer.
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct Obstacle {
    why: String,
    remedy: String,
}

/// The environment of this program, which goes before files.
#[derive(Debug, Default, Serialize)]
struct Environment {
    force_isolation: Option<String>,
    proxy_path: Option<String>,
}

#[derive(Debug, Serialize)]
struct Seen {
    libraries: Vec<Library>,
    files: Vec<File>,
    environment: Environment,
    proxies: PathBuf,
    interfaces: Vec<Interface>,
    /// Algorithms in directories that the daemon takes them from.
    modules: Vec<PathBuf>,
    daemon: Daemon,
    /// Units under which libcamera can start no worker.
    restricted: Vec<Restricted>,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    /// Whether libcamera's algorithms run in the jail.
    well: bool,
    #[serde(flatten)]
    seen: Seen,
    obstacles: Vec<Obstacle>,
}

impl Status {
    pub(super) fn run(&self) -> Result<ExitCode, Error> {
        let seen = Seen::look(&self.place)?;
        let obstacles = seen.obstacles();
        let report = Report {
            schema: SCHEMA,
            well: obstacles.is_empty(),
            seen,
            obstacles,
        };
        let text = match self.json {
            true => serde_json::to_string_pretty(&report).map_err(io::Error::from)?,
            false => report.in_words(width()),
        };
        print(&text)?;
        Ok(match report.well {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(DEGRADED),
        })
    }
}

impl File {
    fn look(path: PathBuf) -> Self {
        // libcamera follows links, too.
        let said = match file::read(&path, MAX_FILE) {
            Err(Unread::NotFound(_)) => Ok(None),
            Err(Unread::Unreadable(why)) => Err(why),
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => text::said(&text).map(Some).map_err(|e| e.to_string()),
                Err(_) => Err("it is not UTF-8".to_owned()),
            },
        };
        let state = match &said {
            Ok(None) => State::Absent,
            Ok(Some(said)) if said.ours => State::Enabled,
            Ok(Some(said)) if said.forced || !said.paths.is_empty() => State::ByHand,
            Ok(Some(_)) => State::Silent,
            Err(_) => State::Unclear,
        };
        let why = said.as_ref().err().cloned();
        let said = said.ok().flatten().unwrap_or_default();
        Self {
            path,
            state,
            why,
            counts: false,
            said,
        }
    }

    fn words(&self) -> String {
        let state = match self.state {
            State::Absent => "not there",
            State::Silent => "not enabled",
            State::Enabled => "enabled",
            State::ByHand => "set by hand",
            State::Unclear => "unclear",
        };
        let counts = if self.counts { "; counts" } else { "" };
        let why = self.why.iter().map(|why| format!(": {why}"));
        format!("{state}{}{counts}", why.collect::<String>())
    }
}

/// A variable as libcamera sees it.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?;
    Some(value.to_string_lossy().into_owned())
}

impl Daemon {
    fn look() -> Self {
        let socket = default_socket();
        let answer = socket.as_ref().map_err(ToString::to_string);
        let answer = answer.and_then(|socket| Overview::connect(socket).map_err(|e| e.to_string()));
        Self {
            socket: socket.ok(),
            why: answer
                .err()
                .map(|why| why.lines().next().unwrap_or_default().to_owned()),
        }
    }
}

/// What the daemon takes algorithms and workers from.
fn daemon_dirs(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let program = installation::daemon().or_else(|_| std::env::current_exe());
    let Some(config) = program.ok().and_then(|program| {
        let sources = Sources::installed(Config::prefix_of(&program), Config::is_users_own());
        let config = Config::of(&program).ok()?;
        // Settings that are not well are what `coldshoectl config validate` is for.
        match sources.read() {
            Ok(settings) => config.clone().with(&settings).ok().or(Some(config)),
            Err(_) => Some(config),
        }
    }) else {
        return (Vec::new(), Vec::new());
    };
    let under = |dirs: Vec<PathBuf>| dirs.iter().map(|dir| under(root, dir)).collect();
    let modules = [config.libcamera_module_dirs, config.libcamera_modules].concat();
    (under(modules), under(config.libcamera_workers))
}

impl Seen {
    fn look(place: &Place) -> Result<Self, Error> {
        let root = place.root.as_path();
        let mut files: Vec<File> = place.files().into_iter().map(File::look).collect();
        if let Some(first) = files.iter_mut().find(|file| file.state != State::Absent) {
            first.counts = true;
        }
        let proxies = place.proxies()?;
        let (modules, workers) = daemon_dirs(root);
        let worker = |name: &str| {
            let programs = workers.iter().map(|dir| dir.join(format!("{name}{PROXY}")));
            programs.into_iter().find(|program| program.is_file())
        };
        let interfaces = interfaces(&proxies).into_iter();
        let interfaces = interfaces.map(|name| Interface {
            worker: worker(&name),
            name,
        });
        let modules = modules.iter().flat_map(|dir| {
            let names = names(dir).into_iter();
            let names = names.filter(|name| name.starts_with("ipa_") && name.ends_with(".so"));
            names.map(|name| dir.join(name))
        });
        let (config, data) = (
            own("XDG_CONFIG_HOME", ".config"),
            own("XDG_DATA_HOME", ".local/share"),
        );
        let user = Dirs::user(root, config.as_deref(), data.as_deref());
        let mut restricted = user.restricted();
        restricted.extend(Dirs::system(root).restricted());
        Ok(Self {
            libraries: library::find(root),
            files,
            environment: Environment {
                force_isolation: variable(FORCE),
                proxy_path: variable(PATHS),
            },
            interfaces: interfaces.collect(),
            modules: modules.collect(),
            proxies,
            daemon: Daemon::look(),
            restricted,
        })
    }

    /// What the file says that libcamera reads; nothing where all are too old to read one.
    fn said(&self) -> Said {
        let reads = |library: &Library| library.version.is_configured();
        let read = self.libraries.is_empty() || self.libraries.iter().any(reads);
        let counts = self.files.iter().find(|file| file.counts && read);
        counts.map(|file| file.said.clone()).unwrap_or_default()
    }

    fn obstacles(&self) -> Vec<Obstacle> {
        let mut found = Vec::new();
        let mut add = |why: String, remedy: &str| {
            let remedy = remedy.to_owned();
            found.push(Obstacle { why, remedy });
        };
        self.isolation(&mut add);
        if self.libraries.is_empty() {
            let why = "no libcamera.so was found in the system's library directories";
            add(why.to_owned(), "install libcamera");
        }
        let dir = self.proxies.display();
        if self.interfaces.is_empty() {
            let why = format!("{dir} has nothing that libcamera could start");
            add(
                why,
                "install coldshoe, or name the directory with --proxies",
            );
        } else if self.interfaces.iter().all(|one| one.worker.is_none()) {
            let why = "none of libcamera's own workers is in the daemon's libcamera_worker_dirs";
            let remedy = "install the package that has them: libcamera-ipa on Debian";
            add(why.to_owned(), remedy);
        }
        if let Some(why) = &self.daemon.why {
            add(
                why.clone(),
                "start coldshoed: systemctl --user enable --now coldshoed.socket",
            );
        }
        for unit in self.restricted.iter().filter(|unit| unit.camera) {
            let (name, file) = (&unit.unit, unit.file.display());
            let value = clean(&unit.value, MAX_WORDS);
            let why = format!(
                "libcamera can start no worker in {name}: RestrictNamespaces={value} in {file} makes its \
                 clone3 fail"
            );
            add(why, &unit.remedy);
        }
        found
    }

    /// Whether libcamera isolates, and starts what we have.
    fn isolation(&self, add: &mut impl FnMut(String, &str)) {
        let Environment {
            force_isolation,
            proxy_path,
        } = &self.environment;
        let said = self.said();
        for file in self.files.iter().filter(|file| file.counts) {
            if let Some(why) = &file.why {
                let why = format!("what {} says is unclear: {why}", file.path.display());
                add(why, "see whether it has the lines that the README names");
            }
        }
        let by_environment = force_isolation
            .as_ref()
            .is_some_and(|value| !value.is_empty());
        let set = format!(
            "set {FORCE}=1 and {PATHS}={} for them",
            self.proxies.display()
        );
        if !by_environment && !said.forced {
            let why =
                "libcamera does not isolate algorithms: they run in the programs that use cameras";
            let remedy = match self.libraries.iter().any(|one| one.version.is_configured()) {
                false if !self.libraries.is_empty() => &set,
                _ => "coldshoectl libcamera enable",
            };
            return add(why.to_owned(), remedy);
        }
        let paths = match proxy_path {
            Some(paths) => paths.split(':').map(str::to_owned).collect(),
            None => said.paths,
        };
        let first = paths.iter().find(|path| !path.is_empty());
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if first.is_none_or(|first| real(Path::new(first)) != real(&self.proxies)) {
            let by = proxy_path
                .as_ref()
                .map_or("the file that counts", |_| PATHS);
            let first = first.map_or("libcamera's own directory", String::as_str);
            let first = clean(first, MAX_WORDS);
            let ours = self.proxies.display();
            let why = format!("{by} has workers looked for in {first}, not in {ours}");
            let remedy = match proxy_path {
                Some(_) => format!("unset {PATHS}, or set it to {ours}"),
                None => {
                    "coldshoectl libcamera enable, or that directory first in the file".to_owned()
                }
            };
            add(why, &remedy);
        }
        let alone = by_environment && proxy_path.is_some();
        for old in self
            .libraries
            .iter()
            .filter(|one| !one.version.is_configured() && !alone)
        {
            let (path, least) = (old.path.display(), Version::CONFIGURED);
            let why = format!("{path} is older than {least} and reads no configuration file");
            add(why, &set);
        }
    }
}

impl Report {
    fn in_words(&self, width: u16) -> String {
        let bold = AnsiColor::Cyan.on_default().bold();
        let mut text = String::new();
        let mut table = plain(width);
        for (name, value) in self.facts() {
            table.add_row(Line::from([name, value]));
        }
        text.push_str(&table.trim_fmt());
        let others = self
            .seen
            .restricted
            .iter()
            .filter(|unit| !unit.camera)
            .count();
        if others > 0 {
            let _ = write!(
                text,
                "\n\nlibcamera could start no worker in {others} more services with RestrictNamespaces=, whose \
                 names do not tell of cameras; --json lists them."
            );
        }
        if self.well {
            let green = AnsiColor::Green.on_default().bold();
            let _ = write!(
                text,
                "\n\n{green}libcamera's algorithms run in coldshoe's jail.{green:#}"
            );
            return text;
        }
        let red = AnsiColor::Red.on_default().bold();
        let _ = write!(text, "\n\n{red}Not all is well:{red:#}");
        for Obstacle { why, remedy } in &self.obstacles {
            let (why, remedy) = (clean(why, 2 * MAX_WORDS), clean(remedy, 2 * MAX_WORDS));
            let _ = write!(text, "\n  {why}\n    {bold}try:{bold:#} {remedy}");
        }
        text
    }

    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = Vec::new();
        let mut add = |name: &str, value: String| {
            facts.push((name.to_owned(), clean(&value, MAX_WORDS)));
        };
        for library in &self.seen.libraries {
            let version = library.version;
            let reads = match version.is_configured() {
                true => "reads a configuration file",
                false => "reads no configuration file",
            };
            let (path, checks) = (library.path.display(), version.checks());
            add("libcamera", format!("{version}, {path}: {reads}; {checks}"));
        }
        for file in &self.seen.files {
            add("File", format!("{}: {}", file.path.display(), file.words()));
        }
        let Environment {
            force_isolation,
            proxy_path,
        } = &self.seen.environment;
        for (name, value) in [(FORCE, force_isolation), (PATHS, proxy_path)] {
            if let Some(value) = value {
                add("Environment", format!("{name}={value} goes before files"));
            }
        }
        let dir = self.seen.proxies.display();
        let all = self.seen.interfaces.iter();
        let (with, without): (Vec<_>, Vec<_>) = all.partition(|one| one.worker.is_some());
        add(
            "Proxies",
            format!("{dir}: {}", list(with.iter().map(|one| one.name.clone()))),
        );
        if !without.is_empty() {
            let names = list(without.iter().map(|one| one.name.clone()));
            add("Missing", format!("libcamera's own workers of {names}"));
        }
        let modules = self.seen.modules.iter();
        let modules = modules.map(|module| module.display().to_string());
        add("Algorithms", list(modules));
        let daemon = &self.seen.daemon;
        let socket = daemon
            .socket
            .as_ref()
            .map(|socket| socket.display().to_string());
        let answers = daemon.why.as_ref().map_or("answers", |_| "does not answer");
        let socket = socket.unwrap_or_else(|| "no socket".to_owned());
        add("coldshoed", format!("{socket}: {answers}"));
        for unit in self.seen.restricted.iter().filter(|unit| unit.camera) {
            let manager = match unit.manager {
                Manager::System => "system",
                Manager::User => "user",
            };
            let (name, value) = (&unit.unit, &unit.value);
            add(
                "Unit",
                format!("{name} ({manager}): RestrictNamespaces={value}"),
            );
        }
        facts
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
