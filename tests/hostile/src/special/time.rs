//! Row 40: who does not come back.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::finding;
use crate::bench::Bench;
use crate::finding::Finding;
use crate::jail;
use crate::probe::{Phase, refused};

/// Closing a session does not wait for the module's last words.
pub(super) fn destructor_is_not_waited_for(bench: &Bench) -> anyhow::Result<Finding> {
    /// Killing and reaping takes milliseconds; an order's patience is two seconds.
    const PROMPT: Duration = Duration::from_secs(1);
    let daemon = bench.daemon("single")?;
    let probe = refused("spin_for_ever", 0).at(Phase::End);
    let words = bench.words("probe=spin_for_ever phase=end");
    let camera = bench.tuning("hostile", &words)?;
    let session = jail::open(&daemon, "hostile", &camera)?;
    let worker = session.worker_pidfd().try_clone()?;
    let asked = Instant::now();
    session.close()?;
    let taken = asked.elapsed();
    let mut end = [PollFd::new(&worker, PollFlags::IN)];
    let gone = poll(
        &mut end,
        Some(&Timespec {
            tv_sec: 2,
            tv_nsec: 0,
        }),
    )? == 1;
    let text = format!("closed after {} ms, worker gone: {gone}", taken.as_millis());
    let outcome = if gone && taken < PROMPT {
        Ok(text)
    } else {
        Err(text)
    };
    finding(bench, 40, "spin_for_ever in end", outcome, &probe)
}
