//! `coldshoed`: the daemon's command line.
#![forbid(unsafe_code)]

mod journal;
mod log;
mod options;
mod reload;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use coldshoe_wall::outside::{inherited, keep_if_asked};
use coldshoed::{Bus, Config, LogDial, Pulse, Server, WhichBus};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::journal::Journal;
use crate::log::Log;
use crate::options::Options;
use crate::reload::{LogFilter, Said, told};

/// Patience with threads that still read a file when the daemon ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Patience with the bus before the daemon calls itself ready.
const BUS: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    if keep_if_asked() {
        return Ok(());
    }
    let passed = inherited().context("cannot take what the service manager passed")?;
    let options = Options::parse();
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let sources = options.sources(&program);
    let (said, config) = Said::new(program, sources, options.settings())?;
    let first = said.filter()?;
    let words = first.to_string();
    let (filter, log_filter) = tracing_subscriber::reload::Layer::new(first);
    let log = match journal::socket() {
        Some(socket) => {
            let log = Log::to_journal(socket).context("cannot start the log")?;
            let entries = Journal(log.clone());
            tracing_subscriber::registry()
                .with(filter)
                .with(entries)
                .init();
            log
        }
        None => {
            let log = Log::to_stderr().context("cannot start the log")?;
            let writer = log.clone();
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(move || writer.clone())
                .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
            tracing_subscriber::registry()
                .with(filter)
                .with(lines)
                .init();
            log
        }
    };
    // Its own words would wait for whoever reads standard error.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let stop_at_eof = options.stop_at_eof;
    let handle = log_filter.clone();
    let dial = LogDial::new(&words, move |filter| {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    });
    let which = config.bus.unwrap_or_else(WhichBus::discover);
    let said = (said, log_filter);
    let ended = runtime.block_on(run(config, passed, stop_at_eof, said, &log, (which, dial)));
    // A thread that waits for a disk which does not answer ends with the process.
    runtime.shutdown_timeout(FAREWELL);
    log.finish();
    ended
}

async fn run(
    config: Config,
    passed: Vec<(String, OwnedFd)>,
    stop_at_eof: bool,
    (said, log_filter): (Said, LogFilter),
    log: &Log,
    (which, dial): (WhichBus, LogDial),
) -> anyhow::Result<()> {
    // Workers of an unprivileged daemon run as its own user, and so do others.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot close its memory")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let again = signal(SignalKind::hangup())?;
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
    tokio::spawn(said.follow(again, server.reload(), log_filter));
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
