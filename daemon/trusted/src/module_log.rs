//! What a module prints: untrusted lines, bounded in length and number, into the daemon's log.

use std::os::fd::OwnedFd;

use coldshoe_control::clean;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::time::{Duration, Instant, sleep};

/// Longest line that is logged, in bytes; the rest of it becomes the next line.
const MAX_LINE: u64 = 1024;
/// Lines logged in a second; what exceeds them is counted.
const LINES_A_SECOND: u32 = 50;
/// Once they are spent, how long the pipe is left alone, and how much is then thrown away unread: a
/// flood costs the daemon twenty looks a second, and a module that means well does not block before
/// it prints more than a mebibyte a second.
const PAUSE: Duration = Duration::from_millis(50);
const PIPEFUL: usize = 64 << 10;

/// Logs what comes out of the pipe until its other end is closed.
pub(crate) async fn pump(pipe: OwnedFd, module: String) {
    let Ok(receiver) = pipe::Receiver::from_owned_fd(pipe) else {
        return;
    };
    let mut reader = BufReader::with_capacity(4096, receiver);
    let mut budget = Budget::new();
    let mut line = Vec::new();
    let mut pipeful = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if let Some(dropped) = budget.spend(Instant::now()) {
            left_out(&module, dropped);
            write(&module, &line);
            continue;
        }
        sleep(PAUSE).await;
        // Lines are only counted: the one that is cut here becomes two.
        budget.leave_out(reader.buffer());
        let buffered = reader.buffer().len();
        reader.consume(buffered);
        pipeful.resize(PIPEFUL, 0);
        // What comes after a silence is not part of the flood: nothing is waited for here.
        match reader.get_ref().try_read(&mut pipeful) {
            Ok(size) => budget.leave_out(pipeful.get(..size).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    left_out(&module, budget.dropped);
}

fn left_out(module: &str, dropped: u32) {
    if dropped > 0 {
        tracing::warn!(
            module,
            dropped,
            "the module prints too much; lines were left out"
        );
    }
}

/// Priorities as in sd-daemon(3); a line without one is information.
fn write(module: &str, line: &[u8]) {
    let (priority, text) = match line {
        [b'<', digit @ b'0'..=b'7', b'>', text @ ..] => (*digit, text),
        text => (b'6', text),
    };
    let text = clean(String::from_utf8_lossy(text).trim_end());
    match priority {
        b'0'..=b'3' => tracing::error!(target: "coldshoed::module", module, "{text}"),
        b'4' => tracing::warn!(target: "coldshoed::module", module, "{text}"),
        b'7' => tracing::debug!(target: "coldshoed::module", module, "{text}"),
        _ => tracing::info!(target: "coldshoed::module", module, "{text}"),
    }
}

/// Lines left in the current second.
struct Budget {
    since: Instant,
    spent: u32,
    dropped: u32,
}

impl Budget {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            spent: 0,
            dropped: 0,
        }
    }

    /// Counts the lines of what is thrown away.
    fn leave_out(&mut self, bytes: &[u8]) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        self.dropped = self.dropped.saturating_add(lines);
    }

    /// Takes one line: `None` if it must be left out, else how many were left out before it.
    fn spend(&mut self, now: Instant) -> Option<u32> {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.spent = 0;
        }
        if self.spent == LINES_A_SECOND {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.spent += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_budget_and_counted() {
        let mut budget = Budget::new();
        let start = budget.since;
        let passed = (0..1000).filter(|_| budget.spend(start).is_some()).count();
        assert_eq!(passed, LINES_A_SECOND as usize);
        let later = start + Duration::from_secs(1);
        assert_eq!(budget.spend(later), Some(1000 - LINES_A_SECOND));
        assert_eq!(budget.spend(later), Some(0));
    }

    #[test]
    fn what_is_thrown_away_unread_is_counted_by_lines() {
        let mut budget = Budget::new();
        budget.leave_out(b"one\ntwo\nhalf a");
        budget.leave_out(b" line\n");
        assert_eq!(budget.spend(budget.since), Some(3));
    }
}
