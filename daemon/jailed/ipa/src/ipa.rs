//! The safe face of the interface: what a Rust module implements.

use std::ffi::CString;
use std::fmt;

use crate::abi::{self, Applied, Controls, LogLevel, Metadata, Sensor, Wanted};

/// What a module says of itself. The strings end up in C: they must hold no NUL.
#[derive(Clone, Copy, Debug)]
pub struct ModuleInfo {
    /// Name.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
    /// SPDX expression, or `proprietary`.
    pub license: &'static str,
    /// What the module works with.
    pub formats: &'static [Formats],
    /// What the module needs of its jail.
    pub flags: ModuleFlags,
}

/// A pair of formats that a module works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Of the statistics.
    pub stats: &'static str,
    /// Of the parameters.
    pub params: &'static str,
    /// Bit n: the module sends block type n. One with a type that the format's contract does not
    /// document is refused when it is loaded.
    pub blocks: u64,
}

/// What a module needs of its jail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleFlags {
    /// It starts threads.
    pub threads: bool,
}

/// Why a verb failed; shown to the user as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpaError(String);

impl IpaError {
    /// An error with a reason that a user can act on.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl fmt::Display for IpaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IpaError {}

/// The host, as a module sees it.
#[derive(Clone, Copy, Debug)]
pub struct Host(*const abi::Host);

impl Host {
    /// # Safety
    /// `raw` points to a host table that outlives the returned value.
    pub(crate) unsafe fn from_raw(raw: *const abi::Host) -> Self {
        Self(raw)
    }

    /// Logs one line.
    pub fn log(&self, level: LogLevel, message: impl fmt::Display) {
        let text = message.to_string().replace(['\0', '\n'], " ");
        let Ok(text) = CString::new(text) else { return };
        // SAFETY: `from_raw` promised a live host table; the string is NUL-terminated.
        unsafe {
            if let Some(host) = self.0.as_ref()
                && let Some(log) = host.log
            {
                log(host.context, level as u32, text.as_ptr());
            }
        }
    }
}

/// What an instance is made from.
#[derive(Clone, Copy, Debug)]
pub struct Init<'a> {
    /// The host; may be kept.
    pub host: Host,
    /// Camera name.
    pub camera: &'a str,
    /// Statistics format of the session.
    pub stats_format: &'a str,
    /// Parameter format of the session.
    pub params_format: &'a str,
    /// Bit n: the ISP has block type n.
    pub isp_capabilities: u64,
    /// Content of the tuning file.
    pub tuning: Option<&'a [u8]>,
}

/// One frame to work on.
#[derive(Clone, Copy, Debug)]
pub struct FrameIn<'a> {
    /// The pipeline's frame number.
    pub frame: u64,
    /// CLOCK_MONOTONIC.
    pub sensor_timestamp_ns: u64,
    /// CLOCK_MONOTONIC; an answer past it is not used.
    pub deadline_ns: u64,
    /// What was in force for the frame that the statistics come from.
    pub applied: Applied,
    /// What the application asked for.
    pub controls: Controls,
    /// `None` before the first frame: prepare parameters without measuring.
    pub stats: Option<&'a [u8]>,
}

/// What a frame is answered with, beside the parameter buffer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    /// Bytes written to the parameter buffer; 0 keeps the last parameters.
    pub params_size: usize,
    /// Sensor and lens requests.
    pub wanted: Wanted,
    /// What was found out about the frame.
    pub metadata: Metadata,
}

/// A camera algorithm module. One value is one camera's instance; its verbs are called one at a
/// time, on one thread.
pub trait Ipa: Sized + 'static {
    /// What the module says of itself.
    const INFO: ModuleInfo;

    /// Makes an instance.
    fn create(init: &Init<'_>) -> Result<Self, IpaError>;

    /// Takes the sensor's mode; never called between [`start`](Self::start) and
    /// [`stop`](Self::stop).
    fn configure(&mut self, sensor: &Sensor) -> Result<(), IpaError>;

    /// The stream is about to start.
    fn start(&mut self) -> Result<(), IpaError> {
        Ok(())
    }

    /// Works on one frame and writes at most `params.len()` bytes of parameters.
    fn process(&mut self, frame: &FrameIn<'_>, params: &mut [u8]) -> Result<Answer, IpaError>;

    /// The stream has stopped.
    fn stop(&mut self) -> Result<(), IpaError> {
        Ok(())
    }

    /// Writes opaque state into `state`, which has room for [`MAX_STATE`](abi::MAX_STATE) bytes, and
    /// returns its size; `None` if there is none to save.
    ///
    /// Called after [`configure`](Self::configure): between two frames, every so many of them, and after
    /// [`stop`](Self::stop). It takes its time from the next frame, and nothing the module does may
    /// depend on whether it was asked: hence `&self`.
    fn save_state(&self, state: &mut [u8]) -> Result<Option<usize>, IpaError> {
        let _ = state;
        Ok(None)
    }

    /// Takes back what [`save_state`](Self::save_state) of another instance wrote: after
    /// [`configure`](Self::configure) and before [`start`](Self::start), at most once.
    ///
    /// The state may be some frames old, of another sensor mode, or not what was saved at all.
    /// What the application asked for is part of it: it does not ask again.
    ///
    /// # Errors
    /// State that is refused. The instance is as it was, and is started without it.
    fn restore_state(&mut self, state: &[u8]) -> Result<(), IpaError> {
        let _ = state;
        Ok(())
    }
}
