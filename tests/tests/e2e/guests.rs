//! A daemon whose socket the service manager made: whoever may open it is served, and has what is his.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use coldshoe_isp::soft;
use coldshoe_isp::stats::STATS_FORMAT;
use coldshoe_tests::{
    Daemon, Place, assert_serves, built, passing, run_frame, running, three_lines,
};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// Somebody who is neither root nor the daemon's user.
const GUEST: u32 = 65534;

/// Whether tests can be somebody else for a moment; says so if not.
fn can_be_another() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root can be another user: nobody has seen what guests may do");
    }
    root
}

/// A socket as systemd makes it, of this mode.
fn socket(path: &Path, kind: SocketType, mode: u32) -> OwnedFd {
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.expect("a socket");
    bind(&socket, &SocketAddrUnix::new(path).expect("short")).expect("bound");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    listen(&socket, 16).expect("listens");
    socket
}

/// A daemon with a socket that others may open, too.
fn open_to_all() -> Daemon {
    open_to_all_with(&[])
}

fn open_to_all_with(args: &[&str]) -> Daemon {
    let place = Place::new();
    let all_may_pass = Permissions::from_mode(0o755);
    fs::set_permissions(place.state_dir().parent().expect("above"), all_may_pass).expect("ours");
    let socket = socket(&place.socket(), SocketType::SEQPACKET, 0o666);
    let mut command = passing(
        &place.coldshoed(),
        (vec!["control".to_owned()], vec![socket]),
    );
    command.args(args);
    Daemon::start_with(place, command)
}

fn guest(program: &str) -> Command {
    let mut command = Command::new(built(program));
    command.env_clear().uid(GUEST).gid(GUEST).current_dir("/");
    command
}

fn guests_ctl(place: &Place, args: &[&str]) -> Output {
    let mut command = guest("coldshoectl");
    let command = command.args(args).arg("--socket").arg(place.socket());
    command.output().expect("coldshoectl")
}

fn listed(output: &Output, what: &str) -> Vec<serde_json::Value> {
    assert!(output.status.success(), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    json[what].as_array().expect("a list").clone()
}

/// A session of the guest, and its worker's process number.
fn guests_session(place: &Place) -> (Child, u32) {
    let mut child = guest("coldshoe-test-client")
        .arg(place.socket())
        .args([STATS_FORMAT, soft::FORMAT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a client");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut line).expect("it runs");
    (child, line.trim().parse().expect("a process number"))
}

#[test]
fn a_guest_has_sessions_of_his_own_and_does_not_see_others() {
    if !can_be_another() {
        return;
    }
    let daemon = open_to_all();
    let mut own = running(&daemon, "good");
    let sessions = ["list", "sessions", "--json"];
    assert!(listed(&guests_ctl(&daemon, &sessions), "sessions").is_empty());
    let (mut client, worker) = guests_session(&daemon);
    let seen = listed(&guests_ctl(&daemon, &sessions), "sessions");
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0]["worker"], worker);
    // Root sees both.
    let mut all = coldshoe::Overview::connect(&daemon.socket()).expect("root is let in");
    assert_eq!(all.sessions().expect("listed").len(), 2);
    // A trace shows what a session's parameters are.
    let id = own.id().to_string();
    let traced = guests_ctl(&daemon, &["contract", "audit", &id, "--frames", "1"]);
    let text = String::from_utf8_lossy(&traced.stderr).into_owned();
    assert!(
        !traced.status.success() && text.contains("no such session"),
        "{text}"
    );
    run_frame(&mut own, 1);
    drop(client.stdin.take());
    assert!(client.wait().expect("our child").success());
    own.close().expect("closed");
}

#[test]
fn a_guest_releases_no_module_and_sees_no_faults_of_others() {
    if !can_be_another() {
        return;
    }
    let daemon = open_to_all();
    daemon.module("dies", &[("IN_PROCESS", "abort()")]);
    let mut session = running(&daemon, "dies");
    let _ = session.submit(
        &coldshoe_tests::frame(1, std::time::Duration::from_secs(5)),
        &[7; 64],
    );
    daemon.log().wait_for("fault=1");
    let faults = guests_ctl(&daemon, &["list", "faults", "--json"]);
    assert!(listed(&faults, "faults").is_empty());
    let mut all = coldshoe::Overview::connect(&daemon.socket()).expect("root is let in");
    assert!(!all.faults().expect("listed").is_empty());
    let released = guests_ctl(&daemon, &["module", "release", "dies"]);
    assert_eq!(released.status.code(), Some(5), "{released:?}");
    let text = String::from_utf8(released.stderr).expect("text");
    let text = text.trim_end().strip_prefix("error: ").unwrap_or(&text);
    three_lines(&text, ["not released", "user 65534", "root"]);
    let _ = session.close();
}

#[test]
fn a_socket_that_the_daemon_made_itself_serves_its_own_user_alone() {
    if !can_be_another() {
        return;
    }
    let daemon = Daemon::new();
    let above = daemon.state_dir();
    let above = above.parent().expect("above");
    // Even where somebody opened the way by hand.
    for (path, mode) in [
        (above, 0o755),
        (&daemon.runtime_dir(), 0o755),
        (&daemon.socket(), 0o666),
    ] {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    }
    let refused = guests_ctl(&daemon, &["list", "sessions"]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("the client is user 65534"), "{text}");
    assert_serves(&daemon);
}

#[test]
fn a_socket_that_was_passed_stays_when_the_daemon_ends() {
    let place = Place::new();
    let passed = socket(&place.socket(), SocketType::SEQPACKET, 0o600);
    let copy = passed.try_clone().expect("a descriptor");
    let names = || vec!["control".to_owned()];
    let command = passing(&place.coldshoed(), (names(), vec![copy]));
    let daemon = Daemon::start_with(place, command);
    assert_serves(&daemon);
    let (place, _) = daemon.stop();
    assert!(place.socket().exists());
    // Who comes now waits for the next daemon; one that is started by hand keeps off.
    let mut command = place.coldshoed();
    let by_hand = command.output().expect("coldshoed");
    let text = String::from_utf8_lossy(&by_hand.stderr).into_owned();
    assert!(
        !by_hand.status.success() && text.contains("another coldshoed"),
        "{text}"
    );
    let command = passing(&place.coldshoed(), (names(), vec![passed]));
    assert_serves(&Daemon::start_with(place, command));
}

#[test]
fn what_was_passed_and_is_no_such_socket_is_refused() {
    let place = Place::new();
    let path = place.socket();
    for (fd, why) in [
        (
            socket(&path.with_extension("stream"), SocketType::STREAM, 0o600),
            "SEQPACKET",
        ),
        (
            fs::File::open("/dev/null").expect("there").into(),
            "no socket",
        ),
    ] {
        let mut command = passing(&place.coldshoed(), (vec!["control".to_owned()], vec![fd]));
        let output = command.output().expect("coldshoed");
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).expect("text");
        let text = text.lines().skip_while(|line| !line.starts_with("Error: "));
        let text = text.collect::<Vec<_>>().join("\n");
        let text = text.strip_prefix("Error: ").unwrap_or(&text);
        three_lines(&text, ["passed", why, "ListenSequentialPacket="]);
    }
}

#[test]
fn a_guest_leaves_room_for_others() {
    if !can_be_another() {
        return;
    }
    let daemon = open_to_all_with(&["--max-sessions", "4", "--max-clients", "6"]);
    let guests = [guests_session(&daemon), guests_session(&daemon)];
    let third = guest("coldshoe-test-client")
        .arg(daemon.socket())
        .args([STATS_FORMAT, soft::FORMAT])
        .output()
        .expect("a client");
    let text = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(text.contains("user 65534 has 2"), "{text}");
    let own = [running(&daemon, "good"), running(&daemon, "good")];
    for (mut client, _) in guests {
        drop(client.stdin.take());
        assert!(client.wait().expect("our child").success());
    }
    for session in own {
        session.close().expect("closed");
    }
}
