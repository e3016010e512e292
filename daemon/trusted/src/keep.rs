//! Files of the state directory, replaced as a whole.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::place::Place;

/// What was being done, and the kernel's answer.
pub(crate) type Failed = (&'static str, io::Error);

/// Replaces a file: a reader sees the old one or the new one, after a power cut, too. The caller holds
/// the file's lock, or is alone.
pub(crate) fn replace(dir: &Place, name: &str, text: &str) -> Result<(), Failed> {
    let new = format!("{name}.new");
    let mut file = make_new(dir, &new)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| ("write", error))?;
    renameat(dir, &new, dir, name).map_err(step("replace"))?;
    // The rename itself must survive a power cut, too.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(dir, ".", flags, Mode::empty())
        .and_then(fsync)
        .map_err(step("keep"))
}

/// A file of our own making: one that was left by a daemon that died half-way, or anything else of
/// that name, is taken away and never opened.
fn make_new(dir: &Place, new: &str) -> Result<File, Failed> {
    match unlinkat(dir, new, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(step("make room beside")(error)),
    }
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC
        | OFlags::NONBLOCK;
    let made = openat(dir, new, flags, Mode::from_raw_mode(0o600));
    made.map(File::from).map_err(step("write"))
}

fn step(step: &'static str) -> impl FnOnce(Errno) -> Failed {
    move |error| (step, error.into())
}
