//! The trust file: `trust.toml` in the state directory.
//!
//! ```toml
//! version = 1
//!
//! [[module]]
//! path = "/home/ada/.local/lib/coldshoe/modules/acme.so"  # its real path, free of links
//! sha256 = "…"            # 64 digits 0-9 and a-f: what is trusted, or revoked
//! state = "changed"       # trusted, changed or revoked
//! origin = "installed"    # installed, or flag: its directory was given by --module-dir
//! found = "…"             # with changed alone: what was there instead
//! ```
//!
//! It is replaced as a whole, by a rename, and its bytes are on disk before that. A file that
//! cannot be understood in full is an error and stays as it is: half-understood, it would forget
//! what was revoked.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, Uid, flock, openat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::identity::Digest;
use crate::keep;
use crate::place::{Place, PlaceError};
use crate::trust::{MAX_RECORDS, Origin, Record, Trust};

/// Its name in the state directory.
pub(crate) const NAME: &str = "trust.toml";
const LOCK: &str = "trust.lock";
/// Most bytes.
const MAX_FILE: u64 = 1 << 20;
const VERSION: u32 = 1;
/// Looks for the lock, and the pause between two: another daemon holds it for some milliseconds.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);
const PREFACE: &str = "# Modules that coldshoed has seen. It reads this file for each module that it loads;\n\
    # an entry that is deleted makes its module new again. SPECIFICATION.md explains it.\n\n";

/// Why the trust file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TrustFileError {
    /// Its owner, its mode, its kind.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Not what it should be.
    #[error("the trust file {} is broken: {why}", path.display())]
    Broken { path: PathBuf, why: String },
    /// Of a later release.
    #[error("the trust file {} has version {version}, this coldshoed knows {VERSION}", path.display())]
    Version { path: PathBuf, version: u32 },
    /// Somebody else holds its lock.
    #[error(
        "the trust file {} cannot be changed now: {} has been held by another process for {} ms",
        path.display(), lock.display(), (PAUSE * TRIES).as_millis()
    )]
    Locked { path: PathBuf, lock: PathBuf },
    /// It cannot be replaced.
    #[error("cannot {step} the trust file {}: {source}", path.display())]
    Write {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// It would become too large to be read back.
    #[error("the trust file {} would have more than {MAX_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
}

impl TrustFileError {
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Place(error) => error.remedy(),
            Self::Broken { path, .. } => format!(
                "mend that line; or move {} away: every module is then new again, a revoked one too",
                path.display()
            ),
            Self::Version { .. } => "use the coldshoed that wrote it, or a later one".into(),
            Self::Locked { lock, .. } => format!(
                "end the process that `fuser {}` names, unless it is about to; then try again",
                lock.display()
            ),
            Self::Write { .. } => {
                "make room, and let the daemon write to its state directory".into()
            }
            Self::TooLarge(path) => {
                format!("delete entries that are not needed in {}", path.display())
            }
        }
    }
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    #[serde(default, rename = "module")]
    modules: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    sha256: String,
    state: Trust,
    origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

/// The file, by the directory that holds it.
#[derive(Debug)]
pub(crate) struct TrustFile {
    dir: Place,
    path: PathBuf,
    own: Uid,
}

/// Held while the file is being replaced.
pub(crate) struct Lock {
    _file: File,
}

impl TrustFile {
    /// The file in `dir`, which is made if need be. It may not be there yet.
    pub(crate) fn open(dir: &Path, own: Uid) -> Result<Self, PlaceError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| PlaceError::Io {
                step: "create",
                path: dir.to_owned(),
                source,
            })?;
        let dir = Place::open(dir, own)?;
        let path = dir.path.join(NAME);
        Ok(Self { dir, path, own })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All entries, in the order of their first sight. No file: none.
    pub(crate) fn read(&self) -> Result<Vec<Record>, TrustFileError> {
        let bytes = match self.dir.read(NAME.as_ref(), self.own, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(PlaceError::Missing(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        if bytes.len() as u64 > MAX_FILE {
            return Err(self.broken(format!("it has more than {MAX_FILE} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let lines = error.as_bytes()[..error.utf8_error().valid_up_to()].iter();
            let line = lines.filter(|c| **c == b'\n').count() + 1;
            self.broken(format!("line {line}: it is not UTF-8"))
        })?;
        self.parse(&text)
    }

    fn parse(&self, text: &str) -> Result<Vec<Record>, TrustFileError> {
        parse(&self.path, text)
    }

    fn broken(&self, why: String) -> TrustFileError {
        broken(&self.path, why)
    }

    /// Waits until no other daemon is replacing the file, but not for ever: whoever may open the
    /// lock may hold it as long as he likes.
    pub(crate) fn lock(&self) -> Result<Lock, TrustFileError> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK
            | OFlags::NOCTTY;
        let file = openat(&self.dir, LOCK, flags, Mode::from_raw_mode(0o600))
            .map_err(self.error("lock"))?;
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file.into() }),
                Err(Errno::AGAIN | Errno::INTR) => std::thread::sleep(PAUSE),
                Err(error) => return Err(self.error("lock")(error)),
            }
        }
        Err(TrustFileError::Locked {
            path: self.path.clone(),
            lock: self.dir.path.join(LOCK),
        })
    }

    /// Replaces the file. The caller holds the lock, or is alone.
    pub(crate) fn write(&self, records: &[Record]) -> Result<(), TrustFileError> {
        let text = text(records).map_err(|error| TrustFileError::Write {
            step: "write",
            path: self.path.clone(),
            source: io::Error::other(error),
        })?;
        if text.len() as u64 > MAX_FILE {
            return Err(TrustFileError::TooLarge(self.path.clone()));
        }
        keep::replace(&self.dir, NAME, &text).map_err(|(step, source)| TrustFileError::Write {
            step,
            path: self.path.clone(),
            source,
        })
    }

    fn error(&self, step: &'static str) -> impl FnOnce(Errno) -> TrustFileError {
        let path = self.path.clone();
        move |error| TrustFileError::Write {
            step,
            path,
            source: error.into(),
        }
    }
}

/// The entries of a trust file's text; `path` is for messages.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Vec<Record>, TrustFileError> {
    let unread = |error: toml::de::Error| broken(path, with_line(text, &error));
    let Head { version } = toml::from_str(text).map_err(unread)?;
    if version != VERSION {
        let path = path.to_owned();
        return Err(TrustFileError::Version { path, version });
    }
    let content: Content = toml::from_str(text).map_err(unread)?;
    if content.modules.len() > MAX_RECORDS {
        let why = format!("it has more than {MAX_RECORDS} entries");
        return Err(broken(path, why));
    }
    let mut records: Vec<Record> = Vec::with_capacity(content.modules.len());
    for (number, entry) in content.modules.into_iter().enumerate() {
        let name = entry.path.clone();
        let record = record(entry).and_then(|record| {
            match records.iter().any(|known| known.path == record.path) {
                true => Err("there is another entry of that path".to_owned()),
                false => Ok(record),
            }
        });
        records.push(record.map_err(|why| {
            let why = format!("entry {} ({name:?}): {why}", number + 1);
            broken(path, why)
        })?);
    }
    Ok(records)
}

/// The text of a trust file with these entries.
pub(crate) fn text(records: &[Record]) -> Result<String, toml::ser::Error> {
    let content = Content {
        version: VERSION,
        modules: records.iter().map(entry).collect(),
    };
    toml::to_string(&content).map(|text| format!("{PREFACE}{text}"))
}

fn broken(path: &Path, why: String) -> TrustFileError {
    let path = path.to_owned();
    TrustFileError::Broken { path, why }
}

/// What is wrong with a text of TOML, on one line.
pub(crate) fn with_line(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

fn record(entry: Entry) -> Result<Record, String> {
    let path = PathBuf::from(entry.path);
    if !path.is_absolute() {
        return Err("the path is not absolute".to_owned());
    }
    let found = entry.found.map(|found| found.parse()).transpose()?;
    if found.is_some() != (entry.state == Trust::Changed) {
        return Err("found belongs to the state changed, and to no other".to_owned());
    }
    Ok(Record {
        path,
        digest: entry.sha256.parse::<Digest>()?,
        state: entry.state,
        origin: entry.origin,
        found,
    })
}

fn entry(record: &Record) -> Entry {
    Entry {
        path: record.path.to_string_lossy().into_owned(),
        sha256: record.digest.to_string(),
        state: record.state,
        origin: record.origin,
        found: record.found.map(|found| found.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;
    use rustix::process::geteuid;

    use super::*;

    fn file() -> (tempfile::TempDir, TrustFile) {
        let dir = tempfile::tempdir().unwrap();
        let file = TrustFile::open(&dir.path().join("a/state"), geteuid()).unwrap();
        (dir, file)
    }

    fn error(text: &str) -> TrustFileError {
        let (_dir, file) = file();
        std::fs::write(file.path(), text).unwrap();
        file.read().unwrap_err()
    }

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn entry_text() -> String {
        format!(
            "version = 1\n\n[[module]]\npath = \"/m/a.so\"\nsha256 = \"{DIGEST}\"\n\
             state = \"trusted\"\norigin = \"flag\"\n"
        )
    }

    #[test]
    fn no_file_is_no_entry_and_its_directory_is_private() {
        let (_dir, file) = file();
        assert!(file.read().unwrap().is_empty());
        let mode = file.dir.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }

    #[test]
    fn the_documented_form_is_read() {
        let (_dir, file) = file();
        std::fs::write(file.path(), entry_text()).unwrap();
        let records = file.read().unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].digest.to_string(), DIGEST);
        assert_eq!(
            (records[0].state, records[0].origin),
            (Trust::Trusted, Origin::Flag)
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (text, line) in [
            ("version = 1\ncolour = 3\n".to_owned(), "line 2"),
            (entry_text() + "trusted = true\n", "line 8"),
            (entry_text().replace("\"trusted\"", "\"maybe\""), "line 6"),
            (entry_text().replace("\"trusted\"", "\"unknown\""), "line 6"),
            (entry_text().replace("origin = \"flag\"\n", ""), "line 3"),
            ("version = 1\n[[module]\n".to_owned(), "line 2"),
        ] {
            let error = error(&text).to_string();
            assert!(error.contains(line), "{error}");
            assert!(error.contains("trust.toml is broken"), "{error}");
        }
    }

    #[test]
    fn entries_that_contradict_themselves_are_refused_by_number() {
        for text in [
            entry_text().replace("/m/a.so", "m/a.so"),
            entry_text().replace(DIGEST, "ba78"),
            entry_text().replace("trusted", "changed"),
            entry_text() + &format!("found = \"{DIGEST}\"\n"),
        ] {
            let error = error(&text).to_string();
            assert!(error.contains("entry 1"), "{error}");
        }
        let twice = entry_text() + &entry_text()["version = 1\n".len()..];
        assert!(error(&twice).to_string().contains("entry 2"));
    }

    #[test]
    fn another_version_is_refused_before_anything_else_of_it() {
        let error = error("version = 2\nnew = 'thing'\n");
        assert!(
            matches!(error, TrustFileError::Version { version: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        assert!(
            error(&"#".repeat(MAX_FILE as usize + 1))
                .to_string()
                .contains("bytes")
        );
        let (_dir, file) = file();
        std::fs::write(file.path(), b"version = 1\n# \xff\n").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_file_that_others_may_write_or_that_is_a_link_is_refused() {
        let (_dir, file) = file();
        std::fs::write(file.path(), entry_text()).unwrap();
        set_permissions(file.path(), Permissions::from_mode(0o666)).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("everybody"));
        std::fs::rename(file.path(), file.dir.path.join("real")).unwrap();
        std::os::unix::fs::symlink("real", file.path()).unwrap();
        assert!(
            file.read()
                .unwrap_err()
                .to_string()
                .contains("symbolic link")
        );
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let error = TrustFile::open(dir.path(), geteuid()).unwrap_err();
        assert!(matches!(error, PlaceError::Writable { .. }), "{error}");
    }

    #[test]
    fn a_lock_that_somebody_holds_is_told_and_not_waited_for() {
        let (_dir, file) = file();
        let held = file.lock().unwrap();
        let error = file.lock().err().unwrap();
        assert!(matches!(error, TrustFileError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("trust.lock"), "{error}");
        assert!(error.remedy().contains("fuser"), "{}", error.remedy());
        drop(held);
        file.lock().unwrap();
    }

    #[test]
    fn what_is_in_the_place_of_the_new_file_is_not_opened() {
        use std::os::unix::net::UnixListener;
        let (dir, file) = file();
        let new = file.dir.path.join("trust.toml.new");
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "precious").unwrap();
        let pipe = |path: &Path| {
            let status = std::process::Command::new("mkfifo").arg(path).status();
            assert!(status.unwrap().success());
        };
        let makers: [&dyn Fn(&Path); 4] = [
            &|path| {
                std::fs::write(path, "half of a file, and longer than what is written").unwrap()
            },
            &|path| std::os::unix::fs::symlink(&elsewhere, path).unwrap(),
            // Opened for writing, it would wait for a reader.
            &pipe,
            &|path| drop(UnixListener::bind(path).unwrap()),
        ];
        for make in makers {
            make(&new);
            file.write(&[]).unwrap();
            assert!(file.read().unwrap().is_empty());
            let kind = file.path().symlink_metadata().unwrap().file_type();
            assert!(kind.is_file());
        }
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
        std::fs::create_dir(&new).unwrap();
        let error = file.write(&[]).unwrap_err();
        assert!(matches!(error, TrustFileError::Write { .. }), "{error}");
    }

    #[test]
    fn a_reader_never_sees_half_a_file() {
        let (_dir, file) = file();
        let records = |n: u8| -> Vec<Record> {
            let record = |m: u8| Record {
                path: format!("/m/{m}.so").into(),
                digest: Digest([n; 32]),
                state: Trust::Trusted,
                origin: Origin::Flag,
                found: None,
            };
            (0..100).map(record).collect()
        };
        file.write(&records(0)).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..20).for_each(|n| file.write(&records(n)).unwrap()));
            while !writer.is_finished() {
                let seen = file.read().unwrap();
                assert_eq!(seen.len(), 100);
                assert!(seen.iter().all(|record| record.digest == seen[0].digest));
            }
        });
        let left: Vec<_> = file.dir.path.read_dir().unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            entries in prop::collection::btree_map(
                "/[a-z\"'\\\\\\[\\]#ü \u{7f}]{1,20}",
                (any::<[u8; 32]>(), any::<[u8; 32]>(), 0_u8..3, any::<bool>()),
                0..8,
            ),
        ) {
            let (_dir, file) = file();
            let record = |(path, (digest, found, state, flag)): (String, _)| Record {
                path: path.into(),
                digest: Digest(digest),
                state: [Trust::Trusted, Trust::Changed, Trust::Revoked][usize::from(state)],
                origin: if flag { Origin::Flag } else { Origin::Installed },
                found: (state == 1).then_some(Digest(found)),
            };
            let records: Vec<_> = entries.into_iter().map(record).collect();
            file.write(&records).unwrap();
            prop_assert_eq!(file.read().unwrap(), records);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", cut in 0_usize..200) {
            let (_dir, file) = file();
            let mixed: String = entry_text().chars().take(cut).chain(text.chars()).collect();
            let _ = file.parse(&mixed);
        }
    }
}
