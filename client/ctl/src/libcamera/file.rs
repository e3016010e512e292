//! A file of libcamera's configuration: read as a whole, written as a whole or not at all.
//!
//! Links are not followed: what is at their other end may be somebody else's, or many files' at once.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::file::{self, Unread};

/// Most bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;
/// Of a file that is made: every program that uses cameras reads it.
const FILE_MODE: u32 = 0o644;
const SHARED_DIR_MODE: u32 = 0o755;

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is a link, or has other names.
    #[error("it is {0}")]
    Link(String),
    /// It is no text.
    #[error("it is not UTF-8")]
    NoText,
    /// It is not read.
    #[error("{0}")]
    Unreadable(String),
    /// It was changed since it was read.
    #[error("somebody changed it at the same time")]
    Changed,
    /// Who may rename what is on the way to it could have root write anywhere.
    #[error("{} belongs to user {owner}", path.display())]
    Foreign { path: PathBuf, owner: u32 },
    /// The system says no.
    #[error("{}: {source}", path.display())]
    System { path: PathBuf, source: io::Error },
}

impl Error {
    /// What to do about it, on one line.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Link(_) => "write the lines where they belong yourself; the README has them",
            Self::NoText | Self::Unreadable(_) => "put a configuration of libcamera's in its place",
            Self::Changed => "the same again",
            Self::Foreign { .. } => "the same as that user",
            Self::System { .. } if self.is_denied() => "--user for you alone, or --system as root",
            Self::System { .. } => "mend that, and the same again",
        }
    }

    /// Whether it is a matter of rights.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// What tells that a file is still the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            inode: (meta.dev(), meta.ino()),
            size: meta.size(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct Text {
    path: PathBuf,
    /// Of what is there.
    there: Option<(String, Metadata)>,
}

impl Text {
    /// Reads the file, if it is there.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        let dir = path.parent().unwrap_or(Path::new("/"));
        refuse_link(dir)?;
        if !refuse_link(&path)? {
            return Ok(Self { path, there: None });
        }
        let system = |source| Error::System {
            path: path.clone(),
            source,
        };
        let file = file::open(&path, OFlags::NOFOLLOW).map_err(system)?;
        let meta = file.metadata().map_err(system)?;
        if meta.nlink() > 1 && meta.is_file() {
            return Err(Error::Link(
                "a file with several names (hard links)".to_owned(),
            ));
        }
        let bytes = file::read_all(file, MAX_FILE).map_err(|unread| match unread {
            Unread::NotFound(source) => system(source),
            Unread::Unreadable(why) => Error::Unreadable(why),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| Error::NoText)?;
        let there = Some((text, meta));
        Ok(Self { path, there })
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.there.as_ref().map(|(text, _)| text.as_str())
    }

    /// How many directories are missing on the way to it.
    pub(crate) fn missing_dirs(&self) -> usize {
        let dirs = self.path.ancestors().skip(1);
        dirs.take_while(|dir| !dir.exists()).count()
    }

    /// Puts `text` in its place, with the owner and the mode that it has. Directories that are made on the
    /// way are `shared` with everybody, or as private as its user makes them.
    pub(crate) fn write(&self, text: &str, shared: bool) -> Result<(), Error> {
        let dir = self.dir();
        self.check_owner()?;
        let missing = self.missing_dirs();
        make_dirs(dir, if shared { missing } else { 0 })
            .and_then(|()| self.replace(text))
            .inspect_err(|_| remove_dirs(dir, missing))
    }

    fn replace(&self, text: &str) -> Result<(), Error> {
        let system = |source| Error::System {
            path: self.path.clone(),
            source,
        };
        let dir = self.dir();
        let beside = tempfile::Builder::new()
            .prefix(".configuration.yaml.")
            .tempfile_in(dir);
        let mut beside = beside.map_err(system)?;
        beside.write_all(text.as_bytes()).map_err(system)?;
        let mode = match &self.there {
            None => Permissions::from_mode(FILE_MODE),
            Some((_, meta)) => {
                let own = beside.as_file().metadata().map_err(system)?;
                if (own.uid(), own.gid()) != (meta.uid(), meta.gid()) {
                    fchown(beside.as_file(), Some(meta.uid()), Some(meta.gid())).map_err(system)?;
                }
                meta.permissions()
            }
        };
        beside.as_file().set_permissions(mode).map_err(system)?;
        beside.as_file().sync_all().map_err(system)?;
        self.check()?;
        let done = match &self.there {
            Some(_) => beside.persist(&self.path),
            None => beside.persist_noclobber(&self.path),
        };
        done.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => Error::Changed,
            _ => system(error.error),
        })?;
        sync(dir)
    }

    /// Removes it, and `dirs` directories on the way to it as far as nothing else is in them.
    pub(crate) fn remove(&self, dirs: usize) -> Result<(), Error> {
        self.check_owner()?;
        self.check()?;
        fs::remove_file(&self.path).map_err(|source| Error::System {
            path: self.path.clone(),
            source,
        })?;
        sync(self.dir())?;
        remove_dirs(self.dir(), dirs);
        Ok(())
    }

    fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Whether its directory, or where that will be, is ours or root's.
    fn check_owner(&self) -> Result<(), Error> {
        let there = |path: &Path| Some((path.to_owned(), fs::metadata(path).ok()?.uid()));
        let ours = [0, rustix::process::geteuid().as_raw()];
        match self.dir().ancestors().find_map(there) {
            Some((path, owner)) if !ours.contains(&owner) => Err(Error::Foreign { path, owner }),
            _ => Ok(()),
        }
    }

    /// Whether it is still as it was read.
    fn check(&self) -> Result<(), Error> {
        let now = fs::symlink_metadata(&self.path).ok();
        let then = self.there.as_ref().map(|(_, meta)| Stamp::of(meta));
        match now.as_ref().map(Stamp::of) == then {
            true => Ok(()),
            false => Err(Error::Changed),
        }
    }
}

/// Whether something is there; a link is refused.
fn refuse_link(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            let target = fs::read_link(path).unwrap_or_default();
            let (path, target) = (path.display(), target.display());
            Err(Error::Link(format!(
                "reached by a link: {path} leads to {target}"
            )))
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::System {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Makes a directory and what is missing on the way to it. The last `shared` ones can be read by everybody,
/// whatever the mask.
fn make_dirs(dir: &Path, shared: usize) -> Result<(), Error> {
    let made = fs::create_dir_all(dir).and_then(|()| {
        let mode = || Permissions::from_mode(SHARED_DIR_MODE);
        let mut dirs = dir.ancestors().take(shared);
        dirs.try_for_each(|dir| fs::set_permissions(dir, mode()))
    });
    made.map_err(|source| Error::System {
        path: dir.to_owned(),
        source,
    })
}

/// Removes up to `count` directories from this one upwards, as far as they are empty.
fn remove_dirs(dir: &Path, count: usize) {
    for dir in dir.ancestors().take(count) {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return,
            _ => {}
        }
    }
}

/// A name outlives a power cut only once its directory is written, too.
fn sync(dir: &Path) -> Result<(), Error> {
    let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| Error::System {
        path: dir.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/configuration.yaml");
        (dir, path)
    }

    #[test]
    fn directories_are_made_and_go_again_with_the_file() {
        let (dir, path) = place();
        let text = Text::read(&path).unwrap();
        assert_eq!((text.text(), text.missing_dirs()), (None, 2));
        text.write("a", false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, FILE_MODE);
        let text = Text::read(&path).unwrap();
        assert_eq!((text.text(), text.missing_dirs()), (Some("a"), 0));
        text.remove(2).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn directories_with_something_else_stay() {
        let (dir, path) = place();
        Text::read(&path).unwrap().write("a", false).unwrap();
        fs::write(dir.path().join("a/mine"), "").unwrap();
        Text::read(&path).unwrap().remove(2).unwrap();
        assert!(dir.path().join("a/mine").exists());
        assert!(!dir.path().join("a/b").exists());
    }

    #[test]
    fn the_mode_stays_and_nothing_is_left_beside() {
        let (_dir, path) = place();
        Text::read(&path).unwrap().write("a", false).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        Text::read(&path).unwrap().write("b", false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&path).unwrap(), "b");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_changed_is_not_written_over() {
        let (_dir, path) = place();
        let none = Text::read(&path).unwrap();
        none.write("a", false).unwrap();
        assert!(matches!(none.write("b", false), Err(Error::Changed)));
        let some = Text::read(&path).unwrap();
        fs::write(&path, "longer").unwrap();
        assert!(matches!(some.write("b", false), Err(Error::Changed)));
        assert!(matches!(some.remove(2), Err(Error::Changed)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "longer");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn root_writes_nothing_where_somebody_else_could_lead_it_elsewhere() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("SKIPPED: only root can be led");
        }
        let (dir, path) = place();
        fs::create_dir(dir.path().join("a")).unwrap();
        std::os::unix::fs::chown(dir.path().join("a"), Some(12_345), None).unwrap();
        let error = Text::read(&path).unwrap().write("a", false).unwrap_err();
        assert!(
            error.to_string().ends_with("belongs to user 12345"),
            "{error}"
        );
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn links_and_what_is_no_text_are_refused() {
        let (dir, path) = place();
        fs::create_dir_all(&path).unwrap();
        assert!(matches!(Text::read(&path), Err(Error::Unreadable(_))));
        fs::remove_dir(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        let error = Text::read(&path).unwrap_err().to_string();
        assert!(error.contains("leads to /etc/passwd"), "{error}");
        fs::remove_file(&path).unwrap();
        symlink("nowhere", &path).unwrap();
        assert!(matches!(Text::read(&path), Err(Error::Link(_))));
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(Text::read(&path), Err(Error::NoText)));
        fs::write(&path, "a").unwrap();
        fs::hard_link(&path, dir.path().join("other")).unwrap();
        assert!(matches!(Text::read(&path), Err(Error::Link(_))));
        fs::write(&path, vec![b'a'; 1 + MAX_FILE as usize]).unwrap();
        fs::remove_file(dir.path().join("other")).unwrap();
        assert!(matches!(Text::read(&path), Err(Error::Unreadable(_))));
        symlink("b", dir.path().join("a/c")).unwrap();
        let through = dir.path().join("a/c/configuration.yaml");
        assert!(matches!(Text::read(&through), Err(Error::Link(_))));
    }
}
