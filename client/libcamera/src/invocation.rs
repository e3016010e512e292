//! What libcamera says when it starts a worker.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::SocketType;
use rustix::net::sockopt::{socket_peercred, socket_type};
use rustix::param::clock_ticks_per_second;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

use crate::error::Error;

/// What libcamera's workers are called after the name of their algorithm's interface.
const SUFFIX: &str = "_ipa_proxy";

/// How close two clocks are read one after the other, and how often that is tried.
const CLOSE: Duration = Duration::from_millis(5);
const LOOKS: usize = 8;

/// `NAME_ipa_proxy MODULE.so FD`.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// Name of the algorithm's interface.
    pub(crate) ipa: String,
    /// Path of the algorithm.
    pub(crate) module: String,
    /// The socket that libcamera made. It gives no sign when its other end is closed.
    pub(crate) application: OwnedFd,
    /// Readable when the application has ended.
    pub(crate) application_pidfd: OwnedFd,
    /// When the application made this process.
    pub(crate) began: Instant,
}

impl Invocation {
    pub(crate) fn of(args: impl Iterator<Item = OsString>) -> Result<Self, Error> {
        let (ipa, module, fd) = parse(args)?;
        let application = take(fd)?;
        let kernel = |error| Error::Invocation(format!("descriptor {fd}: {error}"));
        if socket_type(&application).map_err(kernel)? != SocketType::DGRAM {
            let why = format!("descriptor {fd} is not a socket as libcamera makes them");
            return Err(Error::Invocation(why));
        }
        // Who made the pair. Its own number, if that is gone by now: then there is nobody to serve.
        let host = socket_peercred(application.as_fd()).map_err(kernel)?.pid;
        let application_pidfd = pidfd_open(host, PidfdFlags::empty())
            .map_err(|error| Error::Invocation(format!("the application is gone: {error}")))?;
        Ok(Self {
            ipa,
            module,
            application,
            application_pidfd,
            began: began(),
        })
    }
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Result<(String, String, RawFd), Error> {
    let mut text = || args.next().and_then(|argument| argument.into_string().ok());
    let wrong = |why: &str| Error::Invocation(why.to_owned());
    let program = text().unwrap_or_default();
    let name = Path::new(&program)
        .file_name()
        .and_then(|name| name.to_str());
    let ipa = name
        .and_then(|name| name.strip_suffix(SUFFIX))
        .filter(|ipa| !ipa.is_empty())
        .ok_or_else(|| wrong("the name of the program does not end in _ipa_proxy"))?;
    let module = text().ok_or_else(|| wrong("the path of an algorithm is missing"))?;
    let module = std::path::absolute(PathBuf::from(module)).ok();
    let module = module.and_then(|path| path.into_os_string().into_string().ok());
    let module = module.ok_or_else(|| wrong("the path of the algorithm is no text"))?;
    let fd = text().and_then(|fd| fd.parse().ok()).filter(|fd| *fd > 2);
    let fd = fd.ok_or_else(|| wrong("the number of a socket is missing"))?;
    Ok((ipa.to_owned(), module, fd))
}

/// The descriptor of that number, by the kernel's own copy: a number alone proves nothing.
fn take(fd: RawFd) -> Result<OwnedFd, Error> {
    let own = pidfd_open(getpid(), PidfdFlags::empty());
    own.and_then(|own| pidfd_getfd(own, fd, PidfdGetfdFlags::empty()))
        .map_err(|error| Error::Invocation(format!("descriptor {fd}: {error}")))
}

/// When this process was made: its program may have begun noticeably later, on a slow machine. Now, where
/// the kernel does not say.
fn began() -> Instant {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (now, boot) = both_clocks();
    let age = start(&stat, clock_ticks_per_second()).and_then(|start| boot.checked_sub(start));
    age.and_then(|age| now.checked_sub(age)).unwrap_or(now)
}

/// The same time on the clock of instants and since the machine's start, or nearly, if this process is
/// interrupted each time that it looks: then the first is earlier.
fn both_clocks() -> (Instant, Duration) {
    let look = || {
        let now = Instant::now();
        let boot = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
        (now, boot)
    };
    let mut looks = std::iter::repeat_with(look).take(LOOKS);
    let close = looks.find(|(now, _)| now.elapsed() < CLOSE);
    close.unwrap_or_else(look)
}

/// The time of a process's start, since the machine's: field 22 of its `stat`, where the name is the second
/// and may have anything in it.
fn start(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let milliseconds = ticks.checked_mul(1000)?.checked_div(ticks_per_second)?;
    Some(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_found_whatever_its_name() {
        let stat = "7 (a) 1 (b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1234 20";
        assert_eq!(start(stat, 100), Some(Duration::from_millis(12_340)));
        for stat in ["", "7 (a) R 1 2", "7 a R"] {
            assert_eq!(start(stat, 100), None);
        }
        assert_eq!(start(stat, 0), None);
    }

    #[test]
    fn this_process_began_before_now() {
        let age = began().elapsed();
        assert!(age < Duration::from_secs(600), "{age:?}");
    }

    fn of(args: &[&str]) -> Result<(String, String, RawFd), String> {
        parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_programs_name_is_the_interfaces() {
        let args = [
            "/usr/libexec/coldshoe/libcamera/mali-c55_ipa_proxy",
            "/a/ipa_x.so",
            "7",
        ];
        let expected = ("mali-c55".to_owned(), "/a/ipa_x.so".to_owned(), 7);
        assert_eq!(of(&args), Ok(expected));
    }

    #[test]
    fn what_libcamera_would_not_say_is_refused_with_the_way_out() {
        for args in [
            &["coldshoe-libcamera", "/a.so", "7"][..],
            &["_ipa_proxy", "/a.so", "7"],
            &["vimc_ipa_proxy"],
            &["vimc_ipa_proxy", "/a.so"],
            &["vimc_ipa_proxy", "/a.so", "x"],
            &["vimc_ipa_proxy", "/a.so", "2"],
            &["vimc_ipa_proxy", "/a.so", "-1"],
        ] {
            let error = of(args).unwrap_err();
            assert!(
                error.contains("why: ") && error.contains("try: "),
                "{error}"
            );
        }
    }
}
