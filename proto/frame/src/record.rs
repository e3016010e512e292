//! What travels beside statistics and parameters: fixed little-endian records.
//!
//! Decoding is total: any bytes give a value. A number that is not finite, or negative where that
//! means nothing, comes out as absent; for requests to the actuators it is counted as refused.
//!
//! Units: times in microseconds unless the name says otherwise, gains as linear factors,
//! temperatures in kelvin, fractions of full scale in 0..1.

/// What the sensor really applied to the frame that the statistics come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied {
    /// µs.
    pub exposure_us: f64,
    /// Linear factor.
    pub analogue_gain: f64,
    /// Linear factor.
    pub digital_gain: f64,
    /// Fraction of full scale.
    pub black_level: f64,
    /// Dioptres; none without a lens actuator.
    pub lens_position: Option<f64>,
}

/// What the application asks for with a frame. `None` leaves a control as it was tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Controls {
    /// `false` keeps exposure and gains as they are.
    pub ae_enable: Option<bool>,
    /// `false` keeps colour gains as they are.
    pub awb_enable: Option<bool>,
    /// EV, −8..8.
    pub exposure_value: Option<f64>,
    /// µs, with AE off.
    pub exposure_us: Option<f64>,
    /// Linear factor, with AE off.
    pub analogue_gain: Option<f64>,
    /// K, with AWB off.
    pub colour_temperature: Option<f64>,
    /// Linear factors of red and blue with AWB off; green is 1.
    pub colour_gains: Option<[f64; 2]>,
    /// 1.0 = as tuned.
    pub contrast: Option<f64>,
    /// 1.0 = as tuned.
    pub saturation: Option<f64>,
    /// 1.0 = as tuned.
    pub sharpness: Option<f64>,
    /// −1..1; 0 = as tuned.
    pub brightness: Option<f64>,
    /// Dioptres, with manual focus.
    pub lens_position: Option<f64>,
    /// Where light is metered, by the numbers of libcamera's AeMeteringMode.
    pub ae_metering: Option<u32>,
    /// What light to expect, by the numbers of libcamera's AwbMode.
    pub awb_mode: Option<u32>,
    /// Who moves the lens, by the numbers of libcamera's AfMode.
    pub af_mode: Option<u32>,
    /// A scan of the lens, by the numbers of libcamera's AfTrigger.
    pub af_trigger: Option<u32>,
    /// Whether focus is kept as it is, by the numbers of libcamera's AfPause.
    pub af_pause: Option<u32>,
}

/// What goes to the module beside the statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameContext {
    /// In force for the frame.
    pub applied: Applied,
    /// Asked for with the frame.
    pub controls: Controls,
}

/// Sensor and lens requests of a module. `None`: no request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wanted {
    /// µs.
    pub exposure_us: Option<f64>,
    /// Linear factor.
    pub analogue_gain: Option<f64>,
    /// Linear factor.
    pub digital_gain: Option<f64>,
    /// Dioptres.
    pub lens_position: Option<f64>,
    /// µs; blanking follows from it.
    pub frame_duration_us: Option<f64>,
}

/// Number of requests in a reply that were not numbers an actuator can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused(pub u32);

/// How far an algorithm has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlgorithmState {
    /// The module does not say.
    #[default]
    Unknown,
    /// On its way.
    Searching,
    /// There.
    Converged,
    /// Held by the application.
    Locked,
    /// It cannot get there.
    Failed,
}

impl AlgorithmState {
    /// The state that a raw value stands for; anything else is unknown.
    pub fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Searching,
            2 => Self::Converged,
            3 => Self::Locked,
            4 => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// What a module says it found out about a frame. `None` where it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Exposure.
    pub ae_state: AlgorithmState,
    /// White balance.
    pub awb_state: AlgorithmState,
    /// Focus.
    pub af_state: AlgorithmState,
    /// Mean, fraction of full scale, linear.
    pub luminance: Option<f64>,
    /// K.
    pub colour_temperature: Option<f64>,
    /// Linear factors of red and blue; green is 1.
    pub colour_gains: Option<[f64; 2]>,
    /// Lux.
    pub lux: Option<f64>,
}

/// What comes from the module beside the parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameReply {
    /// Requests.
    pub wanted: Wanted,
    /// Findings.
    pub metadata: Metadata,
}

impl FrameContext {
    /// Size in the segment, in bytes.
    pub(crate) const SIZE: usize = 256;

    pub(crate) fn encode(&self) -> [u8; Self::SIZE] {
        let Self {
            applied: a,
            controls: c,
        } = self;
        let mut out = Fields::new();
        out.numbers([
            a.exposure_us,
            a.analogue_gain,
            a.digital_gain,
            a.black_level,
        ]);
        out.option(a.lens_position);
        out.option(c.ae_enable.map(f64::from));
        out.option(c.awb_enable.map(f64::from));
        for value in [
            c.exposure_value,
            c.exposure_us,
            c.analogue_gain,
            c.colour_temperature,
            c.colour_gains.map(|g| g[0]),
            c.colour_gains.map(|g| g[1]),
            c.contrast,
            c.saturation,
            c.sharpness,
            c.brightness,
            c.lens_position,
        ] {
            out.option(value);
        }
        for mode in [
            c.ae_metering,
            c.awb_mode,
            c.af_mode,
            c.af_trigger,
            c.af_pause,
        ] {
            out.option(mode.map(f64::from));
        }
        out.bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::SIZE]) -> Self {
        let mut at = Cursor(bytes);
        let applied = Applied {
            exposure_us: at.positive().unwrap_or(0.0),
            analogue_gain: at.positive().unwrap_or(1.0),
            digital_gain: at.positive().unwrap_or(1.0),
            black_level: at.positive().unwrap_or(0.0),
            lens_position: at.number(),
        };
        let controls = Controls {
            ae_enable: at.number().map(|v| v != 0.0),
            awb_enable: at.number().map(|v| v != 0.0),
            exposure_value: at.number(),
            exposure_us: at.positive(),
            analogue_gain: at.positive(),
            colour_temperature: at.positive(),
            colour_gains: at.pair(),
            contrast: at.positive(),
            saturation: at.positive(),
            sharpness: at.positive(),
            brightness: at.number(),
            lens_position: at.positive(),
            ae_metering: at.mode(),
            awb_mode: at.mode(),
            af_mode: at.mode(),
            af_trigger: at.mode(),
            af_pause: at.mode(),
        };
        Self { applied, controls }
    }
}

impl FrameReply {
    /// Size in the segment, in bytes.
    pub(crate) const SIZE: usize = 128;

    /// The record as the segment holds it. Raw numbers: what a module answered is judged by the
    /// side that decodes.
    pub(crate) fn encode(&self) -> [u8; Self::SIZE] {
        let Self {
            wanted: w,
            metadata: m,
        } = self;
        let mut out = Fields::new();
        for value in [
            w.exposure_us,
            w.analogue_gain,
            w.digital_gain,
            w.lens_position,
            w.frame_duration_us,
        ] {
            out.option(value);
        }
        out.numbers([m.ae_state as u8, m.awb_state as u8, m.af_state as u8].map(f64::from));
        for value in [
            m.luminance,
            m.colour_temperature,
            m.colour_gains.map(|g| g[0]),
            m.colour_gains.map(|g| g[1]),
            m.lux,
        ] {
            out.option(value);
        }
        out.bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::SIZE]) -> (Self, Refused) {
        let mut at = Cursor(bytes);
        let mut refused = Refused::default();
        let wanted = Wanted {
            exposure_us: at.request(&mut refused),
            analogue_gain: at.request(&mut refused),
            digital_gain: at.request(&mut refused),
            lens_position: at.request(&mut refused),
            frame_duration_us: at.request(&mut refused),
        };
        let mut state = || AlgorithmState::from_raw(at.positive().unwrap_or(0.0) as u32);
        let (ae_state, awb_state, af_state) = (state(), state(), state());
        let metadata = Metadata {
            ae_state,
            awb_state,
            af_state,
            luminance: at.positive(),
            colour_temperature: at.positive(),
            colour_gains: at.pair(),
            lux: at.positive(),
        };
        (Self { wanted, metadata }, refused)
    }
}

/// The bit pattern of an absent number: a NaN that no arithmetic produces, so that a module's own
/// NaN still counts as a refused request.
const ABSENT: u64 = 0x7ff8_0000_0000_c01d;

struct Fields<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Fields<N> {
    fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    fn bits(&mut self, bits: u64) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&bits.to_le_bytes());
        self.at += 8;
    }

    fn numbers<const M: usize>(&mut self, values: [f64; M]) {
        for value in values {
            self.bits(value.to_bits());
        }
    }

    fn option(&mut self, value: Option<f64>) {
        self.bits(value.map_or(ABSENT, f64::to_bits));
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn bits(&mut self) -> u64 {
        match self.0.split_first_chunk() {
            Some((bits, rest)) => {
                self.0 = rest;
                u64::from_le_bytes(*bits)
            }
            None => ABSENT,
        }
    }

    fn number(&mut self) -> Option<f64> {
        Some(f64::from_bits(self.bits())).filter(|value| value.is_finite())
    }

    fn positive(&mut self) -> Option<f64> {
        self.number().filter(|value| *value >= 0.0)
    }

    fn mode(&mut self) -> Option<u32> {
        self.positive().map(|mode| mode as u32)
    }

    fn pair(&mut self) -> Option<[f64; 2]> {
        let (first, second) = (self.positive(), self.positive());
        Some([first?, second?])
    }

    fn request(&mut self, refused: &mut Refused) -> Option<f64> {
        let bits = self.bits();
        let value = Some(f64::from_bits(bits)).filter(|v| v.is_finite() && *v >= 0.0);
        refused.0 += u32::from(value.is_none() && bits != ABSENT);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    fn size() -> impl Strategy<Value = f64> {
        0.0..1e6
    }

    prop_compose! {
        fn controls()(
            ae in any::<Option<bool>>(), awb in any::<Option<bool>>(),
            ev in option::of(-8.0..8.0), exposure in option::of(size()),
            gain in option::of(size()), kelvin in option::of(size()),
            gains in option::of([size(), size()]), contrast in option::of(size()),
            saturation in option::of(size()), looks in (option::of(size()), option::of(-1.0..1.0)),
            lens in option::of(size()), modes in any::<[Option<u32>; 5]>(),
        ) -> Controls {
            Controls {
                ae_enable: ae, awb_enable: awb, exposure_value: ev, exposure_us: exposure,
                analogue_gain: gain, colour_temperature: kelvin, colour_gains: gains,
                contrast, saturation, sharpness: looks.0, brightness: looks.1,
                lens_position: lens, ae_metering: modes[0], awb_mode: modes[1],
                af_mode: modes[2], af_trigger: modes[3], af_pause: modes[4],
            }
        }
    }

    proptest! {
        #![proptest_config(crate::cases())]

        #[test]
        fn context_round_trips(
            numbers in [size(), size(), size(), size()],
            lens in option::of(-10.0..10.0), controls in controls(),
        ) {
            let [exposure_us, analogue_gain, digital_gain, black_level] = numbers;
            let context = FrameContext {
                applied: Applied {
                    exposure_us, analogue_gain, digital_gain, black_level, lens_position: lens,
                },
                controls,
            };
            prop_assert_eq!(FrameContext::decode(&context.encode()), context);
        }

        #[test]
        fn reply_round_trips(
            wanted in proptest::array::uniform5(option::of(size())),
            states in [0u32..5, 0u32..5, 0u32..5],
            found in (option::of(size()), option::of(size()), option::of([size(), size()])),
        ) {
            let [exposure_us, analogue_gain, digital_gain, lens_position, frame_duration_us] =
                wanted;
            let [ae_state, awb_state, af_state] = states.map(AlgorithmState::from_raw);
            let reply = FrameReply {
                wanted: Wanted {
                    exposure_us, analogue_gain, digital_gain, lens_position, frame_duration_us,
                },
                metadata: Metadata {
                    ae_state, awb_state, af_state, luminance: found.0,
                    colour_temperature: found.1, colour_gains: found.2, lux: found.0,
                },
            };
            prop_assert_eq!(FrameReply::decode(&reply.encode()), (reply, Refused(0)));
        }

        #[test]
        fn any_bytes_decode_to_finite_numbers(bytes in proptest::collection::vec(any::<u8>(), 256)) {
            let mut context = [0; 256];
            context.copy_from_slice(&bytes);
            let applied = FrameContext::decode(&context).applied;
            prop_assert!(applied.exposure_us.is_finite() && applied.analogue_gain.is_finite());
            let mut reply = [0; 128];
            reply.copy_from_slice(&bytes[..128]);
            let (reply, _) = FrameReply::decode(&reply);
            let w = reply.wanted;
            for value in [w.exposure_us, w.analogue_gain, w.digital_gain, w.lens_position] {
                prop_assert!(value.is_none_or(|v| v.is_finite() && v >= 0.0));
            }
        }
    }

    #[test]
    fn a_request_that_is_no_number_is_refused_and_counted() {
        for bad in [f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::NAN] {
            let wanted = Wanted {
                exposure_us: Some(bad),
                ..Wanted::default()
            };
            let reply = FrameReply {
                wanted,
                ..FrameReply::default()
            };
            let (decoded, refused) = FrameReply::decode(&reply.encode());
            assert_eq!((decoded.wanted.exposure_us, refused), (None, Refused(1)));
        }
    }
}
