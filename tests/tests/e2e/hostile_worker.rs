//! The client library against a worker without a jail that does its worst with the segments and
//! the bell. Whatever it does: each frame has an outcome, no wait goes past its deadline for good,
//! nothing kills or stops the pipeline, it costs little of its processor, and what the pipeline
//! wrote stays as it is.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use coldshoe::{Outcome, Session, WhyHeld};
use coldshoe_frame::{Geometry, create_bell, create_return};
use coldshoe_tests::{Peer, attacked, ends, frame};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::pread;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

const FRAMES: u64 = 30;
const DEADLINE: Duration = Duration::from_millis(10);
const STATS: [u8; 4096] = [0x5a; 4096];
/// Statistics of slot 0: two lines, four headers, rounded up to a page, a page of counters,
/// and the frame's context.
const PAYLOAD: u64 = 8192;

fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// What a frame may come out as under attack.
fn plausible(outcome: &Outcome<'_>) {
    match outcome {
        Outcome::Fresh(answer) | Outcome::Late(answer) => {
            assert!(answer.params.len() <= 4096);
        }
        Outcome::Held { why, .. } => assert_ne!(*why, WhyHeld::NotInFlight),
        Outcome::Skipped { .. } => {}
    }
}

fn waits(session: &mut Session, number: u64) {
    let ticket = session
        .submit(&frame(number, DEADLINE), &STATS)
        .expect("a ticket");
    plausible(&session.wait(ticket));
}

fn watches(session: &mut Session, number: u64) {
    let mut ticket = session
        .submit(&frame(number, DEADLINE), &STATS)
        .expect("a ticket");
    loop {
        ticket = match session.try_wait(ticket) {
            Ok(outcome) => return plausible(&outcome),
            Err(ticket) => ticket,
        };
        let fd = session.poll_fd().expect("a descriptor");
        poll(&mut [PollFd::new(&fd.as_fd(), PollFlags::IN)], None).expect("poll");
    }
}

/// Where the pipeline's own bytes are found in the forward segment.
fn written(forward: &OwnedFd) -> usize {
    let mut bytes = vec![0; 64 << 10];
    let read = pread(forward, &mut bytes, PAYLOAD).expect("it can be read");
    bytes[..read]
        .iter()
        .filter(|byte| **byte == STATS[0])
        .count()
}

fn survives(attack: &str) {
    for way in [waits, watches] {
        let (mut session, mut peer) = attacked(attack);
        let (began, busy) = (seconds(ClockId::Monotonic), seconds(ClockId::ThreadCPUTime));
        for number in 0..FRAMES {
            way(&mut session, number);
        }
        let took = seconds(ClockId::Monotonic) - began;
        let busy = seconds(ClockId::ThreadCPUTime) - busy;
        // Frames that are answered at once, whatever the answer, cost what frames cost.
        let answered = session.counters().fresh + session.counters().rejected;
        // One that is kept awake has all of the time, whatever the build and the machine.
        let allowed = 0.1 * took + 200e-6 * (FRAMES + answered) as f64;
        assert!(
            busy < allowed,
            "{attack}: {busy} s of {took} s, at most {allowed}"
        );
        let spurious = session.counters().spurious_wakes;
        assert!(
            spurious <= 8 * FRAMES,
            "{attack}: {spurious} wakes for nothing"
        );
        // Every slot has been used, and holds what the pipeline wrote.
        assert_eq!(written(&peer.forward), 4 * STATS.len(), "{attack}");
        let ended = peer.child.try_wait().expect("our own child");
        let code = ended.and_then(|status| status.code());
        assert!(!matches!(code, Some(1 | 2)), "{attack}: it could: {code:?}");
    }
}

macro_rules! attacks {
    ($($name:ident: $attack:literal,)*) => {
        $(#[test]
        fn $name() {
            survives($attack);
        })*
    };
}

attacks! {
    scribbling_threads: "scribbles",
    wrong_replayed_and_future_numbers: "wrong numbers",
    answers_longer_than_their_slot: "long answers",
    unknown_statuses: "odd statuses",
    answers_that_change_while_they_are_read: "torn answers",
    flags_that_lie: "lying flags",
    holes_in_the_segments: "punched holes",
    pages_that_are_taken_away: "removed pages",
    segments_cut_short: "truncated segments",
    seals_of_the_workers_own: "added seals",
    segments_opened_again_for_writing: "re-opened segments",
    a_bell_that_blocks_who_reads_it: "a bell that blocks",
    a_bell_at_its_maximum: "a full bell",
    a_flood_of_wakes: "a flood of wakes",
    a_flood_of_rings: "a flood of rings",
    sleepers_moved_to_another_word: "requeued sleepers",
    a_worker_that_stops: "a stop",
    a_worker_that_ends_in_the_middle_of_an_answer: "an end half-way",
}

/// The control: without seals the same attempts succeed.
#[test]
fn without_seals_the_forward_segment_falls() {
    let geometry = Geometry::new(4, 8192, 4096).expect("within the limits");
    for attack in [
        "punched holes",
        "removed pages",
        "truncated segments",
        "added seals",
        "re-opened segments",
    ] {
        let forward = memfd_create("bare", MemfdFlags::ALLOW_SEALING).expect("a memfd");
        ftruncate(&forward, geometry.forward_len() as u64).expect("a size");
        let fds = [
            forward,
            create_return(&geometry).expect("a segment"),
            create_bell().expect("a bell"),
        ];
        let mut peer = Peer::start(attack, fds, &geometry);
        let pid = Pid::from_child(&peer.child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("our own child");
        assert!(ends(pidfd), "{attack}: it tries on and on");
        let status = peer.child.wait().expect("our own child");
        assert_eq!(status.code(), Some(1), "{attack}");
    }
}
