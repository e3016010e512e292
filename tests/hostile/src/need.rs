//! What some controls take that not every machine or user has. Each is looked at by itself: a control
//! that fails although what it takes is there proves nothing, and is broken.

use std::fs;

use rustix::fs::{Access, access};
use rustix::process::{Resource, geteuid, getrlimit};

/// One such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    what: &'static str,
    look: Look,
    /// The answers to the attempt itself by which a kernel tells that it has not the feature.
    absent: &'static [i64],
}

/// Where to look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Only the kernel's answer tells.
    Answer,
    /// A capability, by its number, over the whole machine.
    Capable(u32),
    /// A device that this user may open.
    Device(&'static str),
    /// A device that this user may open, and a capability.
    DeviceAnd(&'static str, u32),
    /// A file of the kernel's.
    File(&'static str),
    /// A setting of the kernel with this value, or that capability instead.
    Setting(&'static str, &'static str, u32),
    /// A limit on locked memory that is none.
    Unlocked,
}

const CAP_NET_RAW: u32 = 13;
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_RAWIO: u32 = 17;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_NICE: u32 = 23;
const CAP_SYS_RESOURCE: u32 = 24;
const CAP_BPF: u32 = 39;

const EPERM: i64 = 1;
const ENXIO: i64 = 6;
const ENODEV: i64 = 19;
const EINVAL: i64 = 22;
const ENOSYS: i64 = 38;
const EOPNOTSUPP: i64 = 95;
const EAFNOSUPPORT: i64 = 97;

const fn need(what: &'static str, look: Look, absent: &'static [i64]) -> Need {
    Need { what, look, absent }
}

/// A camera's device.
pub const VIDEO: Need = need("a camera at /dev/video0", Look::Device("/dev/video0"), &[]);
/// A media controller.
pub const MEDIA: Need = need("a camera at /dev/media0", Look::Device("/dev/media0"), &[]);
/// A GPU.
pub const GPU: Need = need(
    "a GPU at /dev/dri/renderD128",
    Look::Device("/dev/dri/renderD128"),
    &[],
);
/// Physical memory. A kernel that is locked down refuses it to root.
pub const MEM: Need = need(
    "root, and a kernel with /dev/mem",
    Look::DeviceAnd("/dev/mem", CAP_SYS_RAWIO),
    &[EPERM],
);
/// A CPUID instruction that can be made to fault.
pub const CPUID_FAULTING: Need = need("a processor with CPUID faulting", Look::Answer, &[ENODEV]);
/// kcmp(2).
pub const KCMP: Need = need("a kernel with kcmp", Look::Answer, &[ENOSYS]);
/// Typing into a terminal by TIOCSTI.
pub const TIOCSTI: Need = need(
    "a kernel with dev.tty.legacy_tiocsti, or root",
    Look::Setting("/proc/sys/dev/tty/legacy_tiocsti", "1", CAP_SYS_ADMIN),
    &[],
);
/// memfd_secret(2).
pub const SECRETMEM: Need = need(
    "a kernel with secretmem switched on",
    Look::Answer,
    &[ENOSYS],
);
/// bpf(2) for whoever asks.
pub const BPF: Need = need(
    "root, or a kernel that gives bpf to everybody",
    Look::Setting("/proc/sys/kernel/unprivileged_bpf_disabled", "0", CAP_BPF),
    &[ENOSYS],
);
/// Moving the marks of one's own memory.
pub const MEMORY_MARKS: Need = need(
    "root with CAP_SYS_RESOURCE",
    Look::Capable(CAP_SYS_RESOURCE),
    &[],
);
/// Yama.
pub const YAMA: Need = need(
    "a kernel with Yama",
    Look::File("/proc/sys/kernel/yama"),
    &[],
);
/// Control over speculation. A processor that does not need it has none.
pub const SPECULATION: Need = need(
    "a processor whose speculation past stores can be switched",
    Look::Answer,
    &[ENXIO, ENODEV, EINVAL],
);
/// The x32 ABI.
pub const X32: Need = need("a kernel with the x32 ABI", Look::Answer, &[ENOSYS]);
/// iopl(2). A kernel that is locked down refuses it to root.
pub const IOPL: Need = need(
    "root, and a kernel with iopl",
    Look::Capable(CAP_SYS_RAWIO),
    &[EPERM, ENOSYS],
);
/// ioperm(2), likewise.
pub const IOPERM: Need = need(
    "root, and a kernel with ioperm",
    Look::Capable(CAP_SYS_RAWIO),
    &[EPERM, ENOSYS],
);
/// Shadow stacks in user space.
pub const SHADOW_STACK: Need = need(
    "a kernel and a processor with user shadow stacks",
    Look::Answer,
    &[ENOSYS, EOPNOTSUPP],
);
/// Real-time scheduling.
pub const REAL_TIME: Need = need("root with CAP_SYS_NICE", Look::Capable(CAP_SYS_NICE), &[]);
/// Memory that is never swapped.
pub const LOCKED_MEMORY: Need = need("root, or no RLIMIT_MEMLOCK", Look::Unlocked, &[]);
/// MAP_DROPPABLE.
pub const DROPPABLE: Need = need(
    "a kernel with MAP_DROPPABLE",
    Look::Answer,
    &[EINVAL, EOPNOTSUPP],
);
/// Sockets to virtual machines.
pub const VSOCK: Need = need("a kernel with vsock", Look::Answer, &[EAFNOSUPPORT]);
/// Sockets to the kernel's cryptography.
pub const CRYPTO: Need = need("a kernel with AF_ALG", Look::Answer, &[EAFNOSUPPORT]);
/// Packets as they come.
pub const PACKETS: Need = need(
    "root with CAP_NET_RAW",
    Look::Capable(CAP_NET_RAW),
    &[EAFNOSUPPORT],
);

impl Need {
    /// What is missing here; `None` if it is there, and the control must have worked. `answer` is
    /// that of the control.
    pub fn missing(self, answer: Option<i64>) -> Option<&'static str> {
        let told = answer.is_some_and(|answer| self.absent.contains(&-answer));
        (told || !self.look.finds()).then_some(self.what)
    }
}

impl Look {
    fn finds(self) -> bool {
        match self {
            Self::Answer => true,
            Self::Capable(capability) => capable(capability),
            Self::Device(path) => openable(path),
            Self::DeviceAnd(path, capability) => openable(path) && capable(capability),
            Self::File(path) => fs::exists(path).unwrap_or(false),
            Self::Setting(path, value, capability) => {
                // Kernels from before the setting do it for everybody.
                let set = fs::read_to_string(path).map_or(true, |text| text.trim() == value);
                set || capable(capability)
            }
            Self::Unlocked => {
                getrlimit(Resource::Memlock).current.is_none() || capable(CAP_IPC_LOCK)
            }
        }
    }
}

fn openable(path: &str) -> bool {
    access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// Root of a container has capabilities over his own things, and not over the machine's.
fn capable(capability: u32) -> bool {
    let of = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let map = of("/proc/self/uid_map");
    let whole: Vec<&str> = map.split_whitespace().collect();
    let status = of("/proc/self/status");
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    geteuid().is_root() && whole == ["0", "0", "4294967295"] && effective >> capability & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_says_so_has_it_not_and_any_other_error_counts() {
        assert_eq!(KCMP.missing(Some(-38)), Some("a kernel with kcmp"));
        assert_eq!(KCMP.missing(Some(-1)), None);
        assert_eq!(KCMP.missing(None), None);
    }

    #[test]
    fn what_can_be_looked_at_is() {
        let here = need("null", Look::Device("/dev/null"), &[]);
        assert_eq!(here.missing(Some(-13)), None);
        let gone = need("nothing", Look::Device("/dev/no-such-thing"), &[]);
        assert_eq!(gone.missing(Some(-13)), Some("nothing"));
        let file = need("a file", Look::File("/proc/no-such-file"), &[]);
        assert_eq!(file.missing(None), Some("a file"));
    }
}
