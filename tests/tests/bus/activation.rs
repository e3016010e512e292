//! A daemon that is not there is started by being called, as what is installed says.

use std::fs;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use coldshoe::Session;
use coldshoe_tests::{Activation, MessageBus, Objects, Place, built, ends, run_frame};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

use crate::{next, on_bus};

const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SYSTEMD: &str = "org.freedesktop.systemd1";

/// What `make install` puts below a prefix, as far as a user's own daemon needs it.
struct Installed {
    prefix: tempfile::TempDir,
    place: Place,
}

impl Installed {
    fn new() -> Self {
        let prefix = tempfile::Builder::new().prefix("coldshoe-").tempdir();
        let prefix = prefix.expect("a directory");
        let made = Command::new("make")
            .args(["-s", "-C", TOP, "install-units", "DESTDIR="])
            .arg(format!("PREFIX={}", prefix.path().display()))
            .arg(format!("LIBEXEC={}/libexec", prefix.path().display()))
            .output()
            .expect("make");
        assert!(made.status.success(), "{made:?}");
        let (programs, modules) = ("libexec/coldshoe", "lib/coldshoe/modules");
        for dir in [programs, modules, "run", "home"] {
            fs::create_dir_all(prefix.path().join(dir)).expect("in our own");
        }
        for program in ["coldshoed", "coldshoe-worker"] {
            let copy = prefix.path().join(programs).join(program);
            fs::copy(built(program), copy).expect("a copy");
        }
        let place = Place::new();
        let module = prefix.path().join(modules).join("good.so");
        fs::copy(place.module_file("good"), module).expect("a copy");
        Self { prefix, place }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.prefix.path().join(below)
    }

    /// What a login has.
    fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("PATH", "/usr/bin:/bin".into()),
            ("HOME", self.path("home")),
            ("XDG_RUNTIME_DIR", self.path("run")),
        ]
    }

    /// The user's bus, which starts what is installed.
    fn bus(&self, by_systemd: bool) -> MessageBus {
        MessageBus::activating(Activation {
            services: self.path("share/dbus-1/services"),
            by_systemd,
            environment: self.environment(),
        })
    }

    fn socket(&self) -> PathBuf {
        self.path("run/coldshoe/control.sock")
    }

    /// A pipeline finds the daemon by its socket, and its frames flow.
    fn serves(&self) {
        let open = coldshoe::Open {
            socket: Some(self.socket()),
            ..self.place.open("good")
        };
        let mut session = Session::open(&open).expect("a session");
        session
            .configure(&coldshoe_tests::sensor())
            .expect("configured");
        session.start().expect("started");
        run_frame(&mut session, 1);
        session.close().expect("closed");
    }
}

/// `coldshoectl --user`, on this bus.
fn ctl(bus: &MessageBus, arguments: &[&str]) -> Command {
    let mut command = Command::new(built("coldshoectl"));
    command
        .env_clear()
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
        .args(arguments)
        .arg("--user");
    command
}

fn shows_the_module(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("good"),
        "{output:?}"
    );
}

/// A daemon that is nobody's child here; it does not outlive the test.
struct Started(OwnedFd);

impl Started {
    fn of(pid: u32) -> Self {
        let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
        Self(pidfd_open(pid, PidfdFlags::empty()).expect("it lives"))
    }

    /// The process that has the daemon's name.
    async fn find(bus: &Connection) -> Self {
        let names = DBusProxy::new(bus).await.expect("the bus");
        let name = Objects::SERVICE.try_into().expect("a name");
        let pid = names.get_connection_unix_process_id(name).await;
        Self::of(pid.expect("it is there"))
    }

    fn stop(self) {
        pidfd_send_signal(&self.0, Signal::TERM).expect("ours");
        assert!(ends(&self.0));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

#[test]
fn where_there_is_no_systemd_the_bus_starts_the_daemon_itself() {
    let installed = Installed::new();
    let bus = installed.bus(false);
    assert!(!installed.socket().exists(), "nobody has started it");
    let listed = ctl(&bus, &["list", "modules"]).output();
    let daemon = on_bus(async { Started::find(&bus.connect().await).await });
    shows_the_module(&listed.expect("coldshoectl"));
    installed.serves();
    daemon.stop();
}

/// What systemd does with what it is asked for: it finds the unit that has the alias, and runs what the
/// unit says.
fn start(installed: &Installed, alias: &str, bus: &MessageBus) -> Child {
    let unit = installed.path("lib/systemd/user/coldshoed.service");
    let unit = fs::read_to_string(unit).expect("installed");
    let says = |key: &str| {
        let mut lines = unit.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    assert_eq!(says("Alias"), Some(alias));
    let mut words = says("ExecStart").expect("a program").split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    assert!(Path::new(command.get_program()).is_absolute());
    command
        .args(words)
        .env_clear()
        .envs(installed.environment())
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address());
    command.spawn().expect("what is installed")
}

#[test]
fn where_there_is_systemd_the_bus_has_it_start_the_unit() {
    let installed = Installed::new();
    let bus = installed.bus(true);
    let address = bus.address();
    let (mut daemon, started) = on_bus(async {
        let systemd = Builder::address(address.as_str()).name(SYSTEMD).build();
        let systemd = systemd.await.expect("a name");
        let rule = MatchRule::builder().msg_type(Type::Signal).build();
        let many = NonZeroUsize::new(64);
        let signals = MessageStream::for_match_rule(rule.expect("a rule"), &systemd, many);
        let mut signals = signals.await.expect("a stream");
        let calling = ctl(&bus, &["list", "modules"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("coldshoectl");
        let unit = next(&mut signals, |message| {
            let header = message.header();
            let ours = header.member()?.as_str() == "ActivationRequest";
            ours.then(|| message.body().deserialize::<String>().expect("s"))
        });
        let daemon = start(&installed, &unit.await, &bus);
        let started = Started::of(daemon.id());
        shows_the_module(&calling.wait_with_output().expect("our child"));
        (daemon, started)
    });
    installed.serves();
    pidfd_send_signal(&started.0, Signal::TERM).expect("ours");
    assert!(daemon.wait().expect("our child").success());
}
