//! The real daemon, as a process.

use std::cell::RefCell;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Log, Place, Raw, children, ends, open_fds, until};

/// A running `coldshoed` in a place of its own. Dropping it ends it with SIGTERM and checks that
/// it ends well.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    /// A client that was there from the start: it gives the daemon a turn.
    probe: RefCell<Raw>,
    fds_at_rest: usize,
    place: Option<Place>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    pidfd: OwnedFd,
    log: Log,
}

impl Daemon {
    /// Starts one in a new place.
    #[expect(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Self {
        Self::start(Place::new())
    }

    /// Starts one and waits until it is ready.
    pub fn start(place: Place) -> Self {
        let command = place.coldshoed();
        Self::start_with(place, command)
    }

    /// The same with a command of one's own.
    pub fn start_with(place: Place, mut command: Command) -> Self {
        let mut child = command.spawn().expect("coldshoed");
        let pid = Pid::from_child(&child);
        let process = Process {
            pidfd: pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd"),
            log: Log::follow(child.stderr.take().expect("piped above")),
            child,
        };
        process.log.wait_for("ready");
        let mut probe = Raw::connect(&place.socket());
        probe.hello();
        probe.turn();
        Self {
            fds_at_rest: open_fds(process.child.id()),
            probe: RefCell::new(probe),
            process,
            place: Some(place),
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.process.pidfd, signal).expect("our own child");
    }

    /// What it has written so far.
    pub fn log(&self) -> &Log {
        &self.process.log
    }

    /// Makes a round trip through the daemon.
    pub fn turn(&self) {
        self.probe.borrow_mut().turn();
    }

    /// Waits until no worker is left, not even as a zombie, and the daemon holds no descriptor
    /// that it did not hold at its start.
    pub fn assert_at_rest(&self) {
        until(
            "no worker is left and the daemon's descriptors are as at its start",
            || children(self.pid()).is_empty() && open_fds(self.pid()) == self.fds_at_rest,
            || {
                // Asking the daemon over and over can keep a worker from the processor that it
                // needs to die.
                children(self.pid()).into_iter().for_each(wait_for_end);
                self.turn();
            },
        );
    }

    /// Ends it with SIGTERM, checks that it ended well, and returns its place and its log.
    pub fn stop(mut self) -> (Place, String) {
        let status = self.process.end(Signal::TERM);
        let log = self.log().to_end();
        assert!(status.success(), "coldshoed ended with {status}:\n{log}");
        (self.place.take().expect("taken once"), log)
    }

    /// Ends it with SIGKILL and returns its place.
    pub fn kill(mut self) -> Place {
        self.process.end(Signal::KILL);
        self.place.take().expect("taken once")
    }
}

/// Waits until a process has ended; it may have been reaped already.
fn wait_for_end(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process number");
    if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
        assert!(ends(pidfd), "worker {pid} lives on");
    }
}

impl Process {
    fn end(&mut self, signal: Signal) -> ExitStatus {
        pidfd_send_signal(&self.pidfd, signal).expect("our own child");
        let ended = ends(self.pidfd.as_fd());
        if !ended {
            let _ = self.child.kill();
        }
        let status = self.child.wait().expect("our own child");
        assert!(ended, "{signal:?} did not end coldshoed");
        status
    }
}

impl Deref for Daemon {
    type Target = Place;

    fn deref(&self) -> &Place {
        self.place.as_ref().expect("there until the end")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.place.is_none() {
            return;
        }
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log().all("").join("\n"));
            let _ = self.process.child.kill();
            let _ = self.process.child.wait();
            return;
        }
        let status = self.process.end(Signal::TERM);
        assert!(status.success(), "coldshoed ended with {status}");
    }
}
