//! Where things are and how long they may take.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use coldshoe_jail::{Feature, Profile};

use crate::settings::{FilePath, Filter, ProfileName, Said, Settings};
use crate::terms::Terms;
use crate::{ContractsError, CpuList, Patience, ProfileFileError, WhichBus};

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

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.camera {
            Some(camera) => write!(f, "{camera}={}", self.module),
            None => f.write_str(&self.module),
        }
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
    /// Directories with algorithms of libcamera's that the user named, and thereby trusts.
    pub libcamera_module_dirs: Vec<PathBuf>,
    /// Those of libcamera's packages.
    pub libcamera_modules: Vec<PathBuf>,
    /// Directories with libcamera's own worker programs; the first match counts.
    pub libcamera_workers: Vec<PathBuf>,
    /// The series that they are of where they do not tell.
    pub libcamera_series: Option<String>,
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
    /// The bus to be on; `None`: the user's where there is one.
    pub bus: Option<WhichBus>,
}

impl Config {
    /// Of the installation that this program belongs to.
    ///
    /// # Errors
    /// See [`of`](Self::of), or the system does not say where this program is.
    pub fn discover() -> std::io::Result<Self> {
        Self::of(&std::env::current_exe()?)
    }

    /// The directories of the installation that a program belongs to. Of
    /// `PREFIX/libexec/coldshoe/coldshoed`, modules are in `PREFIX/lib/coldshoe/modules` and in
    /// `PREFIX/lib/TRIPLET/coldshoe/modules`, tuning files in `PREFIX/share/coldshoe/tuning`.
    ///
    /// # Errors
    /// The profiles that are built in are broken.
    pub fn of(program: &Path) -> std::io::Result<Self> {
        let beside = program.parent().unwrap_or(Path::new("/"));
        let prefix = Self::prefix_of(program);
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR")
            .filter(|dir| !dir.is_empty())
            .map(|dir| Path::new(&dir).join("coldshoe"));
        let triplet = format!("lib/{}-linux-gnu/coldshoe/modules", std::env::consts::ARCH);
        Ok(Self {
            runtime_dir,
            state_dir: state_dir(|name| std::env::var_os(name)),
            module_dirs: Vec::new(),
            installed_module_dirs: vec![prefix.join("lib/coldshoe/modules"), prefix.join(triplet)],
            tuning_dirs: vec![prefix.join("share/coldshoe/tuning")],
            contract_dirs: installed_contracts(prefix),
            libcamera_module_dirs: Vec::new(),
            libcamera_modules: libcamera_dirs(&["lib"], &["ipa", ""]),
            libcamera_series: None,
            libcamera_workers: libcamera_dirs(&["libexec", "lib"], &[""]),
            worker: beside.join("coldshoe-worker"),
            profile: Profile::builtin("single").map_err(std::io::Error::other)?,
            reserved_cpus: CpuList::default(),
            disable_features: Vec::new(),
            timeouts: Timeouts::default(),
            fd_store: std::env::var_os("FDSTORE").is_some(),
            patience: Patience::default(),
            fallbacks: Vec::new(),
            max_sessions: 64,
            max_clients: 64,
            bus: None,
        })
    }

    /// Where the installation is that a program belongs to.
    #[must_use]
    pub fn prefix_of(program: &Path) -> &Path {
        let beside = program.parent().unwrap_or(Path::new("/"));
        beside.ancestors().nth(2).unwrap_or(beside)
    }

    /// Whether the daemon is a user's own: where he is logged in.
    #[must_use]
    pub fn is_users_own() -> bool {
        std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|dir| !dir.is_empty())
    }

    /// Reads the contracts as a daemon would, and says whether they are well.
    ///
    /// # Errors
    /// One of them is not.
    pub fn check_contracts(&self) -> Result<(), ContractsError> {
        Terms::of(self).map(drop)
    }

    /// What counts where nobody says anything.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let path = |dir: &PathBuf| Said::built_in(FilePath(dir.clone()));
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let pause = u64::try_from(self.patience.longest_pause.as_millis()).unwrap_or(u64::MAX);
        let within = self.patience.window.as_secs();
        Settings {
            runtime_dir: self.runtime_dir.as_ref().map(path),
            state_dir: self.state_dir.as_ref().map(path),
            module_dirs: Some(Said::built_in(Vec::new())),
            tuning_dirs: Some(Said::built_in(Vec::new())),
            contract_dirs: Some(Said::built_in(Vec::new())),
            libcamera_module_dirs: Some(Said::built_in(Vec::new())),
            libcamera_worker_dirs: Some(Said::built_in(Vec::new())),
            libcamera_series: None,
            worker: Some(path(&self.worker)),
            profile: Some(Said::built_in(ProfileName(self.profile.name().into()))),
            reserve_cpus: None,
            fd_store: Some(Said::built_in(self.fd_store)),
            fallbacks: Some(Said::built_in(Vec::new())),
            max_faults: number(self.patience.faults.into())
                .try_into()
                .ok()
                .map(Said::built_in),
            fault_window_s: number(within).try_into().ok().map(Said::built_in),
            max_pause_ms: number(pause).try_into().ok().map(Said::built_in),
            max_sessions: count(self.max_sessions).try_into().ok().map(Said::built_in),
            max_clients: count(self.max_clients).try_into().ok().map(Said::built_in),
            bus: self.bus.map(Said::built_in),
            log: Filter::try_from("info".to_owned()).ok().map(Said::built_in),
        }
    }

    /// This, but for what the settings say.
    ///
    /// # Errors
    /// The profile cannot be had.
    pub fn with(mut self, settings: &Settings) -> Result<Self, ProfileFileError> {
        let dirs = |said: &Option<Said<Vec<FilePath>>>| -> Vec<PathBuf> {
            let dirs = said.iter().flat_map(|said| &said.value);
            dirs.map(|dir| dir.0.clone()).collect()
        };
        if let Some(said) = &settings.runtime_dir {
            self.runtime_dir = Some(said.value.0.clone());
        }
        if let Some(said) = &settings.state_dir {
            self.state_dir = Some(said.value.0.clone());
        }
        self.module_dirs = dirs(&settings.module_dirs);
        // Directories that were named go before those of the installation.
        self.tuning_dirs.splice(0..0, dirs(&settings.tuning_dirs));
        self.contract_dirs
            .splice(0..0, dirs(&settings.contract_dirs));
        self.libcamera_module_dirs = dirs(&settings.libcamera_module_dirs);
        self.libcamera_workers
            .splice(0..0, dirs(&settings.libcamera_worker_dirs));
        if let Some(said) = &settings.worker {
            self.worker = said.value.0.clone();
        }
        if let Some(said) = &settings.profile {
            self.profile = crate::profile_file::profile_of_modules(&said.value.0)?;
        }
        if let Some(said) = &settings.reserve_cpus {
            self.reserved_cpus = said.value.clone();
        }
        if let Some(said) = &settings.fd_store {
            self.fd_store = said.value;
        }
        if let Some(said) = &settings.fallbacks {
            self.fallbacks = said.value.clone();
        }
        if let Some(said) = &settings.max_faults {
            self.patience.faults = said.value.get();
        }
        if let Some(said) = &settings.fault_window_s {
            self.patience.window = Duration::from_secs(said.value.get().into());
        }
        if let Some(said) = &settings.max_pause_ms {
            self.patience.longest_pause = Duration::from_millis(said.value.get().into());
        }
        if let Some(said) = &settings.max_sessions {
            self.max_sessions = said.value.get() as usize;
        }
        if let Some(said) = &settings.max_clients {
            self.max_clients = said.value.get() as usize;
        }
        if let Some(said) = &settings.libcamera_series {
            self.libcamera_series = Some(said.value.0.clone());
        }
        if let Some(said) = &settings.bus {
            self.bus = Some(said.value);
        }
        Ok(self)
    }
}

/// Where libcamera's packages put things: with the machine's triplet and without, the system's before
/// what was built there.
fn libcamera_dirs(tops: &[&str], below: &[&str]) -> Vec<PathBuf> {
    let triplet = format!("{}-linux-gnu/libcamera", std::env::consts::ARCH);
    let mut dirs = Vec::new();
    for prefix in ["/usr", "/usr/local"] {
        for top in tops {
            for own in [triplet.as_str(), "libcamera"] {
                dirs.extend(
                    below
                        .iter()
                        .map(|dir| Path::new(prefix).join(top).join(own).join(dir)),
                );
            }
        }
    }
    dirs
}

/// Those of the packages of device makers, where there are any.
fn installed_contracts(prefix: &Path) -> Vec<PathBuf> {
    let dir = prefix.join("share/coldshoe/contracts");
    dir.is_dir().then_some(dir).into_iter().collect()
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
