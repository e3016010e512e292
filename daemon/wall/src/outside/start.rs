//! From a request to a running worker program.
//!
//! The new process is a copy of one thread of the daemon, with whatever locks the others held.
//! Between fork and exec it therefore allocates nothing and only makes async-signal-safe calls;
//! all it needs is laid out before.

use super::child::Child;
use super::spawn::{SpawnError, SpawnRequest, User};
use crate::{ENVIRONMENT, FD_BELL, FD_CONTROL, FD_NULL, FD_STDERR, FD_STDOUT, Limit};
use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr;

/// Descriptors that are to be moved to their numbers wait from here on, out of the way.
const PARKED: RawFd = 16;
/// Where the new process reports a failure until exec closes it.
const FD_FAILURE: RawFd = FD_BELL + 1;
/// The program, until exec closes it.
const FD_PROGRAM: RawFd = FD_FAILURE + 1;
/// More capabilities than any kernel has.
const CAPABILITIES: libc::c_ulong = 64;

/// What the new process does, in order. Its failure comes back as the position here.
#[derive(Clone, Copy)]
enum Step {
    Session,
    User,
    DeathSignal,
    Descriptors,
    CloseRange,
    Limits,
    Directory,
    Exec,
}

/// Each step in words, by its number.
const STEPS: [&str; 8] = [
    "cannot start a session of its own",
    "cannot become its user",
    "cannot tie it to the daemon's life",
    "cannot place its descriptors",
    "cannot close the daemon's descriptors (close_range, Linux 5.9)",
    "cannot set its limits of stack and core dump",
    "cannot leave the daemon's directory",
    "cannot execute it",
];

/// All that the new process needs, by value or by pointers into memory that the caller keeps.
struct Plan {
    program: RawFd,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    null: RawFd,
    stderr: RawFd,
    control: RawFd,
    bell: RawFd,
    failure: RawFd,
    daemon: libc::pid_t,
    stack: libc::rlimit,
    core: libc::rlimit,
    user: Option<User>,
}

/// Blocks all signals on this thread: a copy of it must never run a handler of the daemon's.
pub(super) fn block_signals() {
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set, which pthread_sigmask then only reads; neither can
    // fail with valid arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
    }
}

/// Starts a worker. The calling thread must have [blocked its signals](block_signals) and must
/// outlive the worker.
pub(super) fn start(request: SpawnRequest) -> Result<Child, SpawnError> {
    let program = request.program.clone();
    let failed = |step| {
        let program = program.clone();
        move |source: io::Error| SpawnError::Step {
            program,
            step,
            source,
        }
    };
    let argv = c_strings(
        &program,
        [program.clone().into_os_string()]
            .into_iter()
            .chain(request.args),
    )?;
    // Opened here: where it lies need not be open to the worker's user.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&program, flags, Mode::empty())
        .map_err(|errno| failed(STEPS[Step::Exec as usize])(errno.into()))?;
    let argv_pointers = pointers(argv.iter().map(|arg| arg.as_ptr()));
    let envp_pointers = pointers(ENVIRONMENT.iter().map(|var| var.as_ptr()));

    let prepare = || -> io::Result<_> {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (report, failure) = pipe_with(PipeFlags::CLOEXEC)?;
        let parked = [
            park(null)?,
            park(request.stderr)?,
            park(request.control)?,
            park(request.bell)?,
            park(failure)?,
            park(opened)?,
        ];
        let stack = Limit::Stack.lowered(request.stack)?;
        let core = Limit::Core.lowered(request.core)?;
        Ok((parked, report, stack, core))
    };
    let (parked, report, stack, core) =
        prepare().map_err(failed("cannot prepare its descriptors"))?;
    let [null, stderr, control, bell, failure, program_fd] =
        parked.each_ref().map(OwnedFd::as_raw_fd);
    let plan = Plan {
        program: program_fd,
        argv: argv_pointers.as_ptr(),
        envp: envp_pointers.as_ptr(),
        null,
        stderr,
        control,
        bell,
        failure,
        daemon: rustix::process::getpid().as_raw_nonzero().get(),
        stack,
        core,
        user: request.user,
    };

    // SAFETY: signals are blocked on this thread, and every pointer of the plan is into
    // `argv`, `argv_pointers`, `envp_pointers` or a constant, all alive until after the fork.
    let child = unsafe { fork(&plan) }.map_err(failed("cannot make a process"))?;
    // Ours must go, or the report would never end.
    drop(parked);
    match read_failure(report) {
        Ok(None) => Ok(child),
        Ok(Some((step, errno))) => Err(failed(step)(io::Error::from_raw_os_error(errno))),
        Err(source) => Err(failed("cannot learn whether it started")(source)),
    }
}

/// A duplicate beyond every number that is about to be filled; the original is closed.
fn park(fd: OwnedFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(fd.as_fd(), PARKED)?)
}

fn c_strings(
    program: &std::path::Path,
    strings: impl Iterator<Item = OsString>,
) -> Result<Vec<CString>, SpawnError> {
    strings
        .map(|string| {
            CString::new(string.into_vec()).map_err(|_| SpawnError::Request {
                program: PathBuf::from(program),
                reason: "its path or an argument holds a NUL byte; take it out",
            })
        })
        .collect()
}

fn pointers<'a>(
    strings: impl Iterator<Item = *const libc::c_char> + 'a,
) -> Vec<*const libc::c_char> {
    strings.chain([ptr::null()]).collect()
}

/// What the new process reported before it ended, or nothing when it executed its program.
fn read_failure(report: OwnedFd) -> io::Result<Option<(&'static str, i32)>> {
    let mut bytes = Vec::with_capacity(5);
    File::from(report).take(5).read_to_end(&mut bytes)?;
    Ok(match bytes.as_slice() {
        [] => None,
        [step, errno @ ..] => {
            let step = STEPS.get(usize::from(*step)).copied();
            let errno = <[u8; 4]>::try_from(errno).map_or(0, i32::from_ne_bytes);
            Some((step.unwrap_or("failed to start"), errno))
        }
    })
}

/// Forks; the pidfd comes with the process, so there is no moment in which its number could be
/// somebody else's. The plain call is used since some container filters refuse `clone3`.
///
/// # Safety
/// All signals are blocked on this thread, and `plan`'s pointers are valid C strings and
/// null-terminated arrays of such.
unsafe fn fork(plan: &Plan) -> io::Result<Child> {
    let flags = (libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_ulong;
    let mut pidfd: libc::c_int = -1;
    // The first three arguments are in the same order on all three architectures; the others,
    // which are not, are null.
    // SAFETY: without CLONE_VM this is fork: the copy runs on its copy of this stack. `pidfd` is
    // where the kernel writes one int.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags,
            ptr::null_mut::<libc::c_void>(),
            &raw mut pidfd,
            ptr::null_mut::<libc::c_void>(),
            ptr::null_mut::<libc::c_void>(),
        )
    };
    match pid {
        // SAFETY: this is the new process, single-threaded, signals blocked; the plan's pointers
        // are valid in its copy of the memory.
        0 => unsafe { become_worker(plan) },
        pid if pid > 0 => {
            let pid = Pid::from_raw(pid as libc::pid_t).ok_or(io::ErrorKind::InvalidData)?;
            // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child::new(pid, pidfd))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// The new process: everything up to exec.
///
/// # Safety
/// As for [`fork`]; and this is a process of its own.
unsafe fn become_worker(plan: &Plan) -> ! {
    // SAFETY: only async-signal-safe calls on numbers, on the plan's valid pointers, and on
    // values of this stack frame.
    unsafe {
        let step = steps(plan);
        let errno = *libc::__errno_location();
        let [a, b, c, d] = errno.to_ne_bytes();
        let report = [step as u8, a, b, c, d];
        // Until it is placed, its own number may be one of the daemon's descriptors.
        let placed = step as u8 > Step::Descriptors as u8;
        let failure = if placed { FD_FAILURE } else { plan.failure };
        libc::write(failure, report.as_ptr().cast(), report.len());
        libc::_exit(127)
    }
}

/// Goes through the steps and returns the one that failed, with `errno` set.
///
/// # Safety
/// As for [`become_worker`].
unsafe fn steps(plan: &Plan) -> Step {
    // SAFETY: as for `become_worker`.
    unsafe {
        if libc::setsid() < 0 {
            return Step::Session;
        }
        if let Some(user) = plan.user
            && !become_user(user)
        {
            return Step::User;
        }
        // A change of user would undo it.
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) != 0 {
            return Step::DeathSignal;
        }
        // The daemon may have died before the line above: then nobody would send the signal.
        if libc::getppid() != plan.daemon {
            libc::_exit(127);
        }
        // Ignored signals stay ignored across exec; the daemon ignores some. All zeros is the
        // kernel's default action. The C library would keep its own two from us. Those that
        // cannot be set, KILL and STOP, need not be.
        let default = [0_u64; 4];
        for signal in 1..=64 {
            let (new, old) = (default.as_ptr(), ptr::null_mut::<libc::c_void>());
            libc::syscall(libc::SYS_rt_sigaction, signal, new, old, 8_usize);
        }
        if libc::dup2(plan.null, FD_NULL) < 0
            || libc::dup2(plan.stderr, FD_STDOUT) < 0
            || libc::dup2(plan.stderr, FD_STDERR) < 0
            || libc::dup2(plan.control, FD_CONTROL) < 0
            || libc::dup2(plan.bell, FD_BELL) < 0
            || libc::dup3(plan.failure, FD_FAILURE, libc::O_CLOEXEC) < 0
            || libc::dup3(plan.program, FD_PROGRAM, libc::O_CLOEXEC) < 0
        {
            return Step::Descriptors;
        }
        let first = (FD_PROGRAM + 1) as libc::c_uint;
        if libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0_u32) != 0 {
            return Step::CloseRange;
        }
        if libc::setrlimit(Limit::Stack.resource(), &plan.stack) != 0
            || libc::setrlimit(Limit::Core.resource(), &plan.core) != 0
        {
            return Step::Limits;
        }
        if libc::chdir(c"/".as_ptr()) != 0 {
            return Step::Directory;
        }
        let mut none = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::syscall(
            libc::SYS_execveat,
            FD_PROGRAM,
            c"".as_ptr(),
            plan.argv,
            plan.envp,
            libc::AT_EMPTY_PATH,
        );
        Step::Exec
    }
}

/// Makes this process what a worker is before it executes its program: the same user, and one that
/// may look into itself. For a throw-away process.
pub(super) fn become_worker_user() -> Result<(), String> {
    // SAFETY: the calling process is a fresh copy, so it has one thread.
    let became = super::features::worker_user().is_none_or(|user| unsafe { become_user(user) });
    let dumpable = rustix::process::DumpableBehavior::Dumpable;
    if !became || rustix::process::set_dumpable_behavior(dumpable).is_err() {
        let error = io::Error::last_os_error();
        return Err(format!("it could not become what a worker is: {error}"));
    }
    Ok(())
}

/// Drops everything that root has: the bounding set first, which needs a capability. The plain
/// calls are used, since those of the C library would look for other threads to tell.
///
/// # Safety
/// As for [`become_worker`].
unsafe fn become_user(User { uid, gid }: User) -> bool {
    // SAFETY: these calls take numbers, and an empty list.
    unsafe {
        for capability in 0..CAPABILITIES {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability) != 0 {
                break;
            }
        }
        let none = ptr::null::<libc::gid_t>();
        libc::syscall(libc::SYS_setgroups, 0, none) == 0
            && libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0
            && libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0
    }
}
