//! The architectures a profile compiles for, and the numbers their kernels know calls by.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An architecture, 64 bits wide and little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// AMD64. The x32 calling convention is never allowed.
    #[serde(rename = "x86_64")]
    X86_64,
    /// ARMv8 and later.
    #[serde(rename = "aarch64")]
    Aarch64,
    /// RISC-V.
    #[serde(rename = "riscv64")]
    Riscv64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 3] = [Arch::X86_64, Arch::Aarch64, Arch::Riscv64];

    /// The one this program was built for, or `None` where no profile can be compiled.
    pub const fn host() -> Option<Arch> {
        if cfg!(target_arch = "x86_64") {
            Some(Arch::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Arch::Aarch64)
        } else if cfg!(all(target_arch = "riscv64", target_pointer_width = "64")) {
            Some(Arch::Riscv64)
        } else {
            None
        }
    }

    /// The kernel's name for it, `AUDIT_ARCH_*` of `linux/audit.h`, which a program compares with
    /// the architecture of each call.
    pub const fn audit(self) -> u32 {
        const LITTLE_ENDIAN_64: u32 = 0xC000_0000;
        match self {
            Arch::X86_64 => LITTLE_ENDIAN_64 | 62,
            Arch::Aarch64 => LITTLE_ENDIAN_64 | 183,
            Arch::Riscv64 => LITTLE_ENDIAN_64 | 243,
        }
    }

    /// Its name, as `uname -m` gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Riscv64 => "riscv64",
        }
    }

    /// The architecture of that [`name`](Arch::name).
    pub fn from_name(name: &str) -> Option<Arch> {
        Self::ALL.into_iter().find(|arch| arch.name() == name)
    }

    /// The number of a system call, or `None` where this architecture does not have it.
    pub fn number(self, syscall: &str) -> Option<u32> {
        let number = match self {
            Arch::X86_64 => syscall.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
            // The one call this table knows by the C library's name instead of the kernel's.
            Arch::Aarch64 if syscall == "newfstatat" => syscalls::aarch64::Sysno::fstatat.id(),
            Arch::Aarch64 => syscall.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
            Arch::Riscv64 => syscall.parse::<syscalls::riscv64::Sysno>().ok()?.id(),
        };
        u32::try_from(number).ok()
    }

    /// The name of a system call, or `None` for a number that this architecture does not have.
    pub fn name_of(self, nr: u32) -> Option<&'static str> {
        let nr = usize::try_from(nr).ok()?;
        match self {
            Arch::X86_64 => syscalls::x86_64::Sysno::new(nr).map(|s| s.name()),
            Arch::Aarch64 => match syscalls::aarch64::Sysno::new(nr)? {
                syscalls::aarch64::Sysno::fstatat => Some("newfstatat"),
                other => Some(other.name()),
            },
            Arch::Riscv64 => syscalls::riscv64::Sysno::new(nr).map(|s| s.name()),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_headers() {
        // arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
        for (name, x86_64, aarch64, riscv64) in [
            ("read", Some(0), Some(63), Some(63)),
            ("mmap", Some(9), Some(222), Some(222)),
            ("open", Some(2), None, None),
            ("access", Some(21), None, None),
            ("newfstatat", Some(262), Some(79), Some(79)),
            ("fstat", Some(5), Some(80), Some(80)),
            ("clone3", Some(435), Some(435), Some(435)),
            ("no_such_call", None, None, None),
        ] {
            assert_eq!(Arch::X86_64.number(name), x86_64, "{name}");
            assert_eq!(Arch::Aarch64.number(name), aarch64, "{name}");
            assert_eq!(Arch::Riscv64.number(name), riscv64, "{name}");
        }
    }

    #[test]
    fn names_and_numbers_go_both_ways() {
        for arch in Arch::ALL {
            let mut named = 0;
            for nr in 0..1024 {
                if let Some(name) = arch.name_of(nr) {
                    assert_eq!(arch.number(name), Some(nr), "{arch} {name}");
                    named += 1;
                }
            }
            assert!(named > 300, "{arch}: {named}");
            assert_eq!(arch.name_of(u32::MAX), None);
            assert_eq!(Arch::from_name(arch.name()), Some(arch));
        }
    }
}
