//! `org.freedesktop.LogControl1`, so that `systemctl service-log-level` works.

use std::sync::{Arc, Mutex, PoisonError};

use zbus::{Connection, fdo, interface, message::Header};

use super::House;
use super::bouncer::Action;
use super::error::{Refusal, lines};

/// systemd's words, and the filters that stand for them; of several, the last is told.
const LEVELS: [(&str, &str); 9] = [
    ("emerg", "error"),
    ("alert", "error"),
    ("crit", "error"),
    ("err", "error"),
    ("warning", "warn"),
    ("notice", "info"),
    ("info", "info"),
    ("debug", "debug"),
    ("debug", "trace"),
];

type Set = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// Changes what the daemon logs.
#[derive(Clone)]
pub struct LogDial {
    /// Has another filter in force, or says why not.
    set: Arc<Set>,
    level: Arc<Mutex<&'static str>>,
}

impl LogDial {
    /// `filter`: the one in force. `set` has another one in force, or says why not.
    pub fn new(
        filter: &str,
        set: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let level = LEVELS.iter().rev().find(|(_, known)| *known == filter);
        Self {
            set: Arc::new(set),
            level: Arc::new(Mutex::new(level.map_or("info", |(word, _)| word))),
        }
    }

    fn level(&self) -> &'static str {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, level: &str) -> fdo::Result<()> {
        let Some((word, filter)) = LEVELS.iter().find(|(word, _)| *word == level) else {
            let words: Vec<_> = LEVELS[..8].iter().map(|(word, _)| *word).collect();
            let level: String = level.chars().take(32).collect();
            return Err(fdo::Error::InvalidArgs(lines(
                format!("log level {level:?} is refused"),
                "there is no such level",
                format!("use one of {}", words.join(", ")),
            )));
        };
        (self.set)(filter).map_err(fdo::Error::Failed)?;
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = word;
        tracing::info!(level = word, "the log's level was changed");
        Ok(())
    }
}

/// The interface.
pub(super) struct LogControl(pub(super) Arc<House>);

#[interface(name = "org.freedesktop.LogControl1", introspection_docs = false)]
impl LogControl {
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_level(&self) -> String {
        self.0.dial.level().to_owned()
    }

    #[zbus(property)]
    async fn set_log_level(
        &self,
        level: String,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> zbus::Result<()> {
        self.admit(bus, header).await?;
        Ok(self.0.dial.turn(&level)?)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn log_target(&self) -> String {
        "console".to_owned()
    }

    #[zbus(property)]
    async fn set_log_target(
        &self,
        target: String,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> zbus::Result<()> {
        self.admit(bus, header).await?;
        match target.as_str() {
            "console" => Ok(()),
            _ => Err(fdo::Error::NotSupported(lines(
                "the log stays where it is",
                "coldshoed writes it to standard error alone",
                "let the service manager lead that elsewhere",
            ))
            .into()),
        }
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn syslog_identifier(&self) -> String {
        "coldshoed".to_owned()
    }
}

impl LogControl {
    async fn admit(&self, bus: &Connection, header: Option<Header<'_>>) -> fdo::Result<()> {
        let Some(header) = header else { return Ok(()) };
        let admitted = self
            .0
            .bouncer
            .admit(bus, &header, Action::Manage, None)
            .await;
        admitted.map_err(|refusal| match refusal {
            Refusal::Stock(error) => error,
            other => fdo::Error::AccessDenied(other.to_string()),
        })
    }
}
