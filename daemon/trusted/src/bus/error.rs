//! What a caller on the bus is told when something is not done.

use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;
use zbus::message::Header;
use zbus::names::ErrorName;
use zbus::{DBusError, Message, fdo};

use crate::session::Unmet;

/// The API's own errors; the text has the three lines of every error of coldshoe.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.coldshoe.Coldshoe1.Error")]
pub(super) enum Own {
    NoSuchSession(String),
    NoSuchModule(String),
    ModuleUntrusted(String),
    ModuleQuarantined(String),
    HoldConflict(String),
    InvalidControl(String),
    SandboxUnavailable(String),
    WorkerFaulted(String),
}

/// Why something is not done.
#[derive(Debug)]
pub(super) enum Refusal {
    Own(Own),
    /// One that all services have.
    Stock(fdo::Error),
}

pub(super) type Result<T> = std::result::Result<T, Refusal>;

impl DBusError for Refusal {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        match self {
            Self::Own(error) => error.create_reply(call),
            Self::Stock(error) => error.create_reply(call),
        }
    }

    fn name(&self) -> ErrorName<'_> {
        match self {
            Self::Own(error) => error.name(),
            Self::Stock(error) => error.name(),
        }
    }

    fn description(&self) -> Option<&str> {
        match self {
            Self::Own(error) => error.description(),
            Self::Stock(error) => error.description(),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.description().unwrap_or("refused"))
    }
}

impl From<Own> for Refusal {
    fn from(error: Own) -> Self {
        Self::Own(error)
    }
}

impl From<fdo::Error> for Refusal {
    fn from(error: fdo::Error) -> Self {
        Self::Stock(error)
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        let text = trouble.to_string();
        match trouble.code {
            ErrorCode::NoSuchSession => Own::NoSuchSession(text).into(),
            ErrorCode::NoSuchModule => Own::NoSuchModule(text).into(),
            ErrorCode::ModuleRefused => Own::ModuleUntrusted(text).into(),
            ErrorCode::ModuleQuarantined => Own::ModuleQuarantined(text).into(),
            ErrorCode::SandboxUnavailable => Own::SandboxUnavailable(text).into(),
            ErrorCode::ModuleFailed => Own::WorkerFaulted(text).into(),
            ErrorCode::BadArgument => fdo::Error::InvalidArgs(text).into(),
            ErrorCode::Denied => fdo::Error::AccessDenied(text).into(),
            ErrorCode::Limit => fdo::Error::LimitsExceeded(text).into(),
            _ => fdo::Error::Failed(text).into(),
        }
    }
}

impl From<Unmet> for Refusal {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::Trouble(trouble) => trouble.into(),
            Unmet::Held(why) => Own::HoldConflict(lines(
                "nothing is held",
                why,
                "wait until its holder closes its descriptor",
            ))
            .into(),
        }
    }
}

/// Three lines.
pub(super) fn lines(
    what: impl AsRef<str>,
    why: impl AsRef<str>,
    remedy: impl AsRef<str>,
) -> String {
    Trouble::new(ErrorCode::Internal, what, why, remedy).to_string()
}

/// There is no such session, or not any more.
pub(super) fn no_session(id: &str) -> Refusal {
    Own::NoSuchSession(lines(
        format!("there is no session {id:?}"),
        "it was closed, or never opened",
        "GetManagedObjects lists those that there are",
    ))
    .into()
}
