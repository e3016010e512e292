//! The worker while it runs: what the kernel says of it.

use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use coldshoe_tests::{
    Daemon, Library, PATIENCE, Place, ends, frame, gone, run_frame, running, three_lines,
};

fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker is there");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("a field of status").trim().to_owned()
}

fn open_files(pid: u32) -> Vec<(u32, String)> {
    let mut files: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the worker is there")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let number = entry
                .file_name()
                .to_string_lossy()
                .parse()
                .expect("a number");
            let target = fs::read_link(entry.path()).expect("a link");
            (number, target.to_string_lossy().into_owned())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_running_worker_has_no_new_privileges_and_its_system_calls_are_filtered() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    run_frame(&mut session, 1);
    let pid = session.worker_pid();
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "Seccomp"), "2");
    assert_eq!(status(pid, "Threads"), "1");
    let confinement = session.confinement();
    assert!(confinement.no_new_privs);
    assert_eq!(confinement.seccomp_mode, 2);
    assert_eq!(
        confinement.seccomp_filters.to_string(),
        status(pid, "Seccomp_filters")
    );
    assert!(confinement.landlock_abi > 0);
}

#[test]
fn a_running_worker_holds_nothing_but_its_manifest() {
    let daemon = Daemon::new();
    // The longest way to a worker: a tuning file passes through it.
    daemon.tune("good", "default", "tuned = true");
    let mut session = running(&daemon, "good");
    run_frame(&mut session, 1);
    let files = open_files(session.worker_pid());
    let kinds: Vec<_> = files
        .iter()
        .map(|(fd, target)| (*fd, target.split(':').next().unwrap_or_default()))
        .collect();
    let manifest = [
        (0, "/dev/null"),
        (1, "pipe"),
        (2, "pipe"),
        (3, "socket"),
        (4, "anon_inode"),
    ];
    assert_eq!(kinds, manifest);
    assert_eq!(files[1].1, files[2].1, "one pipe for both");
    let told: Vec<_> = files
        .iter()
        .map(|(fd, target)| format!("{fd}: {target}"))
        .collect();
    assert_eq!(session.confinement().open_files, told);
}

#[test]
fn a_running_worker_has_an_empty_environment_and_no_directory_of_ours() {
    let daemon = Daemon::new();
    let session = running(&daemon, "good");
    let proc = format!("/proc/{}", session.worker_pid());
    assert_eq!(fs::read(format!("{proc}/environ")).expect("ours"), [0; 0]);
    let directory = fs::read_link(format!("{proc}/cwd")).expect("ours");
    assert_eq!(directory.to_str(), Some("/"));
}

#[test]
fn the_limits_that_the_report_names_are_in_force() {
    let daemon = Daemon::new();
    let session = running(&daemon, "good");
    let proc = format!("/proc/{}/limits", session.worker_pid());
    let limits = fs::read_to_string(proc).expect("ours");
    let reported = &session.confinement().limits;
    for (name, title) in [
        ("nofile", "Max open files"),
        ("fsize", "Max file size"),
        ("data", "Max data size"),
        ("memlock", "Max locked memory"),
    ] {
        let limit = reported.iter().find(|limit| limit.name == name);
        let value = limit.expect("in the report").value.to_string();
        let line = limits.lines().find_map(|line| line.strip_prefix(title));
        let fields: Vec<_> = line.expect(title).split_whitespace().take(2).collect();
        assert_eq!(fields, [&value, &value], "{name}");
    }
}

#[test]
fn a_worker_is_gone_once_its_session_is_closed() {
    let daemon = Daemon::new();
    let session = running(&daemon, "good");
    let pidfd = session.worker_pidfd().try_clone().expect("a copy");
    assert!(!gone(&pidfd));
    session.close().expect("closed");
    assert!(gone(&pidfd), "closing waits for it");
    daemon.assert_at_rest();
}

#[test]
fn a_worker_is_gone_after_its_session_was_dropped() {
    let daemon = Daemon::new();
    let session = running(&daemon, "good");
    let pidfd = session.worker_pidfd().try_clone().expect("a copy");
    drop(session);
    assert!(ends(&pidfd));
    daemon.assert_at_rest();
}

#[test]
fn a_session_closed_in_the_middle_of_a_frame_ends_its_worker() {
    let daemon = Daemon::new();
    let hangs = r#"say(3, "in the middle"); hang()"#;
    daemon.module("hangs", &[("IN_PROCESS", hangs)]);
    let mut session = running(&daemon, "hangs");
    let _ticket = session.submit(&frame(1, PATIENCE), &[0; 64]);
    daemon.log().wait_for("in the middle");
    let pidfd = session.worker_pidfd().try_clone().expect("a copy");
    session.close().expect("closed");
    assert!(gone(&pidfd));
    daemon.assert_at_rest();
}

#[test]
fn sigterm_ends_every_worker_and_removes_the_socket() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let mut sessions = [running(&daemon, "good"), running(&daemon, "hangs")];
    let _ticket = sessions[1].submit(&frame(1, PATIENCE), &[0; 64]);
    assert!(daemon.socket().exists());
    let (place, log) = daemon.stop();
    for session in &sessions {
        let pidfd = session.worker_pidfd();
        assert!(
            gone(pidfd.as_fd()),
            "the daemon waits for its workers:\n{log}"
        );
    }
    assert!(!place.socket().exists(), "{log}");
    for mut session in sessions {
        let told = session.fault().expect("the daemon is gone").to_string();
        assert_eq!(told.lines().count(), 3, "{told}");
        assert!(told.starts_with("the daemon is gone"), "{told}");
    }
}

/// A profile of one's own, as a file.
fn profile(place: &Place) -> PathBuf {
    let file = place.state_dir().with_file_name("no-net.toml");
    let text = "name = \"no-net\"\ndescription = \"Where there is no network namespace\"\n\
        extends = \"single\"\nallow_degraded = [\"net_namespace\"]\n";
    fs::write(&file, text).expect("a file of our own");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
    file
}

#[test]
fn a_profile_from_a_file_lets_sessions_go_without_what_it_names_and_the_report_says_so() {
    let place = Place::new();
    let file = profile(&place);
    let daemon = Library::start(|config| {
        config.disable_features = vec![coldshoe_jail::Feature::NetNamespace];
        config.profile = coldshoed::profile(&file).expect("a good profile");
    });
    let mut session = running(&daemon, "good");
    run_frame(&mut session, 1);
    assert_eq!(session.module().profile, "no-net");
    let degraded = &session.confinement().degraded;
    assert_eq!(degraded.len(), 1);
    assert!(degraded[0].starts_with("net_namespace: "), "{degraded:?}");
    let left = &session.confinement().namespaces;
    assert!(!left.iter().any(|kind| kind == "net"), "{left:?}");
}

#[test]
fn the_daemon_takes_a_profile_by_its_file_and_tells_in_three_lines_why_not() {
    let place = Place::new();
    let file = profile(&place);
    let with = |place: &Place| {
        let mut command = place.coldshoed();
        command.arg("--profile").arg(&file);
        command
    };
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("ours");
    let refused = with(&place).output().expect("coldshoed");
    assert!(!refused.status.success());
    let text = String::from_utf8(refused.stderr).expect("text");
    let text = text.strip_prefix("Error: ").expect("an error");
    let name = file.to_str().expect("text");
    three_lines(&text, [name, "written by everybody", "chmod go-w"]);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
    let command = with(&place);
    let daemon = Daemon::start_with(place, command);
    // This kernel has the namespace: what may be missing is not given up.
    let session = running(&daemon, "good");
    assert_eq!(session.module().profile, "no-net");
    assert_eq!(session.confinement().degraded, [""; 0]);
    assert_eq!(session.confinement().namespaces.len(), 6);
}
