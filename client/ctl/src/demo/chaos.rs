//! Harm on purpose: what is done to workers and to the daemon while the film runs, and when.

use std::io;
use std::ops::Range;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use coldshoe::Session;
use rustix::fs::fstat;
use rustix::io::{Errno, pwrite};
use rustix::process::{Signal, pidfd_send_signal};

use super::Error;
use super::daemon::Daemon;

/// Nothing happens in the first frames, nor in the last: there would be nothing to see.
const QUIET: usize = 12;
/// Frames from one deed to the next, at least: a worker that hangs is put up with for eight.
const APART: usize = 16;
/// A stretch of the film in which one thing happens.
const STRETCH: usize = 27;
/// What a daemon is started with that must not lose its patience.
pub(super) const OPTIONS: [&str; 4] = ["--max-faults", "100000", "--max-pause", "50"];

/// Something that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The worker is killed.
    Kill,
    /// The worker is stopped, and does not know.
    Hang,
    /// What the worker has written, its saved state with it, is overwritten; then it is killed.
    Corrupt,
    /// The daemon is killed, and started again.
    KillDaemon,
}

impl Deed {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "worker killed",
            Self::Hang => "worker stopped",
            Self::Corrupt => "memory overwritten",
            Self::KillDaemon => "daemon killed",
        }
    }
}

/// Something that was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Done {
    pub(super) frame: usize,
    pub(super) deed: Deed,
    pub(super) at: Instant,
    /// Workers that had taken over until then.
    pub(super) replaced: u64,
}

/// What is to be done, in order, and what was.
#[derive(Debug)]
pub(super) struct Chaos {
    seed: u64,
    dice: Dice,
    plan: Vec<(usize, Deed)>,
    done: Vec<Done>,
}

impl Chaos {
    /// A plan for so many frames, which follows from the seed.
    pub(super) fn new(seed: Option<u64>, frames: usize) -> Self {
        let seed = seed.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.subsec_nanos().into())
        });
        let mut dice = Dice(seed);
        let plan = plan(&mut dice, frames);
        Self {
            seed,
            dice,
            plan,
            done: Vec::new(),
        }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn done(&self) -> &[Done] {
        &self.done
    }

    /// Does what is due before a frame.
    pub(super) fn before(
        &mut self,
        frame: usize,
        session: &Session,
        daemon: &mut Daemon,
    ) -> Result<(), Error> {
        let due = self.plan.iter().find(|(when, _)| *when == frame);
        let Some((_, deed)) = due.copied() else {
            return Ok(());
        };
        self.done.push(Done {
            frame,
            deed,
            at: Instant::now(),
            replaced: session.counters().replaced,
        });
        match deed {
            Deed::Kill => signal(session, Signal::KILL),
            Deed::Hang => signal(session, Signal::STOP),
            Deed::Corrupt => {
                self.overwrite(session)?;
                signal(session, Signal::KILL)
            }
            Deed::KillDaemon => Ok(daemon.kill_and_restart()?),
        }
    }

    /// Leaves nothing as it was in what the worker writes to.
    fn overwrite(&mut self, session: &Session) -> Result<(), Error> {
        let segment = session.return_segment();
        let len = fstat(segment).map_err(deed_failed)?.st_size;
        let mut at = 0;
        while at < len.cast_unsigned() {
            let mut bytes = [0; 4096];
            for word in bytes.as_chunks_mut::<8>().0 {
                *word = self.dice.next().to_ne_bytes();
            }
            let rest = usize::try_from(len.cast_unsigned() - at).unwrap_or(usize::MAX);
            let wrote =
                pwrite(segment, &bytes[..rest.min(bytes.len())], at).map_err(deed_failed)?;
            at += wrote.max(1) as u64;
        }
        Ok(())
    }
}

fn signal(session: &Session, signal: Signal) -> Result<(), Error> {
    match pidfd_send_signal(session.worker_pidfd(), signal) {
        // It is gone already.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(deed_failed(error)),
    }
}

fn deed_failed(error: Errno) -> Error {
    Error::Deed(io::Error::from(error))
}

/// One deed in each stretch of the film: the daemon's end once, the others in turn at first, then as
/// it comes.
fn plan(dice: &mut Dice, frames: usize) -> Vec<(usize, Deed)> {
    let Range { start, end } = QUIET..frames.saturating_sub(QUIET).max(QUIET + 1);
    let stretches = ((end - start) / STRETCH).max(1);
    let stretch = (end - start) / stretches;
    let mut deeds = vec![Deed::Kill, Deed::Hang, Deed::Corrupt, Deed::KillDaemon];
    while deeds.len() < stretches {
        deeds.push(deeds[dice.throw(3)]);
    }
    (0..stretches)
        .map(|index| {
            let deed = deeds.swap_remove(dice.throw(deeds.len()));
            let room = stretch.saturating_sub(APART).max(1);
            (start + index * stretch + dice.throw(room), deed)
        })
        .collect()
}

/// Steele, Lea and Flood's SplitMix64.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn throw(&mut self, sides: usize) -> usize {
        (self.next() % sides.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_again_and_another_one_another() {
        let plan = |seed| Chaos::new(Some(seed), 240).plan;
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn a_film_of_the_usual_length_has_every_deed_and_the_daemon_ends_once() {
        for seed in 0..100 {
            let plan = Chaos::new(Some(seed), 240).plan;
            let count = |deed| plan.iter().filter(|(_, d)| *d == deed).count();
            assert_eq!(plan.len(), 8);
            assert_eq!(count(Deed::KillDaemon), 1, "{plan:?}");
            assert!(
                [Deed::Kill, Deed::Hang, Deed::Corrupt]
                    .map(count)
                    .iter()
                    .all(|n| *n > 0)
            );
        }
    }

    #[test]
    fn deeds_are_apart_and_neither_at_the_start_nor_at_the_end() {
        for seed in 0..100 {
            for frames in [24, 25, 60, 119, 240, 10_000] {
                let plan = Chaos::new(Some(seed), frames).plan;
                assert!(plan.windows(2).all(|pair| pair[0].0 + APART <= pair[1].0));
                let within = QUIET..(frames - QUIET).max(QUIET + 1);
                assert!(!plan.is_empty());
                assert!(plan.iter().all(|(frame, _)| within.contains(frame)));
            }
        }
    }
}
