//! Landlock: which files can be opened at all.

use super::{ConfineError, Fenced, Renounced};
use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::io;
use std::path::{Path, PathBuf};

/// The newest ABI the crate knows. Of the rights and scopes it names, the crate asks for those
/// that the running kernel knows too.
const NEWEST: ABI = ABI::V10;

impl Renounced {
    /// Handles, and so refuses, every right and scope; then allows reading `readable`. Loading
    /// code needs no right to execute: that one is about `execve`.
    pub(super) fn fence(self, readable: &[PathBuf]) -> Result<Fenced, ConfineError> {
        let refused = |source: landlock::RulesetError| ConfineError::Landlock(source.to_string());
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))
            .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
            .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
            .and_then(Ruleset::create)
            .map_err(refused)?;
        for path in readable {
            if let Some(fd) = open(path)? {
                ruleset = ruleset
                    .add_rule(PathBeneath::new(fd, AccessFs::ReadFile))
                    .map_err(refused)?;
            }
        }
        let status = ruleset.restrict_self().map_err(refused)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            return Err(ConfineError::NoLandlock);
        }
        Ok(Fenced(()))
    }
}

fn open(path: &Path) -> Result<Option<PathFd>, ConfineError> {
    match PathFd::new(path) {
        Ok(fd) => Ok(Some(fd)),
        Err(PathFdError::OpenCall { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(ConfineError::Readable {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}
