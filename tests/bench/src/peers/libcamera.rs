//! What libcamera does between a pipeline handler and an isolated IPA, written anew from the
//! behaviour of its IPCUnixSocket, IPCPipeUnixSocket and poll-based event dispatcher.
//!
//! What was re-created, on each side:
//! - A non-blocking unix SOCK_DGRAM socket pair. A message is two datagrams: a header with the size
//!   of the data and the number of descriptors, by send; then the data, by sendmsg. It begins with
//!   a command and a cookie.
//! - Sending copies the data into a fresh buffer behind command and cookie; receiving reads into a
//!   fresh buffer that is zeroed first, and copies the data out of it into another.
//! - An event loop of one ppoll over the socket and the eventfd that interrupts it, on an array
//!   that is made anew each time. When the socket is readable the header is received; then a poll
//!   without waiting asks for the data, which is received if it is there and left to the next turn
//!   of the loop if not.
//! - The question and the answer are asynchronous messages, as processStats and the events that
//!   follow it are.
//!
//! What was left out, all of it to the advantage of the original: signals and slots, serialisation,
//! timers, the look-up of a cookie. A message without descriptors carries no control message here,
//! and an empty one there.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, ensure};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags,
    SocketType, recv, recvmsg, send, sendmsg, socketpair,
};

use super::{check, stamp};
use crate::contest::{Contestant, Exchange, Kind, LARGE, Pair, SMALL};
use crate::launch::{Launch, Seat};

/// Command and cookie.
const MESSAGE_HEADER: usize = 8;
/// Size of the data and number of descriptors.
const DATAGRAM_HEADER: usize = 8;

pub(crate) struct Libcamera {
    name: &'static str,
    about: &'static str,
    stats: usize,
}

impl Libcamera {
    pub(crate) const SMALL: Self = Self {
        name: "libcamera-4k",
        about: "libcamera's isolated IPC, 4 KiB both ways",
        stats: SMALL,
    };
    pub(crate) const LARGE: Self = Self {
        name: "libcamera-64k",
        about: "libcamera's isolated IPC, 64 KiB there, 4 KiB back",
        stats: LARGE,
    };
}

/// A socket with its event loop.
struct Pipe {
    socket: OwnedFd,
    interrupt: OwnedFd,
    /// Size of the data that a header has announced.
    announced: Option<usize>,
}

impl Pipe {
    fn new(socket: OwnedFd) -> Result<Self> {
        Ok(Self {
            socket,
            interrupt: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            announced: None,
        })
    }

    fn send(&self, data: &[u8]) -> Result<()> {
        let mut payload = vec![0; MESSAGE_HEADER + data.len()];
        payload[MESSAGE_HEADER..].copy_from_slice(data);
        let mut header = [0; DATAGRAM_HEADER];
        header[..4].copy_from_slice(&(payload.len() as u32).to_ne_bytes());
        send(&self.socket, &header, SendFlags::empty())?;
        let mut control = SendAncillaryBuffer::default();
        let sent = sendmsg(
            &self.socket,
            &[IoSlice::new(&payload)],
            &mut control,
            SendFlags::empty(),
        )?;
        ensure!(sent == payload.len());
        Ok(())
    }

    /// Turns the event loop until a message is there.
    fn message(&mut self) -> Result<Vec<u8>> {
        loop {
            let mut sources = Vec::with_capacity(2);
            sources.push(PollFd::new(&self.socket, PollFlags::IN));
            sources.push(PollFd::new(&self.interrupt, PollFlags::IN));
            poll(&mut sources, None)?;
            if sources[0].revents().contains(PollFlags::IN)
                && let Some(message) = self.readable()?
            {
                return Ok(message);
            }
        }
    }

    /// Something has arrived: a header, or the data behind it.
    fn readable(&mut self) -> Result<Option<Vec<u8>>> {
        let len = match self.announced {
            Some(len) => len,
            None => {
                let mut header = [0; DATAGRAM_HEADER];
                recv(&self.socket, &mut header, RecvFlags::empty())?;
                let [a, b, c, d, ..] = header;
                u32::from_ne_bytes([a, b, c, d]) as usize
            }
        };
        self.announced = Some(len);
        let mut data = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut data, Some(&Timespec::default()))?;
        if !data[0].revents().contains(PollFlags::IN) {
            return Ok(None);
        }
        let mut payload = vec![0; len];
        let mut control = RecvAncillaryBuffer::default();
        let buffers = &mut [IoSliceMut::new(&mut payload)];
        let received = recvmsg(&self.socket, buffers, &mut control, RecvFlags::empty())?;
        ensure!(received.bytes == len && len > MESSAGE_HEADER);
        self.announced = None;
        Ok(Some(payload[MESSAGE_HEADER..].to_vec()))
    }
}

struct Client {
    pipe: Pipe,
    stats: Vec<u8>,
    seq: u64,
}

impl Contestant for Libcamera {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn kind(&self) -> Kind {
        Kind::Asleep
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        let peer = launch.peer(self, &[theirs.as_fd()])?;
        let client = Client {
            pipe: Pipe::new(ours)?,
            stats: vec![2; self.stats],
            seq: 0,
        };
        Ok(Pair::new(client, peer))
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let mut pipe = Pipe::new(seat.fd()?)?;
        let mut params = vec![1; SMALL];
        seat.ready()?;
        for _ in 0..seat.trips {
            let stats = pipe.message()?;
            ensure!(stats.len() == self.stats);
            params[..8].copy_from_slice(&stats[..8]);
            pipe.send(&params)?;
        }
        Ok(())
    }
}

impl Exchange for Client {
    fn trip(&mut self) -> Result<()> {
        self.seq += 1;
        stamp(&mut self.stats, self.seq);
        self.pipe.send(&self.stats)?;
        let params = self.pipe.message()?;
        ensure!(params.len() == SMALL);
        check(&params, self.seq)
    }
}
