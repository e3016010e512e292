//! `make bench`: the frame path as ratios against a baseline of the same run.
//!
//! Both sides sleep between frames and are woken by a futex, which is the limit of a sleeping peer.
//! Rounds of baseline and frame path are interleaved, because the machine's own speed drifts; each
//! figure is the median over rounds.
#![forbid(unsafe_code)]

mod baseline;
mod path;

use std::time::Duration;

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

const ROUNDS: usize = 15;
const FRAMES: usize = 2_000;

/// Round trips of one round.
struct Round {
    p50: Duration,
    p99: Duration,
}

impl Round {
    fn of(mut trips: Vec<Duration>) -> Self {
        trips.sort_unstable();
        let at = |share: f64| trips[((trips.len() - 1) as f64 * share) as usize];
        Self {
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let (mut raw, mut path) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw.push(Round::of(baseline::futex(FRAMES)));
        path.push(Round::of(path::frames(FRAMES)));
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "back to back, both sides asleep",
        "p50 µs",
        "p99 µs",
        "p50 ×",
        "p99 ×",
    ]);
    let rows = [
        ("raw futex ping-pong", &raw),
        ("frame path, 4 KiB both ways", &path),
    ];
    for (name, rounds) in rows {
        let column = |of: fn(&Round) -> Duration| {
            let figures = rounds
                .iter()
                .map(|round| of(round).as_secs_f64() * 1e6)
                .collect();
            let ratios = rounds
                .iter()
                .zip(&raw)
                .map(|(round, raw)| of(round).as_secs_f64() / of(raw).as_secs_f64())
                .collect();
            (median(figures), median(ratios))
        };
        let ((p50, p50_ratio), (p99, p99_ratio)) = (column(|r| r.p50), column(|r| r.p99));
        table.add_row([
            name.to_owned(),
            format!("{p50:.1}"),
            format!("{p99:.1}"),
            format!("{p50_ratio:.2}"),
            format!("{p99_ratio:.2}"),
        ]);
    }
    println!("{table}");
    println!(
        "{ROUNDS} interleaved rounds of {FRAMES} round trips, medians over rounds, threads unpinned"
    );
}
