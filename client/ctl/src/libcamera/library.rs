//! Which libcamera is here, and what a version of it can.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::under;

/// Most names that are looked at in a directory.
const MAX_NAMES: usize = 1 << 16;

/// Of libcamera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u32; 3]);

impl Version {
    /// The first that reads a configuration file.
    pub(crate) const CONFIGURED: Self = Self([0, 6, 0]);

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::parse);
        let version = [
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next()?.ok()?,
        ];
        parts.next().is_none().then_some(Self(version))
    }

    /// Whether it reads a configuration file; older ones listen to the environment alone.
    pub(crate) fn is_configured(self) -> bool {
        self >= Self::CONFIGURED
    }

    /// How far messages of its workers are looked into.
    pub(crate) fn checks(self) -> &'static str {
        let [major, minor, _] = self.0;
        let series = format!("{major}.{minor}");
        if coldshoe_libcamera_wire::SERIES.contains(&series.as_str()) {
            "messages of its workers are checked in full, and a worker that fails is replaced"
        } else {
            "nothing is known of its messages: no more than their framing is checked, and no worker is replaced"
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self)
    }
}

/// libcamera itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Library {
    pub(crate) path: PathBuf,
    pub(crate) version: Version,
}

/// All that are beneath `root`, where systems and those who build it themselves put libraries.
pub(crate) fn find(root: &Path) -> Vec<Library> {
    let triplet = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let mut found: Vec<Library> = Vec::new();
    for prefix in ["/usr", "/usr/local"] {
        for dir in [triplet.as_str(), "lib64", "lib"] {
            let dir = under(root, &Path::new(prefix).join(dir));
            for name in names(&dir) {
                let version = name.strip_prefix("libcamera.so.").and_then(Version::parse);
                let path = dir.join(&name);
                // On some systems one of these directories is a link to another.
                let real = path.canonicalize().ok();
                let known = |other: &Library| other.path.canonicalize().ok() == real;
                if let (Some(version), false) = (version, found.iter().any(known)) {
                    found.push(Library { path, version });
                }
            }
        }
    }
    found
}

/// Names in a directory, in order; none if it cannot be read.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().take(MAX_NAMES);
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_version_is_three_numbers() {
        let version = Version::parse("0.7.1").unwrap();
        assert_eq!(version.to_string(), "0.7.1");
        assert!(version.is_configured());
        assert!(Version::parse("0.6.0").unwrap().is_configured());
        assert!(Version::parse("0.10.0").unwrap().is_configured());
        assert!(!Version::parse("0.5.2").unwrap().is_configured());
        for text in ["", "0.7", "0.7.1.2", "0.7.x", "0.7.99999999999"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_library_is_found_once() {
        let root = tempfile::tempdir().unwrap();
        let (usr, local) = (
            root.path().join("usr/lib64"),
            root.path().join("usr/local/lib"),
        );
        fs::create_dir_all(&usr).unwrap();
        fs::create_dir_all(&local).unwrap();
        for name in [
            "libcamera.so.0.7.1",
            "libcamera-base.so.0.7.1",
            "libcamera.so.0.7",
        ] {
            fs::write(usr.join(name), "").unwrap();
        }
        fs::write(local.join("libcamera.so.0.4.0"), "").unwrap();
        std::os::unix::fs::symlink("lib64", root.path().join("usr/lib")).unwrap();
        let found = find(root.path());
        let versions: Vec<String> = found.iter().map(|one| one.version.to_string()).collect();
        assert_eq!(versions, ["0.7.1", "0.4.0"]);
        assert_eq!(found[0].path, usr.join("libcamera.so.0.7.1"));
    }
}
