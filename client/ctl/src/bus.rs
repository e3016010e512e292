//! Talking to a running daemon over D-Bus, where polkit decides who may do what.

use std::io;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::fdo::{self, DBusProxy, ManagedObjects, ObjectManagerProxy};
use zbus::names::BusName;
use zbus::proxy::{CacheProperties, MethodFlags};
use zbus::wire::{DynamicDeserialize, DynamicType};
use zbus::{Connection, DBusError, ObjectPath, Proxy};

use crate::daemon::Whose;
use crate::words::clean;

/// The name that the daemon has there.
const SERVICE: &str = "org.coldshoe.Coldshoe1";
/// Its manager, and what its objects are below.
const ROOT: &str = "/org/coldshoe/Coldshoe1";
/// Patience with a bus, and with what is not asked of a person.
const PATIENCE: Duration = Duration::from_secs(25);
/// Longest line of an error that somebody on the bus wrote.
const MAX_LINE: usize = 1024;
/// Errors of the bus itself: nobody is there.
const NOBODY: [&str; 6] = [
    "ServiceUnknown",
    "NameHasNoOwner",
    "NoReply",
    "Disconnected",
    "NoServer",
    "TimedOut",
];

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no bus, or no daemon on it.
    #[error(
        "coldshoed is not on the bus\n  why: {0}\n  try: start it, as in `systemctl start coldshoed`, or with `--bus system` or `--bus session`"
    )]
    Unreachable(String),
    /// The daemon, or the bus, says no; in three lines.
    #[error("{text}")]
    Refused { name: String, text: String },
    /// It speaks another language.
    #[error("coldshoed answers strangely\n  why: {0}\n  try: install programs of one release")]
    Strange(String),
    /// This program cannot wait for an answer.
    #[error(
        "the bus cannot be talked to\n  why: {0}\n  try: close programs, or raise their limits"
    )]
    Runtime(#[source] io::Error),
}

impl Error {
    /// Exit code: 2 for what can never be, 3 if there is no such thing, 4 without a daemon, 5 if it
    /// is not allowed, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        let name = match self {
            Self::Unreachable(_) => return 4,
            Self::Strange(_) | Self::Runtime(_) => return 1,
            Self::Refused { name, .. } => name.rsplit('.').next().unwrap_or(name),
        };
        match name {
            "InvalidControl" | "InvalidArgs" => 2,
            "NoSuchSession" | "NoSuchModule" | "UnknownObject" => 3,
            "AccessDenied" | "InteractiveAuthorizationRequired" => 5,
            _ => 1,
        }
    }
}

impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Self {
        let (name, text) = match &error {
            zbus::Error::MethodError(name, text, _) => {
                (name.to_string(), text.clone().unwrap_or_default())
            }
            zbus::Error::FDO(error) => {
                let text = error.description().unwrap_or_default();
                (error.name().to_string(), text.to_owned())
            }
            zbus::Error::InputOutput(_) | zbus::Error::Handshake(_) | zbus::Error::Address(_) => {
                return Self::Unreachable(clean(&error.to_string(), MAX_LINE));
            }
            _ => return Self::Strange(clean(&error.to_string(), MAX_LINE)),
        };
        let stock = name.strip_prefix("org.freedesktop.DBus.Error.");
        if stock.is_some_and(|name| NOBODY.contains(&name) || name.starts_with("Spawn.")) {
            return Self::Unreachable(clean(&text, MAX_LINE));
        }
        let text = in_three_lines(&name, &text);
        Self::Refused { name, text }
    }
}

impl From<fdo::Error> for Error {
    fn from(error: fdo::Error) -> Self {
        zbus::Error::from(error).into()
    }
}

/// What the daemon says has three lines. The bus itself says less.
fn in_three_lines(name: &str, text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| clean(line, MAX_LINE))
        .take(3)
        .collect();
    match lines.as_slice() {
        [_, _, _] => lines.join("\n"),
        _ => format!(
            "it was refused\n  why: {}\n  try: `busctl introspect {SERVICE} {ROOT}` shows what \
             there is; the error is {}",
            clean(text, MAX_LINE),
            clean(name, MAX_LINE)
        ),
    }
}

/// A connection to the bus that the daemon is on.
pub(crate) struct Bus {
    runtime: Runtime,
    connection: Connection,
}

impl Bus {
    /// Finds the daemon: on the user's bus if it is there, else on the system's, where it is started
    /// by being called.
    pub(crate) fn find(whose: Whose) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let found = runtime.block_on(async {
            if whose.user {
                return connect(Builder::session()).await;
            }
            if !whose.system
                && let Ok(connection) = connect(Builder::session()).await
                && is_there(&connection).await
            {
                return Ok(connection);
            }
            connect(Builder::system()).await
        });
        let connection = found?;
        Ok(Self {
            runtime,
            connection,
        })
    }

    /// Everything that the daemon shows.
    pub(crate) fn objects(&self) -> Result<ManagedObjects, Error> {
        self.within(async {
            let objects = ObjectManagerProxy::builder(&self.connection)
                .destination(SERVICE)
                .path(ROOT)
                .build()
                .await?;
            Ok(objects.get_managed_objects().await?)
        })
    }

    /// Calls a method. Somebody may be asked for a password meanwhile: it takes as long as it takes.
    pub(crate) fn call<B, R>(
        &self,
        path: &ObjectPath<'_>,
        interface: &'static str,
        method: &'static str,
        body: &B,
    ) -> Result<R, Error>
    where
        B: serde::Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        self.runtime.block_on(async {
            let proxy: Proxy<'_> = zbus::proxy::Builder::new(&self.connection)
                .destination(SERVICE)
                .path(path)
                .interface(format!("{SERVICE}.{interface}"))
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            let flags = MethodFlags::ALLOW_INTERACTIVE_AUTH;
            let answer = proxy.call_with_flags(method, flags, body).await?;
            answer.ok_or_else(|| Error::Strange(format!("{method} has no answer")))
        })
    }

    fn within<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.runtime.block_on(async {
            timeout(PATIENCE, asked)
                .await
                .unwrap_or_else(|_| Err(Error::Unreachable("it does not answer".to_owned())))
        })
    }
}

async fn connect(builder: Builder<'_>) -> Result<Connection, Error> {
    match timeout(PATIENCE, builder.build()).await {
        Ok(built) => built.map_err(|error| Error::Unreachable(clean(&error.to_string(), MAX_LINE))),
        Err(_) => Err(Error::Unreachable("the bus does not answer".to_owned())),
    }
}

/// Whether a daemon has its name on this bus.
async fn is_there(connection: &Connection) -> bool {
    let asked = async {
        let bus = DBusProxy::new(connection).await?;
        let name = BusName::try_from(SERVICE)?;
        Ok::<_, zbus::Error>(bus.name_has_owner(name).await?)
    };
    matches!(timeout(PATIENCE, asked).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_ends_with_the_code_that_stands_in_the_manual() {
        for (error, code) in [
            (fdo::Error::ServiceUnknown("x".into()), 4),
            (fdo::Error::SpawnServiceNotFound("x".into()), 4),
            (fdo::Error::AccessDenied("x".into()), 5),
            (fdo::Error::InteractiveAuthorizationRequired("x".into()), 5),
            (fdo::Error::UnknownObject("x".into()), 3),
            (fdo::Error::InvalidArgs("x".into()), 2),
            (fdo::Error::LimitsExceeded("x".into()), 1),
        ] {
            let told = Error::from(error);
            assert_eq!(told.exit_code(), code, "{told:?}");
            assert_eq!(told.to_string().lines().count(), 3, "{told}");
        }
    }

    #[test]
    fn what_a_peer_writes_is_bounded_and_draws_nothing() {
        let hostile = format!("a\u{1b}[2J\n  why: {}\n  try: c\nd\ne", "b".repeat(1 << 20));
        let text = in_three_lines("org.example.Error", &hostile);
        assert_eq!(text.lines().count(), 3);
        assert!(text.len() < 4 * MAX_LINE && !text.contains('\u{1b}'));
        let text = in_three_lines("org.example.Error", &"x".repeat(1 << 20));
        assert!(text.len() < 4 * MAX_LINE, "{}", text.len());
    }
}
