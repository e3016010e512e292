//! What a daemon writes to its standard error.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::PATIENCE;

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

/// A daemon's log, read as it is written.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<(Mutex<Lines>, Condvar)>);

impl Log {
    /// Follows a pipe on a thread of its own.
    pub(crate) fn follow(pipe: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                writer.lines().lines.push(line);
                writer.0.1.notify_all();
            }
            writer.lines().ended = true;
            writer.0.1.notify_all();
        });
        log
    }

    /// Waits for a line that contains `part` and returns it.
    pub fn wait_for(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines();
        loop {
            if let Some(line) = lines.lines.iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended || left.is_zero() {
                let said = lines.lines.join("\n");
                drop(lines);
                panic!("the daemon never said {part:?}; it said:\n{said}");
            }
            lines = self.0.1.wait_timeout(lines, left).expect("log").0;
        }
    }

    /// Waits for the end of the log and returns all of it.
    pub fn to_end(&self) -> String {
        let lines = self
            .0
            .1
            .wait_timeout_while(self.lines(), PATIENCE, |lines| !lines.ended)
            .expect("log");
        assert!(!lines.1.timed_out(), "somebody still holds the log open");
        lines.0.lines.join("\n")
    }

    /// The lines so far that contain `part`.
    pub fn all(&self, part: &str) -> Vec<String> {
        let lines = self.lines();
        let with_part = lines.lines.iter().filter(|line| line.contains(part));
        with_part.cloned().collect()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().expect("log")
    }
}
