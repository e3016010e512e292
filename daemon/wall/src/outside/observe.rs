//! How a worker is confined, in the kernel's words and not in its own.

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
    /// Its file descriptors in ascending order, and what each refers to.
    pub fds: Option<Vec<(i32, PathBuf)>>,
}

impl Observed {
    /// Looks at the process `pid` now.
    pub fn of(pid: i32) -> Observed {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let of_line =
                |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().parse());
            status.lines().find_map(of_line)?.ok()
        };
        Observed {
            no_new_privs: field("NoNewPrivs").map(|value: u32| value == 1),
            seccomp: field("Seccomp"),
            seccomp_filters: field("Seccomp_filters"),
            threads: field("Threads"),
            fds: fds(pid),
        }
    }
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
