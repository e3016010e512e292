//! The system call filters of a worker, on a process of this program.
//!
//! They are all that a jail adds to a call that a running worker makes. Nobody listens to the gate
//! here: what it would ask about is answered ENOSYS, and the frame path asks nothing.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use coldshoe_jail::{Arch, FD_CONTROL, Profile, SockFilter};
use seccompiler::{BpfProgram, apply_filter, sock_filter};

/// Puts the filters of `single` on the calling thread, for good. They allow `control` alone among
/// the sockets, by its number.
pub(crate) fn enter(control: &OwnedFd) -> Result<()> {
    ensure!(
        control.as_raw_fd() == FD_CONTROL,
        "descriptor {FD_CONTROL} is taken by something that this program inherited: close it first"
    );
    for program in filters()? {
        apply_filter(&program).context("the kernel refused a filter")?;
    }
    Ok(())
}

/// What `single` compiles to here, in the order of installing.
fn filters() -> Result<Vec<BpfProgram>> {
    let arch = Arch::host().context("this architecture has no profiles")?;
    let programs = Profile::builtin("single")?.compile(arch)?;
    let all = programs.soft.iter().chain([&programs.gate]);
    Ok(all
        .map(|program| program.instructions().iter().map(instruction).collect())
        .collect())
}

fn instruction(i: &SockFilter) -> sock_filter {
    sock_filter {
        code: i.code,
        jt: i.jt,
        jf: i.jf,
        k: i.k,
    }
}
