//! The real `coldshoectl demo --chaos`, over what is built beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A directory with modules, and the demo's output.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for dir in ["modules", "tuning", "tmp"] {
            fs::create_dir(place.path(dir)).unwrap();
        }
        for program in ["coldshoed", "coldshoe-worker"] {
            built(program);
        }
        let open = built("libcoldshoe_ipa_open.so");
        fs::copy(open, place.path("modules/open.so")).unwrap();
        let tuning = source("daemon/jailed/open/tuning");
        std::os::unix::fs::symlink(tuning, place.path("tuning/open")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn film(&self, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_coldshoectl"))
            .arg("demo")
            .arg("--module-dir")
            .arg(self.path("modules"))
            .arg("--tuning-dir")
            .arg(self.path("tuning"))
            .arg("--out")
            .arg(self.path("out"))
            .args(options)
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// A program or library that the workspace builds.
fn built(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_coldshoectl"));
    let path = program.with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` with the same profile first",
        path.display()
    );
    path
}

/// The film went on, whatever was done. Returns what it said. Whether a frame was late is the
/// machine's affair, too; that it is told is not.
fn unshaken(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let counted = |what: &str| -> u64 {
        let number = said.lines().find_map(|line| line.strip_prefix(what));
        let number = number.unwrap_or_else(|| panic!("no {what:?}: {said}\n{errors}"));
        number.parse().unwrap()
    };
    assert_eq!(
        counted("frames without parameters: "),
        0,
        "{said}\n{errors}"
    );
    let code = match counted("late frames: ") {
        0 => 0,
        _ => 1,
    };
    assert_eq!(output.status.code(), Some(code), "{said}\n{errors}");
    said
}

const DEEDS: [&str; 4] = [
    "worker killed",
    "worker stopped",
    "memory overwritten",
    "daemon killed",
];

#[test]
fn a_film_goes_on_while_workers_and_the_daemon_are_killed() {
    let place = Place::new();
    let output = place.film(&["--chaos", "--seed", "1", "--frames", "144"]);
    let said = unshaken(&output);
    let report = fs::read_to_string(place.path("out/report.html")).unwrap();
    for told in [&said, &report] {
        for deed in DEEDS {
            assert!(told.contains(&format!(": {deed}")), "no {deed}: {told}");
        }
        assert_eq!(told.matches("fresh after").count(), 4, "{told}");
        assert_eq!(told.matches("exposure × gain").count(), 4, "{told}");
    }
    assert_eq!(fs::read_dir(place.path("tmp")).unwrap().count(), 0);
}

#[test]
fn a_module_that_keeps_no_state_will_do() {
    let place = Place::new();
    let ipa = source("daemon/jailed/ipa");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-I"])
        .arg(ipa.join("include"))
        .arg("-o")
        .arg(place.path("modules/grey-world.so"))
        .arg(ipa.join("examples/grey_world.c"))
        .status()
        .expect("a C compiler is needed to build the example module");
    assert!(compiled.success());
    let options = ["--module", "grey-world", "--chaos", "--frames", "60"];
    let said = unshaken(&place.film(&options));
    assert!(said.contains("fresh after"), "{said}");
}

#[test]
fn a_seed_is_for_chaos_only() {
    let output = Place::new().film(&["--seed", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--chaos"));
}
