//! The examples for authors of applications, as they stand.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use coldshoe::Session;
use coldshoe_tests::{MessageBus, running, until};

use crate::steering::{asked, place};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/dbus");

/// A Python that knows D-Bus.
fn python() -> Option<&'static str> {
    let knows = |python: &&str| {
        let import = Command::new(python).args(["-c", "import dbus"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(knows);
    if found.is_none() {
        eprintln!("SKIPPED: no Python here has dbus-python (package python3-dbus)");
    }
    found
}

/// The example in C, compiled as it says.
fn compiled(dir: &tempfile::TempDir) -> Option<PathBuf> {
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs", "libsystemd"])
        .output();
    let Some(flags) = flags.ok().filter(|output| output.status.success()) else {
        eprintln!("SKIPPED: there is no sd-bus here (package libsystemd-dev)");
        return None;
    };
    let program = dir.path().join("steer");
    let output = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(format!("{EXAMPLES}/steer.c"))
        .args(String::from_utf8_lossy(&flags.stdout).split_whitespace())
        .output()
        .expect("a C compiler");
    assert!(output.status.success(), "{output:?}");
    Some(program)
}

/// The example reads a session, its controls arrive, and exposure is held as long as it lives.
fn steers(command: &mut Command, session: &mut Session) {
    let mut child: Child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let (mut told, mut held) = (String::new(), String::new());
    out.read_line(&mut told).expect("what it reads");
    out.read_line(&mut held).expect("what it holds");
    if !held.contains("exposure is held") {
        let mut error = String::new();
        let stderr = child.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut error).expect("text");
        panic!("{told}{held}{error}");
    }
    let id = session.id();
    let said = format!("session {id}, camera virtual, ");
    assert!(told.starts_with(&said), "{told}");
    let got = asked(session, 2);
    assert!((got.contrast - 1.2).abs() < 1e-6, "{got:?}");
    assert_eq!(got.ae, 10.0, "it is held");
    child.kill().expect("our child");
    child.wait().expect("our child");
    let mut number = 2;
    until(
        "the hold ends with the program",
        || {
            number += 1;
            asked(session, number).ae == 11.0
        },
        || {},
    );
}

#[test]
fn the_example_in_python_reads_and_steers_a_session() {
    let Some(python) = python() else { return };
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    asked(&mut session, 1);
    let mut command = bus.tool(python);
    // Its words come when they are said.
    command.arg("-u").arg(format!("{EXAMPLES}/steer.py"));
    steers(command.args(["system", "1000"]), &mut session);
    let ended = bus
        .tool(python)
        .arg(format!("{EXAMPLES}/steer.py"))
        .args(["session", "0"])
        .output()
        .expect("python");
    assert!(ended.status.success(), "{ended:?}");
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(told.contains("99 of 100 frames took less than"), "{told}");
}

#[test]
fn the_example_in_c_reads_and_steers_a_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(program) = compiled(&dir) else {
        return;
    };
    let bus = MessageBus::new();
    let daemon = bus.daemon_in(place(), &[]);
    let mut session = running(&daemon, "tells");
    asked(&mut session, 1);
    let id = session.id().to_string();
    let program = program.to_str().expect("text");
    steers(
        bus.tool(program).args(["system", &id, "1000"]),
        &mut session,
    );
    let ended = bus.tool(program).args(["session", &id, "0"]).output();
    assert!(ended.expect("the example").status.success());
    let wrong = bus.tool(program).args(["system", "77"]).output();
    let wrong = wrong.expect("the example");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        !wrong.status.success() && said.contains("the session cannot be read"),
        "{said}"
    );
}
