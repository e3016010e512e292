//! Whether the libraries that a module is linked with will be found in the jail.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// A library by the name that the module has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Library {
    pub(crate) name: String,
    /// Where it is on this machine; `None` if in no library directory.
    pub(crate) path: Option<PathBuf>,
}

/// Looks for each of `names` in `dirs`. A name with a slash in it is a path, which leads nowhere in
/// the jail.
pub(crate) fn find(names: Vec<String>, dirs: &[PathBuf]) -> Vec<Library> {
    let look = |name: String| {
        let plain = !name.contains('/') && !name.is_empty() && name != "..";
        let paths = dirs.iter().map(|dir| dir.join(&name));
        let path = if plain {
            paths.into_iter().find(|path| path.is_file())
        } else {
            None
        };
        Library { name, path }
    };
    names.into_iter().map(look).collect()
}

/// The directories that the loader searches by itself, as far as `readable` in the jail.
pub(crate) fn dirs(readable: &[String]) -> Vec<PathBuf> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["/lib", "/usr/lib", "/usr/local/lib"]
        .map(|dir| Path::new(dir).join(&triplet))
        .into_iter()
        .chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"].map(PathBuf::from))
        .filter(|dir| readable.iter().any(|root| dir.starts_with(root)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_by_its_plain_name_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, dirs) = (dir.path().join("libx.so.1"), [dir.path().to_owned()]);
        std::fs::write(&path, "").unwrap();
        let names = ["libx.so.1", "liby.so", "", "..", "./libx.so.1"];
        let found = find(names.map(str::to_owned).to_vec(), &dirs);
        assert_eq!(found[0].path.as_ref(), Some(&path));
        assert!(found[1..].iter().all(|library| library.path.is_none()));
    }

    #[test]
    fn only_what_the_jail_shows_is_searched() {
        let all = dirs(&["/usr/lib".to_owned(), "/lib".to_owned()]);
        assert!(all.contains(&"/usr/lib".into()));
        assert!(!all.iter().any(|dir| dir.starts_with("/usr/local")));
        assert!(dirs(&[]).is_empty());
    }
}
