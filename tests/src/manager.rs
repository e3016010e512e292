//! A stand-in for a service manager with a store of descriptors: what systemd does with a service
//! that has `FileDescriptorStoreMax=`, by the same protocol.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::{Log, PATIENCE, Place};

/// Starts a daemon, again and again, and keeps what it is sent for the next one.
#[derive(Debug)]
pub struct Manager {
    place: Place,
    args: Vec<String>,
    environment: Vec<(&'static str, String)>,
    told: Arc<Told>,
    child: Option<Child>,
    log: Option<Log>,
}

#[derive(Debug, Default)]
struct Told {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<(String, OwnedFd)>,
    ready: u32,
    reloading: u32,
    watchdog: u32,
    status: String,
}

impl Manager {
    /// Starts the first daemon; `args` come after those of its place.
    pub fn start(place: Place, args: &[&str]) -> Self {
        Self::start_with(place, args, Vec::new())
    }

    /// The same; daemons find `environment` in theirs.
    pub fn start_with(
        place: Place,
        args: &[&str],
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let socket = UnixDatagram::bind(place.notify_socket()).expect("a socket");
        let told = Arc::new(Told::default());
        let heard = Arc::clone(&told);
        std::thread::spawn(move || while heard.hear(&socket) {});
        let mut manager = Self {
            place,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            environment,
            told,
            child: None,
            log: None,
        };
        manager.restart();
        manager
    }

    /// Starts a daemon with what the one before has left, and waits until it is ready.
    pub fn restart(&mut self) {
        let before = self.told.lock().ready;
        let daemon = self.place.coldshoed();
        let mut command = passing(&daemon, self.left());
        command
            .arg("--fd-store")
            .args(&self.args)
            .envs(self.environment.clone())
            .env("NOTIFY_SOCKET", self.place.notify_socket())
            .env("WATCHDOG_USEC", "3000000");
        let mut child = command.spawn().expect("coldshoed");
        self.log = Some(Log::follow(child.stderr.take().expect("piped above")));
        self.child = Some(child);
        self.told.wait("READY=1", |state| state.ready > before);
    }

    /// What is kept; what has hung up is not, as systemd has it.
    fn left(&self) -> (Vec<String>, Vec<OwnedFd>) {
        let mut state = self.told.lock();
        state.kept.retain(|(_, fd)| {
            let mut events = [PollFd::new(fd, PollFlags::empty())];
            let polled = poll(&mut events, Some(&Timespec::default()));
            let over = PollFlags::HUP | PollFlags::ERR;
            // What cannot be polled is always there.
            polled.is_err() || !events[0].revents().intersects(over)
        });
        let copy =
            |(name, fd): &(String, OwnedFd)| (name.clone(), fd.try_clone().expect("a descriptor"));
        state.kept.iter().map(copy).unzip()
    }

    /// The place of the daemons.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The daemon's process number.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a daemon").id()
    }

    /// What the daemon has written so far.
    pub fn log(&self) -> &Log {
        self.log.as_ref().expect("a daemon")
    }

    /// Names of what is kept.
    pub fn kept(&self) -> Vec<String> {
        let state = self.told.lock();
        state.kept.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Forgets some of what is kept.
    pub fn lose(&self, lost: impl Fn(&str) -> bool) {
        self.told.lock().kept.retain(|(name, _)| !lost(name));
    }

    /// Waits until the kept names are as they should be.
    pub fn until_kept(&self, what: &str, seen: impl Fn(&[String]) -> bool) {
        self.told.wait(what, |state| {
            let names: Vec<String> = state.kept.iter().map(|(name, _)| name.clone()).collect();
            seen(&names)
        });
    }

    /// Waits for a sign of life after this moment, and tells the daemon's status.
    pub fn watchdog(&self) -> String {
        let before = self.told.lock().watchdog;
        self.told
            .wait("WATCHDOG=1", |state| state.watchdog > before);
        self.told.lock().status.clone()
    }

    /// Has the daemon read its settings again, and waits until it says that it has.
    pub fn reload(&self) {
        let (reloading, ready) = {
            let state = self.told.lock();
            (state.reloading, state.ready)
        };
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("our child");
        self.told.wait("RELOADING=1, then READY=1", |state| {
            state.reloading > reloading && state.ready > ready
        });
    }

    /// Ends the daemon with SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a daemon");
        child.kill().expect("our child");
        child.wait().expect("our child");
    }

    /// Ends the daemon with SIGTERM, as for a restart.
    pub fn terminate(&mut self) {
        let mut child = self.child.take().expect("a daemon");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our child");
        let status = child.wait().expect("our child");
        assert!(status.success(), "coldshoed ended with {status}");
    }
}

/// A daemon that gets descriptors by name, as systemd passes them.
pub fn passing(daemon: &Command, (names, fds): (Vec<String>, Vec<OwnedFd>)) -> Command {
    // The number of the process is only known in it.
    let mut command = Command::new("sh");
    command
        .args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"])
        .arg(daemon.get_program())
        .args(daemon.get_args())
        .env_clear()
        .env("LISTEN_FDS", names.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mapping = |(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    };
    command
        .fd_mappings(fds.into_iter().zip(3..).map(mapping).collect())
        .expect("each has its number");
    command
}

impl Told {
    /// Takes one datagram; `false` when nobody is left to ask.
    fn hear(self: &Arc<Self>, socket: &UnixDatagram) -> bool {
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut text)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let Ok(received) = recvmsg(socket.as_fd(), &mut into, &mut control, flags) else {
            return false;
        };
        assert!(!received.flags.contains(ReturnFlags::CTRUNC));
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
        };
        let mut state = self.lock();
        if value("RELOADING").is_some() {
            let since = value("MONOTONIC_USEC").expect("since when it reloads");
            since.parse::<u64>().expect("a time");
            state.reloading += 1;
        }
        state.ready += u32::from(value("READY").is_some());
        state.watchdog += u32::from(value("WATCHDOG").is_some());
        if let Some(status) = value("STATUS") {
            state.status = status;
        }
        let name = value("FDNAME").unwrap_or_default();
        if value("FDSTOREREMOVE").is_some() {
            state.kept.retain(|(kept, _)| *kept != name);
        } else if value("FDSTORE").is_some() {
            state
                .kept
                .extend(fds.into_iter().map(|fd| (name.clone(), fd)));
        }
        self.changed.notify_all();
        true
    }

    fn wait(&self, what: &str, seen: impl Fn(&State) -> bool) {
        let state = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !seen(state));
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            !timeout.timed_out(),
            "never seen: {what}; kept: {:?}",
            state.kept
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if std::thread::panicking() {
                eprintln!("the daemon's log:\n{}", self.log().all("").join("\n"));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        // With what is kept, its workers go.
        self.told.lock().kept.clear();
    }
}
