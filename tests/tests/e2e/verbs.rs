//! The order of verbs, and verbs that fail.

use coldshoe::{BayerOrder, Error, ErrorCode, Session, Trouble};
use coldshoe_tests::{
    Daemon, Said, assert_serves, refused, run_frame, running, sensor, three_lines,
};

fn error(result: Result<(), Error>, said: Said<'_>) -> Trouble {
    match result {
        Err(Error::Refused(trouble)) => {
            three_lines(&trouble, said);
            trouble
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_verb_out_of_order_is_an_error_and_the_session_lives_on() {
    let daemon = Daemon::new();
    let mut session = Session::open(&daemon.open("good")).expect("a session");
    let order = "Configure, Start, Stop";
    let early = error(session.start(), ["Start", "is opened", order]);
    assert_eq!(early.code, ErrorCode::BadState);
    error(session.stop(), ["Stop", "is opened", order]);
    session.configure(&sensor()).expect("configured");
    session.configure(&sensor()).expect("configured again");
    error(session.stop(), ["Stop", "is configured", order]);
    session.start().expect("started");
    let again = error(session.start(), ["Start", "is running", order]);
    assert_eq!(again.code, ErrorCode::BadState);
    error(
        session.configure(&sensor()),
        ["Configure", "is running", order],
    );
    assert_eq!(run_frame(&mut session, 1024), 1.25);
    session.stop().expect("stopped");
    error(session.stop(), ["Stop", "is configured", order]);
    session.start().expect("started");
    assert_eq!(run_frame(&mut session, 2048), 1.5);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn a_verb_that_fails_says_what_the_module_logged_and_can_be_tried_again() {
    let daemon = Daemon::new();
    let fails = |state: &str| {
        format!(
            "static int tries; if (tries++ == 0) {{ say(COLDSHOE_IPA_LOG_ERROR, \"{state}\"); \
             return -EINVAL; }}"
        )
    };
    daemon.module(
        "moody",
        &[
            ("IN_CONFIGURE", &fails("no mode of 640 pixels")),
            ("IN_START", &fails("the lens is not parked")),
            ("IN_STOP", &fails("the lens does not park")),
        ],
    );
    let mut session = Session::open(&daemon.open("moody")).expect("a session");
    let told = error(
        session.configure(&sensor()),
        [
            "configure() of the module failed",
            "no mode of 640 pixels",
            "author",
        ],
    );
    assert_eq!(told.code, ErrorCode::ModuleFailed);
    error(session.start(), ["Start", "is opened", "Configure"]);
    session.configure(&sensor()).expect("at the second try");
    error(
        session.start(),
        ["start()", "the lens is not parked", "author"],
    );
    session.start().expect("at the second try");
    run_frame(&mut session, 1);
    error(
        session.stop(),
        ["stop()", "the lens does not park", "author"],
    );
    assert_serves(&daemon);
    session.close().expect("closed");
}

#[test]
fn a_session_whose_stop_failed_is_stopped_and_can_start_again() {
    let daemon = Daemon::new();
    daemon.module("sticky", &[("IN_STOP", "return -EIO")]);
    let mut session = running(&daemon, "sticky");
    error(session.stop(), ["stop()", "logged no reason", "author"]);
    session.start().expect("started again");
    assert_eq!(run_frame(&mut session, 1024), 1.25);
    session.close().expect("closed");
}

#[test]
fn a_sensor_that_cannot_be_is_refused_by_its_field() {
    let daemon = Daemon::new();
    let mut session = Session::open(&daemon.open("good")).expect("a session");
    let mut bad = sensor();
    bad.bayer_order = BayerOrder::Unspecified.into();
    match session.configure(&bad) {
        Err(told) => three_lines(&told, ["not sent", "bayer_order", ""]),
        Ok(()) => panic!("accepted"),
    }
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    run_frame(&mut session, 1);
}

#[test]
fn a_module_name_is_a_name_and_never_a_path() {
    let daemon = Daemon::new();
    for name in [
        "../good",
        "modules/good",
        "/etc/passwd",
        ".good",
        "good.so",
        "Good",
    ] {
        let told = refused(
            &daemon.open(name),
            ["is no module name", "a-z", "a module, not a path"],
        );
        assert_eq!(told.code, ErrorCode::BadArgument);
    }
    let unknown = refused(
        &daemon.open("goof"),
        ["no module \"goof\"", "goof.so", "use one of: good"],
    );
    assert_eq!(unknown.code, ErrorCode::NoSuchModule);
    match Session::open(&daemon.open("")) {
        Err(told) => three_lines(&told, ["not sent", "module is empty", ""]),
        Ok(_) => panic!("opened"),
    }
    assert_serves(&daemon);
    daemon.assert_at_rest();
}
