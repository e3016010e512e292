//! Sessions of the real daemon with real modules in the real jail: what loads, what is refused, how
//! it is told, and what is left behind.
//!
//! Run as root everything runs once more as an unprivileged user.

mod benign;
mod degraded;
mod killed;
mod modules;
mod place;
mod report;
mod violations;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

const NOBODY: u32 = 65534;

#[test]
fn everything_holds_as_an_unprivileged_user_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let everybody = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), everybody()).expect("permissions");
    let copy = |from: &std::path::Path, name: &str| {
        let to = dir.path().join(name);
        std::fs::copy(from, &to).expect("a copy");
        std::fs::set_permissions(&to, everybody()).expect("permissions");
        to
    };
    let this = copy(&std::env::current_exe().expect("own path"), "tests");
    let daemon = copy(&place::built("coldshoed"), "coldshoed");
    copy(&place::built("coldshoe-worker"), "coldshoe-worker");
    let output = Command::new(this)
        .env(modules::BUILT, modules::dir())
        .env(place::BUILT, daemon.parent().expect("a directory"))
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("the tests as another user");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
