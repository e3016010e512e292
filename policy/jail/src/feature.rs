//! What a kernel may lack, and what that means.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How much a missing feature matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Without it nothing runs, whatever a profile says.
    Mandatory,
    /// Without it nothing runs, unless `allow_degraded` of the profile names it.
    Required,
    /// Without it sessions run, and the report says what stands in for it.
    Reported,
}

/// A part of the jail that not every kernel, or not every process, can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Feature {
    /// Seccomp with user notification and "continue".
    SeccompNotify,
    /// `NO_NEW_PRIVS`.
    NoNewPrivs,
    /// Landlock, any version.
    Landlock,
    /// `F_SEAL_FUTURE_WRITE` on shared memory.
    FutureWriteSeal,
    /// A user namespace whose id maps can be written.
    UserNamespace,
    /// A pid namespace.
    PidNamespace,
    /// A network namespace.
    NetNamespace,
    /// An IPC namespace.
    IpcNamespace,
    /// A mount namespace, and with it a root directory of its own.
    MountNamespace,
    /// A UTS namespace.
    UtsNamespace,
    /// Landlock for truncating files (ABI 3).
    LandlockTruncate,
    /// Landlock for TCP (ABI 4).
    LandlockNetwork,
    /// Landlock for ioctl on devices (ABI 5).
    LandlockIoctl,
    /// Landlock scopes for signals and abstract sockets (ABI 6).
    LandlockScopes,
    /// Landlock refusals in the audit log (ABI 7).
    LandlockAudit,
    /// Landlock over all threads at once (ABI 8).
    LandlockTsync,
    /// Landlock for connecting to sockets by path (ABI 9).
    LandlockUnixConnect,
    /// `PR_SET_MDWE`: the kernel itself refuses writable memory that becomes executable.
    Mdwe,
    /// `PR_SET_SPECULATION_CTRL` for store bypass and indirect branches, or a processor that needs none.
    SpeculationControls,
    /// cgroup limits in a subtree that belongs to the daemon.
    CgroupLimits,
    /// `PR_SCHED_CORE`: no foreign thread on the sibling of a worker's core.
    CoreScheduling,
}

impl Feature {
    /// All of them, the gravest first.
    pub const ALL: [Feature; 21] = [
        Feature::SeccompNotify,
        Feature::NoNewPrivs,
        Feature::Landlock,
        Feature::FutureWriteSeal,
        Feature::UserNamespace,
        Feature::PidNamespace,
        Feature::NetNamespace,
        Feature::IpcNamespace,
        Feature::MountNamespace,
        Feature::UtsNamespace,
        Feature::LandlockTruncate,
        Feature::LandlockNetwork,
        Feature::LandlockIoctl,
        Feature::LandlockScopes,
        Feature::LandlockAudit,
        Feature::LandlockTsync,
        Feature::LandlockUnixConnect,
        Feature::Mdwe,
        Feature::SpeculationControls,
        Feature::CgroupLimits,
        Feature::CoreScheduling,
    ];

    /// Its name, as profiles and reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::SeccompNotify => "seccomp_notify",
            Feature::NoNewPrivs => "no_new_privs",
            Feature::Landlock => "landlock",
            Feature::UserNamespace => "user_namespace",
            Feature::PidNamespace => "pid_namespace",
            Feature::NetNamespace => "net_namespace",
            Feature::IpcNamespace => "ipc_namespace",
            Feature::MountNamespace => "mount_namespace",
            Feature::FutureWriteSeal => "future_write_seal",
            Feature::UtsNamespace => "uts_namespace",
            Feature::LandlockTruncate => "landlock_truncate",
            Feature::LandlockNetwork => "landlock_network",
            Feature::LandlockIoctl => "landlock_ioctl",
            Feature::LandlockScopes => "landlock_scopes",
            Feature::LandlockAudit => "landlock_audit",
            Feature::LandlockTsync => "landlock_tsync",
            Feature::LandlockUnixConnect => "landlock_unix_connect",
            Feature::Mdwe => "mdwe",
            Feature::SpeculationControls => "speculation_controls",
            Feature::CgroupLimits => "cgroup_limits",
            Feature::CoreScheduling => "core_scheduling",
        }
    }

    /// The feature of that [`name`](Feature::name).
    pub fn from_name(name: &str) -> Option<Feature> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }

    /// What happens when it is missing.
    pub const fn grade(self) -> Grade {
        match self {
            Feature::SeccompNotify
            | Feature::NoNewPrivs
            | Feature::Landlock
            | Feature::FutureWriteSeal => Grade::Mandatory,
            Feature::UserNamespace
            | Feature::PidNamespace
            | Feature::NetNamespace
            | Feature::IpcNamespace
            | Feature::MountNamespace => Grade::Required,
            _ => Grade::Reported,
        }
    }

    /// What holds in its place when it is missing, or what is lost.
    pub const fn without(self) -> &'static str {
        match self {
            Feature::SeccompNotify => "nothing could hold the phases apart; Linux 5.5 has it",
            Feature::NoNewPrivs => "neither seccomp nor Landlock could be used; Linux 3.5 has it",
            Feature::Landlock => {
                "files would be held by nothing while loading; Linux 5.13 with \
                 CONFIG_SECURITY_LANDLOCK and `landlock` in lsm= has it"
            }
            Feature::UserNamespace => {
                "no other namespace for an unprivileged daemon, and no limit of threads of its \
                 own; the system call filter and Landlock stand alone"
            }
            Feature::PidNamespace => {
                "other processes have numbers; the system call filter refuses every call that \
                 takes one"
            }
            Feature::NetNamespace => "networks exist; the system call filter refuses every socket",
            Feature::IpcNamespace => {
                "System V and POSIX queues exist; the system call filter refuses their calls"
            }
            Feature::MountNamespace => {
                "all files have names; Landlock refuses to open all but libraries, the system \
                 call filter refuses the rest"
            }
            Feature::FutureWriteSeal => {
                "the worker could write the statistics, and every segment without that seal is \
                 refused; Linux 5.1 has it"
            }
            Feature::UtsNamespace => "the host's name can be read while loading, never changed",
            Feature::LandlockTruncate => {
                "the gate refuses truncate and open with O_TRUNC; limits.fsize is 0"
            }
            Feature::LandlockNetwork | Feature::LandlockScopes | Feature::LandlockUnixConnect => {
                "the system call filter refuses socket and kill"
            }
            Feature::LandlockIoctl => "the system call filter refuses ioctl",
            Feature::LandlockAudit => "refusals of Landlock leave no trace in the audit log",
            Feature::LandlockTsync => {
                "Landlock holds one thread; the worker has one when it is applied"
            }
            Feature::Mdwe => "the conditions on mmap and mprotect; Linux 6.3 has it",
            Feature::SpeculationControls => "the kernel's own defaults against speculation",
            Feature::CgroupLimits => "limits of the process: limits.data and limits.threads",
            Feature::CoreScheduling => "a sibling thread of the core may run foreign code",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_known_by_its_name() {
        for feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(feature));
            let text = format!("of = '{feature}'");
            let read: std::collections::BTreeMap<String, Feature> = toml::from_str(&text).unwrap();
            assert_eq!(read["of"], feature);
        }
        assert_eq!(Feature::from_name("seatbelt"), None);
    }
}
