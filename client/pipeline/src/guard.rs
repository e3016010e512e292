//! What stands between a module's answers and the pipeline: the contract of the parameter format.

use coldshoe_contract::{
    Actuator, Actuators, Contract, Dioptres, Gain, Judged, Limits, LimitsError, Lines,
    Microseconds, Rates, Report, Standing, Tally, Unfit, Whole,
};
use coldshoe_control::client;
use coldshoe_frame::{Applied, Controls, Wanted};

use crate::Error;

/// Judges answers of one session, whichever worker gives them.
#[derive(Debug)]
pub(crate) struct Guard {
    contract: Contract,
    capabilities: u64,
    report: Report,
    tally: Tally,
    standing: Standing,
    given_up: bool,
    /// Of the sensor in its mode.
    limits: Option<Limits>,
    /// From the first frame after a start.
    actuators: Option<Actuators>,
    /// The blocks of the last answer that passed.
    admitted: Vec<u8>,
}

/// What an application sets by hand.
pub(crate) fn by_hand(controls: &Controls) -> coldshoe_contract::Wanted {
    coldshoe_contract::Wanted {
        exposure_us: controls.exposure_us,
        analogue_gain: controls.analogue_gain,
        lens_position: controls.lens_position,
        ..coldshoe_contract::Wanted::default()
    }
}

/// What was granted of what was wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grant {
    pub(crate) wanted: Wanted,
    /// Requests that were granted otherwise.
    pub(crate) clamped: u64,
    /// Requests that are no quantity.
    pub(crate) refused: u64,
    pub(crate) violated: bool,
}

impl Guard {
    pub(crate) fn new(contract: Contract, capabilities: u64, params_capacity: usize) -> Self {
        Self {
            capabilities,
            report: Report::new(),
            tally: Tally::default(),
            standing: Standing::new(contract.quarantine()),
            given_up: false,
            limits: None,
            actuators: None,
            admitted: vec![0; params_capacity],
            contract,
        }
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.contract
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What became of the last parameters.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// The sensor is in another mode.
    pub(crate) fn configure(&mut self, limits: Limits) {
        self.limits = Some(limits);
        self.actuators = None;
    }

    /// What is in force will be known with the next frame.
    pub(crate) fn start(&mut self) {
        self.actuators = None;
    }

    /// Frames of another module follow, which has done nothing wrong yet.
    pub(crate) fn another_module(&mut self) {
        self.standing = Standing::new(self.contract.quarantine());
        self.given_up = false;
    }

    /// That the module is to be given up was not heard: it is said again.
    pub(crate) fn not_heard(&mut self) {
        self.given_up = false;
    }

    /// The sensor applied this to a frame that is about to be submitted.
    pub(crate) fn applied(&mut self, applied: &Applied) {
        if let (Some(limits), None) = (self.limits, &self.actuators) {
            let state = coldshoe_contract::Wanted {
                exposure_us: Some(applied.exposure_us),
                analogue_gain: Some(applied.analogue_gain),
                digital_gain: Some(applied.digital_gain),
                lens_position: applied.lens_position,
                // Until a module asks for one the pipeline sees to it that exposures fit.
                frame_duration_us: None,
            };
            self.actuators = Some(Actuators::new(limits, self.contract.rates(), state));
        }
    }

    /// Judges parameters, in private memory; tells how many bytes passed.
    pub(crate) fn admit(&mut self, params: &[u8]) -> Result<usize, Whole> {
        let Self {
            contract,
            capabilities,
            report,
            admitted,
            tally,
            ..
        } = self;
        let passed = contract.admit(params, *capabilities, admitted, report);
        let passed = passed.map(<[u8]>::len);
        if report.refused() > 0 || report.whole().is_some() {
            tally.add(report);
        }
        passed
    }

    /// What passed, to be taken by exchange.
    pub(crate) fn admitted(&mut self) -> &mut Vec<u8> {
        &mut self.admitted
    }

    /// Judges requests to sensor and lens; what the application asked for by hand may come at once.
    pub(crate) fn grant(
        &mut self,
        frame: u64,
        wanted: &Wanted,
        by_hand: &coldshoe_contract::Wanted,
    ) -> Grant {
        let wanted = coldshoe_contract::Wanted {
            exposure_us: wanted.exposure_us,
            analogue_gain: wanted.analogue_gain,
            digital_gain: wanted.digital_gain,
            lens_position: wanted.lens_position,
            frame_duration_us: wanted.frame_duration_us,
        };
        let granted = match (&mut self.actuators, self.limits) {
            (Some(actuators), _) => actuators.grant_by_hand(frame, &wanted, by_hand),
            // Before the first frame nothing is in force that it could change too fast from.
            (None, Some(limits)) => {
                let nowhere = coldshoe_contract::Wanted::default();
                Actuators::new(limits, Rates::UNBOUNDED, nowhere).grant(frame, &wanted)
            }
            // No frame without a start, no start without a configuration.
            (None, None) => {
                return Grant {
                    wanted: Wanted::default(),
                    clamped: 0,
                    refused: 0,
                    violated: false,
                };
            }
        };
        let moved = |actuator, value: f64| match granted.of(actuator) {
            Judged::Kept | Judged::Absent => None,
            Judged::Granted | Judged::Clamped(_) | Judged::Refused(_) => Some(value),
        };
        let asked = [
            wanted.exposure_us,
            wanted.analogue_gain,
            wanted.digital_gain,
            wanted.lens_position,
            wanted.frame_duration_us,
        ];
        // Where one thing makes another yield nobody asked for, nothing was asked.
        let requests = || {
            asked
                .iter()
                .zip(granted.judged)
                .filter(|(asked, _)| asked.is_some())
        };
        let count = |which: fn(Judged) -> bool| {
            requests().filter(|(_, judged)| which(*judged)).count() as u64
        };
        Grant {
            wanted: Wanted {
                exposure_us: moved(Actuator::Exposure, granted.exposure.get()),
                analogue_gain: moved(Actuator::AnalogueGain, granted.analogue_gain.get()),
                digital_gain: moved(Actuator::DigitalGain, granted.digital_gain.get()),
                lens_position: moved(Actuator::Lens, granted.lens.map_or(0.0, Dioptres::get)),
                frame_duration_us: moved(Actuator::FrameDuration, granted.frame_duration.get()),
            },
            clamped: count(|judged| matches!(judged, Judged::Clamped(_))),
            refused: count(|judged| matches!(judged, Judged::Refused(_) | Judged::Absent)),
            violated: granted.is_violation(),
        }
    }

    /// Takes note of a frame; `true` once, when its module is to be given up.
    pub(crate) fn judge(&mut self, violated: bool) -> bool {
        let over = self.standing.frame(violated);
        let news = over && !self.given_up;
        self.given_up |= over;
        news
    }
}

/// A sensor of the control protocol, as actuators see it.
pub(crate) fn limits(sensor: &client::Sensor) -> Result<Limits, Error> {
    let refused =
        |field: &'static str| move |unfit: Unfit| Error::Sensor(format!("{field} {unfit}"));
    let time = |field, us| Microseconds::new(us).map_err(refused(field));
    let gain = |field, factor| Gain::new(factor).map_err(refused(field));
    let dioptres = |field, value| Dioptres::new(value).map_err(refused(field));
    let lens = match sensor.max_lens_position {
        0.0 => None,
        nearest => Some((
            dioptres("min_lens_position", sensor.min_lens_position)?,
            dioptres("max_lens_position", nearest)?,
        )),
    };
    let limits = Limits::new(coldshoe_contract::Sensor {
        line: time("line_length_us", sensor.line_length_us)?,
        exposure: (
            time("min_exposure_us", sensor.min_exposure_us)?,
            time("max_exposure_us", sensor.max_exposure_us)?,
        ),
        margin: Lines(sensor.exposure_margin_lines),
        frame_duration: (
            time("min_frame_duration_us", sensor.min_frame_duration_us)?,
            time("max_frame_duration_us", sensor.max_frame_duration_us)?,
        ),
        analogue_gain: (
            gain("min_analogue_gain", sensor.min_analogue_gain)?,
            gain("max_analogue_gain", sensor.max_analogue_gain)?,
        ),
        digital_gain: (
            gain("1", 1.0)?,
            gain("max_digital_gain", sensor.max_digital_gain)?,
        ),
        lens,
        exposure_delay: sensor.exposure_delay,
        // A frame is made longer by the same kind of register.
        frame_duration_delay: sensor.exposure_delay,
    });
    limits.map_err(|why: LimitsError| Error::Sensor(why.to_string()))
}
