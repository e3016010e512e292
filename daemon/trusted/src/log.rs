//! The daemon's log: lines for standard error, or entries for the journal, written by a thread that
//! nobody waits for.
//!
//! Whoever started the daemon may have stopped reading its standard error. A line then waits, up
//! to a bound, and what exceeds it is counted and left out: a log that nobody reads holds up
//! neither the daemon nor its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What may wait to be written, in bytes: some thousand lines.
const ROOM: usize = 1 << 20;
/// Patience at the end with what still waits.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes lines, and never blocks. A clone is the same log.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Of the lines that wait.
    bytes: usize,
    /// No more is to come.
    closed: bool,
    /// All is written.
    ended: bool,
}

enum Waiting {
    Line(Vec<u8>),
    /// So many were left out here.
    Gap(u64),
}

impl Log {
    /// Starts the thread that writes to standard error.
    ///
    /// # Errors
    /// The system has no descriptor or no thread to give.
    pub(crate) fn to_stderr() -> io::Result<Self> {
        // A descriptor of its own: while a write to it waits, the lock of the language's own
        // standard error is free.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let log = Self::default();
        let shared = Arc::clone(&log.0);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_to(stderr))?;
        Ok(log)
    }

    /// Starts the thread that sends to the journal.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn to_journal(socket: UnixDatagram) -> io::Result<Self> {
        let log = Self::default();
        let shared = Arc::clone(&log.0);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.send_to(&socket))?;
        Ok(log)
    }

    /// A line or an entry more.
    pub(crate) fn push(&self, line: &[u8]) {
        self.0.queue().push(line);
        self.0.changed.notify_all();
    }

    /// Waits until all is written, or for a second.
    pub(crate) fn finish(&self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        self.0.changed.notify_all();
        let _ = self
            .0
            .changed
            .wait_timeout_while(queue, FAREWELL, |queue| !queue.ended);
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn push(&mut self, line: &[u8]) {
        if self.bytes + line.len() <= ROOM {
            self.bytes += line.len();
            self.waiting.push_back(Waiting::Line(line.to_vec()));
        } else if let Some(Waiting::Gap(lines)) = self.waiting.back_mut() {
            *lines = lines.saturating_add(1);
        } else {
            self.waiting.push_back(Waiting::Gap(1));
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front()?;
        if let Waiting::Line(line) = &next {
            self.bytes -= line.len();
        }
        Some(next)
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes until the log is finished. An error has nowhere to be told.
    fn write_to(&self, mut out: impl Write) {
        while let Some(next) = self.next() {
            let _ = match next {
                Waiting::Line(line) => out.write_all(&line),
                Waiting::Gap(lines) => {
                    writeln!(
                        out,
                        "coldshoed: {lines} lines of this log were left out: it was not read"
                    )
                }
            };
        }
        self.queue().ended = true;
        self.changed.notify_all();
    }

    /// The same for entries of the journal, one a datagram. One that it does not take is left out.
    fn send_to(&self, journal: &UnixDatagram) {
        while let Some(next) = self.next() {
            let _ = match next {
                Waiting::Line(entry) => journal.send(&entry),
                Waiting::Gap(lines) => {
                    let gap = format!(
                        "MESSAGE={lines} entries of this log were left out: it was not read\n\
                         PRIORITY=4\nSYSLOG_IDENTIFIER=coldshoed\n"
                    );
                    journal.send(gap.as_bytes())
                }
            };
        }
        self.queue().ended = true;
        self.changed.notify_all();
    }

    /// What is to be written next; waits for it.
    fn next(&self) -> Option<Waiting> {
        let mut queue = self.queue();
        loop {
            match queue.pop() {
                None if !queue.closed => {
                    queue = self
                        .changed
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                next => return next,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_order_and_those_without_room_are_counted_where_they_were() {
        let mut log = Log::default();
        let line = [b'x'; 1023];
        let mut say = |text: &[u8]| log.write_all(text).expect("it never fails");
        for _ in 0..ROOM / 1024 {
            say(&[&line[..], b"\n"].concat());
        }
        for _ in 0..7 {
            say(b"one line too many\n");
        }
        log.0.queue().closed = true;
        let mut out = Vec::new();
        log.0.write_to(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.lines().count(), ROOM / 1024 + 1);
        let last = text.lines().last().expect("a line");
        assert!(last.contains(" 7 lines"), "{last}");
    }

    #[test]
    fn what_was_written_makes_room() {
        let mut queue = Queue::default();
        for _ in 0..3 {
            queue.push(&vec![b'x'; ROOM]);
            assert!(matches!(queue.pop(), Some(Waiting::Line(_))));
            assert!(queue.pop().is_none());
        }
    }

    #[test]
    fn a_log_that_nobody_reads_can_be_finished() {
        let (_read, write) = io::pipe().expect("a pipe");
        let mut log = Log::default();
        let shared = Arc::clone(&log.0);
        std::thread::spawn(move || shared.write_to(write));
        for _ in 0..100 {
            log.write_all(&[b'x'; 4096]).expect("it never fails");
        }
        log.finish();
        assert!(!log.0.queue().ended);
    }
}
