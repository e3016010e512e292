//! The whole of it: the client library, the real daemon, a worker in its jail with a module in C,
//! 4 KiB both ways.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coldshoe::{
    Applied, BayerOrder, Controls, Frame, Moment, Open, Outcome, Sensor, Session as Client,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::stamp;
use crate::contest::{Contestant, Exchange, Kind, Pair, SMALL};
use crate::launch::{Launch, Peer, Seat};
use crate::place;

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/modules/echo.c");
const INCLUDE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../daemon/jailed/ipa/include"
);
/// Far beyond any answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the module puts what it read: behind the headers of buffer and block.
const ANSWER: usize = 16;

/// What the module may answer.
const CONTRACT: &str = r#"
format = "bench"
version = 1
description = "as many bytes as a benchmark needs"
mode = "drop"
quarantine = { violations = 60, forgiven_after = 300 }
actuators = { exposure_factor = 8.0, analogue_gain_factor = 8.0, digital_gain_factor = 8.0, frame_duration_factor = 8.0, lens_dioptres = 2.0 }

[[block]]
type = 1
name = "BYTES"
size = 4088
meaning = "an echo"
field = [ { name = "bytes", offset = 0, type = "u8", len = 4080, meaning = "what came" } ]
"#;

/// How the pipeline waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Call,
    Tokio,
    /// With a worker on a processor of its own.
    Predictive,
}

pub(crate) struct Session {
    name: &'static str,
    about: &'static str,
    way: Way,
}

impl Session {
    pub(crate) const CALL: Self = Self {
        name: "session-4k",
        about: "a whole session, 4 KiB both ways",
        way: Way::Call,
    };
    pub(crate) const TOKIO: Self = Self {
        name: "session-async-4k",
        about: "the same, awaited on tokio",
        way: Way::Tokio,
    };
    pub(crate) const PREDICTIVE: Self = Self {
        name: "session-predictive-4k",
        about: "the same, awake when a frame is due",
        way: Way::Predictive,
    };
}

struct Camera {
    session: Client,
    runtime: Option<Runtime>,
    number: u64,
    stats: Vec<u8>,
    /// Gone with the camera, after the session.
    _dir: TempDir,
}

impl Contestant for Session {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn kind(&self) -> Kind {
        match self.way {
            Way::Call | Way::Tokio => Kind::Asleep,
            Way::Predictive => Kind::Predictive,
        }
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let dir = tempfile::tempdir()?;
        let modules = dir.path().join("modules");
        fs::create_dir(&modules)?;
        compile(&modules.join("echo.so"))?;
        let contracts = dir.path().join("contracts");
        fs::create_dir(&contracts)?;
        fs::write(contracts.join("bench.toml"), CONTRACT)?;
        let mut daemon = Command::new(beside("coldshoed")?);
        daemon
            .arg("--no-config")
            .arg("--runtime-dir")
            .arg(dir.path())
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .arg("--module-dir")
            .arg(&modules)
            .arg("--contract-dir")
            .arg(&contracts)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if self.way == Way::Predictive {
            let cpu = launch.cpu.context("a processor to set aside")?;
            daemon.args(["--profile", "predictive", "--reserve-cpus"]);
            daemon.arg(cpu.to_string());
        }
        // This thread keeps to its own processor; the daemon needs the others.
        let mut child = place::anywhere(|| daemon.spawn())?.context("coldshoed")?;
        let log = child.stderr.take().context("its log")?;
        let peer = Peer::adopt(child, self.name);
        wait_for_ready(log)?;
        let mut session = Client::open(&open(dir.path()))?;
        ensure!(
            session.is_predictive() == (self.way == Way::Predictive),
            "the worker has not got its processor"
        );
        session.configure(&sensor())?;
        session.start()?;
        let peer = peer.watch(session.worker_pid(), launch.cpu)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let camera = Camera {
            session,
            runtime: (self.way == Way::Tokio).then_some(runtime),
            number: 0,
            stats: vec![2; SMALL],
            _dir: dir,
        };
        Ok(Pair::new(camera, peer))
    }

    fn serve(&self, _seat: Seat) -> Result<()> {
        anyhow::bail!("the daemon starts the worker")
    }
}

impl Exchange for Camera {
    fn trip(&mut self) -> Result<()> {
        self.number += 1;
        stamp(&mut self.stats, self.number);
        let now = Moment::now();
        let frame = Frame {
            number: self.number,
            sensor_timestamp: now,
            deadline: now + PATIENCE,
            applied: Applied {
                exposure_us: 1e4,
                analogue_gain: 1.0,
                digital_gain: 1.0,
                black_level: 0.0,
                lens_position: None,
            },
            controls: Controls::default(),
        };
        let ticket = self.session.submit(&frame, &self.stats)?;
        let outcome = match &self.runtime {
            Some(runtime) => runtime.block_on(self.session.answered(ticket)),
            None => self.session.wait(ticket),
        };
        let Outcome::Fresh(answer) = outcome else {
            anyhow::bail!("no fresh answer: {outcome:?}");
        };
        ensure!(answer.params.len() == SMALL, "parameters are missing");
        super::check(&answer.params[ANSWER..], self.number)
    }
}

/// A program of this build.
pub(super) fn beside(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let mut directories = this.ancestors().skip(1);
    let found = directories.find_map(|dir| Some(dir.join(name)).filter(|file| file.is_file()));
    found.with_context(|| format!("{name} is not built: run make bench"))
}

fn compile(to: &Path) -> Result<()> {
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-I", INCLUDE, "-o"])
        .arg(to)
        .arg(MODULE)
        .status()
        .context("cc")?;
    ensure!(status.success(), "the module does not compile");
    Ok(())
}

/// Reads the daemon's log on, so that it never waits for us.
pub(super) fn wait_for_ready(log: ChildStderr) -> Result<()> {
    let mut lines = BufReader::new(log).lines();
    let mut said = String::new();
    loop {
        let line = lines
            .next()
            .with_context(|| format!("coldshoed ended:\n{said}"))??;
        said += &line;
        said.push('\n');
        if line.contains("ready") {
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(());
        }
    }
}

fn open(runtime_dir: &Path) -> Open {
    Open {
        socket: Some(runtime_dir.join("control.sock")),
        module: "echo".into(),
        camera: "bench".into(),
        stats_format: "bench".into(),
        params_format: "bench".into(),
        contract: Some(CONTRACT.into()),
        stats_capacity: SMALL as u32,
        params_capacity: SMALL as u32,
        ..Open::default()
    }
}

fn sensor() -> Sensor {
    Sensor {
        model: "bench".into(),
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
        min_frame_duration_us: 8_333.0,
        max_frame_duration_us: 33_333.0,
        min_lens_position: 0.0,
        max_lens_position: 0.0,
        exposure_margin_lines: 0,
    }
}
