//! Nothing is opened any more once the relay is set up.

use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr};

use crate::error::Error;

/// Gives up every file, and new privileges. Kernels without Landlock go without: what comes from the
/// worker is never run here.
pub(crate) fn seal() -> Result<(), Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Seal(error.to_string());
    rustix::thread::set_no_new_privs(true).map_err(|error| failed(&error))?;
    Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.no_new_privs(true).restrict_self())
        .map(drop)
        .map_err(|error| failed(&error))
}
