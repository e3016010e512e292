//! A worker that is made ready beside one that works gives way to it.
//!
//! Loading a module costs milliseconds of a processor, and nobody waits for a standby; frames are
//! waited for. So a standby is made at a lower priority, where the daemon may raise it again: it
//! needs CAP_SYS_NICE or RLIMIT_NICE for that, which the unit grants.

use rustix::io::Errno;
use rustix::process::{Pid, Resource, getrlimit, setpriority_process};
use rustix::thread::{CapabilitySet, capabilities};

/// A tenth of the weight of others.
const LOWERED: i32 = 10;
const USUAL: i32 = 0;
/// RLIMIT_NICE that allows the usual priority: 20 less it.
const ALLOWS_USUAL: u64 = 20;

/// Whether a priority that was lowered can be raised again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Courtesy(bool);

impl Courtesy {
    pub(crate) fn of_this_process() -> Self {
        let limit = getrlimit(Resource::Nice).current;
        let capable =
            || capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_NICE));
        Self(limit.is_none_or(|limit| limit >= ALLOWS_USUAL) || capable())
    }

    /// Lowers the priority of a process with one thread; what it starts has the same. Whether it
    /// did.
    pub(crate) fn lower(self, pid: i32) -> bool {
        self.0 && setpriority_process(Pid::from_raw(pid), LOWERED).is_ok()
    }

    /// Gives all threads of a process the usual priority.
    pub(crate) fn raise(self, pid: i32) -> std::io::Result<()> {
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = thread?.file_name();
            let number = name.to_str().and_then(|name| name.parse().ok());
            match setpriority_process(number.and_then(Pid::from_raw), USUAL) {
                // It has ended since.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn a_process_is_lowered_and_raised_again_where_that_is_allowed() {
        let courtesy = Courtesy::of_this_process();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let priority = || getpriority_process(Some(Pid::from_child(&child))).unwrap();
        let (usual, pid) = (priority(), child.id().cast_signed());
        if courtesy.lower(pid) {
            assert_eq!(priority(), LOWERED);
            courtesy.raise(pid).unwrap();
            assert_eq!(priority(), USUAL);
        } else {
            assert_eq!(priority(), usual, "left as it was");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_and_nothing_else() {
        assert!(Courtesy(true).raise(i32::MAX).is_err());
        assert!(!Courtesy(true).lower(i32::MAX));
    }
}
