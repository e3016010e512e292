//! A profile that has been checked.

use crate::condition::Condition;
use crate::error::ProfileError;
use crate::{Arch, parse};
use serde::Deserialize;

/// What a worker may ask of the kernel. Built by [`Profile::parse`] or [`Profile::builtin`] alone,
/// so each one that exists has passed the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) limits: Limits,
    pub(crate) landlock: Landlock,
    pub(crate) run: Vec<Rule>,
    pub(crate) load: Vec<Rule>,
    pub(crate) soft: Vec<Soft>,
}

/// Resource limits, soft and hard alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// `RLIMIT_DATA`: heap and private writable memory, bytes.
    pub data: u64,
    /// `RLIMIT_STACK`, bytes. Takes effect on exec, so it is set before the worker program starts.
    pub stack: u64,
    /// `RLIMIT_NOFILE`: one more than the highest descriptor.
    pub nofile: u64,
    /// `RLIMIT_FSIZE`: size of a file it may write, bytes.
    pub fsize: u64,
    /// `RLIMIT_CORE`: core dump, bytes.
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
    /// without its prefix, and the value. `stack` is not among them.
    pub fn inside(&self) -> [(&'static str, u64); 7] {
        [
            ("data", self.data),
            ("nofile", self.nofile),
            ("fsize", self.fsize),
            ("core", self.core),
            ("memlock", self.memlock),
            ("msgqueue", self.msgqueue),
            ("rtprio", self.rtprio),
        ]
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
}

impl Rule {
    /// Whether the rule is for `arch`.
    pub fn is_for(&self, arch: Arch) -> bool {
        self.archs.as_ref().is_none_or(|a| a.contains(&arch))
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
    /// Loading needs the call under a rule of `load`, so it cannot be refused while one filter
    /// covers both loading and running.
    pub needed_while_loading: bool,
}

/// The errors of soft refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Errno {
    /// Permission denied.
    #[serde(rename = "EACCES")]
    Eacces,
    /// Function not implemented.
    #[serde(rename = "ENOSYS")]
    Enosys,
}

impl Errno {
    /// The number, the same on the three architectures.
    pub const fn number(self) -> u32 {
        match self {
            Errno::Eacces => 13,
            Errno::Enosys => 38,
        }
    }
}

impl Profile {
    /// The profiles that are built in, by name, with their text.
    pub const BUILTIN: [(&str, &str); 1] = [("single", include_str!("../profiles/single.toml"))];

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

    /// Resource limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Files and directories it may read, to which the module's own file is added. Some may not
    /// exist on this machine.
    pub fn readable(&self) -> &[String] {
        &self.landlock.read
    }

    /// What computing needs.
    pub fn run(&self) -> &[Rule] {
        &self.run
    }

    /// What loading needs beyond that.
    pub fn load(&self) -> &[Rule] {
        &self.load
    }

    /// What is answered with an error.
    pub fn soft(&self) -> &[Soft] {
        &self.soft
    }
}
