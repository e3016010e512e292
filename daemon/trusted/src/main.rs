//! `coldshoed`: the daemon's command line.
#![forbid(unsafe_code)]

mod log;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use coldshoe_wall::outside::{inherited, keep_if_asked};
use coldshoed::{Bus, Config, CpuList, Fallback, LogDial, Patience, Pulse, Server, WhichBus};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;

use crate::log::Log;

/// Patience with threads that still read a file when the daemon ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Patience with the bus before the daemon calls itself ready.
const BUS: Duration = Duration::from_secs(3);

/// Runs camera algorithms in isolated processes.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Directory of the control socket [default: $XDG_RUNTIME_DIR/coldshoe]
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Directory of what outlives the daemon [default: $XDG_STATE_HOME/coldshoe]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Directory with modules, NAME.so each, which are trusted by naming it; may be given several
    /// times, the first match counts
    #[arg(long = "module-dir", value_name = "DIR")]
    module_dirs: Vec<PathBuf>,
    /// Directory with tuning files, MODULE/CAMERA.toml or MODULE/default.toml
    #[arg(long = "tuning-dir", value_name = "DIR")]
    tuning_dirs: Vec<PathBuf>,
    /// Directory with contracts of parameter formats that are not built in, FORMAT.toml; may be given
    /// several times
    #[arg(long = "contract-dir", value_name = "DIR")]
    contract_dirs: Vec<PathBuf>,
    /// The worker program [default: coldshoe-worker beside this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    /// What modules may do: single, threaded, predictive, or a file with a profile of your own, which has a / in
    /// its path or ends in .toml; only you and root may be able to write to it
    #[arg(long, value_name = "NAME|FILE", default_value = "single")]
    profile: PathBuf,
    /// Processors that only workers of the profile predictive use, of all that this daemon starts, one
    /// each: 2,4-7; keep other programs off them, too
    #[arg(long, value_name = "LIST")]
    reserve_cpus: Option<CpuList>,
    /// The service manager keeps descriptors for the next daemon (FileDescriptorStoreMax= of systemd):
    /// sessions go on while coldshoed is restarted [default: if $FDSTORE is set]
    #[arg(long)]
    fd_store: bool,
    /// Module that takes over where another one failed too often: for all cameras, or for one; may be
    /// given several times
    #[arg(long = "fallback", value_name = "[CAMERA=]MODULE")]
    fallbacks: Vec<Fallback>,
    /// Faults of a session within --fault-window after which its module is quarantined
    #[arg(long, value_name = "N", default_value_t = Patience::default().faults,
        value_parser = clap::value_parser!(u32).range(1..))]
    max_faults: u32,
    /// Seconds in which --max-faults are too many
    #[arg(long, value_name = "SECONDS", default_value_t = Patience::default().window.as_secs())]
    fault_window: u64,
    /// Longest pause before a worker that keeps failing is replaced again, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    max_pause: u64,
    /// The bus to be on as org.coldshoe.Coldshoe1 [default: session where there is one]
    #[arg(long, value_name = "BUS")]
    bus: Option<WhichBus>,
    /// Stop when standard input ends: ties the daemon to who holds the other end of a pipe
    #[arg(long)]
    stop_at_eof: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as coldshoed=debug
    #[arg(
        long,
        value_name = "FILTER",
        env = "COLDSHOE_LOG",
        default_value = "info"
    )]
    log: String,
}

fn main() -> anyhow::Result<()> {
    if keep_if_asked() {
        return Ok(());
    }
    let passed = inherited().context("cannot take what the service manager passed")?;
    let options = Options::parse();
    let filter = EnvFilter::try_new(&options.log)
        .with_context(|| format!("--log {:?} is no filter", options.log))?;
    let log = Log::to_stderr().context("cannot start the log")?;
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_env_filter(filter)
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    subscriber.init();
    let dial = LogDial::new(&options.log, move |filter| {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    });
    // Its own words would wait for whoever reads standard error.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let served = serve(options, passed, log.clone(), dial);
    log.finish();
    served
}

fn serve(
    options: Options,
    passed: Vec<(String, OwnedFd)>,
    log: Log,
    dial: LogDial,
) -> anyhow::Result<()> {
    let mut config = Config::discover()?;
    if let Some(dir) = options.runtime_dir {
        config.runtime_dir = Some(dir);
    }
    config.profile = coldshoed::profile(&options.profile).map_err(told)?;
    config.reserved_cpus = options.reserve_cpus.unwrap_or_default();
    config.fd_store = options.fd_store || std::env::var_os("FDSTORE").is_some();
    config.fallbacks = options.fallbacks;
    config.patience.faults = options.max_faults;
    config.patience.window = Duration::from_secs(options.fault_window);
    config.patience.longest_pause = Duration::from_millis(options.max_pause);
    if let Some(worker) = options.worker {
        config.worker = worker;
    }
    if let Some(dir) = options.state_dir {
        config.state_dir = Some(dir);
    }
    config.module_dirs = options.module_dirs;
    config.contract_dirs = options.contract_dirs;
    // Directories that were named go before those of the installation.
    config.tuning_dirs.splice(0..0, options.tuning_dirs);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let which = options.bus.unwrap_or_else(WhichBus::discover);
    let bus = (which, dial);
    let ended = runtime.block_on(run(config, passed, options.stop_at_eof, log, bus));
    // A thread that waits for a disk which does not answer ends with the process.
    runtime.shutdown_timeout(FAREWELL);
    ended
}

async fn run(
    config: Config,
    passed: Vec<(String, OwnedFd)>,
    stop_at_eof: bool,
    log: Log,
    (which, dial): (WhichBus, LogDial),
) -> anyhow::Result<()> {
    // Workers of an unprivileged daemon run as its own user, and so do others.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot close its memory")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let input = stop_at_eof.then(watch_input).transpose()?;
    let input_ends = async {
        match input {
            Some(ended) => drop(ended.await),
            None => std::future::pending().await,
        }
    };
    let server = Server::bind(config, passed).map_err(told)?;
    let bus = Bus::of(&server, which, dial);
    let mut tried = bus.tried();
    tokio::spawn(bus.run());
    let pulse = server.pulse();
    tokio::spawn(async move {
        // Whoever waits for the daemon to be ready finds it on the bus.
        let _ = timeout(BUS, tried.wait_for(|tried| *tried)).await;
        watch_over(pulse).await;
    });
    let leave = server
        .serve(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = input_ends => {}
            }
        })
        .await;
    let _ = notify(&[NotifyState::Stopping]);
    if leave {
        // Giving anything up would end workers that the next daemon takes over.
        log.finish();
        std::process::exit(0);
    }
    Ok(())
}

/// Tells the service manager that it is ready, how it does, and that it lives.
async fn watch_over(pulse: Pulse) {
    let _ = notify(&[NotifyState::Ready]);
    let watchdog = watchdog_enabled();
    let patience = watchdog.map_or(Duration::from_secs(10), |limit| limit / 3);
    let (mut told, mut last) = (Instant::now(), String::new());
    loop {
        let well = pulse.beat(patience).await;
        let status = pulse.status();
        if status != last {
            let _ = notify(&[NotifyState::Status(&status)]);
            last = status;
        }
        // What is not well is not told to live.
        if well && watchdog.is_some_and(|limit| told.elapsed() >= limit / 3) {
            let _ = notify(&[NotifyState::Watchdog]);
            told = Instant::now();
        }
    }
}

/// An error whose three lines name the cause already: a chain of causes would only repeat it.
fn told(error: impl std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// Resolves when standard input ends or cannot be read. The thread is never joined: at exit it may
/// still wait for input.
fn watch_input() -> anyhow::Result<oneshot::Receiver<()>> {
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = done.send(());
        })
        .context("cannot watch standard input")?;
    Ok(ended)
}
