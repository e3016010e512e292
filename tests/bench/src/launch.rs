//! Peers are processes: this program again, with a socket as its standard input.
//!
//! Descriptors for the peer travel over that socket. The peer keeps it as its first descriptor
//! beyond the standard ones, where the profiles of the jail know the control socket of a worker.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::str;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::cmsg_space;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{pread, write};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, Signal, set_parent_process_death_signal};

use crate::contest::Contestant;
use crate::place;

/// More descriptors than any contestant passes on.
const MAX_FDS: usize = 4;

/// What a peer is started with.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// Frames that it answers before it ends.
    pub(crate) trips: u64,
    /// Where it stays.
    pub(crate) cpu: Option<usize>,
    /// How long it works on a frame.
    pub(crate) work: Duration,
}

impl Launch {
    /// Starts the peer of `contestant` with descriptors for it, and waits until it is ready.
    pub(crate) fn peer(&self, contestant: &dyn Contestant, fds: &[BorrowedFd<'_>]) -> Result<Peer> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["peer", contestant.name()])
            .arg(format!("--trips={}", self.trips))
            .arg(format!("--work-us={}", self.work.as_micros()))
            .args(self.cpu.map(|cpu| format!("--cpu={cpu}")))
            .stdin(theirs)
            .stdout(Stdio::null());
        let child = command.spawn().context("cannot start a peer")?;
        // From here on the peer is ended whatever happens.
        let mut peer = Peer::adopt(child, contestant.name());
        peer.ends = true;
        peer.spent = spent(peer.child.id());
        drop(command);
        send_fds(&ours, fds)?;
        let mut ready = [0];
        let (len, _) = recv(&ours, &mut ready, RecvFlags::empty())?;
        if len == 0 {
            let status = peer.child.wait()?;
            bail!("the peer {} did not start: {status}", peer.name);
        }
        peer.control = Some(ours);
        Ok(peer)
    }
}

fn send_fds(socket: &OwnedFd, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        ensure!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// A peer's process. Dropping it ends it.
pub(crate) struct Peer {
    child: Child,
    name: &'static str,
    /// The kernel's account of its CPU time.
    spent: Option<OwnedFd>,
    /// Whether it ends by itself after its last frame.
    ends: bool,
    /// Kept open as long as it runs.
    control: Option<OwnedFd>,
}

/// The kernel's account of a process.
fn spent(pid: u32) -> Option<OwnedFd> {
    let path = format!("/proc/{pid}/schedstat");
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

impl Peer {
    /// Takes over a process that was started otherwise; it is ended when its work is done.
    pub(crate) fn adopt(child: Child, name: &'static str) -> Self {
        Self {
            child,
            name,
            spent: None,
            ends: false,
            control: None,
        }
    }

    /// The work is done by another process, which stays on `cpu`.
    pub(crate) fn watch(mut self, pid: u32, cpu: Option<usize>) -> Result<Self> {
        self.spent = spent(pid);
        cpu.map_or(Ok(()), |cpu| {
            place::pin_process(Pid::from_raw(pid.cast_signed()), cpu)
        })?;
        Ok(self)
    }

    /// CPU time so far; not known on a kernel without /proc/PID/schedstat.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let mut text = [0; 64];
        let len = pread(self.spent.as_ref()?, &mut text, 0).ok()?;
        let ns = str::from_utf8(&text[..len]).ok()?.split(' ').next()?;
        Some(Duration::from_nanos(ns.parse().ok()?))
    }

    /// Waits for a peer that has answered all its frames.
    pub(crate) fn finish(mut self) -> Result<()> {
        if !self.ends {
            return Ok(());
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "the peer {} failed: {status}", self.name);
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a peer finds in its own process.
pub(crate) struct Seat {
    /// The socket to the measuring process.
    pub(crate) control: OwnedFd,
    fds: std::vec::IntoIter<OwnedFd>,
    pub(crate) trips: u64,
    pub(crate) work: Duration,
}

impl Seat {
    /// Takes the calling process's seat: for the hidden subcommand only.
    pub(crate) fn take(launch: &Launch) -> Result<Self> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if let Some(cpu) = launch.cpu {
            place::pin(cpu)?;
        }
        let control = std::io::stdin().as_fd().try_clone_to_owned()?;
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let buffers = &mut [IoSliceMut::new(&mut byte)];
        recvmsg(&control, buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let fds: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        Ok(Self {
            control,
            fds: fds.into_iter(),
            trips: launch.trips,
            work: launch.work,
        })
    }

    /// The next descriptor that the measuring side passed on.
    pub(crate) fn fd(&mut self) -> Result<OwnedFd> {
        self.fds.next().context("too few descriptors")
    }

    /// Tells the measuring side that frames may come.
    pub(crate) fn ready(&self) -> Result<()> {
        // A call that the jail of a worker knows.
        write(&self.control, &[1])?;
        Ok(())
    }

    /// What a module would do with a frame.
    pub(crate) fn work(&self) {
        if !self.work.is_zero() {
            std::thread::sleep(self.work);
        }
    }
}
