//! `coldshoectl` on the bus: what it shows, what it has done, and what it ends with.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use coldshoe_tests::{MessageBus, Polkit, built, running, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::on_bus;
use crate::steering::{asked, place};

fn ctl(bus: &MessageBus, arguments: &[&str]) -> Command {
    let mut command = Command::new(built("coldshoectl"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
        .args(arguments);
    command
}

fn run(bus: &MessageBus, arguments: &[&str]) -> Output {
    ctl(bus, arguments).output().expect("coldshoectl")
}

/// What it says where all goes well.
fn said(bus: &MessageBus, arguments: &[&str]) -> String {
    let output = run(bus, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn json(bus: &MessageBus, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(bus, arguments)).expect("JSON")
}

/// Ends with this code and an error of three lines, which says this.
fn fails(output: &Output, code: i32, with: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.trim_end().lines().count(), 3, "{text}");
    assert!(text.starts_with("error: "), "{text}");
    assert!(
        text.contains("\n  why: ") && text.contains("\n  try: "),
        "{text}"
    );
    assert!(text.contains(with), "{with:?} is not in\n{text}");
}

#[test]
fn modules_and_sessions_are_shown_with_all_that_is_known_of_them() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    asked(&mut session, 1);
    let id = session.id().to_string();
    let shown = |session: &Value| session["session"]["worker"] != 0;
    let info = json(&bus, &["info", &id, "--json"]);
    assert!(shown(&info), "{info}");
    assert_eq!(info["session"]["module"], "tells");
    assert_eq!(info["session"]["camera"], "virtual");
    assert_eq!(info["session"]["confinement"]["NoNewPrivs"], true);
    let listed = json(&bus, &["list", "modules", "--json"]);
    let names: Vec<_> = listed["modules"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|module| module["module"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["good", "tells"]);
    let text = said(&bus, &["list", "modules"]);
    assert!(
        text.contains("MODULE") && text.contains("tells.so"),
        "{text}"
    );
    // As much of a name as tells it from others.
    let info = json(&bus, &["info", "go", "--json"]);
    assert_eq!(info["module"]["module"], "good");
    assert_eq!(info["module"]["sha256"].as_str().map(str::len), Some(64));
    let text = said(&bus, &["info", "tel"]);
    assert!(
        text.contains("SHA-256") && text.contains("in use"),
        "{text}"
    );
    fails(&run(&bus, &["info", "77"]), 3, "there is no");
}

#[test]
fn controls_that_are_set_reach_the_module() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    let id = session.id().to_string();
    said(&bus, &["set", &id, "Contrast=1.5", "AeMeteringMode=2"]);
    let got = asked(&mut session, 1);
    assert_eq!((got.contrast, got.metering), (1.5, 2.0));
    said(&bus, &["set", &id, "AeEnable=false"]);
    let got = asked(&mut session, 2);
    assert_eq!((got.contrast, got.ae), (1.5, 10.0));
    said(&bus, &["set", &id, "--replace"]);
    assert_eq!(asked(&mut session, 3).bits, 0);
    fails(&run(&bus, &["set", "77", "Contrast=1"]), 3, "77");
    // Usage is clap's to tell.
    for bad in [&["Magic=1"][..], &["Contrast=99"], &[]] {
        let output = run(&bus, &[&["set", &id][..], bad].concat());
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {output:?}");
    }
}

#[test]
fn what_is_held_is_held_as_long_as_the_program_runs_and_its_code_is_told() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    let id = session.id().to_string();
    assert_eq!(asked(&mut session, 1).ae, 1.0);
    let mut child = ctl(&bus, &["hold", &id, "ae,awb", "--", "sh", "-c"])
        .arg("echo held; read line; exit 7")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("coldshoectl");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it runs");
    assert_eq!(asked(&mut session, 2).ae, 10.0);
    // The program stands for the reason.
    fails(
        &run(&bus, &["hold", &id, "ae", "--", "true"]),
        1,
        "echo held",
    );
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("our child").code(), Some(7));
    let mut number = 2;
    until(
        "it is let go",
        || {
            number += 1;
            asked(&mut session, number).ae == 11.0
        },
        || {},
    );
    let killed = run(&bus, &["hold", &id, "ae", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.status.code(), Some(128 + 9));
    let none = ["hold", &id, "af", "--", "/there/is/none"];
    fails(&run(&bus, &none), 3, "/there/is/none");
    fails(&run(&bus, &["hold", "77", "ae", "--", "true"]), 3, "77");
    let bad = run(&bus, &["hold", &id, "iso", "--", "true"]);
    assert_eq!(bad.status.code(), Some(2));
}

/// Holds exposure, and waits for its end: it is ready when it hears signals.
fn holding(bus: &MessageBus, id: &str, arguments: &[&str]) -> Child {
    let child = ctl(bus, &[&["hold", id, "ae"][..], arguments].concat())
        .stderr(Stdio::piped())
        .spawn()
        .expect("coldshoectl");
    let hears = |signal: Signal| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.expect("it lives");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.expect("a line").trim(), 16);
        caught.expect("a mask") & (1 << (signal.as_raw() - 1)) != 0
    };
    until(
        "it holds",
        || {
            [Signal::INT, Signal::TERM, Signal::HUP]
                .into_iter()
                .all(hears)
        },
        std::thread::yield_now,
    );
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("our child");
}

#[test]
fn a_hold_without_a_program_ends_when_it_is_interrupted_or_its_session_ends() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let session = running(&daemon, "tells");
    let id = session.id().to_string();
    let mut child = holding(&bus, &id, &["--reason", "a look"]);
    signal(&child, Signal::INT);
    assert_eq!(child.wait().expect("our child").code(), Some(130));
    daemon.log().wait_for("let go");
    // What is to end it ends its program, whose end it tells.
    let mut child = holding(&bus, &id, &["--", "sleep", "1000"]);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().expect("our child").code(), Some(128 + 15));
    until(
        "it is let go again",
        || daemon.log().all("let go").len() == 2,
        || daemon.turn(),
    );
    let child = holding(&bus, &id, &[]);
    session.close().expect("closed");
    let output = child.wait_with_output().expect("our child");
    fails(&output, 1, "holds nothing any more");
}

#[test]
fn a_program_whose_session_ends_goes_on_and_its_user_is_told() {
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let session = running(&daemon, "tells");
    let id = session.id().to_string();
    let mut child = ctl(
        &bus,
        &["hold", &id, "ae", "--", "sh", "-c", "echo on; read line"],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("coldshoectl");
    let line = |from: &mut dyn BufRead| {
        let mut line = String::new();
        from.read_line(&mut line).map(|_| line).expect("a line")
    };
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    assert_eq!(line(&mut out), "on\n");
    session.close().expect("closed");
    let mut told = BufReader::new(child.stderr.take().expect("piped"));
    let warning = format!("warning: session {id} holds nothing any more\n");
    assert_eq!(line(&mut told), warning);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"enough\n").expect("it reads");
    assert!(child.wait().expect("our child").success());
}

#[test]
fn modules_are_trusted_forgotten_put_away_and_released() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let module = |name: &str| json(&bus, &["info", name, "--json"])["module"].clone();
    let until_it_is = |key: &str, value: &str| {
        until(
            "it is shown",
            || module("good")[key] == value,
            || daemon.turn(),
        );
    };
    let text = said(&bus, &["module", "trust", "good"]);
    assert!(text.contains("\"good\" is trusted"), "{text}");
    until_it_is("trust", "trusted");
    said(&bus, &["module", "forget", "good"]);
    until_it_is("trust", "unknown");
    said(
        &bus,
        &["module", "quarantine", "good", "--reason", "it is old"],
    );
    until_it_is("state", "quarantined");
    let refused = coldshoe::Session::open(&daemon.open("good")).expect_err("refused");
    assert!(refused.to_string().contains("it is old"), "{refused}");
    said(&bus, &["module", "release", "good"]);
    until_it_is("state", "ready");
    running(&daemon, "good").close().expect("closed");
    fails(&run(&bus, &["module", "trust", "goof"]), 3, "good");
    // Over the control socket, where there is no bus.
    said(&bus, &["module", "quarantine", "good"]);
    let socket = daemon.socket();
    let socket = socket.to_str().expect("text");
    said(&bus, &["module", "release", "good", "--socket", socket]);
    until_it_is("state", "ready");
}

#[test]
fn what_polkit_does_not_allow_ends_with_5_and_somebody_may_be_asked() {
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let session = running(&daemon, "good");
    let id = session.id().to_string();
    on_bus(async {
        let polkit = Polkit::on(&bus).await;
        for (arguments, action) in [
            (&["module", "trust", "good"][..], "trust-module"),
            (&["module", "forget", "good"], "trust-module"),
            (&["module", "quarantine", "good"], "manage"),
            (&["module", "release", "good"], "manage"),
        ] {
            let output = run(&bus, arguments);
            fails(&output, 5, action);
            let action = format!("org.coldshoe.Coldshoe1.{action}");
            assert_eq!(polkit.asked(), [(action, true)]);
        }
        polkit.answers("manage", true, false);
        said(&bus, &["module", "release", "good"]);
    });
    // Another user owns no session here, and there is no polkit any more.
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return;
    }
    let program = tempfile::Builder::new().prefix("coldshoectl-").tempdir();
    let program = program.expect("a directory");
    open_to_all(program.path());
    let copy = program.path().join("coldshoectl");
    std::fs::copy(built("coldshoectl"), &copy).expect("a copy");
    let mut command = Command::new(copy);
    command
        .env_clear()
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
        .args(["set", &id, "Contrast=1"])
        .uid(65534)
        .gid(65534);
    fails(
        &command.output().expect("a copy of coldshoectl"),
        5,
        "65534",
    );
}

fn open_to_all(dir: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir, all).expect("our own");
}

#[test]
fn without_a_bus_or_a_daemon_it_ends_with_4() {
    let mut bus = MessageBus::new();
    for verb in [
        &["list", "modules"][..],
        &["info", "1"],
        &["set", "1", "Contrast=1"],
        &["hold", "1", "ae"],
        &["module", "trust", "good"],
    ] {
        fails(&run(&bus, verb), 4, "coldshoed is not on the bus");
    }
    bus.stop();
    fails(&run(&bus, &["list", "modules"]), 4, "not on the bus");
    let refused = run(&bus, &["--color", "sometimes", "list", "modules"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_users_own_daemon_goes_before_the_systems_unless_it_is_said() {
    let (own, system) = (MessageBus::new(), MessageBus::new());
    let (mine, _theirs) = (own.daemon_in(place(), &[]), system.daemon());
    let shows_mine = |whose: &[&str]| {
        let output = ctl(
            &system,
            &[&["list", "modules", "--json"][..], whose].concat(),
        )
        .env("DBUS_SESSION_BUS_ADDRESS", own.address())
        .output()
        .expect("coldshoectl");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).contains("tells")
    };
    assert!(shows_mine(&[]) && shows_mine(&["--user"]));
    assert!(!shows_mine(&["--system"]));
    mine.stop();
    assert!(
        !shows_mine(&[]),
        "the system's, where there is none of one's own"
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let bus = MessageBus::new();
    let _daemon = bus.daemon();
    let mut child = ctl(&bus, &["list", "modules", "--color", "always"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("coldshoectl");
    drop(child.stdout.take());
    assert!(child.wait().expect("our child").success());
}
