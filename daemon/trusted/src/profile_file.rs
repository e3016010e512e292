//! Profiles by name or from a file.
//!
//! A profile decides what a hostile module may do, so its file is held to the rules of modules: it
//! and every directory above it belong to root or the daemon's user, and nobody else may write to
//! them. It is read once, at the start.

use std::path::{Path, PathBuf};

use coldshoe_jail::{Profile, ProfileError, Rule};
use rustix::fs::Uid;

use crate::place::{Place, PlaceError};
use crate::trust_file::with_line;

/// Most bytes; the longest of those that are built in has 20,000.
const MAX_FILE: u64 = 256 << 10;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;

/// Why a profile cannot be had. Each message says what, why and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileFileError {
    /// No profile of that name is built in.
    #[error(
        "the profile cannot be used\n  why: {0}\n  try: one of those, or a file: a path with a / or ending in .toml"
    )]
    Name(#[source] ProfileError),
    /// Where the file is, or whose, or of what kind.
    #[error("the profile {} cannot be used\n  why: {why}\n  try: {remedy}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// It lets another program take the worker's place, which is for libcamera's own workers alone.
    #[error(
        "the profile {0:?} is not for modules\n  why: it allows an execve, which no module may make\n  try: single or threaded; libcamera's own workers have the profile libcamera without being told"
    )]
    AnotherProgram(String),
    /// What is in the file.
    #[error(
        "the profile {} is broken\n  why: {why}\n  try: mend it; `coldshoectl policy show {}` tells whether it is well", path.display(), path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the line where there is one.
        why: String,
    },
}

impl ProfileFileError {
    fn place(path: &Path, error: &PlaceError) -> Self {
        Self::Place {
            path: path.to_owned(),
            why: error.to_string(),
            remedy: error.remedy(),
        }
    }
}

/// The profile of that name, or of that file: what has a `/` or ends in `.toml` is a file.
///
/// # Errors
/// [`ProfileFileError`] has the three lines of an error message.
pub fn profile(name_or_file: &Path) -> Result<Profile, ProfileFileError> {
    let text = name_or_file.to_string_lossy();
    if text.contains('/') || text.ends_with(".toml") {
        read(name_or_file, rustix::process::geteuid())
    } else {
        Profile::builtin(&text).map_err(ProfileFileError::Name)
    }
}

/// The same, if modules may have it.
pub(crate) fn profile_of_modules(name_or_file: &Path) -> Result<Profile, ProfileFileError> {
    let profile = profile(name_or_file)?;
    let executes = |rule: &Rule| rule.name == "execve" || rule.name == "execveat";
    if profile.load().iter().any(executes) {
        return Err(ProfileFileError::AnotherProgram(profile.name().to_owned()));
    }
    Ok(profile)
}

fn read(path: &Path, own: Uid) -> Result<Profile, ProfileFileError> {
    let broken = |why: String| ProfileFileError::Broken {
        path: path.to_owned(),
        why,
    };
    let refused = |error: PlaceError| ProfileFileError::place(path, &error);
    let name = path
        .file_name()
        .ok_or_else(|| refused(PlaceError::Missing(path.to_owned())))?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let place = Place::open(dir, own).map_err(refused)?;
    let bytes = place.read(name, own, MAX_FILE).map_err(refused)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(broken(format!("it has more than {MAX_FILE} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| broken("it is not UTF-8".to_owned()))?;
    let profile = Profile::parse(&text).map_err(|error| {
        broken(match error {
            ProfileError::Syntax(error) => with_line(&text, &error),
            other => other.to_string(),
        })
    })?;
    judge_name(profile.name()).map_err(broken)?;
    Ok(profile)
}

/// Reports and messages go by the name: it must be told from those that are built in.
fn judge_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
        return Err(format!(
            "its name has to be 1 to {MAX_NAME} characters a-z, A-Z, 0-9, -, _ and ."
        ));
    }
    if Profile::BUILTIN.iter().any(|(known, _)| *known == name) {
        return Err(format!(
            "its name, {name:?}, is that of one that is built in"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use coldshoe_jail::Feature;

    use super::*;

    const TEXT: &str = "name = \"no-net\"\ndescription = \"Without a network namespace\"\n\
        extends = \"single\"\nallow_degraded = [\"net_namespace\"]\n";

    fn file(text: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no-net.toml");
        std::fs::write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        (dir, path)
    }

    /// The error, which has its three lines.
    fn error(path: &Path) -> String {
        let text = profile(path).unwrap_err().to_string();
        let lines: Vec<_> = text.lines().collect();
        let [_, why, try_this] = lines.as_slice() else {
            panic!("not three lines: {text}");
        };
        assert!(why.starts_with("  why: ") && try_this.starts_with("  try: "));
        text
    }

    #[test]
    fn a_name_is_a_built_in_profile_and_a_path_is_a_file() {
        assert_eq!(profile("threaded".as_ref()).unwrap().name(), "threaded");
        let (_dir, path) = file(TEXT);
        let found = profile(&path).unwrap();
        assert_eq!((found.name(), found.parent()), ("no-net", Some("single")));
        assert_eq!(found.allow_degraded(), [Feature::NetNamespace]);
        let unknown = error("no-such".as_ref());
        assert!(unknown.contains("single, threaded"), "{unknown}");
        let missing = error(&path.with_file_name("no-such.toml"));
        assert!(missing.contains("does not exist"), "{missing}");
    }

    #[test]
    fn each_profile_that_is_built_in_is_read_from_a_file_under_another_name() {
        for (name, text) in Profile::BUILTIN {
            let own = text.replacen(&format!("name = \"{name}\""), "name = \"mine\"", 1);
            let (_dir, path) = file(own);
            assert_eq!(profile(&path).unwrap().name(), "mine");
        }
    }

    #[test]
    fn a_profile_that_lets_another_program_in_is_for_no_module() {
        let own = TEXT.replace("\"single\"", "\"libcamera\"");
        let (_dir, path) = file(own);
        for refused in [Path::new("libcamera"), &path] {
            profile(refused).unwrap();
            let error = profile_of_modules(refused).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 3, "{error}");
            assert!(error.contains("allows an execve"), "{error}");
        }
        for name in ["single", "threaded", "predictive"] {
            profile_of_modules(name.as_ref()).unwrap();
        }
    }

    #[test]
    fn a_file_that_others_could_have_written_is_refused() {
        let (dir, path) = file(TEXT);
        set_permissions(&path, Permissions::from_mode(0o646)).unwrap();
        assert!(error(&path).contains("can be written by everybody"));
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(error(&path).contains("can be written by everybody"));
        set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        profile(&path).unwrap();
        let link = dir.path().join("link.toml");
        symlink(&path, &link).unwrap();
        assert!(error(&link).contains("symbolic link"));
        std::fs::create_dir(dir.path().join("dir.toml")).unwrap();
        assert!(error(&dir.path().join("dir.toml")).contains("is a directory"));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (text, why) in [
            (TEXT.to_owned() + "colour = 3\n", "line 5"),
            (TEXT.replace("net_namespace", "landlock"), "landlock"),
            (TEXT.replace("\"single\"", "\"other\""), "other"),
            (TEXT.replace("no-net", "single"), "built in"),
            (TEXT.replace("no-net", "no\\nnet"), "its name"),
            (TEXT.replace("no-net", ""), "its name"),
            (TEXT.replace("extends", "#"), "is missing"),
            ("#".repeat(MAX_FILE as usize + 1), "more than"),
        ] {
            let (_dir, path) = file(text);
            let error = error(&path);
            assert!(error.contains(why), "{why} is not in {error}");
        }
        let (_dir, path) = file(b"\xff");
        assert!(error(&path).contains("UTF-8"));
    }
}
