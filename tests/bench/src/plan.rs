//! What is measured, how often, and the measuring of it: rounds of all contestants interleaved,
//! because the machine's own speed drifts.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::contest::{ALL, Contestant, Kind};
use crate::place::{Cpus, Pace, Placement};
use crate::round::{self, Round, Setup, median};

const PLACEMENTS: [Placement; 3] = [Placement::OneCpu, Placement::TwoCpus, Placement::Unpinned];

/// How long it all takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Some minutes; what goals are judged by.
    Full,
    /// Some seconds: shows that everything works, and hardly how fast.
    Quick,
}

/// One pace and placement, with everybody in it.
struct Event {
    setup: Setup,
    rounds: usize,
    field: Vec<&'static dyn Contestant>,
}

/// Figures of a contestant in one scenario.
#[derive(Serialize)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rounds: Vec<Round>,
}

impl Entry {
    /// Median over the rounds of a figure that every one of them has.
    pub(crate) fn median(&self, of: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().map(of).collect::<Option<Vec<_>>>()?)
    }

    /// Median over the rounds of what `of` makes of this contestant's figures and another's.
    pub(crate) fn against(
        &self,
        other: &Self,
        of: impl Fn(&Round, &Round) -> Option<f64>,
    ) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(
            pairs
                .map(|(own, other)| of(own, other))
                .collect::<Option<Vec<_>>>()?,
        )
    }
}

/// What happened at one pace and placement.
#[derive(Serialize)]
pub(crate) struct Scenario {
    pub(crate) cameras: u32,
    pub(crate) pace: Pace,
    pub(crate) placement: Placement,
    /// Frames of a round, each camera; those awake or in one thread do more when back to back.
    pub(crate) frames: u64,
    pub(crate) entries: Vec<Entry>,
}

impl Scenario {
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn events(length: Length) -> Vec<Event> {
    let full = length == Length::Full;
    let either = |in_full, quick| if full { in_full } else { quick };
    let event = |cameras, pace, placement, frames, rounds| Event {
        setup: Setup {
            cameras,
            pace,
            placement,
            frames,
        },
        rounds: rounds as usize,
        field: Vec::new(),
    };
    let mut events = Vec::new();
    for placement in PLACEMENTS {
        let (frames, rounds) = either((2_000, 9), (200, 2));
        events.push(event(1, Pace::BackToBack, placement, frames, rounds));
        let (frames, rounds) = either((100, 7), (10, 1));
        events.push(event(1, Pace::HZ_120, placement, frames, rounds));
        if full {
            events.push(event(1, Pace::HZ_1000, placement, 200, 5));
        }
    }
    let cameras: &[u32] = if full { &[1, 8, 32] } else { &[8] };
    for cameras in cameras {
        let (frames, rounds) = either((240, 5), (24, 1));
        events.push(event(
            *cameras,
            Pace::HZ_240,
            Placement::Unpinned,
            frames,
            rounds,
        ));
    }
    events
}

/// Whether a contestant takes part in such an event.
fn takes_part(contestant: &dyn Contestant, setup: &Setup) -> bool {
    let alone = setup.placement != Placement::OneCpu;
    let back_to_back = setup.pace == Pace::BackToBack;
    if setup.pace == Pace::HZ_240 {
        let field = [
            "futex",
            "eventfd",
            "libcamera-4k",
            "frame-4k",
            "frame-jailed-4k",
        ];
        return field.contains(&contestant.name());
    }
    match contestant.kind() {
        Kind::Asleep => true,
        Kind::Awake => alone && (back_to_back || contestant.name() == "spin"),
        Kind::Predictive => setup.placement == Placement::TwoCpus && !back_to_back,
        Kind::Inline => !alone && back_to_back,
        Kind::Hostile => alone && back_to_back,
    }
}

/// Measures everybody whose name `wanted` agrees to.
pub(crate) fn measure(
    length: Length,
    cpus: &Cpus,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Scenario>> {
    let mut events = events(length);
    events.retain(|event| cpus.allow(event.setup.placement));
    for event in &mut events {
        let field = ALL.iter().copied();
        event.field = field
            .filter(|contestant| wanted(contestant.name()) && takes_part(*contestant, &event.setup))
            .collect();
    }
    events.retain(|event| !event.field.is_empty());
    let number = events.len();
    let begin = Instant::now();
    let run = |(at, event): (usize, Event)| {
        let Setup {
            cameras,
            pace,
            placement,
            ..
        } = event.setup;
        let spent = begin.elapsed().as_secs();
        eprintln!(
            "{spent:4} s  {}/{number}  {pace}, {placement}, cameras: {cameras}",
            at + 1
        );
        event.run(cpus)
    };
    events.into_iter().enumerate().map(run).collect()
}

impl Event {
    fn run(self, cpus: &Cpus) -> Result<Scenario> {
        let entry = |contestant: &&dyn Contestant| Entry {
            name: contestant.name(),
            about: contestant.about(),
            rounds: Vec::new(),
        };
        let mut entries: Vec<Entry> = self.field.iter().map(entry).collect();
        for round in 0..self.rounds {
            for turn in 0..self.field.len() {
                // Another contestant begins each time: who follows whom is nobody's advantage.
                let who = (turn + round) % self.field.len();
                let contestant = self.field[who];
                let setup = frames_for(contestant, self.setup);
                entries[who]
                    .rounds
                    .push(round::run(contestant, &setup, cpus)?);
            }
        }
        let Setup {
            cameras,
            pace,
            placement,
            frames,
        } = self.setup;
        Ok(Scenario {
            cameras,
            pace,
            placement,
            frames,
            entries,
        })
    }
}

/// A hostile peer's frames last 4 ms each, far more than anybody else's.
fn frames_for(contestant: &dyn Contestant, mut setup: Setup) -> Setup {
    if contestant.kind() == Kind::Hostile {
        setup.frames /= 8;
    }
    setup
}
