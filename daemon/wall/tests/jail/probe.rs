//! The worker: goes into the jail, or not, and tries something.
//!
//! Exit code 0: the attempt succeeded. An errno: it failed so. [`NOT_CONFINED`]: the jail was
//! refused, and the reason is on stderr.

use crate::worker::{DIVIDED, ENTERED, GATED, LOADED, READY, profile_of};
use coldshoe_jail::Arch;
use coldshoe_wall::inside::{self, ConfineError, Confined, Confinement, Stage};
use coldshoe_wall::{FD_CONTROL, Limit, Namespace};
use rustix::fd::BorrowedFd;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

pub const NOT_CONFINED: i32 = 200;
pub const WRONG_ANSWER: i32 = 201;
/// A filter that lets everything pass.
const OPEN: [u8; 8] = [0x06, 0, 0, 0, 0, 0, 0xFF, 0x7F];

/// The jail of a profile, as the daemon would send it. `open`: without its filters, so that the
/// other layers can be seen; `open here`: without a file system of its own, too; `bare`: without any
/// namespace. `… with PATH`: that path may be read, too.
pub fn confinement(profile: &str) -> Confinement {
    let (profile, path) = match profile.split_once(" with ") {
        Some((profile, path)) => (profile, Some(path)),
        None => (profile, None),
    };
    let profile_of = profile_of(profile);
    let open = profile_of.name() != profile;
    let arch = Arch::host().expect("architecture");
    let program = profile_of.compile(arch).expect("a program");
    let limits = profile_of.limits();
    let mut namespaces = Namespace::ALL.to_vec();
    match profile {
        "open here" => namespaces.retain(|kind| *kind != Namespace::Mount),
        "bare" => namespaces.clear(),
        _ => {}
    }
    Confinement {
        readable: profile_of
            .readable()
            .iter()
            .map(String::as_str)
            .chain(path)
            .map(PathBuf::from)
            .collect(),
        limits: limits
            .inside()
            .into_iter()
            .chain([("nproc", limits.nproc())])
            .filter(|(name, _)| profile != "bare" || *name != "nproc")
            .map(|(name, value)| (Limit::from_name(name).expect("limit"), value))
            .collect(),
        namespaces,
        landlock_abi: 10,
        mdwe: true,
        preload: Vec::new(),
        interpreter: None,
        gate: match open {
            true => OPEN.to_vec(),
            false => program.to_bytes(),
        },
    }
}

pub fn run(args: &[String]) -> ! {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match args.as_slice() {
        ["describe"] => describe(),
        ["wait"] => wait(),
        ["refused", how] => refused(how),
        ["host", directory] => crate::confine::host(directory.as_ref()),
        ["slave", rest @ ..] => in_a_slave().map_or_else(errno, |()| attempted("late", rest, None)),
        ["free", "load and wait", path] => load(path.as_ref()).map_or_else(|code| code, |_| wait()),
        ["free", attempt, rest @ ..] => {
            let library = rest.first().filter(|_| *attempt == "load");
            match library.map(|path| load(path.as_ref())).transpose() {
                Ok(answer) => attempted(attempt, rest, answer),
                Err(code) => code,
            }
        }
        ["confined", profile, attempt, rest @ ..] => confined(profile, attempt, rest),
        _ => WRONG_ANSWER,
    };
    inside::leave(code)
}

/// Through all stages, with a module where the attempt is about one, and then the attempt.
fn confined(profile: &str, attempt: &str, rest: &[&str]) -> i32 {
    let library = rest.first().filter(|_| attempt == "load");
    let module = in_memory(library.unwrap_or(&"/dev/null")).expect("the module");
    let confined = match enter(&confinement(profile), module) {
        Ok(Some(confined)) => confined,
        Ok(None) => return 0,
        Err(error) => {
            eprintln!("{error}");
            return NOT_CONFINED;
        }
    };
    let place = confined.into_place();
    let answer = match library.map(|_| load(place.path())).transpose() {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    if say(LOADED, None).is_err() || !go() {
        return WRONG_ANSWER;
    }
    attempted(attempt, rest, answer)
}

/// A file's content, as the daemon gives it to a worker.
fn in_memory(path: &str) -> io::Result<OwnedFd> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut memory = File::from(rustix::fs::memfd_create("module", flags)?);
    io::copy(&mut File::open(path)?, &mut memory)?;
    Ok(memory.into())
}

/// `None` in the first stage.
fn enter(confinement: &Confinement, module: OwnedFd) -> Result<Option<Confined>, ConfineError> {
    let divided = match inside::divide(confinement, &[module.as_fd()])? {
        Stage::First(second) => {
            let _ = say(DIVIDED, Some(second.as_fd()));
            return Ok(None);
        }
        Stage::Second(divided) => divided,
    };
    let maps = divided.maps()?;
    if say(ENTERED, Some(maps.as_fd())).is_err() || !go() {
        inside::leave(WRONG_ANSWER);
    }
    drop(maps);
    let gated = divided
        .settle(confinement, module)?
        .renounce(confinement)?
        .fence(confinement)?
        .gate(confinement)?;
    match gated.ship(|listener| say(GATED, Some(listener))) {
        Ok(confined) => Ok(Some(confined)),
        Err(_) => inside::leave(WRONG_ANSWER),
    }
}

fn say(word: u8, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let fds: Vec<_> = fd.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let data = [word];
    sendmsg(
        control(),
        &[IoSlice::new(&data)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Waits to be let on; `false` if nobody is there any more.
fn go() -> bool {
    rustix::io::read(control(), &mut [0]) == Ok(1)
}

fn control() -> BorrowedFd<'static> {
    // SAFETY: the spawner put it there, and nothing here closes it.
    unsafe { BorrowedFd::borrow_raw(FD_CONTROL) }
}

fn wait() -> i32 {
    match say(READY, None) {
        Ok(()) if go() => 0,
        _ => WRONG_ANSWER,
    }
}

/// Everything about a fresh worker that the spawner is responsible for, a line each.
fn describe() -> i32 {
    use rustix::process::{Resource, getpid, getppid, getrlimit, getsid};
    for (key, value) in std::env::vars_os() {
        eprintln!("env {key:?}={value:?}");
    }
    let stack = getrlimit(Resource::Stack);
    eprintln!("leads its session {}", getsid(None) == Ok(getpid()));
    eprintln!(
        "parent {}",
        getppid().map_or(0, |pid| pid.as_raw_nonzero().get())
    );
    eprintln!("stack {:?} {:?}", stack.current, stack.maximum);
    let core = getrlimit(Resource::Core);
    eprintln!("core {:?} {:?}", core.current, core.maximum);
    eprintln!("directory {:?}", std::env::current_dir());
    let mut death = 0;
    // SAFETY: the kernel writes one int to `death`.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut death) };
    eprintln!("dies with its parent by {death}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status
        .lines()
        .filter(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn"))
    {
        eprintln!("{line}");
    }
    wait()
}

/// Ways in which confinement itself must fail. Exit code 0: it did not.
fn refused(how: &str) -> i32 {
    let mut confinement = confinement("single");
    let module = File::open("/dev/null").expect("the module");
    let mut kept = None;
    match how {
        "surplus fd" => kept = Some(File::open("/dev/zero")),
        "missing fd" => {
            // SAFETY: nothing here owns descriptor 0.
            unsafe { libc::close(0) };
        }
        "second thread" => {
            std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            });
        }
        "no gate" => confinement.gate.clear(),
        "broken filter" => confinement.gate = vec![0xFF; 16],
        _ => return WRONG_ANSWER,
    }
    let result = enter(&confinement, module.into());
    drop(kept);
    match result {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("{error}");
            NOT_CONFINED
        }
    }
}

/// `module`: what was loaded before, where the attempt is about a module.
fn attempted(attempt: &str, args: &[&str], module: Option<Run>) -> i32 {
    let result = match attempt {
        "wait" => return wait(),
        "spin" => match say(READY, None) {
            Ok(()) => loop {
                std::hint::spin_loop();
            },
            failed => failed,
        },
        "late" => match wait() {
            0 => open(args, OpenOptions::new().read(true)),
            code => return code,
        },
        "load" => return answers(module),
        "is first" => return i32::from(rustix::process::getpid().as_raw_nonzero().get() != 1),
        "is dumpable" => {
            let own = rustix::process::dumpable_behavior();
            return i32::from(own != Ok(rustix::process::DumpableBehavior::Dumpable));
        }
        "has no network" => return i32::from(interfaces() != 1),
        "open" => open(args, OpenOptions::new().read(true)),
        "create" => open(
            args,
            OpenOptions::new().write(true).create(true).truncate(true),
        ),
        "list" => args
            .iter()
            .try_for_each(|path| std::fs::read_dir(path).map(drop)),
        "thread" => std::thread::Builder::new().spawn(|| {}).map(drop),
        "code" => map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, 4096),
        "bomb" => map(libc::PROT_READ | libc::PROT_WRITE, 1 << 30),
        "write to code" => write_to_code(),
        "crash" => crash(),
        other => call(other),
    };
    result.map_or_else(errno, |()| 0)
}

fn errno(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(WRONG_ANSWER)
}

/// Moves into a mount namespace of its own, in which everything is a slave of what it was.
fn in_a_slave() -> io::Result<()> {
    // SAFETY: takes numbers only; this process has one thread.
    match unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many network interfaces there are: the loopback alone in a new namespace.
fn interfaces() -> usize {
    // SAFETY: the list ends with a zero index; it is freed by whoever asked, who ends at once.
    unsafe {
        let list = libc::if_nameindex();
        (0..64)
            .take_while(|index| !list.is_null() && (*list.add(*index)).if_index != 0)
            .count()
    }
}

fn open(paths: &[&str], options: &OpenOptions) -> io::Result<()> {
    paths
        .iter()
        .try_for_each(|path| options.open(path).map(drop))
}

/// Private memory, not reserved, so that no machine is too small for it.
fn map(protection: i32, length: usize) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    match unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) } {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes a page of data, then turns it into code.
fn write_to_code() -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    let page = vec![0_u8; 3 * 4096];
    let start = page.as_ptr().wrapping_add(page.as_ptr().align_offset(4096));
    // SAFETY: one whole page inside `page`, which is neither read nor written any more; it is
    // leaked since the allocator could not write to it either.
    let answer = unsafe { libc::mprotect(start.cast_mut().cast(), 4096, protection) };
    std::mem::forget(page);
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn crash() -> ! {
    // SAFETY: there is none to keep; the page at null is never mapped, so this is a plain crash.
    unsafe { std::ptr::null_mut::<u8>().wrapping_add(8).write_volatile(1) };
    inside::leave(WRONG_ANSWER)
}

/// One system call that a worker has no business with.
fn call(name: &str) -> io::Result<()> {
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: each call takes numbers, null, or constants that live for ever; those that make
    // something new are closed or waited for by the end of this process.
    let answer = unsafe {
        match name {
            "socket" => i64::from(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0)),
            "netlink" => i64::from(libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)),
            "execve" => {
                let argv = [c"/bin/true".as_ptr(), std::ptr::null()];
                i64::from(libc::execv(argv[0], argv.as_ptr()))
            }
            "fork" => match libc::syscall(libc::SYS_clone, libc::SIGCHLD, null, null, null, null) {
                0 => libc::_exit(0),
                pid => pid,
            },
            "memfd" => i64::from(libc::memfd_create(c"x".as_ptr(), 0)),
            "signal parent" => i64::from(libc::kill(libc::getppid(), 0)),
            // The daemon is the parent, whose number is 0 in a pid namespace.
            "signal daemon" => i64::from(libc::kill(libc::getppid(), 0)),
            "hostname" => i64::from(libc::sethostname(c"x".as_ptr(), 1)),
            "mount" => {
                let (fs, at) = (c"tmpfs".as_ptr(), c"/".as_ptr());
                i64::from(libc::mount(fs, at, fs, 0, null))
            }
            "traceme" => libc::ptrace(libc::PTRACE_TRACEME, 0, null, null),
            "dup" => i64::from(libc::dup(FD_CONTROL)),
            "undump" => i64::from(libc::prctl(libc::PR_SET_DUMPABLE, 1)),
            "landlock" => libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, 1),
            "inotify" => i64::from(libc::inotify_init1(0)),
            "personality" => i64::from(libc::personality(0xFFFF_FFFF)),
            "shm" => i64::from(libc::shmget(libc::IPC_PRIVATE, 4096, 0o600)),
            "chdir" => i64::from(libc::chdir(c"/".as_ptr())),
            "handler" => match libc::signal(libc::SIGSYS, libc::SIG_IGN) {
                libc::SIG_ERR => -1,
                _ => 0,
            },
            "abort" => libc::abort(),
            "exit" => libc::exit(7),
            "terminal" => match libc::ioctl(1, libc::FIONREAD, &mut 0) {
                0 => 0,
                _ => -1,
            },
            #[cfg(target_arch = "x86_64")]
            "int 0x80" => i64::from(getpid_by_int_0x80()),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
    };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The 32-bit calling convention, where 20 is getpid and would be writev.
#[cfg(target_arch = "x86_64")]
fn getpid_by_int_0x80() -> i32 {
    let pid: i32;
    // SAFETY: the kernel changes rax alone.
    unsafe { std::arch::asm!("int 0x80", inlateout("eax") 20 => pid, options(nostack)) };
    pid
}

type Run = unsafe extern "C" fn() -> i32;

/// Loads a module. What it loads it keeps.
fn load(path: &std::path::Path) -> Result<Run, i32> {
    // SAFETY: the module is foreign code; it can do to this process what it likes.
    let run = unsafe {
        libloading::Library::new(path).and_then(|module| {
            let run = *module.get::<Run>(b"run")?;
            std::mem::forget(module);
            Ok(run)
        })
    };
    run.map_err(|error| {
        eprintln!("{error}");
        WRONG_ANSWER
    })
}

/// Calls a module's `run`, which answers 42.
fn answers(run: Option<Run>) -> i32 {
    // SAFETY: as for loading it.
    match run.map(|run| unsafe { run() }) {
        Some(42) => 0,
        _ => WRONG_ANSWER,
    }
}
