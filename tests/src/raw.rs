//! Clients below the client library: they can break every rule.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use coldshoe::{Controls, Open};
use coldshoe_control::client::{
    Body, Close, Configure, Envelope, Error, Hello, OpenSession, SessionOpened, Start,
};
use coldshoe_control::{Received, Receiver, RecvError, encode};
use coldshoe_frame::{
    Forward, FrameContext, FrameHeader, FrameKind, Geometry, Replies, Statistics, monotonic_ns,
};
use prost::Message;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

use crate::{PATIENCE, process, sensor};

/// A connection to the control socket. Serials count from 1.
#[derive(Debug)]
pub struct Raw {
    socket: OwnedFd,
    receiver: Receiver,
    serial: u32,
}

impl Raw {
    /// Connects, and says nothing yet.
    pub fn connect(socket: &Path) -> Self {
        let address = SocketAddrUnix::new(socket).expect("a short path");
        let flags = SocketFlags::CLOEXEC;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a socket");
        connect(&socket, &address).expect("the daemon listens");
        Self {
            socket,
            receiver: Receiver::new(),
            serial: 0,
        }
    }

    /// Connects and says Hello.
    pub fn greeted(socket: &Path) -> Self {
        let mut raw = Self::connect(socket);
        raw.hello();
        raw
    }

    /// Says Hello and waits for the daemon's.
    pub fn hello(&mut self) {
        let answer = self.ask(Hello::offer(&[], "raw"), &[]);
        assert!(matches!(answer, Body::Hello(_)), "{answer:?}");
    }

    /// Sends bytes with descriptors as they are.
    ///
    /// # Errors
    /// The kernel's answer: that the daemon has hung up, most of all.
    pub fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let message = SendAncillaryMessage::ScmRights(fds);
        let mut space = vec![MaybeUninit::uninit(); message.size()];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(message), "there is room");
        }
        let data = [IoSlice::new(bytes)];
        sendmsg(&self.socket, &data, &mut control, SendFlags::NOSIGNAL).map(drop)
    }

    /// Sends a message without checking it, and returns its serial.
    pub fn send(&mut self, body: impl Into<Body>, fds: &[BorrowedFd<'_>]) -> u32 {
        self.serial += 1;
        let envelope = Envelope::new(self.serial, body);
        self.send_bytes(&envelope.encode_to_vec(), fds)
            .expect("the daemon listens");
        self.serial
    }

    /// Sends a message without checking it, and waits for what comes next.
    pub fn ask(&mut self, body: impl Into<Body>, fds: &[BorrowedFd<'_>]) -> Body {
        let serial = self.send(body, fds);
        let Received { message, .. } = self.hear().expect("an answer");
        assert!(
            message.serial == serial || message.serial == 0,
            "the answer to another question: {message:?}"
        );
        message.body.expect("the codec lets nothing else through")
    }

    /// The same, when the answer must be an error.
    pub fn refused(&mut self, body: impl Into<Body>, fds: &[BorrowedFd<'_>]) -> Error {
        match self.ask(body, fds) {
            Body::Error(error) => error,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// What the receiver says; [`RecvError::Closed`] if the daemon has hung up.
    pub fn hear(&mut self) -> Result<Received<Envelope>, RecvError> {
        assert!(
            process::readable(&self.socket, PATIENCE),
            "the daemon says nothing"
        );
        self.receiver.recv(self.socket.as_fd(), RecvFlags::DONTWAIT)
    }

    /// Waits until the daemon hangs up, and returns what it said before.
    pub fn last_words(mut self) -> Vec<Body> {
        let mut said = Vec::new();
        loop {
            match self.hear() {
                Ok(Received { message, .. }) => said.extend(message.body),
                Err(RecvError::Closed) => return said,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until the daemon hangs up; its last words must be an error.
    pub fn hung_up_on(self) -> Error {
        match self.last_words().pop() {
            Some(Body::Error(error)) => error,
            other => panic!("the last words are no error: {other:?}"),
        }
    }

    /// A round trip through the daemon that changes nothing.
    pub fn turn(&mut self) {
        self.refused(Close { session: u64::MAX }, &[]);
    }

    /// Opens a session, honestly.
    pub fn open(mut self, open: &Open) -> RawSession {
        let geometry = geometry(open);
        let (forward, fd) = Forward::create(geometry).expect("a segment");
        self.send(request(open), &[fd.as_fd()]);
        let Received { message, fds } = self.hear().expect("an answer");
        let Some(Body::SessionOpened(opened)) = message.body else {
            panic!("not opened: {message:?}");
        };
        let [replies, pidfd, _bell] = fds.try_into().expect("three descriptors");
        RawSession {
            replies: Replies::map(replies.as_fd(), geometry, opened.generation)
                .expect("a return segment"),
            raw: self,
            opened,
            pidfd,
            forward,
            rung: 0,
        }
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A session without the client library.
#[derive(Debug)]
pub struct RawSession {
    /// Its connection.
    pub raw: Raw,
    /// What the daemon answered.
    pub opened: SessionOpened,
    /// The worker's pidfd.
    pub pidfd: OwnedFd,
    forward: Forward,
    replies: Replies,
    rung: u32,
}

impl RawSession {
    /// Configures and starts the module.
    pub fn start(&mut self) {
        let session = self.opened.session;
        let sensor = Some(sensor());
        for order in [
            Body::from(Configure { session, sensor }),
            Start { session }.into(),
        ] {
            let answer = self.raw.ask(order, &[]);
            assert!(matches!(answer, Body::Done(_)), "{answer:?}");
        }
    }

    /// Rings as if so many frames had been published at once.
    pub fn jump(&mut self, frames: u32) {
        self.rung = self.rung.wrapping_add(frames);
        self.forward.ring(self.rung.into(), &self.replies);
    }

    /// Publishes the first frame, and does not wait for it.
    pub fn publish(&mut self) {
        let frame = crate::frame(1, PATIENCE);
        let header = FrameHeader {
            kind: FrameKind::Process,
            frame: frame.number,
            sensor_timestamp_ns: monotonic_ns(),
            deadline_ns: frame.deadline.as_ns(),
        };
        let context = FrameContext {
            applied: frame.applied,
            controls: Controls::default(),
        };
        self.forward.begin(1);
        assert!(self.forward.write_stats(1, 0, &[7; 64]));
        let generation = self.replies.generation();
        self.forward.put(
            1,
            generation,
            header,
            &context,
            Statistics::Slot { len: 64 },
        );
        self.forward.ring(1, &self.replies);
    }
}

/// A segment that need not be as the daemon wants it.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Bytes.
    pub len: u64,
    /// Seals that are set.
    pub seals: SealFlags,
}

impl Segment {
    /// What fits `open`.
    pub fn of(open: &Open) -> Self {
        Self {
            len: geometry(open).forward_len() as u64,
            seals: SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL,
        }
    }

    /// Makes it.
    pub fn make(self) -> OwnedFd {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let fd = memfd_create("segment", flags).expect("a memfd");
        ftruncate(&fd, self.len).expect("a size");
        fcntl_add_seals(&fd, self.seals).expect("seals");
        fd
    }
}

/// The request that opens a session.
pub fn request(open: &Open) -> OpenSession {
    let request = OpenSession {
        standby: false,
        resume: None,
        module: open.module.clone(),
        camera: open.camera.clone(),
        stats_format: open.stats_format.clone(),
        params_format: open.params_format.clone(),
        slots: open.slots,
        stats_capacity: open.stats_capacity,
        params_capacity: open.params_capacity,
        isp_capabilities: open.isp_capabilities,
        buffers: 0,
    };
    encode(&Envelope::new(1, request.clone())).expect("within the limits");
    request
}

fn geometry(open: &Open) -> Geometry {
    Geometry::new(open.slots, open.stats_capacity, open.params_capacity).expect("a geometry")
}
