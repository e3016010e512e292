//! A place for one daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use coldshoe::Open;
use coldshoe_isp::soft;
use coldshoe_isp::stats::STATS_FORMAT;
use tempfile::TempDir;

/// Sources of this workspace, seen from this crate.
const IPA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../daemon/jailed/ipa");
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/modules/module.c");
const CHAOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/modules/chaos.c");

/// A temporary directory with room for a control socket, modules and tuning files. The module
/// `good` is there from the start.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "it compiles and writes files")]
    pub fn new() -> Self {
        let place = Self::bare();
        // Every test needs it, and compiling it takes longer than most of them.
        static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
        let good = GOOD.get_or_init(|| {
            place.module("good", &[]);
            fs::read(place.module_file("good")).expect("compiled")
        });
        fs::write(place.module_file("good"), good).expect("written");
        place
    }

    /// Makes one without a module, where there may be no compiler.
    pub fn bare() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("coldshoe-")
            .tempdir()
            .expect("a temporary directory");
        let place = Self { dir };
        for made in [place.modules(), place.tuning()] {
            fs::create_dir(made).expect("a directory in our own");
        }
        place
    }

    /// Where the daemon's socket goes; the daemon makes it.
    pub fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join("runtime")
    }

    /// Where the daemon keeps what it trusts; the daemon makes it.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir().join("control.sock")
    }

    /// Where a service manager would hear from the daemon.
    pub(crate) fn notify_socket(&self) -> PathBuf {
        self.dir.path().join("notify")
    }

    /// Where a copy of the worker program may go.
    pub(crate) fn worker(&self) -> PathBuf {
        self.dir.path().join("coldshoe-worker")
    }

    /// The module directory.
    pub fn modules(&self) -> PathBuf {
        self.dir.path().join("modules")
    }

    /// The tuning directory.
    pub fn tuning(&self) -> PathBuf {
        self.dir.path().join("tuning")
    }

    /// File of a module.
    pub fn module_file(&self, name: &str) -> PathBuf {
        self.modules().join(name).with_extension("so")
    }

    /// Compiles `modules/module.c` with some of its holes filled.
    pub fn module(&self, name: &str, holes: &[(&str, &str)]) {
        self.compile("cc", name, Path::new(MODULE), &defines(holes));
    }

    /// The same of `modules/chaos.c`, which keeps a state and fails on command.
    pub fn chaos(&self, name: &str, holes: &[(&str, &str)]) {
        self.compile("cc", name, Path::new(CHAOS), &defines(holes));
    }

    /// Compiles a module from one source file.
    pub fn compile(&self, compiler: &str, name: &str, source: &Path, flags: &[String]) {
        let output = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror"])
            .arg(format!("-I{IPA}/include"))
            .args(flags)
            .arg("-o")
            .arg(self.module_file(name))
            .arg(source)
            .arg("-lm")
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}; the tests need a C compiler"));
        assert!(
            output.status.success(),
            "{} with {flags:?} does not compile:\n{}",
            source.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Installs a module that was built elsewhere.
    pub fn install(&self, name: &str, file: &Path) {
        fs::copy(file, self.module_file(name)).expect("a copy of the module");
    }

    /// Writes the tuning file of a module for a camera.
    pub fn tune(&self, module: &str, camera: &str, text: &str) -> PathBuf {
        let dir = self.tuning().join(module);
        fs::create_dir_all(&dir).expect("a directory in our own");
        let file = dir.join(camera).with_extension("toml");
        fs::write(&file, text).expect("a tuning file");
        file
    }

    /// What a session on `module` is opened with: four slots, and little room in each.
    pub fn open(&self, module: &str) -> Open {
        Open {
            socket: Some(self.socket()),
            module: module.into(),
            camera: "virtual".into(),
            stats_format: STATS_FORMAT.into(),
            params_format: soft::FORMAT.into(),
            stats_capacity: 8192,
            params_capacity: 4096,
            ..Open::default()
        }
    }

    /// The real daemon, to be started here.
    pub fn coldshoed(&self) -> Command {
        self.coldshoed_in(&self.runtime_dir())
    }

    /// The same with another runtime directory.
    pub fn coldshoed_in(&self, runtime_dir: &Path) -> Command {
        let mut command = self.coldshoed_alone(runtime_dir);
        command
            .arg("--no-config")
            .arg("--module-dir")
            .arg(self.modules())
            .arg("--tuning-dir")
            .arg(self.tuning());
        command
    }

    /// The same, with what the files in `settings` say of modules and tuning files, and nothing else.
    pub fn coldshoed_set_by(&self, settings: &Path) -> Command {
        let mut command = self.coldshoed_alone(&self.runtime_dir());
        command.arg("--config-dir").arg(settings);
        command
    }

    fn coldshoed_alone(&self, runtime_dir: &Path) -> Command {
        built("coldshoe-worker");
        let mut command = Command::new(built("coldshoed"));
        command
            .env_clear()
            .arg("--runtime-dir")
            .arg(runtime_dir)
            .arg("--state-dir")
            .arg(self.state_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }
}

fn defines(holes: &[(&str, &str)]) -> Vec<String> {
    let define = |(hole, code): &(&str, &str)| format!("-D{hole}={code}");
    holes.iter().map(define).collect()
}

/// A program or library of this build, by its name beneath the target directory's profile.
pub fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of this test");
    // target/PROFILE/deps/TEST
    let profile = this.ancestors().nth(2).expect("a target directory");
    let file = profile.join(name);
    assert!(
        file.exists(),
        "{} is missing: run `make test`, or `cargo build --workspace --all-targets` first",
        file.display()
    );
    file
}

/// Source of one of the examples for module authors.
pub fn c_example(name: &str) -> PathBuf {
    Path::new(IPA).join("examples").join(name)
}
