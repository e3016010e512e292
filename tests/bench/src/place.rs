//! How fast frames follow each other, and on which CPUs both sides run.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Pid;
use rustix::thread::{
    ClockId, CpuSet, clock_nanosleep_absolute, sched_getaffinity, sched_setaffinity,
};
use rustix::time::{Timespec, clock_gettime};
use serde::Serialize;

/// How fast frames follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pace {
    /// The next frame goes as soon as the last has landed.
    BackToBack,
    /// Frames a second.
    Hz(u32),
}

impl Pace {
    pub(crate) const HZ_120: Self = Self::Hz(120);
    pub(crate) const HZ_240: Self = Self::Hz(240);
    pub(crate) const HZ_1000: Self = Self::Hz(1000);

    /// Between two frames; nothing when back to back.
    pub(crate) fn period(self) -> Duration {
        match self {
            Self::BackToBack => Duration::ZERO,
            Self::Hz(hz) => Duration::from_secs(1) / hz,
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackToBack => f.pad("back to back"),
            Self::Hz(hz) => f.pad(&format!("{hz} Hz")),
        }
    }
}

/// On which CPUs the two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Placement {
    /// Both on the same one.
    OneCpu,
    /// Each on one of its own.
    TwoCpus,
    /// Where the scheduler puts them.
    Unpinned,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneCpu => "one CPU",
            Self::TwoCpus => "two CPUs",
            Self::Unpinned => "unpinned",
        })
    }
}

/// The CPUs that this process may use.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Cpus(Vec<usize>);

impl Cpus {
    pub(crate) fn of_this_process() -> anyhow::Result<Self> {
        let set = sched_getaffinity(None).context("cannot ask for the CPUs of this process")?;
        Ok(Self(
            (0..CpuSet::MAX_CPU)
                .filter(|cpu| set.is_set(*cpu))
                .collect(),
        ))
    }

    /// Whether there is a placement like this one here.
    pub(crate) fn allow(&self, placement: Placement) -> bool {
        placement != Placement::TwoCpus || self.0.len() > 1
    }

    /// CPUs of the client and of its peer.
    pub(crate) fn pick(&self, placement: Placement) -> (Option<usize>, Option<usize>) {
        let second = self.0.get(1).copied();
        match placement {
            Placement::OneCpu => (
                second.or(self.0.first().copied()),
                second.or(self.0.first().copied()),
            ),
            Placement::TwoCpus => (self.0.first().copied(), second),
            Placement::Unpinned => (None, None),
        }
    }
}

/// Keeps the calling thread on one CPU.
pub(crate) fn pin(cpu: usize) -> anyhow::Result<()> {
    pin_process(None, cpu)
}

/// Keeps a process with one thread on one CPU; the calling thread if none is named.
pub(crate) fn pin_process(process: Option<Pid>, cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(process, &set).with_context(|| format!("cannot stay on CPU {cpu}"))
}

/// Does something where this thread may be anywhere: what it starts inherits that.
pub(crate) fn anywhere<T>(what: impl FnOnce() -> T) -> anyhow::Result<T> {
    let kept = sched_getaffinity(None)?;
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    sched_setaffinity(None, &all)?;
    let done = what();
    sched_setaffinity(None, &kept)?;
    Ok(done)
}

fn now_ns() -> u64 {
    coldshoe_frame::monotonic_ns()
}

/// CPU time of the calling thread so far.
pub(crate) fn thread_cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

/// Sleeps to the start of each frame.
pub(crate) struct Ticker {
    period_ns: u64,
    next_ns: u64,
}

impl Ticker {
    /// The first frame comes a period and `phase` from now.
    pub(crate) fn new(pace: Pace, phase: Duration) -> Self {
        let period_ns = pace.period().as_nanos() as u64;
        Self {
            period_ns,
            next_ns: now_ns() + period_ns + phase.as_nanos() as u64,
        }
    }

    /// Sleeps to the next frame. A frame that is already over is left out, as a sensor does.
    pub(crate) fn wait(&mut self) {
        if self.period_ns == 0 {
            return;
        }
        let until = Timespec {
            tv_sec: (self.next_ns / 1_000_000_000) as i64,
            tv_nsec: (self.next_ns % 1_000_000_000) as _,
        };
        // Interrupted, the frame starts early: one figure among many.
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &until);
        self.next_ns = (self.next_ns + self.period_ns).max(now_ns());
    }
}
