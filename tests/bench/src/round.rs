//! One contestant's turn: peers are started, warmed up, measured and ended.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::contest::{Contestant, Kind, Pair};
use crate::launch::{Launch, Peer};
use crate::place::{self, Cpus, Pace, Placement, Ticker};

/// Frames before the first that counts: caches, branch predictors and page tables.
const WARM_UP: u64 = 20;
/// Contestants without a sleep are so fast that a round needs more of their frames.
const AWAKE_TIMES: u64 = 20;

/// What a turn is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) cameras: u32,
    pub(crate) pace: Pace,
    pub(crate) placement: Placement,
    /// Frames of a round, each camera.
    pub(crate) frames: u64,
}

/// Figures of one round; all per frame, in µs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of the measured side, without the sleep to the next frame.
    pub(crate) client_cpu_us: f64,
    /// CPU time of the peer, where the kernel tells.
    pub(crate) peer_cpu_us: Option<f64>,
    /// From a frame to the next, each camera.
    pub(crate) wall_us: f64,
    pub(crate) cameras: u32,
}

impl Round {
    /// CPU time of both sides a frame, in µs.
    pub(crate) fn cpu_us(&self) -> Option<f64> {
        Some(self.client_cpu_us + self.peer_cpu_us?)
    }

    /// CPU time of the measured side as a share of one core.
    pub(crate) fn client_share(&self) -> f64 {
        self.client_cpu_us / self.wall_us * f64::from(self.cameras)
    }

    /// CPU time of both sides as a share of one core.
    pub(crate) fn share(&self) -> Option<f64> {
        Some(self.cpu_us()? / self.wall_us * f64::from(self.cameras))
    }
}

/// Median; of an even number the greater of the two in the middle. None of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// What one camera saw.
struct Seen {
    trips: Vec<Duration>,
    client_cpu: Duration,
    peer_cpu: Option<Duration>,
    wall: Duration,
}

/// Runs one round of `contestant`.
pub(crate) fn run(contestant: &dyn Contestant, setup: &Setup, cpus: &Cpus) -> Result<Round> {
    let (ready, readies) = sync_channel(setup.cameras as usize);
    let seen: Result<Vec<Option<Seen>>> = thread::scope(|scope| {
        let cameras: Vec<_> = (0..setup.cameras)
            .map(|number| {
                let (go, goes) = sync_channel(1);
                let ready = ready.clone();
                let camera = scope.spawn(move || {
                    // A camera that fails here drops `ready` unsent.
                    let camera = Camera::open(contestant, setup, cpus)?;
                    camera.run(number, ready, goes)
                });
                (camera, go)
            })
            .collect();
        drop(ready);
        let all = readies.iter().take(cameras.len()).count() == cameras.len();
        let mut seen = Vec::new();
        for (_, go) in cameras.iter().filter(|_| all) {
            // Fails for a camera that has ended, and says why when it is joined.
            let _ = go.send(());
        }
        for (camera, go) in cameras {
            drop(go);
            seen.push(
                camera
                    .join()
                    .map_err(|_| anyhow::anyhow!("a camera panicked"))?,
            );
        }
        seen.into_iter().collect()
    });
    let seen = seen.with_context(|| format!("{} ({setup:?})", contestant.name()))?;
    let seen: Vec<Seen> = seen.into_iter().flatten().collect();
    Ok(figures(&seen, setup.cameras))
}

fn figures(seen: &[Seen], cameras: u32) -> Round {
    let mut trips: Vec<Duration> = seen.iter().flat_map(|s| &s.trips).copied().collect();
    trips.sort_unstable();
    let frames = trips.len() as f64;
    let us = |duration: Duration| duration.as_secs_f64() * 1e6;
    let at = |share: f64| us(trips[((trips.len() - 1) as f64 * share) as usize]);
    let wall: Duration = seen.iter().map(|s| s.wall).sum();
    let client: Duration = seen.iter().map(|s| s.client_cpu).sum();
    let peer: Option<Duration> = seen.iter().map(|s| s.peer_cpu).sum();
    Round {
        p50_us: at(0.5),
        p99_us: at(0.99),
        client_cpu_us: us(client) / frames,
        peer_cpu_us: peer.map(|peer| us(peer) / frames),
        wall_us: us(wall) / frames,
        cameras,
    }
}

/// One camera with its peer.
struct Camera<'a> {
    pair: Pair,
    frames: u64,
    hostile: bool,
    setup: &'a Setup,
}

impl<'a> Camera<'a> {
    fn open(contestant: &dyn Contestant, setup: &'a Setup, cpus: &Cpus) -> Result<Self> {
        let (client, peer) = cpus.pick(setup.placement);
        client.map_or(Ok(()), place::pin)?;
        let fast = matches!(contestant.kind(), Kind::Awake | Kind::Inline);
        let times = if fast && setup.pace == Pace::BackToBack {
            AWAKE_TIMES
        } else {
            1
        };
        let frames = setup.frames * times;
        let launch = Launch {
            // The last is not measured: behind it the peer ends, which takes its time too.
            trips: WARM_UP + frames + 1,
            cpu: peer,
            work: Duration::ZERO,
        };
        let mut pair = contestant.open(&launch)?;
        for _ in 0..WARM_UP {
            pair.exchange.trip()?;
        }
        Ok(Self {
            pair,
            frames,
            hostile: contestant.kind() == Kind::Hostile,
            setup,
        })
    }

    /// Measures once all cameras are ready; nothing if one of them failed, which says why itself.
    fn run(mut self, number: u32, ready: SyncSender<()>, go: Receiver<()>) -> Result<Option<Seen>> {
        ready.send(())?;
        drop(ready);
        if go.recv().is_err() {
            return Ok(None);
        }
        let seen = self.measure(number)?;
        let complete = seen.trips.len() as u64 == self.frames && !self.hostile;
        let Pair { mut exchange, peer } = self.pair;
        if let Some(peer) = peer.filter(|_| complete) {
            exchange.trip()?;
            peer.finish()?;
        }
        Ok(Some(seen))
    }

    fn measure(&mut self, number: u32) -> Result<Seen> {
        let Pair { exchange, peer } = &mut self.pair;
        let pace = self.setup.pace;
        // Cameras are not in step with each other.
        let phase = pace.period() * number / self.setup.cameras;
        // Two sides that spin on the same CPU would take minutes.
        let limit = Duration::from_secs(1) + 2 * pace.period() * self.frames as u32;
        let mut trips = Vec::with_capacity(self.frames as usize);
        let mut ticker = Ticker::new(pace, phase);
        let spent = |peer: &Option<_>| match peer {
            Some(peer) => Peer::cpu(peer),
            None => Some(Duration::ZERO),
        };
        let mut clock = ClientClock::start(pace);
        let peer_before = spent(peer);
        let begin = Instant::now();
        for _ in 0..self.frames {
            ticker.wait();
            clock.trip_begins();
            let start = Instant::now();
            exchange.trip()?;
            let end = Instant::now();
            clock.trip_ends();
            trips.push(end - start);
            if end - begin > limit {
                break;
            }
        }
        let wall = begin.elapsed();
        let client_cpu = clock.stop();
        let peer_cpu = spent(peer)
            .zip(peer_before)
            .map(|(after, before)| after - before);
        Ok(Seen {
            trips,
            client_cpu,
            peer_cpu,
            wall,
        })
    }
}

/// CPU time of the measured thread. What it spends on sleeping until the next frame is the camera's
/// doing and not the exchange's: with a pace, only trips count. Back to back everything does, for
/// asking before and after would take longer than a trip may.
enum ClientClock {
    Whole { since: Duration },
    Trips { spent: Duration, since: Duration },
}

impl ClientClock {
    fn start(pace: Pace) -> Self {
        let since = place::thread_cpu();
        match pace {
            Pace::BackToBack => Self::Whole { since },
            Pace::Hz(_) => Self::Trips {
                spent: Duration::ZERO,
                since,
            },
        }
    }

    fn trip_begins(&mut self) {
        if let Self::Trips { since, .. } = self {
            *since = place::thread_cpu();
        }
    }

    fn trip_ends(&mut self) {
        if let Self::Trips { spent, since } = self {
            *spent += place::thread_cpu() - *since;
        }
    }

    fn stop(self) -> Duration {
        match self {
            Self::Whole { since } => place::thread_cpu() - since,
            Self::Trips { spent, .. } => spent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_of_any_order() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(3.0));
    }

    #[test]
    fn figures_pool_the_cameras_and_count_a_frame() {
        let us = Duration::from_micros;
        let camera = |trips: &[u64]| Seen {
            trips: trips.iter().map(|trip| us(*trip)).collect(),
            client_cpu: us(20),
            peer_cpu: Some(us(10)),
            wall: us(200),
        };
        let round = figures(&[camera(&[1, 9]), camera(&[5, 2])], 2);
        assert_eq!((round.p50_us, round.p99_us), (2.0, 5.0));
        assert_eq!(round.cpu_us(), Some(15.0));
        assert_eq!(round.wall_us, 100.0);
        // 60 µs in 200: two cameras run at the same time.
        assert_eq!(round.share(), Some(0.3));
        assert_eq!(round.client_share(), 0.2);
    }
}
