//! The frame path between two mappings of the same segments, with an honest worker and with one
//! that lies.
#![cfg(not(any(loom, miri)))]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::thread;

use coldshoe_frame::{
    Applied, Buffer, Controls, Forward, FrameContext, FrameHeader, FrameKind, FrameReply, Geometry,
    Inbox, Nudge, Outbox, Replies, ReplyError, SegmentError, Statistics, Status, Taken, Waiting,
    Wanted, create_bell, create_return, monotonic_ns, verify_buffer, verify_forward,
};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

const SECOND: u64 = 1_000_000_000;

struct Path {
    forward: Forward,
    replies: Replies,
    inbox: Inbox,
    outbox: Outbox,
    forward_fd: OwnedFd,
    return_fd: OwnedFd,
    geometry: Geometry,
}

fn path(slots: u32) -> Path {
    let geometry = Geometry::new(slots, 5000, 700).unwrap();
    let (forward, forward_fd) = Forward::create(geometry).unwrap();
    let return_fd = create_return(&geometry).unwrap();
    Path {
        replies: Replies::map(return_fd.as_fd(), geometry, 7).unwrap(),
        inbox: Inbox::map(forward_fd.as_fd(), geometry).unwrap(),
        outbox: Outbox::map(return_fd.as_fd(), geometry, 7, create_bell().unwrap()).unwrap(),
        forward,
        forward_fd,
        return_fd,
        geometry,
    }
}

fn context(exposure_us: f64) -> FrameContext {
    FrameContext {
        applied: Applied {
            exposure_us,
            analogue_gain: 2.0,
            digital_gain: 1.0,
            black_level: 0.0625,
            lens_position: None,
        },
        controls: Controls {
            exposure_value: Some(-1.0),
            ..Controls::default()
        },
    }
}

fn header(seq: u64) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Process,
        frame: 100 + seq,
        sensor_timestamp_ns: 5,
        deadline_ns: 6,
    }
}

fn slot(len: usize) -> Statistics {
    Statistics::Slot { len }
}

fn publish(path: &mut Path, seq: u64, stats: &[u8]) {
    path.forward.begin(seq);
    assert!(path.forward.write_stats(seq, 0, stats));
    let context = context(seq as f64);
    path.forward
        .put(seq, 7, header(seq), &context, slot(stats.len()));
    path.forward.ring(seq, &path.replies);
}

#[test]
fn a_frame_goes_over_and_its_reply_comes_back() {
    let mut p = path(4);
    let stats: Vec<u8> = (0..4999).map(|i| (i * 7) as u8).collect();
    publish(&mut p, 1, &stats);

    let mut room = vec![0; 5000];
    let taken = p.inbox.take(&mut room).unwrap();
    let expected = Taken {
        seq: 1,
        generation: 7,
        header: header(1),
        context: context(1.0),
        stats_len: 4999,
    };
    assert_eq!(taken, expected);
    assert_eq!(&room[..4999], stats);
    assert_eq!(p.inbox.take(&mut room), None);

    let wanted = Wanted {
        exposure_us: Some(123.5),
        ..Wanted::default()
    };
    let reply = FrameReply {
        wanted,
        ..FrameReply::default()
    };
    let mut params = [0; 700];
    assert!(p.replies.take(1, &mut params).is_none());
    p.outbox
        .answer(1, Status::Done, &reply, &[9; 333], &p.inbox);
    let got = p.replies.take(1, &mut params).unwrap().unwrap();
    assert_eq!(
        (got.status, got.reply, got.params_len),
        (Status::Done, reply, 333)
    );
    assert!(params[..333].iter().all(|b| *b == 9));
}

#[test]
fn ten_thousand_frames_through_sleeping_peers_lose_no_wake() {
    let mut p = path(4);
    let (mut inbox, mut outbox) = (p.inbox, p.outbox);
    let worker = thread::spawn(move || {
        let mut room = vec![0; 5000];
        let mut last = 0;
        while last < 10_000 {
            while let Some(taken) = inbox.take(&mut room) {
                assert_eq!(taken.seq, last + 1);
                assert_eq!(room[..8], taken.seq.to_le_bytes());
                last = taken.seq;
                let (reply, params) = (FrameReply::default(), taken.seq.to_le_bytes());
                outbox.answer(taken.seq, Status::Done, &reply, &params, &inbox);
            }
            if last < 10_000 {
                inbox.sleep(&outbox, None);
            }
        }
    });
    let mut params = [0; 700];
    for seq in 1..=10_000u64 {
        p.forward.begin(seq);
        assert!(p.forward.write_stats(seq, 0, &seq.to_le_bytes()));
        p.forward.put(seq, 7, header(seq), &context(1.0), slot(8));
        p.forward.ring(seq, &p.replies);
        let deadline = monotonic_ns() + 60 * SECOND;
        assert!(p.replies.wait(seq, deadline, &mut p.forward).done);
        assert_eq!(
            p.replies
                .take(seq, &mut params)
                .unwrap()
                .unwrap()
                .params_len,
            8
        );
        assert_eq!(params[..8], seq.to_le_bytes());
    }
    worker.join().unwrap();
}

#[test]
fn several_frames_share_a_doorbell_and_come_in_order() {
    let mut p = path(4);
    for seq in 1..=4 {
        publish(&mut p, seq, &[seq as u8; 16]);
    }
    let mut room = vec![0; 5000];
    for seq in 1..=4 {
        assert_eq!(p.inbox.take(&mut room).unwrap().seq, seq);
        assert_eq!(room[0], seq as u8);
    }
}

#[test]
fn frames_that_were_given_up_and_overwritten_are_left_out() {
    let mut p = path(2);
    for seq in 1..=5 {
        publish(&mut p, seq, &[seq as u8; 16]);
    }
    let mut room = vec![0; 5000];
    assert_eq!(p.inbox.take(&mut room).unwrap().seq, 4);
    assert_eq!(p.inbox.take(&mut room).unwrap().seq, 5);
}

#[test]
fn a_frame_that_is_being_rewritten_is_not_taken() {
    let mut p = path(1);
    publish(&mut p, 1, &[1; 16]);
    p.forward.begin(2);
    assert_eq!(p.inbox.take(&mut vec![0; 5000]), None);
}

#[test]
fn statistics_larger_than_the_slot_are_refused() {
    let mut p = path(1);
    assert!(!p.forward.write_stats(1, 0, &[0; 5001]));
    assert!(!p.forward.write_stats(1, 16, &[0; 4985]));
    assert!(!p.forward.write_stats(1, usize::MAX - 15, &[0; 16]));
    assert!(p.forward.write_stats(1, 16, &[0; 4984]));
}

#[test]
fn waiting_ends_at_the_deadline_when_nobody_answers() {
    let mut p = path(1);
    publish(&mut p, 1, &[1; 16]);
    let deadline = monotonic_ns() + SECOND / 100;
    assert!(!p.replies.wait(1, deadline, &mut p.forward).done);
    assert!(monotonic_ns() >= deadline);
}

#[test]
fn a_late_or_replayed_reply_is_not_the_reply_to_another_frame() {
    let mut p = path(1);
    publish(&mut p, 1, &[1; 16]);
    p.outbox
        .answer(1, Status::Done, &FrameReply::default(), &[], &p.inbox);
    publish(&mut p, 2, &[2; 16]);
    assert!(!p.replies.is_done(2));
    // Of another generation: a worker that was replaced.
    let mut old = Outbox::map(p.return_fd.as_fd(), p.geometry, 6, create_bell().unwrap()).unwrap();
    old.answer(2, Status::Done, &FrameReply::default(), &[], &p.inbox);
    assert!(!p.replies.is_done(2));
}

/// A worker's view of the return segment without any of this crate's care.
struct Scribbler(*mut u8);

impl Scribbler {
    fn new(p: &Path) -> Self {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let (len, flags) = (p.geometry.return_len(), MapFlags::SHARED);
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let base = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, prot, flags, &p.return_fd, 0).unwrap()
        };
        Self(base.cast())
    }

    fn write(&self, offset: usize, value: u32) {
        // SAFETY: the tests write inside of the first page.
        unsafe { self.0.add(offset).cast::<u32>().write_volatile(value) }
    }
}

#[test]
fn a_length_past_the_slot_is_a_violation_and_nothing_is_copied() {
    let mut p = path(1);
    publish(&mut p, 1, &[1; 16]);
    p.outbox
        .answer(1, Status::Done, &FrameReply::default(), &[1; 16], &p.inbox);
    let hostile = Scribbler::new(&p);
    let mut params = [0xaa; 700];
    for len in [701, 1 << 20, u32::MAX] {
        hostile.write(256 + 8, len);
        let refused = ReplyError::Length {
            found: len,
            capacity: 700,
        };
        assert_eq!(p.replies.take(1, &mut params), Some(Err(refused)));
        assert!(params.iter().all(|b| *b == 0xaa));
    }
    hostile.write(256 + 8, 700);
    assert!(p.replies.take(1, &mut params).unwrap().is_ok());
    hostile.write(256 + 12, 99);
    assert_eq!(
        p.replies.take(1, &mut params),
        Some(Err(ReplyError::Status(99)))
    );
}

#[test]
fn a_worker_that_rings_for_fun_does_not_keep_the_pipeline_past_its_deadline() {
    let mut p = path(1);
    publish(&mut p, 1, &[1; 16]);
    let nudge_fd = p.return_fd.try_clone().unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let geometry = p.geometry;
    let flooder = thread::spawn(move || {
        let outbox = Outbox::map(nudge_fd.as_fd(), geometry, 7, create_bell().unwrap()).unwrap();
        let mut answers = outbox;
        let fd = p.forward_fd.try_clone().unwrap();
        let inbox = Inbox::map(fd.as_fd(), geometry).unwrap();
        let mut rung = 0u64;
        // Every answer is to a frame nobody asked for: a changed word and a wake each.
        while matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Empty)) {
            rung += 1;
            answers.answer(
                1000 + rung,
                Status::Done,
                &FrameReply::default(),
                &[],
                &inbox,
            );
        }
        rung
    });
    let deadline = monotonic_ns() + SECOND / 20;
    let waited = p.replies.wait(1, deadline, &mut p.forward);
    assert!(!waited.done && waited.spurious <= 4, "{waited:?}");
    stop.send(()).unwrap();
    assert!(flooder.join().unwrap() > 0);
}

#[test]
fn the_daemon_can_wake_a_sleeping_worker_through_a_read_only_mapping() {
    let p = path(1);
    let nudge = Nudge::map(p.forward_fd.as_fd(), &p.geometry).unwrap();
    let (inbox, outbox) = (p.inbox, p.outbox);
    let (woken, wakes) = mpsc::channel();
    let worker = thread::spawn(move || {
        assert!(inbox.sleep(&outbox, None));
        woken.send(()).unwrap();
    });
    // A ring between the last look and the sleep is lost: the daemon rings until it is answered.
    while wakes
        .recv_timeout(std::time::Duration::from_millis(1))
        .is_err()
    {
        nudge.ring();
    }
    worker.join().unwrap();
}

#[test]
fn the_worker_cannot_map_the_forward_segment_for_writing() {
    let p = path(1);
    let map = |prot| {
        // SAFETY: a fresh mapping at an address of the kernel's choice, never read.
        unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                p.geometry.forward_len(),
                prot,
                MapFlags::SHARED,
                &p.forward_fd,
                0,
            )
        }
    };
    assert!(map(ProtFlags::READ).is_ok());
    assert_eq!(map(ProtFlags::WRITE).unwrap_err(), rustix::io::Errno::PERM);
    assert_eq!(
        rustix::fs::ftruncate(&p.forward_fd, 0).unwrap_err(),
        rustix::io::Errno::PERM
    );
    let all = SealFlags::WRITE;
    assert_eq!(
        rustix::fs::fcntl_add_seals(&p.return_fd, all).unwrap_err(),
        rustix::io::Errno::PERM
    );
}

#[test]
fn a_segment_without_each_of_its_seals_is_refused_by_the_name_of_the_seal() {
    let geometry = Geometry::new(4, 100, 100).unwrap();
    let seals = [
        (SealFlags::SHRINK, "SHRINK"),
        (SealFlags::GROW, "GROW"),
        (SealFlags::FUTURE_WRITE, "FUTURE_WRITE"),
        (SealFlags::SEAL, "SEAL"),
    ];
    let make = |len: u64| {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let fd = rustix::fs::memfd_create("test", flags).unwrap();
        rustix::fs::ftruncate(&fd, len).unwrap();
        fd
    };
    let len = geometry.forward_len() as u64;
    for (missing, name) in seals {
        let fd = make(len);
        for (seal, _) in seals.iter().filter(|(seal, _)| *seal != missing) {
            rustix::fs::fcntl_add_seals(&fd, *seal).unwrap();
        }
        match verify_forward(fd.as_fd(), &geometry) {
            Err(SegmentError::Unsealed(named)) => assert_eq!(named, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    for wrong in [0, len - 4096, len + 4096] {
        let fd = make(wrong);
        for (seal, _) in seals {
            rustix::fs::fcntl_add_seals(&fd, seal).unwrap();
        }
        let verdict = verify_forward(fd.as_fd(), &geometry);
        assert!(
            matches!(verdict, Err(SegmentError::Size { .. })),
            "{verdict:?}"
        );
    }
    let file = tempfile();
    assert!(matches!(
        verify_forward(file.as_fd(), &geometry),
        Err(SegmentError::NotAMemfd)
    ));
}

#[test]
fn a_segment_of_huge_pages_is_refused() {
    let geometry = Geometry::new(1, 1, 1).unwrap();
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB;
    let Ok(fd) = rustix::fs::memfd_create("test", flags) else {
        return eprintln!("SKIPPED: this kernel makes no memfd of huge pages");
    };
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
    let verdict = verify_forward(fd.as_fd(), &geometry);
    assert!(
        matches!(verdict, Err(SegmentError::HugePages)),
        "{verdict:?}"
    );
}

#[test]
fn frames_that_are_skipped_are_never_taken() {
    let mut p = path(4);
    publish(&mut p, 1, &[1; 16]);
    publish(&mut p, 2, &[2; 16]);
    p.inbox.skip();
    assert_eq!(p.inbox.take(&mut vec![0; 5000]), None);
    publish(&mut p, 3, &[3; 16]);
    assert_eq!(p.inbox.take(&mut vec![0; 5000]).unwrap().seq, 3);
}

#[test]
fn a_doorbell_that_goes_backwards_brings_no_frame_and_keeps_nobody_awake() {
    let mut p = path(4);
    for seq in 1..=3 {
        publish(&mut p, seq, &[1; 16]);
        assert!(p.inbox.take(&mut vec![0; 5000]).is_some());
    }
    publish(&mut p, 1, &[1; 16]);
    assert_eq!(p.inbox.take(&mut vec![0; 5000]), None);
    let nudge = Nudge::map(p.forward_fd.as_fd(), &p.geometry).unwrap();
    let (woken, wakes) = mpsc::channel();
    thread::spawn(move || woken.send(p.inbox.sleep(&p.outbox, None)).unwrap());
    let slept = loop {
        match wakes.recv_timeout(std::time::Duration::from_millis(1)) {
            Ok(slept) => break slept,
            Err(_) => nudge.ring(),
        }
    };
    assert!(slept);
}

#[test]
fn frames_that_are_put_are_taken_once_the_doorbell_rings() {
    let mut p = path(4);
    for seq in 1..=3 {
        p.forward.begin(seq);
        p.forward.put(seq, 7, header(seq), &context(1.0), slot(0));
        assert_eq!(p.inbox.take(&mut [0; 5000]), None);
    }
    p.forward.ring(3, &p.replies);
    for seq in 1..=3 {
        assert_eq!(p.inbox.take(&mut [0; 5000]).unwrap().seq, seq);
    }
}

#[test]
fn a_pipeline_that_watches_the_bell_hears_of_a_reply() {
    let mut p = path(1);
    let bell = create_bell().unwrap();
    let worker = bell.try_clone().unwrap();
    let mut outbox = Outbox::map(p.return_fd.as_fd(), p.geometry, 7, worker).unwrap();
    let mut answer = |p: &Path, seq| {
        outbox.answer(seq, Status::Done, &FrameReply::default(), &[], &p.inbox);
    };
    let rung = || rustix::io::read(&bell, &mut [0; 8]).is_ok();
    answer(&p, 1);
    assert!(!rung(), "nobody asked for it");
    p.forward.set_waiting(Waiting::Bell);
    answer(&p, 1);
    assert!(rung());
    p.forward.set_waiting(Waiting::No);
    answer(&p, 1);
    assert!(!rung());
}

fn put_buffer(p: &mut Path, seq: u64, index: u32, len: usize) {
    p.forward.begin(seq);
    let statistics = Statistics::Buffer { index, len };
    p.forward
        .put(seq, 7, header(seq), &context(1.0), statistics);
    p.forward.ring(seq, &p.replies);
}

#[test]
fn statistics_come_out_of_registered_buffers() {
    let mut p = path(4);
    let mut buffers = [9000, 100].map(|len| Buffer::create(len).unwrap());
    for (buffer, byte) in buffers.iter_mut().zip(1..) {
        assert!(buffer.write(16, &[byte; 32]));
        let room = buffer.capacity();
        assert!(!buffer.write(room, &[1]) && !buffer.write(usize::MAX - 15, &[1; 16]));
        buffer.seal().unwrap();
        p.inbox.register(buffer.as_fd()).unwrap();
    }
    assert_eq!(p.inbox.stats_room(), buffers[0].capacity());
    let mut room = vec![0; p.inbox.stats_room()];
    for (seq, index, byte) in [(1, 1, 2), (2, 0, 1)] {
        put_buffer(&mut p, seq, index, 48);
        assert_eq!(p.inbox.take(&mut room).unwrap().stats_len, 48);
        assert_eq!((room[15], room[16], room[47]), (0, byte, byte));
    }
}

#[test]
fn a_buffer_that_is_not_there_brings_no_frame_and_a_length_past_it_is_cut() {
    let mut p = path(4);
    let buffer = Buffer::create(1).unwrap();
    buffer.seal().unwrap();
    p.inbox.register(buffer.as_fd()).unwrap();
    let mut room = vec![0; p.inbox.stats_room()];
    put_buffer(&mut p, 1, 1, 8);
    assert_eq!(p.inbox.take(&mut room), None);
    put_buffer(&mut p, 2, u32::MAX, 8);
    assert_eq!(p.inbox.take(&mut room), None);
    put_buffer(&mut p, 3, 0, usize::MAX);
    assert_eq!(
        p.inbox.take(&mut room).unwrap().stats_len,
        buffer.capacity()
    );
}

#[test]
fn a_buffer_is_sealed_before_it_is_shared() {
    let buffer = Buffer::create(4096).unwrap();
    let refused = verify_buffer(buffer.as_fd()).unwrap_err();
    assert!(
        matches!(refused, SegmentError::Unsealed("FUTURE_WRITE")),
        "{refused}"
    );
    buffer.seal().unwrap();
    assert_eq!(verify_buffer(buffer.as_fd()).unwrap(), buffer.capacity());
    for size in [0, (16 << 20) + 1] {
        assert!(matches!(
            Buffer::create(size),
            Err(SegmentError::BufferSize(_))
        ));
    }
}

#[test]
fn the_worker_is_awake_when_a_frame_comes_within_the_window() {
    let mut p = path(1);
    assert!(!p.inbox.spin(monotonic_ns() + 1000));
    publish(&mut p, 1, &[1; 16]);
    assert!(p.inbox.spin(0));
    assert!(!p.replies.spin(1, monotonic_ns() + 1000));
    p.outbox
        .answer(1, Status::Done, &FrameReply::default(), &[], &p.inbox);
    assert!(p.replies.spin(1, 0));
}

#[test]
fn a_worker_that_is_to_wake_by_itself_does() {
    let p = path(1);
    let until = monotonic_ns() + SECOND / 1000;
    assert!(p.inbox.sleep(&p.outbox, Some(until)));
    assert!(monotonic_ns() >= until);
}

/// Something that is no memfd.
fn tempfile() -> OwnedFd {
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    reader
}
