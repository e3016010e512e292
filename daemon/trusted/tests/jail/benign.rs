//! Modules that mean well.

use crate::place::{Daemon, frame};

/// It loads, and works after the gate has closed behind it.
fn works(profile: &str, module: &str) {
    let daemon = Daemon::under(profile);
    let mut session = daemon.run(module);
    for number in 1..=3 {
        frame(&mut session, number);
    }
    if let Some(fault) = session.fault() {
        panic!("{module} under {profile}: {fault}");
    }
    assert_eq!(
        session.counters().module_errors,
        0,
        "{module} under {profile}"
    );
    session.stop().expect("stopped");
}

#[test]
fn a_c_module_works() {
    works("single", "plain");
    works("threaded", "plain");
}

#[test]
fn a_cpp_module_with_streams_and_exceptions_works() {
    works("single", "streams");
    works("threaded", "streams");
}

#[test]
fn a_rust_module_with_a_caught_panic_works() {
    works("single", "rust");
    works("threaded", "rust");
}

#[test]
fn threads_work_in_the_profile_that_has_them() {
    works("threaded", "threads");
}

#[test]
fn openmp_works_in_the_profile_that_has_threads() {
    works("threaded", "parallel");
}

#[test]
fn what_is_refused_softly_at_run_time_does_no_harm() {
    works("single", "open-late");
}
