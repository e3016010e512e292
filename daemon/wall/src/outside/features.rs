//! What this kernel lets this process do, found out by trying.
//!
//! A version number says little: a kernel may have namespaces and a security module refuse them, or
//! grant one and no ids in it. So everything is done once, in processes that are thrown away.

use super::listener::{Answer, Listener};
use super::observe::landlock_abi;
use super::spawn::User;
use super::start;
use crate::Namespace;
use crate::inside::{NEWEST_LANDLOCK, Root, install_gate, leave_namespaces};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

/// Patience with one attempt: each takes a few milliseconds.
const PATIENCE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// How often something is tried before it counts as missing.
const TRIES: u32 = 3;

/// What is needed of Landlock, by the names that profiles use, and the ABI it came with.
const LANDLOCK: [(&str, u32); 8] = [
    ("landlock", 1),
    ("landlock_truncate", 3),
    ("landlock_network", 4),
    ("landlock_ioctl", 5),
    ("landlock_scopes", 6),
    ("landlock_audit", 7),
    ("landlock_tsync", 8),
    ("landlock_unix_connect", 9),
];

/// The kinds of namespace by the names that profiles use.
const NAMESPACES: [(&str, Namespace); 6] = [
    ("user_namespace", Namespace::User),
    ("pid_namespace", Namespace::Pid),
    ("net_namespace", Namespace::Net),
    ("ipc_namespace", Namespace::Ipc),
    ("mount_namespace", Namespace::Mount),
    ("uts_namespace", Namespace::Uts),
];

type Attempt = fn() -> Result<(), String>;

/// What is tried besides the namespaces.
const ATTEMPTS: [(&str, Attempt); 6] = [
    ("seccomp_notify", notify),
    ("no_new_privs", no_new_privs),
    ("future_write_seal", future_write_seal),
    ("mdwe", mdwe),
    ("speculation_controls", speculation_controls),
    ("core_scheduling", core_scheduling),
];

/// What was found. Features go by the names that profiles use.
#[derive(Clone, Debug)]
pub struct Features {
    landlock_abi: u32,
    found: Vec<(&'static str, Result<(), String>)>,
}

impl Features {
    /// Tries everything, as the user that workers run as. Takes some tens of milliseconds. What fails
    /// is tried again: a moment without memory or processor says nothing about the kernel.
    pub fn probe() -> Features {
        let namespaces = NAMESPACES
            .iter()
            .map(|(name, kind)| (*name, again(|| attempt(|| leave(*kind)))));
        let others = ATTEMPTS
            .iter()
            .map(|(name, work)| (*name, again(|| attempt(work))));
        Features {
            landlock_abi: landlock_abi().unwrap_or(0).min(NEWEST_LANDLOCK),
            found: namespaces.chain(others).collect(),
        }
    }

    /// The Landlock ABI to use; 0: none.
    pub fn landlock_abi(&self) -> u32 {
        self.landlock_abi
    }

    /// The namespaces that can be left.
    pub fn namespaces(&self) -> Vec<Namespace> {
        NAMESPACES
            .iter()
            .filter(|(name, _)| matches!(self.support(name), Some(Ok(()))))
            .map(|(_, kind)| *kind)
            .collect()
    }

    /// Whether the feature is there, or else what was answered. `None` if it is not of the kernel.
    pub fn support(&self, name: &str) -> Option<Result<(), String>> {
        if let Some((_, least)) = LANDLOCK.iter().find(|(known, _)| *known == name) {
            return Some(match self.landlock_abi {
                0 => Err("this kernel has no Landlock, or has it switched off".to_owned()),
                abi if abi < *least => Err(format!("Landlock ABI {abi}, it came with {least}")),
                _ => Ok(()),
            });
        }
        let found = self.found.iter().find(|(known, _)| *known == name)?;
        Some(found.1.clone())
    }

    /// Goes on as if the kernel had not the feature, to see what happens then. For tests.
    pub fn disable(&mut self, name: &str) {
        if let Some((_, least)) = LANDLOCK.iter().find(|(known, _)| *known == name) {
            self.landlock_abi = self.landlock_abi.min(least - 1);
        }
        for (known, result) in &mut self.found {
            // Without the first none of the others can be had.
            let lost = *known == name
                || (name == "user_namespace" && NAMESPACES.iter().any(|(kind, _)| kind == known));
            if lost {
                *result = Err("switched off for a test".to_owned());
            }
        }
    }
}

/// Whom workers run as: nobody, where the daemon is root.
pub fn worker_user() -> Option<User> {
    rustix::process::geteuid().is_root().then_some(User::NOBODY)
}

/// The answer of the first try that succeeds, or of the last one.
fn again(mut attempt: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    (1..TRIES).fold(attempt(), |answer, _| answer.or_else(|_| attempt()))
}

/// Does `work` in a process of its own, as the user that workers run as. It has nothing of the
/// daemon's, and ends with the calling thread.
fn attempt(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let failed = |error: io::Error| format!("it could not be tried: {error}");
    let (report, told) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let daemon = getpid();
    // SAFETY: the C library's own fork leaves its allocator usable in the copy; of what the copy
    // calls, nothing waits for a lock that another thread may have held.
    match unsafe { libc::fork() } {
        0 => {
            drop(report);
            close_all_but(&told);
            let text = match start::become_worker_user().and_then(|()| {
                // A change of user would undo it.
                die_with(daemon)?;
                work()
            }) {
                Ok(()) => "ok".to_owned(),
                Err(why) => why,
            };
            let _ = File::from(told).write_all(text.as_bytes());
            crate::inside::leave(0)
        }
        pid if pid > 0 => {
            drop(told);
            let text = hear(report);
            end(pid);
            match text.map_err(failed)?.as_str() {
                "ok" => Ok(()),
                "" => Err("it ended without a word".to_owned()),
                why => Err(why.to_owned()),
            }
        }
        _ => Err(failed(io::Error::last_os_error())),
    }
}

/// Closes what this process has of another: its lock among them, which would be held on.
fn close_all_but(kept: &OwnedFd) {
    let kept = kept.as_raw_fd().cast_unsigned();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: a copy of the daemon that uses none of these any more. On kernels without the
            // call they stay; no worker can be started there.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
        }
    }
}

/// Ties this process to the life of the thread that made it, which is one of `parent`.
fn die_with(parent: Pid) -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(os("PR_SET_PDEATHSIG"))?;
    match getppid() {
        Some(now) if now == parent => Ok(()),
        // It died before: nobody is left to ask.
        _ => crate::inside::leave(1),
    }
}

/// Everything from the pipe until its other end is closed.
fn hear(pipe: OwnedFd) -> io::Result<String> {
    let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
    if poll(&mut ready, Some(&PATIENCE))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut text = String::new();
    File::from(pipe).take(4096).read_to_string(&mut text)?;
    Ok(text)
}

/// Kills and reaps a process of our own that has not been reaped.
fn end(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: a child of ours that nobody else waits for, so the number is still its own.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &raw mut status, 0);
    }
    status
}

fn os(what: &str) -> impl FnOnce(rustix::io::Errno) -> String {
    move |errno| format!("{what}: {errno}")
}

/// Leaves a namespace as a worker does, and does in the new one what a worker does there.
fn leave(kind: Namespace) -> Result<(), String> {
    let all = match kind {
        Namespace::User => vec![Namespace::User],
        other => vec![Namespace::User, other],
    };
    leave_namespaces(&all).map_err(|error| error.to_string())?;
    match kind {
        Namespace::Mount => {
            let libraries = ["/usr/lib", "/usr/lib64", "/lib"].map(PathBuf::from);
            let readable: Vec<PathBuf> = libraries
                .into_iter()
                .filter_map(|path| path.canonicalize().ok())
                .take(1)
                .collect();
            let root = Root {
                readable: &readable,
                module: None,
                program: None,
            };
            root.enter().map_err(|error| error.to_string())
        }
        Namespace::Pid => first_process(),
        _ => Ok(()),
    }
}

/// The first process of a pid namespace.
fn first_process() -> Result<(), String> {
    // SAFETY: as in `attempt`; the copy ends at once, whatever becomes of this process.
    match unsafe { libc::fork() } {
        0 => {
            let first = rustix::process::getpid().as_raw_nonzero().get() == 1;
            crate::inside::leave(if first { 0 } else { 1 })
        }
        pid if pid > 0 => {
            let mut status = 0;
            // SAFETY: a child of ours that nobody else waits for.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
            match status {
                0 => Ok(()),
                _ => Err("the first process in it has not number 1".to_owned()),
            }
        }
        _ => Err(io::Error::last_os_error().to_string()),
    }
}

fn no_new_privs() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(os("PR_SET_NO_NEW_PRIVS"))
}

/// Filters a copy of this process that shares its descriptors, and lets one call of it go on.
fn notify() -> Result<(), String> {
    const GETPPID: u32 = libc::SYS_getppid as u32;
    no_new_privs()?;
    let (report, told) = pipe_with(PipeFlags::CLOEXEC).map_err(os("pipe"))?;
    let flags = (libc::CLONE_FILES | libc::SIGCHLD) as libc::c_ulong;
    let null = std::ptr::null_mut::<libc::c_void>();
    let this = getpid();
    // SAFETY: without CLONE_VM this is fork, with the descriptors in common; this process has one
    // thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, null, null, null, null) };
    if pid < 0 {
        return Err(format!("clone: {}", io::Error::last_os_error()));
    }
    if pid == 0 {
        use std::os::fd::IntoRawFd;
        if die_with(this).is_err() {
            crate::inside::leave(1);
        }
        // Load the call's number; the one asks, all others pass.
        let program = [
            instruction(0x20, 0, 0, 0),
            instruction(0x15, 0, 1, GETPPID),
            instruction(0x06, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
            instruction(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let listener = install_gate(&program).map_or(-1, IntoRawFd::into_raw_fd);
        let bytes = listener.to_ne_bytes();
        // SAFETY: a valid descriptor and four bytes; then a call without arguments.
        let parent = unsafe {
            libc::write(told.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
            libc::syscall(libc::SYS_getppid)
        };
        crate::inside::leave(if parent > 0 { 0 } else { 1 });
    }
    let pid = pid as libc::pid_t;
    let mut number = [0; 4];
    let mut report = File::from(report);
    let heard = report.read_exact(&mut number);
    let listener = i32::from_ne_bytes(number);
    if heard.is_err() || listener < 0 {
        end(pid);
        return Err("seccomp refuses a filter with a listener".to_owned());
    }
    // SAFETY: the copy has made it in the table that both share, and does not close it.
    let listener = Listener::new(unsafe { OwnedFd::from_raw_fd(listener) });
    let answered = listener.and_then(|listener| {
        let mut ready = [PollFd::new(&listener, PollFlags::IN)];
        poll(&mut ready, Some(&PATIENCE))?;
        let call = listener.recv()?.ok_or(io::ErrorKind::TimedOut)?;
        listener.respond(call.id, Answer::Continue)?;
        let mut status = 0;
        // SAFETY: a child of ours that nobody else waits for.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        match status {
            0 => Ok(()),
            _ => Err(io::Error::other("the call did not go on")),
        }
    });
    answered.map_err(|error| {
        end(pid);
        format!("seccomp user notification: {error}")
    })
}

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn future_write_seal() -> Result<(), String> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = memfd_create("coldshoe-probe", flags).map_err(os("memfd_create"))?;
    ftruncate(&memory, 4096).map_err(os("ftruncate"))?;
    fcntl_add_seals(&memory, SealFlags::FUTURE_WRITE).map_err(os("F_SEAL_FUTURE_WRITE"))
}

fn mdwe() -> Result<(), String> {
    let answered = prctl(libc::PR_GET_MDWE, 0).map(drop);
    answered.map_err(|error| format!("PR_SET_MDWE: {error}"))
}

/// Both kinds: a worker has switched them off, or the processor has nothing to switch off. What is in
/// force instead is told of each.
fn speculation_controls() -> Result<(), String> {
    const PR_GET_SPECULATION_CTRL: libc::c_int = 52;
    const KINDS: [(&str, libc::c_ulong); 2] = [("store bypass", 0), ("indirect branches", 1)];
    let states = KINDS.map(|(kind, number)| {
        let state = prctl(PR_GET_SPECULATION_CTRL, number);
        (
            kind,
            state.map_err(|error| error.to_string()).and_then(held),
        )
    });
    if states.iter().all(|(_, state)| state.is_ok()) {
        return Ok(());
    }
    let words = states.map(|(kind, state)| match state {
        Ok(state) => format!("{kind}: {state}"),
        Err(state) => format!("{kind}: {state}"),
    });
    Err(words.join(", "))
}

/// What the kernel's answer about one kind of speculation says, by whether a worker is held to it.
fn held(state: libc::c_int) -> Result<&'static str, String> {
    // <linux/prctl.h>
    const BY_PROCESS: libc::c_int = 1 << 0;
    const ENABLE: libc::c_int = 1 << 1;
    const DISABLE: libc::c_int = 1 << 2;
    const FORCE_DISABLE: libc::c_int = 1 << 3;
    match state {
        0 => Ok("the processor is not affected"),
        _ if state & BY_PROCESS != 0 => Ok("switched off by the worker"),
        _ if state & (DISABLE | FORCE_DISABLE) != 0 => Ok("switched off for all"),
        _ if state & ENABLE != 0 => Err("left on, and cannot be switched".to_owned()),
        other => Err(format!("the kernel answers {other:#x}")),
    }
}

/// It keeps other programs' threads off the core, and so costs them time: not taken without being
/// asked for. Where cores have one thread each there is nothing to keep off.
fn core_scheduling() -> Result<(), String> {
    match std::fs::read_to_string("/sys/devices/system/cpu/smt/active") {
        Ok(active) if active.trim() == "0" => Ok(()),
        _ => Err("not in use".to_owned()),
    }
}

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<libc::c_int> {
    let zero: libc::c_ulong = 0;
    // SAFETY: both options used here take numbers and answer one.
    match unsafe { libc::prctl(option, argument, zero, zero, zero) } {
        answer if answer < 0 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_jail::Feature;

    fn some() -> Features {
        let names = NAMESPACES.iter().map(|(name, _)| *name);
        let others = ATTEMPTS.iter().map(|(name, _)| *name);
        Features {
            landlock_abi: 7,
            found: names.chain(others).map(|name| (name, Ok(()))).collect(),
        }
    }

    #[test]
    fn every_feature_of_the_kernel_that_profiles_name_is_known() {
        let features = some();
        for feature in Feature::ALL {
            let known = features.support(feature.name()).is_some();
            // The one that is a place in the file system, and the daemon's to find.
            assert_eq!(known, feature != Feature::CgroupLimits, "{feature}");
        }
    }

    #[test]
    fn an_attempt_has_nothing_of_the_daemons_and_dies_with_it() {
        let held = File::open("/dev/zero").unwrap();
        let looked = attempt(|| {
            let mut signal = 0;
            // SAFETY: the kernel writes one int to `signal`.
            unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
            let fds = super::super::Observed::of(getpid().as_raw_nonzero().get()).fds;
            let mut others = fds.ok_or("no list")?;
            others.retain(|(fd, _)| *fd > 2);
            Err(format!("{signal} {others:?}"))
        });
        let told = looked.unwrap_err();
        assert!(told.starts_with("9 ") && told.contains("pipe:"), "{told}");
        // The other one is the list itself.
        assert_eq!(told.matches('/').count(), 3, "{told}");
        assert!(!told.contains("/dev/zero"), "{told}");
        drop(held);
    }

    #[test]
    fn a_stall_is_no_missing_feature() {
        let mut tries = 0;
        let mut fails_until = |last: u32| {
            tries = 0;
            again(|| {
                tries += 1;
                (tries >= last).then_some(()).ok_or(tries.to_string())
            })
        };
        assert_eq!(fails_until(TRIES), Ok(()));
        assert_eq!(fails_until(u32::MAX), Err(TRIES.to_string()));
        assert_eq!(fails_until(1), Ok(()));
        assert_eq!(tries, 1);
    }

    #[test]
    fn speculation_is_controlled_only_where_a_worker_is_held_to_it() {
        // PRCTL | ENABLE, PRCTL | FORCE_DISABLE, not affected, DISABLE, FORCE_DISABLE
        for state in [0x3, 0x9, 0, 0x4, 0x8] {
            assert!(held(state).is_ok(), "{state:#x}");
        }
        // ENABLE, DISABLE_NOEXEC alone
        for state in [0x2, 0x10] {
            assert!(held(state).is_err(), "{state:#x}");
        }
    }

    #[test]
    fn each_feature_can_be_switched_off_and_is_told_by_its_name() {
        for feature in Feature::ALL.iter().filter(|f| **f != Feature::CgroupLimits) {
            let mut features = some();
            features.disable(feature.name());
            assert!(
                features.support(feature.name()).unwrap().is_err(),
                "{feature}"
            );
        }
    }

    #[test]
    fn without_a_user_namespace_there_is_no_other() {
        let mut features = some();
        features.disable("pid_namespace");
        assert_eq!(features.namespaces().len(), 5);
        features.disable("user_namespace");
        assert_eq!(features.namespaces(), []);
    }

    #[test]
    fn a_cap_on_landlock_takes_what_came_later() {
        let mut features = some();
        features.disable("landlock_ioctl");
        assert_eq!(features.landlock_abi(), 4);
        assert!(features.support("landlock_network").unwrap().is_ok());
        assert!(features.support("landlock_scopes").unwrap().is_err());
    }
}
