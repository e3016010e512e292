//! Spawns this very program as a worker, keeps its gate, and says how it ended.

use coldshoe_jail::{Arch, Phase, Profile, Verdict};
use coldshoe_wall::outside::{
    Answer, Child, Exit, Listener, Maps, SpawnRequest, Spawner, worker_user,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const STACK: u64 = 4 << 20;
pub const CORE: u64 = 1;
/// What the second stage says, one byte each.
pub const DIVIDED: u8 = b'D';
pub const ENTERED: u8 = b'E';
pub const GATED: u8 = b'G';
pub const LOADED: u8 = b'L';
pub const READY: u8 = b'R';

/// The profile that a jail is made from; some tests then leave parts of it out.
pub fn profile_of(jail: &str) -> Profile {
    let name = if jail == "threaded" { jail } else { "single" };
    Profile::builtin(name).expect("profile")
}

/// A spawned probe, and our ends of what connects it.
pub struct Worker {
    pub child: Child,
    pub control: OwnedFd,
    output: OwnedFd,
    keeper: Option<Keeper>,
}

/// Answers its gate in a thread of its own.
struct Keeper {
    running: Arc<AtomicBool>,
    thread: JoinHandle<Option<Broken>>,
}

/// The call that the gate caught.
#[derive(Clone, Debug)]
pub struct Broken {
    pub name: String,
    pub phase: Phase,
    pub place: String,
}

/// How a probe ended, and what it wrote.
#[derive(Debug)]
pub struct End {
    pub exit: Exit,
    pub output: String,
    pub broken: Option<Broken>,
}

pub fn request(args: &[&str]) -> (SpawnRequest, OwnedFd, OwnedFd) {
    let none = None;
    let (control, inside) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        none,
    )
    .expect("control socket");
    let (output, stderr) = pipe_with(PipeFlags::CLOEXEC).expect("pipe");
    let request = SpawnRequest {
        program: std::env::current_exe().expect("own path"),
        args: ["probe"].iter().chain(args).map(Into::into).collect(),
        control: inside,
        bell: eventfd(0, EventfdFlags::CLOEXEC).expect("bell"),
        stderr,
        stack: STACK,
        core: CORE,
        // A control is as free as the tests themselves.
        user: worker_user().filter(|_| args.first() != Some(&"free")),
    };
    (request, control, output)
}

/// A worker that stays as it was spawned.
pub fn spawn_by(spawner: &Spawner, args: &[&str]) -> Worker {
    let (request, control, output) = request(args);
    let child = spawner.spawn_and_wait(request).expect("spawned");
    Worker {
        child,
        control,
        output,
        keeper: None,
    }
}

/// A worker on its way into the jail of a profile: its second stage, before it goes on.
pub fn divide(spawner: &Spawner, args: &[&str]) -> Result<(Worker, Maps), End> {
    let mut worker = spawn_by(spawner, args);
    let (mut second, mut maps) = (None, None);
    while second.is_none() || maps.is_none() {
        match worker.hear() {
            Some((DIVIDED, Some(fd))) => second = Some(spawner.adopt(fd).expect("our child")),
            Some((ENTERED, Some(fd))) => maps = Some(fd),
            None => return Err(worker.end()),
            other => panic!("unexpected: {other:?}"),
        }
    }
    let (Some(second), Some(maps)) = (second, maps) else {
        unreachable!("the loop ends with both");
    };
    let mut first = std::mem::replace(&mut worker.child, second);
    assert_eq!(first.wait().expect("wait"), Exit::Exited(0));
    let maps = Maps::new(maps, worker.child.pid()).expect("its map");
    Ok((worker, maps))
}

/// A worker in the jail of a profile, up to where its module is loaded.
pub fn confine_by(spawner: &Spawner, profile: &str, args: &[&str]) -> Result<Worker, End> {
    let (mut worker, maps) = divide(spawner, args)?;
    worker.go();
    match worker.hear() {
        Some((GATED, Some(fd))) => worker.keep(profile, fd, maps),
        None => return Err(worker.end()),
        other => panic!("unexpected: {other:?}"),
    }
    match worker.hear() {
        Some((LOADED, None)) => {}
        None => return Err(worker.end()),
        other => panic!("unexpected: {other:?}"),
    }
    if let Some(keeper) = &worker.keeper {
        keeper.running.store(true, Ordering::SeqCst);
    }
    worker.go();
    Ok(worker)
}

/// A worker in the jail of a profile, whose gate nobody keeps.
pub fn gate_by(spawner: &Spawner, args: &[&str]) -> (Worker, Listener) {
    let (worker, _maps) = divide(spawner, args).expect("divided");
    worker.go();
    match worker.hear() {
        Some((GATED, Some(fd))) => (worker, Listener::new(fd).expect("a listener")),
        other => panic!("unexpected: {other:?}"),
    }
}

/// Runs a probe without the jail to its end.
pub fn run_free(args: &[&str]) -> End {
    let spawner = Spawner::start().expect("spawner");
    spawn_by(&spawner, &[&["free"], args].concat()).end()
}

/// Runs a probe in the jail of a profile to its end.
pub fn run_confined(profile: &str, args: &[&str]) -> End {
    let spawner = Spawner::start().expect("spawner");
    confine_by(&spawner, profile, &[&["confined", profile], args].concat())
        .map_or_else(|end| end, Worker::end)
}

impl Worker {
    /// Waits for the end. A probe that hangs is killed after a while, which fails its test.
    pub fn end(mut self) -> End {
        let mut fds = [PollFd::new(&self.child, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 30,
            tv_nsec: 0,
        };
        if poll(&mut fds, Some(&patience)).expect("poll") == 0 {
            self.child.kill().expect("kill");
        }
        let exit = self.child.wait().expect("wait");
        let mut output = String::new();
        File::from(self.output)
            .read_to_string(&mut output)
            .expect("output");
        let broken = self
            .keeper
            .and_then(|keeper| keeper.thread.join().expect("keeper"));
        End {
            exit,
            output,
            broken,
        }
    }

    /// Waits for the probe to say that it is ready.
    pub fn ready(&self) {
        assert_eq!(self.hear().map(|heard| heard.0), Some(READY), "it is ready");
    }

    /// Lets it go on.
    pub fn go(&self) {
        // One that has ended does not, and its test will see that.
        let _ = rustix::io::write(&self.control, &[1]);
    }

    /// Its next word, with a descriptor if it has one; `None` when it has hung up.
    fn hear(&self) -> Option<(u8, Option<OwnedFd>)> {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut data = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let heard = recvmsg(&self.control, &mut data, &mut ancillary, flags).ok()?;
        let fd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        (heard.bytes == 1).then_some((byte[0], fd))
    }

    fn keep(&mut self, profile: &str, listener: OwnedFd, mut maps: Maps) {
        let listener = Listener::new(listener).expect("a listener");
        let running = Arc::new(AtomicBool::new(false));
        let arch = Arch::host().expect("architecture");
        let gate = profile_of(profile).gate(arch);
        let pidfd = self.child.pidfd().expect("pidfd");
        let phase = Arc::clone(&running);
        let thread = std::thread::spawn(move || {
            loop {
                let mut fds = [
                    PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
                    PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
                ];
                poll(&mut fds, None).expect("poll");
                if !fds[1].revents().is_empty() {
                    return None;
                }
                let Ok(Some(call)) = listener.recv() else {
                    continue;
                };
                let phase = match phase.load(Ordering::SeqCst) {
                    true => Phase::Run,
                    false => Phase::Load,
                };
                let answer = match gate.decide(phase, call.nr, &call.args) {
                    Verdict::Continue | Verdict::Counted { .. } => Answer::Continue,
                    Verdict::Errno(errno) => Answer::Errno(errno),
                    Verdict::Violation => {
                        let broken = Broken {
                            name: arch.name_of(call.nr).unwrap_or("unknown").to_owned(),
                            phase,
                            place: maps.locate(call.ip, Instant::now() + Duration::from_secs(1)),
                        };
                        let kill = rustix::process::Signal::KILL;
                        rustix::process::pidfd_send_signal(&pidfd, kill).expect("kill");
                        return Some(broken);
                    }
                };
                listener.respond(call.id, answer).expect("answer");
            }
        });
        self.keeper = Some(Keeper { running, thread });
    }
}
