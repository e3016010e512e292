//! How a session does.

use coldshoe::Health;

/// How a session does, as coldshoe_session_health() tells. A newer library may tell more.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_health {
    /// Answers come.
    COLDSHOE_HEALTH_RUNNING = 0,
    /// The last answers were missed: three in a row at least.
    COLDSHOE_HEALTH_DEGRADED = 1,
    /// The worker failed. Another one is on its way; the last parameters hold meanwhile.
    COLDSHOE_HEALTH_REPLACING = 2,
    /// The module failed too often, and nothing stands in for it. The last parameters hold until it
    /// is released, or the session is closed.
    COLDSHOE_HEALTH_QUARANTINED = 3,
}

impl From<Health> for coldshoe_health {
    fn from(health: Health) -> Self {
        match health {
            Health::Degraded => Self::COLDSHOE_HEALTH_DEGRADED,
            Health::Replacing => Self::COLDSHOE_HEALTH_REPLACING,
            Health::Quarantined => Self::COLDSHOE_HEALTH_QUARANTINED,
            _ => Self::COLDSHOE_HEALTH_RUNNING,
        }
    }
}
