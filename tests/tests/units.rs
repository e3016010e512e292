//! Units, as `make install` fills them in, before a systemd that looks at them without running them.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coldshoe_jail::{Arch, Outcome, Phase, Profile};
use coldshoe_tests::built;

const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Most exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &str = "20";

/// What `make install-units` puts below a prefix, and the programs that it speaks of.
struct Installed(tempfile::TempDir);

impl Installed {
    /// `None` where nobody can look at units.
    fn new() -> Option<Self> {
        if Command::new("systemd-analyze")
            .arg("--version")
            .output()
            .is_err()
        {
            eprintln!("SKIPPED: systemd-analyze is missing: nobody has looked at the units");
            return None;
        }
        Some(Self::made())
    }

    fn made() -> Self {
        let installed = Self(tempfile::tempdir().expect("a directory"));
        let made = Command::new("make")
            .args(["-s", "-C", TOP, "install-units", "DESTDIR="])
            .arg(format!("PREFIX={}", installed.0.path().display()))
            .output()
            .expect("make");
        assert!(made.status.success(), "{made:?}");
        let programs = installed.0.path().join("libexec/coldshoe");
        fs::create_dir_all(&programs).expect("made");
        fs::copy(built("coldshoed"), programs.join("coldshoed")).expect("a copy");
        installed
    }

    fn units(&self, manager: &str) -> PathBuf {
        self.0.path().join("lib/systemd").join(manager)
    }

    fn analyze(&self, manager: &str, args: &[&str]) -> Output {
        let mut command = Command::new("systemd-analyze");
        // With the usual ones behind it.
        let path = format!("{}:", self.units(manager).display());
        command
            .arg(format!("--{manager}"))
            .args(args)
            .env("SYSTEMD_UNIT_PATH", path)
            .env("XDG_RUNTIME_DIR", self.0.path());
        command.output().expect("systemd-analyze")
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let Some(installed) = Installed::new() else {
        return;
    };
    for manager in ["system", "user"] {
        let verified = installed.analyze(
            manager,
            &["verify", "coldshoed.service", "coldshoed.socket"],
        );
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // Of other units of this machine it may say more than of ours.
        let ours: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("coldshoe"))
            .collect();
        assert!(
            verified.status.success() && ours.is_empty(),
            "{manager}: {said}"
        );
    }
}

#[test]
fn a_unit_that_is_wrong_is_noticed() {
    let Some(installed) = Installed::new() else {
        return;
    };
    let unit = installed.units("system").join("coldshoed.service");
    let text = fs::read_to_string(&unit).expect("installed");
    fs::write(
        &unit,
        text.replace("ProtectHome=yes", "ProtectHome=perhaps"),
    )
    .expect("ours");
    let verified = installed.analyze("system", &["verify", "coldshoed.service"]);
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(
        said.contains("coldshoed.service") && said.contains("perhaps"),
        "{said}"
    );
}

#[test]
fn the_service_is_not_exposed_more_than_promised() {
    let Some(installed) = Installed::new() else {
        return;
    };
    let unit = installed.units("system").join("coldshoed.service");
    let unit = unit.to_str().expect("text");
    let judge = |threshold: &str| {
        let threshold = format!("--threshold={threshold}");
        let args = ["security", "--offline=yes", "--no-pager", &threshold, unit];
        installed.analyze("system", &args)
    };
    let judged = judge(EXPOSURE);
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    let score = said
        .lines()
        .rev()
        .find(|line| line.contains("exposure level"));
    eprintln!("{}", score.unwrap_or("no score"));
    assert!(judged.status.success() && score.is_some(), "{said}");
    assert!(!judge("1").status.success(), "the threshold is one");
}

/// The calls that the unit's filter lets through, groups spelled out.
fn filter(unit: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(unit).expect("installed");
    let lines = text.lines();
    let lines = lines.filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let mut wanted: Vec<String> = lines
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect();
    // A filter is never without it.
    wanted.push("@default".to_owned());
    let mut calls = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        assert!(
            !name.starts_with('~'),
            "{name}: this test reads lists of what is allowed"
        );
        if !name.starts_with('@') {
            calls.insert(name);
            continue;
        }
        let group = Command::new("systemd-analyze")
            .args(["syscall-filter", &name])
            .output();
        let group = group.expect("systemd-analyze");
        assert!(group.status.success(), "{name} is a group");
        let text = String::from_utf8(group.stdout).expect("text");
        let names = text.lines().skip(1).map(str::trim);
        let names = names.filter(|line| !line.is_empty() && !line.starts_with('#'));
        wanted.extend(names.map(str::to_owned));
    }
    calls
}

#[test]
fn what_workers_may_do_their_service_may_do() {
    let Some(installed) = Installed::new() else {
        return;
    };
    let Some(arch) = Arch::from_name(std::env::consts::ARCH) else {
        eprintln!("SKIPPED: there are no jails for this architecture");
        return;
    };
    for manager in ["system", "user"] {
        let filter = filter(&installed.units(manager).join("coldshoed.service"));
        for (name, _) in Profile::BUILTIN {
            let profile = Profile::builtin(name).expect("built in");
            for phase in Phase::ALL {
                let calls = profile.explain(arch, phase).calls.into_iter();
                let allowed =
                    |outcome| matches!(outcome, Outcome::Allowed | Outcome::AllowedByDaemon);
                let missing: BTreeSet<_> = calls
                    .filter(|call| allowed(call.outcome) && !filter.contains(call.name.as_str()))
                    .map(|call| call.name)
                    .collect();
                assert!(
                    missing.is_empty(),
                    "{manager}, {name}, {phase:?}: {missing:?}"
                );
            }
        }
    }
}

#[test]
fn the_sockets_are_where_clients_look_and_have_the_name_that_the_daemon_knows() {
    let units = Path::new(TOP).join("systemd");
    let says = |manager: &str, line: &str| {
        let text = fs::read_to_string(units.join(manager).join("coldshoed.socket")).expect("there");
        assert!(text.lines().any(|own| own == line), "{manager}: {line}");
    };
    let system = format!("ListenSequentialPacket={}", coldshoe::SYSTEM_SOCKET);
    says("system", &system);
    says("user", "ListenSequentialPacket=%t/coldshoe/control.sock");
    for manager in ["system", "user"] {
        says(manager, "FileDescriptorName=control");
    }
}
