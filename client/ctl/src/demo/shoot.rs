//! Shooting the film: the pipeline handler's loop, frame by frame.

use std::time::{Duration, Instant};

use coldshoe::{
    BayerOrder, Controls, Frame, Moment, Outcome, Sensor, Session, Ticket, Wanted, WhyHeld,
    WhySkipped,
};
use coldshoe_camera::{Applied, Camera, Captured, Cfa, Rgb8, SensorRequest, SoftIsp, angle};
use coldshoe_isp::Statistics;
use coldshoe_isp::soft::{SoftParams, Update, WbGains};

use super::Error;
use super::film::{FIRST_EXPOSURE, Film};
use super::recovery::Pulse;

/// libcamera's AfModeContinuous.
const CONTINUOUS: u32 = 2;

/// What became of a frame's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They came in time.
    Fresh,
    /// They came, and were looked for too late.
    Late,
    /// The last ones stay.
    Held(WhyHeld),
    /// The module was not asked.
    Skipped(WhySkipped),
    /// They came, and are none of this ISP's.
    Refused,
}

/// A frame, judged from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record {
    /// What the sensor did.
    pub(super) applied: Applied,
    /// Exposure × gains over what puts the picture on target, less 1.
    pub(super) luminance_error: f64,
    /// Angle between the white point of the gains in force and the true one, degrees.
    pub(super) white_error: Option<f64>,
    /// From submitting the statistics to holding the answer.
    pub(super) round_trip: Duration,
    pub(super) fate: Fate,
}

/// A frame that is shown.
#[derive(Clone, Debug)]
pub(super) struct Still {
    pub(super) frame: usize,
    pub(super) picture: Rgb8,
}

/// The finished film.
#[derive(Clone, Debug)]
pub(super) struct Reel {
    pub(super) records: Vec<Record>,
    /// One a frame.
    pub(super) pulses: Vec<Pulse>,
    /// The frames that the parts show, in order.
    pub(super) stills: Vec<Still>,
    /// What the camera shows before the module has a say.
    pub(super) before: Rgb8,
    /// The last frame.
    pub(super) after: Rgb8,
    /// Where the lens was at the end, and where it should have been, dioptres.
    pub(super) focus: Option<(f64, f64)>,
}

/// What the daemon is told of the camera's sensor.
pub(super) fn sensor(camera: &Camera) -> Sensor {
    let limits = camera.limits();
    // The camera holds the faster controls back: all of them land together.
    let delay = camera.delay() as u32;
    Sensor {
        model: "coldshoe virtual sensor".into(),
        width: limits.size.width() as u32,
        height: limits.size.height() as u32,
        bayer_order: match limits.cfa {
            Cfa::Rggb => BayerOrder::Rggb,
            Cfa::Grbg => BayerOrder::Grbg,
            Cfa::Gbrg => BayerOrder::Gbrg,
            Cfa::Bggr => BayerOrder::Bggr,
        }
        .into(),
        bit_depth: limits.bits,
        line_length_us: limits.line_us,
        min_exposure_us: limits.min_exposure_us,
        max_exposure_us: limits.max_exposure_us,
        min_analogue_gain: limits.min_analogue_gain,
        max_analogue_gain: limits.max_analogue_gain,
        max_digital_gain: limits.max_digital_gain,
        black_level: limits.black,
        exposure_delay: delay,
        gain_delay: delay,
        min_frame_duration_us: limits.frame_us,
        max_frame_duration_us: limits.frame_us,
        min_lens_position: camera.lens().map_or(0.0, |(far, _)| far),
        max_lens_position: camera.lens().map_or(0.0, |(_, near)| near),
        exposure_margin_lines: 0,
    }
}

/// How the film goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As fast as it goes, and a fault ends it.
    Plain,
    /// At its pace, and it goes on whatever happens.
    Unshaken,
}

/// Shoots the film. `shrink` makes a still of a rendered frame; `between` is called with the number
/// of frames done and may end the film.
pub(super) fn shoot(
    film: &Film,
    camera: &mut Camera,
    session: &mut Session,
    manner: Manner,
    shrink: impl Fn(&Rgb8) -> Rgb8,
    mut between: impl FnMut(usize, &mut Session) -> Result<(), Error>,
) -> Result<Reel, Error> {
    camera.set_light(film.parts[0].light);
    let mut last = find(camera);
    let before = SoftIsp::new().render(&last.raw);
    let mut set = Set {
        frame_time: Duration::from_secs_f64(camera.limits().frame_us / 1e6),
        manner,
        due: Instant::now(),
        session,
        pipeline: Pipeline {
            camera,
            isp: SoftIsp::new(),
            white: WbGains::default(),
        },
        stats: vec![0; Statistics::SIZE_2],
    };
    set.prepare(&last)?;
    let mut records = Vec::with_capacity(film.len());
    let mut pulses = Vec::with_capacity(film.len());
    let mut stills = Vec::new();
    for part in &film.parts {
        set.pipeline.camera.set_light(part.light);
        let truth = Truth::of(set.pipeline.camera);
        for frame in part.frames() {
            last = set.pipeline.camera.next_frame();
            set.keep_pace();
            between(frame, set.session)?;
            let (fate, round_trip, pulse) = set.answer(frame, &last)?;
            pulses.push(pulse);
            records.push(set.pipeline.judge(&last.applied, &truth, fate, round_trip));
            if part.shown().contains(&frame) {
                let picture = shrink(&set.pipeline.isp.render(&last.raw));
                stills.push(Still { frame, picture });
            }
        }
    }
    Ok(Reel {
        records,
        pulses,
        stills,
        before,
        after: set.pipeline.isp.render(&last.raw),
        focus: last.lens_position.zip(set.pipeline.camera.scene().depth()),
    })
}

/// Leaves the sensor as a last user would, exposed for quite another light. Returns what it sees.
fn find(camera: &mut Camera) -> Captured {
    let total = camera.target_exposure_us(0.0) * FIRST_EXPOSURE;
    let limits = camera.limits();
    let exposure = total.clamp(limits.min_exposure_us, limits.max_exposure_us);
    camera.request(&SensorRequest {
        exposure_us: Some(exposure),
        analogue_gain: Some(total / exposure),
        digital_gain: Some(1.0),
    });
    for _ in 0..camera.delay() {
        camera.next_frame();
    }
    camera.next_frame()
}

/// The right answers under one light.
struct Truth {
    total_us: f64,
    neutral: Option<[f64; 3]>,
}

impl Truth {
    fn of(camera: &Camera) -> Self {
        Self {
            total_us: camera.target_exposure_us(0.0),
            neutral: camera.neutral(),
        }
    }
}

/// The pipeline and the module that it asks.
struct Set<'a> {
    session: &'a mut Session,
    pipeline: Pipeline<'a>,
    stats: Vec<u8>,
    frame_time: Duration,
    manner: Manner,
    /// When the next frame comes, at the earliest.
    due: Instant,
}

impl Set<'_> {
    /// Asks for parameters before the first frame.
    fn prepare(&mut self, found: &Captured) -> Result<(), Error> {
        let frame = self.describe(0, found);
        let ticket = self.session.prepare(&frame)?;
        self.land(ticket, &frame).map(drop)
    }

    /// Sends a frame's statistics and takes over what the module makes of them.
    fn answer(
        &mut self,
        number: usize,
        captured: &Captured,
    ) -> Result<(Fate, Duration, Pulse), Error> {
        let statistics = if captured.lens_position.is_some() {
            captured.statistics_with_focus()
        } else {
            captured.statistics()
        };
        let len = statistics.encode(&mut self.stats)?;
        let frame = self.describe(number, captured);
        let ticket = self.session.submit(&frame, &self.stats[..len])?;
        self.land(ticket, &frame)
    }

    fn describe(&self, number: usize, captured: &Captured) -> Frame {
        let applied = captured.applied;
        let now = Moment::now();
        Frame {
            number: number as u64,
            sensor_timestamp: now,
            deadline: now
                + match self.manner {
                    Manner::Plain => self.frame_time,
                    // Whoever goes on without an answer has something to do before the next frame.
                    Manner::Unshaken => self.frame_time * 3 / 5,
                },
            applied: coldshoe::Applied {
                exposure_us: applied.exposure_us,
                analogue_gain: applied.analogue_gain,
                digital_gain: applied.digital_gain,
                black_level: self.pipeline.camera.limits().black,
                lens_position: captured.lens_position,
            },
            controls: Controls {
                // Focus follows the scene, where there is a lens to move.
                af_mode: captured.lens_position.map(|_| CONTINUOUS),
                ..Controls::default()
            },
        }
    }

    /// Waits until the next frame is due, where the film has a pace. The virtual sensor and ISP take
    /// their time between frames.
    fn keep_pace(&mut self) {
        if self.manner == Manner::Unshaken {
            std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
            self.due = Instant::now() + self.frame_time;
        }
    }

    /// Waits for a frame. A worker that has failed ends a plain film.
    fn land(&mut self, ticket: Ticket, frame: &Frame) -> Result<(Fate, Duration, Pulse), Error> {
        let outcome = self.session.wait(ticket);
        let over = Instant::now();
        let round_trip = Moment::now().since(frame.sensor_timestamp);
        let without = outcome.answer().is_none();
        let total_us = outcome.answer().and_then(|answer| {
            let Wanted {
                exposure_us,
                analogue_gain,
                digital_gain,
                ..
            } = answer.wanted;
            Some(exposure_us? * analogue_gain.unwrap_or(1.0) * digital_gain.unwrap_or(1.0))
        });
        let fate = self.pipeline.take(&outcome);
        let [r, gr, gb, b] = self.pipeline.white.gains();
        let green = (gr + gb) / 2.0;
        let pulse = Pulse {
            over,
            without,
            late: round_trip >= self.frame_time,
            replaced: self.session.counters().replaced,
            total_us,
            white: [r / green, b / green],
        };
        match self.session.fault() {
            Some(fault) if self.manner == Manner::Plain => Err(Error::Fault(fault.trouble.clone())),
            _ => Ok((fate, round_trip, pulse)),
        }
    }
}

/// Camera and ISP.
struct Pipeline<'a> {
    camera: &'a mut Camera,
    isp: SoftIsp,
    /// The white balance in force.
    white: WbGains,
}

impl Pipeline<'_> {
    /// Takes over what an answer wants of the ISP and of the sensor.
    fn take(&mut self, outcome: &Outcome<'_>) -> Fate {
        let (answer, fate) = match outcome {
            Outcome::Fresh(answer) => (answer, Fate::Fresh),
            Outcome::Late(answer) => (answer, Fate::Late),
            Outcome::Held { why, .. } => return Fate::Held(*why),
            Outcome::Skipped { why, .. } => return Fate::Skipped(*why),
        };
        let Wanted {
            exposure_us,
            analogue_gain,
            digital_gain,
            lens_position,
            ..
        } = answer.wanted;
        if let Some(dioptres) = lens_position {
            self.camera.request_lens(dioptres);
        }
        self.camera.request(&SensorRequest {
            exposure_us,
            analogue_gain,
            digital_gain,
        });
        // A module may have nothing to say to the ISP.
        if answer.params.is_empty() {
            return fate;
        }
        let Ok(params) = SoftParams::decode(answer.params) else {
            return Fate::Refused;
        };
        match params.wb_gains {
            Update::Keep => {}
            Update::Disable => self.white = WbGains::default(),
            Update::Set(white) => self.white = white,
        }
        match self.isp.apply(answer.params) {
            Ok(()) => fate,
            Err(_) => Fate::Refused,
        }
    }

    fn judge(&self, applied: &Applied, truth: &Truth, fate: Fate, round_trip: Duration) -> Record {
        let [r, gr, gb, b] = self.white.gains();
        let white_point = [1.0 / r, 2.0 / (gr + gb), 1.0 / b];
        Record {
            applied: *applied,
            luminance_error: applied.total_us() / truth.total_us - 1.0,
            white_error: truth
                .neutral
                .map(|neutral| angle::recovery(white_point, neutral)),
            round_trip,
            fate,
        }
    }
}
