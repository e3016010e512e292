//! `cargo test --release -p coldshoe-wall --test jail -- measure`: from spawning to a loaded module,
//! with the jail and without it, in turns, because the machine's own speed drifts.

use crate::modules;
use crate::worker::{confine_by, spawn_by};
use coldshoe_wall::outside::Spawner;
use std::time::{Duration, Instant};

const ROUNDS: usize = 101;

pub fn run() {
    let spawner = Spawner::start().expect("spawner");
    println!("from spawn to LOADED, medians of {ROUNDS} interleaved rounds, p95 behind the stroke");
    for name in ["plain", "streams", "panic"] {
        let module = modules::path(name).to_string_lossy().into_owned();
        let (mut free, mut confined) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let worker = spawn_by(&spawner, &["free", "load and wait", &module]);
            worker.ready();
            free.push(start.elapsed());
            drop(worker);
            let start = Instant::now();
            let args = ["confined", "single", "load", &module];
            let worker = confine_by(&spawner, "single", &args).expect("confined");
            confined.push(start.elapsed());
            drop(worker);
        }
        let (free, confined) = (Figure::of(free), Figure::of(confined));
        let ratio = confined.median.as_secs_f64() / free.median.as_secs_f64();
        println!("{name:8} free {free}   jailed {confined}   {ratio:.1} times");
    }
}

struct Figure {
    median: Duration,
    p95: Duration,
}

impl Figure {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            median: times[times.len() / 2],
            p95: times[times.len() * 95 / 100],
        }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:.2} / {:.2} ms", ms(self.median), ms(self.p95))
    }
}
