//! Modules that do not load.

use std::fs;
use std::time::Duration;

use coldshoe::ErrorCode;
use coldshoe::Session;
use coldshoe_tests::{
    Daemon, Library, PATIENCE, Place, Said, assert_serves, ends, frame, refused, sensor,
    three_lines, until,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Opening a session on this module fails like this, and nobody else notices.
fn does_not_load(holes: &[(&str, &str)], code: ErrorCode, said: Said<'_>) {
    let daemon = Daemon::new();
    daemon.module("bad", holes);
    fails(&daemon, code, said);
}

fn fails(daemon: &Daemon, code: ErrorCode, said: Said<'_>) {
    let told = refused(&daemon.open("bad"), said);
    assert_eq!(told.code, code, "{told}");
    assert!(told.what.contains("\"bad\""), "names the module: {told}");
    daemon.assert_at_rest();
    assert_serves(daemon);
    daemon.assert_at_rest();
}

#[test]
fn a_module_without_the_symbol_is_refused() {
    does_not_load(
        &[("SYMBOL", "another_entry")],
        ErrorCode::ModuleRefused,
        [
            "no coldshoe module",
            "coldshoe_ipa_module()",
            "install a build",
        ],
    );
}

#[test]
fn a_module_of_another_abi_version_is_refused_with_both_versions() {
    does_not_load(
        &[("ABI_VERSION", "7")],
        ErrorCode::ModuleRefused,
        [
            "no coldshoe module",
            "version 7 of the module interface, this worker speaks 1",
            "fits",
        ],
    );
}

#[test]
fn a_module_whose_table_is_too_short_is_refused() {
    does_not_load(
        &[("TABLE_SIZE", "16")],
        ErrorCode::ModuleRefused,
        ["no coldshoe module", "16 bytes", "install a build"],
    );
}

#[test]
fn a_module_that_does_not_speak_the_formats_is_refused_with_those_it_does() {
    does_not_load(
        &[("STATS_FORMAT", "\"acme-stats-3\"")],
        ErrorCode::ModuleRefused,
        [
            "cannot turn coldshoe-stats-1 into coldshoe-soft",
            "it offers: acme-stats-3 → coldshoe-soft",
            "install a build",
        ],
    );
}

#[test]
fn a_module_with_threads_is_refused_by_a_profile_without() {
    does_not_load(
        &[("FLAGS", "COLDSHOE_IPA_FLAG_THREADS")],
        ErrorCode::ModuleRefused,
        ["is refused", "\"single\" does not allow", "one thread"],
    );
}

#[test]
fn a_module_that_needs_a_missing_library_is_refused_by_the_loader() {
    does_not_load(
        &[("IN_CREATE", "extern int acme_missing(void); acme_missing()")],
        ErrorCode::ModuleFailed,
        [
            "dynamic loader",
            "acme_missing",
            "install what the module needs",
        ],
    );
}

#[test]
fn a_file_that_is_no_module_is_refused_by_its_path() {
    let daemon = Daemon::new();
    let file = daemon.module_file("bad");
    let refuses = |why: &str, remedy: &str| {
        fails(
            &daemon,
            ErrorCode::ModuleRefused,
            ["is refused", why, remedy],
        );
    };
    fs::write(&file, "#!/bin/sh\necho I am a module\n").expect("written");
    refuses("bad.so: it is not an ELF file", "install a build");
    fs::write(&file, "").expect("written");
    refuses("not an ELF file", "install a build");
    fs::write(&file, [0x7f, b'E', b'L', b'F']).expect("written");
    refuses("bad.so: it is", "install");
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("a directory");
    refuses("not a regular file", "put a regular file there");
}

#[test]
fn a_pipe_in_the_module_directory_is_refused_and_holds_nobody_up() {
    let daemon = Daemon::new();
    let pipe = daemon.module_file("bad");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    fails(
        &daemon,
        ErrorCode::ModuleRefused,
        [
            "is refused",
            "not a regular file",
            "put a regular file there",
        ],
    );
}

#[test]
fn a_module_that_is_cut_off_is_refused_as_damaged() {
    let daemon = Daemon::new();
    let whole = fs::read(daemon.module_file("good")).expect("compiled");
    for len in [64, 200, whole.len() / 2] {
        fs::write(daemon.module_file("bad"), &whole[..len]).expect("written");
        fails(
            &daemon,
            ErrorCode::ModuleRefused,
            [
                "is refused",
                "bad.so: it is damaged",
                "install the module again",
            ],
        );
    }
}

#[test]
fn a_module_of_another_architecture_is_refused_with_both_names() {
    let daemon = Daemon::new();
    let mut elf = fs::read(daemon.module_file("good")).expect("compiled");
    let (machine, name) = match std::env::consts::ARCH {
        "aarch64" => (62_u16, "x86_64"),
        _ => (183, "aarch64"),
    };
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    fs::write(daemon.module_file("bad"), elf).expect("written");
    let here = std::env::consts::ARCH;
    let why = format!("built for {name}, this machine is {here}");
    fails(
        &daemon,
        ErrorCode::ModuleRefused,
        ["is refused", &why, here],
    );
}

#[test]
fn a_module_whose_create_fails_is_told_with_the_reason_it_logged() {
    let reason = r#"say(COLDSHOE_IPA_LOG_ERROR, "no lens table for this camera"); return -EINVAL"#;
    does_not_load(
        &[("IN_CREATE", reason)],
        ErrorCode::ModuleFailed,
        [
            "create() of the module failed",
            "no lens table for this camera",
            "author",
        ],
    );
}

#[test]
fn a_module_whose_create_fails_without_a_word_is_told_with_its_code() {
    does_not_load(
        &[("IN_CREATE", "return -ENODEV")],
        ErrorCode::ModuleFailed,
        [
            "create() of the module failed",
            "returned -19 (No such device",
            "author",
        ],
    );
}

#[test]
fn a_module_that_exits_in_create_is_told_with_its_code() {
    does_not_load(
        &[("IN_CREATE", "_exit(3)")],
        ErrorCode::ModuleFailed,
        [
            "failed while loading",
            "exited with code 3",
            "see what the module logged",
        ],
    );
}

#[test]
fn a_module_that_exits_well_in_create_has_failed_all_the_same() {
    does_not_load(
        &[("IN_CREATE", "exit(0)")],
        ErrorCode::ModuleFailed,
        [
            "failed while loading",
            "exited with code 0",
            "see what the module logged",
        ],
    );
}

#[test]
fn a_module_that_crashes_in_a_constructor_is_told_with_the_signal() {
    does_not_load(
        &[("IN_CONSTRUCTOR", "crash()")],
        ErrorCode::ModuleFailed,
        ["failed while loading", "crashed (SIGSEGV)", "author"],
    );
}

#[test]
fn a_module_that_does_what_it_must_not_in_a_constructor_is_killed() {
    does_not_load(
        &[("IN_CONSTRUCTOR", "socket(AF_INET, SOCK_STREAM, 0)")],
        ErrorCode::ModuleFailed,
        [
            "out of its jail while loading",
            "called socket(0x2, ",
            "author",
        ],
    );
}

#[test]
fn a_module_that_hangs_while_loading_is_killed_at_the_daemons_deadline() {
    let daemon = Library::start(|config| config.timeouts.load = Duration::from_millis(500));
    daemon.module("constructor", &[("IN_CONSTRUCTOR", "hang()")]);
    daemon.module("create", &[("IN_CREATE", "hang()")]);
    for module in ["constructor", "create"] {
        let told = refused(
            &daemon.open(module),
            ["hung while loading", "no answer within 500 ms", "author"],
        );
        assert_eq!(told.code, ErrorCode::ModuleFailed);
        // It is reaped when the kernel is done with it.
        let killed = || daemon.workers().is_empty();
        until("its worker is gone", killed, std::thread::yield_now);
    }
}

#[test]
fn a_module_that_hangs_in_a_verb_is_killed_at_the_daemons_deadline() {
    let daemon = Library::start(|config| config.timeouts.order = Duration::from_secs(1));
    daemon.module("configure", &[("IN_CONFIGURE", "hang()")]);
    daemon.module("start", &[("IN_START", "hang()")]);
    daemon.module("stop", &[("IN_STOP", "hang()")]);
    daemon.module("process", &[("IN_PROCESS", "hang()")]);
    // At the same time: a session that hangs holds up no other.
    std::thread::scope(|scope| {
        for (module, verb) in [
            ("configure", "configure"),
            ("start", "start"),
            ("stop", "stop"),
            ("process", "stop"),
        ] {
            let place: &Place = &daemon;
            scope.spawn(move || hangs(place, module, verb));
        }
    });
}

/// Configures, starts, runs into a frame and stops: the module hangs in `verb` on the way.
fn hangs(place: &Place, module: &str, verb: &str) {
    let mut session = Session::open(&place.open(module)).expect("a session");
    let pidfd = session.worker_pidfd().try_clone().expect("a copy");
    let told = session
        .configure(&sensor())
        .and_then(|()| session.start())
        .and_then(|()| {
            let _ticket = session.submit(&frame(1, PATIENCE), &[0; 64]);
            session.stop()
        })
        .expect_err("the module hangs");
    let what = format!("hung in {verb}");
    three_lines(&told, [&what, "no answer within 1000 ms", "author"]);
    assert!(ends(pidfd), "its worker was killed");
}
