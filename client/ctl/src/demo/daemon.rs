//! A daemon of the demo's own, in a directory of its own.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use coldshoe::{Open, Session};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

use super::Error;
use crate::signals::Interrupt;

/// How long it may take to serve.
const START: Duration = Duration::from_secs(10);
/// How long it may take to end by itself.
const STOP: Duration = Duration::from_secs(5);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of its log is looked at, in bytes.
const TAIL: u64 = 64 * 1024;
/// How many lines of its module are shown.
const MODULE_LINES: usize = 10;
/// How much of such a line is shown, in characters.
const MODULE_LINE: usize = 600;

/// Why there is no daemon to talk to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DaemonError {
    /// No directory to run in.
    #[error(
        "no runtime directory for the demo's coldshoed\n  why: {0}\n  try: let TMPDIR name a directory that can be written"
    )]
    Directory(io::Error),
    /// It cannot be started.
    #[error("cannot start {}\n  why: {source}\n  try: install coldshoe again", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It ended before it served.
    #[error(
        "coldshoed ended before it served: {status}\n  why: {log}\n  try: run {} by itself", program.display()
    )]
    Ended {
        /// The program.
        program: PathBuf,
        /// How.
        status: ExitStatus,
        /// The end of its log, on one line.
        log: String,
    },
    /// It does not serve.
    #[error(
        "coldshoed does not serve\n  why: nothing listens on {} after {} s; its log ends: {log}\n  try: again when the machine is less busy", socket.display(), START.as_secs()
    )]
    Silent {
        /// The control socket.
        socket: PathBuf,
        /// The end of its log, on one line.
        log: String,
    },
}

/// A running daemon. Dropping it ends it and removes its directory.
#[derive(Debug)]
pub(super) struct Daemon {
    program: PathBuf,
    command: Command,
    child: Child,
    pidfd: OwnedFd,
    dir: TempDir,
}

impl Daemon {
    /// Starts `program` in a new directory.
    pub(super) fn start(
        program: &Path,
        module_dirs: &[PathBuf],
        tuning_dirs: &[PathBuf],
        options: &[&str],
    ) -> Result<Self, DaemonError> {
        let dir = tempfile::Builder::new()
            .prefix("coldshoe-demo-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(DaemonError::Directory)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_path(dir.path()))
            .map_err(DaemonError::Directory)?;
        let mut command = Command::new(program);
        // What is set on this machine is for its own daemon.
        command.arg("--no-config");
        command.arg("--runtime-dir").arg(dir.path());
        // The demo's own trust: it must not depend on what was recorded, nor leave a record behind.
        command.arg("--state-dir").arg(dir.path());
        // A name on the bus belongs to a daemon that stays.
        command.args(["--bus", "none"]);
        // Its input is a pipe that ends with this process, however that ends.
        command.arg("--stop-at-eof").stdin(Stdio::piped());
        for module_dir in module_dirs {
            command.arg("--module-dir").arg(module_dir);
        }
        for tuning_dir in tuning_dirs {
            command.arg("--tuning-dir").arg(tuning_dir);
        }
        command
            .args(options)
            // The end of its log is to be its error, not a backtrace.
            .env("RUST_LIB_BACKTRACE", "0")
            .stdout(Stdio::null())
            .stderr(log);
        let (child, pidfd) = spawn(program, &mut command)?;
        Ok(Self {
            program: program.to_owned(),
            command,
            child,
            pidfd,
            dir,
        })
    }

    /// Opens a session as soon as the daemon serves.
    pub(super) fn open(&mut self, open: Open, interrupt: &Interrupt) -> Result<Session, Error> {
        let socket = self.dir.path().join("control.sock");
        let open = Open {
            socket: Some(socket.clone()),
            ..open
        };
        let deadline = Instant::now() + START;
        loop {
            match Session::open(&open) {
                Err(coldshoe::Error::Unreachable { .. }) => {}
                opened => return Ok(opened?),
            }
            if interrupt.came() {
                return Err(Error::Interrupted);
            }
            if ended(&self.pidfd, PAUSE) {
                let log = self.log();
                let program = self.program.clone();
                let status = match self.child.wait() {
                    Ok(status) => status,
                    Err(source) => return Err(DaemonError::Start { program, source }.into()),
                };
                return Err(DaemonError::Ended {
                    program,
                    status,
                    log,
                }
                .into());
            }
            if Instant::now() >= deadline {
                let log = self.log();
                return Err(DaemonError::Silent { socket, log }.into());
            }
        }
    }

    /// Kills it, and starts another one in its place.
    pub(super) fn kill_and_restart(&mut self) -> Result<(), DaemonError> {
        // One that has ended by itself is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        (self.child, self.pidfd) = spawn(&self.program, &mut self.command)?;
        Ok(())
    }

    /// Ends it, and returns the last lines that its module logged, oldest first.
    pub(super) fn module_log(&mut self) -> Vec<String> {
        // All that it logs is then in the file.
        self.end();
        // The error that made somebody ask is worth more than one about the log.
        self.tail()
            .map_or_else(|_| Vec::new(), |log| of_module(&log))
    }

    /// The end of its log, on one line.
    fn log(&self) -> String {
        match self.tail() {
            Ok(log) => last_lines(&log),
            Err(error) => format!("its log cannot be read: {error}"),
        }
    }

    fn tail(&self) -> io::Result<String> {
        let mut file = File::open(log_path(self.dir.path()))?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn end(&mut self) {
        // Not waited for yet, so its number is still its own.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            if !ended(&self.pidfd, STOP) {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(program: &Path, command: &mut Command) -> Result<(Child, OwnedFd), DaemonError> {
    let failed = |source| DaemonError::Start {
        program: program.to_owned(),
        source,
    };
    let mut child = command.spawn().map_err(failed)?;
    match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
        Ok(pidfd) => Ok((child, pidfd)),
        Err(error) => {
            // Nothing watches it otherwise.
            let _ = child.kill();
            let _ = child.wait();
            Err(failed(error.into()))
        }
    }
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("coldshoed.log")
}

/// Waits for a process to end, at most for a while.
fn ended(pidfd: &OwnedFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(_) if left.is_zero() => return false,
            // A signal: what is left of the time counts.
            Err(_) => {}
        }
    }
}

/// The last three lines of a log as one.
fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return "its log is empty".into();
    }
    super::one_line(&lines[lines.len().saturating_sub(3)..].join("; "))
}

/// The last lines of a log that come from the module, without time and target. Such a line starts
/// with time, level and target.
fn of_module(log: &str) -> Vec<String> {
    let text = |line: &str| {
        let (_time, rest) = line.split_once(' ')?;
        let (level, rest) = rest.trim_start().split_once(' ')?;
        let (target, text) = rest.split_once(": ")?;
        let ours = ["coldshoed::module", "coldshoed::module_log"].contains(&target);
        let line = format!("{level} {text}").replace(|c: char| c.is_control(), " ");
        ours.then(|| line.chars().take(MODULE_LINE).collect())
    };
    let mut lines: Vec<String> = log
        .lines()
        .rev()
        .filter_map(text)
        .take(MODULE_LINES)
        .collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_log_only_what_the_module_said_is_shown() {
        let log = "uld be cut off\n\
                   2026-01-01T00:00:00Z  INFO coldshoed::module: dark\x1b[2J module=\"m\"\n\
                   2026-01-01T00:00:00Z ERROR coldshoed::session: m failed\n  why: it did\n\
                   2026-01-01T00:00:00Z  WARN coldshoed::module_log: left out dropped=7\n";
        let shown = ["INFO dark [2J module=\"m\"", "WARN left out dropped=7"];
        assert_eq!(of_module(log), shown);
        assert!(of_module("").is_empty());
    }

    #[test]
    fn what_the_module_said_is_cut_to_ten_lines_of_bounded_length() {
        let long = "x".repeat(2 * MODULE_LINE);
        let line = |n: usize| format!("T ERROR coldshoed::module: {n:02} {long}\n");
        let shown = of_module(&(0..30).map(line).collect::<String>());
        assert_eq!(shown.len(), 10);
        assert!(shown[0].starts_with("ERROR 20 x") && shown[9].starts_with("ERROR 29 x"));
        assert!(shown.iter().all(|line| line.len() == MODULE_LINE));
    }

    #[test]
    fn the_end_of_a_log_is_three_lines_on_one() {
        assert_eq!(last_lines("a\nb\n\n  c  \nd\n"), "b; c; d");
        assert_eq!(last_lines("\n"), "its log is empty");
    }

    #[test]
    fn a_program_that_ends_at_once_is_told_with_its_log() {
        let mut daemon = Daemon::start(Path::new("/bin/false"), &[], &[], &[]).unwrap();
        let open = Open {
            params_format: "coldshoe-soft".into(),
            ..Open::default()
        };
        let error = daemon
            .open(open, &Interrupt::default())
            .unwrap_err()
            .to_string();
        assert_eq!(error.lines().count(), 3, "{error}");
        assert!(error.contains("exit status: 1"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Daemon::start(Path::new("/nonexistent/coldshoed"), &[], &[], &[]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/coldshoed"));
    }

    #[test]
    fn dropping_it_ends_the_process_and_removes_its_directory() {
        // `sleep --runtime-dir …` would end at once: a shell reads the arguments as its own.
        let script = tempfile::tempdir().unwrap();
        let program = script.path().join("daemon");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        let daemon = Daemon::start(&program, &[], &[], &[]).unwrap();
        let dir = daemon.dir.path().to_owned();
        let pid = Pid::from_child(&daemon.child);
        assert!(dir.is_dir());
        drop(daemon);
        assert!(!dir.exists());
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
