//! What a module is: the bytes of its file, read once, and their digest.
//!
//! The file is opened once. Its bytes go into a sealed memory file, and everything after works on
//! that: the look at its format, the digest, and the worker that loads it. So the file may be
//! replaced at any moment, and what was judged is still what is loaded.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{
    FileType, MemfdFlags, Mode, OFlags, SealFlags, Stat, Uid, fcntl_add_seals, fstat, memfd_create,
    openat,
};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::place::{Hands, Place, PlaceError, check_owner, check_writers, io, name_of};

/// Largest module, in bytes.
pub(crate) const MAX_MODULE: u64 = 256 << 20;
/// Bytes at a time.
const CHUNK: usize = 128 << 10;

/// SHA-256 of a module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no SHA-256: 64 digits 0-9 and a-f");
        let digit = |c: &u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let digits: Vec<u8> = text.bytes().map_while(|c| digit(&c)).collect();
        let mut digest = [0; 32];
        if digits.len() != 64 || text.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |sum, digit| sum << 4 | digit);
        }
        Ok(Self(digest))
    }
}

/// Why a file cannot be a module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IdentityError {
    /// Where it is, or whose.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// More than a module has.
    #[error("{} has {size} bytes, more than the {MAX_MODULE} that a module may have", path.display())]
    TooLarge { path: PathBuf, size: u64 },
    /// Somebody was writing to it.
    #[error("{} changed while it was being read", .0.display())]
    Moving(PathBuf),
    /// No memory for it.
    #[error("no memory for a copy of {}: {source}", path.display())]
    Memory {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl IdentityError {
    /// What to do about it, on one line.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Place(error) => error.remedy(),
            Self::TooLarge { .. } => "strip the module; its data belongs in a tuning file".into(),
            Self::Moving(_) => "open the session again once the file is complete".into(),
            Self::Memory { .. } => "close sessions, or give the daemon more memory".into(),
        }
    }
}

/// A module's bytes, and what is known of them.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Where the file was.
    pub(crate) path: PathBuf,
    /// A sealed copy, at its beginning: nobody can change, grow or shrink it any more.
    pub(crate) content: File,
    /// Of `content`, in bytes.
    pub(crate) size: u64,
    /// Of `content`.
    pub(crate) digest: Digest,
    /// Who could have written the file.
    pub(crate) hands: Hands,
}

impl Identity {
    /// Reads the module `file` of the directory `place`.
    pub(crate) fn read(place: &Place, file: &str, own: Uid) -> Result<Self, IdentityError> {
        Self::read_by(place, file, own, copy)
    }

    fn read_by(
        place: &Place,
        file: &str,
        own: Uid,
        copy: impl FnOnce(&mut File, &Path) -> Result<(File, u64), IdentityError>,
    ) -> Result<Self, IdentityError> {
        let path = place.path.join(file);
        let mut source = open(place, file, &path)?;
        let stat = fstat(&source).map_err(io("look at", &path))?;
        check(&path, &source, &stat, own)?;
        let (content, size) = copy(&mut source, &path)?;
        let after = fstat(&source).map_err(io("look at", &path))?;
        if state(&stat) != state(&after) {
            return Err(IdentityError::Moving(path));
        }
        let digest = digest(&content).map_err(|source| IdentityError::Memory {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            digest,
            content,
            size,
            hands: place.hands.and(&stat),
            path,
        })
    }
}

/// Never follows a link, waits for a pipe's writer, or takes a terminal.
fn open(place: &Place, file: &str, path: &Path) -> Result<File, PlaceError> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match openat(place, file, flags, Mode::empty()) {
        Ok(fd) => Ok(fd.into()),
        Err(Errno::NXIO) => Err(kind(path, "a socket or a device")),
        Err(error) => Err(io("open", path)(error)),
    }
}

fn kind(path: &Path, kind: &'static str) -> PlaceError {
    PlaceError::Kind {
        path: path.to_owned(),
        kind,
        wanted: "a regular file",
    }
}

fn check(path: &Path, source: &File, stat: &Stat, own: Uid) -> Result<(), IdentityError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        other => return Err(kind(path, name_of(other)).into()),
    }
    check_owner(path, stat, own)?;
    check_writers(path, source.as_fd(), stat, own)?;
    match u64::try_from(stat.st_size) {
        Ok(size) if size <= MAX_MODULE => Ok(()),
        size => Err(IdentityError::TooLarge {
            path: path.to_owned(),
            size: size.unwrap_or(u64::MAX),
        }),
    }
}

/// What changes when a file is written to.
fn state(stat: &Stat) -> impl PartialEq {
    (
        stat.st_size,
        (stat.st_mtime, stat.st_mtime_nsec),
        (stat.st_ctime, stat.st_ctime_nsec),
    )
}

fn copy(source: &mut File, path: &Path) -> Result<(File, u64), IdentityError> {
    let memory = |source: std::io::Error| IdentityError::Memory {
        path: path.to_owned(),
        source,
    };
    let read = |source: std::io::Error| PlaceError::Io {
        step: "read",
        path: path.to_owned(),
        source,
    };
    let mut content = memory_file().map_err(|error| memory(error.into()))?;
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read(error).into()),
        };
        size += count as u64;
        if size > MAX_MODULE {
            let path = path.to_owned();
            return Err(IdentityError::TooLarge { path, size });
        }
        let (filled, _) = chunk.split_at(count);
        content.write_all(filled).map_err(memory)?;
    }
    content.seek(SeekFrom::Start(0)).map_err(memory)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&content, seals).map_err(|error| memory(error.into()))?;
    Ok((content, size))
}

/// Not executable as a program where the kernel knows that (Linux 6.3); mapping it is not affected.
fn memory_file() -> Result<File, Errno> {
    const NAME: &str = "coldshoe-module";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(NAME, flags),
        other => other,
    }
    .map(File::from)
}

/// Of the sealed copy, not of what went into it.
fn digest(content: &File) -> std::io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let count = match content.read_at(&mut chunk, offset) {
            Ok(0) => return Ok(Digest(hash.finalize().into())),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (filled, _) = chunk.split_at(count);
        hash.update(filled);
        offset += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use rustix::process::geteuid;

    use super::*;
    use crate::private_group::tester_has_private_group;

    /// SHA-256 of "abc", FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(dir: &Path, file: &str) -> Result<Identity, IdentityError> {
        let place = Place::open(dir, geteuid())?;
        Identity::read(&place, file, geteuid())
    }

    fn refusal(dir: &Path, file: &str) -> String {
        let error = read(dir, file).unwrap_err();
        assert!(!error.remedy().is_empty());
        let text = error.to_string();
        assert!(
            text.contains(&dir.join(file).display().to_string()),
            "{text}"
        );
        text
    }

    #[test]
    fn the_digest_is_that_of_the_bytes_that_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.so"), "abc").unwrap();
        let mut module = read(dir.path(), "m.so").unwrap();
        assert_eq!(module.digest.to_string(), ABC);
        assert_eq!(ABC.parse::<Digest>().unwrap(), module.digest);
        let mut text = String::new();
        module.content.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }

    #[test]
    fn a_file_replaced_after_the_check_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.so");
        std::fs::write(&path, "abc").unwrap();
        let mut module = read(dir.path(), "m.so").unwrap();
        // Rewritten in place, then replaced, then gone.
        std::fs::write(&path, "evil").unwrap();
        std::fs::write(dir.path().join("new"), "more evil").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut text = String::new();
        module.content.read_to_string(&mut text).unwrap();
        assert_eq!(
            (text.as_str(), digest(&module.content).unwrap()),
            ("abc", module.digest)
        );
    }

    #[test]
    fn the_copy_cannot_be_changed_by_anybody() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("m.so"), "abc").unwrap();
        let module = read(dir.path(), "m.so").unwrap();
        let denied = |result: std::io::Result<()>| {
            assert_eq!(
                result.unwrap_err().kind(),
                std::io::ErrorKind::PermissionDenied
            );
        };
        denied((&module.content).write_all(b"x"));
        denied(module.content.set_len(0));
        denied(module.content.set_len(4));
        assert_eq!(
            fcntl_add_seals(&module.content, SealFlags::FUTURE_WRITE),
            Err(Errno::PERM)
        );
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("folder.so")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe.so"), Mode::from_raw_mode(0o600)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.so")).unwrap();
        std::fs::write(at("real"), "abc").unwrap();
        symlink("real", at("link.so")).unwrap();
        symlink("nowhere", at("dangling.so")).unwrap();
        for (file, kind) in [
            ("folder.so", "is a directory"),
            ("pipe.so", "is a named pipe"),
            ("socket.so", "is a socket"),
            ("link.so", "is a symbolic link"),
            ("dangling.so", "is a symbolic link"),
            ("none.so", "does not exist"),
        ] {
            let text = refusal(dir.path(), file);
            assert!(text.contains(kind), "{text}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_or_own_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.so");
        std::fs::write(&path, "abc").unwrap();
        for (mode, who) in [(0o664, "its group"), (0o646, "everybody")] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            if who == "its group" && tester_has_private_group() {
                read(dir.path(), "m.so").unwrap();
                continue;
            }
            let text = refusal(dir.path(), "m.so");
            assert!(text.contains(who), "{text}");
        }
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        read(dir.path(), "m.so").unwrap();
        if geteuid().is_root() {
            chown(&path, Some(4242), None).unwrap();
            assert!(refusal(dir.path(), "m.so").contains("belongs to user 4242"));
        } else {
            eprintln!("SKIPPED in part: only root can give a file to somebody else");
        }
    }

    #[test]
    fn a_huge_file_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("m.so")).unwrap();
        file.set_len(1 << 40).unwrap();
        let text = refusal(dir.path(), "m.so");
        assert!(text.contains("1099511627776 bytes"), "{text}");
    }

    #[test]
    fn a_file_that_grows_after_the_look_at_its_size_is_bounded_all_the_same() {
        let endless = Path::new("/dev/zero");
        let error = copy(&mut File::open(endless).unwrap(), endless).unwrap_err();
        assert!(matches!(error, IdentityError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_file_that_vanishes_while_it_is_read_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.so");
        std::fs::write(&path, "abc").unwrap();
        let place = Place::open(dir.path(), geteuid()).unwrap();
        let mut source = open(&place, "m.so", &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (content, size) = copy(&mut source, &path).unwrap();
        assert_eq!(size, 3);
        assert_eq!(digest(&content).unwrap().to_string(), ABC);
    }

    #[test]
    fn a_file_that_is_written_to_while_it_is_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.so");
        std::fs::write(&path, "abc").unwrap();
        let place = Place::open(dir.path(), geteuid()).unwrap();
        let error = Identity::read_by(&place, "m.so", geteuid(), |source, at| {
            let copied = copy(source, at);
            std::fs::write(&path, "abcdef").unwrap();
            copied
        });
        assert!(matches!(error.unwrap_err(), IdentityError::Moving(_)));
        Identity::read(&place, "m.so", geteuid()).unwrap();
    }

    #[test]
    fn digests_are_read_strictly() {
        for text in [
            "",
            "ab",
            &ABC.to_uppercase(),
            &format!("{ABC}0"),
            &ABC.replace('b', "g"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
