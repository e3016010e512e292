//! The system call filter of a worker, on a process of this program.
//!
//! They are all that a jail adds to a call that a running worker makes. Nobody listens to the gate
//! here: what it would ask about is answered ENOSYS, and the frame path asks nothing.

use anyhow::{Context, Result};
use coldshoe_jail::{Arch, Profile, SockFilter};
use seccompiler::{BpfProgram, apply_filter, sock_filter};

/// Puts the filter of `single` on the calling thread, for good.
pub(crate) fn enter() -> Result<()> {
    let arch = Arch::host().context("this architecture has no profiles")?;
    let program = Profile::builtin("single")?.compile(arch)?;
    let program: BpfProgram = program.instructions().iter().map(instruction).collect();
    apply_filter(&program).context("the kernel refused the filter")
}

fn instruction(i: &SockFilter) -> sock_filter {
    sock_filter {
        code: i.code,
        jt: i.jt,
        jf: i.jf,
        k: i.k,
    }
}
