//! The examples do what they show.

use std::path::Path;
use std::process::{Command, Output};

use coldshoe_tests::{Daemon, PATIENCE, built};

use crate::installed::{C99, CPP11, Link, command, compile, source, succeeded, watched};

/// Frames of the example, and the one that is prepared.
const FRAMES: u32 = 30 + 1;

fn pipeline(link: Link, name: &str) -> std::path::PathBuf {
    compile(C99, link, &source("client/capi/examples/pipeline.c"), name)
}

/// Runs the example with deadlines that no machine misses.
fn film(mut command: Command, daemon: &Daemon, module: &str) -> Output {
    command
        .arg(daemon.socket())
        .arg(module)
        .arg(PATIENCE.as_millis().to_string())
        .env_remove("XDG_RUNTIME_DIR");
    command.output().expect("the example")
}

/// Every frame has one outcome; a slow machine may skip some, and holds none.
fn assert_filmed(said: &str) {
    let outcomes = said
        .lines()
        .find_map(|line| line.strip_prefix("outcomes: "));
    let numbers = outcomes.expect(said).split(", ").map(|part| {
        let number = part.split(' ').next().expect("a number");
        number.parse().expect("a number")
    });
    let numbers: Vec<u32> = numbers.collect();
    let &[fresh, late, held, skipped] = numbers.as_slice() else {
        panic!("{said}");
    };
    assert_eq!((fresh + skipped, late, held), (FRAMES, 0, 0), "{said}");
    assert!(fresh > 1, "{said}");
    let udmabuf = said.lines().find(|line| line.starts_with("udmabuf: "));
    let there = Path::new("/dev/udmabuf").exists();
    let expected = if there { "is a dmabuf of" } else { "not there" };
    assert!(
        udmabuf.is_some_and(|line| line.contains(expected)),
        "{said}"
    );
}

#[test]
fn the_pipeline_in_c_films_with_the_open_module() {
    let daemon = Daemon::new();
    daemon.install("open", &built("libcoldshoe_ipa_open.so"));
    let program = pipeline(Link::Shared, "shared");
    let said = succeeded(&film(command(&program), &daemon, "open"), "pipeline");
    assert_filmed(&said);
    assert!(
        said.contains("module: open ") && said.contains("\nseccomp: filter"),
        "{said}"
    );
    daemon.assert_at_rest();
}

#[test]
fn linked_statically_it_does_the_same() {
    let daemon = Daemon::new();
    let program = pipeline(Link::Static, "static");
    let mut alone = Command::new(&program);
    alone.env_remove("LD_LIBRARY_PATH");
    assert_filmed(&succeeded(&film(alone, &daemon, "good"), "pipeline"));
    daemon.assert_at_rest();
}

#[test]
fn it_reads_and_writes_what_is_its_own_and_frees_all_of_it() {
    let Some(watched) = watched(&pipeline(Link::Shared, "watched")) else {
        return;
    };
    let daemon = Daemon::new();
    assert_filmed(&succeeded(&film(watched, &daemon, "good"), "pipeline"));
    daemon.assert_at_rest();
}

#[test]
fn a_module_that_dies_ends_it_with_the_reason() {
    let daemon = Daemon::new();
    daemon.module("dies", &[("IN_PROCESS", "if (in->frame > 3) crash()")]);
    let program = pipeline(Link::Shared, "dies");
    let output = film(command(&program), &daemon, "dies");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("\n  why: ") && said.contains("\n  try: "),
        "{said}"
    );
    daemon.assert_at_rest();
}

#[test]
fn the_example_in_cpp_opens_a_session_or_says_why_not() {
    let daemon = Daemon::new();
    let example = source("client/capi/examples/open.cpp");
    let program = compile(CPP11, Link::Shared, &example, "open");
    let run = |socket: &Path, module: &str| {
        let mut command = command(&program);
        command
            .arg(socket)
            .arg(module)
            .output()
            .expect("the example")
    };
    let said = succeeded(&run(&daemon.socket(), "good"), "open");
    assert!(said.starts_with("test from "), "{said}");
    for (socket, module, expected) in [
        (
            daemon.socket().as_path(),
            "missing",
            "there is no module \"missing\"",
        ),
        (
            Path::new("/nonexistent"),
            "good",
            "no coldshoed at /nonexistent",
        ),
    ] {
        let output = run(socket, module);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(expected) && said.contains("\n  try: "),
            "{said}"
        );
    }
    daemon.assert_at_rest();
}
