//! The place where the attempts are made: directories, daemons, somebody to talk to, a victim.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use coldshoe_frame::{Forward, Geometry, create_return};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

/// What no worker may ever see, and every child of the runner's inherits.
pub const SECRET: (&str, &str) = ("HOSTILE_SECRET", "swordfish");
const ABSTRACT: &str = "coldshoe-hostile-somebody";
/// Of the sessions that are opened here.
pub const SLOTS: u32 = 2;
/// Bytes of parameters a slot.
pub const PARAMS: u32 = 4096;

/// Programs and modules: what is built once, and used by every user.
#[derive(Clone, Debug)]
pub struct Built {
    /// `coldshoed`, `coldshoe-worker`, `host` and `modules/`.
    pub dir: PathBuf,
}

/// Everything an attempt needs.
pub struct Bench {
    /// What is tried out.
    pub built: Built,
    /// Private to this run.
    pub dir: PathBuf,
    daemons: Mutex<BTreeMap<String, Daemon>>,
    /// `key=value` words that every probe gets.
    scene: String,
    /// Unsealed memory, as no real segment is: forward, return.
    unsealed: Mutex<[OwnedFd; 2]>,
    sealed: [OwnedFd; 2],
    /// Somebody to talk to.
    _listeners: Listeners,
    /// Somebody to hit.
    victim: Mutex<Child>,
    _temporary: tempfile::TempDir,
}

struct Listeners {
    _stream: UnixListener,
    _datagram: UnixDatagram,
    _seqpacket: OwnedFd,
    _abstract: OwnedFd,
    _tcp: TcpListener,
    _udp: UdpSocket,
}

impl Bench {
    /// Sets the place up.
    pub fn new(built: Built) -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix("coldshoe-hostile-")
            .tempdir()?;
        let dir = temporary.path().to_owned();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let scene = dir.join("scene");
        fs::create_dir(&scene)?;
        fs::create_dir(scene.join("mountpoint"))?;
        std::os::unix::fs::symlink("/etc/passwd", scene.join("pointer"))?;
        fs::create_dir(dir.join("tuning"))?;
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let port = tcp.local_addr()?.port();
        let listeners = Listeners {
            _stream: UnixListener::bind(scene.join("stream"))?,
            _datagram: UnixDatagram::bind(scene.join("datagram"))?,
            _seqpacket: listening(
                SocketType::SEQPACKET,
                &SocketAddrUnix::new(scene.join("seqpacket"))?,
            )?,
            _abstract: listening(
                SocketType::STREAM,
                &SocketAddrUnix::new_abstract_name(abstract_name().as_bytes())?,
            )?,
            _udp: UdpSocket::bind(("127.0.0.1", port))?,
            _tcp: tcp,
        };
        let geometry = Geometry::new(SLOTS, 4096, PARAMS)?;
        // The writer's own mapping is not needed here.
        let (_, forward) = Forward::create(geometry)?;
        let sealed = [forward, create_return(&geometry)?];
        let stride = (128 + PARAMS).next_multiple_of(128);
        let words = format!(
            "dir={} path=/dev/zero abstract=@{} port={port} slots={SLOTS} stride={stride} most=500",
            scene.display(),
            abstract_name(),
        );
        Ok(Self {
            victim: Mutex::new(start_victim()?),
            unsealed: Mutex::new(unsealed(&geometry)?),
            sealed,
            scene: words,
            built,
            dir,
            daemons: Mutex::default(),
            _listeners: listeners,
            _temporary: temporary,
        })
    }

    /// The arguments of a probe: its own, and those of the scene.
    pub fn words(&self, own: &str) -> String {
        format!("{own} {}", self.scene)
    }

    /// Puts the file back that probes move and remove, and takes away what they made.
    pub fn tidy(&self) -> anyhow::Result<()> {
        let scene = self.dir.join("scene");
        for made in ["created", "symlink", "link", "fifo", "renamed"] {
            let _ = fs::remove_file(scene.join(made));
        }
        let _ = fs::remove_dir(scene.join("directory"));
        let _ = fs::remove_file(scene.join("victim"));
        fs::write(scene.join("victim"), "precious")?;
        // Seals that a probe has set stay.
        let geometry = Geometry::new(SLOTS, 4096, PARAMS)?;
        *self.unsealed.lock().unwrap_or_else(PoisonError::into_inner) = unsealed(&geometry)?;
        Ok(())
    }

    /// The option that gives a control shared memory.
    pub fn segments(&self, sealed: bool) -> String {
        let free = self.unsealed.lock().unwrap_or_else(PoisonError::into_inner);
        let fds = if sealed { &self.sealed } else { &*free };
        let path = |fd: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        format!("segments={},{}", path(&fds[0]), path(&fds[1]))
    }

    /// The process to hit; a new one if the last was hit.
    pub fn victim(&self) -> anyhow::Result<u32> {
        let mut victim = self.victim.lock().unwrap_or_else(PoisonError::into_inner);
        if victim.try_wait()?.is_some() {
            *victim = start_victim()?;
        }
        Ok(victim.id())
    }

    /// Whether the process to hit still lives.
    pub fn victim_lives(&self) -> anyhow::Result<bool> {
        let mut victim = self.victim.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(victim.try_wait()?.is_none())
    }

    /// Where the daemon of that profile listens; starts it if it does not run.
    pub fn daemon(&self, profile: &str) -> anyhow::Result<Running> {
        self.daemon_for(profile, "")
    }

    /// Another one of that profile, for one purpose.
    pub fn daemon_for(&self, profile: &str, purpose: &str) -> anyhow::Result<Running> {
        let name = format!("{profile}{purpose}");
        let mut daemons = self.daemons.lock().unwrap_or_else(PoisonError::into_inner);
        if !daemons.contains_key(&name) {
            let daemon = Daemon::start(&self.built, &self.dir, &name, profile, &[])?;
            daemons.insert(name.clone(), daemon);
        }
        let daemon = daemons.get(&name).context("it was just started")?;
        Ok(daemon.running.clone())
    }

    /// The last lines that the daemons have logged, for whoever must find out what went wrong.
    pub fn last_words(&self) -> String {
        const LINES: usize = 30;
        let daemons = self.daemons.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = String::new();
        for (name, daemon) in daemons.iter() {
            let log = fs::read_to_string(&daemon.running.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let (_, last) = lines.split_at(lines.len().saturating_sub(LINES));
            words += &format!("the daemon of {name} has logged:\n{}\n", last.join("\n"));
        }
        words
    }

    /// A tuning file for one session: the name of the camera that leads to it.
    pub fn tuning(&self, module: &str, content: &str) -> anyhow::Result<String> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let camera = format!("camera-{number}");
        let dir = self.dir.join("tuning").join(module);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(&camera).with_extension("toml"), content)?;
        Ok(camera)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let victim = self
            .victim
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = victim.kill();
        let _ = victim.wait();
    }
}

fn abstract_name() -> String {
    format!("{ABSTRACT}-{}", std::process::id())
}

fn listening(kind: SocketType, address: &SocketAddrUnix) -> anyhow::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    bind(&socket, address)?;
    listen(&socket, 64)?;
    Ok(socket)
}

fn unsealed(geometry: &Geometry) -> anyhow::Result<[OwnedFd; 2]> {
    let make = |len: usize| -> anyhow::Result<OwnedFd> {
        let fd = memfd_create("unsealed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, len as u64)?;
        Ok(fd)
    };
    Ok([make(geometry.forward_len())?, make(geometry.return_len())?])
}

fn start_victim() -> anyhow::Result<Child> {
    let mut command = Command::new("sleep");
    command.arg("3600").stdin(Stdio::null());
    Ok(command.spawn()?)
}

/// How to reach a daemon, and which process it is.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its control socket.
    pub socket: PathBuf,
    /// Its process.
    pub pid: u32,
    /// What it has logged.
    pub log: PathBuf,
}

/// A real `coldshoed`.
pub struct Daemon {
    child: Child,
    /// How to reach it.
    pub running: Running,
}

impl Daemon {
    /// Starts one that serves `profile`, under `name`.
    pub fn start(
        built: &Built,
        dir: &Path,
        name: &str,
        profile: &str,
        module_dirs: &[&Path],
    ) -> anyhow::Result<Self> {
        let home = dir.join("daemons").join(name);
        fs::create_dir_all(&home)?;
        let log = home.join("log");
        // Few enough for a leak to be felt, enough for every session here.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 256; exec \"$0\" \"$@\""]);
        command.arg(built.dir.join("coldshoed"));
        command.arg("--no-config");
        command.arg("--runtime-dir").arg(home.join("run"));
        command.arg("--state-dir").arg(home.join("state"));
        for dir in module_dirs {
            command.arg("--module-dir").arg(dir);
        }
        if module_dirs.is_empty() {
            command.arg("--module-dir").arg(built.dir.join("modules"));
        }
        command
            .arg("--tuning-dir")
            .arg(dir.join("tuning"))
            .arg("--worker")
            .arg(built.dir.join("coldshoe-worker"))
            .args(["--profile", profile, "--log", "coldshoed=debug"])
            .env(SECRET.0, SECRET.1)
            .env("LD_LIBRARY_PATH", "/nonexistent")
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        let child = command.spawn().context("coldshoed")?;
        let running = Running {
            socket: home.join("run/control.sock"),
            pid: child.id(),
            log,
        };
        let mut daemon = Self { child, running };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !daemon.running.answers() {
            if daemon.child.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&daemon.running.log).unwrap_or_default();
                bail!("coldshoed does not serve: {log}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Running {
    fn answers(&self) -> bool {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None);
        let connected =
            SocketAddrUnix::new(&self.socket).and_then(|address| connect(socket?, &address));
        connected.is_ok()
    }

    /// How many descriptors the daemon has open; `None` if only root may know.
    pub fn descriptors(&self) -> anyhow::Result<Option<usize>> {
        match fs::read_dir(format!("/proc/{}/fd", self.pid)) {
            Ok(entries) => Ok(Some(entries.count())),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it has no child any more, not even one that nobody has reaped; waits for it for as
    /// long as a worker may take to end.
    pub fn has_no_child(&self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if !self.has_child()? {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn has_child(&self) -> anyhow::Result<bool> {
        let parent = self.pid.to_string();
        for entry in fs::read_dir("/proc")? {
            let stat = fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
            // pid (name) state parent
            let rest = stat.rsplit(')').next().unwrap_or_default();
            if rest.split_whitespace().nth(1) == Some(parent.as_str()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The processor time that it has used.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name may hold anything; the times are the 12th and 13th field after it, in ticks.
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse().unwrap_or(0)).sum();
        Ok(Duration::from_millis(
            ticks * 1000 / rustix::param::clock_ticks_per_second(),
        ))
    }

    /// Its resident memory in KiB.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("VmRSS")?;
        Ok(size.trim().parse()?)
    }
}

/// A line for whoever watches.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
