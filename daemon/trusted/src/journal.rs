//! The daemon's log for systemd's journal, by its own protocol: each field by itself, and a MESSAGE_ID
//! with each fault, so that `journalctl -x` explains it.
//!
//! Entries are only made here; the log's thread sends them, since the journal may not read.

use std::fmt::{self, Write};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use coldshoed::message_id;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::log::Log;

const SOCKET: &str = "/run/systemd/journal/socket";
/// Of fields that are this program's.
const PREFIX: &str = "COLDSHOE_";
/// Longest name of a field, by the journal's rule.
const MAX_NAME: usize = 64;

/// The journal's socket, if standard error leads to the journal.
pub(crate) fn socket() -> Option<UnixDatagram> {
    let named = std::env::var("JOURNAL_STREAM").ok()?;
    let stderr = rustix::fs::fstat(io::stderr().as_fd()).ok()?;
    if named != format!("{}:{}", stderr.st_dev, stderr.st_ino) {
        return None;
    }
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(SOCKET).ok()?;
    Some(socket)
}

/// Makes entries of events.
pub(crate) struct Journal(pub(crate) Log);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let metadata = event.metadata();
        self.0
            .push(&entry.finish(*metadata.level(), metadata.target()));
    }
}

#[derive(Default)]
struct Entry {
    /// Those of this program, as the journal takes them.
    fields: Vec<u8>,
    message: String,
    /// The same in words, behind the message.
    words: String,
    reason: Option<String>,
    is_fault: bool,
}

impl Entry {
    fn field(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => return self.message.push_str(value),
            "fault" => self.is_fault = true,
            "reason" => self.reason = Some(value.to_owned()),
            _ => {}
        }
        // Into a string, it cannot fail.
        let _ = write!(self.words, " {}={value}", field.name());
        put(&mut self.fields, &name(field.name()), value);
    }

    fn finish(self, level: Level, target: &str) -> Vec<u8> {
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            _ => "7",
        };
        let message = format!("{}{}", self.message, self.words);
        let mut bytes = self.fields;
        for (name, value) in [
            ("MESSAGE", message.trim_start()),
            ("PRIORITY", priority),
            ("SYSLOG_IDENTIFIER", "coldshoed"),
            ("COLDSHOE_TARGET", target),
        ] {
            put(&mut bytes, name, value);
        }
        if let Some(reason) = self.reason.filter(|_| self.is_fault) {
            put(&mut bytes, "MESSAGE_ID", message_id(&reason));
        }
        bytes
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, &format!("{value:?}"));
    }
}

/// The journal takes capitals, digits and underscores.
fn name(field: &str) -> String {
    let capital = |c: char| match c.to_ascii_uppercase() {
        c @ ('A'..='Z' | '0'..='9') => c,
        _ => '_',
    };
    let name = PREFIX.chars().chain(field.chars().map(capital));
    name.take(MAX_NAME).collect()
}

/// With its length before it, so that a value of several lines, or one that looks like another field,
/// is one value.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend(name.as_bytes());
    bytes.push(b'\n');
    bytes.extend((value.len() as u64).to_le_bytes());
    bytes.extend(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Reads an entry as the journal would.
    fn read(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let (name, rest) = bytes.split_at(end);
            let (size, rest) = rest[1..].split_first_chunk().unwrap();
            let size = usize::try_from(u64::from_le_bytes(*size)).unwrap();
            assert_eq!(rest[size], b'\n');
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            fields.insert(text(name), text(&rest[..size]));
            bytes = &rest[size + 1..];
        }
        fields
    }

    /// The entry of what is logged.
    fn entry(log_it: impl FnOnce()) -> BTreeMap<String, String> {
        let (ours, journal) = UnixDatagram::pair().unwrap();
        let log = Log::to_journal(ours).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal(log.clone()));
        tracing::subscriber::with_default(subscriber, log_it);
        log.finish();
        let mut bytes = [0; 65536];
        let size = journal.recv(&mut bytes).unwrap();
        read(&bytes[..size])
    }

    #[test]
    fn each_field_comes_by_itself_and_in_the_message() {
        let fields =
            entry(|| tracing::warn!(session = 7, why = "a\nPRIORITY=0", "client {}", "lost"));
        let field = |name: &str| fields.get(name).map(String::as_str);
        assert_eq!(
            field("MESSAGE"),
            Some("client lost session=7 why=a\nPRIORITY=0")
        );
        assert_eq!(field("PRIORITY"), Some("4"));
        assert_eq!(field("COLDSHOE_SESSION"), Some("7"));
        assert_eq!(field("COLDSHOE_WHY"), Some("a\nPRIORITY=0"));
        assert_eq!(field("SYSLOG_IDENTIFIER"), Some("coldshoed"));
        assert_eq!(field("MESSAGE_ID"), None);
    }

    #[test]
    fn a_fault_has_the_id_of_its_reason() {
        let fields = entry(|| tracing::error!(fault = 1, reason = "violation", module = "m", "it"));
        assert_eq!(fields["MESSAGE_ID"], message_id("violation"));
        assert_eq!(fields["COLDSHOE_MODULE"], "m");
        // A reason alone is no fault.
        let fields = entry(|| tracing::error!(reason = "violation", "it"));
        assert!(!fields.contains_key("MESSAGE_ID"));
    }

    #[test]
    fn names_are_what_the_journal_takes() {
        assert_eq!(name("log.target-2"), "COLDSHOE_LOG_TARGET_2");
        assert_eq!(name(&"x".repeat(100)).len(), MAX_NAME);
    }
}
