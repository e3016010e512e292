//! Modules by name.

use std::path::PathBuf;

use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;

use crate::elf;

/// Longest module name, in bytes.
const MAX_NAME: usize = 64;

/// The module directories. A module's name is its file's name without `.so`.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    dirs: Vec<PathBuf>,
}

impl Registry {
    pub(crate) fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// Path of a module that could load on this machine.
    pub(crate) fn find(&self, name: &str) -> Result<PathBuf, Trouble> {
        if !is_name(name) {
            return Err(Trouble::new(
                ErrorCode::BadArgument,
                format!("{name:?} is no module name"),
                "module names have up to 64 characters a-z, 0-9, - and _, and begin with a-z or 0-9",
                "name a module, not a path; its directory is given to coldshoed with --module-dir",
            ));
        }
        let file = format!("{name}.so");
        let found = self
            .dirs
            .iter()
            .map(|dir| dir.join(&file))
            .find(|path| path.exists());
        let Some(path) = found else {
            return Err(self.unknown(name));
        };
        elf::check(&path).map_err(|why| {
            Trouble::new(
                ErrorCode::ModuleRefused,
                format!("module {name:?} is refused"),
                format!("{}: {why}", path.display()),
                format!(
                    "install a build of the module for {}",
                    std::env::consts::ARCH
                ),
            )
        })?;
        path.canonicalize().map_err(|error| {
            Trouble::new(
                ErrorCode::ModuleRefused,
                format!("module {name:?} is refused"),
                format!("{} cannot be resolved: {error}", path.display()),
                "check the directory's permissions",
            )
        })
    }

    /// Names of all modules, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .dirs
            .iter()
            .filter_map(|dir| dir.read_dir().ok())
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|file| Some(file.strip_suffix(".so")?.to_owned()))
            .filter(|name| is_name(name))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn unknown(&self, name: &str) -> Trouble {
        let dirs: Vec<_> = self
            .dirs
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        let names = self.names();
        let remedy = if names.is_empty() {
            "start coldshoed with --module-dir DIR where the module is".to_owned()
        } else {
            format!("use one of: {}", names.join(", "))
        };
        Trouble::new(
            ErrorCode::NoSuchModule,
            format!("there is no module {name:?}"),
            format!("no {name}.so in {}", dirs.join(", ")),
            remedy,
        )
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|c| plain(c) || c == b'-' || c == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        let registry = Registry::new(vec!["/".into()]);
        for name in [
            "",
            "../x",
            "a/b",
            ".x",
            "-x",
            "X",
            "a\0",
            "a.so",
            &"x".repeat(65),
        ] {
            assert_eq!(
                registry.find(name).unwrap_err().code,
                ErrorCode::BadArgument,
                "{name:?}"
            );
        }
    }

    #[test]
    fn an_unknown_module_is_answered_with_the_known_ones() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["beta.so", "alpha.so", "readme.txt", "Odd.so"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let registry = Registry::new(vec![dir.path().into()]);
        let trouble = registry.find("gamma").unwrap_err();
        assert_eq!(trouble.code, ErrorCode::NoSuchModule);
        assert!(trouble.remedy.ends_with("alpha, beta"), "{trouble}");
    }

    #[test]
    fn a_file_that_is_no_module_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("text.so"), "#!/bin/sh\necho a module\n").unwrap();
        std::fs::write(dir.path().join("empty.so"), "").unwrap();
        std::fs::create_dir(dir.path().join("folder.so")).unwrap();
        let registry = Registry::new(vec![dir.path().into()]);
        for name in ["text", "empty", "folder"] {
            let trouble = registry.find(name).unwrap_err();
            assert_eq!(trouble.code, ErrorCode::ModuleRefused);
            assert!(trouble.why.contains(name), "{trouble}");
        }
    }
}
