//! The modules the tests load, built from `modules/` once a run.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Builds them all, into a directory that everybody may read.
pub fn build() -> TempDir {
    let directory = tempfile::tempdir().expect("temporary directory");
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), everybody).expect("permissions");
    let cc: &[&str] = &["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror"];
    let cxx: &[&str] = &[
        "c++", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread",
    ];
    let rustc: &[&str] = &["rustc", "--crate-type=cdylib", "--edition=2021", "-O"];
    for (compiler, source, libraries) in [
        (cc, "plain.c", &["-lm"][..]),
        (cxx, "streams.cc", &[]),
        (rustc, "panic.rs", &[]),
        (cc, "forge.c", &[]),
        (cxx, "thread.cc", &[]),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/jail/modules")
            .join(source);
        let module = directory.path().join(source).with_extension("so");
        let status = Command::new(compiler[0])
            .args(&compiler[1..])
            .arg("-o")
            .arg(&module)
            .arg(path)
            .args(libraries)
            .status()
            .unwrap_or_else(|error| panic!("{}: {error}", compiler[0]));
        assert!(status.success(), "{source} does not compile");
        std::fs::set_permissions(&module, std::fs::Permissions::from_mode(0o755))
            .expect("permissions");
    }
    use_built(directory.path().to_owned());
    directory
}

/// Takes them from where they are.
pub fn use_built(directory: PathBuf) {
    DIRECTORY.set(directory).expect("chosen once");
}

/// The file of a module.
pub fn path(name: &str) -> PathBuf {
    let directory = DIRECTORY.get().expect("modules are built first");
    directory.join(name).with_extension("so")
}
