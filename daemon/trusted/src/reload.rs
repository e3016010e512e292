//! Settings, read at the start and again with each SIGHUP.

use std::path::PathBuf;

use anyhow::Context;
use coldshoed::settings::{Filter, Settings, Sources, When};
use coldshoed::{Config, Reload};
use sd_notify::{NotifyState, notify};
use tokio::signal::unix::Signal;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// What was said, and who has to be asked again.
pub(crate) struct Said {
    program: PathBuf,
    sources: Sources,
    by_hand: Settings,
    /// As the daemon works with it.
    now: Settings,
}

/// Changes the log's filter.
pub(crate) type LogFilter = reload::Handle<EnvFilter, Registry>;

impl Said {
    /// Reads the files.
    pub(crate) fn new(
        program: PathBuf,
        sources: Sources,
        by_hand: Settings,
    ) -> anyhow::Result<(Self, Config)> {
        let mut said = Self {
            program,
            sources,
            by_hand,
            now: Settings::default(),
        };
        let (now, config) = said.read()?;
        said.now = now;
        Ok((said, config))
    }

    fn read(&self) -> anyhow::Result<(Settings, Config)> {
        let config = Config::of(&self.program)?;
        let read = self.sources.read().map_err(told)?;
        let settings = config.settings().overridden_by(read);
        let settings = settings.overridden_by(self.by_hand.clone());
        let config = config.with(&settings).map_err(told)?;
        Ok((settings, config))
    }

    /// What to log.
    pub(crate) fn filter(&self) -> anyhow::Result<EnvFilter> {
        let filter = self.now.log.as_ref().map(|said| said.value.clone());
        let filter = filter.as_ref().map(Filter::parse).transpose();
        filter
            .map_err(|why| {
                anyhow::anyhow!("the log cannot be filtered\n  why: {why}\n  try: --log info")
            })
            .map(Option::unwrap_or_default)
    }

    /// Reads the files again. If anything is wrong with them everything stays as it was.
    fn again(&mut self, reload: &Reload, log: &LogFilter) -> anyhow::Result<()> {
        let (settings, config) = self.read()?;
        reload.take(&config).map_err(told)?;
        for key in settings.changed_from(&self.now) {
            match key.when {
                When::Reload => tracing::info!(key = key.name, "changed"),
                When::Restart => tracing::warn!(
                    key = key.name,
                    "another value counts when coldshoed is restarted: systemctl restart coldshoed"
                ),
            }
        }
        self.now = settings.until_restart(&self.now);
        log.reload(self.filter()?)
            .context("the log keeps its filter")
    }

    /// Reads the files again with each signal.
    pub(crate) async fn follow(mut self, mut signal: Signal, reload: Reload, log: LogFilter) {
        while signal.recv().await.is_some() {
            let mut begins = vec![NotifyState::Reloading];
            begins.extend(NotifyState::monotonic_usec_now());
            let _ = notify(&begins);
            let (reload, log) = (reload.clone(), log.clone());
            // Files are on disks, and disks may hang.
            let reading = tokio::task::spawn_blocking(move || {
                let done = self.again(&reload, &log);
                (self, done)
            });
            let done = reading.await;
            let _ = notify(&[NotifyState::Ready]);
            match done {
                Ok((said, done)) => {
                    self = said;
                    match done {
                        Ok(()) => tracing::info!("settings were read again"),
                        Err(error) => tracing::error!("settings stay as they were: {error}"),
                    }
                }
                Err(error) => return tracing::error!(%error, "settings cannot be read again"),
            }
        }
    }
}

/// An error whose three lines name the cause already: a chain of causes would only repeat it.
pub(crate) fn told(error: impl std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
