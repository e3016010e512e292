//! What became of a frame.

use std::ffi::c_char;
use std::ptr;

use coldshoe::{AlgorithmState, Answer, Metadata, Outcome, Wanted, WhyHeld, WhySkipped};

use crate::record::Record;

/// How waiting for a frame ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_outcome_kind {
    /// The module has answered in time.
    COLDSHOE_OUTCOME_FRESH = 1,
    /// The module has answered, and nobody looked before the deadline had passed. It is the newest
    /// there is; a pipeline that has gone on already leaves it out.
    COLDSHOE_OUTCOME_LATE = 2,
    /// It has not: go on with what it answered last.
    COLDSHOE_OUTCOME_HELD = 3,
    /// The module was not asked: go on with what it answered last.
    COLDSHOE_OUTCOME_SKIPPED = 4,
}

/// Why a frame has no answer of its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_reason {
    /// It has one.
    COLDSHOE_REASON_NONE = 0,
    /// Held: the deadline has passed.
    COLDSHOE_REASON_DEADLINE = 1,
    /// Held: the module answered an error to this frame.
    COLDSHOE_REASON_MODULE_ERROR = 2,
    /// Held: the answer broke the frame protocol.
    COLDSHOE_REASON_PROTOCOL = 3,
    /// Held: the parameters are malformed, or hold what their format does not know.
    COLDSHOE_REASON_MALFORMED = 4,
    /// Held or skipped: the worker has failed; see coldshoe_session_fault().
    COLDSHOE_REASON_FAULT = 5,
    /// Held: there is no such frame in flight. It was waited for already, given up by stopping or
    /// because its slot was needed after its deadline, or the ticket is none of this session.
    COLDSHOE_REASON_NOT_IN_FLIGHT = 6,
    /// Skipped: as many frames are in flight as there are slots.
    COLDSHOE_REASON_FULL = 7,
    /// None of these.
    COLDSHOE_REASON_OTHER = 8,
}

/// Bits of coldshoe_wanted.set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_actuator {
    /// exposure_us
    COLDSHOE_WANTED_EXPOSURE = 1 << 0,
    /// analogue_gain
    COLDSHOE_WANTED_ANALOGUE_GAIN = 1 << 1,
    /// digital_gain
    COLDSHOE_WANTED_DIGITAL_GAIN = 1 << 2,
    /// lens_position
    COLDSHOE_WANTED_LENS_POSITION = 1 << 3,
    /// frame_duration_us
    COLDSHOE_WANTED_FRAME_DURATION = 1 << 4,
}

/// Sensor and lens requests of a module: finite numbers, 0 or more, and otherwise the module's own.
/// The pipeline clamps them to what the sensor can do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_wanted {
    /// Which fields count: bits of enum coldshoe_actuator.
    pub set: u32,
    /// 0
    pub reserved: u32,
    /// Exposure time in microseconds.
    pub exposure_us: f64,
    /// Linear factor.
    pub analogue_gain: f64,
    /// Linear factor.
    pub digital_gain: f64,
    /// Dioptres.
    pub lens_position: f64,
    /// Microseconds; blanking follows from it.
    pub frame_duration_us: f64,
}

/// How far an algorithm has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_algorithm_state {
    /// The module does not say.
    COLDSHOE_STATE_UNKNOWN = 0,
    /// On its way.
    COLDSHOE_STATE_SEARCHING = 1,
    /// There.
    COLDSHOE_STATE_CONVERGED = 2,
    /// Held by the application.
    COLDSHOE_STATE_LOCKED = 3,
    /// It cannot get there.
    COLDSHOE_STATE_FAILED = 4,
}

/// Bits of coldshoe_metadata.set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_finding {
    /// luminance
    COLDSHOE_METADATA_LUMINANCE = 1 << 0,
    /// colour_temperature
    COLDSHOE_METADATA_COLOUR_TEMPERATURE = 1 << 1,
    /// colour_gain_red and colour_gain_blue
    COLDSHOE_METADATA_COLOUR_GAINS = 1 << 2,
    /// lux
    COLDSHOE_METADATA_LUX = 1 << 3,
}

/// What a module says it found out about a frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_metadata {
    /// Which of the numbers count: bits of enum coldshoe_finding.
    pub set: u32,
    /// Exposure: one of enum coldshoe_algorithm_state.
    pub ae_state: u32,
    /// White balance: one of enum coldshoe_algorithm_state.
    pub awb_state: u32,
    /// Focus: one of enum coldshoe_algorithm_state.
    pub af_state: u32,
    /// Mean, fraction of full scale, linear.
    pub luminance: f64,
    /// Kelvin.
    pub colour_temperature: f64,
    /// Linear factor; green is 1.
    pub colour_gain_red: f64,
    /// Linear factor; green is 1.
    pub colour_gain_blue: f64,
    /// Lux.
    pub lux: f64,
}

/// What became of a frame, and the answer to go on with. Filled by coldshoe_session_wait() and
/// coldshoe_session_try_wait().
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_outcome {
    /// sizeof(struct coldshoe_outcome)
    pub struct_size: usize,
    /// One of enum coldshoe_outcome_kind.
    pub kind: u32,
    /// One of enum coldshoe_reason.
    pub reason: u32,
    /// 1: what follows is an answer, of this frame or an earlier one; 0: there has been none yet, and
    /// what follows is zero.
    pub has_answer: u32,
    /// 0
    pub reserved: u32,
    /// Number of the frame that it answers.
    pub frame: u64,
    /// Parameters: blocks of the session's format, whose framing is checked. They stay what they are
    /// until the next call on the session. NULL until the module has sent the first ones.
    pub params: *const u8,
    /// Bytes of parameters.
    pub params_size: usize,
    /// Sensor and lens requests.
    pub wanted: coldshoe_wanted,
    /// What the module says it found out.
    pub metadata: coldshoe_metadata,
}

// SAFETY: the first field is its size, the four-byte ones are paired, and any bytes are a number or
// a pointer.
unsafe impl Record for coldshoe_outcome {}

/// A reason in words: static memory, never NULL, whatever the number. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn coldshoe_reason_text(reason: u32) -> *const c_char {
    use coldshoe_reason::*;
    const TEXTS: [(coldshoe_reason, &std::ffi::CStr); 8] = [
        (COLDSHOE_REASON_NONE, c"it has an answer"),
        (COLDSHOE_REASON_DEADLINE, c"the deadline has passed"),
        (
            COLDSHOE_REASON_MODULE_ERROR,
            c"the module answered an error",
        ),
        (
            COLDSHOE_REASON_PROTOCOL,
            c"the worker broke the frame protocol",
        ),
        (COLDSHOE_REASON_MALFORMED, c"the parameters are malformed"),
        (COLDSHOE_REASON_FAULT, c"the worker has failed"),
        (COLDSHOE_REASON_NOT_IN_FLIGHT, c"the frame is not in flight"),
        (COLDSHOE_REASON_FULL, c"all slots are in flight"),
    ];
    let known = TEXTS.iter().find(|(known, _)| *known as u32 == reason);
    known
        .map_or(c"for another reason", |(_, text)| text)
        .as_ptr()
}

impl From<Outcome<'_>> for coldshoe_outcome {
    fn from(outcome: Outcome<'_>) -> Self {
        use coldshoe_outcome_kind::*;
        let (kind, reason) = match outcome {
            Outcome::Fresh(_) => (
                COLDSHOE_OUTCOME_FRESH,
                coldshoe_reason::COLDSHOE_REASON_NONE,
            ),
            Outcome::Late(_) => (COLDSHOE_OUTCOME_LATE, coldshoe_reason::COLDSHOE_REASON_NONE),
            Outcome::Held { why, .. } => (COLDSHOE_OUTCOME_HELD, held(why)),
            Outcome::Skipped { why, .. } => (COLDSHOE_OUTCOME_SKIPPED, skipped(why)),
        };
        Self::new(kind, reason, outcome.answer())
    }
}

impl coldshoe_outcome {
    fn new(
        kind: coldshoe_outcome_kind,
        reason: coldshoe_reason,
        answer: Option<Answer<'_>>,
    ) -> Self {
        let params = answer.map_or(&[][..], |answer| answer.params);
        Self {
            struct_size: size_of::<Self>(),
            kind: kind as u32,
            reason: reason as u32,
            has_answer: answer.is_some().into(),
            reserved: 0,
            frame: answer.map_or(0, |answer| answer.frame),
            params: match params {
                [] => ptr::null(),
                params => params.as_ptr(),
            },
            params_size: params.len(),
            wanted: answer
                .map(|answer| answer.wanted)
                .unwrap_or_default()
                .into(),
            metadata: answer
                .map(|answer| answer.metadata)
                .unwrap_or_default()
                .into(),
        }
    }

    /// That of a ticket that the session does not know.
    pub(crate) fn not_in_flight(last: Option<Answer<'_>>) -> Self {
        Outcome::Held {
            why: WhyHeld::NotInFlight,
            last,
        }
        .into()
    }
}

fn held(why: WhyHeld) -> coldshoe_reason {
    use coldshoe_reason::*;
    match why {
        WhyHeld::Deadline => COLDSHOE_REASON_DEADLINE,
        WhyHeld::ModuleError => COLDSHOE_REASON_MODULE_ERROR,
        WhyHeld::Protocol => COLDSHOE_REASON_PROTOCOL,
        WhyHeld::Malformed => COLDSHOE_REASON_MALFORMED,
        WhyHeld::Fault => COLDSHOE_REASON_FAULT,
        WhyHeld::NotInFlight => COLDSHOE_REASON_NOT_IN_FLIGHT,
        _ => COLDSHOE_REASON_OTHER,
    }
}

fn skipped(why: WhySkipped) -> coldshoe_reason {
    match why {
        WhySkipped::Full => coldshoe_reason::COLDSHOE_REASON_FULL,
        WhySkipped::Fault => coldshoe_reason::COLDSHOE_REASON_FAULT,
        _ => coldshoe_reason::COLDSHOE_REASON_OTHER,
    }
}

/// The optional numbers that are there, as bits and values.
#[derive(Default)]
struct Set(u32);

impl Set {
    fn take<T: Default>(&mut self, bit: u32, value: Option<T>) -> T {
        self.0 |= if value.is_some() { bit } else { 0 };
        value.unwrap_or_default()
    }
}

impl From<Wanted> for coldshoe_wanted {
    fn from(wanted: Wanted) -> Self {
        use coldshoe_actuator::*;
        let mut set = Set::default();
        Self {
            exposure_us: set.take(COLDSHOE_WANTED_EXPOSURE as u32, wanted.exposure_us),
            analogue_gain: set.take(COLDSHOE_WANTED_ANALOGUE_GAIN as u32, wanted.analogue_gain),
            digital_gain: set.take(COLDSHOE_WANTED_DIGITAL_GAIN as u32, wanted.digital_gain),
            lens_position: set.take(COLDSHOE_WANTED_LENS_POSITION as u32, wanted.lens_position),
            frame_duration_us: set.take(
                COLDSHOE_WANTED_FRAME_DURATION as u32,
                wanted.frame_duration_us,
            ),
            set: set.0,
            reserved: 0,
        }
    }
}

impl From<Metadata> for coldshoe_metadata {
    fn from(found: Metadata) -> Self {
        use coldshoe_finding::*;
        let mut set = Set::default();
        let [red, blue] = set.take(COLDSHOE_METADATA_COLOUR_GAINS as u32, found.colour_gains);
        Self {
            ae_state: state(found.ae_state),
            awb_state: state(found.awb_state),
            af_state: state(found.af_state),
            luminance: set.take(COLDSHOE_METADATA_LUMINANCE as u32, found.luminance),
            colour_temperature: set.take(
                COLDSHOE_METADATA_COLOUR_TEMPERATURE as u32,
                found.colour_temperature,
            ),
            colour_gain_red: red,
            colour_gain_blue: blue,
            lux: set.take(COLDSHOE_METADATA_LUX as u32, found.lux),
            set: set.0,
        }
    }
}

fn state(state: AlgorithmState) -> u32 {
    use coldshoe_algorithm_state::*;
    let known = match state {
        AlgorithmState::Searching => COLDSHOE_STATE_SEARCHING,
        AlgorithmState::Converged => COLDSHOE_STATE_CONVERGED,
        AlgorithmState::Locked => COLDSHOE_STATE_LOCKED,
        AlgorithmState::Failed => COLDSHOE_STATE_FAILED,
        _ => COLDSHOE_STATE_UNKNOWN,
    };
    known as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_module_wants_is_set() {
        let wanted = Wanted {
            digital_gain: Some(2.0),
            ..Wanted::default()
        };
        let wanted = coldshoe_wanted::from(wanted);
        assert_eq!(wanted.set, 1 << 2);
        assert_eq!((wanted.digital_gain, wanted.exposure_us), (2.0, 0.0));
    }

    #[test]
    fn only_what_a_module_knows_is_set() {
        let found = Metadata {
            af_state: AlgorithmState::Locked,
            colour_gains: Some([1.5, 2.5]),
            ..Metadata::default()
        };
        let found = coldshoe_metadata::from(found);
        assert_eq!((found.set, found.af_state), (1 << 2, 3));
        assert_eq!((found.colour_gain_red, found.colour_gain_blue), (1.5, 2.5));
    }

    #[test]
    fn without_an_answer_there_are_no_parameters() {
        let none = coldshoe_outcome::not_in_flight(None);
        assert_eq!((none.kind, none.reason, none.has_answer), (3, 6, 0));
        assert!(none.params.is_null() && none.params_size == 0);
    }

    #[test]
    fn every_number_is_a_reason_in_words() {
        for reason in [0, 7, 8, 9, u32::MAX] {
            assert!(!coldshoe_reason_text(reason).is_null());
        }
    }
}
