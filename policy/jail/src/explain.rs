//! A profile in words.

use crate::Arch;
use crate::condition::{Condition, Test};
use crate::feature::Feature;
use crate::gate::Phase;
use crate::profile::{Errno, Profile, Rule, Wake};
use serde::Serialize;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The kernel lets it pass by itself.
    Allowed,
    /// The kernel asks the daemon, which lets it pass.
    AllowedByDaemon,
    /// The kernel answers an error by itself.
    Refused(Errno),
    /// The kernel asks the daemon, which answers an error, within the profile's budget.
    RefusedByDaemon(Errno),
    /// The worker ends.
    Killed,
}

impl Outcome {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Outcome::Allowed => "allowed",
            Outcome::AllowedByDaemon => "allowed by the daemon",
            Outcome::Refused(Errno::Eacces) => "answered EACCES",
            Outcome::Refused(Errno::Enosys) => "answered ENOSYS",
            Outcome::Refused(Errno::Eagain) => "answered EAGAIN",
            Outcome::Refused(Errno::Eperm) => "answered EPERM",
            Outcome::Refused(Errno::Enotty) => "answered ENOTTY",
            Outcome::RefusedByDaemon(Errno::Eacces) => "answered EACCES by the daemon",
            Outcome::RefusedByDaemon(Errno::Enosys) => "answered ENOSYS by the daemon",
            Outcome::RefusedByDaemon(Errno::Eagain) => "answered EAGAIN by the daemon",
            Outcome::RefusedByDaemon(Errno::Eperm) => "answered EPERM by the daemon",
            Outcome::RefusedByDaemon(Errno::Enotty) => "answered ENOTTY by the daemon",
            Outcome::Killed => "ends the worker",
        }
    }
}

/// A phase of a profile on one architecture, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Name of the profile.
    pub profile: String,
    /// What kind of module it is for.
    pub description: String,
    /// The profile that it extends.
    pub parent: Option<String>,
    /// The architecture.
    pub arch: Arch,
    /// The phase.
    pub phase: Phase,
    /// Every call that does not end the worker, in the order of the profile. All others do.
    pub calls: Vec<CallInWords>,
    /// How many calls the daemon lets pass in LOAD; one more ends the worker.
    pub load_budget: u32,
    /// How many refusals of the daemon a worker may draw in RUN; one more ends it.
    pub soft_budget: u32,
    /// How the worker waits for frames.
    pub wake: Wake,
    /// Whether a session that asks for it has a second worker ready.
    pub standby: bool,
    /// Files and directories that may be read, by their names in the jail.
    pub files: Vec<String>,
    /// Limits, with what they limit.
    pub limits: Vec<LimitInWords>,
    /// Features that sessions may go without.
    pub allow_degraded: Vec<DegradedInWords>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallInWords {
    /// Name of the call.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// What becomes of it under the conditions.
    pub outcome: Outcome,
    /// Conditions that must all hold. Empty: any arguments.
    pub conditions: Vec<String>,
    /// The profile's reason, on one line.
    pub why: String,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitInWords {
    /// The kernel's name in lower case.
    pub name: &'static str,
    /// Its value, in bytes where the words say so.
    pub value: u64,
    /// What it limits.
    pub words: &'static str,
}

/// One feature that may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DegradedInWords {
    /// The feature.
    pub feature: Feature,
    /// What holds in its place.
    pub without: &'static str,
}

impl Profile {
    /// What becomes of call `nr` with the argument registers `args`, by the profile's words alone.
    /// [`Profile::compile`] and [`Profile::gate`] come to the same together.
    pub fn outcome(&self, arch: Arch, phase: Phase, nr: u32, args: &[u64; 6]) -> Outcome {
        let admits = |rule: &Rule| rule.number(arch) == Some(nr) && rule.admits(args);
        let refused = |phase| {
            let mut notified = self.notified.iter();
            notified
                .find(|soft| admits(&soft.rule) && self.is_answered(soft, phase))
                .map(|soft| Outcome::RefusedByDaemon(soft.errno))
        };
        let of_daemon = match phase {
            Phase::Load if self.load.iter().any(admits) => Some(Outcome::AllowedByDaemon),
            phase => refused(phase),
        };
        if let Some(soft) = self.soft.iter().find(|soft| admits(&soft.rule)) {
            Outcome::Refused(soft.errno)
        } else if self.run.iter().any(admits) {
            Outcome::Allowed
        } else {
            of_daemon.unwrap_or(Outcome::Killed)
        }
    }

    /// A phase in words.
    pub fn explain(&self, arch: Arch, phase: Phase) -> Explanation {
        let in_words = |rule: &Rule, outcome| {
            rule.number(arch).map(|number| CallInWords {
                name: rule.name.clone(),
                number,
                outcome,
                conditions: conditions(rule),
                why: rule.why.split_whitespace().collect::<Vec<_>>().join(" "),
            })
        };
        let run = self.run.iter().map(|rule| (rule, Outcome::Allowed));
        let soft = self
            .soft
            .iter()
            .map(|s| (&s.rule, Outcome::Refused(s.errno)));
        let asked: Vec<(&Rule, Outcome)> = match phase {
            Phase::Load => self
                .load
                .iter()
                .map(|rule| (rule, Outcome::AllowedByDaemon))
                .collect(),
            Phase::Run => Vec::new(),
        };
        let refused = self.notified.iter();
        let refused = refused
            .filter(|soft| self.is_answered(soft, phase))
            .map(|soft| (&soft.rule, Outcome::RefusedByDaemon(soft.errno)));
        Explanation {
            profile: self.name.clone(),
            description: self.description.clone(),
            parent: self.parent.clone(),
            arch,
            phase,
            calls: run
                .chain(asked)
                .chain(refused)
                .chain(soft)
                .filter_map(|(rule, outcome)| in_words(rule, outcome))
                .collect(),
            load_budget: self.load_budget,
            soft_budget: self.soft_budget,
            wake: self.wake,
            standby: self.standby,
            files: self.landlock.read.clone(),
            limits: self.limits_in_words(),
            allow_degraded: self
                .allow_degraded
                .iter()
                .map(|feature| DegradedInWords {
                    feature: *feature,
                    without: feature.without(),
                })
                .collect(),
        }
    }

    fn limits_in_words(&self) -> Vec<LimitInWords> {
        let limits = &self.limits;
        [
            ("nproc", limits.nproc(), "threads, the first included"),
            (
                "data",
                limits.data,
                "bytes of heap and private writable memory",
            ),
            ("as", limits.address_space, "bytes of mappings, used or not"),
            ("stack", limits.stack, "bytes of stack"),
            ("nofile", limits.nofile, "open files"),
            ("fsize", limits.fsize, "bytes in a file it may write"),
            ("core", limits.core, "bytes of core dump"),
            ("memlock", limits.memlock, "bytes kept from being swapped"),
            ("msgqueue", limits.msgqueue, "bytes in POSIX message queues"),
            ("rtprio", limits.rtprio, "highest real-time priority"),
        ]
        .map(|(name, value, words)| LimitInWords { name, value, words })
        .to_vec()
    }
}

/// What must hold for a rule, how often it does included.
fn conditions(rule: &Rule) -> Vec<String> {
    let often = rule.times.map(|times| match times {
        1 => "once".to_owned(),
        times => format!("{times} times at most"),
    });
    let words = rule.args.iter().map(|c| words(&rule.name, c));
    words.chain(often).collect()
}

/// A condition in words: `flags without 0x124810 is 0x22 or 0x28`.
fn words(syscall: &str, condition: &Condition) -> String {
    let what = argument(syscall, condition.arg);
    match &condition.test {
        Test::AtMost(most) => format!("{what} is at most {most}"),
        Test::OneOf { mask, values } => {
            let open = !mask & condition.width.bits();
            let few = mask.count_ones() <= open.count_ones();
            match values.as_slice() {
                _ if open == 0 => format!("{what} is {}", either(&what, values)),
                [0] if few => format!("{what} has none of the bits {mask:#x}"),
                _ if few => format!(
                    "of the bits {mask:#x}, {what} has {}",
                    either(&what, values)
                ),
                _ => format!(
                    "{what} is {}, leaving bits {open:#x} aside",
                    either(&what, values)
                ),
            }
        }
    }
}

/// Small numbers as people say them, flags as the headers have them.
fn either(what: &str, values: &[u64]) -> String {
    let numbers: Vec<String> = values
        .iter()
        .map(|value| match value {
            0..128 if *value < 10 || what != "flags" => value.to_string(),
            _ => format!("{value:#x}"),
        })
        .collect();
    match numbers.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// What the manual page calls an argument.
fn argument(syscall: &str, arg: u8) -> String {
    let name = match (syscall, arg) {
        (
            "read" | "write" | "writev" | "recvmsg" | "sendmsg" | "recvfrom" | "sendto" | "fstat"
            | "fcntl" | "ioctl",
            0,
        ) => "fd",
        ("recvfrom" | "sendto", 4) => "address of the peer's address",
        ("mmap" | "mprotect", 2) => "prot",
        ("mmap" | "mremap", 3) | ("openat", 2) | ("clone", 0) => "flags",
        ("madvise", 2) => "advice",
        ("futex", 1) | ("prctl" | "arch_prctl", 0) => "operation",
        ("membarrier", 0) => "command",
        ("fcntl", 1) => "command",
        ("clock_gettime" | "clock_nanosleep", 0) => "clock",
        ("prlimit64", 0) => "process",
        ("prlimit64", 2) => "address of the new limit",
        ("rt_sigaction", 0) => "signal",
        _ => return format!("argument {arg}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Width;

    fn one_of(width: Width, mask: u64, values: &[u64]) -> Condition {
        Condition {
            arg: 0,
            width,
            test: Test::OneOf {
                mask,
                values: values.to_vec(),
            },
        }
    }

    #[test]
    fn conditions_read_as_sentences() {
        let fd = one_of(Width::Int, 0xFFFF_FFFF, &[1, 2]);
        assert_eq!(words("write", &fd), "fd is 1 or 2");
        let none = one_of(Width::Int, 0x243, &[0]);
        assert_eq!(words("x", &none), "argument 0 has none of the bits 0x243");
        let flags = one_of(Width::Long, !0x10, &[0x22, 0x3d0f00, 1]);
        assert_eq!(
            words("clone", &flags),
            "flags is 0x22, 0x3d0f00 or 1, leaving bits 0x10 aside"
        );
        let clock = Condition {
            test: Test::AtMost(7),
            ..fd
        };
        assert_eq!(words("clock_gettime", &clock), "clock is at most 7");
    }

    #[test]
    fn every_condition_of_the_builtin_profiles_names_its_argument() {
        for (name, _) in Profile::BUILTIN {
            for (arch, phase) in Arch::ALL
                .into_iter()
                .flat_map(|a| Phase::ALL.map(|p| (a, p)))
            {
                for call in Profile::builtin(name).unwrap().explain(arch, phase).calls {
                    let text = call.conditions.join(", ");
                    assert!(!text.contains("argument"), "{}: {text}", call.name);
                    assert!(!call.why.is_empty() && !call.why.contains('\n'));
                }
            }
        }
    }

    #[test]
    fn an_explanation_has_every_entry_of_its_phase() {
        let single = Profile::builtin("single").unwrap();
        let count = |phase, outcome: fn(Outcome) -> bool| {
            let calls = single.explain(Arch::X86_64, phase).calls;
            calls.iter().filter(|call| outcome(call.outcome)).count()
        };
        let any = |_: Outcome| true;
        let softly = |o: Outcome| matches!(o, Outcome::Refused(_) | Outcome::RefusedByDaemon(_));
        let on_x86 = |rule: &&Rule| rule.number(Arch::X86_64).is_some();
        let soft = single.soft().iter().map(|soft| &soft.rule);
        let (run, soft) = (single.run().len(), soft.filter(on_x86).count());
        let load = single.load().iter().filter(on_x86).count();
        assert_eq!(count(Phase::Load, any), run + load + soft);
        assert_eq!(count(Phase::Run, any), run + soft + single.notified().len());
        assert_eq!(count(Phase::Run, softly), soft + single.notified().len());
    }
}
