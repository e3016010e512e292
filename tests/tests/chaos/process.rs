//! What the kernel counts of a process.

use std::fs;
use std::time::Duration;

fn times(file: &str) -> Option<[Duration; 2]> {
    let text = fs::read_to_string(file).ok()?;
    let mut nanos = text.split_whitespace().map_while(|word| word.parse().ok());
    Some([nanos.next()?, nanos.next()?].map(Duration::from_nanos))
}

/// Processor time of a process, to the nanosecond.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let [ran, _] = times(&format!("/proc/{pid}/schedstat")).expect("the kernel counts");
    ran
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}

/// Whether a process of that number is a worker, zombies included.
pub(crate) fn is_worker(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.is_ok_and(|name| name.starts_with("coldshoe-worker"))
}
