//! Clients in other languages.

use std::process::Command;

use coldshoe_tests::{MessageBus, Objects, run_frame, running};

fn done(command: &mut Command) -> String {
    let output = command.output().expect("the tool is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{error}");
    text
}

fn missing(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok()
        || Command::new(program).arg("help").output().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no {program} on this machine");
    }
    !found
}

#[test]
fn busctl_reads_and_steers_a_session() {
    if missing("busctl") {
        return;
    }
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let mut session = running(&daemon, "good");
    let path = format!("{}/session_{}", Objects::ROOT, session.id());
    let busctl = |arguments: &[&str]| {
        let mut tool = bus.tool("busctl");
        tool.arg(format!("--address={}", bus.address()));
        done(tool.args(arguments))
    };
    let tree = busctl(&["tree", Objects::SERVICE]);
    assert!(
        tree.contains(&path) && tree.contains("module_good"),
        "{tree}"
    );
    let interface = "org.coldshoe.Coldshoe1.Session";
    let state = busctl(&["get-property", Objects::SERVICE, &path, interface, "State"]);
    assert_eq!(state.trim(), "u 2");
    busctl(&[
        "call",
        Objects::SERVICE,
        &path,
        interface,
        "SetControls",
        "a{sv}a{sv}",
        "1",
        "ColourTemperature",
        "i",
        "4200",
        "0",
    ]);
    let ticket = session
        .submit(
            &coldshoe_tests::frame(1, coldshoe_tests::PATIENCE),
            &[7; 64],
        )
        .expect("a slot");
    let outcome = session.wait(ticket);
    let told = outcome.answer().expect("fresh").metadata;
    assert_eq!(told.colour_temperature, Some(4200.0));
    // What systemctl service-log-level uses.
    let log = [
        "/org/freedesktop/LogControl1",
        "org.freedesktop.LogControl1",
    ];
    let level = |level: &str| {
        busctl(&[
            "set-property",
            Objects::SERVICE,
            log[0],
            log[1],
            "LogLevel",
            "s",
            level,
        ]);
        busctl(&["get-property", Objects::SERVICE, log[0], log[1], "LogLevel"])
    };
    assert_eq!(level("debug").trim(), "s \"debug\"");
    assert_eq!(level("warning").trim(), "s \"warning\"");
    let mut wrong = bus.tool("busctl");
    wrong.arg(format!("--address={}", bus.address()));
    wrong.args([
        "set-property",
        Objects::SERVICE,
        log[0],
        log[1],
        "LogLevel",
        "s",
        "loud",
    ]);
    let refused = wrong.output().expect("busctl");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("use one of"));
}

#[test]
fn gdbus_reads_and_steers_a_session() {
    if missing("gdbus") {
        return;
    }
    let bus = MessageBus::new();
    let daemon = bus.daemon();
    let mut session = running(&daemon, "good");
    let path = format!("{}/session_{}", Objects::ROOT, session.id());
    let gdbus = |method: &str, object: &str, arguments: &[&str]| {
        let mut tool = bus.tool("gdbus");
        tool.args([
            "call",
            "--address",
            &bus.address(),
            "-d",
            Objects::SERVICE,
            "-o",
            object,
            "-m",
        ])
        .arg(method)
        .args(arguments);
        done(&mut tool)
    };
    let all = gdbus(
        "org.freedesktop.DBus.ObjectManager.GetManagedObjects",
        Objects::ROOT,
        &[],
    );
    assert!(
        all.contains(&path) && all.contains("DeadlineMisses"),
        "{all}"
    );
    let set = "org.coldshoe.Coldshoe1.Session.SetControls";
    gdbus(
        set,
        &path,
        &["{'AeEnable': <false>, 'ColourGains': <(1.5, 2.5)>}", "{}"],
    );
    run_frame(&mut session, 1);
    let id = format!("{}", session.id());
    let found = gdbus(
        "org.coldshoe.Coldshoe1.Manager.GetSession",
        Objects::ROOT,
        &[&id],
    );
    assert!(found.contains(&path), "{found}");
}
