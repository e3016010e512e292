//! Files that somebody names.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Why a file was not read.
pub(crate) enum Unread {
    NotFound(io::Error),
    Unreadable(String),
}

/// The bytes of a regular file, `most` at most. A pipe or a device is not waited for.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Unread> {
    let file = open(path, OFlags::empty()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unread::NotFound(error),
        _ => Unread::Unreadable(error.to_string()),
    })?;
    read_all(file, most)
}

/// Opens a file without waiting for it.
pub(crate) fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// The bytes of an open file, if it is a regular one.
pub(crate) fn read_all(file: File, most: u64) -> Result<Vec<u8>, Unread> {
    let unreadable = |error: io::Error| Unread::Unreadable(error.to_string());
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(Unread::Unreadable("it is not a regular file".to_owned()));
    }
    let large = || Unread::Unreadable(format!("it has more than {most} bytes"));
    if meta.len() > most {
        return Err(large());
    }
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(large());
    }
    Ok(bytes)
}
