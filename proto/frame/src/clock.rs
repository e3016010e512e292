//! CLOCK_MONOTONIC, by which both sides count time.

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment on CLOCK_MONOTONIC in nanoseconds, as both sides count time.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

/// Sleeps until `moment_ns` has come, whatever anybody does.
pub(crate) fn sleep_until(moment_ns: u64) {
    let until = Timespec {
        tv_sec: (moment_ns / 1_000_000_000) as i64,
        tv_nsec: (moment_ns % 1_000_000_000) as _,
    };
    while monotonic_ns() < moment_ns {
        // Interrupted or not, the clock decides.
        let _ = clock_nanosleep_absolute(rustix::thread::ClockId::Monotonic, &until);
    }
}
