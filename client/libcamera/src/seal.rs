//! Nothing but the relay's own work is possible once it is set up.

use std::collections::BTreeMap;

use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::error::Error;

/// What the relay does, and what its memory and its end need.
const CALLS: [c_long; 36] = [
    // Messages, and copies of buffers.
    libc::SYS_ppoll,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    // Memory, none of it executable: see below.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    // Time, signals, the end.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
/// Calls that only some machines have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];
/// What makes memory, and the place of its protection.
const PROTECTED: [c_long; 2] = [libc::SYS_mmap, libc::SYS_mprotect];
const PROTECTION: u8 = 2;
const EXECUTABLE: u64 = 4;

/// Gives up every file, new privileges, and all calls that a relay does not make. Kernels without
/// Landlock go without that part: what comes from the worker is never run here.
pub(crate) fn seal() -> Result<(), Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Seal(error.to_string());
    rustix::thread::set_no_new_privs(true).map_err(|error| failed(&error))?;
    Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.no_new_privs(true).restrict_self())
        .map_err(|error| failed(&error))?;
    let program = filter().map_err(|error| failed(&error))?;
    seccompiler::apply_filter(&program).map_err(|error| failed(&error))
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let calls = CALLS.iter().chain(OLDER);
    let mut rules: BTreeMap<_, _> = calls.map(|call| (*call, Vec::new())).collect();
    let (bits, none) = (SeccompCmpOp::MaskedEq(EXECUTABLE), 0);
    let data = SeccompCondition::new(PROTECTION, SeccompCmpArgLen::Qword, bits, none)?;
    for call in PROTECTED {
        rules.insert(call, vec![SeccompRule::new(vec![data.clone()])?]);
    }
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, machine)?.try_into()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::UdpSocket;
    use std::thread;

    use super::*;

    #[test]
    fn a_sealed_thread_opens_and_reaches_nothing() {
        let reaches = || {
            let file = File::open("/proc/self/status");
            let socket = UdpSocket::bind("127.0.0.1:0");
            let process = std::process::Command::new("true").spawn();
            [
                file.map(drop),
                socket.map(drop),
                process.and_then(|mut child| child.wait().map(drop)),
            ]
        };
        let sealed = thread::spawn(move || {
            // Without it they work.
            assert!(reaches().iter().all(Result::is_ok));
            seal().unwrap();
            reaches().map(|result| result.map_err(|error| error.kind()))
        });
        assert_eq!(sealed.join().unwrap(), [Err(PermissionDenied); 3]);
    }
}
