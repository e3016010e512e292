//! Copies into and out of memory that another process may be writing.
//!
//! Volatile, because a plain copy of bytes that nobody in this process writes may be deleted or
//! repeated by the optimiser; by 128 bits, because that costs what memcpy costs while byte-wise
//! volatile copies cost fourteen times as much.

#[cfg(target_arch = "aarch64")]
use core::arch::aarch64::uint8x16_t as Lane;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::__m128i as Lane;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Lane = u64;

const LANE: usize = size_of::<Lane>();

/// Copies `to.len()` bytes out of shared memory.
///
/// # Safety
/// `from` is aligned to 16 bytes and `to.len()` bytes behind it are mapped and readable. The bytes
/// may change during the copy.
pub(crate) unsafe fn read(from: *const u8, to: &mut [u8]) {
    let mut done = 0;
    while to.len() - done >= LANE {
        // SAFETY: source in bounds by the contract and aligned, as `done` is a multiple of the
        // lane; the private side is in bounds by the loop condition and written unaligned.
        unsafe {
            let lane = from.add(done).cast::<Lane>().read_volatile();
            to.as_mut_ptr()
                .add(done)
                .cast::<Lane>()
                .write_unaligned(lane);
        }
        done += LANE;
    }
    for (offset, byte) in to.iter_mut().enumerate().skip(done) {
        // SAFETY: in bounds by the contract.
        *byte = unsafe { from.add(offset).read_volatile() };
    }
}

/// Copies `from` into shared memory.
///
/// # Safety
/// `to` is aligned to 16 bytes and `from.len()` bytes behind it are mapped and writable.
pub(crate) unsafe fn write(from: &[u8], to: *mut u8) {
    let mut done = 0;
    while from.len() - done >= LANE {
        // SAFETY: mirror image of `read`.
        unsafe {
            let lane = from.as_ptr().add(done).cast::<Lane>().read_unaligned();
            to.add(done).cast::<Lane>().write_volatile(lane);
        }
        done += LANE;
    }
    for (offset, byte) in from.iter().enumerate().skip(done) {
        // SAFETY: in bounds by the contract.
        unsafe { to.add(offset).write_volatile(*byte) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Shared([u8; 259]);

    #[test]
    fn every_length_round_trips_and_touches_nothing_else() {
        for len in 0..=256 {
            let data: Vec<u8> = (0..len).map(|i| i as u8 ^ 0x5a).collect();
            let mut shared = Shared([0xee; 259]);
            let base = shared.0.as_mut_ptr();
            let mut back = vec![0; len];
            // SAFETY: 259 bytes are there, aligned to 16, and `len` is at most 256.
            unsafe {
                write(&data, base);
                read(base, &mut back);
            }
            assert_eq!(back, data);
            assert!(shared.0[len..].iter().all(|b| *b == 0xee));
        }
    }
}
