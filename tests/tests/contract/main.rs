//! Promises about what a module's answers may hold: a hostile module for each refusal, and what the
//! contract is asked for before a frame flows.
//!
//! `make hostile` prints the table of refusals.
#![forbid(unsafe_code)]

mod audit;
mod opening;
mod refusals;
mod standing;
mod targets;

use std::path::Path;
use std::time::Duration;

use coldshoe::{Frame, Open, Session};
use coldshoe_tests::{Daemon, Place, sensor};

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/modules/contract.c");
/// Far beyond any answer.
const LONG: Duration = Duration::from_secs(5);

/// Compiles a module that does this in each frame.
fn module(place: &Place, name: &str, defines: &[(&str, &str)]) {
    let flags: Vec<String> = defines
        .iter()
        .map(|(hole, code)| format!("-D{hole}={code}"))
        .collect();
    place.compile("cc", name, Path::new(MODULE), &flags);
}

fn open(place: &Place, module: &str) -> Open {
    Open {
        params_format: "rkisp1".into(),
        params_capacity: 128 << 10,
        ..place.open(module)
    }
}

/// A session that runs.
fn streaming(open: &Open) -> Session {
    let mut session = Session::open(open).expect("a session");
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    session
}

fn frame(number: u64) -> Frame {
    let mut frame = coldshoe_tests::frame(number, LONG);
    frame.applied.exposure_us = 100.0;
    frame.applied.lens_position = Some(0.0);
    frame
}

fn daemon() -> Daemon {
    Daemon::start(Place::new())
}
