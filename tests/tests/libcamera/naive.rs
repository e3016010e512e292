//! libcamera 0.7's own side of an isolated algorithm, as far as it shows what breaks it: where its code
//! aborts, throws or reads what is not its own, this says so.

use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use coldshoe_libcamera_wire::header;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recv, recvmsg, send,
};

use crate::speech::{
    COMPUTE, CONFIGURE, INIT, METADATA, PROCESS, QUEUE, SET_ISP, SET_SENSOR, START, STOP, V4L2,
    configure, init_of, list, listed, message, parameters, process, u32s,
};

/// libcamera's own patience with a call, and this host's with a frame.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most that a message should have.
const LARGE: usize = 16 << 20;
/// Events a frame, and maps, that nobody needs.
const MANY: usize = 200;

/// What became of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A call or a frame stays unanswered.
    Stuck,
    /// An answer is taken for an event.
    AnswerAsEvent,
    /// An event, or another call's answer, is taken for the answer.
    WrongAnswer,
    /// It closes its own descriptor 0.
    Closes,
    /// It reads on in zeros that nobody has sent.
    Padded,
    /// Headers are taken for payloads.
    OutOfStep,
    /// It cannot allocate that much: terminate.
    Allocates,
    /// An assertion, or a fatal message.
    Aborts,
    /// An exception that nobody catches.
    Throws,
    /// It reads outside of what it has.
    ReadsOutside,
    /// It has nothing to do but events.
    Flooded,
    /// Its memory grows without end.
    Grows,
}

type Result<T> = std::result::Result<T, Broken>;

/// A host with its end of the socket.
pub struct Host {
    socket: OwnedFd,
    cookie: u32,
    given_up: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    /// Frames that it knows.
    frames: BTreeSet<u32>,
    /// Events that no frame has asked for so far.
    events: usize,
    /// What has come for the frame.
    done: BTreeSet<u32>,
}

impl Host {
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            cookie: 0,
            given_up: BTreeSet::new(),
            // Its own, of the sensor's controls.
            maps: BTreeSet::from([1]),
            frames: BTreeSet::new(),
            events: 0,
            done: BTreeSet::new(),
        }
    }

    /// A camera's life, with as many frames: init, configure, start, frames, stop, start, stop. An
    /// application that is `patient` goes on where stop() is not answered.
    pub fn film(&mut self, row: &str, frames: u32, patient: bool) -> Result<()> {
        self.call(INIT, &init_of(&format!("row:{row}")))?;
        self.call(CONFIGURE, &configure())?;
        self.call(START, &[])?;
        for frame in 1..=frames {
            self.frame(frame)?;
        }
        for command in [STOP, START, STOP] {
            match self.call(command, &[]) {
                Err(Broken::Stuck) if patient => {}
                other => other?,
            }
        }
        Ok(())
    }

    pub fn exit(&mut self) {
        self.say(0, &[]);
    }

    fn frame(&mut self, frame: u32) -> Result<()> {
        self.frames.insert(frame);
        let none = listed(&[], &list(1, V4L2, &[]));
        self.say(QUEUE, &parameters(&[u32s(&[frame]), none]));
        self.say(COMPUTE, &u32s(&[frame]));
        self.until(SET_ISP)?;
        self.say(PROCESS, &process(frame));
        self.until(METADATA)?;
        self.frames.remove(&frame);
        Ok(())
    }

    fn until(&mut self, event: u32) -> Result<()> {
        let deadline = Instant::now() + 3 * PATIENCE;
        while !self.done.remove(&event) {
            let (command, _, arguments) = self.hear(deadline)?;
            self.event(command, &arguments)?;
        }
        Ok(())
    }

    fn say(&mut self, command: u32, arguments: &[u8]) -> u32 {
        let cookie = self.cookie;
        self.cookie += 1;
        let message = message(command, cookie, arguments);
        for datagram in [&header(&message)[..], &message.bytes] {
            // A worker that is gone has no socket: libcamera says so in its log.
            let _ = send(&self.socket, datagram, SendFlags::NOSIGNAL);
        }
        cookie
    }

    fn call(&mut self, command: u32, arguments: &[u8]) -> Result<()> {
        let cookie = self.say(command, arguments);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = self.hear(deadline);
            if heard == Err(Broken::Stuck) {
                self.given_up.insert(cookie);
            }
            let (answer, of, arguments) = heard?;
            if of == cookie {
                // It does not look at the command.
                return if answer == command {
                    Ok(())
                } else {
                    Err(Broken::WrongAnswer)
                };
            }
            if self.given_up.contains(&of) {
                return Err(Broken::AnswerAsEvent);
            }
            self.event(answer, &arguments)?;
        }
    }

    /// The next message: command, cookie, arguments.
    fn hear(&mut self, deadline: Instant) -> Result<(u32, u32, Vec<u8>)> {
        let mut head = [0; 8];
        self.wait(deadline)?;
        let length = recv(&self.socket, &mut head, RecvFlags::TRUNC).unwrap().1;
        if length != head.len() {
            return Err(Broken::OutOfStep);
        }
        let announced = word(&head, 0)? as usize;
        if announced > LARGE {
            return Err(Broken::Allocates);
        }
        self.wait(deadline)?;
        let mut bytes = vec![0; announced];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.socket, &mut into, &mut control, RecvFlags::empty());
        let received = received.unwrap().bytes;
        let mut fds = 0;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds += rights.count();
            }
        }
        if fds < usize::from(head[4]) {
            return Err(Broken::Closes);
        }
        if received < announced {
            return Err(Broken::Padded);
        }
        let arguments = bytes.get(8..).unwrap_or_default().to_vec();
        Ok((word(&bytes, 0)?, word(&bytes, 4)?, arguments))
    }

    fn wait(&self, deadline: Instant) -> Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap();
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(Broken::Stuck),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn event(&mut self, command: u32, arguments: &[u8]) -> Result<()> {
        self.events += 1;
        match command {
            SET_ISP => {}
            SET_SENSOR => self.controls(arguments)?,
            METADATA => {
                let (first, second) = (word(arguments, 0)?, word(arguments, 4)?);
                let first = 8 + first as usize;
                let end = first + second as usize;
                let list = arguments.get(first..end).ok_or(Broken::ReadsOutside)?;
                self.controls(list)?;
                if !self.frames.contains(&word(arguments, 8)?) {
                    return Err(Broken::Aborts);
                }
                self.events = 0;
            }
            // It says that it does not know it.
            _ => return Ok(()),
        }
        self.done.insert(command);
        if self.events > MANY {
            return Err(Broken::Flooded);
        }
        Ok(())
    }

    fn controls(&mut self, bytes: &[u8]) -> Result<()> {
        let (map, list) = (word(bytes, 0)? as usize, word(bytes, 4)? as usize);
        let end = 8 + map + list;
        let all = bytes.get(8..end).ok_or(Broken::ReadsOutside)?;
        let (map, list) = all.split_at(map);
        if !map.is_empty() {
            self.map(map)?;
        }
        let (handle, entries) = (word(list, 4)?, word(list, 8)? as usize);
        if handle == 0 && word(list, 20)? == V4L2 && entries > 0 {
            return Err(Broken::Aborts);
        }
        for entry in 0..entries {
            let kind = word(list, 32 + 20 * entry + 4)? & 0xff;
            if kind > 11 {
                return Err(Broken::ReadsOutside);
            }
        }
        Ok(())
    }

    fn map(&mut self, map: &[u8]) -> Result<()> {
        let (handle, entries) = (word(map, 4)?, word(map, 8)? as usize);
        let of_libcamera = word(map, 20)? != V4L2;
        for entry in 0..entries {
            if of_libcamera && word(map, 32 + 64 * entry)? > 53 {
                return Err(Broken::Throws);
            }
        }
        self.maps.insert(handle);
        if self.maps.len() > MANY {
            return Err(Broken::Grows);
        }
        Ok(())
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).ok_or(Broken::ReadsOutside)?;
    Ok(u32::from_ne_bytes(four.try_into().unwrap()))
}
