//! Frames flow: statistics in, parameters and requests out.

use coldshoe::{
    AlgorithmState, Buffer, Controls, Moment, Outcome, Session, SubmitError, Ticket, WhySkipped,
};
use coldshoe_isp::soft::{Update, WbGains};
use coldshoe_isp::{Statistics, stats::Zone};
use coldshoe_tests::{
    Daemon, PATIENCE, Place, built, c_example, frame, run_frame, running, sensor, soft,
};

/// Statistics of a frame whose zones all have the same sums and whose cells all have a luminance
/// of a quarter.
pub(crate) fn statistics(rgb: [u64; 3]) -> Vec<u8> {
    let cells = 192 * 4;
    let mut statistics = Statistics::empty(1, 64, 48);
    let [r, g, b] = rgb.map(|mean| mean * 4);
    statistics.zones.fill(Zone {
        r,
        g,
        b,
        valid: 4,
        clipped: 0,
    });
    statistics.histogram[64] = cells;
    let mut bytes = vec![0; Statistics::SIZE];
    statistics.encode(&mut bytes).expect("valid statistics");
    bytes
}

pub(crate) fn c_module(place: &Place) {
    place.compile("cc", "grey-world", &c_example("grey_world.c"), &[]);
}

fn cpp_module(place: &Place) {
    place.compile("c++", "mean-meter", &c_example("mean_meter.cpp"), &[]);
}

fn rust_module(place: &Place) {
    place.install("fixed", &built("examples/libexample_rust.so"));
}

fn gains(session: &mut Session, stats: &[u8]) -> [f64; 4] {
    let ticket = session.submit(&frame(1, PATIENCE), stats).expect("a slot");
    let outcome = session.wait(ticket);
    assert!(outcome.is_fresh(), "{outcome:?}");
    match soft(outcome.answer().expect("fresh").params).wb_gains {
        Update::Set(gains) => gains.gains(),
        other => panic!("no white balance gains: {other:?}"),
    }
}

#[test]
fn a_module_in_c_turns_statistics_into_white_balance_gains() {
    let daemon = Daemon::new();
    c_module(&daemon);
    let mut session = running(&daemon, "grey-world");
    assert_eq!(session.module().name, "grey-world");
    let gains = gains(&mut session, &statistics([1000, 2000, 4000]));
    assert_eq!(gains, [2.0, 1.0, 1.0, 0.5]);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_module_in_cpp_asks_for_an_exposure() {
    let daemon = Daemon::new();
    cpp_module(&daemon);
    let mut session = running(&daemon, "mean-meter");
    let stats = statistics([1000; 3]);
    let ticket = session.submit(&frame(1, PATIENCE), &stats).expect("a slot");
    let answer = session.wait(ticket).answer().expect("an answer");
    // The mean of one histogram bin is its middle; 0.16 is what the module aims at.
    let expected = 5000.0 * 0.16 / (64.5 / 256.0);
    let exposure = answer.wanted.exposure_us.expect("a wanted exposure");
    assert!((exposure - expected).abs() < 1e-6, "{exposure}");
    assert_eq!(answer.params, [0; 0], "this module writes no parameters");
    session.close().expect("closed");
}

#[test]
fn an_exception_of_a_module_in_cpp_stays_inside_and_its_text_is_logged() {
    let daemon = Daemon::new();
    cpp_module(&daemon);
    let mut session = running(&daemon, "mean-meter");
    let ticket = session
        .submit(&frame(1, PATIENCE), &[0; 8])
        .expect("a slot");
    assert!(!session.wait(ticket).is_fresh());
    assert_eq!(session.counters().module_errors, 1);
    daemon
        .log()
        .wait_for("the statistics are shorter than coldshoe-stats-1");
    let stats = statistics([1000; 3]);
    let ticket = session.submit(&frame(2, PATIENCE), &stats).expect("a slot");
    assert!(session.wait(ticket).is_fresh());
}

#[test]
fn a_module_in_rust_answers_gains_and_an_exposure() {
    let daemon = Daemon::new();
    rust_module(&daemon);
    let mut session = running(&daemon, "fixed");
    let daylight = WbGains([7987, 4096, 4096, 5505]).gains();
    assert_eq!(gains(&mut session, &statistics([1000; 3])), daylight);
    let ticket = session.prepare(&frame(2, PATIENCE)).expect("a slot");
    let answer = session.wait(ticket).answer().expect("an answer");
    assert_eq!(answer.wanted.exposure_us, Some(10_000.0));
}

#[test]
fn sessions_on_different_modules_run_side_by_side() {
    let daemon = Daemon::new();
    c_module(&daemon);
    cpp_module(&daemon);
    rust_module(&daemon);
    let modules = ["grey-world", "mean-meter", "fixed", "good", "good"];
    let mut sessions = modules.map(|module| running(&daemon, module));
    let mut pids: Vec<_> = sessions.iter().map(Session::worker_pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), modules.len(), "each has a worker of its own");
    let stats = statistics([1000, 2000, 4000]);
    for number in 0..20 {
        let tickets: Vec<_> = sessions
            .iter_mut()
            .map(|session| session.submit(&frame(number, PATIENCE), &stats))
            .collect();
        for (session, ticket) in sessions.iter_mut().zip(tickets) {
            let outcome = session.wait(ticket.expect("a slot"));
            assert!(outcome.is_fresh(), "{outcome:?}");
            assert_eq!(outcome.answer().expect("fresh").frame, number);
        }
    }
    for session in sessions {
        assert_eq!(session.counters().fresh, 20);
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}

#[test]
fn what_the_pipeline_says_reaches_the_module_and_its_answer_comes_back() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let mut asked = frame(4096 * 3 + 1024, PATIENCE);
    asked.controls = Controls {
        colour_temperature: Some(4200.0),
        ..Controls::default()
    };
    let ticket = session.submit(&asked, &[64; 100]).expect("a slot");
    let answer = session.wait(ticket).answer().expect("an answer");
    assert_eq!(answer.frame, asked.number);
    let Update::Set(gains) = soft(answer.params).wb_gains else {
        panic!("no gains");
    };
    assert_eq!(gains.gains()[0], 2.25);
    assert_eq!(answer.wanted.exposure_us, Some(10_000.0));
    assert_eq!(answer.wanted.analogue_gain, Some(4.0));
    assert_eq!(answer.wanted.digital_gain, None);
    assert_eq!(answer.metadata.ae_state, AlgorithmState::Searching);
    assert_eq!(answer.metadata.luminance, Some(0.25));
    assert_eq!(answer.metadata.lux, Some(100.0));
    assert_eq!(answer.metadata.colour_temperature, Some(4200.0));
}

#[test]
fn parameters_are_prepared_before_there_are_statistics() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let ticket = session.prepare(&frame(1, PATIENCE)).expect("a slot");
    let answer = session.wait(ticket).answer().expect("an answer");
    // The test module's lux is the size of the statistics, and 0 means that it does not know.
    assert_eq!(answer.metadata.lux, None);
}

#[test]
fn statistics_can_be_written_in_place() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let mut slot = session.statistics().expect("a slot");
    slot.write(0, &[1; 16]).expect("room");
    slot.write(16, &[128; 16]).expect("room");
    let ticket = slot.submit(&frame(1, PATIENCE), 32);
    let answer = session.wait(ticket).answer().expect("an answer");
    assert_eq!(answer.metadata.luminance, Some(0.5));
    assert_eq!(answer.metadata.lux, Some(32.0));
}

#[test]
fn a_slot_that_is_given_back_is_the_next_frames_with_what_was_written() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let mut slot = session.statistics().expect("a slot");
    slot.write(0, &[128; 32]).expect("room");
    let address = slot.address();
    let mut slot = session.statistics().expect("a slot");
    assert_eq!(slot.address(), address);
    let ticket = slot.submit(&frame(1, PATIENCE), 32);
    let answer = session.wait(ticket).answer().expect("an answer");
    assert_eq!(answer.metadata.luminance, Some(0.5));
}

#[test]
fn a_frame_that_found_no_slot_can_have_a_ticket_that_says_so() {
    let daemon = Daemon::new();
    let mut session = Session::open(&daemon.open("good")).expect("a session");
    let full: Result<Ticket, _> = Err(SubmitError::Skipped(WhySkipped::Full));
    let ticket = session.or_skipped(full).expect("a ticket");
    assert_eq!(ticket.skipped(), Some(WhySkipped::Full));
    let last = session.last().map(|answer| answer.frame);
    let why = WhySkipped::Full;
    assert_eq!(last, None);
    assert_eq!(session.wait(ticket), Outcome::Skipped { why, last: None });
    let refused = session.or_skipped(Err(SubmitError::NotStarted));
    assert_eq!(refused, Err(SubmitError::NotStarted));
}

#[test]
fn buffers_stay_with_a_session_that_does_not_open_and_are_good_for_the_next() {
    let daemon = Daemon::new();
    let mut buffers = vec![Buffer::create(4096).expect("a buffer")];
    let refused = Session::open_taking(&daemon.open("missing"), &mut buffers);
    assert!(refused.is_err() && buffers.len() == 1);
    let mut session = Session::open_taking(&daemon.open("good"), &mut buffers).expect("opens");
    assert!(buffers.is_empty());
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    let buffer = session.buffer(0).expect("the buffer");
    assert!(buffer.write(0, &[64; 16]), "it fits");
    let ticket = session.submit_buffer(&frame(1, PATIENCE), 0, 16);
    let answer = session.wait(ticket.expect("a slot")).answer();
    assert_eq!(answer.expect("an answer").metadata.luminance, Some(0.25));
    assert_eq!(session.last().expect("the same").frame, 1);
}

#[test]
fn as_many_frames_are_in_flight_as_there_are_slots() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let tickets: Vec<_> = (0..4)
        .map(|n| session.submit(&frame(n, PATIENCE), &[0; 64]))
        .collect();
    for (number, ticket) in tickets.into_iter().enumerate() {
        let outcome = session.wait(ticket.expect("a slot"));
        assert!(outcome.is_fresh(), "{outcome:?}");
        assert_eq!(outcome.answer().expect("fresh").frame, number as u64);
    }
}

#[test]
fn a_full_pipeline_says_so_and_does_not_wait() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let mut session = running(&daemon, "hangs");
    for number in 0..4 {
        let _ticket = session.submit(&frame(number, PATIENCE), &[0; 64]);
    }
    let why = WhySkipped::Full;
    assert_eq!(session.statistics().err(), Some(SubmitError::Skipped(why)));
    let full = session
        .submit(&frame(4, PATIENCE), &[0; 64])
        .expect("a ticket");
    let outcome = session.wait(full);
    assert_eq!(outcome, Outcome::Skipped { why, last: None });
    assert_eq!(session.counters().skipped, 2);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn frames_past_their_deadline_give_their_slots_up_and_are_counted() {
    let daemon = Daemon::new();
    daemon.module("hangs", &[("IN_PROCESS", "hang()")]);
    let mut session = running(&daemon, "hangs");
    for number in 0..12 {
        let mut late = frame(number, PATIENCE);
        late.deadline = Moment::now();
        let _ticket = session.submit(&late, &[0; 64]).expect("a slot");
    }
    assert_eq!(session.counters().missed, 8);
}

#[test]
fn statistics_larger_than_the_slot_are_refused_and_the_session_goes_on() {
    let daemon = Daemon::new();
    let mut session = running(&daemon, "good");
    let capacity = 8192;
    let large = vec![0; capacity + 1];
    let refused = session.submit(&frame(1, PATIENCE), &large).unwrap_err();
    let (len, room) = (capacity + 1, capacity);
    assert_eq!(
        refused,
        SubmitError::TooLarge {
            len,
            capacity: room
        }
    );
    assert!(refused.to_string().contains("larger stats_capacity"));
    {
        let mut slot = session.statistics().expect("the slot is still free");
        assert!(slot.write(capacity, &[0]).is_err());
    }
    assert_eq!(run_frame(&mut session, 2048), 1.5);
    let ticket = session.submit(&frame(2, PATIENCE), &large[..capacity]);
    assert!(session.wait(ticket.expect("it fits")).is_fresh());
}

#[test]
fn a_ticket_is_good_for_one_wait_in_its_own_session() {
    let daemon = Daemon::new();
    let mut one = running(&daemon, "good");
    let mut other = running(&daemon, "good");
    let ticket = one.submit(&frame(1, PATIENCE), &[0; 64]).expect("a slot");
    let foreign = other.wait(ticket);
    assert!(matches!(foreign, Outcome::Held { last: None, .. }));
}

#[test]
fn a_session_that_is_not_started_takes_no_frames() {
    let daemon = Daemon::new();
    let mut session = Session::open(&daemon.open("good")).expect("a session");
    let early = session.submit(&frame(1, PATIENCE), &[0; 64]);
    assert_eq!(early, Err(SubmitError::NotStarted));
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    session.stop().expect("stopped");
    let late = session.submit(&frame(1, PATIENCE), &[0; 64]);
    assert_eq!(late, Err(SubmitError::NotStarted));
    session.start().expect("started again");
    assert_eq!(run_frame(&mut session, 1024), 1.25);
}

#[test]
fn what_a_module_logs_is_in_the_daemons_log_with_its_name_and_level() {
    let daemon = Daemon::new();
    let text = r#"say(COLDSHOE_IPA_LOG_WARNING, "two\nlines \033[31m in red")"#;
    daemon.module("talks", &[("IN_CONFIGURE", text)]);
    let _session = running(&daemon, "talks");
    let created = daemon.log().wait_for("create() was called");
    assert!(
        created.contains("INFO") && created.contains("module=\"talks\""),
        "{created}"
    );
    let warned = daemon.log().wait_for("two lines");
    assert!(warned.contains("WARN"), "{warned}");
    assert!(
        !warned.contains('\x1b'),
        "control characters do not reach a terminal: {warned}"
    );
    let debug = daemon.log().all("configure() was called");
    assert!(
        debug.is_empty(),
        "debug lines are left out by default: {debug:?}"
    );
}
