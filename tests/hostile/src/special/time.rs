//! Row 40: who does not come back.

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::finding;
use crate::bench::Bench;
use crate::finding::Finding;
use crate::jail;
use crate::probe::{Phase, refused};

/// Closing a session kills the worker and does not have the module say goodbye: a `destroy()` that
/// never returns is not called. Where it is called, after a `create()` that failed, the deadline of
/// loading holds; that is a probe of the row.
pub(super) fn destructor_is_not_called(bench: &Bench) -> anyhow::Result<Finding> {
    let daemon = bench.daemon("single")?;
    let probe = refused("spin_for_ever", 0).at(Phase::End);
    let words = bench.words("probe=spin_for_ever phase=end");
    let camera = bench.tuning("hostile", &words)?;
    let session = jail::open(&daemon, "hostile", &camera)?;
    let worker = session.worker_pidfd().try_clone()?;
    let closed = session.close();
    let patience = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    let mut end = [PollFd::new(&worker, PollFlags::IN)];
    let gone = poll(&mut end, Some(&patience))? == 1;
    let outcome = match (closed, gone) {
        (Ok(()), true) => Ok("closed, and the worker is gone".to_owned()),
        (Ok(()), false) => Err("closed, BUT THE WORKER LIVES".to_owned()),
        (Err(error), _) => Err(error.to_string()),
    };
    finding(
        bench,
        40,
        "spin_for_ever in destroy() at Close",
        outcome,
        &probe,
    )
}
