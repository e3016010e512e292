//! A stream at a real pace.

use std::thread;
use std::time::{Duration, Instant};

use coldshoe::Session;
use coldshoe_tests::{Held, frame, is_in_time, run_delay};

/// 30 frames a second.
pub(crate) const PERIOD: Duration = Duration::from_micros(33_333);
/// When the pipeline goes on without an answer.
pub(crate) const DEADLINE: Duration = Duration::from_millis(20);
/// What no two answers in a row may differ by once the exposure has settled.
const JUMP: f64 = 0.02;
/// Frames until it has.
pub(crate) const SETTLED: u64 = 80;

/// A session, and the clock of its frames.
pub(crate) struct Stream {
    pub(crate) session: Session,
    pub(crate) frames: u64,
    pub(crate) fresh: u64,
    /// Frames without parameters.
    pub(crate) without: u64,
    /// Frames that were waited for until the next one was due.
    pub(crate) late: Vec<Late>,
    /// Past the deadline, at most.
    pub(crate) worst: Duration,
    /// Frames whose exposure is not where that of the one before was.
    pub(crate) jumps: Vec<(u64, f64, f64)>,
    next: Instant,
    exposure_us: Option<f64>,
}

/// Where the time of a late frame went.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "printed")]
pub(crate) struct Late {
    pub(crate) begun: Instant,
    pub(crate) over: Instant,
    frame: u64,
    submitting: Duration,
    /// What was done while it was in flight.
    meanwhile: Duration,
    waiting: Duration,
    /// Of all that, ready to run while others ran.
    kept: Duration,
    fresh: bool,
    /// Workers had taken over before and after it.
    replaced: [u64; 2],
}

impl Late {
    /// Whether it would have been in time on a machine that held nobody up.
    pub(crate) fn is_the_machines(&self, held: &[Held]) -> bool {
        is_in_time(held, self.begun, self.over, PERIOD)
    }
}

/// A frame that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    pub(crate) fresh: bool,
    pub(crate) begun: Instant,
    pub(crate) over: Instant,
}

impl Stream {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            frames: 0,
            fresh: 0,
            without: 0,
            late: Vec::new(),
            worst: Duration::ZERO,
            jumps: Vec::new(),
            next: Instant::now(),
            exposure_us: None,
        }
    }

    /// Waits until the next frame is due and runs it; `command` is for the module, `meanwhile` is
    /// done while the frame is in flight.
    pub(crate) fn frame(&mut self, command: u8, meanwhile: impl FnOnce(&Session)) -> Passed {
        thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next += PERIOD;
        self.frames += 1;
        let mut stats = [0; 64];
        stats[0] = command;
        let (begun, kept) = (Instant::now(), run_delay());
        let replaced = self.session.counters().replaced;
        let ticket = self.session.submit(&frame(self.frames, DEADLINE), &stats);
        let submitted = Instant::now();
        meanwhile(&self.session);
        let idle = Instant::now();
        let outcome = self.session.wait(ticket.expect("started"));
        let over = Instant::now();
        let fresh = outcome.is_fresh();
        let exposure_us = outcome
            .answer()
            .and_then(|answer| answer.wanted.exposure_us);
        let took = over - begun;
        if took >= PERIOD {
            self.late.push(Late {
                begun,
                over,
                frame: self.frames,
                submitting: submitted - begun,
                meanwhile: idle - submitted,
                waiting: over - idle,
                kept: run_delay().saturating_sub(kept),
                fresh,
                replaced: [replaced, self.session.counters().replaced],
            });
        }
        self.worst = self.worst.max(took.saturating_sub(DEADLINE));
        self.fresh += u64::from(fresh);
        self.without += u64::from(exposure_us.is_none());
        if let (Some(now), Some(then)) = (exposure_us, self.exposure_us)
            && self.frames > SETTLED
            && (now.is_nan() || (now - then).abs() > then * JUMP)
        {
            self.jumps.push((self.frames, then, now));
        }
        self.exposure_us = exposure_us;
        Passed { fresh, begun, over }
    }

    /// Runs frames to which nothing happens.
    pub(crate) fn run(&mut self, frames: u64) {
        for _ in 0..frames {
            self.frame(0, |_| {});
        }
    }
}
