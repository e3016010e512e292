//! Datagrams and descriptors of a script, below every check.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coldshoe_frame::{Forward, Geometry, create_bell, create_return};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, IoSlice};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::input::Input;

/// Most descriptors that a script can send at once, one more than a datagram may have.
const MOST_FDS: usize = 5;

/// Descriptors that are what they should be, and others.
pub(crate) struct Fds([OwnedFd; 4]);

impl Fds {
    /// A forward segment for `geometry`; a return segment of another one; memory without seals;
    /// and a bell, which is no memory at all.
    pub(crate) fn new(geometry: Geometry) -> Self {
        let (_, forward) = Forward::create(geometry).expect("memory");
        let other = Geometry::new(1, 1, 1).expect("within bounds");
        Self([
            forward,
            create_return(&other).expect("memory"),
            memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("memory"),
            create_bell().expect("a bell"),
        ])
    }

    /// Those that a byte of the script says: how many, and two bits for the first and for the
    /// others. `own` takes the place of the forward segment.
    pub(crate) fn chosen<'a>(
        &'a self,
        byte: u8,
        own: Option<BorrowedFd<'a>>,
    ) -> Vec<BorrowedFd<'a>> {
        let number = usize::from(byte & 7).min(MOST_FDS);
        let fd = |kind: u8| match (kind & 3, own) {
            (0, Some(own)) => own,
            (kind, _) => self.0[usize::from(kind)].as_fd(),
        };
        (0..number)
            .map(|at| fd(if at == 0 { byte >> 3 } else { byte >> 5 }))
            .collect()
    }
}

/// Sends bytes with descriptors, whatever they are; never waits.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let message = SendAncillaryMessage::ScmRights(fds);
    let mut space = vec![MaybeUninit::uninit(); message.size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(message), "there is room");
    }
    let data = [IoSlice::new(bytes)];
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &data, &mut control, flags).map(drop)
}

/// Waits for something to read, or for a hang-up.
///
/// # Panics
/// After 30 seconds: the peer hangs.
pub(crate) fn wait(socket: BorrowedFd<'_>) {
    let timeout = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
    loop {
        match poll(&mut polled, Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(0) => panic!("the peer says nothing and does not hang up"),
            ready => {
                ready.expect("a socket");
                return;
            }
        }
    }
}

/// One datagram of a script: a byte for its descriptors, then its length and its bytes.
pub(crate) struct Datagram<'a> {
    pub(crate) fds: u8,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Datagram<'a> {
    pub(crate) fn next(script: &mut Input<'a>) -> Self {
        Self {
            fds: script.u8(),
            bytes: script.counted(),
        }
    }
}
