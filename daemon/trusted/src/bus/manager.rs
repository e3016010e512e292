//! `org.coldshoe.Coldshoe1.Manager`: the daemon as a whole.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, interface};

use super::bouncer::Action;
use super::error::{Refusal, Result, no_session};
use super::names::session_path;
use super::options::{self, Options};
use super::{House, diagnostics};

/// What this API offers; grows with it.
const FEATURES: [&str; 6] = [
    "controls",
    "diagnostics",
    "hold",
    "quarantine",
    "restart",
    "trace",
];
/// One frame at 30 a second.
const DEFAULT_DEADLINE_US: u64 = 33_333;

/// How the daemon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Health {
    Well = 1,
    /// Some sessions are not well, or the jail is not all that it could be.
    Degraded = 2,
    /// No session can be opened.
    Failed = 3,
}

impl Health {
    pub(super) fn of(house: &House) -> Self {
        let shortfall = &house.context.jailer.shortfall;
        let (_, ill) = house.context.roster.count();
        if shortfall.refused.is_some() {
            Self::Failed
        } else if ill > 0 || !shortfall.degraded.is_empty() {
            Self::Degraded
        } else {
            Self::Well
        }
    }
}

/// The interface.
pub(super) struct Manager(pub(super) Arc<House>);

/// The daemon as a whole.
#[interface(name = "org.coldshoe.Coldshoe1.Manager")]
impl Manager {
    /// Version of the daemon.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// What this API offers.
    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> Vec<String> {
        FEATURES.map(str::to_owned).to_vec()
    }

    /// How workers are confined on this kernel: Profile s, LandlockAbi u, Namespaces as,
    /// NoNewExecutableMemory b, Refused s (why no session can be opened), Degraded as, Notes as.
    #[zbus(property(emits_changed_signal = "const"))]
    fn sandbox_level(&self) -> HashMap<String, OwnedVariant> {
        let jailer = &self.0.context.jailer;
        let namespaces: Vec<String> = jailer
            .namespaces
            .iter()
            .map(|kind| format!("{kind:?}").to_lowercase())
            .collect();
        let refused = jailer.shortfall.refused.as_ref();
        let refused = refused.map_or(String::new(), |(what, why)| format!("{what}: {why}"));
        dictionary([
            ("Profile", Variant::from(jailer.profile.clone())),
            ("LandlockAbi", jailer.jail.landlock_abi.into()),
            ("Namespaces", namespaces.into()),
            ("NoNewExecutableMemory", jailer.jail.mdwe.into()),
            ("Refused", refused.into()),
            ("Degraded", jailer.shortfall.degraded.clone().into()),
            ("Notes", jailer.shortfall.notes.clone().into()),
        ])
    }

    /// 0 unknown, 1 well, 2 degraded, 3 no session can be opened.
    #[zbus(property)]
    fn health(&self) -> u32 {
        Health::of(&self.0) as u32
    }

    /// Deadline of a frame that is proposed to pipelines which have none of their own.
    #[zbus(property(emits_changed_signal = "const"), name = "DefaultDeadlineUSec")]
    fn default_deadline(&self) -> u64 {
        DEFAULT_DEADLINE_US
    }

    /// The object of a session, by its number.
    #[zbus(out_args("session"))]
    fn get_session(&self, id: &str) -> Result<OwnedObjectPath> {
        let view = id
            .parse()
            .ok()
            .and_then(|id| self.0.context.roster.view(id));
        let view = view.filter(|view| view.last.is_some());
        let shown: String = id.chars().take(32).collect();
        let view = view.ok_or_else(|| no_session(&shown))?;
        Ok(session_path(view.info.session).into())
    }

    /// The object of the session whose pipeline, or whose worker, is this process.
    #[zbus(out_args("session"))]
    fn get_session_by_pid_fd(&self, pidfd: zbus::OwnedFd) -> Result<OwnedObjectPath> {
        let pid = pid_of(pidfd.as_fd()).ok_or_else(|| {
            options::invalid(
                "pidfd",
                "it is no pidfd of a process that lives",
                "give what pidfd_open(2) returned".to_owned(),
            )
        })?;
        let views = self.0.context.roster.views();
        let found = views.iter().find(|view| {
            view.last.is_some() && (view.owner.pid == pid || view.info.worker_pid == pid)
        });
        let view = found.ok_or_else(|| no_session(&format!("of process {pid}")))?;
        Ok(session_path(view.info.session).into())
    }

    /// A memory file with what the daemon knows, as JSON.
    #[zbus(out_args("json"))]
    async fn dump_diagnostics(
        &self,
        options: Options,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd> {
        options::known(&options, &[])?;
        self.0
            .bouncer
            .admit(bus, &header, Action::Manage, None)
            .await?;
        let file = diagnostics::dump(&self.0);
        let file =
            file.map_err(|error| Refusal::from(zbus::fdo::Error::IOError(error.to_string())))?;
        Ok(file.into())
    }

    /// A worker failed. Details: Number t, Generation u, What s, Why s; LeftOut u, where so many
    /// faults of the session were not told of one by one.
    #[zbus(signal)]
    pub(super) async fn worker_faulted(
        emitter: &SignalEmitter<'_>,
        session: ObjectPath<'_>,
        module: ObjectPath<'_>,
        reason: u32,
        frame: u64,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;
}

pub(super) fn dictionary<const N: usize>(
    entries: [(&str, Variant<'static>); N],
) -> HashMap<String, OwnedVariant> {
    let owned = entries
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.try_into_owned().ok()?)));
    owned.collect()
}

fn pid_of(pidfd: std::os::fd::BorrowedFd<'_>) -> Option<u32> {
    use std::os::fd::AsRawFd;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    pid.trim().parse().ok().filter(|pid| *pid != 0)
}
