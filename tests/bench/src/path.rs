//! The frame path between two threads: everything but the process boundary and the module.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use coldshoe_frame::{
    Applied, Controls, Forward, FrameContext, FrameHeader, FrameKind, FrameReply, Geometry, Inbox,
    Outbox, Replies, Status, Wake, create_return, monotonic_ns,
};

use crate::jail;

const SIZE: usize = 4096;

/// What the worker's thread is under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worker {
    Free,
    Filtered,
}

/// Round trips with statistics and parameters written and read in full, `pause` apart.
pub(crate) fn frames(frames: usize, pause: Duration, worker: Worker) -> Vec<Duration> {
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
                inbox.sleep(&outbox);
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
