//! Faults of every kind, one after the other, in a stream that does not stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coldshoe::Session;
use coldshoe_tests::{Control, Daemon, open_fds};
use rustix::process::{Signal, pidfd_send_signal};

use crate::dice::Dice;
use crate::process::{is_worker, resident_kib};
use crate::stream::{SETTLED, Stream};
use crate::{alone, daemon, streaming};

/// Faults, where `COLDSHOE_FAULTS` does not say how many.
const FAULTS: u64 = 40;
/// Faults after which daemon and client have reached their size.
const WARM: u64 = 8;
/// What a daemon may grow by, in KiB: it remembers its last 256 faults.
const GROWTH_KIB: u64 = 4096;
/// Frames in which a successor must be there: a hang is put up with for 8.
const PATIENCE: u64 = 60;
/// Fresh frames that a worker has behind it before the next fault, so that its state counts.
const RIPE: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Abort,
    Violation,
    Hang,
    Garbage,
    Bomb,
    Exit,
    Kill,
    Stop,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Abort,
        Self::Violation,
        Self::Hang,
        Self::Garbage,
        Self::Bomb,
        Self::Exit,
        Self::Kill,
        Self::Stop,
    ];

    /// What the module is told.
    fn command(self) -> u8 {
        match self {
            Self::Kill | Self::Stop => 0,
            within => within as u8 + 1,
        }
    }

    fn signal(self) -> Option<Signal> {
        match self {
            Self::Kill => Some(Signal::KILL),
            Self::Stop => Some(Signal::STOP),
            _ => None,
        }
    }

    /// The worker is gone at once.
    fn is_a_crash(self) -> bool {
        matches!(
            self,
            Self::Abort | Self::Violation | Self::Exit | Self::Kill
        )
    }
}

#[derive(Default)]
struct Recoveries(Vec<Duration>);

impl Recoveries {
    fn median_and_worst(&mut self) -> String {
        self.0.sort();
        let ms = |at: usize| self.0.get(at).map_or(f64::NAN, |t| t.as_secs_f64() * 1e3);
        let last = self.0.len().saturating_sub(1);
        format!(
            "median {:.2} ms, worst {:.2} ms",
            ms(self.0.len() / 2),
            ms(last)
        )
    }
}

fn faults() -> u64 {
    let said = std::env::var("COLDSHOE_FAULTS").ok();
    said.map_or(FAULTS, |text| {
        text.parse().expect("COLDSHOE_FAULTS is a number")
    })
}

#[test]
fn whatever_happens_to_workers_each_frame_has_parameters_in_time() {
    let _alone = alone();
    storm(faults(), true);
}

#[test]
fn without_a_standby_too() {
    let _alone = alone();
    storm(faults() / 4, false);
}

fn storm(faults: u64, standby: bool) {
    let mut dice = Dice::new();
    let daemon = daemon(&["--max-faults", "1000000", "--max-pause", "1"]);
    daemon.chaos("chaos", &[]);
    let cold = cold_opens(&daemon);
    let fds_before = open_fds(std::process::id());
    let mut stream = Stream::new(streaming(&daemon, "chaos", standby));
    stream.run(SETTLED);
    assert_eq!(stream.fresh, SETTLED, "{:?}", stream.session.fault());

    let control = Control::start();
    let mut kinds = BTreeMap::new();
    let mut workers = BTreeSet::new();
    let mut recoveries = Recoveries::default();
    let mut warm = None;
    for fault in 0..faults {
        if fault == WARM.min(faults / 2) {
            let own = open_fds(std::process::id());
            warm = Some((own, resident_kib(daemon.pid())));
        }
        let kind = Kind::ALL[dice.throw(Kind::ALL.len() as u64) as usize];
        *kinds.entry(kind).or_insert(0) += 1;
        workers.insert(stream.session.worker_pid());
        let took = strike(&mut stream, kind, dice.throw(2) == 0);
        if kind.is_a_crash() {
            recoveries.0.push(took);
        }
        stream.run(RIPE + 1 + dice.throw(9));
    }

    println!(
        "{faults} faults, {} standby: {kinds:?}",
        if standby { "with a" } else { "no" }
    );
    println!(
        "  frames {}, fresh {}, without parameters {}, late {}, worst {:.2} ms after its deadline",
        stream.frames,
        stream.fresh,
        stream.without,
        stream.late.len(),
        stream.worst.as_secs_f64() * 1e3,
    );
    println!(
        "  from a crash to a fresh answer: {}; a cold open: {}",
        recoveries.median_and_worst(),
        cold
    );
    let (own, kib) = warm.expect("some faults");
    let kib_now = resident_kib(daemon.pid());
    let held = control.stop();
    let worst = held.iter().map(|held| held.took()).max();
    println!(
        "  threads that only nap were held up {} times, for {worst:?} at most",
        held.len()
    );
    for late in &stream.late {
        println!("  {late:?}");
        for held in held.iter().filter(|h| h.overlaps(late.begun, late.over)) {
            println!(
                "    the control meanwhile: {:?}, of which others ran {:?}",
                held.took(),
                held.kept
            );
        }
    }
    println!("  the daemon's memory: {kib} KiB, then {kib_now} KiB");

    assert_eq!(stream.without, 0, "frames without parameters");
    assert_eq!(stream.jumps, [], "frame, exposure before, exposure");
    let counters = stream.session.counters();
    assert!(counters.faults >= faults, "{counters:?}");
    assert!(counters.replaced >= faults, "{counters:?}");
    assert_eq!(open_fds(std::process::id()), own, "our own descriptors");
    assert!(kib_now <= kib + GROWTH_KIB, "{kib_now} KiB after {kib}");
    workers.insert(stream.session.worker_pid());
    let Stream { session, late, .. } = stream;
    session.close().expect("closed");
    assert_eq!(open_fds(std::process::id()), fds_before);
    daemon.assert_at_rest();
    let left: Vec<_> = workers.into_iter().filter(|pid| is_worker(*pid)).collect();
    assert!(left.is_empty(), "workers live on: {left:?}");
    // Last, so that the rest is looked at in any case.
    let ours: Vec<_> = late.iter().filter(|l| !l.is_the_machines(&held)).collect();
    assert!(ours.is_empty(), "late: {ours:?}");
}

/// Does harm in the next frame, and runs frames until the next worker answers. Returns how long that
/// took.
fn strike(stream: &mut Stream, kind: Kind, in_flight: bool) -> Duration {
    let replaced = stream.session.counters().replaced;
    let mut hit = None;
    let strike = |session: &Session| {
        let signal = kind.signal()?;
        let at = Instant::now();
        pidfd_send_signal(session.worker_pidfd(), signal).expect("it lives");
        Some(at)
    };
    if !in_flight {
        hit = strike(&stream.session);
    }
    let mut passed = stream.frame(kind.command(), |session| {
        if in_flight {
            hit = strike(session);
        }
    });
    let hit = hit.unwrap_or(passed.begun);
    for _ in 0..PATIENCE {
        if passed.fresh && stream.session.counters().replaced > replaced {
            return passed.over - hit;
        }
        passed = stream.frame(0, |_| {});
    }
    panic!("no successor after {kind:?}: {:?}", stream.session.fault());
}

/// What a worker costs that nobody made ready.
fn cold_opens(daemon: &Daemon) -> String {
    let open = |_| {
        let begun = Instant::now();
        let session = streaming(daemon, "chaos", false);
        let mut stream = Stream::new(session);
        while !stream.frame(0, |_| {}).fresh {}
        let took = begun.elapsed();
        stream.session.close().expect("closed");
        took
    };
    Recoveries((0..9).map(open).collect()).median_and_worst()
}
