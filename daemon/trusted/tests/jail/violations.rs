//! Modules that do not, and what is said of them.

use coldshoe::ErrorCode;

use crate::place::{Daemon, fatal_frame};

fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn a_constructor_that_breaks_out_is_caught_while_loading() {
    let trouble = Daemon::start(|_| {}).refusal("exec-early");
    contains(
        &trouble.what,
        &["\"exec-early\"", "break out", "while loading"],
    );
    contains(&trouble.why, &["execve(0x", " in LOAD", "+0x"]);
}

#[test]
fn a_constructor_that_forges_a_filter_is_caught_while_loading() {
    let trouble = Daemon::start(|_| {}).refusal("forge");
    contains(&trouble.why, &["seccomp(0x1, 0x0", " in LOAD"]);
}

#[test]
fn a_frame_that_breaks_out_is_caught_and_told_by_call_and_place() {
    let daemon = Daemon::start(|_| {});
    let mut session = daemon.run("exec-late");
    let trouble = fatal_frame(&mut session);
    contains(&trouble.what, &["\"exec-late\"", "break out", "in a frame"]);
    contains(&trouble.why, &["execve(0x", "libc.so.6+0x", " in RUN"]);
}

#[test]
fn threads_are_refused_in_the_profile_without_them_and_the_way_out_is_told() {
    let daemon = Daemon::start(|_| {});
    for module in ["threads", "parallel"] {
        let trouble = daemon.refusal(module);
        contains(&trouble.what, &["thread"]);
        contains(&trouble.remedy, &["--profile threaded"]);
    }
}

#[test]
fn aborting_is_no_breakout() {
    for (profile, word) in [("single", "abort()"), ("threaded", "abort()")] {
        let daemon = Daemon::under(profile);
        let trouble = daemon.refusal("abort-early");
        contains(&trouble.why, &[word]);
        let mut session = daemon.run("abort-late");
        contains(&fatal_frame(&mut session).why, &[word]);
    }
}

#[test]
fn asking_too_often_is_a_violation() {
    let daemon = Daemon::start(|_| {});
    let mut session = daemon.run("nag");
    contains(&fatal_frame(&mut session).what, &["kept asking"]);
}

#[test]
fn asking_too_often_while_loading_is_a_violation() {
    let trouble = Daemon::start(|_| {}).refusal("nag-early");
    let what = ["more than loading takes", "while loading"];
    contains(&trouble.what, &what);
    contains(&trouble.why, &["access(0x", "libc.so.6+0x", " in LOAD"]);
}

#[test]
fn a_map_without_end_is_not_read_to_its_end() {
    let daemon = Daemon::start(|_| {});
    let mut session = daemon.run("long-map");
    contains(
        &fatal_frame(&mut session).why,
        &["execve(0x", "its map is too long", " in RUN"],
    );
}

#[test]
fn a_crash_and_an_exit_are_told_as_such() {
    let daemon = Daemon::start(|_| {});
    for (module, words) in [("crash", "SIGSEGV"), ("quit", "exited with code 7")] {
        let mut session = daemon.run(module);
        contains(&fatal_frame(&mut session).why, &[words]);
    }
}

#[test]
fn a_module_that_hangs_while_loading_is_killed_at_the_deadline() {
    let daemon = Daemon::start(|config| {
        config.timeouts.load = std::time::Duration::from_millis(300);
    });
    let trouble = daemon.refusal("hang");
    assert_eq!(trouble.code, ErrorCode::ModuleFailed);
    contains(&trouble.what, &["\"hang\" hung while loading"]);
}

#[test]
fn a_module_sees_no_files_and_no_other_process() {
    Daemon::start(|_| {}).run("look");
}
