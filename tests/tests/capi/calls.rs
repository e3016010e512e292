//! What callers get that do not keep the rules, and what they get that do. The checks are in
//! `calls.c`; each runs as it is, and under valgrind where there is one.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use coldshoe_tests::Daemon;

use crate::installed::{C99, Link, command, compile, succeeded, watched};

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/capi/calls.c");
    PROGRAM.get_or_init(|| compile(C99, Link::Shared, &source, "calls"))
}

/// Runs the checks of that name on sessions on `module`.
fn check(name: &str, module: &str, code: &str) {
    let daemon = Daemon::new();
    if !code.is_empty() {
        daemon.module(module, &[("IN_PROCESS", code)]);
    }
    for mut command in [Some(command(program())), watched(program())]
        .into_iter()
        .flatten()
    {
        let output = command.arg(name).arg(daemon.socket()).arg(module).output();
        succeeded(&output.expect("the checks"), name);
    }
    daemon.assert_at_rest();
}

#[test]
fn null_is_refused_everywhere_by_the_name_of_the_argument() {
    check("nulls", "good", "");
}

#[test]
fn structures_of_other_releases_are_understood_and_sizes_that_cannot_be_refused() {
    check("sizes", "good", "");
}

#[test]
fn numbers_that_name_no_ticket_are_held_as_not_in_flight() {
    check("tickets", "good", "");
}

#[test]
fn frames_that_find_no_slot_are_skipped_and_push_out_none_in_flight() {
    check("full", "hangs", "hang()");
}

#[test]
fn a_slot_is_filled_in_place_and_is_one_frames_at_a_time() {
    check("slots", "good", "");
}

#[test]
fn buffers_go_to_the_session_that_opens_and_stay_if_none_does() {
    check("buffers", "good", "");
}

#[test]
fn calls_out_of_order_are_refused_and_the_session_goes_on() {
    check("order", "good", "");
}

#[test]
fn what_the_application_asks_for_reaches_the_module_and_its_answer_the_application() {
    check("values", "good", "");
}

#[test]
fn an_answer_that_nobody_looked_for_in_time_is_late() {
    check("late", "good", "");
}

#[test]
fn the_descriptor_is_quiet_once_it_has_been_taken_note_of() {
    check("quiet", "hangs", "hang()");
}

#[test]
fn a_worker_that_dies_is_told_by_the_descriptor_the_fault_and_every_outcome() {
    check("fault", "dies", "crash()");
}

#[test]
fn a_daemon_that_dies_is_an_error_and_no_signal() {
    for mut command in [Some(command(program())), watched(program())]
        .into_iter()
        .flatten()
    {
        let daemon = Daemon::new();
        let mut child = command
            .arg("gone")
            .arg(daemon.socket())
            .arg("good")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the checks");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        daemon.kill();
        drop(child.stdin.take());
        succeeded(&child.wait_with_output().expect("the checks"), "gone");
    }
}

#[test]
fn a_handle_that_another_thread_is_using_is_busy() {
    check("busy", "hangs", "hang()");
}
