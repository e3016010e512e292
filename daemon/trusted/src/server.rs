//! The control socket: one daemon on it, many clients.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coldshoe_control::Trouble;
use coldshoe_jail::Profile;
use coldshoe_wall::outside::Spawner;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::adopt::{self, Left};
use crate::cgroup::Cgroups;
use crate::contracts::ContractsError;
use crate::door::Door;
use crate::guest::{Guest, OpenTo};
use crate::history::History;
use crate::jailer::{Jailer, LIBCAMERA, features};
use crate::place::{Place, PlaceError};
use crate::pulse::Pulse;
use crate::registry::Registry;
use crate::seats::Seats;
use crate::session::{Adopted, Context};
use crate::store::Store;
use crate::terms::{Current, Terms};
use crate::trust::TrustStore;
use crate::{Config, CpuList, connection};

/// Why a daemon cannot serve. Each message says what, why and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Nobody said where.
    #[error(
        "no place for the control socket\n  why: XDG_RUNTIME_DIR is not set\n  try: give --runtime-dir DIR"
    )]
    NoRuntimeDir,
    /// Nobody said where, again.
    #[error(
        "no place for the state of coldshoed\n  why: neither XDG_STATE_HOME nor HOME is set\n  try: give --state-dir DIR"
    )]
    NoStateDir,
    /// What modules are trusted is kept where somebody else could change it, or cannot be kept.
    #[error(
        "the state directory {} cannot be used\n  why: {why}\n  try: {remedy}, or give another --state-dir", dir.display()
    )]
    State {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// Another daemon is there.
    #[error(
        "another coldshoed serves {}\n  why: it answers there, or holds the lock beside its socket\n  try: stop it, or give another --runtime-dir", .0.display()
    )]
    AlreadyServed(PathBuf),
    /// The runtime directory belongs to somebody else.
    #[error(
        "the runtime directory {} is not safe\n  why: {why}\n  try: give a --runtime-dir that only you can write", dir.display()
    )]
    Unsafe {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A contract cannot be used.
    #[error(transparent)]
    Contracts(#[from] ContractsError),
    /// Processors cannot be set aside.
    #[error("processors {0} cannot be set aside\n  why: {1}\n  try: name others in --reserve-cpus")]
    Reserve(CpuList, String),
    /// What the service manager passed is of no use.
    #[error(
        "the socket that was passed as \"control\" cannot be used\n  why: {0}\n  try: ListenSequentialPacket= with a path, as in coldshoed.socket"
    )]
    Passed(String),
    /// The kernel refused.
    #[error("cannot {step} {}\n  why: {source}\n  try: check the directory and its permissions", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The jail cannot be built.
    #[error(
        "cannot build the jail\n  why: {0}\n  try: see policy/jail; nothing is loaded without it"
    )]
    Jail(String),
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    /// Of clients.
    pub(crate) clients: Arc<Seats>,
    pub(crate) sessions: Arc<Seats>,
    last_session: AtomicU64,
    open_to: OpenTo,
}

impl Shared {
    /// Who is there, if he may be.
    pub(crate) fn admit(&self, socket: BorrowedFd<'_>) -> Result<Guest, Trouble> {
        Guest::admit(socket, self.open_to)
    }

    /// Takes over what the daemon before has left. Workers that it had no time to tell of are ended.
    fn adopt(&self, left: BTreeMap<u64, HashMap<String, OwnedFd>>) -> Vec<Adopted> {
        let mut adopted = Vec::new();
        let last = left.keys().next_back().copied().unwrap_or(0);
        self.last_session.fetch_max(last, Ordering::Relaxed);
        for (id, fds) in left {
            let names: Vec<String> = fds.keys().map(|name| format!("s{id}.{name}")).collect();
            let permit = self.sessions.take(Guest::host());
            let permit = permit.map_err(|trouble| trouble.why);
            let session = permit.and_then(|permit| adopt::session(&self.context, id, fds, permit));
            match session {
                Ok(session) => adopted.push(session),
                Err(why) => {
                    tracing::error!(session = id, why, "a session is lost");
                    for name in names {
                        self.context.store.forget(&name);
                    }
                }
            }
        }
        let live = adopted.iter().filter_map(|session| session.live.as_ref());
        let pids: Vec<i32> = live.map(|live| live.worker.pid()).collect();
        self.context.jailer.spawner.retain(&pids);
        adopted
    }

    pub(crate) fn next_session(&self) -> u64 {
        self.last_session.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A daemon with its socket bound, ready to serve.
pub struct Server {
    door: Door,
    listener: AsyncFd<OwnedFd>,
    shared: Arc<Shared>,
    /// Sessions of the daemon before.
    adopted: Vec<Adopted>,
}

impl Server {
    /// Takes the runtime directory's lock, binds its socket, builds the jail, and then listens. What
    /// the service manager `passed`, by name, is used and taken over. Needs a tokio runtime.
    pub fn bind(config: Config, passed: Vec<(String, OwnedFd)>) -> Result<Self, ServeError> {
        let left = Left::of(passed);
        let store = Store::new(config.fd_store);
        let door = Door::find(config.runtime_dir.as_deref(), left.control)?;
        // Before there is a keeper: it belongs to where the daemon itself moves to.
        let cgroups = Cgroups::discover();
        let spawner = spawner(store, left.keeper)?;
        let (registry, history, state) = state(&config)?;
        tokio::spawn(Arc::clone(&history).keep(state));
        let features = features(&config);
        let jailer = Jailer::new(&config, &features, spawner)?;
        let of_libcamera = Config {
            profile: Profile::builtin(LIBCAMERA)
                .map_err(|error| ServeError::Jail(error.to_string()))?,
            reserved_cpus: CpuList::default(),
            ..config.clone()
        };
        let context = Context {
            terms: Current::new(Terms::of(&config)?),
            registry,
            history,
            roster: Arc::default(),
            store,
            libcamera: Jailer::new(&of_libcamera, &features, Some(jailer.spawner.clone()))?,
            jailer,
            cgroups,
            config,
        };
        let shared = Shared {
            clients: Seats::new(context.config.max_clients, "connection"),
            sessions: Seats::new(context.config.max_sessions, "session"),
            last_session: AtomicU64::new(0),
            open_to: door.open_to(),
            context: Arc::new(context),
        };
        // Last: whoever can connect is served at once.
        let listener = door.open(store)?;
        let shared = Arc::new(shared);
        let adopted = shared.adopt(left.sessions);
        tracing::info!(socket = %door.path().display(), "ready");
        Ok(Self {
            door,
            listener,
            shared,
            adopted,
        })
    }

    /// Path of the control socket.
    pub fn socket(&self) -> &Path {
        self.door.path()
    }

    /// Serves until `stop` resolves; then ends every session, waits for its worker to be gone, and
    /// removes the socket.
    ///
    /// Where the service manager keeps the sessions for the next daemon they are left as they are: then
    /// the process is to end without giving anything up, which `true` says.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> bool {
        let (stopping, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for mut adopted in self.adopted {
            let shared = Arc::clone(&self.shared);
            match adopted.client.take() {
                Some(socket) => {
                    clients.spawn(connection::resume(socket, shared, stopped.clone(), adopted))
                }
                None => clients.spawn(connection::await_client(shared, adopted)),
            };
        }
        let max_clients = self.shared.context.config.max_clients;
        tokio::pin!(stop);
        loop {
            let client = tokio::select! {
                client = accept(&self.listener) => client,
                Some(_) = clients.join_next() => continue,
                () = &mut stop => break,
            };
            // Those that have gone make room, whichever was noticed first.
            while clients.try_join_next().is_some() {}
            match client {
                Ok(socket) if clients.len() >= max_clients => {
                    tracing::warn!("client turned away: too many at a time");
                    connection::turn_away(&socket, max_clients);
                }
                Ok(socket) => {
                    let serve =
                        connection::serve(socket, Arc::clone(&self.shared), stopped.clone());
                    clients.spawn(serve);
                }
                Err(error) => {
                    tracing::error!(%error, "cannot accept");
                    // Out of descriptors, most likely: the next try at once would spin.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
        tracing::info!("stopping");
        if self.shared.context.store.is_there() {
            clients.detach_all();
            // They would take its end for the order to end.
            std::mem::forget(stopping);
            return true;
        }
        stopping.send_replace(true);
        self.door.close();
        while clients.join_next().await.is_some() {}
        false
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.shared.context
    }

    /// Where to put what has been read anew.
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.shared.context))
    }

    /// How it does, for whoever watches over it.
    pub fn pulse(&self) -> Pulse {
        Pulse::of(&self.shared.context)
    }
}

/// Changes what may change while the daemon runs.
#[derive(Clone)]
pub struct Reload(Arc<Context>);

impl Reload {
    /// Sessions that are opened from now on get what `config` says of modules, tuning files, contracts,
    /// patience and fallbacks; those that are open keep what they have. Reads the contracts: not for a
    /// thread that must not wait.
    ///
    /// # Errors
    /// A contract cannot be used; then everything is as it was.
    pub fn take(&self, config: &Config) -> Result<(), ServeError> {
        let terms = Terms::of(config)?;
        let registry = &self.0.registry;
        registry.set_dirs(&config.module_dirs, &config.installed_module_dirs);
        self.0.terms.set(terms);
        Ok(())
    }
}

async fn accept(listener: &AsyncFd<OwnedFd>) -> io::Result<OwnedFd> {
    loop {
        let mut ready = listener.readable().await?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match accept_with(listener, flags) {
            Ok(socket) => return Ok(socket),
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Who starts workers: where they are to outlive this daemon, a process of its own.
fn spawner(store: Store, keeper: Option<OwnedFd>) -> Result<Option<Spawner>, ServeError> {
    if !store.is_there() {
        return Ok(None);
    }
    let taken = keeper.and_then(|socket| {
        let taken = Spawner::through(socket);
        taken
            .inspect_err(|error| tracing::warn!(%error, "the keeper and its workers are gone"))
            .ok()
    });
    let spawner = match taken {
        Some(spawner) => spawner,
        None => {
            store.forget("keeper");
            let started = std::env::current_exe().and_then(|own| Spawner::start_keeper(&own));
            let jail = |error: io::Error| ServeError::Jail(format!("no keeper: {error}"));
            let spawner = started.map_err(jail)?;
            if let Some(socket) = spawner.keeper() {
                store.keep("keeper", socket);
            }
            spawner
        }
    };
    Ok(Some(spawner))
}

/// What the state directory holds: trust, and the history of faults.
fn state(config: &Config) -> Result<(Registry, Arc<History>, Place), ServeError> {
    let dir = config.state_dir.as_deref().ok_or(ServeError::NoStateDir)?;
    let own = rustix::process::geteuid();
    let unusable = |error: PlaceError| ServeError::State {
        dir: dir.to_owned(),
        why: error.to_string(),
        remedy: error.remedy(),
    };
    let trust = TrustStore::open(dir, own).map_err(unusable)?;
    let place = Place::open(dir, own).map_err(unusable)?;
    let registry = Registry::new(
        &config.module_dirs,
        &config.installed_module_dirs,
        trust,
        own,
    );
    let history = History::open(dir, own, config.patience.sessions);
    Ok((registry, Arc::new(history), place))
}
