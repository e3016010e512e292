//! `coldshoe_ipa.h`, field by field. A test compiles the header and compares every offset.
//!
//! Units: times in microseconds unless the name says otherwise, gains as linear factors,
//! temperatures in kelvin, fractions of full scale in 0..1.

use core::ffi::{c_char, c_void};

/// The version of this interface. Raised only when an existing field changes meaning or place.
pub const ABI_VERSION: u32 = 1;

/// No state is larger than this many bytes: the capacity that `save_state` gets.
pub const MAX_STATE: usize = 32 << 10;

/// The symbol that a module exports, with its terminating NUL.
pub const ENTRY_SYMBOL: &core::ffi::CStr = c"coldshoe_ipa_module";

/// Signature of the exported symbol.
pub type EntryFn = unsafe extern "C" fn() -> *const Module;

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// A verb is about to fail, and this is why.
    Error = 1,
    /// Something is odd, work goes on.
    Warning = 2,
    /// Worth knowing once.
    Info = 3,
    /// For the module's author.
    Debug = 4,
}

impl LogLevel {
    /// The level that a raw value stands for; anything unknown is the most verbose one.
    pub fn from_raw(level: u32) -> Self {
        match level {
            1 => Self::Error,
            2 => Self::Warning,
            3 => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// What the host offers to a module.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Host {
    /// Size of this structure.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// First argument of every host function.
    pub context: *mut c_void,
    /// Logs one line of NUL-terminated UTF-8.
    pub log: Option<unsafe extern "C" fn(*mut c_void, u32, *const c_char)>,
}

/// Argument of `create`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Init {
    /// Size of this structure.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Valid until `destroy` has returned.
    pub host: *const Host,
    /// Camera name.
    pub camera: *const c_char,
    /// Statistics format of the session.
    pub stats_format: *const c_char,
    /// Parameter format of the session.
    pub params_format: *const c_char,
    /// Bit n: the ISP has block type n.
    pub isp_capabilities: u64,
    /// Content of the tuning file, null if there is none.
    pub tuning: *const u8,
    /// Its length in bytes.
    pub tuning_size: usize,
}

/// Which colour the first pixel of a row pair has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names are the pattern")]
pub enum BayerOrder {
    Rggb = 1,
    Grbg = 2,
    Gbrg = 3,
    Bggr = 4,
}

/// Argument of `configure`: the sensor in the mode that is about to stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Sensor {
    /// Size of this structure.
    pub struct_size: u32,
    /// A [`BayerOrder`].
    pub bayer_order: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bits a pixel.
    pub bit_depth: u32,
    /// Frames until a new exposure is in force.
    pub exposure_delay: u32,
    /// Frames until a new analogue gain is in force.
    pub gain_delay: u32,
    /// A frame is so many lines longer than its exposure, at least.
    pub exposure_margin_lines: u32,
    /// Exposure comes in steps of this many µs.
    pub line_length_us: f64,
    /// µs.
    pub min_exposure_us: f64,
    /// µs.
    pub max_exposure_us: f64,
    /// Linear factor.
    pub min_analogue_gain: f64,
    /// Linear factor.
    pub max_analogue_gain: f64,
    /// Linear factor.
    pub max_digital_gain: f64,
    /// Fraction of full scale.
    pub black_level: f64,
    /// µs.
    pub min_frame_duration_us: f64,
    /// µs.
    pub max_frame_duration_us: f64,
    /// Dioptres.
    pub min_lens_position: f64,
    /// Dioptres; 0: no lens that moves.
    pub max_lens_position: f64,
}

/// What the sensor really applied to the frame that the statistics come from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Applied {
    /// µs.
    pub exposure_us: f64,
    /// Linear factor.
    pub analogue_gain: f64,
    /// Linear factor.
    pub digital_gain: f64,
    /// Fraction of full scale.
    pub black_level: f64,
    /// Dioptres; NaN without a lens actuator.
    pub lens_position: f64,
}

/// What the application asked for with this frame: a field counts only if its bit is in `set`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Controls {
    /// Bits of the fields that are set.
    pub set: u32,
    /// 0 keeps exposure and gains as they are.
    pub ae_enable: u32,
    /// 0 keeps colour gains as they are.
    pub awb_enable: u32,
    /// Zero.
    pub reserved: u32,
    /// EV, −8..8.
    pub exposure_value: f64,
    /// µs, with AE off.
    pub exposure_us: f64,
    /// Linear factor, with AE off.
    pub analogue_gain: f64,
    /// K, with AWB off.
    pub colour_temperature: f64,
    /// Linear factor with AWB off; green is 1.
    pub colour_gain_red: f64,
    /// Linear factor with AWB off; green is 1.
    pub colour_gain_blue: f64,
    /// 1.0 = as tuned.
    pub contrast: f64,
    /// 1.0 = as tuned.
    pub saturation: f64,
    /// 1.0 = as tuned.
    pub sharpness: f64,
    /// −1..1; 0 = as tuned.
    pub brightness: f64,
    /// Dioptres, with manual focus.
    pub lens_position: f64,
    /// 0 centre-weighted, 1 spot, 2 matrix, 3 custom.
    pub ae_metering: u32,
    /// 0 auto, 1 incandescent, 2 tungsten, 3 fluorescent, 4 indoor, 5 daylight, 6 cloudy, 7 custom.
    pub awb_mode: u32,
    /// 0 manual, 1 auto, 2 continuous.
    pub af_mode: u32,
    /// 0 starts a scan, 1 cancels it; with focus that is told when.
    pub af_trigger: u32,
    /// 0 at once, 1 after the scan, 2 goes on; with continuous focus.
    pub af_pause: u32,
    /// Zero.
    pub reserved_2: u32,
}

impl Controls {
    /// Bit of `ae_enable`.
    pub const AE_ENABLE: u32 = 1 << 0;
    /// Bit of `awb_enable`.
    pub const AWB_ENABLE: u32 = 1 << 1;
    /// Bit of `exposure_value`.
    pub const EXPOSURE_VALUE: u32 = 1 << 2;
    /// Bit of `exposure_us`.
    pub const EXPOSURE_TIME: u32 = 1 << 3;
    /// Bit of `analogue_gain`.
    pub const ANALOGUE_GAIN: u32 = 1 << 4;
    /// Bit of `colour_temperature`.
    pub const COLOUR_TEMPERATURE: u32 = 1 << 5;
    /// Bit of both colour gains.
    pub const COLOUR_GAINS: u32 = 1 << 6;
    /// Bit of `contrast`.
    pub const CONTRAST: u32 = 1 << 7;
    /// Bit of `saturation`.
    pub const SATURATION: u32 = 1 << 8;
    /// Bit of `sharpness`.
    pub const SHARPNESS: u32 = 1 << 9;
    /// Bit of `brightness`.
    pub const BRIGHTNESS: u32 = 1 << 10;
    /// Bit of `lens_position`.
    pub const LENS_POSITION: u32 = 1 << 11;
    /// Bit of `ae_metering`.
    pub const AE_METERING: u32 = 1 << 12;
    /// Bit of `awb_mode`.
    pub const AWB_MODE: u32 = 1 << 13;
    /// Bit of `af_mode`.
    pub const AF_MODE: u32 = 1 << 14;
    /// Bit of `af_trigger`.
    pub const AF_TRIGGER: u32 = 1 << 15;
    /// Bit of `af_pause`.
    pub const AF_PAUSE: u32 = 1 << 16;

    /// `value` if `bit` is set.
    pub fn get<T>(&self, bit: u32, value: T) -> Option<T> {
        (self.set & bit != 0).then_some(value)
    }
}

/// Argument of `process`, read by the module.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FrameIn {
    /// Size of this structure.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// The pipeline's frame number.
    pub frame: u64,
    /// CLOCK_MONOTONIC.
    pub sensor_timestamp_ns: u64,
    /// CLOCK_MONOTONIC; an answer past it is not used.
    pub deadline_ns: u64,
    /// What was in force for the frame.
    pub applied: Applied,
    /// What the application asked for.
    pub controls: Controls,
    /// Null before the first frame.
    pub stats: *const u8,
    /// Bytes.
    pub stats_size: usize,
}

/// Bits of [`Wanted::set`].
pub struct Actuators;

impl Actuators {
    /// `exposure_us` is set.
    pub const EXPOSURE: u32 = 1 << 0;
    /// `analogue_gain` is set.
    pub const ANALOGUE_GAIN: u32 = 1 << 1;
    /// `digital_gain` is set.
    pub const DIGITAL_GAIN: u32 = 1 << 2;
    /// `lens_position` is set.
    pub const LENS_POSITION: u32 = 1 << 3;
    /// `frame_duration_us` is set.
    pub const FRAME_DURATION: u32 = 1 << 4;
}

/// Sensor and lens requests: a field counts only if its bit is in `set`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Wanted {
    /// [`Actuators`] bits.
    pub set: u32,
    /// Zero.
    pub reserved: u32,
    /// µs.
    pub exposure_us: f64,
    /// Linear factor.
    pub analogue_gain: f64,
    /// Linear factor.
    pub digital_gain: f64,
    /// Dioptres.
    pub lens_position: f64,
    /// µs; blanking follows from it.
    pub frame_duration_us: f64,
}

/// How far an algorithm has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum AlgorithmState {
    /// The module does not say.
    #[default]
    Unknown = 0,
    /// On its way.
    Searching = 1,
    /// There.
    Converged = 2,
    /// Held by the application.
    Locked = 3,
    /// It cannot get there.
    Failed = 4,
}

impl AlgorithmState {
    /// The state that a raw value stands for; anything else is unknown.
    pub fn from_raw(state: u32) -> Self {
        match state {
            1 => Self::Searching,
            2 => Self::Converged,
            3 => Self::Locked,
            4 => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// What the module found out about the frame; 0 where it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Metadata {
    /// An [`AlgorithmState`].
    pub ae_state: u32,
    /// An [`AlgorithmState`].
    pub awb_state: u32,
    /// An [`AlgorithmState`].
    pub af_state: u32,
    /// Zero.
    pub reserved: u32,
    /// Mean, fraction of full scale, linear.
    pub luminance: f64,
    /// K.
    pub colour_temperature: f64,
    /// Linear factor; green is 1.
    pub colour_gain_red: f64,
    /// Linear factor; green is 1.
    pub colour_gain_blue: f64,
    /// Lux; 0 = unknown.
    pub lux: f64,
}

/// Argument of `process`, filled in by the module.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FrameOut {
    /// Size of this structure.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Where the parameter buffer goes, 8-aligned.
    pub params: *mut u8,
    /// Its capacity in bytes.
    pub params_capacity: usize,
    /// Bytes written; 0 keeps the last parameters.
    pub params_size: usize,
    /// Sensor and lens requests.
    pub wanted: Wanted,
    /// What the module found out.
    pub metadata: Metadata,
}

/// A pair of formats; both null ends a list.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Format {
    /// For example `coldshoe-stats-1`.
    pub stats: *const c_char,
    /// For example `coldshoe-soft`.
    pub params: *const c_char,
    /// Bit n: the module sends block type n.
    pub blocks: u64,
}

// SAFETY: the pointers of a format list lead to constant strings of the module's image.
unsafe impl Sync for Format {}

/// Bit of [`Module::flags`]: the module starts threads.
pub const FLAG_THREADS: u64 = 1 << 0;

/// What a module is.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Module {
    /// Size of this structure.
    pub struct_size: u32,
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// Name.
    pub name: *const c_char,
    /// Version.
    pub version: *const c_char,
    /// SPDX expression, or `proprietary`.
    pub license: *const c_char,
    /// [`FLAG_THREADS`].
    pub flags: u64,
    /// Ends with a pair of nulls.
    pub formats: *const Format,
    /// Makes an instance.
    pub create: Option<unsafe extern "C" fn(*const Init, *mut *mut c_void) -> i32>,
    /// Takes the sensor's mode.
    pub configure: Option<unsafe extern "C" fn(*mut c_void, *const Sensor) -> i32>,
    /// The stream is about to start.
    pub start: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
    /// One frame.
    pub process: Option<unsafe extern "C" fn(*mut c_void, *const FrameIn, *mut FrameOut) -> i32>,
    /// The stream has stopped.
    pub stop: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
    /// Ends an instance.
    pub destroy: Option<unsafe extern "C" fn(*mut c_void)>,
    /// Writes opaque state, between frames or after `stop`; optional.
    pub save_state: Option<unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> i64>,
    /// Takes it back, after `configure` and before `start`; optional.
    pub restore_state: Option<unsafe extern "C" fn(*mut c_void, *const u8, usize) -> i32>,
}

// SAFETY: the table and what it points to are constants of the module's image.
unsafe impl Sync for Module {}
