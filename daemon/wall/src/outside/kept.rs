//! A keeper, as its daemon knows it: asked to start workers, and heard of how they ended.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coldshoe_control::keeper::{
    Body, Ended, Envelope, Here, NotStarted, Ping, Retain, Spawn, Started,
};
use coldshoe_control::{Received, Receiver, RecvError, try_send};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;

use super::child::{Child, End, Exit, pid_of};
use super::keeper::{ARGUMENT, ENDS, parent_of};
use super::spawn::{SpawnError, SpawnRequest};

/// A keeper answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// For the report of an end that can be seen already.
const REPORT: Duration = Duration::from_millis(100);

pub(super) type Reply = Box<dyn FnOnce(Result<Child, SpawnError>) + Send>;
type Pong = Box<dyn FnOnce() + Send>;

enum Waiting {
    ForChild(PathBuf, Reply),
    ForPong(Pong),
}

/// A keeper, as its daemon knows it.
pub(super) struct Kept {
    socket: OwnedFd,
    pid: i32,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    serial: u32,
    waiting: HashMap<u32, Waiting>,
    /// Ends that nobody has asked for yet. The keeper tells of an end before anything else of the same
    /// number, so one is of the process that had the number last.
    ends: VecDeque<End>,
    /// Whose end nobody will ask for.
    disowned: HashSet<i32>,
    gone: bool,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// Starts a keeper: `program` is one that calls [`keep_if_asked`](super::keep_if_asked).
    pub(super) fn start(program: &Path) -> io::Result<Arc<Self>> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Command::new(program)
            .arg(ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Self::take(ours)
    }

    /// Takes over the keeper behind a socket, which another daemon had before.
    pub(super) fn take(socket: OwnedFd) -> io::Result<Arc<Self>> {
        let mut ends = VecDeque::new();
        let pid = who(&socket, &mut ends)?;
        let state = State {
            ends,
            // Answers to the daemon before are not taken for this one's.
            serial: random_serial(),
            ..State::default()
        };
        let kept = Arc::new(Self {
            socket,
            pid,
            state: Mutex::new(state),
            ended: Condvar::new(),
        });
        let reader = Arc::clone(&kept);
        std::thread::Builder::new()
            .name("wall-keeper".to_owned())
            .spawn(move || reader.read())?;
        Ok(kept)
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn spawn(&self, request: SpawnRequest, reply: Reply) {
        let program = request.program.clone();
        if !request.args.is_empty() {
            let reason = "a keeper starts programs without arguments";
            return reply(Err(SpawnError::Request { program, reason }));
        }
        let Some(text) = program.to_str() else {
            let reason = "its path is not UTF-8; put it elsewhere";
            return reply(Err(SpawnError::Request { program, reason }));
        };
        let spawn = Spawn {
            program: text.to_owned(),
            stack: request.stack,
            core: request.core,
            uid: request.user.map(|user| user.uid),
            gid: request.user.map(|user| user.gid),
        };
        let fds = [&request.control, &request.bell, &request.stderr].map(AsFd::as_fd);
        let waiting = Waiting::ForChild(program, reply);
        self.ask(Body::Spawn(spawn), &fds, waiting);
    }

    pub(super) fn ping(&self, pong: Pong) {
        self.ask(Body::Ping(Ping {}), &[], Waiting::ForPong(pong));
    }

    pub(super) fn retain(&self, pids: &[i32]) {
        let pids = pids.to_vec();
        let done: Pong = Box::new(|| {});
        self.ask(Body::Retain(Retain { pids }), &[], Waiting::ForPong(done));
    }

    fn ask(&self, body: Body, fds: &[BorrowedFd<'_>], waiting: Waiting) {
        let serial = {
            let mut state = self.lock();
            if state.gone {
                drop(state);
                return waiting.failed("the keeper of the workers has ended; restart the daemon");
            }
            state.serial = state.serial.wrapping_add(1).max(1);
            let serial = state.serial;
            state.waiting.insert(serial, waiting);
            serial
        };
        // A keeper that does not read counts as one that is gone: nobody waits for it.
        if let Err(error) = try_send(self.socket.as_fd(), &Envelope::new(serial, body), fds) {
            let waiting = self.lock().waiting.remove(&serial);
            if let Some(waiting) = waiting {
                waiting.failed(&error.to_string());
            }
        }
    }

    fn read(self: &Arc<Self>) {
        let mut receiver = Receiver::new();
        loop {
            let received = receiver.recv::<Envelope>(self.socket.as_fd(), RecvFlags::empty());
            let (serial, body, fds) = match received {
                Ok(Received { message, fds }) => (message.serial, message.body, fds),
                Err(RecvError::Refused(_) | RecvError::WouldBlock) => continue,
                Err(_) => break,
            };
            match body {
                Some(Body::Ended(ended)) => {
                    self.lock().remember(ended);
                    self.ended.notify_all();
                }
                Some(body) => {
                    let waiting = self.lock().waiting.remove(&serial);
                    if let Some(waiting) = waiting {
                        self.answer(waiting, body, fds);
                    }
                }
                None => {}
            }
        }
        let mut state = self.lock();
        state.gone = true;
        let left: Vec<Waiting> = state.waiting.drain().map(|(_, waiting)| waiting).collect();
        drop(state);
        self.ended.notify_all();
        for waiting in left {
            waiting.failed("the keeper of the workers has ended; restart the daemon");
        }
    }

    fn answer(self: &Arc<Self>, waiting: Waiting, body: Body, fds: Vec<OwnedFd>) {
        match (waiting, body) {
            (Waiting::ForChild(_, reply), Body::Started(Started { pid })) => {
                self.lock().is_anew(pid);
                if let (Some(pid), Some(pidfd)) = (Pid::from_raw(pid), fds.into_iter().next()) {
                    reply(Ok(Child::kept(pid, pidfd, Arc::clone(self))));
                }
            }
            (Waiting::ForPong(pong), Body::Here(_)) => pong(),
            (waiting, Body::NotStarted(NotStarted { why })) => waiting.failed(&why),
            (waiting, _) => waiting.failed("the keeper answered something else"),
        }
    }

    /// Takes over a process, once it is known to be the keeper's child.
    pub(super) fn adopt(self: &Arc<Self>, pidfd: OwnedFd) -> io::Result<Child> {
        let pid = pid_of(&pidfd)?;
        let number = pid.as_raw_nonzero().get();
        let parent = parent_of(number);
        // Looked at in this order: while it has not ended the number was its own.
        let lives = !is_over(&pidfd, &Timespec::default())?;
        if lives && parent != Some(self.pid) {
            let what = format!(
                "process {number} is no child of the keeper, process {}",
                self.pid
            );
            return Err(io::Error::other(what));
        }
        if lives {
            self.lock().is_anew(number);
        }
        Ok(Child::kept(pid, pidfd, Arc::clone(self)))
    }

    /// How a process ended, once it has; waits for that as long as it may.
    pub(super) fn end_of(
        &self,
        pid: Pid,
        pidfd: &OwnedFd,
        patience: &Timespec,
    ) -> io::Result<Option<End>> {
        if !is_over(pidfd, patience)? {
            return Ok(None);
        }
        let pid = pid.as_raw_nonzero().get();
        let deadline = Instant::now() + REPORT;
        let mut state = self.lock();
        loop {
            if let Some(at) = state.ends.iter().position(|end| end.pid == pid) {
                return Ok(state.ends.remove(at));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.gone {
                let exit = Exit::Unknown;
                return Ok(Some(End {
                    pid,
                    exit,
                    peak: None,
                }));
            }
            let waited = self.ended.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nobody will ask how a process ended.
    pub(super) fn disown(&self, pid: Pid) {
        let pid = pid.as_raw_nonzero().get();
        let mut state = self.lock();
        match state.ends.iter().position(|end| end.pid == pid) {
            Some(at) => drop(state.ends.remove(at)),
            None => drop(state.disowned.insert(pid)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A number is another process's now.
    fn is_anew(&mut self, pid: i32) {
        self.ends.retain(|end| end.pid != pid);
        self.disowned.remove(&pid);
    }

    fn remember(&mut self, ended: Ended) {
        if self.disowned.remove(&ended.pid) {
            return;
        }
        if self.ends.len() == ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(end(ended));
    }
}

fn end(ended: Ended) -> End {
    let exit = match (ended.code, ended.signal) {
        (Some(code), _) => Exit::Exited(code),
        (None, Some(signal)) => Exit::Signaled {
            signal,
            core: ended.core,
        },
        (None, None) => Exit::Unknown,
    };
    End {
        pid: ended.pid,
        exit,
        peak: Some(ended.peak).filter(|peak| *peak > 0),
    }
}

impl Waiting {
    fn failed(self, why: &str) {
        match self {
            Self::ForChild(program, reply) => {
                let source = io::Error::other(why.to_owned());
                let step = "it was not started";
                reply(Err(SpawnError::Step {
                    program,
                    step,
                    source,
                }));
            }
            // It is waited for in vain, which is what it is for.
            Self::ForPong(_) => {}
        }
    }
}

/// One that no daemon before has used lately.
fn random_serial() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u32)
        .wrapping_mul(1_000_003)
        .wrapping_add(now.tv_nsec as u32)
        .max(1)
}

/// Asks a keeper who it is, and takes note of what it had to say before.
fn who(socket: &OwnedFd, ends: &mut VecDeque<End>) -> io::Result<i32> {
    let serial = random_serial();
    let ping = Envelope::new(serial, Body::Ping(Ping {}));
    try_send(socket.as_fd(), &ping, &[]).map_err(io::Error::other)?;
    let (deadline, mut receiver) = (Instant::now() + PATIENCE, Receiver::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        if !is_over(socket, &timeout)? {
            return Err(io::Error::other("it does not answer"));
        }
        match receiver.recv::<Envelope>(socket.as_fd(), RecvFlags::DONTWAIT) {
            Ok(Received { message, .. }) => match message.body {
                Some(Body::Here(Here { pid })) if message.serial == serial => return Ok(pid),
                Some(Body::Ended(ended)) => {
                    ends.push_back(end(ended));
                    if ends.len() > ENDS {
                        ends.pop_front();
                    }
                }
                // For the daemon before; a worker that came with it ends with the next Retain.
                _ => {}
            },
            Err(RecvError::WouldBlock | RecvError::Refused(_)) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// Whether a descriptor is readable: of a pidfd, whether its process has ended.
fn is_over(fd: &OwnedFd, patience: &Timespec) -> io::Result<bool> {
    loop {
        let mut ready = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut ready, Some(patience)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(pid: i32, code: i32) -> Ended {
        Ended {
            pid,
            code: Some(code),
            ..Ended::default()
        }
    }

    #[test]
    fn an_end_is_not_told_of_another_process_with_the_same_number() {
        let mut state = State::default();
        state.remember(exited(7, 1));
        state.is_anew(7);
        assert!(state.ends.is_empty(), "nobody had asked for it");
        state.disowned.insert(7);
        state.remember(exited(7, 2));
        assert!(state.ends.is_empty(), "nobody will ask for it");
        state.remember(exited(7, 3));
        assert_eq!(state.ends[0].exit, Exit::Exited(3));
        state.disowned.insert(8);
        state.is_anew(8);
        state.remember(exited(8, 4));
        assert_eq!(state.ends[1].exit, Exit::Exited(4));
    }

    #[test]
    fn ends_that_nobody_asks_for_are_bounded() {
        let mut state = State::default();
        for pid in 1..5000 {
            state.remember(exited(pid, 0));
        }
        assert_eq!(state.ends.len(), ENDS);
        assert_eq!(state.ends[0].pid, 5000 - ENDS as i32);
    }
}
