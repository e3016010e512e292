//! A profile that has been checked.

use crate::condition::Condition;
use crate::error::ProfileError;
use crate::feature::Feature;
use crate::{Arch, parse};
use serde::{Deserialize, Serialize};

/// What a worker may ask of the kernel. Built by [`Profile::parse`] or [`Profile::builtin`] alone,
/// so each one that exists has passed the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) parent: Option<String>,
    pub(crate) allow_degraded: Vec<Feature>,
    pub(crate) load_budget: u32,
    pub(crate) soft_budget: u32,
    pub(crate) wake: Wake,
    pub(crate) standby: bool,
    pub(crate) limits: Limits,
    pub(crate) landlock: Landlock,
    pub(crate) run: Vec<Rule>,
    pub(crate) load: Vec<Rule>,
    pub(crate) soft: Vec<Soft>,
    pub(crate) notified: Vec<Soft>,
}

/// How a worker waits for frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wake {
    /// Asleep, until it is woken.
    Sleep,
    /// On a processor of its own, awake shortly before a frame is due.
    Predictive,
}

impl std::fmt::Display for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sleep => "sleep",
            Self::Predictive => "predictive",
        })
    }
}

/// Resource limits, soft and hard alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads a module may start beside the worker's own.
    pub threads: u32,
    /// `RLIMIT_DATA`: heap and private writable memory, bytes.
    pub data: u64,
    /// `RLIMIT_AS`: all mappings together, used or not, bytes. The kernel's own memory for them is
    /// bounded by it: page tables count nowhere else.
    pub address_space: u64,
    /// `RLIMIT_STACK`, bytes. Takes effect on exec, so it is set before the worker program starts.
    pub stack: u64,
    /// `RLIMIT_NOFILE`: one more than the highest descriptor.
    pub nofile: u64,
    /// `RLIMIT_FSIZE`: size of a file it may write, bytes.
    pub fsize: u64,
    /// `RLIMIT_CORE`: core dump, bytes. Set before the worker program starts, too.
    pub core: u64,
    /// `RLIMIT_MEMLOCK`: locked memory, bytes.
    pub memlock: u64,
    /// `RLIMIT_MSGQUEUE`: POSIX message queues, bytes.
    pub msgqueue: u64,
    /// `RLIMIT_RTPRIO`: real-time priority.
    pub rtprio: u64,
}

impl Limits {
    /// What the worker sets on itself before foreign code runs: the kernel's name in lower case,
    /// without its prefix, and the value. Neither `stack` nor [`nproc`](Limits::nproc) is among
    /// them.
    pub fn inside(&self) -> [(&'static str, u64); 8] {
        [
            ("data", self.data),
            ("as", self.address_space),
            ("nofile", self.nofile),
            ("fsize", self.fsize),
            ("core", self.core),
            ("memlock", self.memlock),
            ("msgqueue", self.msgqueue),
            ("rtprio", self.rtprio),
        ]
    }

    /// `RLIMIT_NPROC`: the worker's own thread and those that a module may start. To be set inside
    /// a user namespace of the worker's own: elsewhere it counts every process of the user.
    pub fn nproc(&self) -> u64 {
        1 + u64::from(self.threads)
    }
}

/// Files the worker may open, for reading.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landlock {
    /// Files and directories, a directory standing for all beneath it.
    pub read: Vec<String>,
}

/// A system call, and the arguments it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as in `syscalls(2)`.
    pub name: String,
    /// What needs it; or who tries it, and why refusing is harmless.
    pub why: String,
    /// The architectures the rule is for; `None` for all that have the call.
    pub archs: Option<Vec<Arch>>,
    /// Conditions that must all hold, at most one an argument. Empty: any arguments.
    pub args: Vec<Condition>,
    /// How often a worker may be let pass by it, of an entry of `[[load]]`; `None`: as often as the
    /// profile's budget of loading has it.
    pub times: Option<u32>,
}

impl Rule {
    /// The call's number on `arch`, or `None` where the rule says nothing.
    pub fn number(&self, arch: Arch) -> Option<u32> {
        let meant = self.archs.as_ref().is_none_or(|a| a.contains(&arch));
        arch.number(&self.name).filter(|_| meant)
    }

    /// Whether a call with these arguments passes.
    pub fn admits(&self, args: &[u64; 6]) -> bool {
        self.args
            .iter()
            .all(|c| args.get(usize::from(c.arg)).is_some_and(|v| c.admits(*v)))
    }
}

/// A system call that is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soft {
    /// The call, and the arguments under which it is answered so.
    pub rule: Rule,
    /// The error.
    pub errno: Errno,
}

/// The errors of soft refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Errno {
    /// Permission denied.
    #[serde(rename = "EACCES")]
    Eacces,
    /// Function not implemented.
    #[serde(rename = "ENOSYS")]
    Enosys,
    /// Try again.
    #[serde(rename = "EAGAIN")]
    Eagain,
    /// Operation not permitted.
    #[serde(rename = "EPERM")]
    Eperm,
    /// Not a terminal.
    #[serde(rename = "ENOTTY")]
    Enotty,
}

impl Errno {
    /// All of them.
    pub const ALL: [Errno; 5] = [
        Errno::Eacces,
        Errno::Enosys,
        Errno::Eagain,
        Errno::Eperm,
        Errno::Enotty,
    ];

    /// The number, the same on the three architectures.
    pub const fn number(self) -> i32 {
        match self {
            Errno::Eacces => 13,
            Errno::Enosys => 38,
            Errno::Eagain => 11,
            Errno::Eperm => 1,
            Errno::Enotty => 25,
        }
    }

    /// Its name in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Errno::Eacces => "EACCES",
            Errno::Enosys => "ENOSYS",
            Errno::Eagain => "EAGAIN",
            Errno::Eperm => "EPERM",
            Errno::Enotty => "ENOTTY",
        }
    }
}

impl Profile {
    /// The profiles that are built in, by name, with their text.
    pub const BUILTIN: [(&str, &str); 4] = [
        ("single", include_str!("../profiles/single.toml")),
        ("threaded", include_str!("../profiles/threaded.toml")),
        ("predictive", include_str!("../profiles/predictive.toml")),
        ("libcamera", include_str!("../profiles/libcamera.toml")),
    ];

    /// Reads and checks a profile.
    ///
    /// # Errors
    /// [`ProfileError`] names the line, the entry and the way out.
    pub fn parse(text: &str) -> Result<Profile, ProfileError> {
        parse::parse(text)
    }

    /// A profile that is built in.
    ///
    /// # Errors
    /// [`ProfileError::NoSuchProfile`] names those that exist.
    pub fn builtin(name: &str) -> Result<Profile, ProfileError> {
        match Self::BUILTIN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text),
            None => Err(ProfileError::NoSuchProfile {
                name: name.to_owned(),
                known: Self::BUILTIN.map(|(known, _)| known).join(", "),
            }),
        }
    }

    /// Name of the profile.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of module it is for, in one line.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The profile that this one extends.
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// The features of [`Grade::Required`](crate::Grade::Required) that sessions may go without.
    pub fn allow_degraded(&self) -> &[Feature] {
        &self.allow_degraded
    }

    /// Resource limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Threads a module may start beside the worker's own.
    pub fn threads(&self) -> u32 {
        self.limits.threads
    }

    /// How the worker waits for frames.
    pub fn wake(&self) -> Wake {
        self.wake
    }

    /// Whether a session that asks for it has a second worker ready.
    pub fn standby(&self) -> bool {
        self.standby
    }

    /// Files and directories it may read, the module's own file among them, by their names in the
    /// jail. Some may not exist on this machine.
    pub fn readable(&self) -> &[String] {
        &self.landlock.read
    }

    /// What computing needs: allowed in both phases, without asking.
    pub fn run(&self) -> &[Rule] {
        &self.run
    }

    /// What loading needs beyond that: the daemon is asked.
    pub fn load(&self) -> &[Rule] {
        &self.load
    }

    /// What the kernel answers with an error, in both phases.
    pub fn soft(&self) -> &[Soft] {
        &self.soft
    }

    /// What loading needs, and what the daemon answers with an error afterwards; or calls whose other
    /// arguments running needs, and then in both phases.
    pub fn notified(&self) -> &[Soft] {
        &self.notified
    }
}
