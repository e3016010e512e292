//! What the command line shows of a running daemon, on a terminal and elsewhere.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, Output, Stdio};

use coldshoe::Session;
use coldshoe_tests::{Daemon, built, readable, run_frame, running, until};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

fn ctl(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = Command::new(built("coldshoectl"));
    command.args(arguments).arg("--socket").arg(daemon.socket());
    command.env_remove("NO_COLOR");
    command
}

fn said(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let output = ctl(daemon, arguments).output().expect("coldshoectl");
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    (status.code(), text.into_owned())
}

/// A program on a terminal of its own.
struct Terminal {
    master: File,
    screen: vt100::Parser,
    child: Child,
}

impl Terminal {
    fn start(mut command: Command, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let window = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, window).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = open(name, flags, Mode::empty()).expect("its other side");
        let side = || Stdio::from(slave.try_clone().expect("a copy"));
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("coldshoectl");
        let size = |edge| NonZero::new(edge).expect("not zero");
        Self {
            master: File::from(master),
            screen: vt100::Parser::new(size(24), size(columns), 0),
            child,
        }
    }

    /// Takes in what is there to be drawn.
    fn draw(&mut self) {
        while readable(&self.master, std::time::Duration::from_millis(1)) {
            let mut bytes = [0; 4096];
            match self.master.read(&mut bytes) {
                Ok(read) if read > 0 => self.screen.process(&bytes[..read]),
                _ => return,
            }
        }
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("it reads");
    }

    fn ended(&mut self) -> Option<i32> {
        let mut ended = None;
        until(
            "it ends",
            || {
                ended = self.child.try_wait().expect("our child");
                ended.is_some()
            },
            || {},
        );
        ended.and_then(|status| status.code())
    }
}

fn frames(session: &mut Session, numbers: std::ops::Range<u64>) {
    for number in numbers {
        run_frame(session, number);
    }
}

#[test]
fn top_shows_sessions_live_and_ends_with_q() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    frames(&mut session, 1..11);
    for columns in [80, 160] {
        let mut terminal = Terminal::start(ctl(&daemon, &["top", "--every", "0.1"]), columns);
        let mut number = 100;
        let shown = |text: &str| {
            let wide = columns < 120 || text.contains("CLAMPED");
            let row = text.lines().find(|line| line.contains("virtual"));
            let fps = row.and_then(|row| row.split_whitespace().nth(5)?.parse::<f64>().ok());
            wide && text.contains("1 session, and it is well") && fps > Some(0.0)
        };
        let mut text = String::new();
        until(
            "a session with frames",
            || {
                number += 1;
                run_frame(&mut session, number);
                terminal.draw();
                text = terminal.text();
                shown(&text)
            },
            || {},
        );
        println!("{text}");
        assert!(text.contains("running") && text.contains("good"), "{text}");
        assert!(text.contains("searching"), "{text}");
        terminal.press("q");
        assert_eq!(terminal.ended(), Some(0));
    }
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn top_without_a_terminal_or_a_daemon_says_so() {
    let daemon = Daemon::new();
    let (code, text) = said(&daemon, &["top"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("there is no terminal"), "{text}");
    let (place, _) = daemon.stop();
    let mut command = Command::new(built("coldshoectl"));
    command.args(["top", "--socket"]).arg(place.socket());
    let mut terminal = Terminal::start(command, 80);
    assert_eq!(terminal.ended(), Some(4));
    terminal.draw();
    assert!(
        terminal.text().contains("no coldshoed"),
        "{}",
        terminal.text()
    );
}

#[test]
fn status_tells_what_is_well_and_what_to_do_about_what_is_not() {
    let daemon = Daemon::new();
    let (code, text) = said(&daemon, &["status"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("no session"), "{text}");
    let mut session = running(&daemon, "good");
    frames(&mut session, 1..11);
    let (code, text) = said(&daemon, &["status"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("1 session, and it is well"), "{text}");
    let id = session.id().to_string();
    let (code, text) = said(&daemon, &["status", &id]);
    assert_eq!(code, Some(0));
    assert!(
        text.contains("10 fresh, 0 missed") && text.contains("searching"),
        "{text}"
    );
    println!("{text}");

    let pid = rustix::process::Pid::from_raw(session.worker_pid() as i32).expect("a worker");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
    until(
        "it is noticed",
        || session.fault().is_some(),
        || daemon.turn(),
    );
    let (_, text) = said(&daemon, &["status"]);
    assert!(
        text.contains("Last fault") && text.contains("SIGKILL"),
        "{text}"
    );
    println!("{text}");
    let json = ctl(&daemon, &["status", "--json"])
        .output()
        .expect("coldshoectl")
        .stdout;
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(
        (&json["schema"], &json["last_fault"]["reason"]),
        (&1.into(), &"crash".into())
    );

    let (code, text) = said(&daemon, &["status", "4711"]);
    assert_eq!(code, Some(3));
    assert!(text.contains("there is no session 4711"), "{text}");
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn monitor_prints_a_line_for_each_thing_that_happens() {
    let daemon = Daemon::new();
    let mut monitor = ctl(&daemon, &["monitor", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("coldshoectl");
    let lines = std::io::BufReader::new(monitor.stdout.take().expect("a pipe"));
    let mut lines = std::io::BufRead::lines(lines).map(|line| line.expect("a line"));
    let mut next = |event: &str| {
        let line: Value = serde_json::from_str(&lines.next().expect("a line")).expect("JSON");
        assert_eq!(
            (&line["event"], &line["schema"]),
            (&event.into(), &1.into()),
            "{line}"
        );
        line
    };
    let session = running(&daemon, "good");
    assert_eq!(next("opened")["module"], "good");
    let id = session.id();
    session.close().expect("closed");
    assert_eq!(next("closed")["session"], id);
    monitor.kill().expect("our child");
    monitor.wait().expect("our child");
    daemon.assert_at_rest();
}

#[test]
fn what_is_listed_are_sessions_if_nobody_says() {
    let daemon = Daemon::new();
    let _session = running(&daemon, "good");
    for more in [&[][..], &["--json"]] {
        let [short, long] = [&["list"][..], &["list", "sessions"]]
            .map(|verb| said(&daemon, &[verb, more].concat()));
        assert_eq!(short, long);
        assert!(short.0 == Some(0) && short.1.contains("good"), "{short:?}");
    }
}

#[test]
fn completions_and_manual_pages_name_every_verb() {
    let verbs = [
        "demo", "check", "module", "status", "top", "monitor", "list", "info", "hold", "set",
        "policy", "contract",
    ];
    let below = [
        "list-modules",
        "module-trust",
        "module-forget",
        "module-quarantine",
        "module-release",
    ];
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(built("coldshoectl"))
            .args(["completion", shell])
            .output();
        let text = output.expect("coldshoectl").stdout;
        let text = String::from_utf8(text).expect("text");
        assert!(verbs.iter().all(|verb| text.contains(verb)), "{shell}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let status = Command::new(built("coldshoectl"))
        .arg("man")
        .arg(dir.path())
        .status();
    assert!(status.expect("coldshoectl").success());
    let page = std::fs::read_to_string(dir.path().join("coldshoectl.1")).expect("a page");
    assert!(verbs.iter().all(|verb| page.contains(verb)), "{page}");
    assert!(dir.path().join("coldshoectl-contract-audit.1").exists());
    for verb in below {
        let page = dir.path().join(format!("coldshoectl-{verb}.1"));
        assert!(page.exists(), "{verb}");
    }
}
