//! An application's side of what libcamera starts.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use coldshoe_tests::built;
use command_fds::{CommandFdExt, FdMapping};
use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, Signal, kill_process};

/// Number of the socket in a worker that libcamera starts.
const FD: i32 = 7;
/// Long enough for any machine: nothing is measured by it.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// The 32-bit number there.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Starts what libcamera would start, with the number of its socket as the last argument; the
/// application's end of that.
pub fn with_socket(mut command: Command) -> (OwnedFd, Child) {
    let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
    let (ours, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap();
    command
        .arg(FD.to_string())
        .fd_mappings(vec![FdMapping {
            parent_fd: theirs,
            child_fd: FD,
        }])
        .unwrap();
    (ours, command.spawn().unwrap())
}

/// libcamera's side of a worker.
pub struct Application {
    pub socket: OwnedFd,
    pub shim: Child,
    place: tempfile::TempDir,
}

impl Application {
    /// Starts `coldshoe-libcamera` as libcamera starts its workers.
    pub fn start(runtime: &Path, ipa: &str, module: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        // Where a session's programs look for a user's own daemon.
        std::os::unix::fs::symlink(runtime, place.path().join("coldshoe")).unwrap();
        let program = place.path().join(format!("{ipa}_ipa_proxy"));
        std::os::unix::fs::symlink(built("coldshoe-libcamera"), &program).unwrap();
        let mut command = Command::new(program);
        command
            .arg(module)
            .env_clear()
            .env("XDG_RUNTIME_DIR", place.path())
            .stderr(Stdio::piped());
        let (socket, shim) = with_socket(command);
        Self {
            socket,
            shim,
            place,
        }
    }

    fn datagram(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
        let flags = SendFlags::NOSIGNAL;
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, flags).unwrap();
    }

    pub fn say(&self, cmd: u32, cookie: u32, arguments: &[u8]) {
        self.say_with(cmd, cookie, arguments, &[]);
    }

    /// With descriptors.
    pub fn say_with(&self, cmd: u32, cookie: u32, arguments: &[u8], fds: &[BorrowedFd<'_>]) {
        let payload = [&cmd.to_ne_bytes()[..], &cookie.to_ne_bytes(), arguments].concat();
        let head = [payload.len() as u32, fds.len() as u32];
        self.datagram(&head.map(u32::to_ne_bytes).concat(), &[]);
        self.datagram(&payload, fds);
    }

    /// The next message: command, cookie, and what follows them.
    pub fn message(&self) -> (u32, u32, Vec<u8>) {
        let header = self.hear();
        let payload = self.hear();
        assert_eq!(word(&header, 0) as usize, payload.len());
        (word(&payload, 0), word(&payload, 4), payload[8..].to_vec())
    }

    fn hear(&self) -> Vec<u8> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        assert_eq!(poll(&mut ready, Some(&PATIENCE)), Ok(1), "no answer");
        let mut bytes = vec![0; 1 << 16];
        let mut none = RecvAncillaryBuffer::default();
        let mut into = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::empty();
        let length = recvmsg(&self.socket, &mut into, &mut none, flags)
            .unwrap()
            .bytes;
        bytes.truncate(length);
        bytes
    }

    /// What the answer to one call has behind its cookie.
    pub fn ask(&self, cmd: u32, cookie: u32, arguments: &[u8]) -> Vec<u8> {
        self.ask_with(cmd, cookie, arguments, &[])
    }

    pub fn ask_with(
        &self,
        cmd: u32,
        cookie: u32,
        arguments: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Vec<u8> {
        self.say_with(cmd, cookie, arguments, fds);
        let (of, same, answer) = self.message();
        assert_eq!((of, same), (cmd, cookie));
        answer
    }

    /// Sends the shim a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.shim), signal).unwrap();
    }

    /// What the shim says when it ends, and whether it ends well.
    pub fn ends(self) -> (bool, String) {
        let Self {
            shim,
            place,
            socket,
        } = self;
        let output = shim.wait_with_output().unwrap();
        drop((place, socket));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }
}
