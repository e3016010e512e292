//! Sessions through the client library, and what tests say about them.

use std::time::Duration;

use coldshoe::{
    Applied, BayerOrder, Controls, Error, Frame, Moment, Open, Sensor, Session, Trouble,
};
use coldshoe_isp::soft::SoftParams;

use crate::{Daemon, PATIENCE, Place, ends, until};

/// A sensor as there are many.
pub fn sensor() -> Sensor {
    Sensor {
        model: "virtual".into(),
        width: 640,
        height: 480,
        bayer_order: BayerOrder::Rggb.into(),
        bit_depth: 10,
        line_length_us: 20.0,
        min_exposure_us: 20.0,
        max_exposure_us: 30_000.0,
        min_analogue_gain: 1.0,
        max_analogue_gain: 16.0,
        max_digital_gain: 4.0,
        black_level: 0.0625,
        exposure_delay: 2,
        gain_delay: 1,
        min_frame_duration_us: 10_000.0,
        max_frame_duration_us: 33_333.0,
        min_lens_position: 0.0,
        max_lens_position: 12.5,
        exposure_margin_lines: 0,
    }
}

/// A frame that the pipeline waits for as long as `patience`.
pub fn frame(number: u64, patience: Duration) -> Frame {
    let now = Moment::now();
    Frame {
        number,
        sensor_timestamp: now,
        deadline: now + patience,
        applied: Applied {
            exposure_us: 5000.0,
            analogue_gain: 2.0,
            digital_gain: 1.0,
            black_level: 0.0625,
            lens_position: None,
        },
        controls: Controls::default(),
    }
}

/// A session on `module` that runs.
pub fn running(place: &Place, module: &str) -> Session {
    let mut session = Session::open(&place.open(module)).expect("a session");
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    session
}

/// Runs one frame and returns the red gain that the module answered: the test module makes it
/// 1 + (frame mod 8192) / 4096.
pub fn run_frame(session: &mut Session, number: u64) -> f64 {
    let ticket = session
        .submit(&frame(number, PATIENCE), &[7; 64])
        .expect("a free slot");
    let outcome = session.wait(ticket);
    assert!(outcome.is_fresh(), "{outcome:?}");
    let params = soft(outcome.answer().expect("fresh").params);
    match params.wb_gains {
        coldshoe_isp::soft::Update::Set(gains) => gains.gains()[0],
        other => panic!("no white balance gains: {other:?}"),
    }
}

/// Decodes a parameter buffer.
pub fn soft(params: &[u8]) -> SoftParams {
    SoftParams::decode(params).expect("coldshoe-soft parameters")
}

/// The daemon still does all that a client needs.
pub fn assert_serves(place: &Place) {
    let mut session = running(place, "good");
    assert_eq!(run_frame(&mut session, 1024), 1.25);
    session.stop().expect("stopped");
    session.close().expect("closed");
}

/// What an error must contain: in its first line, after `why:` and after `try:`.
pub type Said<'a> = [&'a str; 3];

/// Checks that an error has exactly three lines, each with something in it, and what it must say.
pub fn three_lines(error: &impl std::fmt::Display, said: Said<'_>) {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let [what, why, remedy] = lines.as_slice() else {
        panic!("not three lines:\n{text}");
    };
    let why = why.strip_prefix("  why: ").expect(&text);
    let remedy = remedy.strip_prefix("  try: ").expect(&text);
    for (line, part) in [*what, why, remedy].into_iter().zip(said) {
        assert!(!line.trim().is_empty(), "an empty line:\n{text}");
        assert!(
            line.contains(part),
            "{part:?} is not in {line:?} of\n{text}"
        );
    }
}

/// The daemon refuses to open this session, and says so.
pub fn refused(open: &Open, said: Said<'_>) -> Trouble {
    match Session::open(open) {
        Err(Error::Refused(trouble)) => {
            three_lines(&trouble, said);
            trouble
        }
        Err(other) => panic!("another error: {other}"),
        Ok(session) => panic!("opened: {:?}", session.module()),
    }
}

/// Waits until the session knows that its worker has failed, and checks what it says.
pub fn fault(daemon: &Daemon, session: &mut Session, said: Said<'_>) {
    assert!(ends(session.worker_pidfd()), "the worker lives on");
    until(
        "the session learns of its worker's failure",
        || session.fault().is_some(),
        || daemon.turn(),
    );
    three_lines(session.fault().expect("seen above"), said);
}
