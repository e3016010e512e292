//! The programs under test: the daemon and the worker of this very build.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, bail};

use crate::bench::Built;
use crate::modules;

/// Says where everything is, when this program runs itself as another user.
pub const BUILT: &str = "COLDSHOE_HOSTILE_BUILT";
const PROGRAMS: [&str; 2] = ["coldshoed", "coldshoe-worker"];
/// Examples of this crate: benign modules in Rust.
const EXAMPLES: [&str; 2] = ["benign_panic", "benign_threads"];
/// What they are made of.
const SOURCES: [&str; 6] = [
    "daemon",
    "policy",
    "proto",
    "tests/hostile/benign",
    "Cargo.toml",
    "Cargo.lock",
];

/// Brings programs and modules together in a directory that every user can read.
pub fn gather(dir: &Path) -> anyhow::Result<Built> {
    let target = target()?;
    bring_up_to_date(&target)?;
    for name in PROGRAMS {
        copy(&target.join(name), &dir.join(name))?;
    }
    // Even if it has been built again meanwhile.
    copy(Path::new("/proc/self/exe"), &dir.join("hostile"))?;
    modules::build(dir)?;
    for name in EXAMPLES {
        let module = target.join("examples").join(format!("lib{name}.so"));
        copy(
            &module,
            &dir.join("modules").join(name).with_extension("so"),
        )?;
    }
    readable_by_all(dir)?;
    Ok(Built {
        dir: dir.to_owned(),
    })
}

/// `target/debug` or `target/release`, where this program was built.
fn target() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let found = exe
        .ancestors()
        .find(|dir| dir.ends_with("debug") || dir.ends_with("release"));
    Ok(found
        .context("run this from cargo's target directory")?
        .to_owned())
}

/// Under cargo the programs may be older than their sources: they are of other packages.
fn bring_up_to_date(target: &Path) -> anyhow::Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let examples = EXAMPLES.map(|name| format!("examples/lib{name}.so"));
    let products = PROGRAMS.iter().map(|name| target.join(name));
    let built = products
        .chain(examples.iter().map(|name| target.join(name)))
        .map(|path| fs::metadata(path)?.modified())
        .collect::<Result<Vec<_>, _>>();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Ok(built) = built
        && let Some(oldest) = built.iter().min()
        && !SOURCES
            .iter()
            .any(|source| newer(&workspace.join(source), *oldest))
    {
        return Ok(());
    }
    // As `make hostile` has it: other sets of packages would be other builds.
    for packages in [
        &["-p", "coldshoed", "-p", "coldshoe-worker"][..],
        &["-p", "coldshoe-hostile", "--bins", "--examples"],
    ] {
        let mut build = Command::new(&cargo);
        build.args(["build", "--quiet", "--locked"]).args(packages);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        if !build.status()?.success() {
            bail!("the daemon and the worker cannot be built");
        }
    }
    Ok(())
}

/// Whether anything at or beneath `path` has changed since.
fn newer(path: &Path, than: SystemTime) -> bool {
    let changed = fs::metadata(path).and_then(|meta| meta.modified());
    if path.is_dir() {
        fs::read_dir(path)
            .is_ok_and(|entries| entries.flatten().any(|entry| newer(&entry.path(), than)))
    } else {
        changed.is_ok_and(|changed| changed > than)
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let what = || {
        format!(
            "{}: build coldshoed, coldshoe-worker and this package's examples first",
            from.display()
        )
    };
    fs::copy(from, to).with_context(what)?;
    Ok(())
}

fn readable_by_all(dir: &Path) -> anyhow::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            readable_by_all(&path)?;
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}
