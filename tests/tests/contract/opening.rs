//! What is asked of a contract before a frame flows.

use coldshoe::{Error, ErrorCode, Open, Session};
use std::os::fd::AsFd;

use coldshoe_tests::{Daemon, Place, Raw, Segment, refused, request, sensor, three_lines};

use crate::{daemon, frame, module, open, streaming};

/// A format of our own: rkisp1 under another name.
fn mine() -> String {
    let (_, text) = coldshoe::Contract::BUILTIN[0];
    text.replacen("format = \"rkisp1\"", "format = \"mine\"", 1)
}

#[test]
fn a_session_of_a_format_without_a_contract_does_not_open() {
    let daemon = daemon();
    module(&daemon, "hidden", &[("PARAMS_FORMAT", "\"hidden\"")]);
    let hidden = Open {
        params_format: "hidden".into(),
        ..open(&daemon, "hidden")
    };
    let error = Session::open(&hidden).expect_err("nobody knows it");
    assert!(matches!(error, Error::Contract(_)), "{error}");
    three_lines(&error, ["nobody knows", "`hidden`", "contract"]);

    // A client that does not ask the library.
    let raw = Raw::greeted(&daemon.socket());
    let told = refused_raw(raw, &hidden);
    assert_eq!(told.code(), ErrorCode::BadArgument);
    assert!(
        told.what.contains("hidden") && told.remedy.contains("--contract-dir"),
        "{told:?}"
    );

    // One that brings a contract of its own, which the daemon does not know.
    let text = mine().replacen("\"mine\"", "\"hidden\"", 1);
    let own = Open {
        contract: Some(text),
        ..hidden
    };
    refused(&own, ["hidden", "known are", "--contract-dir"]);
    daemon.assert_at_rest();
}

fn refused_raw(mut raw: Raw, open: &Open) -> coldshoe_control::client::Error {
    let forward = Segment::of(open).make();
    raw.refused(request(open), &[forward.as_fd()])
}

#[test]
fn a_device_maker_brings_a_contract_along() {
    let place = Place::new();
    let dir = place.tuning().join("contracts");
    std::fs::create_dir(&dir).expect("a directory in our own");
    std::fs::write(dir.join("mine.toml"), mine()).expect("written");
    let mut command = place.coldshoed();
    command.arg("--contract-dir").arg(&dir);
    let daemon = Daemon::start_with(place, command);
    module(&daemon, "mine", &[("PARAMS_FORMAT", "\"mine\"")]);
    let mine = Open {
        params_format: "mine".into(),
        contract: Some(mine()),
        ..open(&daemon, "mine")
    };
    let mut session = streaming(&mine);
    let ticket = session.submit(&frame(1), &[1; 64]);
    let outcome = session.wait(ticket.expect("started"));
    assert_eq!(outcome.answer().expect("fresh").params.len(), 24);
    session.close().expect("closed");

    // The text must be that of the format.
    let other = Open {
        params_format: "rkisp1".into(),
        ..mine
    };
    let error = Session::open(&other).expect_err("another format");
    three_lines(&error, ["nobody knows", "`mine`", "contract"]);
    daemon.assert_at_rest();
}

#[test]
fn a_module_that_declares_blocks_outside_the_contract_is_refused_at_load() {
    let daemon = daemon();
    module(&daemon, "declares", &[("BLOCKS", "(1 << 3 | 1ull << 40)")]);
    let told = refused(
        &open(&daemon, "declares"),
        ["declares", "type 40", "contract show"],
    );
    assert_eq!(told.code, ErrorCode::ModuleRefused);
    // Control: the same module without the declaration loads.
    module(&daemon, "modest", &[]);
    streaming(&open(&daemon, "modest")).close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_sensor_whose_shortest_exposure_fits_no_frame_is_refused() {
    let daemon = daemon();
    module(&daemon, "good", &[]);
    let mut session = Session::open(&open(&daemon, "good")).expect("a session");
    let mut deep = sensor();
    deep.exposure_margin_lines = 100_000;
    let error = session.configure(&deep).expect_err("no frame is so long");
    assert!(matches!(error, Error::Sensor(_)), "{error}");
    three_lines(&error, ["sensor", "does not fit", "driver"]);
    session.configure(&sensor()).expect("another one");
    session.close().expect("closed");
    daemon.assert_at_rest();
}
