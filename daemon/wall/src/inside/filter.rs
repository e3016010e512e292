//! Seccomp: which system calls can be made at all.

use super::{ConfineError, Confined, Fenced};
use std::io;
use std::marker::PhantomData;

/// `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// Programs of a length the kernel takes. Their meaning is checked by the kernel's verifier.
pub(super) struct Filters(Vec<Vec<libc::sock_filter>>);

impl Filters {
    pub(super) fn check(programs: &[Vec<u8>]) -> Result<Filters, ConfineError> {
        if programs.is_empty() {
            return Err(ConfineError::NoFilter);
        }
        let programs = programs.iter().enumerate().map(|(index, bytes)| {
            let (instructions, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() || !(1..=MAX_INSTRUCTIONS).contains(&instructions.len()) {
                return Err(ConfineError::FilterLength {
                    index,
                    bytes: bytes.len(),
                });
            }
            Ok(instructions.iter().map(instruction).collect())
        });
        Ok(Filters(programs.collect::<Result<_, _>>()?))
    }
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

impl Fenced {
    pub(super) fn filter(self, filters: &Filters) -> Result<Confined, ConfineError> {
        for (index, program) in filters.0.iter().enumerate() {
            install(program).map_err(|source| ConfineError::Filter { index, source })?;
        }
        Ok(Confined(PhantomData))
    }
}

fn install(program: &[libc::sock_filter]) -> io::Result<()> {
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
            0_u64,
            &raw const program,
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_a_length_the_kernel_would_not_take_are_refused_by_number() {
        for bytes in [0, 7, 9, 8 * (MAX_INSTRUCTIONS + 1)] {
            let programs = [vec![0; 8], vec![0; bytes]];
            let error = Filters::check(&programs).err().unwrap();
            assert!(
                matches!(error, ConfineError::FilterLength { index: 1, bytes: b } if b == bytes),
                "{error}"
            );
        }
        assert!(Filters::check(&[vec![0; 8 * MAX_INSTRUCTIONS]]).is_ok());
    }

    #[test]
    fn no_program_at_all_is_refused() {
        assert!(matches!(Filters::check(&[]), Err(ConfineError::NoFilter)));
    }

    #[test]
    fn instructions_keep_their_fields() {
        let i = instruction(&[0x15, 0, 1, 2, 0xEF, 0xBE, 0xAD, 0xDE]);
        assert_eq!((i.code, i.jt, i.jf, i.k), (0x15, 1, 2, 0xDEAD_BEEF));
    }
}
