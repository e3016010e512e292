//! What is told of a worker's confinement.

use std::fs;

use crate::place::{Daemon, frame};

fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker is there");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("a field of status").trim().to_owned()
}

#[test]
fn the_report_says_what_the_kernel_says() {
    let daemon = Daemon::start(|_| {});
    let mut session = daemon.run("plain");
    frame(&mut session, 1);
    let (pid, report) = (session.worker_pid(), session.confinement());
    assert!(report.no_new_privs);
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(
        status(pid, "Seccomp_filters"),
        report.seccomp_filters.to_string()
    );
    assert!(report.seccomp_filters >= 1, "the gate");
    assert_eq!(status(pid, "Speculation_Store_Bypass"), report.speculation);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(pid, set), "0000000000000000", "{set}");
    }
    assert_eq!(report.capabilities, 0);
    let notes = &report.notes;
    assert!(
        !notes.iter().any(|note| note.contains("DUMPABLE")),
        "{notes:?}"
    );
    let file = fs::metadata(format!("/proc/{pid}/status")).expect("there");
    assert_eq!(
        std::os::unix::fs::MetadataExt::uid(&file),
        0,
        "closed to its user"
    );
    assert_eq!(
        report.namespaces,
        ["user", "pid", "net", "ipc", "mount", "uts"]
    );
    assert!(
        status(pid, "NSpid").ends_with("\t1"),
        "the first of its namespace"
    );
    assert_eq!(report.degraded, [""; 0]);
}

#[test]
fn the_report_tells_seals_rights_and_limits() {
    let daemon = Daemon::start(|_| {});
    let session = daemon.run("plain");
    let report = session.confinement();
    assert_eq!(
        report.seals,
        [
            "forward segment: seal, shrink, grow, future_write",
            "return segment: seal, shrink, grow",
            "module: seal, shrink, grow, write",
        ]
    );
    let rights = &report.landlock_rights;
    for right in [
        "write_file",
        "execute",
        "connect_tcp",
        "ioctl_dev",
        "scope: signals",
    ] {
        assert!(rights.iter().any(|known| known == right), "{right}");
    }
    let limit = |name: &str| {
        let found = report.limits.iter().find(|limit| limit.name == name);
        found.map(|limit| limit.value)
    };
    assert_eq!(limit("nofile"), Some(64));
    assert_eq!(limit("nproc"), Some(1));
    assert_eq!(limit("fsize"), Some(0));
    assert_eq!(limit("stack"), Some(8 << 20));
}

#[test]
fn a_worker_of_root_is_nobody() {
    let daemon = Daemon::start(|_| {});
    let session = daemon.run("plain");
    let own = rustix::process::geteuid().as_raw();
    let expected = if own == 0 { 65534 } else { own };
    let ids = status(session.worker_pid(), "Uid");
    assert!(
        ids.split_whitespace().all(|id| id == expected.to_string()),
        "{ids}"
    );
    if own == 0 {
        assert_eq!(status(session.worker_pid(), "Groups"), "");
    }
}
