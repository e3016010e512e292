//! Daemons beside each other, after each other, and their ends.

use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use coldshoe::Session;
use coldshoe_control::client::Configure;
use coldshoe_tests::{
    Daemon, Library, PATIENCE, Place, Raw, Said, Segment, assert_serves, ends, gone, refused,
    request, run_frame, running, sensor, three_lines, until,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A daemon that does not start says so in three lines.
fn does_not_start(output: Output, said: Said<'_>) {
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).expect("text");
    let text = text.strip_prefix("Error: ").unwrap_or(&text);
    three_lines(&text, said);
}

/// Starts a daemon that must end by itself.
fn start_in(place: &Place, runtime_dir: &Path) -> Output {
    let mut daemon = place.coldshoed_in(runtime_dir).spawn().expect("coldshoed");
    let pid = Pid::from_child(&daemon);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd");
    if !ends(&pidfd) {
        daemon.kill().expect("our own child");
    }
    daemon.wait_with_output().expect("our own child")
}

#[test]
fn a_second_daemon_in_the_same_place_is_refused_and_the_first_goes_on() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let dir = daemon.runtime_dir();
    let place = dir.to_str().expect("text");
    does_not_start(
        start_in(&daemon, &dir),
        [place, "holds the lock", "another --runtime-dir"],
    );
    run_frame(&mut session, 1);
    assert_serves(&daemon);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_replaced() {
    let place = Daemon::new().kill();
    assert!(place.socket().exists(), "nobody removed it");
    let daemon = Daemon::start(place);
    assert_serves(&daemon);
    let (place, _) = daemon.stop();
    assert!(!place.socket().exists());
    assert_serves(&Daemon::start(place));
}

#[test]
fn workers_end_with_a_daemon_that_is_killed() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let sessions = [running(&daemon, "good"), running(&daemon, "hangs")];
    daemon.kill();
    for session in &sessions {
        assert!(ends(session.worker_pidfd()));
    }
}

#[test]
fn a_client_without_a_daemon_is_told_where_it_looked() {
    let place = Daemon::new().kill();
    for what in ["a dead socket", "no socket at all"] {
        match Session::open(&place.open("good")) {
            Err(told) => three_lines(
                &told,
                [
                    place.socket().to_str().expect("text"),
                    "",
                    "start coldshoed",
                ],
            ),
            Ok(_) => panic!("opened through {what}"),
        }
        let _ = fs::remove_file(place.socket());
    }
}

#[test]
fn a_runtime_directory_that_others_may_write_to_is_refused() {
    let place = Place::new();
    let dir = place.runtime_dir();
    fs::create_dir(&dir).expect("made");
    for mode in [0o770, 0o702, 0o777] {
        fs::set_permissions(&dir, Permissions::from_mode(mode)).expect("ours");
        does_not_start(
            start_in(&place, &dir),
            ["not safe", "others may write", "--runtime-dir"],
        );
        assert!(!place.socket().exists());
    }
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).expect("ours");
    assert_serves(&Daemon::start(place));
}

#[test]
fn a_runtime_directory_of_another_user_is_refused() {
    let place = Place::new();
    let dir = if rustix::process::geteuid().is_root() {
        let dir = place.runtime_dir();
        fs::create_dir(&dir).expect("made");
        std::os::unix::fs::chown(&dir, Some(65534), None).expect("root may");
        dir
    } else {
        "/usr".into()
    };
    does_not_start(
        start_in(&place, &dir),
        ["not safe", "belongs to user", "--runtime-dir"],
    );
}

#[test]
fn a_runtime_directory_that_is_none_is_refused() {
    let place = Place::new();
    let dir = place.runtime_dir();
    fs::write(&dir, "a file").expect("written");
    does_not_start(start_in(&place, &dir), ["cannot create", "", "check"]);
    fs::remove_file(&dir).expect("removed");
    std::os::unix::fs::symlink("/tmp", &dir).expect("linked");
    does_not_start(start_in(&place, &dir), ["not safe", "", "--runtime-dir"]);
}

#[test]
fn a_runtime_directory_with_too_long_a_name_is_refused() {
    let place = Place::new();
    let dir = place.runtime_dir().join("x".repeat(120));
    does_not_start(start_in(&place, &dir), ["cannot name", "", "check"]);
}

#[test]
fn the_socket_and_its_directory_are_its_users_alone() {
    let daemon = Daemon::new();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&daemon.runtime_dir()), 0o700);
    assert_eq!(mode(&daemon.socket()), 0o600);
}

#[test]
fn a_client_that_says_nothing_does_not_hold_up_the_daemons_end() {
    let daemon = Library::start(|_| {});
    let mute = Raw::connect(&daemon.socket());
    // Accepted in order: once this one is greeted, the mute one is being listened to.
    drop(Raw::greeted(&daemon.socket()));
    let socket = daemon.socket();
    drop(daemon);
    assert!(!socket.exists());
    assert_eq!(mute.last_words(), []);
}

#[test]
fn modules_that_hang_do_not_hold_up_the_daemons_end() {
    let daemon = Library::start(|config| {
        config.timeouts.load = 100 * PATIENCE;
        config.timeouts.order = 100 * PATIENCE;
    });
    daemon.module("create", &[("IN_CREATE", "hang()")]);
    daemon.module("configure", &[("IN_CONFIGURE", "hang()")]);
    let mut opening = Raw::greeted(&daemon.socket());
    let open = daemon.open("create");
    opening.send(request(&open), &[Segment::of(&open).make().as_fd()]);
    let mut session = Raw::greeted(&daemon.socket()).open(&daemon.open("configure"));
    let order = Configure {
        session: session.opened.session,
        sensor: Some(sensor()),
    };
    session.raw.send(order, &[]);
    drop(daemon);
    assert!(gone(&session.pidfd));
    assert_eq!(session.raw.last_words(), []);
    assert_eq!(opening.last_words(), []);
}

#[test]
fn a_worker_program_that_is_missing_is_told_by_its_path() {
    let daemon = Library::start(|config| config.worker = "/nowhere/coldshoe-worker".into());
    let told = refused(
        &daemon.open("good"),
        [
            "no worker could be started",
            "/nowhere/coldshoe-worker",
            "installation",
        ],
    );
    assert_eq!(told.code, coldshoe::ErrorCode::Internal);
}

#[test]
fn a_daemon_whose_log_nobody_reads_serves_and_ends() {
    let place = Place::new();
    // A line in the daemon's log each, and many more of them than the pipe takes.
    let flood = "char line[512]; memset(line, 'x', sizeof(line)); line[511] = '\\n'; \
                 for (int i = 0; i < 50; i++) if (write(2, line, sizeof(line)) < 0) _exit(9)";
    place.module("floods", &[("IN_CONSTRUCTOR", flood)]);
    let (unread, stderr) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    fcntl_setpipe_size(&unread, 4096).expect("a small one");
    let ours = stderr.try_clone().expect("a copy");
    let mut command = place.coldshoed();
    command.stderr(Stdio::from(stderr));
    let mut daemon = command.spawn().expect("coldshoed");
    // It holds the pipe's end that the daemon has got.
    drop(command);
    let pidfd = pidfd_open(Pid::from_child(&daemon), PidfdFlags::empty()).expect("a pidfd");
    until(
        "it listens",
        || Session::open(&place.open("good")).is_ok(),
        || {},
    );
    // One for each of the daemon's threads.
    let floods = [running(&place, "floods"), running(&place, "floods")];
    let mut room = [PollFd::new(&ours, PollFlags::OUT)];
    until(
        "the pipe is full",
        || poll(&mut room, Some(&Timespec::default())) == Ok(0),
        || {},
    );
    assert_serves(&place);
    pidfd_send_signal(&pidfd, Signal::TERM).expect("our own child");
    let ended = ends(&pidfd);
    if !ended {
        daemon.kill().expect("our own child");
    }
    let status = daemon.wait().expect("our own child");
    assert!(ended && status.success(), "it ended with {status}");
    drop(floods);
}
