//! Progress on standard error, for those who wait.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What takes less is not worth showing.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar that appears only where there is a terminal, and only after a while.
pub(super) struct Progress {
    bar: ProgressBar,
    since: Instant,
}

impl Progress {
    pub(super) fn new(frames: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(frames as u64), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg:8} {wide_bar} {pos}/{len} frames");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("filming");
        Self {
            bar,
            since: Instant::now(),
        }
    }

    pub(super) fn at(&self, frame: usize) {
        if self.bar.is_hidden() && self.since.elapsed() >= PATIENCE {
            // Stays hidden where standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(frame as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
