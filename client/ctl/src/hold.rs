//! `coldshoectl hold`: exposure, white balance or focus stay as they are, as long as a program runs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};

use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use zbus::Variant;

use crate::daemon::Whose;
use crate::objects::{self, Objects};
use crate::words::clean;

/// Longest reason that the daemon takes, in bytes.
const MAX_REASON: usize = 256;
/// An end that was asked for by a signal.
const INTERRUPTED: u8 = 130;

#[derive(Args)]
pub(crate) struct Options {
    /// The session's number, or as much of it as tells it from others
    session: String,
    /// What is held; several with commas between
    #[arg(value_delimiter = ',', required = true, num_args = 1)]
    what: Vec<What>,
    /// What it is held for; others who want it are told [default: the program]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// The program; without one it is held until this is interrupted
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Exposure and gain
    Ae,
    /// White balance
    Awb,
    /// Focus
    Af,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Ae => "ae",
            Self::Awb => "awb",
            Self::Af => "af",
        }
    }
}

/// Why nothing is held, or not any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// The program does not start.
    #[error(
        "{program:?} does not start\n  why: {source}\n  try: name a program, with its path if it is not in $PATH"
    )]
    Program { program: String, source: io::Error },
    /// It was to be held longer.
    #[error(
        "session {0} holds nothing any more\n  why: it was closed, or the daemon has ended\n  try: hold it again when it is back"
    )]
    LetGo(String),
    #[error(
        "the program cannot be waited for\n  why: {0}\n  try: close programs, or raise their limits"
    )]
    Wait(#[from] io::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Objects(error) => error.exit_code(),
            Self::Program { source, .. } if source.kind() == io::ErrorKind::NotFound => 3,
            Self::Program { .. } | Self::LetGo(_) | Self::Wait(_) => 1,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    let (bus, objects) = Objects::ask(options.whose)?;
    let session = objects.session(&options.session)?;
    let mut what: Vec<_> = options.what.iter().map(|what| what.name()).collect();
    what.dedup();
    let none: HashMap<&str, Variant<'_>> = HashMap::new();
    let call = (what.join(":"), options.reason(), none);
    let held: zbus::OwnedFd = bus
        .call(&session.path, "Session", "Hold", &call)
        .map_err(objects::Error::from)?;
    let held = OwnedFd::from(held);
    // Nobody reads what would come from there.
    drop(bus);
    // Not before: whoever is asked for a password may give up. From here on none ends this program with
    // the one that it waits for still running.
    let (interrupt, end) = (signals(&[SIGINT])?, signals(&[SIGTERM, SIGHUP])?);
    let Some((program, arguments)) = options.command.split_first() else {
        if io::stderr().is_terminal() {
            anstream::eprintln!(
                "session {} is held until this is interrupted",
                session.session
            );
        }
        return until_interrupted(&held, &interrupt, &end, session.session);
    };
    let child = Command::new(program).args(arguments).spawn();
    let child = child.map_err(|source| Error::Program {
        program: clean(&program.to_string_lossy(), MAX_REASON),
        source,
    })?;
    let status = while_it_runs(child, &held, (interrupt, end), &session.session)?;
    Ok(code_of(status))
}

impl Options {
    fn reason(&self) -> String {
        let words = self.command.iter().map(|word| word.to_string_lossy());
        let command = words.collect::<Vec<_>>().join(" ");
        let reason = match (&self.reason, command.is_empty()) {
            (Some(reason), _) => reason.clone(),
            (None, false) => command,
            (None, true) => "coldshoectl hold".to_owned(),
        };
        clean(&reason, MAX_REASON)
    }
}

/// Where these signals are heard of.
fn signals(which: &[i32]) -> io::Result<UnixStream> {
    let (heard, tell) = UnixStream::pair()?;
    heard.set_nonblocking(true)?;
    for signal in which {
        pipe::register(*signal, tell.try_clone()?)?;
    }
    Ok(heard)
}

/// Sleeps until one of these has something to say; which of them have.
fn wait<const N: usize>(all: [(BorrowedFd<'_>, PollFlags); N]) -> io::Result<[bool; N]> {
    let mut fds = all.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags));
    loop {
        match poll(&mut fds, None) {
            Ok(_) => return Ok(fds.map(|fd| !fd.revents().is_empty())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// That the other end of a pipe is gone comes unasked.
fn gone(held: &OwnedFd) -> (BorrowedFd<'_>, PollFlags) {
    (held.as_fd(), PollFlags::empty())
}

fn until_interrupted(
    held: &OwnedFd,
    interrupt: &UnixStream,
    end: &UnixStream,
    session: String,
) -> Result<ExitCode, Error> {
    let [gone, ..] = wait([
        gone(held),
        (interrupt.as_fd(), PollFlags::IN),
        (end.as_fd(), PollFlags::IN),
    ])?;
    match gone {
        true => Err(Error::LetGo(session)),
        false => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// The terminal interrupts the program itself; what else is to end this one ends the program.
fn while_it_runs(
    mut child: Child,
    held: &OwnedFd,
    (interrupt, end): (UnixStream, UnixStream),
    session: &str,
) -> Result<ExitStatus, Error> {
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let pidfd = pidfd.map_err(io::Error::from)?;
    let mut is_held = true;
    loop {
        // A descriptor without another end would never be silent again.
        let watched = if is_held { held.as_fd() } else { pidfd.as_fd() };
        let [let_go, ended, interrupted, to_end] = wait([
            (watched, PollFlags::empty()),
            (pidfd.as_fd(), PollFlags::IN),
            (interrupt.as_fd(), PollFlags::IN),
            (end.as_fd(), PollFlags::IN),
        ])?;
        if ended {
            return Ok(child.wait()?);
        }
        if interrupted {
            drain(&interrupt);
        }
        if to_end {
            drain(&end);
            let _ = pidfd_send_signal(&pidfd, Signal::TERM);
        }
        if let_go && is_held {
            is_held = false;
            let told = Error::LetGo(session.to_owned());
            anstream::eprintln!("warning: {told}");
        }
    }
}

fn drain(mut signals: &UnixStream) {
    let _ = signals.read(&mut [0; 64]);
}

/// As a shell tells it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
