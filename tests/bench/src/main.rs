//! `make bench`: the frame path as ratios against a baseline of the same run.
//!
//! Both sides sleep between frames and are woken by a futex, which is the limit of a sleeping peer.
//! Rounds of baseline and frame path are interleaved, because the machine's own speed drifts; each
//! figure is the median over rounds, each ratio the median of the ratios of a round.
#![forbid(unsafe_code)]

mod baseline;
mod jail;
mod path;

use std::time::Duration;

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};

use path::Worker;

/// How fast frames follow each other.
struct Pace {
    name: &'static str,
    pause: Duration,
    frames: usize,
    rounds: usize,
}

const PACES: [Pace; 2] = [
    Pace {
        name: "back to back",
        pause: Duration::ZERO,
        frames: 2_000,
        rounds: 15,
    },
    Pace {
        name: "120 Hz",
        pause: Duration::from_micros(8_333),
        frames: 120,
        rounds: 9,
    },
];

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

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    for Pace {
        name,
        pause,
        frames,
        rounds,
    } in PACES
    {
        let (mut raw, mut free, mut filtered) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            raw.push(Round::of(baseline::futex(frames, pause)));
            free.push(Round::of(path::frames(frames, pause, Worker::Free)));
            filtered.push(Round::of(path::frames(frames, pause, Worker::Filtered)));
        }
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            name,
            "p50 µs",
            "p99 µs",
            "p50 × futex",
            "p99 × futex",
            "p50 × free",
        ]);
        let rows = [
            ("raw futex ping-pong", &raw),
            ("frame path, 4 KiB both ways", &free),
            ("the same under the jail's filter", &filtered),
        ];
        for (what, rows) in rows {
            let figure =
                |of: fn(&Round) -> Duration| median(rows.iter().map(|r| of(r).as_secs_f64() * 1e6));
            let ratio = |of: fn(&Round) -> Duration, to: &[Round]| {
                median(
                    rows.iter()
                        .zip(to)
                        .map(|(r, b)| of(r).as_secs_f64() / of(b).as_secs_f64()),
                )
            };
            table.add_row([
                what.to_owned(),
                format!("{:.1}", figure(|r| r.p50)),
                format!("{:.1}", figure(|r| r.p99)),
                format!("{:.2}", ratio(|r| r.p50, &raw)),
                format!("{:.2}", ratio(|r| r.p99, &raw)),
                format!("{:.3}", ratio(|r| r.p50, &free)),
            ]);
        }
        println!("{table}");
        println!(
            "{rounds} interleaved rounds of {frames} round trips, both sides asleep, unpinned\n"
        );
    }
}
