//! Spawns this very program as a worker, and says how it ended.

use coldshoe_wall::outside::{Child, Exit, SpawnRequest, Spawner};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

pub const STACK: u64 = 4 << 20;

/// A spawned probe, and our ends of what connects it.
pub struct Worker {
    pub child: Child,
    pub control: OwnedFd,
    output: OwnedFd,
}

/// How a probe ended, and what it wrote.
#[derive(Debug)]
pub struct End {
    pub exit: Exit,
    pub output: String,
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
        stderr,
        stack: STACK,
    };
    (request, control, output)
}

pub fn spawn_by(spawner: &Spawner, args: &[&str]) -> Worker {
    let (request, control, output) = request(args);
    let child = spawner.spawn_and_wait(request).expect("spawned");
    Worker {
        child,
        control,
        output,
    }
}

/// Runs a probe to its end.
pub fn run(args: &[&str]) -> End {
    let spawner = Spawner::start().expect("spawner");
    spawn_by(&spawner, args).end()
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
        End { exit, output }
    }

    /// Waits for the probe to say that it is ready.
    pub fn ready(&self) {
        let mut byte = [0];
        assert_eq!(
            rustix::io::read(&self.control, &mut byte),
            Ok(1),
            "the probe is ready"
        );
    }
}
