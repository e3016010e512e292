//! Tuning files: what was measured goes in, all else stays as it was written.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table};

use crate::file::{self, Unread};

/// The version of the format, first line of every file.
pub(super) const HEAD: &str = "version = 1\n";
/// Larger files are no tuning, as the module has it.
const MAX_FILE: u64 = 256 << 10;

/// Why a tuning file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unwritten {
    /// It cannot be read.
    #[error("{} cannot be read\n  why: {why}\n  try: name a tuning file that you may read", path.display())]
    Unreadable { path: PathBuf, why: String },
    /// It is something else.
    #[error("{} is no tuning file\n  why: {why}\n  try: mend it, or name another", path.display())]
    NoTuning { path: PathBuf, why: String },
    /// It cannot be written.
    #[error("{} cannot be written\n  why: {source}\n  try: name a file where you may write", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

/// Reads a tuning file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<DocumentMut>, Unwritten> {
    let no_tuning = |why: String| Unwritten::NoTuning {
        path: path.to_owned(),
        why: why.trim_end().replace('\n', " "),
    };
    let bytes = match file::read(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(Unread::NotFound(_)) => return Ok(None),
        Err(Unread::Unreadable(why)) => {
            return Err(Unwritten::Unreadable {
                path: path.to_owned(),
                why,
            });
        }
    };
    let text = String::from_utf8(bytes).map_err(|error| no_tuning(error.to_string()))?;
    let document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| no_tuning(error.to_string()))?;
    match document.get("version").and_then(Item::as_integer) {
        Some(1) => Ok(Some(document)),
        Some(other) => Err(no_tuning(format!(
            "its version is {other}, this tool knows 1"
        ))),
        None => Err(no_tuning("it does not begin with `version = 1`".into())),
    }
}

/// Puts tables into a tuning file, key by key.
pub(super) fn merge(path: &Path, tables: &str) -> Result<(), Unwritten> {
    let no_tuning = |why: String| Unwritten::NoTuning {
        path: path.to_owned(),
        why,
    };
    let fresh = || HEAD.parse::<DocumentMut>();
    let mut document = match read(path)? {
        Some(document) => document,
        None => fresh().map_err(|error| no_tuning(error.to_string()))?,
    };
    let new: DocumentMut = tables
        .parse()
        .map_err(|error: toml_edit::TomlError| no_tuning(error.to_string()))?;
    put(document.as_table_mut(), new.as_table()).map_err(no_tuning)?;
    write(path, &document.to_string()).map_err(|source| Unwritten::Unwritable {
        path: path.to_owned(),
        source,
    })
}

/// A table goes in key by key; a value replaces the one that was there, and comments stay.
fn put(into: &mut Table, new: &Table) -> Result<(), String> {
    for (key, item) in new {
        match (into.get_mut(key), item) {
            (Some(Item::Table(there)), Item::Table(new)) => put(there, new)?,
            (Some(there), Item::Value(new)) if there.is_value() => {
                let mut new = new.clone();
                if let Some(there) = there.as_value() {
                    *new.decor_mut() = there.decor().clone();
                }
                *there = Item::Value(new);
            }
            (None, item) => {
                let mut item = item.clone();
                forget_places(&mut item);
                into.insert(key, item);
            }
            (Some(there), _) => {
                return Err(format!(
                    "`{key}` is a {}, which was not expected",
                    there.type_name()
                ));
            }
        }
    }
    Ok(())
}

/// Tables are written in the order of the places where they were read; new ones come last.
fn forget_places(item: &mut Item) {
    match item {
        Item::Table(table) => {
            table.set_position(None);
            table.decor_mut().set_prefix("\n");
            for (_, item) in table.iter_mut() {
                forget_places(item);
            }
        }
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(|table| table.set_position(None)),
        Item::None | Item::Value(_) => {}
    }
}

/// Writes all of it or nothing.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    // A temporary file is its owner's alone; a tuning file is read by the daemon.
    let mode = fs::metadata(path).map_or_else(
        |_| std::os::unix::fs::PermissionsExt::from_mode(0o644),
        |meta| meta.permissions(),
    );
    file.as_file().set_permissions(mode)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Mine.\nversion = 1\n\n[awb]\n# Keep this.\nmethod = \"search\" # and this\n\n[tone]\ngamma = 2.0\n";

    fn merged(text: Option<&str>, tables: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        merge(&path, tables).map_err(|error| error.to_string())?;
        Ok(fs::read_to_string(path).unwrap())
    }

    #[test]
    fn what_is_not_measured_stays_as_it_was_written() {
        let text = merged(Some(FILE), "[awb]\nmethod = \"x\"\ncurve = [1]\n").unwrap();
        let want = FILE.replace("\"search\" # and this\n", "\"x\" # and this\ncurve = [1]\n");
        assert_eq!(text, want);
        assert_eq!(merged(Some(&text), "[awb]\ncurve = [1]\n").unwrap(), text);
        let more = merged(Some(FILE), "[noise]\nread = 1.0\n").unwrap();
        assert_eq!(more, format!("{FILE}\n[noise]\nread = 1.0\n"));
    }

    #[test]
    fn a_file_that_is_not_there_is_made() {
        let text = merged(None, "[lsc.grid]\ncolumns = 2\n").unwrap();
        assert_eq!(text, "version = 1\n\n[lsc.grid]\ncolumns = 2\n");
    }

    #[test]
    fn what_is_no_tuning_file_is_refused_and_left_alone() {
        for (text, why) in [
            ("version = 2\n", "its version is 2"),
            ("[awb]\n", "does not begin"),
            ("version = = 1\n", "line 1"),
            ("version = 1\nnoise = 3\n", "`noise` is a integer"),
        ] {
            let told = merged(Some(text), "[noise]\nread = 1.0\n").unwrap_err();
            assert!(told.contains(why) && told.lines().count() == 3, "{told}");
        }
    }
}
