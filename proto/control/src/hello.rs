//! Version and features: what both sides can do.

use crate::check::{self, Check};
use crate::client::{ErrorCode, Hello};
use crate::trouble::Trouble;

/// Version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;
/// Most features in a [`Hello`].
pub const MAX_FEATURES: usize = 32;
/// Longest name of a feature, in bytes.
const MAX_FEATURE: usize = 64;

impl Hello {
    /// What this side can do: [`VERSION`] and `features`; `software` is its name
    /// and version, for logs.
    #[must_use]
    pub fn offer(features: &[&str], software: &str) -> Self {
        Self {
            version: VERSION,
            features: features.iter().map(|&feature| feature.into()).collect(),
            software: software.into(),
        }
    }

    /// The daemon's answer to a client's offer: the version that both will use
    /// and the features that both have.
    ///
    /// # Errors
    /// [`Trouble`] to send back if there is no common version.
    pub fn answer(&self, features: &[&str], software: &str) -> Result<Self, Trouble> {
        if self.version < VERSION {
            return Err(Trouble::new(
                ErrorCode::Version,
                "no common version of the control protocol",
                format!("the client speaks {}, the daemon {VERSION}", self.version),
                "install client library and daemon of the same release",
            ));
        }
        let common = |feature: &&str| self.features.iter().any(|offered| offered == feature);
        let features: Vec<&str> = features.iter().copied().filter(common).collect();
        Ok(Self::offer(&features, software))
    }

    pub(crate) fn validate(&self) -> Check {
        check::not_zero("version", self.version)?;
        check::at_most("features", &self.features, MAX_FEATURES)?;
        for feature in &self.features {
            check::not_empty("features", feature)?;
            check::line("features", feature, MAX_FEATURE)?;
        }
        check::label("software", &self.software)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_common_features_in_the_daemons_version() {
        let mut offer = Hello::offer(&["a", "b"], "client 9");
        offer.version = VERSION + 3;
        let answer = offer.answer(&["b", "c"], "daemon 1").unwrap();
        assert_eq!(answer.version, VERSION);
        assert_eq!(answer.features, ["b"]);
        assert_eq!(answer.software, "daemon 1");
    }

    #[test]
    fn an_older_client_is_told_which_versions_meet() {
        let mut offer = Hello::offer(&[], "client 0");
        offer.version = 0;
        let trouble = offer.answer(&[], "daemon 1").unwrap_err();
        assert_eq!(trouble.code, ErrorCode::Version);
        assert_eq!(trouble.why, "the client speaks 0, the daemon 1");
    }

    #[test]
    fn features_are_few_and_short() {
        let hello = |features: Vec<String>| Hello {
            version: VERSION,
            features,
            software: String::new(),
        };
        let refused = |features| hello(features).validate().is_err();
        assert!(!refused(vec!["x".repeat(MAX_FEATURE); MAX_FEATURES]));
        assert!(refused(vec!["x".into(); MAX_FEATURES + 1]));
        assert!(refused(vec!["x".repeat(MAX_FEATURE + 1)]));
        assert!(refused(vec![String::new()]));
    }
}
