//! `org.coldshoe.Coldshoe1.Module`: a module in the daemon's directories.

use std::collections::HashMap;
use std::sync::Arc;

use zbus::message::Header;
use zbus::{Connection, Variant, fdo, interface};

use super::House;
use super::bouncer::Action;
use super::error::{Own, Result, lines};
use super::modules::Facts;
use super::options::{self, Options};
use crate::session::{Command, Context};

/// Longest reason, in bytes.
const MAX_REASON: usize = 256;

/// The interface, for one module.
pub(super) struct Module {
    house: Arc<House>,
    name: String,
}

/// What is announced of a module that is not what it was.
pub(super) fn changed(before: &Facts, now: &Facts) -> HashMap<&'static str, Variant<'static>> {
    let mut changed: HashMap<&'static str, Variant<'static>> = HashMap::new();
    let texts = [
        ("ModuleVersion", &before.version, &now.version),
        ("License", &before.license, &now.license),
        ("Path", &before.path, &now.path),
        ("Profile", &before.profile, &now.profile),
    ];
    for (name, then, now) in texts {
        if then != now {
            changed.insert(name, now.clone().into());
        }
    }
    if before.digest != now.digest {
        changed.insert("Digest", now.digest.clone().into());
    }
    for (name, then, now) in [
        ("Trust", before.trust, now.trust),
        ("State", before.state, now.state),
    ] {
        if then != now {
            changed.insert(name, now.into());
        }
    }
    if before.faults != now.faults {
        changed.insert("Faults", now.faults.into());
    }
    changed
}

impl Module {
    pub(super) fn new(house: &Arc<House>, name: String) -> Self {
        Self {
            house: Arc::clone(house),
            name,
        }
    }

    fn facts(&self) -> fdo::Result<Facts> {
        let facts = self.house.modules.get(&self.name);
        facts.ok_or_else(|| fdo::Error::UnknownObject(self.gone()))
    }

    fn gone(&self) -> String {
        lines(
            format!("there is no module {:?}", self.name),
            "its file is gone",
            "GetManagedObjects lists those that there are",
        )
    }

    async fn admit(&self, bus: &Connection, call: &Header<'_>, action: Action) -> Result<()> {
        let bouncer = &self.house.bouncer;
        bouncer.admit(bus, call, action, None).await?;
        match self.house.modules.get(&self.name) {
            Some(_) => Ok(()),
            None => Err(Own::NoSuchModule(self.gone()).into()),
        }
    }

    /// Does something that reads or writes files, and has the modules looked at again.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (house, name) = (Arc::clone(&self.house), self.name.clone());
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&house.context, &name);
            house.look.notify_one();
            done
        });
        done.await
            .unwrap_or_else(|error| Err(fdo::Error::Failed(error.to_string()).into()))
    }
}

/// A module in the daemon's directories.
#[interface(name = "org.coldshoe.Coldshoe1.Module")]
impl Module {
    /// Its name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    /// Version, as it said when it was loaded last; empty before.
    #[zbus(property)]
    fn module_version(&self) -> fdo::Result<String> {
        Ok(self.facts()?.version)
    }

    /// Licence, likewise.
    #[zbus(property)]
    fn license(&self) -> fdo::Result<String> {
        Ok(self.facts()?.license)
    }

    /// Its file.
    #[zbus(property)]
    fn path(&self) -> fdo::Result<String> {
        Ok(self.facts()?.path)
    }

    /// SHA-256 of its bytes; empty if they cannot be read.
    #[zbus(property)]
    fn digest(&self) -> fdo::Result<Vec<u8>> {
        Ok(self.facts()?.digest)
    }

    /// 0 unknown, 1 trusted, 2 changed, 3 revoked.
    #[zbus(property, name = "Trust")]
    fn trust_level(&self) -> fdo::Result<u32> {
        Ok(self.facts()?.trust)
    }

    /// The jail that it runs in.
    #[zbus(property)]
    fn profile(&self) -> fdo::Result<String> {
        Ok(self.facts()?.profile)
    }

    /// 0 unknown, 1 ready, 2 in use, 3 quarantined, 4 not fit to be loaded.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<u32> {
        Ok(self.facts()?.state)
    }

    /// How often it failed since the daemon started.
    #[zbus(property)]
    fn faults(&self) -> fdo::Result<u64> {
        Ok(self.facts()?.faults)
    }

    /// The bytes that are there now are trusted.
    async fn trust(
        &self,
        options: Options,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<()> {
        self.admit(bus, &header, Action::TrustModule).await?;
        options::known(&options, &[])?;
        self.work(|context, name| Ok(context.registry.pin(name)?))
            .await
    }

    /// What is recorded of it is forgotten: it is new when it is loaded next.
    async fn forget(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<()> {
        self.admit(bus, &header, Action::TrustModule).await?;
        self.work(|context, name| Ok(context.registry.forget(name)?))
            .await
    }

    /// It is not loaded any more, and sessions that run it go on without it.
    async fn quarantine(
        &self,
        reason: &str,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<()> {
        self.admit(bus, &header, Action::Manage).await?;
        if reason.is_empty() || reason.len() > MAX_REASON {
            return Err(options::invalid(
                "reason",
                "it is empty or too long",
                format!("say in up to {MAX_REASON} bytes why"),
            ));
        }
        let why = coldshoe_control::clean(reason);
        self.house.context.history.quarantine(&self.name, &why)?;
        tracing::warn!(module = self.name, why, "quarantined on request");
        for commands in self.house.context.roster.all_commands() {
            let (module, why) = (self.name.clone(), why.clone());
            let _ = commands.send(Command::Evict { module, why }).await;
        }
        self.house.look.notify_one();
        Ok(())
    }

    /// It may be loaded again.
    async fn release(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<()> {
        self.admit(bus, &header, Action::Manage).await?;
        let known = self.house.context.history.release(&self.name);
        tracing::info!(module = self.name, known, "released");
        self.house.look.notify_one();
        Ok(())
    }
}
