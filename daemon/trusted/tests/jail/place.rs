//! A daemon in this process, at a place of its own.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use coldshoe::{
    Applied, BayerOrder, Controls, Error, Frame, Moment, Open, Sensor, Session, Ticket, Trouble,
};
use coldshoed::{Config, Server};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::modules;

/// Where the programs are, for the run as another user.
pub const BUILT: &str = "COLDSHOE_TEST_PROGRAMS";
/// Only a test that fails waits that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A program of this build.
pub fn built(name: &str) -> PathBuf {
    let dir = match std::env::var_os(BUILT) {
        Some(dir) => PathBuf::from(dir),
        // target/PROFILE/deps/TEST
        None => {
            let this = std::env::current_exe().expect("the path of this test");
            let profile = this.ancestors().nth(2).expect("a target directory");
            profile.to_owned()
        }
    };
    let file = dir.join(name);
    assert!(
        file.exists(),
        "{} is missing: run `cargo build -p coldshoed -p coldshoe-worker` first",
        file.display()
    );
    file
}

/// A daemon in a thread of this process.
pub struct Daemon {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    dir: TempDir,
}

pub fn config(dir: &Path) -> Config {
    let mut config = Config::discover().expect("the path of this test");
    config.runtime_dir = Some(dir.join("runtime"));
    config.state_dir = Some(dir.join("state"));
    config.module_dirs = vec![modules::dir().to_owned()];
    config.tuning_dirs = Vec::new();
    config.worker = built("coldshoe-worker");
    config
}

impl Daemon {
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(dir.path());
        change(&mut config);
        let (ready, bound) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let server = Server::bind(config, Vec::new()).expect("a free place");
                ready.send(()).expect("somebody waits");
                server.serve(async { drop(stopped.await) }).await;
            });
        });
        bound.recv().expect("the daemon is ready");
        Self {
            stop: Some(stop),
            thread: Some(thread),
            dir,
        }
    }

    /// One that runs modules under this profile.
    pub fn under(profile: &str) -> Self {
        let profile = coldshoe_jail::Profile::builtin(profile).expect("built in");
        Self::start(|config| config.profile = profile)
    }

    pub fn open(&self, module: &str) -> Result<Session, Error> {
        Session::open(&open(self.dir.path(), module))
    }

    /// A session that takes frames.
    pub fn run(&self, module: &str) -> Session {
        let mut session = self
            .open(module)
            .unwrap_or_else(|error| panic!("{module}: {error}"));
        session.configure(&sensor()).expect("configured");
        session.start().expect("started");
        session
    }

    /// Why a session cannot be opened.
    pub fn refusal(&self, module: &str) -> Trouble {
        match self.open(module) {
            Err(Error::Refused(trouble)) => trouble,
            Err(other) => panic!("{module}: another error: {other}"),
            Ok(_) => panic!("{module}: it was opened"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the daemon panicked");
        }
    }
}

pub fn open(dir: &Path, module: &str) -> Open {
    Open {
        socket: Some(dir.join("runtime/control.sock")),
        module: module.into(),
        camera: "virtual".into(),
        stats_format: "stats".into(),
        params_format: "coldshoe-soft".into(),
        stats_capacity: 4096,
        params_capacity: 4096,
        ..Open::default()
    }
}

/// Submits a frame and waits until the module has returned from it.
pub fn frame(session: &mut Session, number: u64) {
    let ticket = submit(session, number);
    session.wait(ticket);
}

/// Submits a frame that the module dies in, and waits until that is told.
pub fn fatal_frame(session: &mut Session) -> Trouble {
    let _ticket = submit(session, 1);
    fault(session)
}

fn submit(session: &mut Session, number: u64) -> Ticket {
    let now = Moment::now();
    let frame = Frame {
        number,
        sensor_timestamp: now,
        deadline: now + PATIENCE,
        applied: Applied {
            exposure_us: 5000.0,
            analogue_gain: 2.0,
            digital_gain: 1.0,
            black_level: 0.0625,
            lens_position: None,
        },
        controls: Controls::default(),
    };
    session.submit(&frame, &[7; 64]).expect("a free slot")
}

fn fault(session: &mut Session) -> Trouble {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(fault) = session.fault() {
            return fault.trouble.clone();
        }
        assert!(std::time::Instant::now() < deadline, "no fault is told");
        thread::yield_now();
    }
}

fn sensor() -> Sensor {
    Sensor {
        model: "virtual".into(),
        width: 640,
        height: 480,
        bayer_order: BayerOrder::Rggb.into(),
        bit_depth: 10,
        line_length_us: 20.0,
        min_exposure_us: 20.0,
        max_exposure_us: 30_000.0,
        min_analogue_gain: 1.0,
        max_analogue_gain: 16.0,
        max_digital_gain: 4.0,
        black_level: 0.0625,
        exposure_delay: 2,
        gain_delay: 1,
        min_frame_duration_us: 10_000.0,
        max_frame_duration_us: 33_333.0,
        min_lens_position: 0.0,
        max_lens_position: 0.0,
        exposure_margin_lines: 0,
    }
}
