//! Resource limits.

use std::io;

/// A resource that a worker has a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Heap and private writable memory, bytes.
    Data,
    /// All mappings together, used or not, bytes.
    As,
    /// Stack, bytes; takes effect on exec.
    Stack,
    /// One more than the highest file descriptor.
    Nofile,
    /// Size of a file it may write, bytes.
    Fsize,
    /// Core dump, bytes.
    Core,
    /// Locked memory, bytes.
    Memlock,
    /// POSIX message queues, bytes.
    Msgqueue,
    /// Real-time priority.
    Rtprio,
    /// Processes and threads of its user, in its own user namespace.
    Nproc,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Limit; 10] = [
        Limit::Data,
        Limit::As,
        Limit::Stack,
        Limit::Nofile,
        Limit::Fsize,
        Limit::Core,
        Limit::Memlock,
        Limit::Msgqueue,
        Limit::Rtprio,
        Limit::Nproc,
    ];

    /// The kernel's name in lower case, without `RLIMIT_`.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::Data => "data",
            Limit::As => "as",
            Limit::Stack => "stack",
            Limit::Nofile => "nofile",
            Limit::Fsize => "fsize",
            Limit::Core => "core",
            Limit::Memlock => "memlock",
            Limit::Msgqueue => "msgqueue",
            Limit::Rtprio => "rtprio",
            Limit::Nproc => "nproc",
        }
    }

    /// The limit of that [`name`](Limit::name).
    pub fn from_name(name: &str) -> Option<Limit> {
        Self::ALL.into_iter().find(|limit| limit.name() == name)
    }

    /// What `/proc/PID/limits` calls it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Limit::Data => "Max data size",
            Limit::As => "Max address space",
            Limit::Stack => "Max stack size",
            Limit::Nofile => "Max open files",
            Limit::Fsize => "Max file size",
            Limit::Core => "Max core file size",
            Limit::Memlock => "Max locked memory",
            Limit::Msgqueue => "Max msgqueue size",
            Limit::Rtprio => "Max realtime priority",
            Limit::Nproc => "Max processes",
        }
    }

    pub(crate) const fn resource(self) -> libc::__rlimit_resource_t {
        match self {
            Limit::Data => libc::RLIMIT_DATA,
            Limit::As => libc::RLIMIT_AS,
            Limit::Stack => libc::RLIMIT_STACK,
            Limit::Nofile => libc::RLIMIT_NOFILE,
            Limit::Fsize => libc::RLIMIT_FSIZE,
            Limit::Core => libc::RLIMIT_CORE,
            Limit::Memlock => libc::RLIMIT_MEMLOCK,
            Limit::Msgqueue => libc::RLIMIT_MSGQUEUE,
            Limit::Rtprio => libc::RLIMIT_RTPRIO,
            Limit::Nproc => libc::RLIMIT_NPROC,
        }
    }

    /// What to set so that no more than `value` is left, soft and hard alike. A hard limit that is
    /// lower already stays: only root could raise it, and nobody should.
    pub(crate) fn lowered(self, value: u64) -> io::Result<libc::rlimit> {
        let mut now = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `now` is a valid rlimit that outlives the call.
        if unsafe { libc::getrlimit(self.resource(), &mut now) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let value = value.min(now.rlim_max);
        Ok(libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        })
    }

    /// Leaves this process no more than `value`.
    pub(crate) fn set(self, value: u64) -> io::Result<()> {
        let limit = self.lowered(value)?;
        // SAFETY: `limit` is a valid rlimit that outlives the call.
        if unsafe { libc::setrlimit(self.resource(), &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe_jail::Profile;

    #[test]
    fn every_limit_of_a_profile_is_known_by_its_name() {
        for (name, _) in Profile::builtin("single").unwrap().limits().inside() {
            assert_eq!(Limit::from_name(name).map(Limit::name), Some(name));
        }
    }

    #[test]
    fn a_lower_hard_limit_is_kept() {
        let now = Limit::Nofile.lowered(u64::MAX).unwrap();
        assert_eq!(
            Limit::Nofile.lowered(u64::MAX - 1).unwrap().rlim_max,
            now.rlim_max
        );
        assert_eq!(Limit::Nofile.lowered(1).unwrap().rlim_max, 1);
    }

    #[test]
    fn profiles_and_workers_mean_the_same_descriptors() {
        let profile = [
            coldshoe_jail::FD_NULL,
            coldshoe_jail::FD_STDOUT,
            coldshoe_jail::FD_STDERR,
            coldshoe_jail::FD_CONTROL,
            coldshoe_jail::FD_BELL,
        ];
        assert_eq!(profile, crate::FDS);
    }
}
