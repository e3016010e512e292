//! The worker: goes into the jail, or not, and tries something.
//!
//! Exit code 0: the attempt succeeded. An errno: it failed so. [`NOT_CONFINED`]: the jail was
//! refused, and the reason is on stderr.

use coldshoe_jail::{Arch, Profile};
use coldshoe_wall::inside::{self, Confined, Confinement};
use coldshoe_wall::{FD_CONTROL, Limit};
use rustix::fd::BorrowedFd;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;

pub const NOT_CONFINED: i32 = 200;
pub const WRONG_ANSWER: i32 = 201;

/// The jail of the `single` profile, as the daemon would send it.
pub fn confinement(readable: Vec<PathBuf>) -> Confinement {
    let profile = Profile::builtin("single").expect("profile");
    let arch = Arch::host().expect("architecture");
    let limits = profile.limits().inside().into_iter();
    Confinement {
        filters: profile.compile(arch).expect("programs").to_bytes(),
        readable: profile
            .readable()
            .iter()
            .map(PathBuf::from)
            .chain(readable)
            .collect(),
        limits: limits
            .map(|(name, value)| (Limit::from_name(name).expect("limit"), value))
            .collect(),
    }
}

pub fn run(args: &[String]) -> ! {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match args.as_slice() {
        ["describe"] => describe(),
        ["wait"] => wait(),
        ["refused", how] => refused(how),
        ["free", attempt, rest @ ..] => attempted(attempt, rest),
        ["confined", attempt, rest @ ..] => {
            // The file of the module is the one path that a profile does not know.
            let module = rest
                .first()
                .filter(|_| *attempt == "load")
                .map(PathBuf::from);
            match inside::confine(&confinement(module.into_iter().collect())) {
                Ok(confined) => under(&confined, || attempted(attempt, rest)),
                Err(error) => {
                    eprintln!("{error}");
                    NOT_CONFINED
                }
            }
        }
        _ => WRONG_ANSWER,
    };
    inside::leave(code)
}

/// What the proof of confinement is for: no foreign code before there is one.
fn under(_: &Confined, attempt: impl FnOnce() -> i32) -> i32 {
    attempt()
}

fn control() -> BorrowedFd<'static> {
    // SAFETY: the spawner put it there, and nothing here closes it.
    unsafe { BorrowedFd::borrow_raw(FD_CONTROL) }
}

fn wait() -> i32 {
    let mut byte = [0];
    let told = rustix::io::write(control(), &[1]);
    match told.and_then(|_| rustix::io::read(control(), &mut byte)) {
        Ok(_) => 0,
        Err(errno) => errno.raw_os_error(),
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
    let mut confinement = confinement(Vec::new());
    let mut kept = None;
    match how {
        "surplus fd" => kept = Some(std::fs::File::open("/dev/zero")),
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
        "broken filter" => confinement.filters.insert(0, vec![0xFF; 16]),
        _ => return WRONG_ANSWER,
    }
    let result = inside::confine(&confinement);
    drop(kept);
    match result {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("{error}");
            NOT_CONFINED
        }
    }
}

fn attempted(attempt: &str, args: &[&str]) -> i32 {
    let result = match attempt {
        "wait" => return wait(),
        "load" => return load(args.first().unwrap_or(&"")),
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
    match result {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(WRONG_ANSWER),
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

/// Loads a module and calls its `run`, which answers 42.
fn load(path: &str) -> i32 {
    // SAFETY: the module is foreign code; it can do to this process what it likes.
    let answer = unsafe {
        libloading::Library::new(path).and_then(|module| {
            let run = module.get::<unsafe extern "C" fn() -> i32>(b"run")?;
            let answer = run();
            std::mem::forget(module);
            Ok(answer)
        })
    };
    match answer {
        Ok(42) => 0,
        Ok(_) => WRONG_ANSWER,
        Err(error) => {
            eprintln!("{error}");
            WRONG_ANSWER
        }
    }
}
