//! What the wall promises, shown on real processes.
//!
//! This program has no test harness, because it is also the worker: run with `probe` as its first
//! argument it goes into the jail and tries something. Every attempt has a control, the same
//! attempt without the jail, which must succeed: else the probe would prove nothing.
//!
//! Run as root it then runs everything again as an unprivileged user.

mod confine;
mod keeper;
mod measure;
mod modules;
mod probe;
mod spawn;
mod worker;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use tempfile::TempDir;

/// What each test promises, and the test.
type Promise = (&'static str, fn());

/// Where the modules are, for the run as another user, who may have no compilers.
const MODULES: &str = "COLDSHOE_TEST_MODULES";
const NOBODY: u32 = 65534;

fn main() -> ExitCode {
    if coldshoe_wall::outside::keep_if_asked() {
        return ExitCode::SUCCESS;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "probe") {
        probe::run(&args[1..]);
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    let chosen: Vec<&Promise> = spawn::PROMISES
        .iter()
        .chain(confine::PROMISES)
        .chain(keeper::PROMISES)
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
        .collect();
    if args.iter().any(|arg| arg == "--list") {
        for (name, _) in chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }

    let own_modules = match std::env::var_os(MODULES) {
        Some(built) => {
            modules::use_built(built.into());
            None
        }
        None => Some(modules::build()),
    };
    if filter.is_some_and(|filter| filter == "measure") {
        measure::run();
        return again(own_modules.as_ref(), filter);
    }
    let mut failed = 0;
    for (name, promise) in &chosen {
        print!("test {name} ... ");
        std::io::stdout().flush().expect("stdout");
        let kept = std::panic::catch_unwind(promise).is_ok();
        println!("{}", if kept { "ok" } else { "FAILED" });
        failed += usize::from(!kept);
    }
    println!(
        "test result: {} kept, {failed} failed\n",
        chosen.len() - failed
    );

    match again(own_modules.as_ref(), filter) {
        again if failed == 0 => again,
        _ => ExitCode::FAILURE,
    }
}

/// As root, the same once more as an unprivileged user.
fn again(own_modules: Option<&TempDir>, filter: Option<&String>) -> ExitCode {
    match own_modules {
        Some(modules) if rustix::process::geteuid().is_root() => {
            ExitCode::from(u8::from(!again_as_nobody(modules.path(), filter)))
        }
        _ => ExitCode::SUCCESS,
    }
}

fn again_as_nobody(modules: &Path, filter: Option<&String>) -> bool {
    println!("again as uid {NOBODY}:");
    let program = modules.join("jail-tests");
    std::fs::copy("/proc/self/exe", &program).expect("copy of the tests");
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, everybody).expect("permissions");
    Command::new(program)
        .args(filter)
        .env(MODULES, modules)
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .status()
        .expect("the tests as another user")
        .success()
}
