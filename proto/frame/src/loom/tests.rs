//! The orderings of the frame path under a model checker: pipeline and worker are threads, and
//! every interleaving with a bounded number of preemptions is tried, with every value that a weak
//! machine may see. A lost wake is a deadlock, which loom reports.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test -p coldshoe-frame --release loom`.

use std::os::fd::{AsFd, OwnedFd};

use loom::thread;

use crate::{
    Applied, Controls, Forward, FrameContext, FrameHeader, FrameKind, FrameReply, Geometry, Inbox,
    Outbox, Replies, Reply, Statistics, Status, Taken, Waiting, clock, create_bell, create_return,
};

/// A deadline that does not come unless the clock is turned.
const DEADLINE: u64 = 1000;

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// The pipeline's side.
struct Pipeline {
    forward: Forward,
    replies: Replies,
}

/// A worker.
struct Worker {
    generation: u32,
    inbox: Inbox,
    outbox: Outbox,
}

/// Descriptors for further workers.
struct Fds {
    geometry: Geometry,
    forward: OwnedFd,
    replies: OwnedFd,
}

fn path(slots: u32) -> (Pipeline, Worker, Fds) {
    let geometry = Geometry::new(slots, 16, 16).unwrap();
    let (forward, forward_fd) = Forward::create(geometry).unwrap();
    let fds = Fds {
        geometry,
        forward: forward_fd,
        replies: create_return(&geometry).unwrap(),
    };
    let replies = Replies::map(fds.replies.as_fd(), geometry, 1).unwrap();
    let worker = fds.worker(1);
    (Pipeline { forward, replies }, worker, fds)
}

impl Fds {
    fn worker(&self, generation: u32) -> Worker {
        Worker {
            generation,
            inbox: Inbox::map(self.forward.as_fd(), self.geometry).unwrap(),
            outbox: self.outbox(generation, create_bell().unwrap()),
        }
    }

    fn outbox(&self, generation: u32, bell: OwnedFd) -> Outbox {
        Outbox::map(self.replies.as_fd(), self.geometry, generation, bell).unwrap()
    }
}

/// What belongs to frame `seq`, different in every part from that of any other.
fn stats(seq: u64) -> [u8; 16] {
    [0x10 | seq as u8; 16]
}

fn params(seq: u64) -> [u8; 16] {
    [0x20 | seq as u8; 16]
}

fn context(seq: u64) -> FrameContext {
    FrameContext {
        applied: Applied {
            exposure_us: seq as f64,
            analogue_gain: 1.0,
            digital_gain: 1.0,
            black_level: 0.0,
            lens_position: None,
        },
        // In the second line of the record.
        controls: Controls {
            saturation: Some(seq as f64),
            ..Controls::default()
        },
    }
}

fn header(seq: u64) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Process,
        frame: 100 + seq,
        sensor_timestamp_ns: 200 + seq,
        deadline_ns: 300 + seq,
    }
}

impl Pipeline {
    fn publish(&mut self, seq: u64) {
        self.forward.begin(seq);
        assert!(self.forward.write_stats(seq, 0, &stats(seq)));
        let generation = self.replies.generation();
        let statistics = Statistics::Slot { len: 16 };
        self.forward
            .put(seq, generation, header(seq), &context(seq), statistics);
        self.forward.ring(seq, &self.replies);
    }

    /// Whether the answer came before the deadline.
    fn wait(&mut self, seq: u64) -> bool {
        self.replies.wait(seq, DEADLINE, &mut self.forward).done
    }

    /// Copies an answer out and checks that all of it belongs to `seq`.
    fn accept(&self, seq: u64) -> Option<Reply> {
        let mut room = [0; 16];
        let reply = self.replies.take(seq, &mut room)?.unwrap();
        assert_eq!((reply.status, reply.params_len), (Status::Done, 16));
        assert_eq!(reply.reply.wanted.exposure_us, Some(seq as f64));
        assert_eq!(room, params(seq));
        Some(reply)
    }
}

impl Worker {
    /// Takes a frame and checks that all of it belongs together.
    fn take(&mut self) -> Option<u64> {
        let mut room = [0; 16];
        let taken = self.inbox.take(&mut room)?;
        let seq = taken.seq;
        let expected = Taken {
            seq,
            generation: taken.generation,
            header: header(seq),
            context: context(seq),
            stats_len: 16,
        };
        assert_eq!(taken, expected);
        assert_eq!(room, stats(seq));
        (taken.generation == self.generation).then_some(seq)
    }

    fn answer(&mut self, seq: u64) {
        let mut reply = FrameReply::default();
        reply.wanted.exposure_us = Some(seq as f64);
        self.outbox
            .answer(seq, Status::Done, &reply, &params(seq), &self.inbox);
    }

    /// Answers frames, asleep between them, until `last` has been answered.
    fn serve(&mut self, last: u64) {
        loop {
            while let Some(seq) = self.take() {
                self.answer(seq);
                if seq == last {
                    return;
                }
            }
            self.inbox.sleep(&self.outbox, None);
        }
    }
}

#[test]
fn a_worker_that_falls_asleep_while_a_frame_is_published_wakes() {
    check(3, || {
        let (mut pipeline, mut worker, _fds) = path(1);
        let worker = thread::spawn(move || worker.serve(1));
        pipeline.publish(1);
        worker.join().unwrap();
        assert!(pipeline.accept(1).is_some());
    });
}

#[test]
fn a_pipeline_that_falls_asleep_while_a_reply_is_given_wakes() {
    check(3, || {
        let (mut pipeline, mut worker, _fds) = path(1);
        pipeline.publish(1);
        assert_eq!(worker.take(), Some(1));
        let worker = thread::spawn(move || worker.answer(1));
        assert!(pipeline.wait(1));
        assert!(pipeline.accept(1).is_some());
        worker.join().unwrap();
    });
}

#[test]
fn frames_that_go_through_sleeping_peers_one_by_one_all_arrive() {
    check(3, || {
        let (mut pipeline, mut worker, _fds) = path(1);
        let worker = thread::spawn(move || worker.serve(2));
        for seq in 1..=2 {
            pipeline.publish(seq);
            assert!(pipeline.wait(seq));
            assert!(pipeline.accept(seq).is_some());
        }
        worker.join().unwrap();
    });
}

#[test]
fn frames_in_flight_together_all_arrive() {
    check(3, || {
        let (mut pipeline, mut worker, _fds) = path(2);
        let worker = thread::spawn(move || worker.serve(2));
        pipeline.publish(1);
        pipeline.publish(2);
        for seq in 1..=2 {
            assert!(pipeline.wait(seq));
            assert!(pipeline.accept(seq).is_some());
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_slot_that_is_reused_under_a_late_worker_gives_it_one_frame_or_the_other() {
    check(3, || {
        let (mut pipeline, mut worker, _fds) = path(1);
        let late = thread::spawn(move || {
            // What it takes is checked to be of one piece.
            let found = worker.take();
            (worker, found)
        });
        pipeline.publish(1);
        pipeline.publish(2);
        let (mut worker, found) = late.join().unwrap();
        match found {
            // The newest frame is never lost.
            None | Some(1) => assert_eq!(worker.take(), Some(2)),
            newest => assert_eq!(newest, Some(2)),
        }
        assert_eq!(worker.take(), None);
    });
}

#[test]
fn an_answer_to_a_frame_that_was_given_up_is_not_taken_for_the_next_ones() {
    check(2, || {
        let (mut pipeline, mut worker, _fds) = path(1);
        let late = thread::spawn(move || worker.serve(2));
        pipeline.publish(1);
        // Nobody waits: if the answer is there it is whole, and the slot is used again.
        pipeline.accept(1);
        pipeline.publish(2);
        assert!(pipeline.wait(2));
        assert!(pipeline.accept(2).is_some());
        late.join().unwrap();
    });
}

/// It runs, and does not sleep: a ring wakes one sleeper, and an old worker at the doorbell could
/// take the wake that is meant for the new one. So a worker must have ended, not only been killed,
/// before the pipeline turns to the next.
#[test]
fn a_replaced_worker_that_still_runs_answers_nobody() {
    check(3, || {
        let (mut pipeline, mut old, fds) = path(1);
        let fds = Fds {
            replies: create_return(&fds.geometry).unwrap(),
            ..fds
        };
        let mut new = fds.worker(2);
        pipeline.publish(1);
        assert_eq!(old.take(), Some(1));
        // What a replacement is: the new worker starts with the next frame.
        new.inbox.skip();
        pipeline.replies = Replies::map(fds.replies.as_fd(), fds.geometry, 2).unwrap();
        let old = thread::spawn(move || {
            old.answer(1);
            // A frame of the next generation is none of its business.
            assert_eq!(old.take(), None);
        });
        let new = thread::spawn(move || new.serve(2));
        pipeline.publish(2);
        assert!(pipeline.wait(2));
        assert!(pipeline.accept(1).is_none());
        assert!(pipeline.accept(2).is_some());
        old.join().unwrap();
        new.join().unwrap();
    });
}

#[test]
fn an_answer_of_another_generation_is_none_even_in_the_same_segment() {
    check(3, || {
        let (mut pipeline, _worker, fds) = path(1);
        let mut other = fds.worker(2);
        pipeline.publish(1);
        let other = thread::spawn(move || other.answer(1));
        let clock = thread::spawn(|| clock::turn_to(DEADLINE));
        assert!(!pipeline.wait(1));
        assert!(pipeline.accept(1).is_none());
        other.join().unwrap();
        clock.join().unwrap();
    });
}

#[test]
fn a_deadline_ends_the_wait_whenever_it_comes_and_the_slot_can_be_used_again() {
    check(3, || {
        let (mut pipeline, mut worker, _fds) = path(1);
        pipeline.publish(1);
        assert_eq!(worker.take(), Some(1));
        let worker = thread::spawn(move || {
            worker.answer(1);
            worker.serve(2);
        });
        let clock = thread::spawn(|| clock::turn_to(DEADLINE));
        match pipeline.wait(1) {
            true => assert!(pipeline.accept(1).is_some()),
            // It may still come, and is whole if it does.
            false => drop(pipeline.accept(1)),
        }
        pipeline.publish(2);
        worker.join().unwrap();
        clock.join().unwrap();
        assert!(pipeline.accept(2).is_some());
    });
}

#[test]
fn a_worker_that_never_answers_costs_the_wait_to_the_deadline() {
    check(3, || {
        let (mut pipeline, _worker, _fds) = path(1);
        let clock = thread::spawn(|| clock::turn_to(DEADLINE));
        pipeline.publish(1);
        assert!(!pipeline.wait(1));
        clock.join().unwrap();
    });
}

#[test]
fn a_worker_that_rings_for_fun_is_not_listened_to_past_the_deadline() {
    check(1, || {
        let (mut pipeline, mut worker, _fds) = path(1);
        pipeline.publish(1);
        let worker = thread::spawn(move || {
            for wrong in 2..=6 {
                worker.answer(wrong);
                // So that the pipeline notices each of them.
                thread::yield_now();
            }
        });
        let clock = thread::spawn(|| clock::turn_to(DEADLINE));
        assert!(!pipeline.wait(1));
        worker.join().unwrap();
        clock.join().unwrap();
    });
}

/// The bell itself is the kernel's: what is tried here is whether it is rung.
#[test]
fn a_pipeline_that_watches_the_bell_sees_the_reply_or_hears_of_it() {
    check(3, || {
        let (mut pipeline, mut worker, fds) = path(1);
        let bell = create_bell().unwrap();
        worker.outbox = fds.outbox(1, bell.try_clone().unwrap());
        pipeline.publish(1);
        assert_eq!(worker.take(), Some(1));
        let worker = thread::spawn(move || worker.answer(1));
        pipeline.forward.set_waiting(Waiting::Bell);
        let seen = pipeline.replies.is_done(1);
        worker.join().unwrap();
        let heard = rustix::io::read(&bell, &mut [0; 8]).is_ok();
        assert!(seen || heard);
        assert!(pipeline.accept(1).is_some());
    });
}
