//! Where things are and how long they may take.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use coldshoe_jail::{Feature, Profile};

use crate::{CpuList, Patience};

/// How long the daemon waits for what it does not do itself. Together, `find` and `load` are less
/// than a client's patience, which is 10 s.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a disk: finding, reading and hashing a module, and reading its tuning file.
    pub find: Duration,
    /// For a worker, before it is killed: from spawning to a loaded module.
    pub load: Duration,
    /// The same for configure, start and stop.
    pub order: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            find: Duration::from_secs(4),
            load: Duration::from_secs(5),
            order: Duration::from_secs(2),
        }
    }
}

/// A module that takes over where another one is quarantined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// For which camera; `None`: for every one that has none of its own.
    pub camera: Option<String>,
    /// Its name.
    pub module: String,
}

impl FromStr for Fallback {
    type Err = String;

    /// `MODULE`, or `CAMERA=MODULE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (camera, module) = match text.split_once('=') {
            Some((camera, module)) => (Some(camera.to_owned()), module),
            None => (None, text),
        };
        if module.is_empty() || camera.as_deref() == Some("") {
            return Err("write MODULE, or CAMERA=MODULE".to_owned());
        }
        let module = module.to_owned();
        Ok(Self { camera, module })
    }
}

/// What a daemon needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the control socket; `None` if neither the environment nor the user named one.
    pub runtime_dir: Option<PathBuf>,
    /// Directory of what outlives the daemon: which modules are trusted. `None` if neither the
    /// environment nor the user named one.
    pub state_dir: Option<PathBuf>,
    /// Module directories that the user named, and thereby trusts; the first match counts.
    pub module_dirs: Vec<PathBuf>,
    /// Module directories of the installation, searched after those.
    pub installed_module_dirs: Vec<PathBuf>,
    /// Tuning directories, the first match counts.
    pub tuning_dirs: Vec<PathBuf>,
    /// Directories with contracts of parameter formats that are not built in.
    pub contract_dirs: Vec<PathBuf>,
    /// The worker program.
    pub worker: PathBuf,
    /// What workers may do.
    pub profile: Profile,
    /// Processors that are set aside for workers of a profile that wants one of its own.
    pub reserved_cpus: CpuList,
    /// Features of the kernel to do without, to see what happens then. For tests: no option of the
    /// command line leads here.
    pub disable_features: Vec<Feature>,
    /// Patience.
    pub timeouts: Timeouts,
    /// Whether the service manager keeps descriptors for the next daemon: then sessions outlive this
    /// one.
    pub fd_store: bool,
    /// How much failing is put up with.
    pub patience: Patience,
    /// Modules that take over where another one is quarantined: for a camera, or for all.
    pub fallbacks: Vec<Fallback>,
    /// Sessions at a time, over all clients.
    pub max_sessions: usize,
    /// Clients at a time.
    pub max_clients: usize,
}

impl Config {
    /// The module that takes over on a camera.
    pub(crate) fn fallback_for(&self, camera: &str) -> Option<&str> {
        let of = |wanted: Option<&str>| {
            let found = |fallback: &&Fallback| fallback.camera.as_deref() == wanted;
            self.fallbacks.iter().find(found)
        };
        let fallback = of(Some(camera)).or_else(|| of(None));
        fallback.map(|fallback| fallback.module.as_str())
    }

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
            state_dir: state_dir(|name| std::env::var_os(name)),
            module_dirs: Vec::new(),
            installed_module_dirs: vec![prefix.join("lib/coldshoe/modules")],
            tuning_dirs: vec![prefix.join("share/coldshoe/tuning")],
            contract_dirs: Vec::new(),
            worker: beside.join("coldshoe-worker"),
            profile: Profile::builtin("single").map_err(std::io::Error::other)?,
            reserved_cpus: CpuList::default(),
            disable_features: Vec::new(),
            timeouts: Timeouts::default(),
            fd_store: false,
            patience: Patience::default(),
            fallbacks: Vec::new(),
            max_sessions: 64,
            max_clients: 64,
        })
    }
}

/// `$STATE_DIRECTORY` of a service, else `$XDG_STATE_HOME/coldshoe`, else
/// `~/.local/state/coldshoe`. As the XDG specification has it, a relative path counts as none.
fn state_dir(env: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let path = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    path("STATE_DIRECTORY")
        .or_else(|| Some(path("XDG_STATE_HOME")?.join("coldshoe")))
        .or_else(|| Some(path("HOME")?.join(".local/state/coldshoe")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_the_services_the_xdg_one_or_below_home() {
        let all = [
            ("STATE_DIRECTORY", "/var/lib/coldshoe"),
            ("XDG_STATE_HOME", "/xdg"),
            ("HOME", "/home/ada"),
        ];
        let found = |env: &[(&str, &str)]| {
            let get = |name: &str| Some(env.iter().find(|(key, _)| *key == name)?.1.into());
            state_dir(get).map(|path| path.display().to_string())
        };
        assert_eq!(found(&all).as_deref(), Some("/var/lib/coldshoe"));
        assert_eq!(found(&all[1..]).as_deref(), Some("/xdg/coldshoe"));
        let below_home = Some("/home/ada/.local/state/coldshoe");
        assert_eq!(found(&all[2..]).as_deref(), below_home);
        assert_eq!(
            found(&[("XDG_STATE_HOME", "relative"), all[2]]).as_deref(),
            below_home
        );
        assert_eq!(found(&[("HOME", "")]), None);
    }
}
