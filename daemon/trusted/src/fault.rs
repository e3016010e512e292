//! What went wrong with a worker, and what to tell whom.

use coldshoe_control::Trouble;
use coldshoe_control::client::{ErrorCode, FaultReason};
use coldshoe_control::worker::{Failed, Stage};
use coldshoe_wall::outside::Exit;

/// A worker that is gone or must go.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) reason: FaultReason,
    pub(crate) trouble: Trouble,
}

impl Fault {
    pub(crate) fn new(
        reason: FaultReason,
        what: impl AsRef<str>,
        why: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) -> Self {
        let trouble = Trouble::new(ErrorCode::ModuleFailed, what, why, remedy);
        Self { reason, trouble }
    }

    /// The worker's process has ended by itself.
    pub(crate) fn ended(module: &str, exit: Exit, doing: &str) -> Self {
        let reason = match exit {
            Exit::Exited(_) => FaultReason::Exit,
            Exit::Signaled { .. } if exit.is_violation() => FaultReason::Violation,
            Exit::Signaled { .. } => FaultReason::Crash,
        };
        Self::new(
            reason,
            format!("module {module:?} failed {doing}"),
            format!("its process {exit}"),
            "see what the module logged, and report this to its author",
        )
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

/// A verb or a step that failed while the worker is well.
pub(crate) fn failed(module: &str, failed: &Failed) -> Trouble {
    let (code, remedy) = match failed.stage() {
        Stage::Confine => (
            ErrorCode::SandboxUnavailable,
            "the kernel must offer seccomp and Landlock: without them nothing is loaded",
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
}
