//! What has happened in a session.

use coldshoe::Counters;

use crate::record::Record;

/// What has happened in a session so far. Filled by coldshoe_session_counters().
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_counters {
    /// sizeof(struct coldshoe_counters)
    pub struct_size: usize,
    /// Frames answered in time.
    pub fresh: u64,
    /// Frames without an answer at their deadline, or given up by stopping.
    pub missed: u64,
    /// Answers that came after that, counted when the frame's slot is used again; and answers that
    /// nobody looked for before their deadline.
    pub late: u64,
    /// Frames that the module was not asked about.
    pub skipped: u64,
    /// Times that the worker woke this side for nothing.
    pub spurious_wakes: u64,
    /// Frames that the module answered with an error.
    pub module_errors: u64,
    /// Answers that broke the frame protocol or carried malformed parameters.
    pub rejected: u64,
    /// Sensor or lens requests that were no numbers an actuator can take.
    pub refused_requests: u64,
    /// Workers that failed.
    pub faults: u64,
    /// Workers that took over.
    pub replaced: u64,
    /// Blocks of parameters that the contract of the format does not allow.
    pub refused_blocks: u64,
    /// Sensor or lens requests that were granted otherwise: beyond the sensor's limits, or faster than
    /// the contract allows.
    pub clamped_requests: u64,
}

// SAFETY: thirteen words, the first its size, and any bytes are a number.
unsafe impl Record for coldshoe_counters {}

impl From<Counters> for coldshoe_counters {
    fn from(counters: Counters) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            fresh: counters.fresh,
            missed: counters.missed,
            late: counters.late,
            skipped: counters.skipped,
            spurious_wakes: counters.spurious_wakes,
            module_errors: counters.module_errors,
            rejected: counters.rejected,
            refused_requests: counters.refused_requests,
            faults: counters.faults,
            replaced: counters.replaced,
            refused_blocks: counters.refused_blocks,
            clamped_requests: counters.clamped_requests,
        }
    }
}
