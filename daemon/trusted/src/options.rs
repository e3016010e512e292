//! The command line of `coldshoed`.

use std::path::{Path, PathBuf};

use clap::Parser;
use coldshoed::settings::{Filter, ProfileName, Said, SeriesName, Settings, Sources, Within};
use coldshoed::{Config, CpuList, Fallback, WhichBus};

/// Runs camera algorithms in isolated processes.
///
/// What is not said here is read from coldshoed.toml and coldshoed.toml.d/*.toml; `coldshoectl config
/// show` tells from which.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Directory with coldshoed.toml and coldshoed.toml.d, in place of the usual ones; may be given
    /// several times, the last one counts most
    #[arg(long = "config-dir", value_name = "DIR")]
    config_dirs: Vec<PathBuf>,
    /// Reads no settings from files
    #[arg(long, conflicts_with = "config_dirs")]
    no_config: bool,
    /// Directory of the control socket [default: $XDG_RUNTIME_DIR/coldshoe]
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Directory of what outlives the daemon [default: $XDG_STATE_HOME/coldshoe]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Directory with modules, NAME.so each, which are trusted by naming it; may be given several
    /// times, the first match counts
    #[arg(long = "module-dir", value_name = "DIR")]
    module_dirs: Vec<PathBuf>,
    /// Directory with tuning files, MODULE/CAMERA.toml or MODULE/default.toml
    #[arg(long = "tuning-dir", value_name = "DIR")]
    tuning_dirs: Vec<PathBuf>,
    /// Directory with contracts of parameter formats that are not built in, FORMAT.toml; may be given
    /// several times
    #[arg(long = "contract-dir", value_name = "DIR")]
    contract_dirs: Vec<PathBuf>,
    /// Directory with algorithms of libcamera's, ipa_NAME.so each, which are trusted by naming it, beside
    /// those of libcamera's packages; may be given several times
    #[arg(long = "libcamera-module-dir", value_name = "DIR")]
    libcamera_module_dirs: Vec<PathBuf>,
    /// Directory with libcamera's own worker programs, NAME_ipa_proxy each; goes before those of
    /// libcamera's packages; may be given several times
    #[arg(long = "libcamera-worker-dir", value_name = "DIR")]
    libcamera_worker_dirs: Vec<PathBuf>,
    /// Series of libcamera, such as 0.7, that its workers are of where their programs do not tell
    #[arg(long, value_name = "SERIES")]
    libcamera_series: Option<SeriesName>,
    /// The worker program [default: coldshoe-worker beside this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    /// What modules may do: single, threaded, predictive, or a file with a profile of your own, which has a / in
    /// its path or ends in .toml; only you and root may be able to write to it [default: single]
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<PathBuf>,
    /// Processors that only workers of the profile predictive use, of all that this daemon starts, one
    /// each: 2,4-7; keep other programs off them, too
    #[arg(long, value_name = "LIST")]
    reserve_cpus: Option<CpuList>,
    /// The service manager keeps descriptors for the next daemon (FileDescriptorStoreMax= of systemd):
    /// sessions go on while coldshoed is restarted [default: if $FDSTORE is set]
    #[arg(long)]
    fd_store: bool,
    /// Module that takes over where another one failed too often: for all cameras, or for one; may be
    /// given several times
    #[arg(long = "fallback", value_name = "[CAMERA=]MODULE")]
    fallbacks: Vec<Fallback>,
    /// Faults of a session within --fault-window after which its module is quarantined [default: 6]
    #[arg(long, value_name = "N")]
    max_faults: Option<Within<1, 1_000_000>>,
    /// Seconds in which --max-faults are too many [default: 60]
    #[arg(long, value_name = "SECONDS")]
    fault_window: Option<Within<0, 1_000_000_000>>,
    /// Longest pause before a worker that keeps failing is replaced again, in milliseconds
    /// [default: 5000]
    #[arg(long, value_name = "MS")]
    max_pause: Option<Within<0, 1_000_000_000>>,
    /// Sessions at a time, over all clients [default: 64]
    #[arg(long, value_name = "N")]
    max_sessions: Option<Within<1, 1024>>,
    /// Clients at a time [default: 64]
    #[arg(long, value_name = "N")]
    max_clients: Option<Within<1, 1024>>,
    /// The bus to be on as org.coldshoe.Coldshoe1: system, session, none [default: session where there is
    /// one]
    #[arg(long, value_name = "BUS")]
    bus: Option<WhichBus>,
    /// Stop when standard input ends: ties the daemon to who holds the other end of a pipe
    #[arg(long)]
    pub(crate) stop_at_eof: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as coldshoed=debug
    /// [default: info]
    #[arg(long, value_name = "FILTER", env = "COLDSHOE_LOG")]
    log: Option<Filter>,
}

impl Options {
    /// Where settings are read from.
    pub(crate) fn sources(&self, program: &Path) -> Sources {
        match self.config_dirs.as_slice() {
            _ if self.no_config => Sources::default(),
            [] => Sources::installed(Config::prefix_of(program), Config::is_users_own()),
            dirs => Sources::of(dirs.to_vec()),
        }
    }

    /// What the command line says.
    pub(crate) fn settings(&self) -> Settings {
        let file = |path: &Option<PathBuf>| path.clone().map(|path| Said::by_hand(path.into()));
        let files = |paths: &[PathBuf]| several(paths.iter().cloned().map(Into::into).collect());
        Settings {
            runtime_dir: file(&self.runtime_dir),
            state_dir: file(&self.state_dir),
            module_dirs: files(&self.module_dirs),
            tuning_dirs: files(&self.tuning_dirs),
            contract_dirs: files(&self.contract_dirs),
            libcamera_module_dirs: files(&self.libcamera_module_dirs),
            libcamera_worker_dirs: files(&self.libcamera_worker_dirs),
            libcamera_series: self.libcamera_series.clone().map(Said::by_hand),
            worker: file(&self.worker),
            profile: self.profile.clone().map(ProfileName).map(Said::by_hand),
            reserve_cpus: self.reserve_cpus.clone().map(Said::by_hand),
            fd_store: self.fd_store.then(|| Said::by_hand(true)),
            fallbacks: several(self.fallbacks.clone()),
            max_faults: self.max_faults.map(Said::by_hand),
            fault_window_s: self.fault_window.map(Said::by_hand),
            max_pause_ms: self.max_pause.map(Said::by_hand),
            max_sessions: self.max_sessions.map(Said::by_hand),
            max_clients: self.max_clients.map(Said::by_hand),
            bus: self.bus.map(Said::by_hand),
            log: self.log.clone().map(Said::by_hand),
        }
    }
}

/// An option that was not given says nothing.
fn several<T>(values: Vec<T>) -> Option<Said<Vec<T>>> {
    (!values.is_empty()).then(|| Said::by_hand(values))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_key_has_its_option_and_every_option_its_key() {
        let command = Options::command();
        let options = command.get_arguments().filter_map(|arg| arg.get_long());
        // Whose settings they are, and whose daemon: neither can be asked of a file.
        let others = ["config-dir", "no-config", "stop-at-eof"];
        let mut options: Vec<_> = options.filter(|name| !others.contains(name)).collect();
        let keys = Settings::KEYS.iter();
        let mut keys: Vec<_> = keys.map(|key| key.option.trim_start_matches('-')).collect();
        options.sort_unstable();
        keys.sort_unstable();
        assert_eq!(options, keys);
    }

    #[test]
    fn what_is_said_by_hand_overrides_and_what_is_not_said_does_not() {
        let said = |args: &[&str]| {
            let options = Options::try_parse_from([&["coldshoed"], args].concat()).unwrap();
            options
                .settings()
                .entries()
                .into_iter()
                .filter(|entry| entry.value.is_some())
                .count()
        };
        assert_eq!(
            said(&[]),
            usize::from(std::env::var_os("COLDSHOE_LOG").is_some())
        );
        let all = [
            "--runtime-dir=r",
            "--state-dir=s",
            "--module-dir=m",
            "--tuning-dir=t",
            "--contract-dir=c",
            "--libcamera-module-dir=l",
            "--libcamera-worker-dir=p",
            "--libcamera-series=0.7",
            "--worker=w",
            "--profile=threaded",
            "--reserve-cpus=1",
            "--fd-store",
            "--fallback=f",
            "--max-faults=1",
            "--fault-window=1",
            "--max-pause=1",
            "--max-sessions=1",
            "--max-clients=1",
            "--bus=none",
            "--log=debug",
        ];
        assert_eq!(said(&all), Settings::KEYS.len());
    }
}
