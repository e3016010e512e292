//! Every key, with what it means, when it counts, and how one file's word gives way to another's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{FilePath, Filter, ProfileName, SeriesName, Within};
use crate::{CpuList, Fallback, WhichBus};

/// When another value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// From a reload on, for sessions that are opened then.
    Reload,
    /// From the next start of the daemon on.
    Restart,
}

/// A key of `coldshoed.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// The option of the command line that says the same.
    pub option: &'static str,
    /// What it means, in lines.
    pub meaning: &'static [&'static str],
    /// When another value counts.
    pub when: When,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything else.
    BuiltIn,
    /// A file, and its line.
    File(Arc<Path>, usize),
    /// The command line, or the environment.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// A value, and who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// Who said it.
    pub origin: Origin,
}

/// A key with the value that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value as it would be written in a file; `None`: there is none.
    pub value: Option<String>,
    /// Who said so.
    pub origin: Origin,
}

macro_rules! keys {
    ($($(#[doc = $meaning:literal])+ $name:ident: $value:ty, $option:literal, $when:ident;)*) => {
        /// What one file says.
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            $(#[serde(default)] $name: Option<Spanned<$value>>,)*
        }

        /// What somebody says, key by key; what is not said is left to others.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $meaning])+ pub $name: Option<Said<$value>>,)*
        }

        impl Settings {
            /// Every key.
            pub const KEYS: &[Key] = &[$(Key {
                name: stringify!($name),
                option: $option,
                meaning: &[$($meaning),+],
                when: When::$when,
            }),*];

            /// What a file says.
            ///
            /// # Errors
            /// A key is unknown, or a value cannot be.
            pub(super) fn parse(path: &Path, text: &str) -> Result<Self, toml::de::Error> {
                let written: Written = toml::from_str(text)?;
                let path: Arc<Path> = path.into();
                Ok(Self {
                    $($name: written.$name.map(|spanned| Said {
                        origin: Origin::File(Arc::clone(&path), line(text, spanned.span().start)),
                        value: spanned.into_inner(),
                    }),)*
                })
            }

            /// This, but for what `other` says.
            #[must_use]
            pub fn overridden_by(self, other: Self) -> Self {
                Self { $($name: other.$name.or(self.$name),)* }
            }

            /// Every key with the value that counts.
            #[must_use]
            pub fn entries(&self) -> Vec<Entry> {
                Self::KEYS.iter().copied().zip([$(shown(self.$name.as_ref())),*])
                    .map(|(key, (value, origin))| Entry { key, value, origin })
                    .collect()
            }

            /// The keys whose values are others than `before`.
            #[must_use]
            pub fn changed_from(&self, before: &Self) -> Vec<Key> {
                let value = |said: &Self| said.entries().into_iter().map(|entry| entry.value);
                value(self).zip(value(before)).zip(Self::KEYS)
                    .filter(|((now, then), _)| now != then)
                    .map(|(_, key)| *key)
                    .collect()
            }

            /// This, but `before`'s values where others count from the next start on only.
            #[must_use]
            pub fn until_restart(self, before: &Self) -> Self {
                Self {
                    $($name: match When::$when {
                        When::Reload => self.$name,
                        When::Restart => before.$name.clone(),
                    },)*
                }
            }
        }
    };
}

keys! {
    /// Directory of the control socket.
    runtime_dir: FilePath, "--runtime-dir", Restart;
    /// Directory of what outlives the daemon: which modules are trusted, and what failed.
    state_dir: FilePath, "--state-dir", Restart;
    /// Directories with modules, NAME.so each, which are trusted by naming them; the first match counts,
    /// and those of the installation come last.
    module_dirs: Vec<FilePath>, "--module-dir", Reload;
    /// Directories with tuning files, MODULE/CAMERA.toml or MODULE/default.toml; the first match counts,
    /// and those of the installation come last.
    tuning_dirs: Vec<FilePath>, "--tuning-dir", Reload;
    /// Directories with contracts of parameter formats that are not built in, FORMAT.toml each.
    contract_dirs: Vec<FilePath>, "--contract-dir", Reload;
    /// Directories with algorithms of libcamera's, ipa_NAME.so each, which are trusted by naming them,
    /// beside those of libcamera's packages.
    libcamera_module_dirs: Vec<FilePath>, "--libcamera-module-dir", Reload;
    /// Directories with libcamera's own worker programs, NAME_ipa_proxy each; the first match counts, and
    /// those of libcamera's packages come last.
    libcamera_worker_dirs: Vec<FilePath>, "--libcamera-worker-dir", Reload;
    /// The series of libcamera, as "0.7", that its workers are of where their programs do not tell by the
    /// name of a library that they need.
    libcamera_series: SeriesName, "--libcamera-series", Reload;
    /// The worker program.
    worker: FilePath, "--worker", Restart;
    /// What modules may do: single, threaded, predictive, or the path of a file with a profile of your
    /// own, which only you and root may be able to write to.
    profile: ProfileName, "--profile", Restart;
    /// Processors that only workers of the profile predictive use, one each, as in "2,4-7"; keep other
    /// programs off them, too.
    reserve_cpus: CpuList, "--reserve-cpus", Restart;
    /// The service manager keeps descriptors for the next daemon (FileDescriptorStoreMax= of systemd):
    /// sessions go on while coldshoed is restarted.
    fd_store: bool, "--fd-store", Restart;
    /// Modules that take over where another one failed too often: "MODULE" for all cameras,
    /// "CAMERA=MODULE" for one.
    fallbacks: Vec<Fallback>, "--fallback", Reload;
    /// Faults of a session within the window after which its module is quarantined.
    max_faults: Within<1, 1_000_000>, "--max-faults", Reload;
    /// The window in which max_faults are too many, in seconds.
    fault_window_s: Within<0, 1_000_000_000>, "--fault-window", Reload;
    /// Longest pause before a worker that keeps failing is replaced again, in milliseconds.
    max_pause_ms: Within<0, 1_000_000_000>, "--max-pause", Reload;
    /// Sessions at a time, over all clients.
    max_sessions: Within<1, 1024>, "--max-sessions", Restart;
    /// Clients at a time.
    max_clients: Within<1, 1024>, "--max-clients", Restart;
    /// The bus to be on as org.coldshoe.Coldshoe1: system, session, none. If nobody says, the user's where
    /// there is one.
    bus: WhichBus, "--bus", Restart;
    /// What to log: error, warn, info, debug, trace, or a filter such as "coldshoed=debug".
    log: Filter, "--log", Reload;
}

/// Number of the line at this place of a text.
fn line(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or(text);
    before.matches('\n').count() + 1
}

fn shown<T: Serialize>(said: Option<&Said<T>>) -> (Option<String>, Origin) {
    match said {
        None => (None, Origin::BuiltIn),
        Some(said) => {
            let value = toml::Value::try_from(&said.value).ok();
            (value.map(|value| value.to_string()), said.origin.clone())
        }
    }
}

impl<T> Said<T> {
    /// By the command line.
    pub fn by_hand(value: T) -> Self {
        let origin = Origin::CommandLine;
        Self { value, origin }
    }

    pub(crate) fn built_in(value: T) -> Self {
        let origin = Origin::BuiltIn;
        Self { value, origin }
    }
}

impl From<PathBuf> for FilePath {
    /// From the command line, where a relative path starts from the directory of whoever gives it.
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Settings {
        Settings::parse("/x.toml".as_ref(), text).unwrap()
    }

    #[test]
    fn a_value_is_shown_as_it_would_be_written_and_read_again() {
        let texts = [
            ("module_dirs", "[\"/a\", \"/b\"]"),
            ("reserve_cpus", "\"2,4,5,6,7\""),
            ("fallbacks", "[\"open\", \"imx219=acme\"]"),
            ("log", "\"coldshoed=debug\""),
            ("fd_store", "true"),
            ("bus", "\"system\""),
            ("max_faults", "3"),
        ];
        for (key, value) in texts {
            let settings = parse(&format!("{key} = {value}"));
            let mut entries = settings.entries().into_iter();
            let entry = entries.find(|entry| entry.key.name == key).unwrap();
            assert_eq!(entry.value.as_deref(), Some(value));
        }
    }

    #[test]
    fn what_needs_a_restart_stays_until_then_and_the_rest_changes() {
        let before = parse("max_faults = 3\nmax_clients = 3\nfallbacks = [\"a\"]");
        let after = parse("max_faults = 4\nmax_clients = 4\nfallbacks = [\"a\"]\n# moved");
        let changed = after.changed_from(&before);
        let changed: Vec<_> = changed.iter().map(|key| (key.name, key.when)).collect();
        assert_eq!(
            changed,
            [("max_faults", When::Reload), ("max_clients", When::Restart)]
        );
        let now = after.clone().until_restart(&before);
        let names: Vec<_> = now
            .changed_from(&before)
            .iter()
            .map(|key| key.name)
            .collect();
        assert_eq!(names, ["max_faults"]);
        assert_eq!(after.changed_from(&now)[0].name, "max_clients");
    }
}
