//! What sessions are opened with, of all that can be set: it may change while the daemon runs, and
//! then counts for those that are opened from then on.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::contracts::{Contracts, ContractsError};
use crate::trust::Origin;
use crate::{Config, Fallback, Patience};

/// The terms of a session: from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Formats that parameters may have.
    pub(crate) contracts: Contracts,
    /// Where tuning files are, the first match counts.
    pub(crate) tuning_dirs: Vec<PathBuf>,
    /// Where libcamera's algorithms are, and why they are looked for there.
    pub(crate) libcamera_modules: Vec<(PathBuf, Origin)>,
    /// Where libcamera's own worker programs are, the first match counts.
    pub(crate) libcamera_workers: Vec<PathBuf>,
    /// The series that they are of where they do not tell.
    pub(crate) libcamera_series: Option<String>,
    /// How much failing is put up with.
    pub(crate) patience: Patience,
    /// Modules that take over where another one is quarantined.
    fallbacks: Vec<Fallback>,
}

impl Terms {
    /// Reads the contracts.
    pub(crate) fn of(config: &Config) -> Result<Self, ContractsError> {
        Ok(Self {
            contracts: Contracts::load(&config.contract_dirs)?,
            tuning_dirs: config.tuning_dirs.clone(),
            libcamera_modules: [
                from(&config.libcamera_module_dirs, Origin::Flag),
                from(&config.libcamera_modules, Origin::Installed),
            ]
            .concat(),
            libcamera_workers: config.libcamera_workers.clone(),
            libcamera_series: config.libcamera_series.clone(),
            patience: config.patience,
            fallbacks: config.fallbacks.clone(),
        })
    }

    /// The module that takes over on a camera.
    pub(crate) fn fallback_for(&self, camera: &str) -> Option<&str> {
        let of = |wanted: Option<&str>| {
            let found = |fallback: &&Fallback| fallback.camera.as_deref() == wanted;
            self.fallbacks.iter().find(found)
        };
        let fallback = of(Some(camera)).or_else(|| of(None));
        fallback.map(|fallback| fallback.module.as_str())
    }
}

fn from(dirs: &[PathBuf], origin: Origin) -> Vec<(PathBuf, Origin)> {
    dirs.iter().map(|dir| (dir.clone(), origin)).collect()
}

/// What is so at the moment. Who has taken it keeps what it was.
#[derive(Debug)]
pub(crate) struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}
