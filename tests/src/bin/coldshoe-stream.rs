//! A pipeline without a camera, for machines that have the installed service and no test harness: asks
//! a module about frames at a pace, and tells on one line what became of them.
//!
//! `coldshoe-stream SOCKET MODULE FRAMES PERIOD_MS`; ends with 1 if a frame was without parameters or
//! was waited for until the next one was due.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use coldshoe::{Open, Session};
use coldshoe_isp::soft;
use coldshoe_isp::stats::{STATS_FORMAT, Statistics, Zone};
use coldshoe_tests::{frame, sensor};

const USAGE: &str = "coldshoe-stream SOCKET MODULE FRAMES PERIOD_MS";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut arg = || args.next().expect(USAGE);
    let open = Open {
        socket: Some(PathBuf::from(arg())),
        module: arg(),
        camera: "virtual".into(),
        stats_format: STATS_FORMAT.into(),
        params_format: soft::FORMAT.into(),
        isp_capabilities: (1 << soft::TABLE.sizes.len()) - 1,
        standby: true,
        ..Open::default()
    };
    let frames: u64 = arg().parse().expect(USAGE);
    let period = Duration::from_millis(arg().parse().expect(USAGE));
    let mut session = match Session::open(&open) {
        Ok(session) => session,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    session.configure(&sensor()).expect("configured");
    session.start().expect("started");
    println!("session {} worker {}", session.id(), session.worker_pid());
    let worker = session.worker_pid();
    let (mut without, mut late, mut longest) = (0_u64, 0_u64, Duration::ZERO);
    let mut begun_well = false;
    let mut stats = vec![0; Statistics::SIZE];
    let mut due = Instant::now();
    for number in 1..=frames {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += period;
        let asked = frame(number, period * 3 / 5);
        let len = grey(number).encode(&mut stats).expect("room for it");
        let begun = Instant::now();
        let ticket = session.submit(&asked, &stats[..len]).expect("started");
        let answered = session.wait(ticket).answer().is_some();
        let took = begun.elapsed();
        longest = longest.max(took);
        // Before the first answer there is nothing to hold.
        begun_well |= answered;
        without += u64::from(begun_well && !answered);
        late += u64::from(took >= period);
    }
    let counters = session.counters();
    println!(
        "frames {frames} fresh {} without {without} late {late} longest_ms {} faults {} replaced {} \
         worker {}",
        counters.fresh,
        longest.as_millis(),
        counters.faults,
        counters.replaced,
        if session.worker_pid() == worker {
            "same"
        } else {
            "another"
        },
    );
    if let Some(fault) = session.fault() {
        println!("{fault}");
    }
    let closed = session.close().is_ok();
    match begun_well && without == 0 && late == 0 && closed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What a grey wall gives.
fn grey(sequence: u64) -> Statistics {
    let zone = Zone {
        r: 400_000,
        g: 800_000,
        b: 500_000,
        valid: 100,
        clipped: 0,
    };
    let mut histogram = [0; Statistics::BINS];
    histogram[40] = 19_200;
    Statistics {
        sequence,
        width: 160,
        height: 120,
        exposure_us: 5000.0,
        analogue_gain: 2.0,
        digital_gain: 1.0,
        black: [4096; 4],
        white: 65_535,
        zones: [zone; Statistics::ZONES],
        histogram,
        focus: None,
    }
}
