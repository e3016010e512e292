//! What is decided about modules: trust and quarantine. The daemon does it, and polkit decides who may.

use std::collections::HashMap;

use clap::Args;
use zbus::Variant;

use crate::bus;
use crate::daemon::{self, Daemon, Whose};
use crate::objects::{self, Module, Objects};

#[derive(Args)]
pub(crate) struct Options {
    /// The module's name, or as much of it as tells it from others
    name: String,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Args)]
pub(crate) struct Quarantine {
    #[command(flatten)]
    options: Options,
    /// Why; whoever wants to use it is told
    #[arg(long, value_name = "TEXT", default_value = "it was put there by hand")]
    reason: String,
}

#[derive(Args)]
pub(crate) struct Release {
    /// The module's name
    name: String,
    #[command(flatten)]
    daemon: Daemon,
}

/// Why nothing is decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error(transparent)]
    Daemon(#[from] daemon::Error),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Objects(error) => error.exit_code(),
            Self::Daemon(error) => error.exit_code(),
        }
    }
}

/// The bytes that are there now are trusted. What was done.
pub(super) fn trust(options: &Options) -> Result<String, Error> {
    let none: HashMap<&str, Variant<'_>> = HashMap::new();
    let module = options.call("Trust", &none)?;
    Ok(format!(
        "module {:?} is trusted as it is now, SHA-256 {}",
        module.module, module.sha256
    ))
}

/// What is known of its bytes is forgotten.
pub(super) fn forget(options: &Options) -> Result<String, Error> {
    let module = options.call("Forget", &())?;
    Ok(format!(
        "module {:?} is forgotten: it is new when it is loaded next",
        module.module
    ))
}

/// Nobody is to load it.
pub(super) fn quarantine(options: &Quarantine) -> Result<String, Error> {
    let module = options.options.call("Quarantine", &options.reason)?;
    let name = module.module;
    Ok(format!(
        "module {name:?} is in quarantine until `coldshoectl module release {name}`"
    ))
}

impl Options {
    fn call<B>(&self, method: &'static str, body: &B) -> Result<Module, Error>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let (bus, objects) = Objects::ask(self.whose)?;
        let module = objects.module(&self.name)?;
        bus.call::<_, ()>(&module.path, "Module", method, body)
            .map_err(objects::Error::from)?;
        Ok(module)
    }
}

/// It may be loaded again. A daemon that is on no bus is told over its control socket, which takes that
/// of root and of the daemon's own user only.
pub(super) fn release(release: &Release) -> Result<(), Error> {
    let over_the_socket = || {
        let mut daemon = release.daemon.ask()?;
        daemon.release(&release.name).map_err(daemon::Error::from)
    };
    if release.daemon.socket.is_some() {
        return Ok(over_the_socket()?);
    }
    let options = Options {
        name: release.name.clone(),
        whose: release.daemon.whose,
    };
    match options.call("Release", &()) {
        Err(Error::Objects(objects::Error::Bus(bus::Error::Unreachable(_)))) => {
            Ok(over_the_socket()?)
        }
        done => done.map(drop),
    }
}
