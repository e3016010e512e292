//! The system call filter of a worker, on a thread of this program.
//!
//! It is all that a jail adds to a call that a running worker makes. Nobody listens to the gate
//! here: what it would ask about is answered ENOSYS, and the frame path asks nothing.

use coldshoe_jail::{Arch, Profile};
use seccompiler::{BpfProgram, apply_filter, sock_filter};

/// Puts the filter of `single` on the calling thread, for good.
pub(crate) fn enter() {
    let arch = Arch::host().expect("an architecture with profiles");
    let program = Profile::builtin("single")
        .expect("a sound profile")
        .compile(arch)
        .expect("a profile that compiles");
    let program: BpfProgram = program
        .instructions()
        .iter()
        .map(|i| sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    apply_filter(&program).expect("a kernel with seccomp");
}
