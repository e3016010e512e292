//! From what is wanted to what is granted.

use super::limits::Limits;
use super::quantity::{Dioptres, Gain, Microseconds, Unfit};
use super::schedule::Schedule;
use crate::rates::Rates;

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actuator {
    /// Exposure time.
    Exposure,
    /// Analogue gain.
    AnalogueGain,
    /// Digital gain.
    DigitalGain,
    /// Lens position.
    Lens,
    /// Frame duration: vertical blanking.
    FrameDuration,
}

impl Actuator {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Exposure,
        Self::AnalogueGain,
        Self::DigitalGain,
        Self::Lens,
        Self::FrameDuration,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exposure => "exposure",
            Self::AnalogueGain => "analogue gain",
            Self::DigitalGain => "digital gain",
            Self::Lens => "lens",
            Self::FrameDuration => "frame duration",
        }
    }
}

/// What an algorithm asks for: any numbers at all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Exposure time in µs.
    pub exposure_us: Option<f64>,
    /// Analogue gain, a factor.
    pub analogue_gain: Option<f64>,
    /// Digital gain, a factor.
    pub digital_gain: Option<f64>,
    /// Lens position in dioptres.
    pub lens_position: Option<f64>,
    /// Frame duration in µs.
    pub frame_duration_us: Option<f64>,
}

/// Why something else is granted than what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clamp {
    /// The sensor or the lens cannot do it.
    Sensor,
    /// It would change faster than the contract lets it.
    Rate,
    /// Exposure would not fit into a frame, of those on their way, too.
    Frame,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// There was none: what was granted last stays, unless exposure and frame force it.
    Kept,
    /// Granted as it was.
    Granted,
    /// Something else is granted: because of a rate, if that had a part in it, else the last reason that
    /// changed it.
    Clamped(Clamp),
    /// It is no quantity: what was granted last stays.
    Refused(Unfit),
    /// There is nothing of the kind to move.
    Absent,
}

impl Judged {
    /// Whether the request broke the contract: no quantity, or faster than allowed. What a sensor
    /// cannot do anybody may ask for.
    #[must_use]
    pub const fn is_violation(self) -> bool {
        matches!(self, Self::Refused(_) | Self::Clamped(Clamp::Rate))
    }
}

/// What is granted to a frame: to be in force some frames later, as the sensor's delays are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Granted {
    /// Exposure time.
    pub exposure: Microseconds,
    /// Analogue gain.
    pub analogue_gain: Gain,
    /// Digital gain.
    pub digital_gain: Gain,
    /// Lens position; none without a lens that moves.
    pub lens: Option<Dioptres>,
    /// Frame duration.
    pub frame_duration: Microseconds,
    /// What became of each request, in the order of [`Actuator::ALL`].
    pub judged: [Judged; 5],
}

impl Granted {
    /// What became of a request.
    #[must_use]
    pub const fn of(&self, actuator: Actuator) -> Judged {
        self.judged[actuator as usize]
    }

    /// Whether any request broke the contract.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        self.judged.iter().any(|judged| judged.is_violation())
    }
}

/// Requests to an actuator so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Granted as they were.
    pub granted: u64,
    /// Clamped, because the sensor could not.
    pub sensor: u64,
    /// Clamped, because they were too fast.
    pub rate: u64,
    /// Clamped, because exposure and frame have to fit.
    pub frame: u64,
    /// Refused, because they were no quantity.
    pub refused: u64,
    /// To something that is not there.
    pub absent: u64,
}

/// A session's actuators.
#[derive(Clone, Debug)]
pub struct Actuators {
    limits: Limits,
    rates: Rates,
    frame: u64,
    exposure: Schedule,
    frame_duration: Schedule,
    /// Whether the frame duration is known: nobody has asked for one, and none was stated, else.
    framed: bool,
    analogue_gain: f64,
    digital_gain: f64,
    lens: Option<f64>,
    requests: [Requests; 5],
}

impl Actuators {
    /// Those of a sensor that is in `state`; what of it is no quantity, or out of the sensor's limits,
    /// is taken for the nearest that is, and what is not stated for the least. A frame duration that is
    /// not stated is whatever exposures need: the first one that is asked for is held against no rate.
    #[must_use]
    pub fn new(limits: Limits, rates: Rates, state: Wanted) -> Self {
        let sensor = limits.sensor();
        let times = |(least, most): (Microseconds, Microseconds)| (least.get(), most.get());
        let gains = |(least, most): (Gain, Gain)| (least.get(), most.get());
        let at = |stated: Option<f64>, (least, most): (f64, f64)| match stated {
            Some(stated) if !stated.is_nan() => stated.clamp(least, most),
            _ => least,
        };
        let margin = limits.margin();
        let exposure = at(state.exposure_us, times(sensor.exposure));
        let (_, longest) = times(sensor.frame_duration);
        let exposure = exposure.min(longest - margin);
        let frame = match state.frame_duration_us {
            None => longest,
            stated => at(stated, times(sensor.frame_duration)),
        };
        Self {
            limits,
            rates,
            frame: 0,
            exposure: Schedule::new(exposure),
            frame_duration: Schedule::new(frame.max(exposure + margin)),
            framed: state.frame_duration_us.is_some(),
            analogue_gain: at(state.analogue_gain, gains(sensor.analogue_gain)),
            digital_gain: at(state.digital_gain, gains(sensor.digital_gain)),
            lens: sensor
                .lens
                .map(|(least, most)| at(state.lens_position, (least.get(), most.get()))),
            requests: [Requests::default(); 5],
        }
    }

    /// The sensor's limits.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Requests to an actuator so far.
    #[must_use]
    pub const fn requests(&self, actuator: Actuator) -> Requests {
        self.requests[actuator as usize]
    }

    /// Judges what is wanted for `frame`; frames go on, and one that is earlier than the last counts
    /// as the last.
    ///
    /// Each value is held against what was granted last, which may still be on its way, and not
    /// against what is in force: else requests to a sensor that is two frames late could change thrice
    /// as fast. At every frame from now on exposure and margin fit into the frame: exposure yields to a
    /// frame duration that is wanted, and a frame duration to an exposure that is on its way or cannot
    /// fall faster.
    pub fn grant(&mut self, frame: u64, wanted: &Wanted) -> Granted {
        self.grant_by_hand(frame, wanted, &Wanted::default())
    }

    /// The same, where an application sets some of it `by_hand`: a request that follows it, to a tenth,
    /// is held against no rate. It may be for another exposure with each frame.
    pub fn grant_by_hand(&mut self, frame: u64, wanted: &Wanted, by_hand: &Wanted) -> Granted {
        self.frame = self.frame.max(frame);
        let sensor = *self.limits.sensor();
        let rates = self.rates;
        let (exposure, frame_duration, times) = self.times(wanted, by_hand);
        let gain = |wanted, by_hand, last: f64, (least, most): (Gain, Gain), factor| {
            let range = (least.get(), most.get());
            let factor = unless(follows(wanted, by_hand), factor);
            Asked::new(wanted, last).sensor(range).factor(last, factor)
        };
        let analogue = gain(
            wanted.analogue_gain,
            by_hand.analogue_gain,
            self.analogue_gain,
            sensor.analogue_gain,
            rates.analogue_gain_factor,
        );
        let digital = gain(
            wanted.digital_gain,
            by_hand.digital_gain,
            self.digital_gain,
            sensor.digital_gain,
            rates.digital_gain_factor,
        );
        let lens = match (sensor.lens, self.lens) {
            (Some((least, most)), Some(last)) => Asked::new(wanted.lens_position, last)
                .sensor((least.get(), most.get()))
                .step(
                    last,
                    unless(
                        follows(wanted.lens_position, by_hand.lens_position),
                        rates.lens_dioptres,
                    ),
                ),
            _ => Asked {
                value: 0.0,
                judged: wanted
                    .lens_position
                    .map_or(Judged::Kept, |_| Judged::Absent),
            },
        };
        self.analogue_gain = analogue.value;
        self.digital_gain = digital.value;
        self.lens = self.lens.map(|_| lens.value);
        let [exposure_judged, duration_judged] = times;
        let judged = [
            exposure_judged,
            analogue.judged,
            digital.judged,
            lens.judged,
            duration_judged,
        ];
        for (requests, judged) in self.requests.iter_mut().zip(judged) {
            requests.count(judged);
        }
        Granted {
            exposure: Microseconds::from_fit(exposure),
            analogue_gain: Gain::from_fit(self.analogue_gain),
            digital_gain: Gain::from_fit(self.digital_gain),
            lens: self.lens.map(Dioptres::from_fit),
            frame_duration: Microseconds::from_fit(frame_duration),
            judged,
        }
    }

    /// Exposure and frame duration, and what became of the requests for them.
    fn times(&mut self, wanted: &Wanted, by_hand: &Wanted) -> (f64, f64, [Judged; 2]) {
        let sensor = *self.limits.sensor();
        let (rates, margin, now) = (self.rates, self.limits.margin(), self.frame);
        self.exposure.forget_before(now);
        self.frame_duration.forget_before(now);
        let exposed_from = now.saturating_add(sensor.exposure_delay.into());
        let framed_from = now.saturating_add(sensor.frame_duration_delay.into());

        let (least, most) = (sensor.exposure.0.get(), sensor.exposure.1.get());
        let last = self.exposure.last();
        let free = follows(wanted.exposure_us, by_hand.exposure_us);
        let exposure = Asked::new(wanted.exposure_us, last)
            .sensor((least, most))
            .factor(last, unless(free, rates.exposure_factor));
        // As short as it could be by then.
        let shortest = (last / rates.exposure_factor).max(least).min(last);
        // Exposures that are in force before this one is.
        let earlier = self.exposure.between(framed_from, exposed_from);
        let longest_exposure = earlier.fold(shortest, f64::max);

        let (least, most) = (sensor.frame_duration.0.get(), sensor.frame_duration.1.get());
        let last = self.frame_duration.last();
        // What nobody asks for stays, and exposure has to fit.
        let duration = Asked::new(wanted.frame_duration_us, last)
            .sensor((least, most))
            .factor(last, unless(!self.framed, rates.frame_duration_factor))
            .at_least(longest_exposure + margin);

        // Frames that are in force before this duration is.
        let earlier = self.frame_duration.between(exposed_from, framed_from);
        let room = earlier.fold(duration.value, f64::min) - margin;
        let exposure = exposure.at_most(room);

        self.framed |= matches!(duration.judged, Judged::Granted | Judged::Clamped(_))
            && wanted.frame_duration_us.is_some();
        self.exposure.set(exposed_from, exposure.value);
        self.frame_duration.set(framed_from, duration.value);
        let judged = [exposure.judged, duration.judged];
        (exposure.value, duration.value, judged)
    }
}

/// Whether a request is for what was set by hand.
fn follows(wanted: Option<f64>, by_hand: Option<f64>) -> bool {
    let pair = wanted.zip(by_hand);
    pair.is_some_and(|(wanted, by_hand)| (wanted - by_hand).abs() <= by_hand / 10.0)
}

/// No bound where something is free.
const fn unless(free: bool, bound: f64) -> f64 {
    if free { f64::INFINITY } else { bound }
}

impl Requests {
    const fn count(&mut self, judged: Judged) {
        match judged {
            Judged::Kept => {}
            Judged::Granted => self.granted += 1,
            Judged::Clamped(Clamp::Sensor) => self.sensor += 1,
            Judged::Clamped(Clamp::Rate) => self.rate += 1,
            Judged::Clamped(Clamp::Frame) => self.frame += 1,
            Judged::Refused(_) => self.refused += 1,
            Judged::Absent => self.absent += 1,
        }
    }
}

/// A request on its way to a grant.
#[derive(Clone, Copy, Debug)]
struct Asked {
    value: f64,
    judged: Judged,
}

impl Asked {
    fn new(wanted: Option<f64>, last: f64) -> Self {
        match wanted.map(|wanted| Microseconds::new(wanted).map(Microseconds::get)) {
            None => Self {
                value: last,
                judged: Judged::Kept,
            },
            Some(Err(unfit)) => Self {
                value: last,
                judged: Judged::Refused(unfit),
            },
            Some(Ok(value)) => Self {
                value,
                judged: Judged::Granted,
            },
        }
    }

    fn clamp(mut self, least: f64, most: f64, why: Clamp) -> Self {
        let value = self.value.max(least).min(most);
        if value != self.value {
            self.value = value;
            // What breaks the contract stays that, whatever else it runs into.
            let stays = matches!(
                self.judged,
                Judged::Refused(_) | Judged::Clamped(Clamp::Rate)
            );
            if !stays {
                self.judged = Judged::Clamped(why);
            }
        }
        self
    }

    fn sensor(self, (least, most): (f64, f64)) -> Self {
        self.clamp(least, most, Clamp::Sensor)
    }

    fn factor(self, last: f64, factor: f64) -> Self {
        self.clamp(last / factor, last * factor, Clamp::Rate)
    }

    fn step(self, last: f64, step: f64) -> Self {
        self.clamp(last - step, last + step, Clamp::Rate)
    }

    fn at_least(self, least: f64) -> Self {
        self.clamp(least, f64::INFINITY, Clamp::Frame)
    }

    fn at_most(self, most: f64) -> Self {
        self.clamp(0.0, most, Clamp::Frame)
    }
}
