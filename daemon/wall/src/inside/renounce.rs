//! Capabilities, limits, privileges: what a process can give up by itself.

use super::{ConfineError, Confinement, Renounced, Settled};
use crate::Namespace;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::io;
use std::marker::PhantomData;

/// More capabilities than any kernel has: the mask has 64 bits.
const CAPABILITIES: libc::c_ulong = 64;

// <linux/prctl.h>
const PR_SET_SPECULATION_CTRL: libc::c_int = 53;
const PR_SPEC_STORE_BYPASS: libc::c_ulong = 0;
const PR_SPEC_INDIRECT_BRANCH: libc::c_ulong = 1;
const PR_SPEC_FORCE_DISABLE: libc::c_ulong = 1 << 3;

impl Settled {
    /// Gives up capabilities, lowers limits, and renounces new privileges, executable memory that
    /// was writable, and being looked into.
    ///
    /// # Errors
    /// [`ConfineError`] names the step and the kernel's answer.
    pub fn renounce(self, confinement: &Confinement) -> Result<Renounced, ConfineError> {
        drop_capabilities(confinement.leaves(Namespace::User))?;
        for (limit, value) in &confinement.limits {
            limit.set(*value).map_err(|source| ConfineError::Limit {
                limit: limit.name(),
                value: *value,
                source,
            })?;
        }
        default_signals();
        control_speculation();
        rustix::thread::set_no_new_privs(true)
            .map_err(|errno| ConfineError::NoNewPrivs(errno.into()))?;
        if confinement.mdwe {
            let refuse = libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN);
            prctl(libc::PR_SET_MDWE, refuse, 0)
                .map_err(ConfineError::step("refuse new code (PR_SET_MDWE)"))?;
        }
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|errno| ConfineError::step("close itself (PR_SET_DUMPABLE)")(errno.into()))?;
        let Settled {
            place,
            readable,
            executable,
            ..
        } = self;
        Ok(Renounced {
            place,
            readable,
            executable,
            proof: PhantomData,
        })
    }
}

fn prctl(option: libc::c_int, a: libc::c_ulong, b: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: every option used here takes numbers only.
    if unsafe { libc::prctl(option, a, b, zero, zero) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// All sets. Of a user that never had any only the bounding set is left, which such a user cannot
/// lower: `in_user_namespace` says that it can.
fn drop_capabilities(in_user_namespace: bool) -> Result<(), ConfineError> {
    for capability in 0..CAPABILITIES {
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            Ok(()) => {}
            // Beyond the kernel's last one.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) && !in_user_namespace => break,
            Err(error) => return Err(ConfineError::Capabilities(error)),
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::clear_ambient_capability_set()
        .and_then(|()| set_capabilities(None, none))
        .map_err(|errno| ConfineError::Capabilities(errno.into()))
}

/// The language runtime's handlers for these look for a stack overflow and then need calls that
/// will be gone: a plain crash would look like an attempt to break out.
fn default_signals() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Where the processor has the switches. What it has not it is not vulnerable to, or the kernel
/// decides for all; the daemon reports what is in force.
fn control_speculation() {
    for kind in [PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH] {
        let _ = prctl(PR_SET_SPECULATION_CTRL, kind, PR_SPEC_FORCE_DISABLE);
    }
}
