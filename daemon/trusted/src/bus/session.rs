//! `org.coldshoe.Coldshoe1.Session`: one camera with one module.

use std::collections::HashMap;
use std::sync::Arc;

use coldshoe_control::client::{Confinement, MAX_TRACED, SessionInfo, Statistics};
use tokio::sync::{mpsc, oneshot};
use zbus::message::Header;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant, fdo, interface};

use super::bouncer::Action;
use super::error::{Own, Refusal, Result, lines, no_session};
use super::manager::dictionary;
use super::names::module_path;
use super::options::{self, Options};
use super::{House, controls};
use crate::guest::Guest;
use crate::roster::View;
use crate::session::{Command, Unmet, What};
use crate::trace;

/// Longest reason, in bytes.
const MAX_REASON: usize = 256;

/// The interface, for one session.
pub(super) struct Session {
    house: Arc<House>,
    id: u64,
}

/// What is announced when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    values: [(&'static str, u32); 6],
    fallback: bool,
    camera: String,
}

impl Announced {
    pub(super) fn of(view: &View) -> Self {
        let [ae, awb, af] = view.algorithms;
        let info = &view.info;
        Self {
            values: [
                ("State", state(info)),
                ("AeState", ae),
                ("AwbState", awb),
                ("AfState", af),
                ("WorkerPid", info.worker_pid),
                ("Restarts", restarts(info)),
            ],
            fallback: !info.stand_in.is_empty(),
            camera: info.camera.clone(),
        }
    }

    /// What is different now.
    pub(super) fn changed_from(&self, before: &Self) -> HashMap<&'static str, Variant<'static>> {
        let pairs = self.values.iter().zip(&before.values);
        let mut changed: HashMap<_, _> = pairs
            .filter(|(now, then)| now != then)
            .map(|((name, value), _)| (*name, Variant::from(*value)))
            .collect();
        if self.fallback != before.fallback {
            changed.insert("FallbackActive", self.fallback.into());
        }
        if self.camera != before.camera {
            changed.insert("Camera", self.camera.clone().into());
        }
        changed
    }
}

fn state(info: &SessionInfo) -> u32 {
    info.state.unsigned_abs()
}

/// Workers after the first one.
fn restarts(info: &SessionInfo) -> u32 {
    info.restarts
}

impl Session {
    pub(super) fn new(house: &Arc<House>, id: u64) -> Self {
        Self {
            house: Arc::clone(house),
            id,
        }
    }

    fn view(&self) -> Result<View> {
        let view = self.house.context.roster.view(self.id);
        view.ok_or_else(|| no_session(&self.id.to_string()))
    }

    /// For properties, whose errors are those that all services have.
    fn shown(&self) -> fdo::Result<View> {
        self.view()
            .map_err(|refusal| fdo::Error::UnknownObject(refusal.to_string()))
    }

    fn statistics(&self) -> fdo::Result<Statistics> {
        self.shown()?;
        let statistics = self.house.context.roster.statistics(self.id);
        Ok(statistics.unwrap_or_default())
    }

    /// Tells the session something, and what it answers.
    async fn tell<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<std::result::Result<T, Unmet>>) -> Command,
    ) -> Result<T> {
        let gone = || no_session(&self.id.to_string());
        let commands = self
            .house
            .context
            .roster
            .commands(self.id)
            .ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        match commands.try_send(command(answer)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(gone()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(fdo::Error::LimitsExceeded(lines(
                    format!("session {} is busy", self.id),
                    "it has not followed yet what it was told before",
                    "try again",
                ))
                .into());
            }
        }
        // For a session that would not end, others must not be kept waiting.
        drop(commands);
        Ok(answered.await.map_err(|_| gone())??)
    }

    async fn admit(&self, bus: &Connection, call: &Header<'_>, action: Action) -> Result<()> {
        let owner = self.view()?.owner.uid;
        let bouncer = &self.house.bouncer;
        bouncer.admit(bus, call, action, Some(owner)).await
    }
}

/// One camera with one module.
#[interface(name = "org.coldshoe.Coldshoe1.Session")]
impl Session {
    /// Its number.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        self.id.to_string()
    }

    /// The camera.
    #[zbus(property)]
    fn camera(&self) -> fdo::Result<String> {
        Ok(self.shown()?.info.camera)
    }

    /// What the pipeline's program calls itself.
    #[zbus(property(emits_changed_signal = "const"))]
    fn pipeline(&self) -> fdo::Result<String> {
        Ok(self.shown()?.owner.software)
    }

    /// User of the pipeline.
    #[zbus(property(emits_changed_signal = "const"))]
    fn owner_uid(&self) -> fdo::Result<u32> {
        Ok(self.shown()?.owner.uid)
    }

    /// The module that it was opened with.
    #[zbus(property(emits_changed_signal = "const"))]
    fn module(&self) -> fdo::Result<OwnedObjectPath> {
        Ok(module_path(&self.shown()?.info.module).into())
    }

    /// When it began, in microseconds since 1970.
    #[zbus(property(emits_changed_signal = "const"), name = "StartedUSec")]
    fn started(&self) -> fdo::Result<u64> {
        Ok(self.shown()?.began_us)
    }

    /// How its workers are confined, as the kernel told the daemon: NoNewPrivs b, SeccompMode u,
    /// SeccompFilters u, LandlockAbi u, Namespaces as, OpenFiles as, Seals as, ControlGroup as,
    /// Capabilities t, Degraded as, Notes as.
    #[zbus(property(emits_changed_signal = "const"))]
    fn confinement(&self) -> fdo::Result<HashMap<String, OwnedVariant>> {
        let view = self.shown()?;
        let confinement = view.last.as_ref().map(|last| &last.confinement);
        Ok(confinement.map(in_words).unwrap_or_default())
    }

    /// 0 unknown, 1 loading, 2 running, 3 degraded, 4 replacing its worker, 5 quarantined, 6 closed.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<u32> {
        Ok(state(&self.shown()?.info))
    }

    /// Exposure: 0 unknown, 1 searching, 2 converged, 3 locked, 4 failed. Looked at once a second.
    #[zbus(property)]
    fn ae_state(&self) -> fdo::Result<u32> {
        Ok(self.shown()?.algorithms[0])
    }

    /// White balance, likewise.
    #[zbus(property)]
    fn awb_state(&self) -> fdo::Result<u32> {
        Ok(self.shown()?.algorithms[1])
    }

    /// Focus, likewise.
    #[zbus(property)]
    fn af_state(&self) -> fdo::Result<u32> {
        Ok(self.shown()?.algorithms[2])
    }

    /// Process of its worker; 0: none.
    #[zbus(property)]
    fn worker_pid(&self) -> fdo::Result<u32> {
        Ok(self.shown()?.info.worker_pid)
    }

    /// How often its worker was replaced.
    #[zbus(property)]
    fn restarts(&self) -> fdo::Result<u32> {
        Ok(restarts(&self.shown()?.info))
    }

    /// Whether another module stands in for its own.
    #[zbus(property)]
    fn fallback_active(&self) -> fdo::Result<bool> {
        Ok(!self.shown()?.info.stand_in.is_empty())
    }

    /// Frames that had an outcome.
    #[zbus(property(emits_changed_signal = "false"))]
    fn frames(&self) -> fdo::Result<u64> {
        let s = self.statistics()?;
        let all = [s.fresh, s.missed, s.late, s.skipped];
        Ok(all.into_iter().fold(0, u64::saturating_add))
    }

    /// Frames without an answer at their deadline.
    #[zbus(property(emits_changed_signal = "false"))]
    fn deadline_misses(&self) -> fdo::Result<u64> {
        Ok(self.statistics()?.missed)
    }

    /// Blocks of parameters that the contract does not allow.
    #[zbus(property(emits_changed_signal = "false"))]
    fn rejected_blocks(&self) -> fdo::Result<u64> {
        Ok(self.statistics()?.refused_blocks)
    }

    /// Requests to sensor and lens that were granted otherwise.
    #[zbus(property(emits_changed_signal = "false"))]
    fn clamped_controls(&self) -> fdo::Result<u64> {
        Ok(self.statistics()?.clamped_requests)
    }

    /// From submitting a frame to its outcome: what 50, 95 and 99 of 100 frames keep to, and the
    /// longest.
    #[zbus(property(emits_changed_signal = "false"), name = "LatencyUSec")]
    fn latency(&self) -> fdo::Result<(u64, u64, u64, u64)> {
        let s = self.statistics()?;
        Ok((
            s.latency_p50_us,
            s.latency_p95_us,
            s.latency_p99_us,
            s.latency_max_us,
        ))
    }

    /// Controls for the frames from the next one on, by libcamera's names and in its types; they go
    /// before the pipeline's own. Option "replace" b: what was set before is forgotten.
    async fn set_controls(
        &self,
        controls: Options,
        options: Options,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<()> {
        self.admit(bus, &header, Action::Control).await?;
        options::known(&options, &["replace"])?;
        let replace = options::get(&options, "replace", "b")?.unwrap_or(false);
        let controls = controls::parse(&controls)?;
        self.tell(|answer| Command::Steer {
            controls,
            replace,
            answer,
        })
        .await
    }

    /// Keeps exposure ("ae"), white balance ("awb") or focus ("af"), or several with colons between,
    /// as they are until the descriptor is closed.
    #[zbus(out_args("held"))]
    async fn hold(
        &self,
        what: &str,
        reason: &str,
        options: Options,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd> {
        self.admit(bus, &header, Action::Control).await?;
        options::known(&options, &[])?;
        let what = parse_what(what)?;
        if reason.is_empty() || reason.len() > MAX_REASON {
            return Err(options::invalid(
                "reason",
                "it is empty or too long",
                format!("say in up to {MAX_REASON} bytes what it is held for"),
            ));
        }
        let why = coldshoe_control::clean(reason);
        let held = self.tell(|answer| Command::Hold { what, why, answer });
        Ok(held.await?.into())
    }

    /// Has another worker take over from the one on duty.
    async fn restart(
        &self,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<()> {
        self.admit(bus, &header, Action::Manage).await?;
        self.tell(|answer| Command::Restart { answer }).await
    }

    /// A pipe that the parameters of the next frames come out of, each behind its length: four bytes,
    /// little-endian. It ends with the worker. Option "frames" u: how many.
    #[zbus(out_args("trace"))]
    async fn open_trace(
        &self,
        options: Options,
        #[zbus(connection)] bus: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<zbus::OwnedFd> {
        self.admit(bus, &header, Action::Trace).await?;
        options::known(&options, &["frames"])?;
        let frames = options::get(&options, "frames", "u")?.unwrap_or(MAX_TRACED);
        if !(1..=MAX_TRACED).contains(&frames) {
            let range = format!("give a u, 1 to {MAX_TRACED}");
            return Err(options::invalid("frames", "it is out of range", range));
        }
        self.view()?;
        let roster = &self.house.context.roster;
        let source = roster.source(self.id, Guest::host()).ok_or_else(|| {
            Refusal::from(Own::WorkerFaulted(lines(
                format!("session {} cannot be traced", self.id),
                "it has no worker right now",
                "try again when its State is 2",
            )))
        })?;
        let traced = trace::begin(Arc::clone(roster), self.id, source, frames);
        let traced =
            traced.map_err(|error| Refusal::from(fdo::Error::IOError(error.to_string())))?;
        Ok(traced.into())
    }
}

fn parse_what(text: &str) -> Result<Vec<What>> {
    let mut all = Vec::new();
    for word in text.split(':').take(What::ALL.len() + 1) {
        let found = What::ALL.iter().find(|(name, _)| *name == word);
        match found {
            Some((_, what)) if !all.contains(what) => all.push(*what),
            _ => {
                return Err(options::invalid(
                    "what",
                    "it names nothing that can be held, or something twice",
                    "give ae, awb or af, or several with colons between".to_owned(),
                ));
            }
        }
    }
    Ok(all)
}

fn in_words(c: &Confinement) -> HashMap<String, OwnedVariant> {
    dictionary([
        ("NoNewPrivs", Variant::from(c.no_new_privs)),
        ("SeccompMode", c.seccomp_mode.into()),
        ("SeccompFilters", c.seccomp_filters.into()),
        ("LandlockAbi", c.landlock_abi.into()),
        ("Namespaces", c.namespaces.clone().into()),
        ("OpenFiles", c.open_files.clone().into()),
        ("Seals", c.seals.clone().into()),
        ("ControlGroup", c.cgroup.clone().into()),
        ("Capabilities", c.capabilities.into()),
        ("Degraded", c.degraded.clone().into()),
        ("Notes", c.notes.clone().into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_hold_is_named_once_each() {
        assert_eq!(parse_what("ae").unwrap(), [What::Ae]);
        assert_eq!(parse_what("af:awb").unwrap(), [What::Af, What::Awb]);
        for bad in ["", "iso", "ae:ae", "ae:", "ae:awb:af:ae", "AE"] {
            assert!(parse_what(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_changed_is_announced() {
        let view = |state, ae, stand_in: &str| Announced {
            values: [
                ("State", state),
                ("AeState", ae),
                ("AwbState", 0),
                ("AfState", 0),
                ("WorkerPid", 7),
                ("Restarts", 0),
            ],
            fallback: !stand_in.is_empty(),
            camera: stand_in.to_owned(),
        };
        let before = view(2, 1, "");
        assert!(before.changed_from(&before).is_empty());
        let changed = view(2, 2, "other").changed_from(&before);
        let mut names: Vec<_> = changed.keys().copied().collect();
        names.sort_unstable();
        assert_eq!(names, ["AeState", "Camera", "FallbackActive"]);
    }
}
