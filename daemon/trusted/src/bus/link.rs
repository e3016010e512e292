//! The connection to the bus: made, kept true, and made again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldshoe_control::client::FaultRecord;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};
use zbus::fdo::{ObjectManager, Properties, RequestNameFlags, RequestNameReply};
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, Variant, connection};

use super::log_control::LogControl;
use super::manager::{Health, Manager};
use super::module::{self, Module};
use super::modules::Facts;
use super::names::{LOG, MANAGER, MODULE, ROOT, SERVICE, SESSION, module_path, session_path};
use super::rate::Rate;
use super::session::{Announced, Session};
use super::{House, LogDial};
use crate::server::Server;
use crate::session::Context;

/// Pause before the bus is looked for again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Patience with a bus that takes a connection and does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often algorithms' states are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often module files are looked for, in looks.
const LOOKS_FOR_MODULES: u32 = 5;

/// A bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhichBus {
    /// The machine's.
    System,
    /// The user's.
    Session,
    /// None.
    None,
}

impl WhichBus {
    /// The user's bus where there is one.
    pub fn discover() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let socket = set("XDG_RUNTIME_DIR")
            .is_some_and(|dir| std::path::Path::new(&dir).join("bus").exists());
        match set("DBUS_SESSION_BUS_ADDRESS").is_some() || socket {
            true => Self::Session,
            false => Self::None,
        }
    }
}

/// The daemon on a bus.
pub struct Bus {
    house: Arc<House>,
    which: WhichBus,
    tried: watch::Sender<bool>,
}

impl Bus {
    /// For a daemon. `dial` is for its log.
    pub fn of(server: &Server, which: WhichBus, dial: LogDial) -> Self {
        Self::new(Arc::clone(server.context()), which, dial)
    }

    fn new(context: Arc<Context>, which: WhichBus, dial: LogDial) -> Self {
        Self {
            house: House::new(context, which, dial),
            which,
            tried: watch::Sender::new(false),
        }
    }

    /// Becomes true when the bus was tried for the first time, whether or not there is one.
    pub fn tried(&self) -> watch::Receiver<bool> {
        self.tried.subscribe()
    }

    /// Is on the bus whenever there is one, for ever.
    pub async fn run(self) {
        if self.which == WhichBus::None {
            self.tried.send_replace(true);
            return;
        }
        let (mut pause, mut told) = (FIRST_PAUSE, String::new());
        loop {
            match self.connect().await {
                Ok(link) => {
                    (pause, told) = (FIRST_PAUSE, String::new());
                    let why = link.serve().await;
                    tracing::warn!(why, "the bus is gone; sessions go on");
                }
                Err(error) => {
                    let why = error.to_string();
                    if why != told {
                        tracing::warn!(bus = ?self.which, why, "no bus; it is looked for again and again");
                        told = why;
                    }
                }
            }
            self.tried.send_replace(true);
            sleep(pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Serves the objects first, and asks for the name then.
    async fn connect(&self) -> zbus::Result<Link> {
        let house = &self.house;
        let builder = match self.which {
            WhichBus::System => connection::Builder::system(),
            _ => connection::Builder::session(),
        };
        let built = builder
            .serve_at(ROOT, ObjectManager)
            .serve_at(ROOT, Manager(Arc::clone(house)))
            .serve_at(LOG, LogControl(Arc::clone(house)))
            .build();
        let bus = timeout(PATIENCE, built)
            .await
            .map_err(|_| zbus::Error::Failure("the bus does not answer".into()))??;
        let mut link = Link {
            house: Arc::clone(house),
            bus,
            sessions: BTreeMap::new(),
            modules: BTreeMap::new(),
            health: Health::of(house),
            last_fault: house.context.history.last(),
            rate: Rate::default(),
        };
        link.look_at_modules().await?;
        link.sync().await?;
        let named = link
            .bus
            .request_name_with_flags(SERVICE, RequestNameFlags::empty());
        let named = timeout(PATIENCE, named)
            .await
            .map_err(|_| zbus::Error::Failure("the bus gives no name".into()))??;
        match named {
            RequestNameReply::InQueue => {
                tracing::warn!("another coldshoed has the name {SERVICE}; it is waited for");
            }
            _ => tracing::info!(bus = ?self.which, name = SERVICE, "on the bus"),
        }
        self.tried.send_replace(true);
        Ok(link)
    }
}

/// One connection, and what was said there.
struct Link {
    house: Arc<House>,
    bus: Connection,
    sessions: BTreeMap<u64, Announced>,
    modules: BTreeMap<String, Facts>,
    health: Health,
    last_fault: u64,
    rate: Rate<FaultRecord>,
}

impl Link {
    /// Keeps the bus true until it goes away; tells why.
    async fn serve(mut self) -> String {
        let bus = self.bus.clone();
        tokio::select! {
            () = bus.closed() => "it closed the connection".to_owned(),
            Err(error) = self.follow() => error.to_string(),
        }
    }

    async fn follow(&mut self) -> zbus::Result<()> {
        let house = Arc::clone(&self.house);
        let mut sessions = house.context.roster.changes();
        let mut news = house.context.history.news();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: u32 = 0;
        loop {
            let rate = self.rate.next();
            let window = async {
                match rate {
                    Some(end) => sleep_until(end.into()).await,
                    None => std::future::pending().await,
                }
            };
            let files = tokio::select! {
                Ok(()) = sessions.changed() => false,
                Ok(()) = news.changed() => true,
                () = house.look.notified() => true,
                () = window => false,
                _ = look.tick() => {
                    looks = looks.wrapping_add(1);
                    looks.is_multiple_of(LOOKS_FOR_MODULES)
                }
            };
            let came_or_went = self.sync().await?;
            if files || came_or_went {
                self.look_at_modules().await?;
            }
            self.tell_faults().await?;
        }
    }

    /// Serves the sessions that there are, and says what has changed. Whether one came, went, or has
    /// another worker.
    async fn sync(&mut self) -> zbus::Result<bool> {
        let views = self.house.context.roster.views();
        let mut other = false;
        let now: BTreeMap<u64, Announced> = views
            .iter()
            // One whose first worker is not there yet may never be.
            .filter(|view| view.last.is_some())
            .map(|view| (view.info.session, Announced::of(view)))
            .collect();
        let gone: Vec<u64> = self
            .sessions
            .keys()
            .filter(|id| !now.contains_key(id))
            .copied()
            .collect();
        let server = self.bus.object_server();
        for id in gone {
            other = true;
            self.sessions.remove(&id);
            server.remove::<Session, _>(session_path(id)).await?;
        }
        for (id, announced) in now {
            match self.sessions.get(&id) {
                None => {
                    other = true;
                    let session = Session::new(&self.house, id);
                    server.at(session_path(id), session).await?;
                }
                Some(before) => {
                    let changed = announced.changed_from(before);
                    other |= changed.contains_key("WorkerPid");
                    self.announce(session_path(id), SESSION, changed).await?;
                }
            }
            self.sessions.insert(id, announced);
        }
        let health = Health::of(&self.house);
        if health != self.health {
            self.health = health;
            let changed = HashMap::from([("Health", Variant::from(health as u32))]);
            let root = ObjectPath::from_static_str_unchecked(ROOT);
            self.announce(root, MANAGER, changed).await?;
        }
        Ok(other)
    }

    async fn look_at_modules(&mut self) -> zbus::Result<()> {
        let house = Arc::clone(&self.house);
        let looked = tokio::task::spawn_blocking(move || house.modules.refresh(&house.context));
        match timeout(PATIENCE, looked).await {
            Ok(Ok(())) => {}
            // The daemon ends.
            Ok(Err(error)) if error.is_cancelled() => {}
            Ok(Err(error)) => tracing::error!(%error, "the modules were not looked at"),
            Err(_) => tracing::warn!("the modules' disk does not answer"),
        }
        let now = self.house.modules.all();
        let server = self.bus.object_server();
        let gone: Vec<String> = self
            .modules
            .keys()
            .filter(|name| !now.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.modules.remove(&name);
            server.remove::<Module, _>(module_path(&name)).await?;
        }
        for (name, facts) in now {
            match self.modules.get(&name) {
                None => {
                    let module = Module::new(&self.house, name.clone());
                    server.at(module_path(&name), module).await?;
                }
                Some(before) => {
                    let changed = module::changed(before, &facts);
                    self.announce(module_path(&name), MODULE, changed).await?;
                }
            }
            self.modules.insert(name, facts);
        }
        Ok(())
    }

    async fn announce(
        &self,
        path: ObjectPath<'_>,
        interface: &'static str,
        changed: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let emitter = SignalEmitter::new(&self.bus, path)?;
        let interface = InterfaceName::from_static_str_unchecked(interface);
        Properties::properties_changed(&emitter, interface, changed, (&[][..]).into()).await
    }

    async fn tell_faults(&mut self) -> zbus::Result<()> {
        let now = Instant::now();
        for (fault, left_out) in self.rate.over(now) {
            self.tell(&fault, left_out).await?;
        }
        loop {
            let some = self.house.context.history.faults(self.last_fault, |_| true);
            let Some(last) = some.last() else {
                return Ok(());
            };
            self.last_fault = last.number;
            for fault in some {
                if let Some(fault) = self.rate.admit(fault.session, fault, now) {
                    self.tell(&fault, 0).await?;
                }
            }
        }
    }

    async fn tell(&self, fault: &FaultRecord, left_out: u32) -> zbus::Result<()> {
        let emitter = SignalEmitter::new(&self.bus, ROOT)?;
        let mut details = HashMap::from([
            ("Number", Variant::from(fault.number)),
            ("Generation", fault.generation.into()),
            ("What", fault.what.as_str().into()),
            ("Why", fault.why.as_str().into()),
        ]);
        if left_out > 0 {
            details.insert("LeftOut", left_out.into());
        }
        Manager::worker_faulted(
            &emitter,
            session_path(fault.session),
            module_path(&fault.module),
            fault.reason.unsigned_abs(),
            fault.frame,
            details,
        )
        .await
    }
}
