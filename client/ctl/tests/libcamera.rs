//! `coldshoectl libcamera` on a system beneath a directory: what it writes comes out again as it was, and
//! status says what libcamera would do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What libcamera reads, with a section of somebody's.
const OTHERS: &str = "version: 1\nconfiguration:\n  software_isp:\n    threads: 2\n";

/// A machine: its root, a home, an installation of coldshoe.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let proxies = machine.proxies();
        fs::create_dir_all(&proxies).unwrap();
        for dir in ["home", "root/etc", "root/usr/lib", "run"] {
            fs::create_dir_all(machine.at(dir)).unwrap();
        }
        let program = proxies.join("../coldshoe-libcamera");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../coldshoe-libcamera", proxies.join("soft_ipa_proxy")).unwrap();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn proxies(&self) -> PathBuf {
        self.at("libexec/coldshoe/libcamera")
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// As a program with the installation's directories would be started.
    fn ctl(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coldshoectl"));
        command
            .env_clear()
            .env("HOME", self.at("home"))
            .env("XDG_RUNTIME_DIR", self.at("run"))
            .envs(environment.iter().copied())
            .args(["--color=never", "libcamera"])
            .args(args)
            .arg("--root")
            .arg(self.at("root"))
            .arg("--proxies")
            .arg(self.proxies());
        command.output().expect("it runs")
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.ctl(args, &[]);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The error of what was not done, which ends with `code`.
    fn refused(&self, args: &[&str], code: i32) -> String {
        let output = self.ctl(args, &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        let lines: Vec<&str> = told.lines().collect();
        assert!(
            matches!(lines[..], [what, why, remedy] if what.starts_with("error: ") && why.starts_with("  why: ") && remedy.starts_with("  try: ")),
            "{told}"
        );
        told
    }

    fn status(&self, environment: &[(&str, &str)]) -> Value {
        let output = self.ctl(&["status", "--json"], environment);
        assert_eq!(output.status.code(), Some(6), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Where enable writes for a user, and for all.
const FILES: [(&str, &str); 2] = [
    ("--user", "home/.config/libcamera/configuration.yaml"),
    ("--system", "root/etc/libcamera/configuration.yaml"),
];

fn why(status: &Value) -> String {
    let obstacles = status["obstacles"].as_array().unwrap().iter();
    let whys = obstacles.map(|one| format!("{}; {}", one["why"], one["remedy"]));
    whys.collect::<Vec<_>>().join("\n")
}

/// All beneath a directory: names, and what is in files.
fn everything(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                dirs.push(path.clone());
            }
            let bytes = meta.is_file().then(|| fs::read(&path).unwrap());
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_of_ones_own_is_made_and_goes_again_with_its_directories() {
    for (whose, file) in FILES {
        let machine = Machine::new();
        let before = everything(machine.0.path());
        let said = machine.done(&["enable", whose]);
        assert!(said.contains(file) && said.contains("enabled"), "{said}");
        let text = fs::read_to_string(machine.at(file)).unwrap();
        assert!(text.starts_with("version: 1\nconfiguration:\n  # coldshoe: begin"));
        assert!(text.contains("    force_isolation: true\n"), "{text}");
        let status = machine.status(&[]);
        let files = status["files"].as_array().unwrap();
        let enabled: Vec<_> = files
            .iter()
            .filter(|one| one["state"] == "enabled")
            .collect();
        assert_eq!(enabled.len(), 1, "{status}");
        assert_eq!(enabled[0]["counts"], true);
        assert!(!why(&status).contains("does not isolate"), "{status}");
        machine.done(&["disable", whose]);
        assert_eq!(everything(machine.0.path()), before);
        assert!(
            machine
                .done(&["disable", whose])
                .contains("was not enabled")
        );
    }
}

#[test]
fn a_file_of_somebody_elses_is_as_it_was_afterwards() {
    let crlf = OTHERS.replace('\n', "\r\n");
    let with_ipa = format!("{OTHERS}  ipa:\n    config_paths: [/mine]\n");
    for text in [
        "",
        "# mine",
        OTHERS,
        OTHERS.trim_end(),
        &crlf,
        crlf.trim_end(),
        &with_ipa,
        "version: 1\nconfiguration:",
    ] {
        for (whose, file) in FILES {
            let machine = Machine::new();
            let path = machine.write(file, text);
            if rustix::process::geteuid().is_root() {
                chown(&path, Some(12_345), Some(12_346)).unwrap();
            }
            let of = || fs::metadata(&path).map(|meta| (meta.uid(), meta.gid(), meta.mode()));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let owner = of().unwrap();
            let before = everything(machine.0.path());
            machine.done(&["enable", whose]);
            let with = fs::read_to_string(&path).unwrap();
            for line in text.lines() {
                assert!(with.contains(line), "{line:?} is not in {with}");
            }
            let counts = machine.status(&[]);
            assert!(!why(&counts).contains("does not isolate"), "{counts}");
            assert!(machine.done(&["enable", whose]).contains("already"));
            assert_eq!(fs::read_to_string(&path).unwrap(), with);
            machine.done(&["disable", whose]);
            assert_eq!(everything(machine.0.path()), before, "{text:?}");
            assert_eq!(of().unwrap(), owner);
        }
    }
}

#[test]
fn what_was_written_meanwhile_stays() {
    let machine = Machine::new();
    let file = machine.at(FILES[0].1);
    machine.done(&["enable", "--user"]);
    let more = "  software_isp:\n    threads: 2\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + more).unwrap();
    machine.done(&["disable", "--user"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), OTHERS);

    machine.done(&["enable", "--user"]);
    let text = fs::read_to_string(&file).unwrap();
    let own = text.replace("    force", "    config_paths: [/mine]\n    force");
    fs::write(&file, &own).unwrap();
    let told = machine.refused(&["disable", "--user"], 1);
    assert!(
        told.contains("line 5") && told.contains("not as coldshoe"),
        "{told}"
    );
    assert!(machine.refused(&["enable", "--user"], 1).contains("line 5"));
    assert_eq!(fs::read_to_string(&file).unwrap(), own);
}

#[test]
fn another_installation_takes_the_place_of_one() {
    let machine = Machine::new();
    let file = machine.write(FILES[0].1, OTHERS);
    machine.done(&["enable", "--user"]);
    let other = machine.at("it's elsewhere");
    fs::create_dir(&other).unwrap();
    let program = machine.at("libexec/coldshoe/coldshoe-libcamera");
    symlink(program, other.join("vimc_ipa_proxy")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coldshoectl"));
    command.args(["libcamera", "enable", "--user", "--proxies"]);
    command
        .arg(&other)
        .env_clear()
        .env("HOME", machine.at("home"));
    assert!(
        command
            .arg("--root")
            .arg(machine.at("root"))
            .status()
            .unwrap()
            .success()
    );
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("elsewhere") && !text.contains("libexec"),
        "{text}"
    );
    let looked_for = why(&machine.status(&[]));
    assert!(
        looked_for.contains("it's elsewhere, not in"),
        "{looked_for}"
    );
    machine.done(&["disable", "--user"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), OTHERS);
}

#[test]
fn what_is_not_safe_to_touch_is_not_touched() {
    let machine = Machine::new();
    let (whose, file) = FILES[0];
    let own = "version: 1\nconfiguration:\n  ipa:\n    force_isolation: false\n";
    let path = machine.write(file, own);
    let told = machine.refused(&["enable", whose], 1);
    for part in ["line 4", "`force_isolation: true`", "proxy_paths: ["] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), own);
    fs::write(&path, b"version: 1 # \xff\n").unwrap();
    assert!(machine.refused(&["enable", whose], 1).contains("UTF-8"));
    fs::remove_file(&path).unwrap();
    let elsewhere = machine.write("home/dotfiles/camera.yaml", OTHERS);
    symlink(&elsewhere, &path).unwrap();
    for verb in ["enable", "disable"] {
        let told = machine.refused(&[verb, whose], 1);
        assert!(
            told.contains("link") && told.contains("camera.yaml"),
            "{told}"
        );
    }
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), OTHERS);
    assert!(path.is_symlink());
    let state = &machine.status(&[])["files"][0];
    assert_eq!(
        (&state["state"], &state["counts"]),
        (&"silent".into(), &true.into())
    );
}

#[test]
fn what_is_made_for_everybody_can_be_read_by_everybody_whatever_the_mask() {
    for ((whose, file), mode) in FILES.into_iter().zip([0o700, 0o755]) {
        let machine = Machine::new();
        let output = Command::new("sh")
            .args(["-c", "umask 077; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_coldshoectl"))
            .args(["libcamera", "enable", whose, "--root"])
            .arg(machine.at("root"))
            .arg("--proxies")
            .arg(machine.proxies())
            .env("HOME", machine.at("home"))
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let path = machine.at(file);
        let of = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((of(&path), of(path.parent().unwrap())), (0o644, mode));
    }
}

#[test]
fn rights_that_are_missing_are_said_to_be() {
    if rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: root may read and write everything");
    }
    let machine = Machine::new();
    let path = machine.write(FILES[1].1, OTHERS);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let told = machine.refused(&["enable", "--system"], 5);
    assert!(told.contains("Permission denied"), "{told}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let dir = path.parent().unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).unwrap();
    let told = machine.refused(&["enable", "--system"], 5);
    assert!(told.contains("--system as root"), "{told}");
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), OTHERS);
}

#[test]
fn the_users_directory_is_the_one_that_libcamera_looks_in() {
    let machine = Machine::new();
    let own = machine.at("own");
    let set = ("XDG_CONFIG_HOME", own.to_str().unwrap());
    assert!(machine.ctl(&["enable", "--user"], &[set]).status.success());
    assert!(own.join("libcamera/configuration.yaml").exists());
    assert!(!machine.at("home/.config").exists());
    for dir in ["", "relative"] {
        let output = machine.ctl(&["enable", "--user"], &[("XDG_CONFIG_HOME", dir)]);
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("set HOME, or use --system"), "{told}");
    }
}

/// What libyaml, which libcamera reads its files with, makes of a text.
fn understood(text: &str) -> Option<Value> {
    let program = "import json, sys, yaml\n\
        print(json.dumps(yaml.load(sys.argv[1], yaml.CSafeLoader)))";
    let output = Command::new("python3").args(["-c", program, text]).output();
    let output = output.ok().filter(|output| output.status.success());
    if output.is_none() {
        eprintln!("SKIPPED: there is no python3 with yaml and libyaml");
    }
    Some(serde_json::from_slice(&output?.stdout).unwrap())
}

#[test]
fn what_is_written_means_what_was_there_and_ours() {
    let with_ipa = format!("{OTHERS}  ipa: # mine\n    config_paths: ['/it''s mine']\n");
    for text in [
        "# mine\n",
        OTHERS,
        &with_ipa,
        "---\nversion: 1\nconfiguration:",
    ] {
        let machine = Machine::new();
        let file = machine.write(FILES[0].1, text);
        machine.done(&["enable", "--user"]);
        let after = fs::read_to_string(file).unwrap();
        let (Some(mut before), Some(after)) = (understood(text), understood(&after)) else {
            return;
        };
        before["version"] = 1.into();
        before["configuration"]["ipa"]["force_isolation"] = true.into();
        let proxies = vec![Value::from(machine.proxies().to_str().unwrap())];
        before["configuration"]["ipa"]["proxy_paths"] = proxies.into();
        assert_eq!(after, before, "{text}");
    }
}

#[test]
fn without_proxies_nothing_is_enabled() {
    let machine = Machine::new();
    fs::remove_file(machine.at("libexec/coldshoe/coldshoe-libcamera")).unwrap();
    let told = machine.refused(&["enable", "--user"], 3);
    assert!(told.contains("--proxies"), "{told}");
    assert!(why(&machine.status(&[])).contains("nothing that libcamera could start"));
}

#[test]
fn one_file_counts_and_one_that_is_hidden_is_named() {
    let machine = Machine::new();
    machine.write("root/usr/share/libcamera/configuration.yaml", OTHERS);
    let said = machine.done(&["enable", "--system"]);
    assert!(
        said.contains("usr/share/libcamera/configuration.yaml no longer counts"),
        "{said}"
    );
    let said = machine.done(&["enable", "--user"]);
    assert!(
        said.contains("etc/libcamera/configuration.yaml no longer counts"),
        "{said}"
    );
    machine.done(&["disable", "--system"]);
    let said = machine.done(&["enable", "--system"]);
    assert!(
        said.contains("for you ") && said.contains(".config/libcamera"),
        "{said}"
    );
    let status = machine.status(&[]);
    let counts = |index: usize| status["files"][index]["counts"].as_bool().unwrap();
    assert_eq!([counts(0), counts(1), counts(2)], [true, false, false]);
}

#[test]
fn a_libcamera_that_reads_no_file_is_told_by_the_environment_alone() {
    let machine = Machine::new();
    machine.write("root/usr/lib/libcamera.so.0.4.0", "");
    let told = machine.refused(&["enable", "--user"], 1);
    let paths = format!("LIBCAMERA_IPA_PROXY_PATH={}", machine.proxies().display());
    for part in [
        "0.4.0",
        "older than 0.6.0",
        "LIBCAMERA_IPA_FORCE_ISOLATION=1",
        &paths,
    ] {
        assert!(told.contains(part), "{told}");
    }
    let status = machine.status(&[]);
    assert_eq!(status["libraries"][0]["version"], "0.4.0");
    assert!(why(&status).contains(&paths), "{status}");
    machine.write("root/usr/lib/libcamera.so.0.7.1", "");
    machine.done(&["enable", "--user"]);
    let status = machine.status(&[]);
    assert!(
        why(&status).contains("libcamera.so.0.4.0 is older"),
        "{status}"
    );
}

#[test]
fn the_environment_goes_before_files() {
    let machine = Machine::new();
    let proxies = machine.proxies();
    let ours = proxies.to_str().unwrap();
    let force = ("LIBCAMERA_IPA_FORCE_ISOLATION", "1");
    let isolated = |environment: &[(&str, &str)]| {
        let why = why(&machine.status(environment));
        !why.contains("does not isolate") && !why.contains("workers looked for")
    };
    assert!(!isolated(&[]));
    assert!(!isolated(&[force]));
    assert!(isolated(&[force, ("LIBCAMERA_IPA_PROXY_PATH", ours)]));
    machine.done(&["enable", "--user"]);
    assert!(isolated(&[]));
    assert!(isolated(&[("LIBCAMERA_IPA_FORCE_ISOLATION", "")]));
    assert!(!isolated(&[("LIBCAMERA_IPA_PROXY_PATH", "/elsewhere")]));
    let status = machine.status(&[("LIBCAMERA_IPA_PROXY_PATH", "/elsewhere")]);
    assert!(why(&status).contains("unset LIBCAMERA_IPA_PROXY_PATH"));
    assert_eq!(status["environment"]["proxy_path"], "/elsewhere");
}

#[test]
fn lines_that_were_written_by_hand_are_understood() {
    let machine = Machine::new();
    let proxies = machine.proxies();
    let head = "version: 1\nconfiguration:\n  ipa:\n    force_isolation: true\n";
    let text = format!("{head}    proxy_paths: [{}]\n", proxies.display());
    machine.write(FILES[0].1, &text);
    let status = machine.status(&[]);
    assert_eq!(status["files"][0]["state"], "by_hand");
    assert!(!why(&status).contains("isolate"), "{status}");
    machine.write(FILES[0].1, head);
    assert!(why(&machine.status(&[])).contains("libcamera's own directory"));
    machine.write(FILES[0].1, "version: 2\n");
    assert!(why(&machine.status(&[])).contains("unclear: line 1"));
}

#[test]
fn units_under_which_no_worker_starts_are_named_with_a_way_out() {
    let machine = Machine::new();
    let restricted = "[Service]\nRestrictNamespaces=yes\n";
    machine.write("root/usr/lib/systemd/user/wireplumber.service", restricted);
    machine.write("root/usr/lib/systemd/user/pipewire.service", "[Service]\n");
    machine.write(
        "home/.config/systemd/user/pipewire.service.d/hard.conf",
        restricted,
    );
    machine.write("root/usr/lib/systemd/system/tape.service", restricted);
    let status = machine.status(&[]);
    let whys = why(&status);
    for part in [
        "systemd/user/wireplumber.service makes its clone3 fail",
        "systemctl --user edit wireplumber.service",
        "pipewire.service.d/hard.conf",
        "RestrictNamespaces=no",
    ] {
        assert!(whys.contains(part), "{whys}");
    }
    assert!(!whys.contains("tape"), "{whys}");
    assert_eq!(status["restricted"].as_array().unwrap().len(), 3);
    let words = String::from_utf8(machine.ctl(&["status"], &[]).stdout).unwrap();
    assert!(words.contains("1 more services"), "{words}");
    let way_out = "[Service]\nRestrictNamespaces=no\n";
    machine.write(
        "home/.config/systemd/user/wireplumber.service.d/z.conf",
        way_out,
    );
    assert!(!why(&machine.status(&[])).contains("wireplumber"));
}

#[test]
fn the_json_of_status_keeps_its_schema() {
    let machine = Machine::new();
    machine.write("root/usr/lib/libcamera.so.0.7.1", "");
    machine.write("root/usr/libexec/libcamera/soft_ipa_proxy", "");
    machine.write("root/usr/lib/libcamera/ipa/ipa_soft_simple.so", "");
    machine.done(&["enable", "--user"]);
    let status = machine.status(&[]);
    assert_eq!(
        (&status["schema"], &status["well"]),
        (&1.into(), &false.into())
    );
    let path = |path: &str| Value::from(machine.at(path).to_str().unwrap());
    assert_eq!(status["proxies"], path("libexec/coldshoe/libcamera"));
    let interface = &status["interfaces"][0];
    assert_eq!(interface["name"], "soft");
    assert_eq!(
        interface["worker"],
        path("root/usr/libexec/libcamera/soft_ipa_proxy")
    );
    assert_eq!(
        status["modules"][0],
        path("root/usr/lib/libcamera/ipa/ipa_soft_simple.so")
    );
    assert_eq!(
        status["daemon"]["socket"],
        path("run/coldshoe/control.sock")
    );
    // All else is well.
    assert_eq!(status["obstacles"].as_array().unwrap().len(), 1, "{status}");
    assert!(why(&status).contains("coldshoed"), "{status}");
}
