//! The real `coldshoectl demo` over the real daemon, worker and open module, which have to be built
//! beside it: `cargo build --workspace` does.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

/// Longest that anything here may take before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory for a demo: its modules, its temporary files, its output.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for dir in ["modules", "tmp"] {
            fs::create_dir(place.path(dir)).unwrap();
        }
        fs::copy(
            built("libcoldshoe_ipa_open.so"),
            place.path("modules/open.so"),
        )
        .unwrap();
        for program in ["coldshoed", "coldshoe-worker"] {
            built(program);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn demo(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coldshoectl"));
        let tuning = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../daemon/jailed/open/tuning"
        );
        let tunings = self.path("tuning");
        if !tunings.exists() {
            fs::create_dir(&tunings).unwrap();
            std::os::unix::fs::symlink(tuning, tunings.join("open")).unwrap();
        }
        command
            .arg("demo")
            .arg("--module-dir")
            .arg(self.path("modules"))
            .arg("--tuning-dir")
            .arg(tunings)
            .arg("--out")
            .arg(self.path("out"))
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::null());
        command
    }

    /// Compiles the example module in C under another name, changed or not.
    fn compile(&self, name: &str, change: impl Fn(String) -> String) {
        let ipa = concat!(env!("CARGO_MANIFEST_DIR"), "/../../daemon/jailed/ipa");
        let source = fs::read_to_string(format!("{ipa}/examples/grey_world.c")).unwrap();
        fs::write(self.path("module.c"), change(source)).unwrap();
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-I"])
            .arg(format!("{ipa}/include"))
            .arg("-o")
            .arg(self.path(&format!("modules/{name}.so")))
            .arg(self.path("module.c"))
            .status()
            .expect("a C compiler is needed to build the example module");
        assert!(compiled.success());
    }

    /// Files written to `out`, sorted.
    fn written(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("out")) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn assert_clean(&self) {
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0);
        let ours = self.path("tmp").into_os_string().into_string().unwrap();
        let left = processes().find(|process| process.command.contains(&ours));
        assert_eq!(left.map(|process| process.command), None);
    }

    /// Starts a long demo and waits until it films.
    fn filming(&self) -> (Child, Process) {
        let child = self
            .demo()
            .args(["--frames", "10000"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let worker = until(|| {
            let all: Vec<_> = processes().collect();
            let worker = all
                .iter()
                .find(|process| process.name == "coldshoe-worker" && process.is_under(pid, &all))?;
            // It has gone to sleep for a frame that often: loading the module does not.
            (worker.naps()? > 50).then(|| worker.clone())
        });
        (child, worker)
    }
}

/// A program or library that the workspace builds.
fn built(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_BIN_EXE_coldshoectl"))
        .parent()
        .unwrap();
    let path = dir.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace` with the same profile first",
        path.display()
    );
    path
}

#[derive(Clone, Debug)]
struct Process {
    pid: u32,
    parent: u32,
    name: String,
    command: String,
}

impl Process {
    fn is_under(&self, ancestor: u32, all: &[Self]) -> bool {
        self.parent == ancestor
            || all
                .iter()
                .find(|process| process.pid == self.parent)
                .is_some_and(|parent| parent.is_under(ancestor, all))
    }

    /// A line of its status.
    fn status(&self, key: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().to_owned())
    }

    /// How often it has gone to sleep.
    fn naps(&self) -> Option<u64> {
        self.status("voluntary_ctxt_switches:")?.parse().ok()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.pid.cast_signed()).unwrap()
    }

    fn pidfd(&self) -> OwnedFd {
        pidfd_open(self.pid(), PidfdFlags::empty()).unwrap()
    }

    fn kill(&self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
    }
}

/// The daemon that a demo has started.
fn daemon_of(demo: &Child) -> Process {
    let is = |process: &Process| process.name == "coldshoed" && process.parent == demo.id();
    processes().find(is).unwrap()
}

fn processes() -> impl Iterator<Item = Process> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.parse::<u32>().ok()
    });
    numbers.filter_map(|pid| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        let status = String::from_utf8(read("status")?).ok()?;
        let field = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.map(|value| value.trim().to_owned())
        };
        Some(Process {
            pid,
            parent: field("PPid:")?.parse().ok()?,
            name: field("Name:")?,
            command: String::from_utf8_lossy(&read("cmdline")?).replace('\0', " "),
        })
    })
}

/// Looks again and again until there is something to see.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "nothing came in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}\n{}", stderr(output));
    text
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What follows a label in the table.
fn row<'a>(table: &'a str, section: &str, label: &str) -> &'a str {
    let mut lines = table
        .lines()
        .skip_while(|line| !line.trim_start().starts_with(section));
    let found = lines.find_map(|line| line.split_once(label));
    found
        .unwrap_or_else(|| panic!("no {section} {label} in\n{table}"))
        .1
        .trim()
}

/// Exit code and three lines: what, why, what to do. Returns the text.
fn assert_refused(output: &Output, code: i32) -> String {
    let (log, text) = refused_after_log(output, code);
    assert_eq!(log, [""; 0], "{text}");
    text
}

/// Like `assert_refused`, where lines of the module's log may come first. Returns them and the
/// three lines.
fn refused_after_log(output: &Output, code: i32) -> (Vec<String>, String) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    let mut log: Vec<_> = text.lines().map(str::to_owned).collect();
    let lines = log.split_off(log.len().saturating_sub(3));
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("error: "), "{text}");
    assert!(lines[1].starts_with("  why: "), "{text}");
    assert!(lines[2].starts_with("  try: "), "{text}");
    (log, lines.join("\n"))
}

#[test]
fn the_demo_converges_and_writes_pictures_and_a_report() {
    let place = Place::new();
    let output = place.demo().output().unwrap();
    let table = stdout(&output);
    assert_eq!(
        place.written(),
        [
            "after.png",
            "before.png",
            "contact.png",
            "convergence.png",
            "report.html"
        ]
    );
    for picture in &place.written()[..4] {
        let bytes = fs::read(place.path("out").join(picture)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{picture}");
    }
    let report = fs::read_to_string(place.path("out/report.html")).unwrap();
    assert_eq!(report.matches("src=\"data:image/png;base64,").count(), 4);
    let exposure = row(&table, "Exposure", "error at the end");
    let exposure: f64 = exposure.strip_suffix(" %").unwrap().parse().unwrap();
    assert!(exposure.abs() <= 5.0, "{table}");
    let white = row(&table, "White point", "error at the end");
    let white: f64 = white.strip_suffix('°').unwrap().parse().unwrap();
    assert!(white <= 3.0, "{table}");
    assert_eq!(row(&table, "Jail", "NoNewPrivs"), "1");
    assert!(row(&table, "Jail", "seccomp").starts_with("mode 2 (filter)"));
    assert!(row(&table, "Jail", "Landlock").starts_with("ABI "));
    // Not a terminal: neither progress nor colours.
    assert_eq!(stderr(&output), "");
    assert!(!table.contains('\x1b'));
    place.assert_clean();
}

#[test]
fn a_module_that_only_sets_white_balance_will_do() {
    let place = Place::new();
    place.compile("grey-world", |source| source);
    let output = place
        .demo()
        .args(["--module", "grey-world", "--frames", "24"])
        .output()
        .unwrap();
    let table = stdout(&output);
    // It does not touch the exposure.
    assert_eq!(row(&table, "Exposure", "settled, start"), "not within 5 %");
    assert_eq!(place.written().len(), 5);
    place.assert_clean();
}

#[test]
fn a_module_that_answers_errors_fails_the_demo() {
    let place = Place::new();
    place.compile("sulky", |source| {
        let changed = source.replace("\t\tmeasure(self,", "\t\treturn -EIO;\n\tmeasure(self,");
        assert_ne!(changed, source);
        changed
    });
    let output = place
        .demo()
        .args(["--module", "sulky", "--frames", "24"])
        .output()
        .unwrap();
    let text = assert_refused(&output, 1);
    assert!(text.contains("24 were held"), "{text}");
    assert!(place.written().is_empty());
    place.assert_clean();
}

#[test]
fn what_a_module_logged_is_shown_when_it_fails_every_frame() {
    let place = Place::new();
    place.compile("sulky", |source| {
        let sulk = "\treturn self->host->log(self->host->context, COLDSHOE_IPA_LOG_ERROR,\n\
                    \t\t\"too\\033[31m dark\"), -EIO;\n\tif (in->stats)";
        let changed = source.replace("\tif (in->stats)", sulk);
        assert_ne!(changed, source);
        changed
    });
    let output = place
        .demo()
        .args(["--module", "sulky", "--frames", "24"])
        .output()
        .unwrap();
    let (log, error) = refused_after_log(&output, 1);
    assert!(error.contains("24 were held"), "{error}");
    assert_eq!(log[0], "The module's log ends:");
    assert_eq!(log.len(), 11, "{log:?}");
    for line in &log[1..] {
        assert!(line.starts_with("  ERROR too"), "{line:?}");
        assert!(line.contains(" dark") && !line.contains('\x1b'), "{line:?}");
    }
    place.assert_clean();
}

#[test]
fn what_a_module_logged_is_shown_when_it_crashes() {
    let place = Place::new();
    place.compile("doomed", |source| {
        let doom = "\tself->host->log(self->host->context, COLDSHOE_IPA_LOG_WARNING, \"farewell\");\n\
                    \t__builtin_trap();\n\tif (in->stats)";
        let changed = source.replace("\tif (in->stats)", doom);
        assert_ne!(changed, source);
        changed
    });
    let output = place.demo().args(["--module", "doomed"]).output().unwrap();
    let (log, error) = refused_after_log(&output, 1);
    assert!(error.contains("\"doomed\" failed in a frame"), "{error}");
    // Another worker may have come to say it, too.
    let farewell = |line: &String| line.starts_with("  WARN farewell");
    assert!(log.len() > 1 && log[1..].iter().all(farewell), "{log:?}");
    place.assert_clean();
}

#[test]
fn while_it_films_the_worker_is_confined() {
    let place = Place::new();
    let (child, worker) = place.filming();
    assert_eq!(worker.status("NoNewPrivs:").as_deref(), Some("1"));
    assert_eq!(worker.status("Seccomp:").as_deref(), Some("2"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_refused(&child.wait_with_output().unwrap(), 130);
    place.assert_clean();
}

#[test]
fn an_interrupt_ends_it_with_130_and_leaves_nothing() {
    let place = Place::new();
    let (child, _) = place.filming();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(assert_refused(&output, 130).contains("interrupted"));
    place.assert_clean();
    assert!(place.written().is_empty());
}

#[test]
fn a_worker_that_dies_in_the_middle_is_told_and_nothing_is_made_up() {
    let place = Place::new();
    let (child, worker) = place.filming();
    worker.kill();
    let output = child.wait_with_output().unwrap();
    assert_refused(&output, 1);
    place.assert_clean();
    assert!(place.written().is_empty());
}

#[test]
fn a_daemon_that_dies_in_the_middle_is_told() {
    let place = Place::new();
    let (child, worker) = place.filming();
    daemon_of(&child).kill();
    let output = child.wait_with_output().unwrap();
    assert!(assert_refused(&output, 1).contains("daemon is gone"));
    until(|| (!processes().any(|process| process.pid == worker.pid)).then_some(()));
    place.assert_clean();
}

#[test]
fn a_demo_that_is_killed_takes_daemon_and_worker_with_it() {
    let place = Place::new();
    let (mut child, worker) = place.filming();
    let daemon = daemon_of(&child);
    let pidfds = [&daemon, &worker].map(Process::pidfd);
    child.kill().unwrap();
    child.wait().unwrap();
    for pidfd in pidfds {
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&patience)), Ok(1), "it lives on");
    }
    assert!(place.written().is_empty());
}

#[test]
fn an_unknown_module_is_refused_with_those_there_are() {
    let place = Place::new();
    let output = place.demo().args(["--module", "acme"]).output().unwrap();
    let text = assert_refused(&output, 3);
    assert!(text.contains("acme") && text.contains("open"), "{text}");
    place.assert_clean();
}

#[test]
fn a_module_that_is_none_is_refused() {
    let place = Place::new();
    fs::write(place.path("modules/text.so"), "not a module").unwrap();
    let output = place.demo().args(["--module", "text"]).output().unwrap();
    assert!(assert_refused(&output, 1).contains("text.so"));
    place.assert_clean();
}

#[test]
fn films_of_impossible_length_are_usage_errors() {
    let place = Place::new();
    for frames in ["0", "23", "10001", "-1", "many"] {
        let output = place
            .demo()
            .arg(format!("--frames={frames}"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{frames}");
        assert!(stderr(&output).contains("--frames"));
    }
    assert!(place.written().is_empty());
}

#[test]
fn a_scene_that_is_missing_is_named() {
    let place = Place::new();
    let output = place
        .demo()
        .args(["--scene", "/nonexistent"])
        .output()
        .unwrap();
    assert!(assert_refused(&output, 1).contains("/nonexistent"));
}

#[test]
fn a_truncated_scene_is_named() {
    let place = Place::new();
    fs::write(place.path("short.raw"), [0; 100]).unwrap();
    fs::write(
        place.path("short.raw.toml"),
        "width = 64\nheight = 48\nbits = 10\ncfa = \"RGGB\"\nblack = 64\nwhite = 1023\n",
    )
    .unwrap();
    let scene = place.path("short.raw");
    let output = place.demo().arg("--scene").arg(&scene).output().unwrap();
    let text = assert_refused(&output, 1);
    assert!(
        text.contains("100 bytes") && text.contains("6144"),
        "{text}"
    );
}

#[test]
fn a_sidecar_that_does_not_parse_is_told_on_three_lines() {
    let place = Place::new();
    fs::write(place.path("odd.raw"), []).unwrap();
    fs::write(place.path("odd.raw.toml"), "width = 64\nheigth = 48\n").unwrap();
    let scene = place.path("odd.raw");
    let output = place.demo().arg("--scene").arg(&scene).output().unwrap();
    let text = assert_refused(&output, 1);
    assert!(text.contains("heigth"), "{text}");
}

#[test]
fn an_output_directory_that_cannot_be_is_told_before_the_film() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let out = place.path("file/out");
    let output = place.demo().arg("--out").arg(&out).output();
    // --out is given twice: the usage says so.
    assert_eq!(output.unwrap().status.code(), Some(2));
    fs::write(place.path("out"), "").unwrap();
    let output = place.demo().output().unwrap();
    assert!(assert_refused(&output, 1).contains("--out"));
    assert_eq!(fs::read(place.path("out")).unwrap(), b"");
}

#[test]
fn an_output_directory_that_may_not_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root may write everywhere; run the tests as another user");
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("out")).unwrap();
    fs::set_permissions(place.path("out"), fs::Permissions::from_mode(0o500)).unwrap();
    let output = place.demo().output().unwrap();
    assert!(assert_refused(&output, 1).contains("--out"));
}
