//! Who may do what: the one place where polkit is asked.
//!
//! On the system bus polkit decides; where there is none, root and the daemon's own user may do
//! everything. On a session bus all are the same user, or root. A session's owner may steer it
//! without being asked for anything.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use zbus::message::{Flags, Header};
use zbus::{Connection, DBusError, fdo};
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use super::error::{Refusal, Result, lines};

/// Questions to polkit at a time: each may wait for somebody to type a password.
const QUESTIONS: usize = 64;
/// Patience with the bus itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What somebody wants to do, as the policy file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Steer a session.
    Control,
    /// Read what a session answers.
    Trace,
    /// Restart workers, quarantine modules, read everything.
    Manage,
    /// Decide which bytes are loaded.
    TrustModule,
}

impl Action {
    fn id(self) -> &'static str {
        match self {
            Self::Control => "org.coldshoe.Coldshoe1.control",
            Self::Trace => "org.coldshoe.Coldshoe1.trace",
            Self::Manage => "org.coldshoe.Coldshoe1.manage",
            Self::TrustModule => "org.coldshoe.Coldshoe1.trust-module",
        }
    }
}

/// Lets callers in, or not.
pub(super) struct Bouncer {
    /// Whether polkit is on the same bus.
    polkit: bool,
    own: u32,
    questions: Semaphore,
}

impl Bouncer {
    pub(super) fn new(polkit: bool) -> Self {
        Self {
            polkit,
            own: rustix::process::geteuid().as_raw(),
            questions: Semaphore::new(QUESTIONS),
        }
    }

    /// Whether a caller may do this. `owner`: whose session it is about, where its owner may.
    pub(super) async fn admit(
        &self,
        bus: &Connection,
        call: &Header<'_>,
        action: Action,
        owner: Option<u32>,
    ) -> Result<()> {
        let uid = caller(bus, call, action).await?;
        if action == Action::Control && owner == Some(uid) {
            return Ok(());
        }
        if !self.polkit {
            return self.without_polkit(uid, action, "there is no polkit on a session bus");
        }
        let Ok(_question) = self.questions.try_acquire() else {
            return Err(fdo::Error::LimitsExceeded(lines(
                format!("{} was not decided", action.id()),
                format!("{QUESTIONS} callers wait for polkit already"),
                "try again later",
            ))
            .into());
        };
        self.ask(bus, call, action, uid).await
    }

    async fn ask(
        &self,
        bus: &Connection,
        call: &Header<'_>,
        action: Action,
        uid: u32,
    ) -> Result<()> {
        let flags = call.primary().flags();
        let interactive = flags.contains(Flags::ALLOW_INTERACTIVE_AUTH);
        let allowed = match interactive {
            true => CheckAuthorizationFlags::ALLOW_USER_INTERACTION,
            false => CheckAuthorizationFlags::empty(),
        };
        let subject = Subject::new_for_message_header(call)
            .map_err(|error| denied(action, error.to_string()))?;
        let answer = async {
            let polkit = AuthorityProxy::new(bus).await?;
            let details = HashMap::new();
            polkit
                .check_authorization(&subject, action.id(), &details, allowed, "")
                .await
        };
        match answer.await {
            Ok(answer) if answer.is_authorized => Ok(()),
            Ok(answer) if answer.is_challenge && !interactive => {
                Err(fdo::Error::InteractiveAuthorizationRequired(lines(
                    format!("{} needs somebody to agree", action.id()),
                    "polkit would ask, and the call does not allow it",
                    "call with ALLOW_INTERACTIVE_AUTHORIZATION",
                ))
                .into())
            }
            Ok(_) => Err(denied(action, "polkit says no")),
            Err(error) if is_absent(&error) => {
                self.without_polkit(uid, action, "there is no polkit on this bus")
            }
            Err(error) => Err(denied(action, format!("polkit did not decide: {error}"))),
        }
    }

    fn without_polkit(&self, uid: u32, action: Action, why: &str) -> Result<()> {
        if uid == 0 || uid == self.own {
            return Ok(());
        }
        let own = self.own;
        Err(denied(
            action,
            format!("{why}, so that only root and user {own} may, and this is user {uid}"),
        ))
    }
}

/// The user of whoever called, as the bus says.
async fn caller(bus: &Connection, call: &Header<'_>, action: Action) -> Result<u32> {
    let sender = call
        .sender()
        .ok_or_else(|| denied(action, "the call has no sender"))?;
    let name = sender.as_str();
    let asked = bus.call_method(
        Some("org.freedesktop.DBus"),
        "/org/freedesktop/DBus",
        Some("org.freedesktop.DBus"),
        "GetConnectionUnixUser",
        &name,
    );
    let answer = match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(denied(action, format!("who called is not known: {error}"))),
        Err(_) => return Err(denied(action, "the bus does not say who called")),
    };
    let uid = answer.body().deserialize();
    uid.map_err(|error| denied(action, format!("who called is not known: {error}")))
}

fn is_absent(error: &zbus::Error) -> bool {
    let name = match error {
        zbus::Error::MethodError(name, ..) => name.to_string(),
        zbus::Error::FDO(error) => error.name().to_string(),
        _ => return false,
    };
    let Some(last) = name.strip_prefix("org.freedesktop.DBus.Error.") else {
        return false;
    };
    matches!(last, "ServiceUnknown" | "NameHasNoOwner") || last.starts_with("Spawn.")
}

fn denied(action: Action, why: impl AsRef<str>) -> Refusal {
    fdo::Error::AccessDenied(lines(
        format!("{} is not allowed", action.id()),
        why,
        "ask an administrator, or see `pkaction --verbose`",
    ))
    .into()
}
