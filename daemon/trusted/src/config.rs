//! Where things are and how long they may take.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the daemon waits for a worker before it kills it.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From spawning to a loaded module.
    pub load: Duration,
    /// For configure, start and stop.
    pub order: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            load: Duration::from_secs(5),
            order: Duration::from_secs(2),
        }
    }
}

/// What a daemon needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the control socket; `None` if neither the environment nor the user named one.
    pub runtime_dir: Option<PathBuf>,
    /// Module directories, the first match counts.
    pub module_dirs: Vec<PathBuf>,
    /// Tuning directories, the first match counts.
    pub tuning_dirs: Vec<PathBuf>,
    /// The worker program.
    pub worker: PathBuf,
    /// Patience with workers.
    pub timeouts: Timeouts,
    /// Sessions at a time, over all clients.
    pub max_sessions: usize,
    /// Clients at a time.
    pub max_clients: usize,
}

impl Config {
    /// The directories of the installation that this program belongs to. In
    /// `PREFIX/libexec/coldshoe/coldshoed`, modules are in `PREFIX/lib/coldshoe/modules` and tuning
    /// files in `PREFIX/share/coldshoe/tuning`.
    pub fn discover() -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let beside = program.parent().unwrap_or(Path::new("/"));
        let prefix = beside.ancestors().nth(2).unwrap_or(beside);
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR")
            .filter(|dir| !dir.is_empty())
            .map(|dir| Path::new(&dir).join("coldshoe"));
        Ok(Self {
            runtime_dir,
            module_dirs: vec![prefix.join("lib/coldshoe/modules")],
            tuning_dirs: vec![prefix.join("share/coldshoe/tuning")],
            worker: beside.join("coldshoe-worker"),
            timeouts: Timeouts::default(),
            max_sessions: 64,
            max_clients: 64,
        })
    }
}
