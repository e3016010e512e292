//! Messages between a pipeline handler's client library and the daemon.

pub use crate::wire::coldshoe::control::v1::envelope::Body;
pub use crate::wire::coldshoe::control::v1::*;

use crate::check::{self, Check, Invalid, MAX_BUFFERS, MAX_CAPACITY};
use crate::codec::Message;

/// The feature of a daemon that starts workers of libcamera's.
pub const LIBCAMERA: &str = "libcamera";
/// Length of a session's token, in bytes.
pub const TOKEN: usize = 16;
/// Most entries of each list in a [`Listing`].
pub const MAX_LISTED: usize = 16;
/// Most entries of the list in a [`Statistics`].
pub const MAX_REFUSALS: usize = 32;
/// Most frames that a [`Trace`] asks for.
pub const MAX_TRACED: u32 = 100_000;
/// Most entries of each list in a [`Confinement`].
const MAX_REPORT: usize = 64;
/// Longest delay of a sensor control, in frames.
const MAX_DELAY: u32 = 16;
/// MIPI CSI-2 carries raw samples of 6 (RAW6) to 24 bits (RAW24).
const BIT_DEPTHS: (u32, u32) = (6, 24);
/// Largest edge of a frame, in pixels.
const MAX_EDGE: u32 = 65_536;

impl Envelope {
    /// Wraps a message and declares the descriptors that it requires.
    #[must_use]
    pub fn new(serial: u32, body: impl Into<Body>) -> Self {
        let body = body.into();
        Self {
            serial,
            fds: body.fds(),
            body: Some(body),
        }
    }
}

impl Body {
    /// Number of descriptors that must travel with this message.
    #[must_use]
    pub fn fds(&self) -> u32 {
        match self {
            Self::OpenSession(OpenSession {
                buffers, resume, ..
            }) => buffers.saturating_add(1 + u32::from(resume.is_some())),
            Self::SessionOpened(_) | Self::WorkerReplaced(_) => 3,
            Self::Tracing(_) => 1,
            Self::LibcameraOpened(_) => 2,
            Self::Hello(_)
            | Self::Configure(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Close(_)
            | Self::Done(_)
            | Self::SessionFault(_)
            | Self::Error(_)
            | Self::Report(_)
            | Self::List(_)
            | Self::Listing(_)
            | Self::Release(_)
            | Self::Steer(_)
            | Self::OpenLibcamera(_)
            | Self::Initialised(_)
            | Self::ReplaceWorker(_)
            | Self::Withheld(_)
            | Self::Trace(_) => 0,
        }
    }

    /// Name of the message, as the protocol file has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::OpenSession(_) => "OpenSession",
            Self::SessionOpened(_) => "SessionOpened",
            Self::Configure(_) => "Configure",
            Self::Start(_) => "Start",
            Self::Stop(_) => "Stop",
            Self::Close(_) => "Close",
            Self::Done(_) => "Done",
            Self::WorkerReplaced(_) => "WorkerReplaced",
            Self::SessionFault(_) => "SessionFault",
            Self::Error(_) => "Error",
            Self::Report(_) => "Report",
            Self::List(_) => "List",
            Self::Listing(_) => "Listing",
            Self::Release(_) => "Release",
            Self::Trace(_) => "Trace",
            Self::Tracing(_) => "Tracing",
            Self::Steer(_) => "Steer",
            Self::OpenLibcamera(_) => "OpenLibcamera",
            Self::LibcameraOpened(_) => "LibcameraOpened",
            Self::Initialised(_) => "Initialised",
            Self::ReplaceWorker(_) => "ReplaceWorker",
            Self::Withheld(_) => "Withheld",
        }
    }

    fn validate(&self) -> Check {
        match self {
            Self::Hello(m) => m.validate(),
            Self::OpenSession(m) => m.validate(),
            Self::SessionOpened(m) => m.validate(),
            Self::Configure(m) => m.validate(),
            Self::Start(Start { session })
            | Self::Stop(Stop { session })
            | Self::Close(Close { session }) => check::not_zero("session", *session),
            Self::Done(_) => Ok(()),
            Self::WorkerReplaced(m) => m.validate(),
            Self::SessionFault(m) => m.validate(),
            Self::Error(m) => m.validate(),
            Self::Report(m) => m.validate(),
            Self::List(m) => m.validate(),
            Self::Listing(m) => m.validate(),
            Self::Release(Release { module }) => check::name("module", module),
            Self::Trace(Trace { session, frames }) => {
                check::not_zero("session", *session)?;
                check::within("frames", *frames, 1, MAX_TRACED)
            }
            Self::Tracing(m) => check::name("params_format", &m.params_format),
            Self::Steer(m) => m.validate(),
            Self::OpenLibcamera(m) => m.validate(),
            Self::LibcameraOpened(m) => m.validate(),
            Self::Initialised(m) => m.validate(),
            Self::ReplaceWorker(m) => m.validate(),
            Self::Withheld(m) => m.validate(),
        }
    }
}

impl Message for Envelope {
    fn serial(&self) -> u32 {
        self.serial
    }

    fn declared_fds(&self) -> u32 {
        self.fds
    }

    fn required_fds(&self) -> Option<u32> {
        self.body.as_ref().map(Body::fds)
    }

    fn kind(&self) -> &'static str {
        self.body.as_ref().map_or("empty envelope", Body::kind)
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.body.as_ref().map_or(Ok(()), Body::validate)
    }
}

macro_rules! into_body {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Body {
            fn from(message: $kind) -> Self {
                Self::$kind(message)
            }
        }
    )*};
}
into_body!(
    Hello,
    OpenSession,
    SessionOpened,
    Configure,
    Start,
    Stop,
    Close,
    Done,
    WorkerReplaced,
    SessionFault,
    Error,
    Report,
    List,
    Listing,
    Release,
    Trace,
    Tracing,
    Steer,
    OpenLibcamera,
    LibcameraOpened,
    Initialised,
    ReplaceWorker,
    Withheld
);

impl OpenSession {
    fn validate(&self) -> Check {
        check::name("module", &self.module)?;
        check::name("camera", &self.camera)?;
        check::name("stats_format", &self.stats_format)?;
        check::name("params_format", &self.params_format)?;
        check::slots(self.slots)?;
        check::within("stats_capacity", self.stats_capacity, 1, MAX_CAPACITY)?;
        check::within("params_capacity", self.params_capacity, 1, MAX_CAPACITY)?;
        check::within("buffers", self.buffers, 0, MAX_BUFFERS)?;
        self.resume
            .as_ref()
            .map_or(Ok(()), |resume| resume.validate())
    }
}

impl OpenLibcamera {
    fn validate(&self) -> Check {
        check::name("ipa", &self.ipa)?;
        check::path("module", &self.module)
    }
}

impl LibcameraOpened {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::not_zero("worker_pid", self.worker_pid)?;
        check::present("module", self.module.as_ref())?.validate()?;
        check::present("confinement", self.confinement.as_ref())?.validate()?;
        check::not_zero("generation", self.generation)?;
        check::text("series", &self.series)
    }
}

impl Initialised {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::label("sensor", &self.sensor)
    }
}

impl ReplaceWorker {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        match self.reason() {
            FaultReason::Unspecified | FaultReason::Deadline | FaultReason::Protocol => {}
            _ => return Err(Invalid::new("reason", "not one that a client can give")),
        }
        check::text("why", &self.why)
    }
}

impl Withheld {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::text("why", &self.why)
    }
}

impl Resume {
    fn validate(&self) -> Check {
        token("resume.token", &self.token)?;
        check::not_zero("resume.generation", self.generation)?;
        self.controls.as_ref().map_or(Ok(()), Controls::validate)?;
        match (&self.sensor, self.started) {
            (Some(sensor), _) => sensor.validate(),
            (None, false) => Ok(()),
            (None, true) => Err(Invalid::new(
                "resume.sensor",
                "is missing, and frames cannot flow without",
            )),
        }
    }
}

fn token(field: &'static str, token: &[u8]) -> Check {
    if token.len() != TOKEN {
        let problem = format!("has {} bytes instead of {TOKEN}", token.len());
        return Err(Invalid::new(field, problem));
    }
    Ok(())
}

impl SessionOpened {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::not_zero("generation", self.generation)?;
        check::not_zero("worker_pid", self.worker_pid)?;
        check::wake(self.wake)?;
        token("token", &self.token)?;
        check::present("module", self.module.as_ref())?.validate()?;
        check::present("confinement", self.confinement.as_ref())?.validate()
    }
}

impl ModuleInfo {
    fn validate(&self) -> Check {
        check::name("module.name", &self.name)?;
        check::label("module.version", &self.version)?;
        check::label("module.license", &self.license)?;
        check::path("module.path", &self.path)?;
        check::label("module.profile", &self.profile)
    }
}

impl Confinement {
    fn validate(&self) -> Check {
        for (field, lines) in [
            ("open_files", &self.open_files),
            ("notes", &self.notes),
            ("namespaces", &self.namespaces),
            ("landlock_rights", &self.landlock_rights),
            ("seals", &self.seals),
            ("cgroup", &self.cgroup),
            ("degraded", &self.degraded),
        ] {
            check::at_most(field, lines, MAX_REPORT)?;
            lines.iter().try_for_each(|line| check::text(field, line))?;
        }
        check::label("speculation", &self.speculation)?;
        check::limits(&self.limits)
    }
}

impl Configure {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::present("sensor", self.sensor.as_ref())?.validate()
    }
}

impl FaultReason {
    /// One word for it, in logs and lists.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::Crash => "crash",
            Self::Exit => "exit",
            Self::Violation => "violation",
            Self::Deadline => "deadline",
            Self::Protocol => "protocol",
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Contract => "contract",
        }
    }
}

impl Sensor {
    /// Checks that a sensor can be as described.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that cannot be: a number that is not
    /// finite or not positive, a minimum above its maximum, a Bayer order that
    /// is not one of the four, a bit depth outside 6 to 24.
    pub fn validate(&self) -> Result<(), Invalid> {
        check::name("sensor.model", &self.model)?;
        check::within("sensor.width", self.width, 1, MAX_EDGE)?;
        check::within("sensor.height", self.height, 1, MAX_EDGE)?;
        if self.bayer_order() == BayerOrder::Unspecified {
            let problem = "is not RGGB, GRBG, GBRG or BGGR";
            return Err(Invalid::new("sensor.bayer_order", problem));
        }
        let (least, most) = BIT_DEPTHS;
        check::within("sensor.bit_depth", self.bit_depth, least, most)?;
        check::positive("sensor.line_length_us", self.line_length_us)?;
        check::ordered(
            ("sensor.min_exposure_us", self.min_exposure_us),
            ("sensor.max_exposure_us", self.max_exposure_us),
        )?;
        check::ordered(
            ("sensor.min_analogue_gain", self.min_analogue_gain),
            ("sensor.max_analogue_gain", self.max_analogue_gain),
        )?;
        check::ordered(
            ("digital gain of 1", 1.0),
            ("sensor.max_digital_gain", self.max_digital_gain),
        )?;
        check::within(
            "sensor.exposure_margin_lines",
            self.exposure_margin_lines,
            0,
            MAX_EDGE,
        )?;
        let (least, most) = (self.min_lens_position, self.max_lens_position);
        if !(least >= 0.0 && least <= most && most.is_finite()) {
            let problem = format!("is {most}, allowed are a number and at least {least}");
            return Err(Invalid::new("sensor.max_lens_position", problem));
        }
        if !(0.0..1.0).contains(&self.black_level) {
            let problem = format!("is {}, allowed are 0 to below 1", self.black_level);
            return Err(Invalid::new("sensor.black_level", problem));
        }
        check::within("sensor.exposure_delay", self.exposure_delay, 0, MAX_DELAY)?;
        check::within("sensor.gain_delay", self.gain_delay, 0, MAX_DELAY)?;
        check::ordered(
            ("sensor.min_frame_duration_us", self.min_frame_duration_us),
            ("sensor.max_frame_duration_us", self.max_frame_duration_us),
        )
    }
}

impl WorkerReplaced {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::not_zero("generation", self.generation)?;
        check::not_zero("worker_pid", self.worker_pid)?;
        check::wake(self.wake)?;
        check::present("module", self.module.as_ref())?.validate()?;
        check::present("confinement", self.confinement.as_ref())?.validate()
    }
}

impl Report {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::not_zero("generation", self.generation)?;
        check::known("course", self.course, Course::Unspecified)
    }
}

impl List {
    fn validate(&self) -> Check {
        check::known("topic", self.topic, Topic::Unspecified)
    }
}

impl Listing {
    fn validate(&self) -> Check {
        check::at_most("sessions", &self.sessions, MAX_LISTED)?;
        check::at_most("faults", &self.faults, MAX_LISTED)?;
        check::at_most("quarantined", &self.quarantined, MAX_LISTED)?;
        for session in &self.sessions {
            check::not_zero("sessions.session", session.session)?;
            check::name("sessions.module", &session.module)?;
            check::label("sessions.stand_in", &session.stand_in)?;
            check::name("sessions.camera", &session.camera)?;
            if let Some(statistics) = &session.statistics {
                check::at_most("statistics.refusals", &statistics.refusals, MAX_REFUSALS)?;
            }
        }
        for fault in &self.faults {
            check::not_zero("faults.number", fault.number)?;
            check::name("faults.camera", &fault.camera)?;
            check::name("faults.module", &fault.module)?;
            check::text("faults.what", &fault.what)?;
            check::text("faults.why", &fault.why)?;
        }
        for module in &self.quarantined {
            check::name("quarantined.module", &module.module)?;
            check::text("quarantined.why", &module.why)?;
        }
        Ok(())
    }
}

impl Steer {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        self.controls.as_ref().map_or(Ok(()), Controls::validate)
    }
}

impl SessionFault {
    fn validate(&self) -> Check {
        check::not_zero("session", self.session)?;
        check::label("module", &self.module)?;
        three_lines(&self.what, &self.why, &self.remedy)
    }
}

impl Error {
    fn validate(&self) -> Check {
        three_lines(&self.what, &self.why, &self.remedy)
    }
}

fn three_lines(what: &str, why: &str, remedy: &str) -> Check {
    check::not_empty("what", what)?;
    check::text("what", what)?;
    check::text("why", why)?;
    check::text("remedy", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field that must be refused, and the change that makes it bad.
    type Case<M> = (&'static str, fn(&mut M));

    fn sensor() -> Sensor {
        Sensor {
            model: "imx219".into(),
            width: 3280,
            height: 2464,
            bayer_order: BayerOrder::Rggb.into(),
            bit_depth: 10,
            line_length_us: 18.9,
            min_exposure_us: 75.0,
            max_exposure_us: 66_000.0,
            min_analogue_gain: 1.0,
            max_analogue_gain: 10.67,
            max_digital_gain: 16.0,
            black_level: 64.0 / 1023.0,
            exposure_delay: 2,
            gain_delay: 1,
            min_frame_duration_us: 33_333.0,
            max_frame_duration_us: 66_667.0,
            min_lens_position: 0.0,
            max_lens_position: 12.5,
            exposure_margin_lines: 4,
        }
    }

    fn open_session() -> OpenSession {
        OpenSession {
            module: "open".into(),
            camera: "virtual".into(),
            stats_format: "coldshoe-bayer".into(),
            params_format: "coldshoe-soft".into(),
            slots: 4,
            stats_capacity: 65_536,
            params_capacity: 4096,
            isp_capabilities: 0b11111,
            buffers: 2,
            standby: true,
            resume: Some(Box::new(Resume {
                token: vec![7; TOKEN],
                generation: 3,
                sensor: Some(sensor()),
                started: true,
                controls: Some(Controls::default()),
            })),
        }
    }

    fn session_opened() -> SessionOpened {
        SessionOpened {
            session: 1,
            generation: 1,
            module: Some(ModuleInfo {
                name: "open".into(),
                path: "/m/open.so".into(),
                ..Default::default()
            }),
            confinement: Some(Confinement::default()),
            worker_pid: 4711,
            wake: Wake::Sleep.into(),
            token: vec![7; TOKEN],
            standby: false,
        }
    }

    /// Applies one change to a good message and tells which field was refused.
    fn refused<M>(mut good: M, check: fn(&M) -> Check, change: fn(&mut M)) -> &'static str {
        check(&good).expect("the unchanged message is good");
        change(&mut good);
        check(&good).expect_err("the change was accepted").field
    }

    #[test]
    fn a_sensor_that_cannot_be_is_refused_by_its_field() {
        let cases: &[Case<Sensor>] = &[
            ("sensor.model", |s| s.model.clear()),
            ("sensor.model", |s| s.model.push('\n')),
            ("sensor.width", |s| s.width = 0),
            ("sensor.height", |s| s.height = u32::MAX),
            ("sensor.bayer_order", |s| s.bayer_order = 0),
            ("sensor.bayer_order", |s| s.bayer_order = 5),
            ("sensor.bit_depth", |s| s.bit_depth = 5),
            ("sensor.bit_depth", |s| s.bit_depth = 25),
            ("sensor.line_length_us", |s| s.line_length_us = 0.0),
            ("sensor.min_exposure_us", |s| s.min_exposure_us = -1.0),
            ("sensor.min_exposure_us", |s| s.min_exposure_us = 1e9),
            ("sensor.max_exposure_us", |s| s.max_exposure_us = f64::NAN),
            ("sensor.min_analogue_gain", |s| s.min_analogue_gain = 0.0),
            ("sensor.min_analogue_gain", |s| s.max_analogue_gain = 0.5),
            ("sensor.max_analogue_gain", |s| {
                s.max_analogue_gain = f64::INFINITY
            }),
            ("digital gain of 1", |s| s.max_digital_gain = 0.9),
            ("sensor.max_digital_gain", |s| s.max_digital_gain = 0.0),
            ("sensor.black_level", |s| s.black_level = 1.0),
            ("sensor.black_level", |s| s.black_level = -0.1),
            ("sensor.black_level", |s| s.black_level = f64::NAN),
            ("sensor.exposure_delay", |s| s.exposure_delay = 17),
            ("sensor.gain_delay", |s| s.gain_delay = u32::MAX),
            ("sensor.min_frame_duration_us", |s| {
                s.min_frame_duration_us = 1e9
            }),
            ("sensor.max_lens_position", |s| s.max_lens_position = -1.0),
            ("sensor.max_lens_position", |s| {
                s.min_lens_position = f64::NAN;
            }),
            ("sensor.max_lens_position", |s| {
                s.max_lens_position = f64::INFINITY;
            }),
            ("sensor.exposure_margin_lines", |s| {
                s.exposure_margin_lines = u32::MAX;
            }),
            ("sensor.max_frame_duration_us", |s| {
                s.max_frame_duration_us = 0.0
            }),
        ];
        for (field, change) in cases {
            assert_eq!(refused(sensor(), Sensor::validate, *change), *field);
        }
    }

    #[test]
    fn a_sensor_of_one_exposure_and_no_gain_is_fine() {
        let mut fixed = sensor();
        fixed.max_exposure_us = fixed.min_exposure_us;
        fixed.max_analogue_gain = fixed.min_analogue_gain;
        fixed.max_digital_gain = 1.0;
        fixed.max_frame_duration_us = fixed.min_frame_duration_us;
        fixed.black_level = 0.0;
        assert_eq!(fixed.validate(), Ok(()));
    }

    #[test]
    fn a_session_without_names_or_with_impossible_sizes_is_not_opened() {
        let cases: &[Case<OpenSession>] = &[
            ("module", |o| o.module.clear()),
            ("module", |o| o.module = "x".repeat(check::MAX_NAME + 1)),
            ("camera", |o| o.camera.clear()),
            ("stats_format", |o| o.stats_format.clear()),
            ("params_format", |o| o.params_format.clear()),
            ("slots", |o| o.slots = 0),
            ("slots", |o| o.slots = 3),
            ("slots", |o| o.slots = 32),
            ("stats_capacity", |o| o.stats_capacity = 0),
            ("stats_capacity", |o| o.stats_capacity = MAX_CAPACITY + 1),
            ("params_capacity", |o| o.params_capacity = 0),
            ("params_capacity", |o| o.params_capacity = u32::MAX),
            ("resume.token", |o| {
                o.resume.as_mut().unwrap().token.truncate(15)
            }),
            ("resume.generation", |o| {
                o.resume.as_mut().unwrap().generation = 0
            }),
            ("resume.sensor", |o| {
                o.resume.as_mut().unwrap().sensor = None
            }),
            ("Contrast", |o| {
                let controls = &mut o.resume.as_mut().unwrap().controls;
                controls.as_mut().unwrap().contrast = Some(-1.0);
            }),
        ];
        for (field, change) in cases {
            assert_eq!(
                refused(open_session(), OpenSession::validate, *change),
                *field
            );
        }
    }

    #[test]
    fn an_opened_session_has_numbers_a_module_and_a_confinement() {
        let cases: &[Case<SessionOpened>] = &[
            ("session", |o| o.session = 0),
            ("generation", |o| o.generation = 0),
            ("worker_pid", |o| o.worker_pid = 0),
            ("token", |o| o.token.clear()),
            ("module", |o| o.module = None),
            ("module.name", |o| o.module.as_mut().unwrap().name.clear()),
            ("module.path", |o| {
                o.module.as_mut().unwrap().path = "m".into()
            }),
            ("confinement", |o| o.confinement = None),
            ("notes", |o| {
                o.confinement.as_mut().unwrap().notes = vec![String::new(); MAX_REPORT + 1];
            }),
            ("open_files", |o| {
                o.confinement.as_mut().unwrap().open_files = vec!["\x1b".into()];
            }),
            ("namespaces", |o| {
                o.confinement.as_mut().unwrap().namespaces = vec![String::new(); MAX_REPORT + 1];
            }),
            ("cgroup", |o| {
                o.confinement.as_mut().unwrap().cgroup = vec!["a\nb".into()];
            }),
            ("degraded", |o| {
                o.confinement.as_mut().unwrap().degraded = vec!["\x07".into()];
            }),
            ("speculation", |o| {
                o.confinement.as_mut().unwrap().speculation = "x".repeat(257);
            }),
            ("limits", |o| {
                o.confinement.as_mut().unwrap().limits = vec![Limit::default(); 33];
            }),
            ("limits.name", |o| {
                o.confinement.as_mut().unwrap().limits = vec![Limit::default()];
            }),
        ];
        for (field, change) in cases {
            assert_eq!(
                refused(session_opened(), SessionOpened::validate, *change),
                *field
            );
        }
    }

    #[test]
    fn an_error_says_at_least_what_happened_and_stays_on_its_lines() {
        let good = || Error {
            what: "no".into(),
            ..Default::default()
        };
        let cases: &[Case<Error>] = &[
            ("what", |e| e.what.clear()),
            ("why", |e| e.why = "a\nb".into()),
            ("remedy", |e| e.remedy = "x".repeat(check::MAX_TEXT + 1)),
        ];
        for (field, change) in cases {
            assert_eq!(refused(good(), Error::validate, *change), *field);
        }
    }
}
