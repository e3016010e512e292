//! What is set in files, and read again while sessions run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use coldshoe::Session;
use coldshoe_tests::{
    Daemon, Manager, Place, assert_serves, built, refused, run_frame, running, three_lines,
};
use rustix::process::Signal;

/// A directory with settings.
struct Settings(tempfile::TempDir);

impl Settings {
    fn new() -> Self {
        let settings = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir(settings.0.path().join("coldshoed.toml.d")).expect("in our own");
        settings
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.path().join(file), text).expect("written");
    }

    fn modules(&self, file: &str, dirs: &[PathBuf]) {
        self.write(file, &format!("module_dirs = {dirs:?}\n"));
    }

    /// A daemon that has them from here.
    fn daemon(&self, place: Place) -> Daemon {
        let command = place.coldshoed_set_by(self.0.path());
        Daemon::start_with(place, command)
    }

    /// What `coldshoectl config` says.
    fn ctl(&self, args: &[&str]) -> Output {
        let mut command = Command::new(built("coldshoectl"));
        command.env_clear().arg("config").args(args);
        if args[0] != "explain" {
            command.arg("--config-dir").arg(self.0.path());
        }
        command.output().expect("coldshoectl")
    }
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The error of a command that ends with `code`.
fn failed(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = String::from_utf8(output.stderr).expect("text");
    let text = text.trim_end().strip_prefix("error: ").unwrap_or(&text);
    text.to_owned()
}

#[test]
fn a_reload_counts_for_sessions_that_are_opened_then_and_for_no_other() {
    let (settings, place) = (Settings::new(), Place::new());
    let other = tempfile::tempdir().expect("a directory");
    let modules = place.modules();
    fs::copy(place.module_file("good"), other.path().join("late.so")).expect("a module");
    settings.modules("coldshoed.toml", std::slice::from_ref(&modules));
    let daemon = settings.daemon(place);
    let mut session = running(&daemon, "good");
    let worker = session.worker_pid();
    refused(&daemon.open("late"), ["no module", "late.so", "good"]);

    settings.modules("coldshoed.toml.d/10.toml", &[other.path().to_owned()]);
    daemon.signal(Signal::HUP);
    daemon.log().wait_for("settings were read again");
    daemon.log().wait_for("module_dirs");
    running(&daemon, "late").close().expect("closed");
    refused(&daemon.open("good"), ["no module", "good.so", "late"]);
    assert_eq!(run_frame(&mut session, 1024), 1.25);
    assert_eq!(session.worker_pid(), worker);
    session.close().expect("closed");
}

#[test]
fn settings_that_are_broken_leave_everything_as_it_was() {
    let (settings, place) = (Settings::new(), Place::new());
    settings.modules("coldshoed.toml", &[place.modules()]);
    let daemon = settings.daemon(place);
    for (text, why) in [
        (
            "module_dirs = []\ncolour = 3\n",
            "line 2: unknown field `colour`",
        ),
        ("module_dirs = []\nprofile = \"no-such\"\n", "no-such"),
        (
            "module_dirs = []\ncontract_dirs = [\"/nowhere\"]\n",
            "/nowhere",
        ),
    ] {
        settings.write("coldshoed.toml.d/20.toml", text);
        daemon.signal(Signal::HUP);
        daemon.log().wait_for(why);
        assert_serves(&daemon);
    }
    assert_eq!(daemon.log().all("settings stay as they were").len(), 3);
}

#[test]
fn what_cannot_change_while_the_daemon_runs_is_said_to_need_a_restart() {
    let (settings, place) = (Settings::new(), Place::new());
    settings.modules("coldshoed.toml", &[place.modules()]);
    let daemon = settings.daemon(place);
    settings.write(
        "coldshoed.toml.d/20.toml",
        "max_sessions = 1\nlog = \"warn\"\n",
    );
    daemon.signal(Signal::HUP);
    daemon.log().wait_for("when coldshoed is restarted");
    let sessions = [running(&daemon, "good"), running(&daemon, "good")];
    drop(sessions);
    let (place, log) = daemon.stop();
    assert!(log.contains("key=\"max_sessions\""), "{log}");
    assert!(
        !log.contains("session closed"),
        "the log has its new filter: {log}"
    );

    // The log's filter again: the daemon must say that it is ready.
    settings.write("coldshoed.toml.d/20.toml", "max_sessions = 1\n");
    let daemon = settings.daemon(place);
    let first = running(&daemon, "good");
    refused(
        &daemon.open("good"),
        ["no session is free", "all 1", "close"],
    );
    drop(first);
}

#[test]
fn the_service_manager_is_told_of_a_reload() {
    let manager = Manager::start(Place::new(), &[]);
    let mut session = running(manager.place(), "good");
    manager.reload();
    manager.reload();
    run_frame(&mut session, 1);
}

#[test]
fn settings_that_are_not_understood_start_no_daemon() {
    let (settings, place) = (Settings::new(), Place::new());
    settings.write("coldshoed.toml", "\nmax_faults = 0\n");
    let output = place.coldshoed_set_by(settings.0.path()).output();
    let output = output.expect("coldshoed");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).expect("text");
    let text = text.trim_end().strip_prefix("Error: ").unwrap_or(&text);
    three_lines(
        &text,
        ["coldshoed.toml", "line 2: 0 is not from 1", "mend it"],
    );
}

#[test]
fn the_profile_of_libcameras_workers_is_for_no_module() {
    let (settings, place) = (Settings::new(), Place::new());
    settings.write("coldshoed.toml", "profile = \"libcamera\"\n");
    let output = place.coldshoed_set_by(settings.0.path()).output();
    let output = output.expect("coldshoed");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).expect("text");
    let text = text.trim_end().strip_prefix("Error: ").unwrap_or(&text);
    three_lines(&text, ["libcamera", "execve", "without being told"]);
    let validated = failed(settings.ctl(&["validate"]), 1);
    assert_eq!(validated, text);
}

#[test]
fn the_command_line_shows_what_counts_and_where_it_comes_from() {
    let settings = Settings::new();
    settings.write("coldshoed.toml", "max_faults = 3\nmax_clients = 5\n");
    settings.write("coldshoed.toml.d/10.toml", "\nmax_clients = 6\n");
    let json = said(settings.ctl(&["show", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let row = |key: &str| {
        let mut rows = json["settings"].as_array().expect("rows").iter();
        let row = rows.find(|row| row["key"] == key).expect(key);
        (
            row["value"].as_str(),
            row["from"].as_str().expect("text").to_owned(),
        )
    };
    assert_eq!(row("max_faults").0, Some("3"));
    assert!(row("max_faults").1.ends_with("/coldshoed.toml:1"));
    assert_eq!(row("max_clients").0, Some("6"));
    assert!(
        row("max_clients")
            .1
            .ends_with("/coldshoed.toml.d/10.toml:2")
    );
    assert_eq!(row("profile"), (Some("\"single\""), "built in".into()));
    assert_eq!(row("reserve_cpus").0, None);
    let table = said(settings.ctl(&["show"]));
    assert!(
        table.contains("max_clients") && table.contains("coldshoed.toml.d/10."),
        "{table}"
    );
    assert!(said(settings.ctl(&["validate"])).contains("2 keys are set"));
    let all = said(settings.ctl(&["explain"]));
    let one = said(settings.ctl(&["explain", "max_faults"]));
    assert!(
        all.contains("contract_dirs") && all.contains(one.trim_end()),
        "{one}"
    );
    assert!(
        one.contains("--max-faults") && one.contains("reload"),
        "{one}"
    );
    assert_eq!(said(settings.ctl(&["explain", "--", "--max-faults"])), one);
    let unknown = failed(settings.ctl(&["explain", "colour"]), 3);
    three_lines(&unknown, ["colour", "others", "config explain"]);
}

#[test]
fn the_command_line_refuses_what_the_daemon_would_refuse() {
    let settings = Settings::new();
    settings.write("coldshoed.toml", "max_faults = 3\n");
    settings.write("new.toml", "max_faults = 3\nprofile = \"no-such\"\n");
    let new = settings.0.path().join("new.toml");
    let new = new.to_str().expect("text");
    let profile = failed(settings.ctl(&["validate", new]), 1);
    three_lines(&profile, ["profile", "no-such", "file"]);
    settings.write("new.toml", "fallbacks = [\"a=\"]\n");
    let fallback = failed(settings.ctl(&["validate", new]), 1);
    three_lines(&fallback, ["new.toml", "line 1", "config explain"]);
    settings.write("new.toml", "contract_dirs = [\"/nowhere\"]\n");
    let contracts = failed(settings.ctl(&["validate", new]), 1);
    three_lines(&contracts, ["/nowhere", "No such file", "--contract-dir"]);
    settings.write("new.toml", "max_faults = 4\n");
    assert!(said(settings.ctl(&["validate", new])).contains("1 key is set"));
    settings.write("coldshoed.toml.d/x.toml", "[[");
    three_lines(
        &failed(settings.ctl(&["validate"]), 1),
        ["x.toml", "line 1", "mend it"],
    );
}

#[test]
fn a_module_directory_of_settings_is_one_that_was_named() {
    let (settings, place) = (Settings::new(), Place::new());
    settings.modules("coldshoed.toml", &[place.modules()]);
    let daemon = settings.daemon(place);
    let session = Session::open(&daemon.open("good")).expect("trusted by naming it");
    session.close().expect("closed");
}
