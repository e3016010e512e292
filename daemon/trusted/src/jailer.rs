//! How workers are jailed: a profile, and what this kernel can do of it.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use coldshoe_control::Trouble;
use coldshoe_control::client::{ErrorCode, Limit};
use coldshoe_control::worker::{Jail, Namespace as WireNamespace};
use coldshoe_jail::{Arch, Feature, Grade, Profile, Wake};
use coldshoe_wall::Namespace;
use coldshoe_wall::outside::{Features, Spawner, User, worker_user};

use crate::courtesy::Courtesy;
use crate::gate::Rules;
use crate::processors::Processors;
use crate::server::ServeError;
use crate::{Config, Timeouts};

/// C++'s library: large, and needed by many modules.
const CPP: &str = "libstdc++.so.6";
/// The profile of libcamera's own workers.
pub(crate) const LIBCAMERA: &str = "libcamera";
/// The part of a module's file that names its libraries is at the beginning.
const HEAD: usize = 256 << 10;

/// How workers are made.
pub(crate) struct Jailer {
    pub(crate) spawner: Spawner,
    pub(crate) program: PathBuf,
    pub(crate) profile: String,
    /// Threads that a module may start.
    pub(crate) threads: u32,
    pub(crate) jail: Jail,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) rules: Rules,
    /// RLIMIT_STACK in bytes, set before exec.
    pub(crate) stack: u64,
    /// RLIMIT_DATA in bytes.
    pub(crate) memory: u64,
    /// RLIMIT_CORE in bytes, likewise.
    pub(crate) core: u64,
    pub(crate) user: Option<User>,
    pub(crate) timeouts: Timeouts,
    pub(crate) shortfall: Shortfall,
    pub(crate) wake: Wake,
    /// Whether sessions may have a second worker ready.
    pub(crate) standby: bool,
    pub(crate) processors: Processors,
    pub(crate) courtesy: Courtesy,
}

/// What this kernel has not, of what the profile asks for.
#[derive(Debug, Default)]
pub(crate) struct Shortfall {
    /// What no session can be opened without, and what was answered.
    pub(crate) refused: Option<(Feature, String)>,
    /// Required features that the profile lets sessions go without.
    pub(crate) degraded: Vec<String>,
    /// Reported ones, and what stands in for them.
    pub(crate) notes: Vec<String>,
}

/// Tries what the kernel can do.
pub(crate) fn features(config: &Config) -> Features {
    let mut features = Features::probe();
    for feature in &config.disable_features {
        features.disable(feature.name());
    }
    features
}

impl Jailer {
    /// Compiles the profile for what the kernel can do. Without a spawner, workers are children of this
    /// process.
    pub(crate) fn new(
        config: &Config,
        features: &Features,
        spawner: Option<Spawner>,
    ) -> Result<Self, ServeError> {
        let jail = |error: &dyn std::fmt::Display| ServeError::Jail(error.to_string());
        let profile = &config.profile;
        let arch = Arch::host().ok_or_else(|| jail(&"this architecture is not supported"))?;
        let program = profile.compile(arch).map_err(|error| jail(&error))?;
        let shortfall = Shortfall::of(features, profile);
        if let Some((feature, why)) = &shortfall.refused {
            tracing::error!(%feature, why, "no session can be opened");
        }
        for degraded in &shortfall.degraded {
            tracing::warn!("degraded: {degraded}");
        }
        let namespaces = features.namespaces();
        let processors = Processors::reserve(&config.reserved_cpus)
            .map_err(|why| ServeError::Reserve(config.reserved_cpus.clone(), why))?;
        Ok(Self {
            spawner: match spawner {
                Some(spawner) => spawner,
                None => Spawner::start().map_err(|error| jail(&error))?,
            },
            program: config.worker.clone(),
            profile: profile.name().to_owned(),
            threads: profile.threads(),
            jail: Jail {
                gate: program.to_bytes(),
                readable: profile.readable().to_vec(),
                limits: limits(profile, &namespaces),
                namespaces: namespaces.iter().map(|kind| wire(*kind).into()).collect(),
                landlock_abi: features.landlock_abi(),
                mdwe: matches!(features.support(Feature::Mdwe.name()), Some(Ok(()))),
                preload: Vec::new(),
            },
            namespaces,
            rules: Rules {
                gate: Arc::new(profile.gate(arch)),
                arch,
            },
            stack: profile.limits().stack,
            memory: profile.limits().data,
            core: profile.limits().core,
            user: worker_user(),
            timeouts: config.timeouts,
            shortfall,
            wake: profile.wake(),
            standby: profile.standby(),
            processors,
            courtesy: Courtesy::of_this_process(),
        })
    }

    /// Whether sessions can be opened at all.
    pub(crate) fn admit(&self) -> Result<(), Trouble> {
        let Some((feature, why)) = &self.shortfall.refused else {
            return Ok(());
        };
        let remedy = match feature.grade() {
            // Nobody can give it another profile.
            Grade::Required if self.profile == LIBCAMERA => {
                format!(
                    "use a kernel that has it, and lets daemons use it: {}",
                    feature.without()
                )
            }
            Grade::Required => {
                let (way, without) = (self.way_to_go_without(), feature.without());
                format!(
                    "use a kernel that has it, or {way} names \"{feature}\" in allow_degraded; then \
                     {without}"
                )
            }
            _ => format!("nothing runs without it: {}", feature.without()),
        };
        Err(Trouble::new(
            ErrorCode::SandboxUnavailable,
            format!("the jail cannot be built: {feature} is missing"),
            format!("profile \"{}\" requires it; {why}", self.profile),
            remedy,
        ))
    }

    /// What has to be done so that a profile names a feature; nobody can change one that is built
    /// in.
    fn way_to_go_without(&self) -> String {
        let name = &self.profile;
        if Profile::BUILTIN.iter().any(|(known, _)| known == name) {
            format!(
                "start coldshoed with --profile FILE, where FILE has a profile that extends \
                 \"{name}\" and"
            )
        } else {
            format!("see to it that the file of the profile \"{name}\"")
        }
    }

    /// The jail for one module. `content` is its file.
    pub(crate) fn jail_for(&self, content: BorrowedFd<'_>) -> Jail {
        let mut jail = self.jail.clone();
        jail.preload = preload(content);
        jail
    }
}

impl Shortfall {
    fn of(features: &Features, profile: &Profile) -> Self {
        let mut shortfall = Self::default();
        for feature in Feature::ALL {
            let Some(Err(why)) = features.support(feature.name()) else {
                continue;
            };
            match feature.grade() {
                Grade::Reported => shortfall.note(feature, &why),
                Grade::Required if profile.allow_degraded().contains(&feature) => {
                    let line = format!("{feature}: {why}; {}", feature.without());
                    shortfall.degraded.push(line);
                }
                // The gravest comes first, and is enough.
                _ if shortfall.refused.is_some() => {}
                _ => shortfall.refused = Some((feature, why)),
            }
        }
        shortfall
    }

    fn note(&mut self, feature: Feature, why: &str) {
        self.notes
            .push(format!("{feature}: {why}; {}", feature.without()));
    }
}

fn limits(profile: &Profile, namespaces: &[Namespace]) -> Vec<Limit> {
    let limits = profile.limits();
    // Elsewhere it would count every process of the user.
    let own_user = namespaces.contains(&Namespace::User);
    limits
        .inside()
        .into_iter()
        .chain(own_user.then_some(("nproc", limits.nproc())))
        .map(|(name, value)| Limit {
            name: name.to_owned(),
            value,
        })
        .collect()
}

fn wire(kind: Namespace) -> WireNamespace {
    match kind {
        Namespace::User => WireNamespace::User,
        Namespace::Pid => WireNamespace::Pid,
        Namespace::Net => WireNamespace::Net,
        Namespace::Ipc => WireNamespace::Ipc,
        Namespace::Uts => WireNamespace::Uts,
        Namespace::Mount => WireNamespace::Mount,
    }
}

/// System libraries that the module names: the worker loads them before its gate closes, which
/// saves the loader to ask for each step. Nothing depends on it, so a glance is enough.
fn preload(content: BorrowedFd<'_>) -> Vec<String> {
    let mut head = vec![0; HEAD];
    let length = rustix::io::pread(content, &mut head, 0).unwrap_or(0);
    let name = format!("\0{CPP}\0");
    let named = head[..length]
        .windows(name.len())
        .any(|part| part == name.as_bytes());
    if named {
        vec![CPP.to_owned()]
    } else {
        Vec::new()
    }
}
