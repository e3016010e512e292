//! The keeper: a process that is the parent of the workers of daemons that follow each other.
//!
//! A worker dies with its parent. If that were the daemon, no worker could outlive it, and a stream
//! would end whenever the daemon is restarted. So a daemon that can hand its descriptors to the next
//! one, through systemd's store, leaves being a parent to a process that does nothing else. That lives
//! as long as anybody holds the other end of its socket: a daemon, or the store. With the last of
//! them it ends, and takes every worker with it, whatever runs in them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use coldshoe_control::keeper::{Body, Ended, Envelope, Here, NotStarted, Retain, Spawn, Started};
use coldshoe_control::{Received, Receiver, SendError, clean, try_send};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::RecvFlags;
use rustix::process::{DumpableBehavior, Pid, Signal, WaitIdOptions, kill_process, setsid};

use super::child::{Exit, Who, wait};
use super::spawn::{SpawnError, SpawnRequest, User};
use super::start;

/// With this as its first argument a daemon's program is a keeper.
pub(super) const ARGUMENT: &str = "--keeper";
/// Ends that are remembered until somebody reads.
pub(super) const ENDS: usize = 1024;

/// Is the keeper, if the program was started as one, until nobody holds the other end of its socket.
/// To be called first of all, before there is a second thread. Whether it was.
pub fn keep_if_asked() -> bool {
    if std::env::args_os()
        .nth(1)
        .is_none_or(|argument| argument != ARGUMENT)
    {
        return false;
    }
    if let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() {
        // Nothing is left to tell of an error, and nobody to tell it to.
        let _ = keep(&socket);
    }
    true
}

fn keep(socket: &OwnedFd) -> io::Result<()> {
    // Signals for the daemon's terminal or group are not for it.
    start::block_signals();
    // Ignored, as one may inherit it, children would be reaped unseen.
    // SAFETY: the default action is no function of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    let _ = setsid();
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let children = child_signals()?;
    let mut keeper = Keeper {
        socket,
        receiver: Receiver::new(),
        outgoing: VecDeque::new(),
    };
    loop {
        // Nothing is asked for while an answer waits: so at most one waits, beside ends.
        let wanted = match keeper.outgoing.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::OUT,
        };
        let mut ready = [
            PollFd::new(socket, wanted),
            PollFd::new(&children, PollFlags::IN),
        ];
        let _ = poll(&mut ready, None);
        let (socket_events, child_events) = (ready[0].revents(), ready[1].revents());
        if child_events.contains(PollFlags::IN) {
            let _ = rustix::io::read(&children, &mut [0; 1024]);
            keeper.reap();
        }
        keeper.send();
        if socket_events.contains(PollFlags::IN) && keeper.outgoing.is_empty() {
            keeper.serve();
            keeper.send();
        }
        if socket_events.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(());
        }
    }
}

/// Readable when a child has ended.
fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by the first call and only read by the last; the descriptor is
    // new and nobody else's.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        match fd {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

struct Keeper<'a> {
    socket: &'a OwnedFd,
    receiver: Receiver,
    /// What no daemon has had room for yet, in order: the end of a process goes before whatever else
    /// is said of its number.
    outgoing: VecDeque<(Envelope, Option<OwnedFd>)>,
}

impl Keeper<'_> {
    /// Reaps every child that has ended: second stages, too, which others made.
    fn reap(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        while let Ok(Some(end)) = wait(Who::Any, options) {
            if self.outgoing.len() >= ENDS {
                self.outgoing.pop_front();
            }
            let (code, signal, core) = match end.exit {
                Exit::Exited(code) => (Some(code), None, false),
                Exit::Signaled { signal, core } => (None, Some(signal), core),
                Exit::Unknown => (None, None, false),
            };
            let ended = Ended {
                pid: end.pid,
                code,
                signal,
                core,
                peak: end.peak.unwrap_or(0),
            };
            self.outgoing
                .push_back((Envelope::new(0, Body::Ended(ended)), None));
        }
    }

    /// Sends what there is room for.
    fn send(&mut self) {
        while let Some((message, fd)) = self.outgoing.front() {
            let fds: Vec<BorrowedFd<'_>> = fd.iter().map(AsFd::as_fd).collect();
            match try_send(self.socket.as_fd(), message, &fds) {
                Err(SendError::WouldBlock) => return,
                // What cannot be sent at all is not tried again.
                Ok(()) | Err(_) => self.outgoing.pop_front(),
            };
        }
    }

    /// Does what the next message asks for. One that cannot be read is not answered: it was not this
    /// protocol. That nobody is left to ask is seen elsewhere: an empty datagram looks the same.
    fn serve(&mut self) {
        let received = self
            .receiver
            .recv::<Envelope>(self.socket.as_fd(), RecvFlags::DONTWAIT);
        let Ok(Received { message, fds }) = received else {
            return;
        };
        let here = || Body::Here(Here { pid: own_pid() });
        let (answer, fd) = match message.body {
            Some(Body::Spawn(spawn)) => match started(spawn, fds) {
                Ok((pid, pidfd)) => (Body::Started(Started { pid }), Some(pidfd)),
                Err(error) => {
                    let why = clean(&error.to_string());
                    (Body::NotStarted(NotStarted { why }), None)
                }
            },
            Some(Body::Retain(Retain { pids })) => {
                end_all_but(&pids);
                (here(), None)
            }
            Some(Body::Ping(_)) => (here(), None),
            _ => return,
        };
        self.outgoing
            .push_back((Envelope::new(message.serial, answer), fd));
    }
}

fn started(spawn: Spawn, fds: Vec<OwnedFd>) -> Result<(i32, OwnedFd), SpawnError> {
    let program = PathBuf::from(spawn.program);
    let Ok([control, bell, stderr]) = <[OwnedFd; 3]>::try_from(fds) else {
        let reason = "three descriptors belong to it";
        return Err(SpawnError::Request { program, reason });
    };
    let user = spawn.uid.zip(spawn.gid);
    let child = start::start(SpawnRequest {
        program: program.clone(),
        args: Vec::new(),
        control,
        bell,
        stderr,
        stack: spawn.stack,
        core: spawn.core,
        user: user.map(|(uid, gid)| User { uid, gid }),
    })?;
    let pid = child.pid();
    let step = "cannot hand it over";
    let pidfd = child.let_go().map_err(|source| SpawnError::Step {
        program,
        step,
        source,
    })?;
    Ok((pid, pidfd))
}

/// Ends every child that is not named. A first stage may make a second one before it dies: it is
/// looked until there is nobody new.
fn end_all_but(pids: &[i32]) {
    let own = own_pid();
    let mut known = pids.to_vec();
    loop {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
        let others: Vec<i32> = entries
            .filter_map(number)
            .filter(|number| !known.contains(number) && parent_of(*number) == Some(own))
            .collect();
        if others.is_empty() {
            return;
        }
        for pid in others.iter().filter_map(|number| Pid::from_raw(*number)) {
            // Our own child, and not reaped before the next turn of the loop: the number is its.
            let _ = kill_process(pid, Signal::KILL);
        }
        known.extend(others);
    }
}

pub(super) fn parent_of(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok()
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
