//! Where settings are, and how they are read.
//!
//! | later overrides earlier | whose |
//! |---|---|
//! | `PREFIX/lib/coldshoe` | the distribution's |
//! | `/run/coldshoe` | until the machine is started again |
//! | `/etc/coldshoe` | the administrator's |
//! | `$XDG_CONFIG_HOME/coldshoe` | the user's, for a daemon of his own |
//!
//! In each of them `coldshoed.toml` comes first, then `coldshoed.toml.d/*.toml` by name. They decide
//! what is loaded, so they are held to the rules of modules: root's or the daemon's own user's, and
//! nobody else may write to them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags, Uid, openat};

use super::Settings;
use crate::place::{Place, PlaceError};
use crate::trust_file::with_line;

const FILE: &str = "coldshoed.toml";
const DROP_INS: &str = "coldshoed.toml.d";
/// Most bytes of a file.
const MAX_FILE: u64 = 64 << 10;
/// Most files of a directory.
const MAX_FILES: usize = 64;
/// Most names that are looked at in a directory.
const MAX_NAMES: usize = 1024;

/// Why settings cannot be had. Each message says what, why and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Where the file is, or whose, or of what kind.
    #[error("the settings {} cannot be used\n  why: {why}\n  try: {remedy}", path.display())]
    Place {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// What is in the file.
    #[error(
        "the settings {} are broken\n  why: {why}\n  try: mend it; `coldshoectl config explain` lists every key",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the line where there is one.
        why: String,
    },
}

/// Directories with settings; the last one counts most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<PathBuf>);

impl Sources {
    /// Of the daemon that is installed at `prefix`; a user's own one reads the user's, too.
    #[must_use]
    pub fn installed(prefix: &Path, user: bool) -> Self {
        let system = [
            prefix.join("lib/coldshoe"),
            "/run/coldshoe".into(),
            "/etc/coldshoe".into(),
        ];
        let own = user.then(|| user_dir(|name| std::env::var_os(name)));
        Self(system.into_iter().chain(own.flatten()).collect())
    }

    /// These, and no others.
    #[must_use]
    pub fn of(dirs: Vec<PathBuf>) -> Self {
        Self(dirs)
    }

    /// The directories, the last one counts most.
    #[must_use]
    pub fn dirs(&self) -> &[PathBuf] {
        &self.0
    }

    /// Reads and merges what is there; what is missing says nothing.
    ///
    /// # Errors
    /// [`SettingsError`] has the three lines of an error message.
    pub fn read(&self) -> Result<Settings, SettingsError> {
        let own = rustix::process::geteuid();
        let mut settings = Settings::default();
        for dir in &self.0 {
            let Some(place) = open(dir, own)? else {
                continue;
            };
            let path = place.path.join(FILE);
            match read(&place, FILE.as_ref(), own) {
                Ok(text) => settings = settings.overridden_by(parse(&path, text)?),
                Err(PlaceError::Missing(_)) => {}
                Err(error) => return Err(refused(&path, &error)),
            }
            let drop_ins = dir.join(DROP_INS);
            let Some(place) = open(&drop_ins, own)? else {
                continue;
            };
            for name in names(&place)? {
                let path = place.path.join(&name);
                let text = read(&place, &name, own).map_err(|error| refused(&path, &error))?;
                settings = settings.overridden_by(parse(&path, text)?);
            }
        }
        Ok(settings)
    }
}

impl Settings {
    /// What one file says.
    ///
    /// # Errors
    /// [`SettingsError`] has the three lines of an error message.
    pub fn of_file(path: &Path) -> Result<Self, SettingsError> {
        let own = rustix::process::geteuid();
        let refused = |error: PlaceError| refused(path, &error);
        let name = path.file_name();
        let name = name.ok_or_else(|| refused(PlaceError::Missing(path.to_owned())))?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let place = Place::open(dir, own).map_err(refused)?;
        let text = read(&place, name, own).map_err(refused)?;
        parse(path, text)
    }
}

/// `$XDG_CONFIG_HOME/coldshoe`, else `~/.config/coldshoe`. As the XDG specification has it, a relative
/// path counts as none.
fn user_dir(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
    Some(config?.join("coldshoe"))
}

/// `None`: it is not there. That is asked first: what nobody reads need not be safe.
fn open(dir: &Path, own: Uid) -> Result<Option<Place>, SettingsError> {
    let there = std::fs::symlink_metadata(dir);
    if there.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    match Place::open(dir, own) {
        Ok(place) => Ok(Some(place)),
        Err(PlaceError::Missing(_)) => Ok(None),
        Err(error) => Err(refused(dir, &error)),
    }
}

/// The files of a directory of drop-ins, by name.
fn names(place: &Place) -> Result<Vec<OsString>, SettingsError> {
    let failed = |step: &'static str| {
        move |error: rustix::io::Errno| {
            refused(
                &place.path,
                &PlaceError::Io {
                    step,
                    path: place.path.clone(),
                    source: error.into(),
                },
            )
        }
    };
    let too_many = |what: String| SettingsError::Place {
        path: place.path.clone(),
        why: format!("it has more than {what}"),
        remedy: "take away what is not needed".to_owned(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(place, ".", flags, Mode::empty()).map_err(failed("open"))?;
    let mut names = Vec::new();
    for (number, entry) in Dir::new(dir).map_err(failed("read"))?.enumerate() {
        let entry = entry.map_err(failed("read"))?;
        if number >= MAX_NAMES {
            return Err(too_many(format!("{MAX_NAMES} names")));
        }
        let name = entry.file_name().to_bytes();
        // Hidden files are those of editors and package managers.
        if name.starts_with(b".") || !name.ends_with(b".toml") {
            continue;
        }
        if names.len() == MAX_FILES {
            return Err(too_many(format!("{MAX_FILES} .toml files")));
        }
        let name: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(name);
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

fn read(place: &Place, name: &OsStr, own: Uid) -> Result<Vec<u8>, PlaceError> {
    place.read(name, own, MAX_FILE)
}

fn parse(path: &Path, bytes: Vec<u8>) -> Result<Settings, SettingsError> {
    let broken = |why: String| SettingsError::Broken {
        path: path.to_owned(),
        why,
    };
    if bytes.len() as u64 > MAX_FILE {
        return Err(broken(format!("it has more than {MAX_FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| broken("it is not UTF-8".to_owned()))?;
    Settings::parse(path, &text).map_err(|error| broken(with_line(&text, &error)))
}

fn refused(path: &Path, error: &PlaceError) -> SettingsError {
    SettingsError::Place {
        path: path.to_owned(),
        why: error.to_string(),
        remedy: error.remedy(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::settings::Origin;

    /// Directories with files, the first counts least.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new(files: &[(&str, &str)]) -> Self {
            let bench = Self(tempfile::tempdir().unwrap());
            for (name, text) in files {
                bench.write(name, text);
            }
            bench
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }

        fn read(&self) -> Result<Settings, SettingsError> {
            let dirs = ["lib", "run", "etc"].map(|dir| self.0.path().join(dir));
            Sources::of(dirs.to_vec()).read()
        }

        /// The error, which has its three lines.
        fn error(&self) -> String {
            let text = self.read().unwrap_err().to_string();
            let lines: Vec<_> = text.lines().collect();
            let [_, why, try_this] = lines.as_slice() else {
                panic!("not three lines: {text}");
            };
            assert!(why.starts_with("  why: ") && try_this.starts_with("  try: "));
            text
        }
    }

    #[test]
    fn later_files_override_earlier_ones_key_by_key() {
        let bench = Bench::new(&[
            (
                "lib/coldshoed.toml",
                "max_faults = 1\nmax_sessions = 1\nmax_clients = 1\nmax_pause_ms = 1\n",
            ),
            ("lib/coldshoed.toml.d/20.toml", "max_clients = 3\n"),
            (
                "lib/coldshoed.toml.d/10.toml",
                "# two\n\nmax_clients = 2\nmax_sessions = 2\n",
            ),
            ("lib/coldshoed.toml.d/.hidden.toml", "nonsense"),
            ("lib/coldshoed.toml.d/README", "nonsense"),
            (
                "etc/coldshoed.toml",
                "module_dirs = [\n  \"/a\",\n]\nmax_faults = 4\n",
            ),
        ]);
        let settings = bench.read().unwrap();
        let entries = settings.entries();
        let said = |name: &str| {
            let entry = entries.iter().find(|entry| entry.key.name == name).unwrap();
            let from = match &entry.origin {
                Origin::File(path, line) => {
                    let path = path.strip_prefix(bench.0.path().canonicalize().unwrap());
                    format!("{}:{line}", path.unwrap().display())
                }
                other => other.to_string(),
            };
            (entry.value.clone().unwrap_or_default(), from)
        };
        for (key, value, from) in [
            ("max_pause_ms", "1", "lib/coldshoed.toml:4"),
            ("max_sessions", "2", "lib/coldshoed.toml.d/10.toml:4"),
            ("max_clients", "3", "lib/coldshoed.toml.d/20.toml:1"),
            ("max_faults", "4", "etc/coldshoed.toml:4"),
            ("module_dirs", "[\"/a\"]", "etc/coldshoed.toml:1"),
            ("profile", "", "built in"),
        ] {
            assert_eq!(said(key), (value.to_owned(), from.to_owned()), "{key}");
        }
    }

    #[test]
    fn what_is_missing_says_nothing() {
        let settings = Bench::new(&[]).read().unwrap();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn what_is_not_understood_is_refused_with_file_and_line() {
        for (text, why) in [
            ("\ncolour = 3", "unknown field `colour`"),
            ("\nmax_faults = 0", "0 is not from 1 to 1000000"),
            ("\nmax_faults = -1", "-1 is not from"),
            ("\nmax_sessions = 99999", "99999 is not from 1 to 1024"),
            ("\nmax_faults = \"six\"", "string"),
            ("\nmodule_dirs = [\"a/b\"]", "\"a/b\" is no absolute path"),
            ("\nmodule_dirs = \"/a\"", "sequence"),
            (
                "\nprofile = \"own.toml\"",
                "neither a name nor an absolute path",
            ),
            ("\nreserve_cpus = \"x\"", "no processor number"),
            ("\nfallbacks = [\"=m\"]", "CAMERA=MODULE"),
            ("\nlog = \"a=b=c\"", "no filter"),
            ("\nfd_store = 1", "boolean"),
            ("\nlog = \"info\"\nlog = \"debug\"", "duplicate"),
            ("\n[[", "line 2"),
        ] {
            let bench = Bench::new(&[("etc/coldshoed.toml.d/x.toml", text)]);
            let error = bench.error();
            let line = if text.matches("log =").count() == 2 {
                3
            } else {
                2
            };
            for word in [why, "etc/coldshoed.toml.d/x.toml", &format!("line {line}")] {
                assert!(error.contains(word), "{word} is not in {error}");
            }
        }
    }

    #[test]
    fn files_are_bounded_in_size_and_number() {
        let bench = Bench::new(&[("etc/coldshoed.toml", &"#".repeat(MAX_FILE as usize))]);
        bench.read().unwrap();
        bench.write("etc/coldshoed.toml", &"#".repeat(MAX_FILE as usize + 1));
        assert!(bench.error().contains("more than 65536 bytes"));
        let bench = Bench::new(&[]);
        for number in 0..MAX_FILES {
            bench.write(&format!("run/coldshoed.toml.d/{number}.toml"), "");
        }
        bench.read().unwrap();
        bench.write("run/coldshoed.toml.d/more.toml", "");
        assert!(bench.error().contains("more than 64 .toml files"));
        fs::remove_file(bench.0.path().join("run/coldshoed.toml.d/more.toml")).unwrap();
        for number in 0..MAX_NAMES {
            bench.write(&format!("run/coldshoed.toml.d/{number}"), "");
        }
        assert!(bench.error().contains("more than 1024 names"));
    }

    #[test]
    fn what_others_could_have_written_is_refused() {
        let bench = Bench::new(&[
            ("etc/coldshoed.toml", ""),
            ("etc/coldshoed.toml.d/a.toml", ""),
        ]);
        bench.read().unwrap();
        for (path, mode) in [
            ("etc", 0o777),
            ("etc/coldshoed.toml", 0o666),
            ("etc/coldshoed.toml.d", 0o777),
            ("etc/coldshoed.toml.d/a.toml", 0o646),
        ] {
            let path = bench.0.path().join(path);
            let before = path.metadata().unwrap().permissions();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = bench.error();
            assert!(error.contains("can be written by everybody"), "{error}");
            set_permissions(&path, before).unwrap();
        }
        let link = bench.0.path().join("etc/coldshoed.toml.d/b.toml");
        std::os::unix::fs::symlink("a.toml", link).unwrap();
        assert!(bench.error().contains("symbolic link"));
    }

    #[test]
    fn a_users_daemon_reads_the_users_settings_last() {
        let env = |all: &'static [(&str, &str)]| {
            move |name: &str| Some(all.iter().find(|(key, _)| *key == name)?.1.into())
        };
        let dir = |all| user_dir(env(all)).map(|dir| dir.display().to_string());
        assert_eq!(
            dir(&[("XDG_CONFIG_HOME", "/xdg"), ("HOME", "/home/ada")]).as_deref(),
            Some("/xdg/coldshoe")
        );
        assert_eq!(
            dir(&[("XDG_CONFIG_HOME", "relative"), ("HOME", "/home/ada")]).as_deref(),
            Some("/home/ada/.config/coldshoe")
        );
        assert_eq!(dir(&[]), None);
        let system = Sources::installed("/usr/local".as_ref(), false);
        let dirs = ["/usr/local/lib/coldshoe", "/run/coldshoe", "/etc/coldshoe"];
        assert_eq!(system.dirs(), dirs.map(PathBuf::from));
    }
}
