//! What went wrong with a worker, and what to tell whom.

use coldshoe_control::Trouble;
use coldshoe_control::client::{ErrorCode, FaultReason};
use coldshoe_control::worker::{Failed, Stage};
use coldshoe_wall::outside::Exit;

use crate::gate::{Broken, Kind};

/// A worker that is gone or must go.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) reason: FaultReason,
    pub(crate) trouble: Trouble,
    /// The daemon has seen it itself, and not only heard of it.
    pub(crate) witnessed: bool,
}

impl Fault {
    pub(crate) fn new(
        reason: FaultReason,
        what: impl AsRef<str>,
        why: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) -> Self {
        let trouble = Trouble::new(ErrorCode::ModuleFailed, what, why, remedy);
        Self {
            reason,
            trouble,
            witnessed: true,
        }
    }

    /// A verb or a step that failed where a worker could not do without.
    pub(crate) fn refused(trouble: Trouble) -> Self {
        Self {
            reason: FaultReason::Load,
            trouble,
            witnessed: true,
        }
    }

    /// Somebody who may has put the module out of use.
    pub(crate) fn evicted(module: &str, why: &str) -> Self {
        let fault = Self::new(
            FaultReason::Unspecified,
            format!("module {module:?} was put into quarantine"),
            why,
            format!("`coldshoectl module release {module}` lifts that"),
        );
        Self {
            witnessed: false,
            ..fault
        }
    }

    /// The pipeline says that no answers come.
    pub(crate) fn stalled(module: &str, frame: u64) -> Self {
        let fault = Self::new(
            FaultReason::Deadline,
            format!("module {module:?} hangs in a frame"),
            format!(
                "its pipeline has missed every answer up to frame {frame}; its worker was killed"
            ),
            "report this to the module's author, or give its frames more time",
        );
        Self {
            witnessed: false,
            ..fault
        }
    }

    /// The pipeline says that answers cannot be used.
    pub(crate) fn unusable(module: &str, frame: u64) -> Self {
        let fault = Self::new(
            FaultReason::Protocol,
            format!("the answers of module {module:?} cannot be used"),
            format!(
                "its pipeline has refused every answer up to frame {frame}; its worker was killed"
            ),
            "see the pipeline's log, and report this to the module's author",
        );
        Self {
            witnessed: false,
            ..fault
        }
    }

    /// The pipeline says that the module keeps asking for what its contract does not allow.
    pub(crate) fn outside_contract(module: &str, frame: u64) -> Self {
        let fault = Self::new(
            FaultReason::Contract,
            format!("module {module:?} does not keep to its contract"),
            format!(
                "up to frame {frame} too many of its answers held what the contract of their format \
                 does not allow; its worker was killed"
            ),
            "see the pipeline's log and `coldshoectl contract audit`, and report this to the module's \
             author",
        );
        Self {
            witnessed: false,
            ..fault
        }
    }

    /// The worker tried what its jail forbids, or the daemon lost hold of its gate.
    pub(crate) fn broken(module: &str, broken: &Broken, doing: &str, profile: &str) -> Self {
        let violation = match broken {
            Broken::Violation(violation) => violation,
            Broken::Lost(why) => {
                let why = format!("its gate could not be kept: {why}; its worker was killed");
                return Self::launch(module, why);
            }
        };
        let call = &violation.call;
        let escape = "see what the module does there, and report it to its author: a module computes \
                      and does nothing else";
        let (reason, what, why, remedy) = match violation.kind {
            Kind::Abort => (
                FaultReason::Crash,
                format!("module {module:?} aborted {doing}"),
                format!("it called abort(): {call}"),
                "see what the module logged, and report this to its author".to_owned(),
            ),
            Kind::Thread => (
                FaultReason::Violation,
                format!("module {module:?} tried to start a thread {doing}"),
                format!("it called {call}; the profile {profile:?} has one thread"),
                "use a build of the module that works on one thread, or start coldshoed with \
                 --profile threaded"
                    .to_owned(),
            ),
            Kind::Budget => (
                FaultReason::Violation,
                format!("module {module:?} kept asking for what it cannot have {doing}"),
                format!("its last try was {call}, and it had been refused too often before"),
                escape.to_owned(),
            ),
            Kind::LoadBudget => (
                FaultReason::Violation,
                format!("module {module:?} asked for more than loading takes, {doing}"),
                format!("its last call was {call}, and it had made too many such calls before"),
                "see what its constructors and create() do, and report it to its author: tuning \
                 data comes as bytes, and nothing else is to be looked for"
                    .to_owned(),
            ),
            Kind::Other => (
                FaultReason::Violation,
                format!("module {module:?} tried to break out of its jail {doing}"),
                format!("it called {call}; its worker was killed"),
                escape.to_owned(),
            ),
        };
        Self::new(reason, what, why, remedy)
    }

    /// The worker's process has ended by itself.
    pub(crate) fn ended(module: &str, exit: Exit, doing: &str) -> Self {
        let reason = match exit {
            Exit::Exited(_) => FaultReason::Exit,
            Exit::Unknown => FaultReason::Unspecified,
            Exit::Signaled { .. } if exit.is_violation() => FaultReason::Violation,
            Exit::Signaled { .. } => FaultReason::Crash,
        };
        let core = match exit {
            Exit::Signaled { core: true, .. } => ", and left a core dump",
            Exit::Signaled { .. } => ", no core dump",
            Exit::Exited(_) | Exit::Unknown => "",
        };
        Self::new(
            reason,
            format!("module {module:?} failed {doing}"),
            format!("its process {exit}{core}"),
            "see what the module logged, and report this to its author",
        )
    }

    /// The same, of one that had taken `peak` bytes of the `limit` that it may have. What a module
    /// does that gets no memory is its own affair; how much it had the kernel tells.
    pub(crate) fn of_memory(self, peak: Option<u64>, limit: u64) -> Self {
        let much = peak.filter(|peak| *peak >= limit / 4 * 3);
        let Some(peak) = much.filter(|_| self.reason == FaultReason::Crash) else {
            return self;
        };
        let (peak, limit) = (peak >> 20, limit >> 20);
        let mut fault = self;
        fault.reason = FaultReason::Memory;
        fault.trouble.why = format!(
            "{}; it had {peak} MiB of memory, and may have {limit} MiB",
            fault.trouble.why
        );
        fault.trouble.remedy =
            "report this to the module's author; the profile's limit is data".to_owned();
        fault
    }

    /// The worker did not answer in time.
    pub(crate) fn late(module: &str, doing: &str, limit: std::time::Duration) -> Self {
        Self::new(
            FaultReason::Deadline,
            format!("module {module:?} hung {doing}"),
            format!(
                "no answer within {} ms; its worker was killed",
                limit.as_millis()
            ),
            "report this to the module's author",
        )
    }

    /// The worker said what it must not.
    pub(crate) fn protocol(module: &str, why: impl std::fmt::Display) -> Self {
        Self::new(
            FaultReason::Protocol,
            format!("the worker of module {module:?} broke the control protocol"),
            why.to_string(),
            "report this to the module's author: nothing but coldshoe's own code may speak there",
        )
    }

    /// The client says why its application cannot have more of this worker.
    pub(crate) fn withheld(module: &str, reason: FaultReason, why: &str) -> Self {
        let fault = Self::new(
            reason,
            format!("the worker of module {module:?} says what its application must not hear"),
            why,
            "report this to the module's author",
        );
        Self {
            witnessed: false,
            ..fault
        }
    }

    /// The worker could not be started at all.
    pub(crate) fn launch(module: &str, why: impl std::fmt::Display) -> Self {
        let mut fault = Self::new(
            FaultReason::Load,
            format!("no worker could be started for module {module:?}"),
            why.to_string(),
            "see the daemon's log; is the installation complete?",
        );
        fault.trouble.code = ErrorCode::Internal;
        fault
    }
}

/// What a step cannot have failed at, by what the worker had to do: its module speaks.
pub(crate) fn misplaced(module: &str, failed: &Failed) -> Fault {
    let stage = failed.stage().as_str_name().to_lowercase();
    let stage = stage.trim_start_matches("stage_");
    Fault::protocol(
        module,
        format!("it sent Failed at the stage {stage:?}, which it was not at"),
    )
}

/// A verb or a step that failed while the worker is well.
pub(crate) fn failed(module: &str, failed: &Failed) -> Trouble {
    let (code, remedy) = match failed.stage() {
        Stage::Confine => (
            ErrorCode::SandboxUnavailable,
            "see `coldshoectl check` for what this kernel can do; nothing is loaded without a jail",
        ),
        Stage::Load => (
            ErrorCode::ModuleFailed,
            "install what the module needs, or mend its build",
        ),
        Stage::Abi => (
            ErrorCode::ModuleRefused,
            "install a build of the module that fits this coldshoe",
        ),
        Stage::Create | Stage::Configure | Stage::Start | Stage::Stop => (
            ErrorCode::ModuleFailed,
            "mend the tuning file or the request it names, or ask the module's author",
        ),
        Stage::Segment => (ErrorCode::BadSegment, "open the session again"),
        Stage::Protocol | Stage::Unspecified => (
            ErrorCode::BadState,
            "configure, then start; stop before configuring again",
        ),
    };
    let what = format!("module {module:?}: {}", failed.what);
    Trouble::new(code, what, &failed.why, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Violation;

    #[test]
    fn each_way_to_end_has_its_reason() {
        let reason = |exit| Fault::ended("m", exit, "in a frame").reason;
        let signaled = |signal| Exit::Signaled {
            signal,
            core: false,
        };
        assert_eq!(reason(Exit::Exited(0)), FaultReason::Exit);
        assert_eq!(reason(signaled(11)), FaultReason::Crash);
        assert_eq!(reason(signaled(31)), FaultReason::Violation);
    }

    #[test]
    fn a_fault_tells_whether_a_core_was_dumped() {
        let text = |core| {
            let exit = Exit::Signaled { signal: 11, core };
            Fault::ended("m", exit, "in a frame").trouble.why
        };
        assert_eq!(text(false), "its process crashed (SIGSEGV), no core dump");
        assert!(text(true).ends_with(", and left a core dump"));
    }

    #[test]
    fn a_crash_with_little_memory_left_is_one_of_memory() {
        let crash = |peak| {
            let exit = Exit::Signaled {
                signal: 11,
                core: false,
            };
            Fault::ended("m", exit, "in a frame").of_memory(peak, 512 << 20)
        };
        assert_eq!(crash(Some(100 << 20)).reason, FaultReason::Crash);
        assert_eq!(crash(None).reason, FaultReason::Crash);
        let fault = crash(Some(500 << 20));
        assert_eq!(fault.reason, FaultReason::Memory);
        assert!(fault.trouble.why.contains("500 MiB"), "{}", fault.trouble);
        let exit = Fault::ended("m", Exit::Exited(1), "in a frame");
        assert_eq!(exit.of_memory(Some(1 << 40), 1).reason, FaultReason::Exit);
    }

    #[test]
    fn a_fault_names_the_module_and_the_signal() {
        let exit = Exit::Signaled {
            signal: 11,
            core: false,
        };
        let text = Fault::ended("acme", exit, "while loading")
            .trouble
            .to_string();
        assert!(
            text.contains("\"acme\"") && text.contains("SIGSEGV"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_violation_tells_call_and_place_and_what_a_thread_needs() {
        let fault = |kind| {
            let call = "execve(0x1, 0x2) at module.so+0x1a2b in LOAD".to_owned();
            let broken = Broken::Violation(Violation { kind, call });
            Fault::broken("acme", &broken, "while loading", "single")
        };
        let text = fault(Kind::Other).trouble.to_string();
        for word in [
            "\"acme\"",
            "while loading",
            "execve",
            "module.so+0x1a2b",
            "LOAD",
        ] {
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(fault(Kind::Other).reason, FaultReason::Violation);
        assert_eq!(fault(Kind::Abort).reason, FaultReason::Crash);
        let remedy = fault(Kind::Thread).trouble.remedy;
        assert!(remedy.contains("--profile threaded"), "{remedy}");
    }
}
