//! How a worker is confined: what the daemon did and what the kernel says, not what the worker says
//! of itself once there is a module in it.
//!
//! Landlock and the refusal of new executable memory (MDWE) the kernel shows to nobody. Of them the
//! report has what was asked for: the worker's own stages, which end where the kernel refuses one,
//! had confirmed it before the module was loaded.

use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

use coldshoe_control::client::{Confinement, Limit};
use coldshoe_jail::Feature;
use coldshoe_wall::Namespace;
use coldshoe_wall::outside::Observed;
use rustix::fs::{SealFlags, fcntl_get_seals};

use crate::jailer::Jailer;
use crate::processors::Lease;

/// Seccomp mode 2: filters.
const FILTERS: u32 = 2;

/// What Landlock takes away, by the ABI it came with.
const LANDLOCK: [(u32, &[&str]); 8] = [
    (
        1,
        &[
            "execute",
            "write_file",
            "read_file",
            "read_dir",
            "remove_dir",
            "remove_file",
            "make_char",
            "make_dir",
            "make_reg",
            "make_sock",
            "make_fifo",
            "make_block",
            "make_sym",
        ],
    ),
    (2, &["refer"]),
    (3, &["truncate"]),
    (4, &["bind_tcp", "connect_tcp"]),
    (5, &["ioctl_dev"]),
    (6, &["scope: abstract unix sockets", "scope: signals"]),
    (9, &["resolve_unix"]),
    (10, &["bind_udp", "connect_send_udp"]),
];

/// The names of seals, in the kernel's order.
const SEALS: [(SealFlags, &str); 5] = [
    (SealFlags::SEAL, "seal"),
    (SealFlags::SHRINK, "shrink"),
    (SealFlags::GROW, "grow"),
    (SealFlags::WRITE, "write"),
    (SealFlags::FUTURE_WRITE, "future_write"),
];

/// What the daemon knows of a worker before it looks.
pub(crate) struct Known<'a> {
    pub(crate) jailer: &'a Jailer,
    pub(crate) pid: i32,
    /// The namespaces it was to leave, and whether it was seen to have.
    pub(crate) namespaces: &'a [(Namespace, Option<bool>)],
    /// The memory it shares or was given, by name.
    pub(crate) memory: &'a [(&'a str, BorrowedFd<'a>)],
    /// Limits of its control group.
    pub(crate) cgroup: &'a [String],
    /// What that group does not limit, and why.
    pub(crate) no_cgroup: Option<String>,
    /// Where its profile wants a processor of its own: that one, if there was one to have.
    pub(crate) processor: Option<Option<&'a Lease>>,
}

/// The confinement of a worker. An error says what is missing, and then nothing may run there.
pub(crate) fn confinement(known: &Known<'_>) -> Result<Confinement, String> {
    let seen = Observed::of(known.pid);
    let jailer = known.jailer;
    if seen.no_new_privs != Some(true) {
        return Err("the kernel does not report NoNewPrivs for it".into());
    }
    let ours = Observed::of(std::process::id().cast_signed());
    // Those that this daemon is under itself are inherited, and do not count.
    let in_force = seen.seccomp_filters.unwrap_or(0);
    let added = in_force.saturating_sub(ours.seccomp_filters.unwrap_or(0));
    if seen.seccomp != Some(FILTERS) || added == 0 {
        return Err("the kernel does not report its filter".into());
    }
    let mut notes = jailer.shortfall.notes.clone();
    let capabilities = capabilities(&seen, jailer, &mut notes)?;
    let namespaces = namespaces(known, &seen, &ours, &mut notes)?;
    let limits = limits(&seen, &jailer.jail.limits)?;
    if let Some(user) = jailer.user
        && seen.uid != Some(user.uid)
    {
        return Err(format!("it does not run as user {}", user.uid));
    }
    match dumpable(owner(known.pid), seen.uid) {
        Some(false) => {}
        Some(true) => return Err("others of its user can look into it (DUMPABLE)".into()),
        None => notes.push("DUMPABLE 0: the kernel does not show it to this daemon".to_owned()),
    }
    if let Some(why) = &known.no_cgroup {
        let feature = Feature::CgroupLimits;
        notes.push(format!("{feature}: {why}; {}", feature.without()));
    }
    match known.processor {
        Some(Some(own)) => notes.push(format!("{own} is its own")),
        Some(None) => notes.push(
            "no processor is set aside, or all are taken (--reserve-cpus): it sleeps until it is \
             woken"
                .to_owned(),
        ),
        None => {}
    }
    let open_files = match seen.fds {
        Some(fds) => fds
            .iter()
            .map(|(fd, target)| format!("{fd}: {}", target.display()))
            .collect(),
        None => {
            notes
                .push("open files: closed to us, too; the worker cannot be looked into".to_owned());
            Vec::new()
        }
    };
    Ok(Confinement {
        no_new_privs: true,
        seccomp_mode: FILTERS,
        seccomp_filters: in_force,
        landlock_abi: jailer.jail.landlock_abi,
        open_files,
        limits,
        notes,
        namespaces,
        landlock_rights: landlock_rights(jailer.jail.landlock_abi),
        capabilities,
        seals: known
            .memory
            .iter()
            .map(|(name, fd)| seals(name, *fd))
            .collect(),
        cgroup: known.cgroup.to_vec(),
        degraded: jailer.shortfall.degraded.clone(),
        speculation: seen.speculation.unwrap_or_default(),
    })
}

/// Whether others of its user can look into a worker. The kernel gives the files of one that is not
/// dumpable to root; of root's own nothing can be told.
fn dumpable(owner: Option<u32>, worker: Option<u32>) -> Option<bool> {
    let (owner, worker) = (owner?, worker?);
    (worker != 0).then_some(owner == worker)
}

/// Who owns the files of a process. The directory itself is always its user's.
fn owner(pid: i32) -> Option<u32> {
    let status = std::fs::metadata(format!("/proc/{pid}/status"));
    status.ok().map(|status| status.uid())
}

/// None at all. An unprivileged user's bounding set is the one thing that only a namespace of its
/// own could empty; NoNewPrivs keeps it from mattering.
fn capabilities(seen: &Observed, jailer: &Jailer, notes: &mut Vec<String>) -> Result<u64, String> {
    let left = seen.capabilities.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(0);
    }
    if jailer.namespaces.contains(&Namespace::User) || jailer.user.is_some() {
        return Err(format!("it has capabilities left: {left:#x}"));
    }
    notes.push("capabilities: the bounding set is not empty; NoNewPrivs holds".to_owned());
    Ok(left)
}

/// The names of those that were seen to be its own.
fn namespaces(
    known: &Known<'_>,
    seen: &Observed,
    ours: &Observed,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let depth = |observed: &Observed| observed.pids.as_ref().map(Vec::len);
    let deeper = depth(seen) > depth(ours);
    let mut names = Vec::new();
    for (kind, own) in known.namespaces {
        let own = match kind {
            // This one shows for the worker's whole life.
            Namespace::Pid => Some(deeper),
            _ => *own,
        };
        match own {
            Some(true) => names.push(kind.name().to_owned()),
            Some(false) => return Err(format!("its {} namespace is ours", kind.name())),
            None => notes.push(format!(
                "{} namespace: the kernel does not show it to this daemon",
                kind.name()
            )),
        }
    }
    Ok(names)
}

/// As the kernel has them, which must be no more than was asked for.
fn limits(seen: &Observed, asked: &[Limit]) -> Result<Vec<Limit>, String> {
    let in_force = seen
        .limits
        .as_ref()
        .ok_or("the kernel does not show its limits")?;
    for Limit { name, value } in asked {
        let found = in_force.iter().find(|(limit, _)| limit.name() == name);
        match found {
            Some((_, found)) if found <= value => {}
            _ => return Err(format!("its limit {name} is not in force")),
        }
    }
    let all = in_force.iter().map(|(limit, value)| Limit {
        name: limit.name().to_owned(),
        value: *value,
    });
    Ok(all.collect())
}

fn landlock_rights(abi: u32) -> Vec<String> {
    let handled = LANDLOCK.iter().filter(|(since, _)| *since <= abi);
    handled
        .flat_map(|(_, rights)| rights.iter().map(|right| (*right).to_owned()))
        .collect()
}

fn seals(name: &str, fd: BorrowedFd<'_>) -> String {
    let Ok(seals) = fcntl_get_seals(fd) else {
        return format!("{name}: unknown");
    };
    let names: Vec<_> = SEALS
        .iter()
        .filter(|(seal, _)| seals.contains(*seal))
        .map(|(_, name)| *name)
        .collect();
    format!("{name}: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_landlock_takes_more_away() {
        assert_eq!(landlock_rights(0).len(), 0);
        assert!(landlock_rights(2).contains(&"refer".to_owned()));
        assert!(!landlock_rights(2).contains(&"truncate".to_owned()));
        assert_eq!(landlock_rights(6), landlock_rights(7));
    }

    #[test]
    fn a_limit_that_is_not_in_force_is_found_out() {
        let seen = Observed::of(std::process::id().cast_signed());
        let asked = |value| {
            [Limit {
                name: "nofile".to_owned(),
                value,
            }]
        };
        assert!(limits(&seen, &asked(u64::MAX)).is_ok());
        assert!(limits(&seen, &asked(1)).unwrap_err().contains("nofile"));
        assert!(limits(&Observed::default(), &[]).is_err());
    }

    #[test]
    fn who_can_be_looked_into_is_told_by_the_owner_of_its_files() {
        assert_eq!(dumpable(Some(0), Some(1000)), Some(false));
        assert_eq!(dumpable(Some(1000), Some(1000)), Some(true));
        assert_eq!(dumpable(Some(0), Some(0)), None);
        assert_eq!(dumpable(None, Some(1000)), None);
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(owner(std::process::id().cast_signed()), Some(own));
    }

    #[test]
    fn seals_are_told_by_name() {
        use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};
        use std::os::fd::AsFd;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = memfd_create("test", flags).unwrap();
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::FUTURE_WRITE).unwrap();
        assert_eq!(
            seals("forward", memory.as_fd()),
            "forward: shrink, future_write"
        );
    }
}
