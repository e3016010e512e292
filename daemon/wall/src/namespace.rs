//! Namespaces: views of the kernel that a process can have for itself.

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// User and group ids, capabilities. The others come with it, without privilege.
    User,
    /// Process ids.
    Pid,
    /// Network.
    Net,
    /// System V IPC, POSIX message queues.
    Ipc,
    /// Host name.
    Uts,
    /// Mounts.
    Mount,
}

impl Namespace {
    /// Every kind a worker leaves.
    pub const ALL: [Namespace; 6] = [
        Namespace::User,
        Namespace::Pid,
        Namespace::Net,
        Namespace::Ipc,
        Namespace::Uts,
        Namespace::Mount,
    ];

    /// Its short name.
    pub const fn name(self) -> &'static str {
        match self {
            Namespace::User => "user",
            Namespace::Pid => "pid",
            Namespace::Net => "net",
            Namespace::Ipc => "ipc",
            Namespace::Uts => "uts",
            Namespace::Mount => "mount",
        }
    }

    /// Its link below `/proc/PID/ns`.
    pub(crate) const fn link(self) -> &'static str {
        match self {
            Namespace::Mount => "mnt",
            other => other.name(),
        }
    }

    pub(crate) const fn flag(self) -> libc::c_int {
        match self {
            Namespace::User => libc::CLONE_NEWUSER,
            Namespace::Pid => libc::CLONE_NEWPID,
            Namespace::Net => libc::CLONE_NEWNET,
            Namespace::Ipc => libc::CLONE_NEWIPC,
            Namespace::Uts => libc::CLONE_NEWUTS,
            Namespace::Mount => libc::CLONE_NEWNS,
        }
    }
}
