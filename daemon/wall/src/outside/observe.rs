//! How a worker is confined, in the kernel's words and not in its own.

use crate::{Limit, Namespace};
use std::fs;
use std::path::PathBuf;

/// What `/proc` says about a process. A field is `None` where the kernel does not tell us, as of
/// a process that has ended or that is not ours to look into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// It can never gain privileges.
    pub no_new_privs: Option<bool>,
    /// Its seccomp mode: 0 none, 2 filters.
    pub seccomp: Option<u32>,
    /// How many filters are in force (Linux 5.9).
    pub seccomp_filters: Option<u32>,
    /// How many threads it has.
    pub threads: Option<u32>,
    /// All capabilities it has or could have: effective, permitted, inheritable, ambient, bounding.
    pub capabilities: Option<u64>,
    /// Its user id, as the kernel and we see it.
    pub uid: Option<u32>,
    /// Its number in each pid namespace, the outermost first.
    pub pids: Option<Vec<i32>>,
    /// What is done against speculation past stores.
    pub speculation: Option<String>,
    /// Its resource limits; the soft one where they differ. The highest value: unlimited.
    pub limits: Option<Vec<(Limit, u64)>>,
    /// Its file descriptors in ascending order, and what each refers to.
    pub fds: Option<Vec<(i32, PathBuf)>>,
}

impl Observed {
    /// Looks at the process `pid` now.
    pub fn of(pid: i32) -> Observed {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let text = |name: &str| {
            let of_line = |line: &'_ str| {
                let rest = line.strip_prefix(name)?.strip_prefix(':')?;
                Some(rest.trim().to_owned())
            };
            status.lines().find_map(of_line)
        };
        let number = |name: &str| text(name)?.parse().ok();
        let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        let mask = |name: &str| u64::from_str_radix(&text(name)?, 16).ok();
        Observed {
            no_new_privs: number("NoNewPrivs").map(|value: u32| value == 1),
            seccomp: number("Seccomp"),
            seccomp_filters: number("Seccomp_filters"),
            threads: number("Threads"),
            capabilities: sets.iter().try_fold(0, |all, name| Some(all | mask(name)?)),
            uid: text("Uid").and_then(|ids| ids.split_whitespace().next()?.parse().ok()),
            pids: text("NSpid")
                .and_then(|ids| ids.split_whitespace().map(|id| id.parse().ok()).collect()),
            speculation: text("Speculation_Store_Bypass"),
            limits: limits(pid),
            fds: fds(pid),
        }
    }
}

/// For each of `kinds` whether the process `pid` has one of its own, that is: another than ours.
/// `None` where the kernel does not tell, as of a process that does not want to be looked into.
pub fn own_namespaces(pid: i32, kinds: &[Namespace]) -> Vec<(Namespace, Option<bool>)> {
    let link = |process: &str, kind: Namespace| {
        fs::read_link(format!("/proc/{process}/ns/{}", kind.link())).ok()
    };
    kinds
        .iter()
        .map(|kind| {
            let (ours, its) = (link("self", *kind), link(&pid.to_string(), *kind));
            (*kind, ours.zip(its).map(|(ours, its)| ours != its))
        })
        .collect()
}

/// `/proc/PID/limits`, whose columns have fixed widths and names with blanks.
fn limits(pid: i32) -> Option<Vec<(Limit, u64)>> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let limit = |line: &str| {
        let (limit, rest) = Limit::ALL
            .into_iter()
            .find_map(|limit| Some((limit, line.strip_prefix(limit.label())?)))?;
        let soft = rest.split_whitespace().next()?;
        let value = match soft {
            "unlimited" => u64::MAX,
            number => number.parse().ok()?,
        };
        Some((limit, value))
    };
    Some(text.lines().filter_map(limit).collect())
}

fn fds(pid: i32) -> Option<Vec<(i32, PathBuf)>> {
    let mut fds = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        fds.push((number, fs::read_link(entry.path()).ok()?));
    }
    fds.sort();
    Some(fds)
}

/// The Landlock ABI of the running kernel, or `None` where it has none or has it switched off.
pub fn landlock_abi() -> Option<u32> {
    const CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the kernel takes no memory and answers its version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).ok().filter(|version| *version > 0)
}
