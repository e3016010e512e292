//! The words of the escape list: rows, their probes, and what each is expected to find.

use std::fmt;

use crate::need::Need;

/// Errno values as the list names them.
pub mod errno {
    /// Operation not permitted.
    pub const EPERM: i32 = 1;
    /// No such file, and what probes answer that found nothing.
    pub const ENOENT: i32 = 2;
    /// Bad descriptor.
    pub const EBADF: i32 = 9;
    /// Try again: no more processes.
    pub const EAGAIN: i32 = 11;
    /// No memory.
    pub const ENOMEM: i32 = 12;
    /// Permission denied.
    pub const EACCES: i32 = 13;
    /// No such call.
    pub const ENOSYS: i32 = 38;
}

/// When a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before `coldshoe_ipa_module()` can be called; the module is of its own build.
    Constructor,
    /// In `create()`.
    Load,
    /// In `start()`.
    Run,
    /// In `process()`.
    Frame,
    /// In `destroy()`.
    End,
}

impl Phase {
    /// The word for it in a probe's arguments.
    pub fn word(self) -> &'static str {
        match self {
            Self::Constructor => "constructor",
            Self::Load => "load",
            Self::Run => "run",
            Self::Frame => "frame",
            Self::End => "end",
        }
    }

    /// Which of the gate's phases that is.
    pub fn of_gate(self) -> &'static str {
        match self {
            Self::Constructor | Self::Load => "LOAD",
            Self::Run | Self::Frame | Self::End => "RUN",
        }
    }
}

/// What a probe must meet in the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The call fails with this errno, and the worker lives on.
    Errno(i32),
    /// With one of these.
    AnyErrno(&'static [i32]),
    /// The daemon kills the worker, and its report names this call and the phase.
    Violation(&'static str),
    /// The kernel kills it for the call.
    Sigsys,
    /// The worker ends otherwise, and the report says this.
    Report(&'static str),
}

/// What must be true of the control: the same probe in a plain process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The attack works.
    Works,
    /// It works, and the other process was hit.
    Hits,
    /// The process dies of it and says so.
    Dies(&'static str),
    /// Somebody at the other end gets it all: the words of their report.
    Arrives(&'static str),
    /// It works where this is there.
    WorksWith(Need),
}

/// The watchdog's words.
pub const HUNG: Expect = Expect::Report("no answer within");

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Name of the function in `modules/`.
    pub name: &'static str,
    /// When it runs.
    pub phase: Phase,
    /// What must come of it.
    pub expect: Expect,
    /// What must come of it without a jail.
    pub control: Control,
    /// Options of the control's host program.
    pub host: &'static [&'static str],
    /// More arguments in the jail and out of it.
    pub args: &'static str,
    /// The module, if it is not the common one.
    pub module: &'static str,
    /// The profile, if it is not `single`.
    pub profile: &'static str,
}

impl Probe {
    const fn new(name: &'static str, expect: Expect) -> Self {
        Self {
            name,
            phase: Phase::Run,
            expect,
            control: Control::Works,
            host: &[],
            args: "",
            module: "hostile",
            profile: "single",
        }
    }

    /// In this phase instead of RUN.
    pub const fn at(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// With another control.
    pub const fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// The control needs something that not every machine or user has.
    pub const fn needs(self, need: Need) -> Self {
        self.control(Control::WorksWith(need))
    }

    /// The control's host program gets these options.
    pub const fn host(mut self, options: &'static [&'static str]) -> Self {
        self.host = options;
        self
    }

    /// The control has another process to aim at, and it must be hit.
    pub const fn hits(self) -> Self {
        self.host(&["victim"]).control(Control::Hits)
    }

    /// More arguments.
    pub const fn args(mut self, args: &'static str) -> Self {
        self.args = args;
        self
    }

    /// Another module.
    pub const fn of(mut self, module: &'static str) -> Self {
        self.module = module;
        self
    }

    /// Whether it never comes back, and has to be waited for.
    pub fn hangs(&self) -> bool {
        self.expect == HUNG
    }

    /// Under another profile.
    pub const fn under(mut self, profile: &'static str) -> Self {
        self.profile = profile;
        self
    }
}

/// The call must be answered with an error.
pub const fn refused(name: &'static str, errno: i32) -> Probe {
    Probe::new(name, Expect::Errno(errno))
}

/// The call must be the worker's last.
pub const fn killed(name: &'static str, call: &'static str) -> Probe {
    Probe::new(name, Expect::Violation(call))
}

/// Anything else.
pub const fn expect(name: &'static str, expect: Expect) -> Probe {
    Probe::new(name, expect)
}

/// A row of the escape list in `jail.md`.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number there.
    pub number: u8,
    /// What is tried.
    pub attempt: &'static str,
    /// Each with its own module call; what needs more than that is in `special`.
    pub probes: &'static [Probe],
}

/// What was seen of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It answered, 0 or more for success.
    Answered(i64),
    /// The daemon killed the worker for a call in a phase.
    Violation {
        /// Name of the call.
        call: String,
        /// `LOAD` or `RUN`.
        phase: String,
    },
    /// The kernel killed it for a call.
    Sigsys,
    /// Something else, in the words of the report.
    Report(String),
    /// Nothing at all: the session went well.
    Nothing,
}

impl Seen {
    /// Whether this is what was expected, in that phase.
    pub fn meets(&self, expect: Expect, phase: Phase) -> bool {
        match (self, expect) {
            (Self::Answered(answer), Expect::Errno(errno)) => *answer == -i64::from(errno),
            (Self::Answered(answer), Expect::AnyErrno(any)) => {
                any.iter().any(|errno| *answer == -i64::from(*errno))
            }
            (Self::Violation { call, phase: seen }, Expect::Violation(expected)) => {
                call == expected && seen == phase.of_gate()
            }
            (Self::Sigsys, Expect::Sigsys) => true,
            (Self::Report(report), Expect::Report(part)) => report.contains(part),
            _ => false,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) if *answer >= 0 => write!(f, "WORKED ({answer})"),
            Self::Answered(answer) => f.write_str(&error_name(-answer)),
            Self::Violation { call, phase } => write!(f, "violation: {call} in {phase}"),
            Self::Sigsys => f.write_str("killed by the kernel (SIGSYS)"),
            Self::Report(report) => f.write_str(report),
            Self::Nothing => f.write_str("NOTHING HAPPENED"),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => f.write_str(&error_name(i64::from(*errno))),
            Self::AnyErrno(any) => {
                let names: Vec<_> = any.iter().map(|e| error_name(i64::from(*e))).collect();
                f.write_str(&names.join(" or "))
            }
            Self::Violation(call) => write!(f, "violation: {call}"),
            Self::Sigsys => f.write_str("killed by the kernel (SIGSYS)"),
            Self::Report(part) => write!(f, "“{part}”"),
        }
    }
}

/// What an errno is called.
pub fn error_name(errno: i64) -> String {
    let name = match errno {
        1 => "EPERM",
        2 => "ENOENT",
        3 => "ESRCH",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        19 => "ENODEV",
        22 => "EINVAL",
        30 => "EROFS",
        38 => "ENOSYS",
        61 => "no effect",
        95 => "no such probe",
        97 => "EAFNOSUPPORT",
        111 => "ECONNREFUSED",
        other => return format!("errno {other}"),
    };
    name.to_owned()
}
