//! The AppArmor profile, as `make install` fills it in, before a parser that loads nothing.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What only parsers from 4.0 on know, and what only kernels that need the profile ask for.
const SINCE_4: [&str; 2] = ["abi <abi/4.0>,", "userns,"];

/// Debian keeps it where only root looks.
fn parser(directory: &Path, text: &str) -> Output {
    let file = directory.join("profile");
    fs::write(&file, text).expect("our own");
    let found = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
    let parser = found.into_iter().find(|path| Path::new(path).exists());
    Command::new(parser.unwrap_or("apparmor_parser"))
        .args(["--skip-kernel-load", "--skip-cache", "--debug"])
        .arg(&file)
        .output()
        .expect("seen before")
}

fn is_there() -> bool {
    let there = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"]
        .iter()
        .any(|path| Path::new(path).exists());
    if !there {
        eprintln!("SKIPPED: apparmor_parser is missing: nobody has parsed the profile (apparmor)");
    }
    there
}

/// The profile for a prefix, and whether the parser of this machine knows all that it may say.
fn profile(directory: &Path) -> (String, bool) {
    let prefix = directory.join("prefix");
    let made = Command::new("make")
        .args(["-s", "-C", TOP, "install-units", "DESTDIR="])
        .arg(format!("PREFIX={}", prefix.display()))
        .output()
        .expect("make");
    assert!(made.status.success(), "{made:?}");
    let file = prefix.join("share/apparmor/extra-profiles/coldshoed");
    let text = fs::read_to_string(file).expect("installed");
    let [abi, userns] = SINCE_4;
    let small = format!("{abi}\nprofile small /small {{\n  {userns}\n}}\n");
    let known = parser(directory, &small).status.success();
    if known {
        return (text, true);
    }
    eprintln!("SKIPPED: this apparmor_parser is older than 4.0, and reads all but {SINCE_4:?}");
    let lines = text.lines().filter(|line| !SINCE_4.contains(&line.trim()));
    (lines.map(|line| format!("{line}\n")).collect(), false)
}

#[test]
fn apparmor_finds_nothing_wrong_with_the_profile() {
    if !is_there() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (text, whole) = profile(directory.path());
    let parsed = parser(directory.path(), &text);
    let said = String::from_utf8_lossy(&parsed.stdout) + String::from_utf8_lossy(&parsed.stderr);
    assert!(parsed.status.success(), "{said}");
    for name in ["coldshoed", "coldshoe-worker"] {
        let attached = format!("prefix/libexec/coldshoe/{name} flags=(unconfined)");
        assert!(text.contains(&attached), "{text}");
    }
    assert_eq!(text.contains("userns,"), whole);
}

#[test]
fn a_profile_that_is_wrong_is_noticed() {
    if !is_there() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (text, _) = profile(directory.path());
    for (right, wrong) in [
        ("flags=(unconfined)", "flags=(perhaps)"),
        ("include <tunables/global>", "include <tunables/none>"),
        ("profile coldshoe-worker", "coldshoe-worker"),
    ] {
        assert!(text.contains(right), "{text}");
        let parsed = parser(directory.path(), &text.replace(right, wrong));
        assert!(!parsed.status.success(), "{wrong} is parsed");
    }
}
