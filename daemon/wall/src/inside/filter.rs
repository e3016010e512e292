//! Seccomp: which system calls can be made at all, and which wait for the daemon.

use super::{ConfineError, Confined, Confinement, Fenced, Place};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// The filter is in force. Whatever it neither allows nor refuses now waits for the daemon, which does
/// not hold it yet.
#[derive(Debug)]
pub struct Gated {
    listener: OwnedFd,
    place: Place,
}

impl Gated {
    /// Hands the gate over to the daemon, and lets go of it.
    ///
    /// # Errors
    /// What `send` says; the process should end.
    pub fn ship<E>(
        self,
        send: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
    ) -> Result<Confined, E> {
        send(self.listener.as_fd())?;
        drop(self.listener);
        Ok(Confined {
            place: self.place,
            proof: PhantomData,
        })
    }
}

impl Confinement {
    /// Whether the filter can be a program at all. Its meaning is checked by the kernel's
    /// verifier.
    pub(super) fn check_filter(&self) -> Result<(), ConfineError> {
        program(&self.gate).map(drop)
    }
}

impl Fenced {
    /// Puts the filter into force: it does not allow another.
    ///
    /// # Errors
    /// [`ConfineError`] with the kernel's answer.
    pub fn gate(self, confinement: &Confinement) -> Result<Gated, ConfineError> {
        let gate = program(&confinement.gate)?;
        let listener = install_gate(&gate).map_err(ConfineError::Filter)?;
        Ok(Gated {
            listener,
            place: self.place,
        })
    }
}

fn program(bytes: &[u8]) -> Result<Vec<libc::sock_filter>, ConfineError> {
    let (instructions, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() || !(1..=MAX_INSTRUCTIONS).contains(&instructions.len()) {
        return Err(ConfineError::FilterLength(bytes.len()));
    }
    Ok(instructions.iter().map(instruction).collect())
}

fn instruction(bytes: &[u8; 8]) -> libc::sock_filter {
    let [code0, code1, jt, jf, k0, k1, k2, k3] = *bytes;
    libc::sock_filter {
        code: u16::from_le_bytes([code0, code1]),
        jt,
        jf,
        k: u32::from_le_bytes([k0, k1, k2, k3]),
    }
}

/// Installs a program with a listener. Older kernels (before 5.19) let a signal other than a
/// deadly one interrupt the wait for an answer; nobody sends a worker any.
pub(crate) fn install_gate(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let listen = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let flags = listen | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let answer = match install(program, flags) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(program, listen),
        other => other,
    };
    // SAFETY: with these flags the kernel answers a descriptor that it has just made.
    answer.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn install(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<i32> {
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len,
        // The kernel only reads through it.
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `program` points at `len` instructions, alive throughout; the kernel copies them.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(answer).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_a_length_the_kernel_would_not_take_is_refused() {
        for bytes in [0, 7, 9, 8 * (MAX_INSTRUCTIONS + 1)] {
            let confinement = Confinement {
                gate: vec![0; bytes],
                ..Confinement::default()
            };
            let error = confinement.check_filter().unwrap_err();
            assert!(
                matches!(error, ConfineError::FilterLength(b) if b == bytes),
                "{error}"
            );
        }
        let confinement = Confinement {
            gate: vec![0; 8 * MAX_INSTRUCTIONS],
            ..Confinement::default()
        };
        assert!(confinement.check_filter().is_ok());
    }

    #[test]
    fn instructions_keep_their_fields() {
        let i = instruction(&[0x15, 0, 1, 2, 0xEF, 0xBE, 0xAD, 0xDE]);
        assert_eq!((i.code, i.jt, i.jf, i.k), (0x15, 1, 2, 0xDEAD_BEEF));
    }
}
