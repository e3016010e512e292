//! How fast a contract lets actuators change.

/// Most that may change from one frame to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Exposure time: a factor, up or down.
    pub exposure_factor: f64,
    /// Analogue gain: a factor, up or down.
    pub analogue_gain_factor: f64,
    /// Digital gain: a factor, up or down.
    pub digital_gain_factor: f64,
    /// Frame duration: a factor, up or down.
    pub frame_duration_factor: f64,
    /// Lens position, in dioptres.
    pub lens_dioptres: f64,
}

impl Rates {
    /// As fast as anybody likes.
    pub const UNBOUNDED: Self = Self {
        exposure_factor: f64::INFINITY,
        analogue_gain_factor: f64::INFINITY,
        digital_gain_factor: f64::INFINITY,
        frame_duration_factor: f64::INFINITY,
        lens_dioptres: f64::INFINITY,
    };
}
