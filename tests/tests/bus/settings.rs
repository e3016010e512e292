//! Which bus, as files and the command line say.

use std::fs;
use std::process::{Command, Output};

use coldshoe_tests::{Daemon, MessageBus, Place, built};

fn config(dir: &tempfile::TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(built("coldshoectl"));
    command.env_clear().arg("config").args(arguments);
    if arguments[0] != "explain" {
        command.arg("--config-dir").arg(dir.path());
    }
    command.output().expect("coldshoectl")
}

#[test]
fn a_file_says_which_bus_and_the_command_line_overrides_it() {
    let bus = MessageBus::new();
    let settings = tempfile::tempdir().expect("a directory");
    let file = settings.path().join("coldshoed.toml");
    let start = |options: &[&str]| {
        let place = Place::new();
        let mut command = place.coldshoed_set_by(settings.path());
        command
            .args(options)
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
        Daemon::start_with(place, command)
    };
    fs::write(&file, "bus = \"system\"\n").expect("written");
    let daemon = start(&[]);
    daemon.log().wait_for("on the bus");
    // The name would be waited for.
    let other = start(&["--bus", "none"]);
    other.turn();
    let (_, log) = other.stop();
    assert!(
        !log.contains("the bus") && !log.contains("waited for"),
        "{log}"
    );
    drop(daemon);
    fs::write(&file, "bus = \"none\"\n").expect("written");
    let daemon = start(&["--bus", "system"]);
    daemon.log().wait_for("on the bus");
}

#[test]
fn the_key_is_shown_explained_and_validated() {
    let settings = tempfile::tempdir().expect("a directory");
    let file = settings.path().join("coldshoed.toml");
    fs::write(&file, "\nbus = \"system\"\n").expect("written");
    let validated = config(&settings, &["validate"]);
    assert!(validated.status.success(), "{validated:?}");
    let shown = config(&settings, &["show", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let rows = shown["settings"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["key"] == "bus").expect("a row");
    assert_eq!(row["value"], "\"system\"");
    assert_eq!(row["from"], format!("{}:2", file.display()));
    let explained = config(&settings, &["explain", "bus"]);
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        text.contains("org.coldshoe.Coldshoe1")
            && text.contains("option --bus; counts after a restart"),
        "{text}"
    );
    fs::write(&file, "\nbus = \"loud\"\n").expect("written");
    let refused = config(&settings, &["validate"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(
        text.contains("line 2") && text.contains("loud") && text.contains("session"),
        "{text}"
    );
}
