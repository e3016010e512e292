//! Tuning files: read by the daemon, understood by the module.

use std::fs;

use coldshoe::{ErrorCode, Session};
use coldshoe_isp::Statistics;
use coldshoe_tests::{Daemon, PATIENCE, Said, assert_serves, built, frame, refused, running, soft};

fn with_open_module() -> Daemon {
    let daemon = Daemon::new();
    daemon.install("open", &built("libcoldshoe_ipa_open.so"));
    daemon
}

/// The module `open` refuses this tuning file, by its path.
fn tuning_is_refused(text: &str, said: Said<'_>) {
    let daemon = with_open_module();
    let file = daemon.tune("open", "virtual", text);
    let told = refused(&daemon.open("open"), said);
    assert_eq!(told.code, ErrorCode::ModuleFailed);
    let path = file.to_str().expect("text");
    assert!(told.to_string().contains(path), "the file is named: {told}");
    daemon.assert_at_rest();
    // Without it the module's own defaults count.
    fs::remove_file(file).expect("removed");
    Session::open(&daemon.open("open"))
        .expect("a session")
        .close()
        .expect("closed");
    assert_serves(&daemon);
}

#[test]
fn a_tuning_file_that_does_not_parse_is_refused_with_its_line() {
    tuning_is_refused(
        "version = 1\nthis is no = = tuning\n",
        ["create() of the module failed", "line 2", "tuning file"],
    );
}

#[test]
fn a_tuning_file_with_unknown_keys_is_refused_by_the_key() {
    tuning_is_refused(
        "version = 1\nsharpness_of_tooth = 3\n",
        [
            "create() of the module failed",
            "sharpness_of_tooth",
            "tuning file",
        ],
    );
}

#[test]
fn a_tuning_file_that_is_not_text_is_refused() {
    let daemon = with_open_module();
    let file = daemon.tune("open", "virtual", "");
    fs::write(&file, [0xff, 0xfe, 0x00, 0x80]).expect("written");
    refused(
        &daemon.open("open"),
        ["create() of the module failed", "", "virtual.toml"],
    );
    assert_serves(&daemon);
}

#[test]
fn a_tuning_file_that_is_too_large_is_refused_by_the_daemon() {
    let daemon = Daemon::new();
    daemon.tune("good", "virtual", &"#".repeat((1 << 20) + 1));
    let told = refused(
        &daemon.open("good"),
        [
            "tuning of module \"good\"",
            "virtual.toml: it is larger than",
            "mend the file",
        ],
    );
    assert_eq!(told.code, ErrorCode::ModuleRefused);
    let mut other = daemon.open("good");
    other.camera = "another".into();
    let other = Session::open(&other).expect("only one camera has that file");
    other.close().expect("closed");
    daemon.tune("good", "virtual", &"#".repeat(1 << 20));
    assert_serves(&daemon);
    daemon.assert_at_rest();
}

#[test]
fn a_tuning_file_that_is_no_file_is_refused_and_holds_nobody_up() {
    let daemon = Daemon::new();
    let file = daemon.tune("good", "virtual", "");
    let said = [
        "tuning of module \"good\"",
        "not a regular file",
        "take it away",
    ];
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("a directory");
    refused(&daemon.open("good"), said);
    fs::remove_dir(&file).expect("removed");
    let (fifo, all) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &file, fifo, all, 0).expect("a pipe");
    refused(&daemon.open("good"), said);
    fs::remove_file(&file).expect("removed");
    assert_serves(&daemon);
    daemon.assert_at_rest();
}

#[test]
fn a_camera_name_chooses_a_tuning_file_and_never_a_path() {
    let daemon = Daemon::new();
    let says = "static char text[64] = \"tuned for \"; \
        if (init->tuning) memcpy(text + 10, init->tuning, init->tuning_size); say(3, text)";
    daemon.module("tells", &[("IN_CREATE", says)]);
    daemon.tune("tells", "default", "everybody");
    daemon.tune("tells", "imx219", "imx219");
    fs::write(daemon.tuning().join("secret.toml"), "a secret").expect("written");
    for (camera, tuning) in [
        ("imx219", "tuned for imx219"),
        ("../secret", "tuned for everybody"),
        ("/base/soc/i2c@10/imx708", "tuned for everybody"),
    ] {
        let mut open = daemon.open("tells");
        open.camera = camera.into();
        let session = Session::open(&open).expect("a session");
        daemon.log().wait_for(tuning);
        session.close().expect("closed");
    }
    assert_eq!(daemon.log().all("a secret"), [""; 0]);
}

#[test]
fn the_open_module_answers_valid_parameters_and_an_exposure_with_its_own_defaults() {
    let daemon = with_open_module();
    let mut session = running(&daemon, "open");
    let ticket = session.prepare(&frame(1, PATIENCE)).expect("a slot");
    let answer = session.wait(ticket).answer().expect("an answer");
    soft(answer.params);
    let mut statistics = vec![0; Statistics::SIZE];
    Statistics::empty(2, 64, 48)
        .encode(&mut statistics)
        .expect("valid statistics");
    let ticket = session.submit(&frame(2, PATIENCE), &statistics);
    let outcome = session.wait(ticket.expect("a slot"));
    assert!(outcome.is_fresh(), "{outcome:?}");
    let answer = outcome.answer().expect("fresh");
    assert!(answer.wanted.exposure_us.is_some_and(|us| us > 0.0));
    soft(answer.params);
    // What is no statistics at all is the module's error, not its end.
    let ticket = session.submit(&frame(3, PATIENCE), b"no statistics");
    assert!(!session.wait(ticket.expect("a slot")).is_fresh());
    assert_eq!(session.counters().module_errors, 1);
    session.close().expect("closed");
    daemon.assert_at_rest();
}
