//! The frame path between two threads: everything but the process boundary and the module.

use std::io::IoSliceMut;
use std::os::fd::OwnedFd;

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coldshoe_frame::{
    Applied, Controls, Forward, FrameContext, FrameHeader, FrameKind, FrameReply, Geometry, Inbox,
    Outbox, Replies, Status, Wake, create_return, monotonic_ns,
};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SocketFlags, SocketType, recvmsg, socketpair,
};

use crate::jail;

const SIZE: usize = 4096;

/// What the worker's thread is under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worker {
    Free,
    Filtered,
}

/// Where a worker listens to the daemon: the profiles know it as descriptor 3.
pub(crate) fn control() -> Arc<OwnedFd> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a socket");
    assert_eq!(theirs.as_raw_fd(), coldshoe_jail::FD_CONTROL + 1);
    // The other end lives as long as this program.
    std::mem::forget(theirs);
    Arc::new(ours)
}

/// A worker looks for orders before each sleep.
fn look(control: &OwnedFd) -> bool {
    let mut byte = [0];
    let mut nothing = RecvAncillaryBuffer::default();
    let buffers = &mut [IoSliceMut::new(&mut byte)];
    let looked = recvmsg(control, buffers, &mut nothing, RecvFlags::DONTWAIT);
    matches!(looked, Err(Errno::AGAIN))
}

/// Round trips with statistics and parameters written and read in full, `pause` apart.
pub(crate) fn frames(
    frames: usize,
    pause: Duration,
    worker: Worker,
    control: &Arc<OwnedFd>,
) -> Vec<Duration> {
    let control = Arc::clone(control);
    let geometry = Geometry::new(4, SIZE as u32, SIZE as u32).expect("sizes are within limits");
    let (mut forward, fd) = Forward::create(geometry).expect("memory");
    let return_fd = create_return(&geometry).expect("memory");
    let replies = Replies::map(return_fd.as_fd(), geometry, 1).expect("memory");
    let mut inbox = Inbox::map(fd.as_fd(), geometry).expect("memory");
    let mut outbox = Outbox::map(return_fd.as_fd(), geometry, 1).expect("memory");
    let worker = thread::spawn(move || {
        if worker == Worker::Filtered {
            jail::enter();
        }
        let (mut stats, params) = (vec![0; SIZE], vec![1; SIZE]);
        let mut answered = 0;
        while answered < frames {
            while let Some(taken) = inbox.take(&mut stats) {
                outbox.answer(
                    taken.seq,
                    Status::Done,
                    &FrameReply::default(),
                    &params,
                    &inbox,
                );
                answered += 1;
            }
            if answered < frames {
                inbox.sleep(&outbox, || look(&control));
            }
        }
    });
    let context = FrameContext {
        applied: Applied {
            exposure_us: 1e4,
            analogue_gain: 1.0,
            digital_gain: 1.0,
            black_level: 0.0,
            lens_position: None,
        },
        controls: Controls::default(),
    };
    let (stats, mut params) = (vec![2; SIZE], vec![0; SIZE]);
    let trips = (1..=frames as u64)
        .map(|seq| {
            thread::sleep(pause);
            let start = Instant::now();
            let deadline_ns = monotonic_ns() + 1_000_000_000;
            let header = FrameHeader {
                kind: FrameKind::Process,
                frame: seq,
                sensor_timestamp_ns: 0,
                deadline_ns,
            };
            forward.begin(seq);
            assert!(forward.write_stats(seq, 0, &stats));
            forward.publish(seq, 1, header, &context, SIZE, &replies);
            assert_eq!(replies.wait(seq, deadline_ns, &mut forward), Wake::Done);
            let reply = replies.take(seq, &mut params).expect("it is done");
            assert_eq!(reply.map(|reply| reply.params_len), Ok(SIZE));
            start.elapsed()
        })
        .collect();
    worker.join().expect("the worker only copies");
    trips
}
