//! libcamera's own workers in the jail: the system's package, unmodified, spoken to as libcamera does.
//! Where it is not installed the tests say so.
#![forbid(unsafe_code)]

mod application;
mod hostile;
mod naive;
#[path = "../../../proto/libcamera/tests/speech/mod.rs"]
mod speech;
mod unmodified;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldshoe::{ErrorCode, Trouble};
use coldshoe_control::client::OpenLibcamera;
use coldshoe_tests::{Daemon, Place, Raw, built, children, three_lines};
use rustix::process::Signal;

use application::Application;
use unmodified::algorithm;

/// Calls of every interface, and of vimc.
const EXIT: u32 = 0;
const START: u32 = 3;

/// A daemon, and where its socket is.
fn daemon() -> (Daemon, PathBuf) {
    let place = Place::bare();
    let runtime = place.runtime_dir();
    (Daemon::start(place), runtime)
}

#[test]
fn a_session_of_libcamera_is_seen_like_any_other_and_its_worker_is_confined() {
    let Some((series, module)) = algorithm("vimc") else {
        return;
    };
    let (daemon, runtime) = daemon();
    let application = Application::start(&runtime, "vimc", &module);
    series.vimc(&application);
    let output = Command::new(built("coldshoectl"))
        .args(["list", "sessions", "--socket"])
        .arg(runtime.join("control.sock"))
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        listed.contains("ipa_vimc") && listed.contains("libcamera vimc"),
        "{listed}"
    );
    let workers = children(daemon.pid());
    let [pid] = workers.as_slice() else {
        panic!("{workers:?} are the daemon's workers");
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    application.say(EXIT, 99, &[]);
    assert!(application.ends().0);
}

#[test]
fn what_is_no_algorithm_of_libcamera_is_refused_in_three_lines() {
    let (_daemon, runtime) = daemon();
    for module in ["/etc/passwd", "/nonexistent/ipa_vimc.so"] {
        let (well, said) = Application::start(&runtime, "vimc", Path::new(module)).ends();
        assert!(!well);
        assert!(said.contains(module), "{said}");
        assert!(said.contains("why: ") && said.contains("try: "), "{said}");
    }
}

#[test]
fn an_algorithm_of_a_directory_of_ones_own_is_taken_from_a_reload_on() {
    let Some((series, module)) = algorithm("vimc") else {
        return;
    };
    let (place, settings) = (Place::new(), tempfile::tempdir().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("ipa_vimc.so");
    std::fs::copy(module, &own).unwrap();
    let runtime = place.runtime_dir();
    let command = place.coldshoed_set_by(settings.path());
    let daemon = Daemon::start_with(place, command);
    let (well, said) = Application::start(&runtime, "vimc", &own).ends();
    assert!(!well && said.contains("--libcamera-module-dir"), "{said}");

    let keys = format!("libcamera_module_dirs = [{:?}]\n", dir.path());
    std::fs::write(settings.path().join("coldshoed.toml"), &keys).unwrap();
    daemon.signal(Signal::HUP);
    daemon.log().wait_for("settings were read again");
    let application = Application::start(&runtime, "vimc", &own);
    assert_eq!(series.vimc(&application)[..4], [0; 4]);
    application.say(EXIT, 2, &[]);
    assert!(application.ends().0);

    // A directory that others could write to could hide a worker of the packages.
    let workers = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(workers.path(), open).unwrap();
    let more = format!("{keys}libcamera_worker_dirs = [{:?}]\n", workers.path());
    std::fs::write(settings.path().join("coldshoed.toml"), more).unwrap();
    daemon.signal(Signal::HUP);
    daemon.log().wait_for("libcamera_worker_dirs");
    let (well, said) = Application::start(&runtime, "vimc", &own).ends();
    assert!(!well && said.contains("written by everybody"), "{said}");
}

#[test]
fn status_is_well_where_nothing_is_in_the_way() {
    let (_daemon, runtime) = daemon();
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    for dir in [
        "proxies",
        "root/usr/lib",
        "root/usr/libexec/libcamera",
        "run",
    ] {
        std::fs::create_dir_all(at(dir)).unwrap();
    }
    std::os::unix::fs::symlink(runtime, at("run/coldshoe")).unwrap();
    let program = built("coldshoe-libcamera");
    std::os::unix::fs::symlink(program, at("proxies/vimc_ipa_proxy")).unwrap();
    std::fs::write(at("root/usr/libexec/libcamera/vimc_ipa_proxy"), "").unwrap();
    std::fs::write(at("root/usr/lib/libcamera.so.0.7.1"), "").unwrap();
    let ctl = |args: &[&str]| {
        let mut command = Command::new(built("coldshoectl"));
        command.env_clear().env("HOME", place.path());
        command.env("XDG_RUNTIME_DIR", at("run"));
        command
            .arg("libcamera")
            .args(args)
            .arg("--root")
            .arg(at("root"));
        let output = command
            .arg("--proxies")
            .arg(at("proxies"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = ctl(&["status"]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("coldshoectl libcamera enable"), "{said}");
    assert_eq!(ctl(&["enable", "--user"]).0, Some(0));
    let (code, said) = ctl(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("algorithms run in coldshoe's jail"), "{said}");
}

#[test]
fn without_a_daemon_the_way_out_is_named() {
    let place = Place::new();
    std::fs::create_dir(place.runtime_dir()).unwrap();
    std::fs::write(place.socket(), "").unwrap();
    let (well, said) = Application::start(&place.runtime_dir(), "vimc", Path::new("/x.so")).ends();
    assert!(!well);
    assert!(
        said.contains("no coldshoed at") && said.contains("Flatpak"),
        "{said}"
    );
}

#[test]
fn two_cameras_at_once_have_a_worker_each() {
    let Some((series, module)) = algorithm("vimc") else {
        return;
    };
    let (_daemon, runtime) = daemon();
    let both = [(); 2].map(|()| Application::start(&runtime, "vimc", &module));
    for application in &both {
        series.vimc(application);
    }
    for application in both {
        application.ask(START, 2, &[]);
        application.say(EXIT, 3, &[]);
        assert!(application.ends().0);
    }
}

#[test]
fn what_is_no_interface_is_refused_before_anybody_sees_it() {
    let (daemon, _runtime) = daemon();
    // The last is as long as names on the wire may be: with what is put before it, it would be too long
    // for a list of sessions.
    for ipa in ["../vimc", "VIMC", &"\u{1f4f7}".repeat(64)] {
        let request = OpenLibcamera {
            ipa: ipa.to_owned(),
            module: "/x.so".to_owned(),
        };
        let error = Raw::greeted(&daemon.socket()).refused(request, &[]);
        assert_eq!(error.code(), ErrorCode::BadArgument);
        let said = ["interface", "a-z", "NAME_ipa_proxy"];
        three_lines(&Trouble::from(error), said);
    }
}
