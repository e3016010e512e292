//! A real message bus for one test, and a polkit that says what the test wants.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::message::Header;
use zbus::{Connection, MatchRule, MessageStream, OwnedVariant, Proxy, Variant, interface};

use crate::{Daemon, PATIENCE, Place};

/// The name of polkit.
pub const POLKIT: &str = "org.freedesktop.PolicyKit1";

/// A `dbus-daemon` with a socket of its own. Dropping it ends it.
#[derive(Debug)]
pub struct MessageBus {
    dir: TempDir,
    child: Option<Child>,
    activation: Option<Activation>,
}

/// How a bus starts services that are not there.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Where it reads of them.
    pub services: PathBuf,
    /// Whether it has the service manager start them.
    pub by_systemd: bool,
    /// What else their environment holds.
    pub environment: Vec<(&'static str, PathBuf)>,
}

impl MessageBus {
    /// Starts one.
    #[expect(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Self {
        Self::starting(None)
    }

    /// Starts one that starts services.
    pub fn activating(activation: Activation) -> Self {
        Self::starting(Some(activation))
    }

    fn starting(activation: Option<Activation>) -> Self {
        let services = activation.as_ref().map_or_else(String::new, |activation| {
            format!("<servicedir>{}</servicedir>", activation.services.display())
        });
        let dir = tempfile::Builder::new()
            .prefix("coldshoe-bus-")
            .tempdir()
            .expect("a temporary directory");
        // Other users of the machine are let in.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("our own directory");
        let config = format!(
            "<busconfig><type>session</type><listen>{}</listen><auth>EXTERNAL</auth>\
             {services}<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
             </policy><limit name=\"max_connections_per_user\">4096</limit>\
             <limit name=\"max_completed_connections\">4096</limit>\
             <limit name=\"max_incomplete_connections\">4096</limit></busconfig>",
            address(&dir)
        );
        fs::write(dir.path().join("bus.conf"), config).expect("written");
        let mut bus = Self {
            dir,
            child: None,
            activation,
        };
        bus.start();
        bus
    }

    /// Starts it again, at the same address.
    pub fn start(&mut self) {
        let _ = fs::remove_file(self.socket());
        let mut command = Command::new("dbus-daemon");
        if let Some(activation) = &self.activation {
            command.env_clear().envs(activation.environment.clone());
            if activation.by_systemd {
                command.arg("--systemd-activation");
            }
        }
        let mut child = command
            .arg("--config-file")
            .arg(self.dir.path().join("bus.conf"))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon: the tests need it (package dbus, or dbus-daemon)");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped above");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its address");
        assert!(!line.is_empty(), "dbus-daemon did not start");
        fs::set_permissions(self.socket(), Permissions::from_mode(0o777)).expect("its socket");
        self.child = Some(child);
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Where it is.
    pub fn address(&self) -> String {
        address(&self.dir)
    }

    /// A daemon in a new place, on this bus as its system bus.
    pub fn daemon(&self) -> Daemon {
        self.daemon_in(Place::new(), &[])
    }

    /// The same in a place of one's own, with more options.
    pub fn daemon_in(&self, place: Place, options: &[&str]) -> Daemon {
        let mut command = place.coldshoed();
        command
            .args(["--bus", "system"])
            .args(options)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        let daemon = Daemon::start_with(place, command);
        daemon.log().wait_for("on the bus");
        daemon
    }

    /// A client.
    pub async fn connect(&self) -> Connection {
        let address = self.address();
        let built = Builder::address(address.as_str()).build();
        let built = timeout(PATIENCE, built).await.expect("in time");
        built.expect("a connection to the bus")
    }

    /// A program, such as busctl or gdbus, that is given the bus by its address.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address())
            .env("DBUS_SESSION_BUS_ADDRESS", self.address());
        command
    }
}

fn address(dir: &TempDir) -> String {
    format!("unix:path={}", dir.path().join("socket").display())
}

impl Drop for MessageBus {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The daemon's objects, as a client sees them.
#[derive(Clone, Debug)]
pub struct Objects(pub Connection);

impl Objects {
    /// The daemon's name on the bus.
    pub const SERVICE: &'static str = "org.coldshoe.Coldshoe1";
    /// Path of the manager.
    pub const ROOT: &'static str = "/org/coldshoe/Coldshoe1";

    /// The manager.
    pub async fn manager(&self) -> Proxy<'static> {
        self.proxy(Self::ROOT.to_owned(), "Manager").await
    }

    /// A session.
    pub async fn session(&self, id: u64) -> Proxy<'static> {
        self.proxy(format!("{}/session_{id}", Self::ROOT), "Session")
            .await
    }

    /// A module, whose name needs no escaping.
    pub async fn module(&self, name: &str) -> Proxy<'static> {
        self.proxy(format!("{}/module_{name}", Self::ROOT), "Module")
            .await
    }

    async fn proxy(&self, path: String, interface: &str) -> Proxy<'static> {
        let interface = format!("{}.{interface}", Self::SERVICE);
        self.any(path, interface).await
    }

    /// Any interface of an object.
    pub async fn any(&self, path: String, interface: String) -> Proxy<'static> {
        zbus::proxy::Builder::<Proxy<'static>>::new(&self.0)
            .destination(Self::SERVICE)
            .path(path)
            .interface(interface)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .expect("a proxy")
    }

    /// Everything that the daemon says, from now on.
    pub async fn signals(&self) -> MessageStream {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(Self::SERVICE)
            .build()
            .expect("a rule");
        MessageStream::for_match_rule(rule, &self.0, NonZeroUsize::new(65_536))
            .await
            .expect("a stream")
    }
}

/// What a stand-in for polkit was asked: the action, and whether it might have asked somebody.
pub type Asked = Vec<(String, bool)>;

/// A stand-in for polkit, on a bus for as long as it lives.
#[derive(Debug)]
pub struct Polkit {
    answers: Arc<Mutex<HashMap<String, (bool, bool)>>>,
    asked: Arc<Mutex<Asked>>,
    _bus: Connection,
}

struct Authority {
    answers: Arc<Mutex<HashMap<String, (bool, bool)>>>,
    asked: Arc<Mutex<Asked>>,
}

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Authority {
    #[zbus(out_args("result"))]
    fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action: &str,
        _details: HashMap<String, String>,
        flags: u32,
        _cancel: &str,
        #[zbus(header)] header: Header<'_>,
    ) -> ((bool, bool, HashMap<String, String>),) {
        assert!(header.sender().is_some());
        assert_eq!(subject.0, "system-bus-name");
        let name = subject.1.get("name").expect("a name");
        assert!(matches!(&**name, Variant::Str(name) if name.starts_with(':')));
        let interactive = flags & 1 != 0;
        self.asked
            .lock()
            .expect("answers")
            .push((action.to_owned(), interactive));
        let answers = self.answers.lock().expect("answers");
        let (authorized, challenge) = answers.get(action).copied().unwrap_or((false, false));
        ((authorized, challenge, HashMap::new()),)
    }
}

impl Polkit {
    /// One that says no to everything.
    pub async fn on(bus: &MessageBus) -> Self {
        let (answers, asked) = (Arc::default(), Arc::default());
        let authority = Authority {
            answers: Arc::clone(&answers),
            asked: Arc::clone(&asked),
        };
        let address = bus.address();
        let built = Builder::address(address.as_str())
            .serve_at("/org/freedesktop/PolicyKit1/Authority", authority)
            .name(POLKIT)
            .build()
            .await;
        Self {
            answers,
            asked,
            _bus: built.expect("a name on the bus"),
        }
    }

    /// From now on it answers this to an action: whether it is authorized, and whether it could be if
    /// somebody were asked.
    pub fn answers(&self, action: &str, authorized: bool, challenge: bool) {
        let action = format!("org.coldshoe.Coldshoe1.{action}");
        let mut answers = self.answers.lock().expect("answers");
        answers.insert(action, (authorized, challenge));
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Asked {
        std::mem::take(&mut self.asked.lock().expect("answers"))
    }
}
