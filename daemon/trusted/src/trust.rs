//! Which modules are trusted: what is remembered of them, and the rule.
//!
//! The rule of a user's own daemon, in full (`SPECIFICATION.md` has it for readers):
//!
//! | its digest | directory given by flag | installed, root's hands alone | installed, own hands too |
//! |---|---|---|---|
//! | never seen | trusted, recorded | trusted, recorded | trusted, recorded |
//! | as recorded | trusted | trusted | trusted |
//! | another one | trusted, recorded anew, logged | trusted, recorded anew, logged | **changed: refused** |
//! | revoked | refused | refused | refused |
//!
//! Who names a directory by flag is a developer, or knows what he installs there: he could take the
//! record away as well. What root alone can write was changed by root, that is, by the package
//! manager: it could change the daemon as well. What is left, a prefix in somebody's home, is where
//! a swap can come from anything that runs in the user's name, and there it is refused.
//!
//! A revoked entry counts for its path whatever the bytes there, and for its bytes wherever they
//! are.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::Uid;
use serde::{Deserialize, Serialize};

use crate::identity::Digest;
use crate::place::{Hands, PlaceError};
use crate::trust_file::{TrustFile, TrustFileError};

/// Most entries. A developer's builds in ever new directories make room for each other.
pub(crate) const MAX_RECORDS: usize = 1024;

/// What is known of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trust {
    /// No entry; never in the file.
    #[serde(skip)]
    Unknown,
    /// Its bytes are those that are recorded.
    Trusted,
    /// Its bytes are not those that are recorded.
    Changed,
    /// Somebody decided against it.
    Revoked,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Trusted => "trusted",
            Self::Changed => "changed",
            Self::Revoked => "revoked",
        })
    }
}

/// Why a module's directory is searched at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// It belongs to the installation.
    Installed,
    /// The user named it.
    Flag,
}

/// An entry of the trust file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) path: PathBuf,
    /// What is trusted, or revoked.
    pub(crate) digest: Digest,
    pub(crate) state: Trust,
    pub(crate) origin: Origin,
    /// With `Changed`, what was there instead.
    pub(crate) found: Option<Digest>,
}

/// A module that somebody wants to load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting<'a> {
    pub(crate) path: &'a Path,
    pub(crate) digest: Digest,
    pub(crate) origin: Origin,
    pub(crate) hands: Hands,
}

/// Why a module is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TrustError {
    /// Other bytes than those recorded.
    #[error("{} changed: it has SHA-256 {found}, trusted is {trusted}", path.display())]
    Changed {
        path: PathBuf,
        found: Digest,
        trusted: Digest,
        file: PathBuf,
    },
    /// Decided against.
    #[error("{} is revoked: the entry of {} with SHA-256 {digest} says so", path.display(), entry.display())]
    Revoked {
        path: PathBuf,
        entry: PathBuf,
        digest: Digest,
        file: PathBuf,
    },
    /// No more room.
    #[error("{} has {MAX_RECORDS} entries, no more are taken", .0.display())]
    Full(PathBuf),
    /// A path that a text file cannot hold.
    #[error("the path {:?} is not UTF-8", .0)]
    Name(PathBuf),
    /// The file itself.
    #[error(transparent)]
    File(#[from] TrustFileError),
}

impl TrustError {
    /// What to do about it, on one line.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Changed { path, file, .. } => format!(
                "if the change is yours, give --module-dir {}, or delete the module's entry in {}; \
                 if not, install the module again",
                path.parent().unwrap_or(path).display(),
                file.display()
            ),
            Self::Revoked { file, .. } => {
                format!(
                    "use another module, or delete that entry in {}",
                    file.display()
                )
            }
            Self::Full(file) => format!("delete entries that are not needed in {}", file.display()),
            Self::Name(_) => "move the module to a directory with a plain name".to_owned(),
            Self::File(error) => error.remedy(),
        }
    }
}

/// The memory of what was trusted. Read anew for each module, so that an entry that somebody
/// deleted is gone at once and two daemons of a user agree.
#[derive(Debug)]
pub(crate) struct TrustStore {
    file: TrustFile,
}

impl TrustStore {
    /// The store in the directory `dir`, which is made if need be.
    pub(crate) fn open(dir: &Path, own: Uid) -> Result<Self, PlaceError> {
        let file = TrustFile::open(dir, own)?;
        Ok(Self { file })
    }

    /// Whether the file can be used at all.
    pub(crate) fn check(&self) -> Result<(), TrustError> {
        self.file.read()?;
        Ok(())
    }

    /// Decides, and remembers. An answer is always [`Trust::Trusted`]; whatever is not is an error.
    pub(crate) fn admit(&self, seen: Sighting<'_>) -> Result<Trust, TrustError> {
        if seen.path.to_str().is_none() {
            return Err(TrustError::Name(seen.path.to_owned()));
        }
        // Most modules are as they were: no lock for them, since the file is only ever replaced
        // as a whole.
        let decision = match decide(&self.file.read()?, seen) {
            Decision::Known => Decision::Known,
            Decision::Revoked(record) => Decision::Revoked(record),
            Decision::Changed(_) | Decision::Record(..) => {
                let _lock = self.file.lock()?;
                let records = self.file.read()?;
                let decision = decide(&records, seen);
                self.remember(records, &decision, seen)?;
                decision
            }
        };
        let file = self.file.path().to_owned();
        let path = seen.path.to_owned();
        match decision {
            Decision::Known | Decision::Record(..) => Ok(Trust::Trusted),
            Decision::Changed(trusted) => Err(TrustError::Changed {
                path,
                found: seen.digest,
                trusted,
                file,
            }),
            Decision::Revoked(record) => Err(TrustError::Revoked {
                path,
                entry: record.path,
                digest: record.digest,
                file,
            }),
        }
    }

    /// What is known of a module, without deciding anything.
    pub(crate) fn standing(&self, seen: Sighting<'_>) -> Result<Trust, TrustError> {
        let records = self.file.read()?;
        Ok(match decide(&records, seen) {
            Decision::Known | Decision::Record(Why::Restored | Why::Replaced { .. }) => {
                Trust::Trusted
            }
            Decision::Record(Why::New) => Trust::Unknown,
            Decision::Changed(_) => Trust::Changed,
            Decision::Revoked(_) => Trust::Revoked,
        })
    }

    /// Somebody who may has decided for these bytes.
    pub(crate) fn pin(&self, seen: Sighting<'_>) -> Result<(), TrustError> {
        if seen.path.to_str().is_none() {
            return Err(TrustError::Name(seen.path.to_owned()));
        }
        let _lock = self.file.lock()?;
        let mut records = self.file.read()?;
        records.retain(|record| record.path != seen.path);
        if let Decision::Revoked(record) = decide(&records, seen) {
            return Err(TrustError::Revoked {
                path: seen.path.to_owned(),
                entry: record.path,
                digest: record.digest,
                file: self.file.path().to_owned(),
            });
        }
        let (path, sha256) = (seen.path.display(), seen.digest);
        self.remember(records, &Decision::Record(Why::New), seen)?;
        tracing::warn!(%path, %sha256, "module -> trusted: on request");
        Ok(())
    }

    /// Somebody who may has had a module's entry deleted. None is none the less well.
    pub(crate) fn forget(&self, path: &Path) -> Result<(), TrustError> {
        let _lock = self.file.lock()?;
        let mut records = self.file.read()?;
        let before = records.len();
        records.retain(|record| record.path != path);
        if records.len() != before {
            self.file.write(&records)?;
            tracing::warn!(path = %path.display(), "module -> unknown: forgotten on request");
        }
        Ok(())
    }

    fn remember(
        &self,
        mut records: Vec<Record>,
        decision: &Decision,
        seen: Sighting<'_>,
    ) -> Result<(), TrustError> {
        let before = state_of(&records, seen.path);
        let (state, digest, found) = match decision {
            Decision::Known | Decision::Revoked(_) => return Ok(()),
            Decision::Record(_) => (Trust::Trusted, seen.digest, None),
            Decision::Changed(trusted) => (Trust::Changed, *trusted, Some(seen.digest)),
        };
        let entry = Record {
            path: seen.path.to_owned(),
            digest,
            state,
            origin: seen.origin,
            found,
        };
        match records.iter_mut().find(|record| record.path == seen.path) {
            Some(record) if *record == entry => return Ok(()),
            Some(record) => *record = entry,
            None => {
                if records.len() >= MAX_RECORDS {
                    let oldest = records
                        .iter()
                        .position(|r| r.origin == Origin::Flag && r.state == Trust::Trusted)
                        .ok_or_else(|| TrustError::Full(self.file.path().to_owned()))?;
                    records.remove(oldest);
                }
                records.push(entry);
            }
        }
        self.file.write(&records)?;
        tell(before, decision, seen);
        Ok(())
    }
}

fn state_of(records: &[Record], path: &Path) -> Trust {
    let known = records.iter().find(|record| record.path == path);
    known.map_or(Trust::Unknown, |record| record.state)
}

/// What the rule says of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    /// Trusted, as recorded.
    Known,
    /// Trusted from now on.
    Record(Why),
    /// Refused: this is what is trusted.
    Changed(Digest),
    /// Refused by this entry.
    Revoked(Record),
}

/// Why a module is trusted that was not, in these bytes, before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Nothing was known of it.
    New,
    /// The bytes that are trusted are back.
    Restored,
    /// It changed, and may.
    Replaced { before: Digest },
}

fn decide(records: &[Record], seen: Sighting<'_>) -> Decision {
    let revoked = records.iter().find(|record| {
        record.state == Trust::Revoked && (record.path == seen.path || record.digest == seen.digest)
    });
    if let Some(record) = revoked {
        return Decision::Revoked(record.clone());
    }
    let Some(record) = records.iter().find(|record| record.path == seen.path) else {
        return Decision::Record(Why::New);
    };
    let may_change = seen.origin == Origin::Flag || seen.hands == Hands::Root;
    if record.digest == seen.digest {
        match record.state {
            Trust::Trusted => Decision::Known,
            _ => Decision::Record(Why::Restored),
        }
    } else if may_change {
        Decision::Record(Why::Replaced {
            before: record.digest,
        })
    } else {
        Decision::Changed(record.digest)
    }
}

/// Every change of state or of trusted bytes is in the log, once.
fn tell(from: Trust, decision: &Decision, seen: Sighting<'_>) {
    let (path, sha256) = (seen.path.display(), seen.digest);
    match decision {
        Decision::Known | Decision::Revoked(_) => {}
        Decision::Record(Why::New) => {
            tracing::info!(%path, %sha256, "module {from} -> trusted: seen for the first time");
        }
        Decision::Record(Why::Restored) => {
            tracing::info!(%path, %sha256, "module {from} -> trusted: its trusted bytes are back");
        }
        Decision::Record(Why::Replaced { before }) => {
            let why = match seen.origin {
                Origin::Flag => "its directory was given by flag",
                Origin::Installed => "only root can have changed it",
            };
            tracing::warn!(%path, %sha256, %before, "module {from} -> trusted in other bytes: {why}");
        }
        Decision::Changed(before) => {
            tracing::warn!(%path, %sha256, %before, "module {from} -> changed: refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::geteuid;

    use super::*;
    use crate::trust_file::NAME;

    const A: Digest = Digest([0xaa; 32]);
    const B: Digest = Digest([0xbb; 32]);
    const C: Digest = Digest([0xcc; 32]);

    fn store() -> (tempfile::TempDir, TrustStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = TrustStore::open(&dir.path().join("state"), geteuid()).unwrap();
        (dir, store)
    }

    fn seen(digest: Digest, origin: Origin, hands: Hands) -> Sighting<'static> {
        Sighting {
            path: Path::new("/modules/acme.so"),
            digest,
            origin,
            hands,
        }
    }

    fn own(digest: Digest) -> Sighting<'static> {
        seen(digest, Origin::Installed, Hands::Own)
    }

    fn revoke(store: &TrustStore, path: &str, digest: Digest) {
        let mut records = store.file.read().unwrap();
        records.retain(|record| record.path != Path::new(path));
        records.push(Record {
            path: path.into(),
            digest,
            state: Trust::Revoked,
            origin: Origin::Installed,
            found: None,
        });
        store.file.write(&records).unwrap();
    }

    #[test]
    fn every_module_is_trusted_on_first_sight_and_recorded() {
        for origin in [Origin::Installed, Origin::Flag] {
            for hands in [Hands::Root, Hands::Own] {
                let (_dir, store) = store();
                assert_eq!(store.admit(seen(A, origin, hands)).unwrap(), Trust::Trusted);
                let records = store.file.read().unwrap();
                assert_eq!((records[0].digest, records[0].origin), (A, origin));
                store.admit(seen(A, origin, hands)).unwrap();
                assert_eq!(store.file.read().unwrap(), records);
            }
        }
    }

    #[test]
    fn a_swap_in_the_users_own_installation_is_refused_with_both_digests() {
        let (_dir, store) = store();
        store.admit(own(A)).unwrap();
        for _ in 0..2 {
            let error = store.admit(own(B)).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("/modules/acme.so changed"), "{text}");
            assert!(
                text.contains(&A.to_string()) && text.contains(&B.to_string()),
                "{text}"
            );
            assert!(
                error.remedy().contains("--module-dir /modules"),
                "{}",
                error.remedy()
            );
        }
        let record = store.file.read().unwrap().remove(0);
        assert_eq!(
            (record.state, record.digest, record.found),
            (Trust::Changed, A, Some(B))
        );
        // Yet another swap is no way out.
        assert!(store.admit(own(C)).is_err());
        assert_eq!(store.file.read().unwrap()[0].found, Some(C));
    }

    #[test]
    fn a_changed_module_is_trusted_again_once_its_bytes_are_back() {
        let (_dir, store) = store();
        store.admit(own(A)).unwrap();
        store.admit(own(B)).unwrap_err();
        store.admit(own(A)).unwrap();
        let record = store.file.read().unwrap().remove(0);
        assert_eq!((record.state, record.found), (Trust::Trusted, None));
    }

    #[test]
    fn a_package_upgrade_and_a_developers_build_go_through() {
        for (origin, hands) in [
            (Origin::Installed, Hands::Root),
            (Origin::Flag, Hands::Root),
            (Origin::Flag, Hands::Own),
        ] {
            let (_dir, store) = store();
            store.admit(seen(A, origin, hands)).unwrap();
            store.admit(seen(B, origin, hands)).unwrap();
            assert_eq!(store.file.read().unwrap()[0].digest, B);
            // And what they replaced is a change in its turn.
            assert!(store.admit(own(A)).is_err());
        }
    }

    #[test]
    fn both_ways_out_of_changed_work() {
        for by_flag in [true, false] {
            let (_dir, store) = store();
            store.admit(own(A)).unwrap();
            store.admit(own(B)).unwrap_err();
            if by_flag {
                store.admit(seen(B, Origin::Flag, Hands::Own)).unwrap();
            } else {
                store.file.write(&[]).unwrap();
            }
            store.admit(own(B)).unwrap();
        }
    }

    #[test]
    fn what_is_revoked_stays_refused_by_path_and_by_bytes() {
        let (_dir, store) = store();
        revoke(&store, "/modules/acme.so", A);
        for origin in [Origin::Installed, Origin::Flag] {
            for hands in [Hands::Root, Hands::Own] {
                for digest in [A, B] {
                    let error = store.admit(seen(digest, origin, hands)).unwrap_err();
                    assert!(matches!(error, TrustError::Revoked { .. }), "{error}");
                }
            }
        }
        let elsewhere = |digest| Sighting {
            path: Path::new("/elsewhere/copy.so"),
            ..seen(digest, Origin::Flag, Hands::Root)
        };
        let text = store.admit(elsewhere(A)).unwrap_err().to_string();
        assert!(text.contains("/elsewhere/copy.so is revoked"), "{text}");
        assert!(text.contains("/modules/acme.so"), "{text}");
        store.admit(elsewhere(B)).unwrap();
    }

    #[test]
    fn a_broken_file_refuses_every_module_and_stays_as_it_is() {
        let (dir, store) = store();
        store.admit(own(A)).unwrap();
        let path = dir.path().join("state").join(NAME);
        let broken = std::fs::read_to_string(&path).unwrap() + "colour = 'red'\n";
        std::fs::write(&path, &broken).unwrap();
        for origin in [Origin::Installed, Origin::Flag] {
            let error = store.admit(seen(B, origin, Hands::Root)).unwrap_err();
            assert!(error.to_string().contains("colour"), "{error}");
        }
        assert!(store.check().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
    }

    #[test]
    fn developers_builds_make_room_for_each_other_and_for_nobody_else() {
        let (_dir, store) = store();
        let record = |n: usize, origin| Record {
            path: format!("/m/{n}.so").into(),
            digest: A,
            state: Trust::Trusted,
            origin,
            found: None,
        };
        let mut records: Vec<_> = (0..MAX_RECORDS)
            .map(|n| record(n, Origin::Installed))
            .collect();
        records[7].origin = Origin::Flag;
        store.file.write(&records).unwrap();
        store.admit(own(B)).unwrap();
        let now = store.file.read().unwrap();
        assert_eq!(now.len(), MAX_RECORDS);
        assert!(!now.contains(&records[7]) && now.contains(&records[8]));
        let error = store
            .admit(Sighting {
                path: Path::new("/m/another.so"),
                ..own(C)
            })
            .unwrap_err();
        assert!(matches!(error, TrustError::Full(_)), "{error}");
    }

    #[test]
    fn many_at_a_time_lose_no_entry() {
        let (_dir, store) = store();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    let path = PathBuf::from(format!("/m/{n}.so"));
                    let seen = Sighting {
                        path: &path,
                        ..own(A)
                    };
                    store.admit(seen).unwrap();
                });
            }
        });
        assert_eq!(store.file.read().unwrap().len(), 8);
    }
}
