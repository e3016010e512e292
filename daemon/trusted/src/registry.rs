//! Modules by name: found, read, looked at, and trusted or not.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;
use rustix::fs::Uid;

use crate::elf;
use crate::identity::{Digest, Identity, IdentityError};
use crate::place::{Hands, Place, PlaceError};
use crate::terms::Current;
use crate::trust::{Origin, Sighting, Trust, TrustStore};

/// Longest module name, in bytes.
const MAX_NAME: usize = 64;

/// A program that may be run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) identity: Identity,
    /// The dynamic loader that it names.
    pub(crate) interpreter: String,
    /// Names of the libraries that it needs.
    pub(crate) libraries: Vec<String>,
}

/// A module that may be loaded.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// Where its file was; for messages, never to be opened again.
    pub(crate) path: PathBuf,
    /// A sealed memory file with its bytes, at its beginning: this is what is loaded.
    pub(crate) content: OwnedFd,
    /// How many, in bytes.
    pub(crate) size: u64,
    /// SHA-256 of those bytes.
    pub(crate) digest: Digest,
    pub(crate) trust: Trust,
}

/// A module's file at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    path: PathBuf,
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

/// A module that was looked at, and not loaded.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) path: PathBuf,
    /// None: it cannot be read.
    pub(crate) digest: Option<Digest>,
    origin: Origin,
    hands: Hands,
    /// Why it cannot be loaded, if so.
    pub(crate) unfit: Option<String>,
}

impl Look {
    fn sighting(&self) -> Option<Sighting<'_>> {
        Some(Sighting {
            path: &self.path,
            digest: self.digest?,
            origin: self.origin,
            hands: self.hands,
        })
    }
}

/// The module directories. A module's name is its file's name without `.so`.
#[derive(Debug)]
pub(crate) struct Registry {
    dirs: Current<Vec<(PathBuf, Origin)>>,
    trust: TrustStore,
    own: Uid,
}

impl Registry {
    /// Directories that the user named go before those of the installation. What is wrong with
    /// any of them, or with the store, is logged here and refused when it matters.
    pub(crate) fn new(
        named: &[PathBuf],
        installed: &[PathBuf],
        trust: TrustStore,
        own: Uid,
    ) -> Self {
        let dirs = Current::new(all(named, installed, own));
        if let Err(error) = trust.check() {
            tracing::error!("no module can be loaded: {error}; {}", error.remedy());
        }
        Self { dirs, trust, own }
    }

    /// Modules are looked for in these directories from now on.
    pub(crate) fn set_dirs(&self, named: &[PathBuf], installed: &[PathBuf]) {
        self.dirs.set(all(named, installed, self.own));
    }

    /// The module of that name, if it can load on this machine and is trusted. Reads all of its
    /// file: not for a thread that must not wait.
    pub(crate) fn find(&self, name: &str) -> Result<Module, Trouble> {
        if !is_name(name) {
            return Err(Trouble::new(
                ErrorCode::BadArgument,
                format!("{name:?} is no module name"),
                "module names have up to 64 characters a-z, 0-9, - and _, and begin with a-z or 0-9",
                "name a module, not a path; its directory is given to coldshoed with --module-dir",
            ));
        }
        let file = format!("{name}.so");
        for (dir, origin) in self.dirs.get().iter() {
            // A directory that cannot be relied on could hide a module, too: no going on past it.
            match self.read(dir, &file) {
                Err(IdentityError::Place(PlaceError::Missing(_))) => {}
                Err(error) => return Err(refused(name, &error, error.remedy())),
                Ok(identity) => return self.judge(name, *origin, identity),
            }
        }
        Err(self.unknown(name))
    }

    /// The algorithm of libcamera's at `path`, whose directory must be one of `dirs`, if it can load on
    /// this machine and is trusted. Reads all of its file, as [`find`](Self::find) does.
    pub(crate) fn find_at(
        &self,
        path: &Path,
        dirs: &[(PathBuf, Origin)],
    ) -> Result<Module, Trouble> {
        let real = |path: &Path| path.canonicalize().ok();
        let beside = path.parent().and_then(real);
        let own = |(dir, _): &&(PathBuf, Origin)| beside.is_some() && real(dir) == beside;
        let file = path.file_name().and_then(|name| name.to_str());
        let name = file.and_then(|file| file.strip_suffix(".so"));
        let (Some((dir, origin)), Some(file), Some(name)) = (dirs.iter().find(own), file, name)
        else {
            let dirs = dirs.iter().map(|(dir, _)| dir.display().to_string());
            let dirs: Vec<_> = dirs.collect();
            return Err(Trouble::new(
                ErrorCode::NoSuchModule,
                format!("{} is no algorithm of libcamera's", path.display()),
                format!("algorithms are files NAME.so of {}", dirs.join(", ")),
                "install it there, as root; or name its directory with --libcamera-module-dir",
            ));
        };
        if !is_name(name) {
            return Err(Trouble::new(
                ErrorCode::BadArgument,
                format!("{name:?} is no module name"),
                "module names have up to 64 characters a-z, 0-9, - and _, and begin with a-z or 0-9",
                "rename the file",
            ));
        }
        match self.read(dir, file) {
            Err(error) => Err(refused(name, &error, error.remedy())),
            Ok(identity) => self.judge(name, *origin, identity),
        }
    }

    /// The program `file` in the first of `dirs` that has one. Reads all of its file.
    pub(crate) fn program(&self, file: &str, dirs: &[PathBuf]) -> Result<Program, Trouble> {
        let unfit = |why: &dyn std::fmt::Display, remedy: String| {
            Trouble::new(
                ErrorCode::ModuleRefused,
                format!("libcamera's worker {file:?} cannot be used"),
                why.to_string(),
                remedy,
            )
        };
        for dir in dirs {
            let mut identity = match self.read(dir, file) {
                Err(IdentityError::Place(PlaceError::Missing(_))) => continue,
                Err(error) => return Err(unfit(&error, error.remedy())),
                Ok(identity) => identity,
            };
            let content = &mut identity.content;
            let seen = elf::interpreter(&mut *content).and_then(|interpreter| {
                let libraries = elf::needed(content)?;
                Ok((interpreter, libraries))
            });
            return match seen {
                Ok((interpreter, libraries)) => Ok(Program {
                    identity,
                    interpreter,
                    libraries,
                }),
                Err(error) => {
                    let why = format!("{}: {error}", identity.path.display());
                    Err(unfit(&why, "install libcamera's package again".to_owned()))
                }
            };
        }
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let why = format!("there is no {file} in {}", dirs.join(", "));
        let remedy =
            "install the package that has it: libcamera-ipa on Debian; or name its directory with \
            --libcamera-worker-dir"
                .to_owned();
        Err(unfit(&why, remedy))
    }

    fn read(&self, dir: &Path, file: &str) -> Result<Identity, IdentityError> {
        let place = Place::open(dir, self.own)?;
        Identity::read(&place, file, self.own)
    }

    fn judge(&self, name: &str, origin: Origin, identity: Identity) -> Result<Module, Trouble> {
        let Identity {
            path,
            content,
            size,
            digest,
            hands,
        } = identity;
        elf::check(&content).map_err(|unfit| {
            let why = format!("{}: {unfit}", path.display());
            refused(name, &why, unfit.remedy())
        })?;
        let seen = Sighting {
            path: &path,
            digest,
            origin,
            hands,
        };
        let trust = self
            .trust
            .admit(seen)
            .map_err(|error| refused(name, &error, error.remedy()))?;
        Ok(Module {
            name: name.to_owned(),
            path,
            content: content.into(),
            size,
            digest,
            trust,
        })
    }

    /// What tells that a module's file has changed. None: there is no such file.
    pub(crate) fn stamp(&self, name: &str) -> Option<Stamp> {
        if !is_name(name) {
            return None;
        }
        self.dirs.get().iter().find_map(|(dir, _)| {
            let path = dir.join(format!("{name}.so"));
            let meta = std::fs::symlink_metadata(&path).ok()?;
            Some(Stamp {
                path,
                inode: (meta.dev(), meta.ino()),
                size: meta.size(),
                changed: (meta.ctime(), meta.ctime_nsec()),
            })
        })
    }

    /// Reads a module as if to load it, and remembers nothing. Reads all of its file: not for a thread
    /// that must not wait.
    pub(crate) fn look(&self, name: &str) -> Option<Look> {
        if !is_name(name) {
            return None;
        }
        let file = format!("{name}.so");
        for (dir, origin) in self.dirs.get().iter() {
            let identity = match self.read(dir, &file) {
                Err(IdentityError::Place(PlaceError::Missing(_))) => continue,
                Err(error) => {
                    return Some(Look {
                        path: dir.join(file),
                        digest: None,
                        origin: *origin,
                        hands: Hands::Own,
                        unfit: Some(error.to_string()),
                    });
                }
                Ok(identity) => identity,
            };
            let unfit = elf::check(&identity.content).err();
            return Some(Look {
                path: identity.path,
                digest: Some(identity.digest),
                origin: *origin,
                hands: identity.hands,
                unfit: unfit.map(|unfit| unfit.to_string()),
            });
        }
        None
    }

    /// What the trust store says of a module that was looked at.
    pub(crate) fn standing(&self, look: &Look) -> Trust {
        match look.sighting() {
            Some(seen) => self.trust.standing(seen).unwrap_or(Trust::Unknown),
            None => Trust::Unknown,
        }
    }

    /// The bytes of a module that are there now are trusted.
    pub(crate) fn pin(&self, name: &str) -> Result<(), Trouble> {
        let look = self.look(name).ok_or_else(|| self.unknown(name))?;
        let seen = match (&look.unfit, look.sighting()) {
            (None, Some(seen)) => seen,
            (why, _) => {
                let why = why.clone().unwrap_or_default();
                let remedy = "install a module that can be loaded".to_owned();
                return Err(refused(name, &why, remedy));
            }
        };
        self.trust
            .pin(seen)
            .map_err(|error| refused(name, &error, error.remedy()))
    }

    /// What is recorded of a module is forgotten.
    pub(crate) fn forget(&self, name: &str) -> Result<(), Trouble> {
        let look = self.look(name).ok_or_else(|| self.unknown(name))?;
        self.trust
            .forget(&look.path)
            .map_err(|error| refused(name, &error, error.remedy()))
    }

    /// Names of all modules, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .dirs
            .get()
            .iter()
            .filter_map(|(dir, _)| dir.read_dir().ok())
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|file| Some(file.strip_suffix(".so")?.to_owned()))
            .filter(|name| is_name(name))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn unknown(&self, name: &str) -> Trouble {
        let dirs: Vec<_> = self
            .dirs
            .get()
            .iter()
            .map(|(dir, _)| dir.display().to_string())
            .collect();
        let names = self.names();
        let remedy = if names.is_empty() {
            "start coldshoed with --module-dir DIR where the module is".to_owned()
        } else {
            format!("use one of: {}", names.join(", "))
        };
        Trouble::new(
            ErrorCode::NoSuchModule,
            format!("there is no module {name:?}"),
            format!("no {name}.so in {}", dirs.join(", ")),
            remedy,
        )
    }
}

/// Directories that the user named, then those of the installation. What is wrong with any of them is
/// logged here and refused when it matters.
fn all(named: &[PathBuf], installed: &[PathBuf], own: Uid) -> Vec<(PathBuf, Origin)> {
    let flag = named.iter().map(|dir| (dir.clone(), Origin::Flag));
    let installed = installed.iter().map(|dir| (dir.clone(), Origin::Installed));
    let dirs: Vec<_> = flag.chain(installed).collect();
    for (dir, _) in &dirs {
        match Place::open(dir, own) {
            Ok(_) | Err(PlaceError::Missing(_)) => {}
            Err(error) => tracing::warn!("no module of {}: {error}", dir.display()),
        }
    }
    dirs
}

fn refused(name: &str, why: &impl std::fmt::Display, remedy: String) -> Trouble {
    Trouble::new(
        ErrorCode::ModuleRefused,
        format!("module {name:?} is refused"),
        why.to_string(),
        remedy,
    )
}

/// Whether modules may have that name.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|c| plain(c) || c == b'-' || c == b'_')
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::process::Command;

    use rustix::process::geteuid;

    use super::*;
    use crate::private_group::tester_has_private_group;

    /// A module directory and a state directory.
    struct Bench {
        _top: tempfile::TempDir,
        dir: PathBuf,
        state: PathBuf,
    }

    impl Bench {
        fn new() -> Self {
            let top = tempfile::tempdir().unwrap();
            let [dir, state] = ["modules", "state"].map(|name| top.path().join(name));
            std::fs::create_dir(&dir).unwrap();
            Self {
                _top: top,
                dir,
                state,
            }
        }

        fn registry(&self, origin: Origin) -> Registry {
            let own = geteuid();
            let trust = TrustStore::open(&self.state, own).unwrap();
            let dirs = [self.dir.clone()];
            match origin {
                Origin::Flag => Registry::new(&dirs, &[], trust, own),
                Origin::Installed => Registry::new(&[], &dirs, trust, own),
            }
        }

        /// Builds a module that differs by `value`.
        fn build(&self, name: &str, value: u32) -> Vec<u8> {
            let source = self.dir.join("source.c");
            let target = self.dir.join(format!("{name}.so"));
            std::fs::write(&source, format!("int value(void) {{ return {value}; }}")).unwrap();
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-o"]).args([&target, &source]);
            assert!(cc.status().unwrap().success());
            // Whatever the umask of whoever runs the tests.
            set_permissions(&target, Permissions::from_mode(0o755)).unwrap();
            std::fs::remove_file(source).unwrap();
            std::fs::read(target).unwrap()
        }

        /// The refusal of a module, which has its three lines.
        fn refusal(&self, name: &str) -> Trouble {
            let trouble = self.registry(Origin::Flag).find(name).unwrap_err();
            assert_eq!(trouble.code, ErrorCode::ModuleRefused);
            assert_eq!(trouble.what, format!("module {name:?} is refused"));
            let path = self.dir.display().to_string();
            assert!(trouble.why.contains(&path), "{trouble}");
            assert!(!trouble.remedy.is_empty());
            trouble
        }
    }

    fn bytes(module: Module) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut file = std::fs::File::from(module.content);
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        let registry = Bench::new().registry(Origin::Flag);
        for name in [
            "",
            "../x",
            "a/b",
            ".x",
            "-x",
            "X",
            "a\0",
            "a.so",
            &"x".repeat(65),
        ] {
            assert_eq!(
                registry.find(name).unwrap_err().code,
                ErrorCode::BadArgument,
                "{name:?}"
            );
        }
    }

    #[test]
    fn an_unknown_module_is_answered_with_the_known_ones() {
        let bench = Bench::new();
        for file in ["beta.so", "alpha.so", "readme.txt", "Odd.so"] {
            std::fs::write(bench.dir.join(file), "").unwrap();
        }
        let trouble = bench.registry(Origin::Flag).find("gamma").unwrap_err();
        assert_eq!(trouble.code, ErrorCode::NoSuchModule);
        assert!(trouble.remedy.ends_with("alpha, beta"), "{trouble}");
    }

    #[test]
    fn a_module_is_its_bytes_and_their_digest() {
        let bench = Bench::new();
        let built = bench.build("acme", 1);
        let module = bench.registry(Origin::Flag).find("acme").unwrap();
        assert_eq!(
            (module.name.as_str(), module.trust),
            ("acme", Trust::Trusted)
        );
        assert_eq!(module.path, bench.dir.join("acme.so"));
        let sum = Command::new("sha256sum")
            .arg(&module.path)
            .output()
            .unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert!(sum.starts_with(&module.digest.to_string()), "{sum}");
        assert_eq!(bytes(module), built);
    }

    /// Row 46 of the escape list.
    #[test]
    fn a_module_replaced_between_check_and_load_changes_nothing() {
        let bench = Bench::new();
        let built = bench.build("acme", 1);
        let registry = bench.registry(Origin::Flag);
        let module = registry.find("acme").unwrap();
        let other = bench.build("acme", 2);
        assert_ne!(built, other);
        std::fs::write(bench.dir.join("acme.so"), &other).unwrap();
        assert_eq!(bytes(module), built);
        assert_eq!(bytes(registry.find("acme").unwrap()), other);
    }

    /// Row 47 of the escape list.
    #[test]
    fn a_link_or_a_path_that_others_may_write_is_refused_with_the_reason() {
        let bench = Bench::new();
        bench.build("real", 1);
        symlink("real.so", bench.dir.join("acme.so")).unwrap();
        assert!(bench.refusal("acme").why.contains("symbolic link"));
        std::fs::remove_file(bench.dir.join("acme.so")).unwrap();
        bench.build("acme", 1);
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let file = bench.dir.join("acme.so");
        mode(&file, 0o666);
        assert!(
            bench
                .refusal("acme")
                .why
                .contains("acme.so can be written by everybody")
        );
        mode(&file, 0o755);
        for bits in [0o777, 0o1777, 0o775] {
            mode(&bench.dir, bits);
            if bits == 0o775 && tester_has_private_group() {
                bench.registry(Origin::Flag).find("acme").unwrap();
                continue;
            }
            assert!(
                bench
                    .refusal("acme")
                    .why
                    .contains("modules can be written by")
            );
        }
        mode(&bench.dir, 0o755);
        bench.registry(Origin::Flag).find("acme").unwrap();
    }

    #[test]
    fn somebody_elses_module_is_refused() {
        let bench = Bench::new();
        bench.build("acme", 1);
        if !geteuid().is_root() {
            eprintln!("SKIPPED: only root can give a file to somebody else");
            return;
        }
        chown(bench.dir.join("acme.so"), Some(4242), None).unwrap();
        let trouble = bench.refusal("acme");
        assert!(trouble.why.contains("belongs to user 4242"), "{trouble}");
        assert!(trouble.remedy.contains("chown 0"), "{trouble}");
    }

    #[test]
    fn a_file_that_is_no_module_is_refused_with_the_reason() {
        let bench = Bench::new();
        std::fs::write(bench.dir.join("text.so"), "#!/bin/sh\necho a module\n").unwrap();
        std::fs::write(bench.dir.join("empty.so"), "").unwrap();
        std::fs::create_dir(bench.dir.join("folder.so")).unwrap();
        let huge = std::fs::File::create(bench.dir.join("huge.so")).unwrap();
        huge.set_len(1 << 40).unwrap();
        for (name, why) in [
            ("text", "it is not an ELF file"),
            ("empty", "it is not an ELF file"),
            ("folder", "is a directory"),
            ("huge", "bytes, more than"),
        ] {
            let trouble = bench.refusal(name);
            assert!(trouble.why.contains(why), "{trouble}");
        }
    }

    #[test]
    fn a_bad_first_match_is_not_passed_over() {
        let (first, second) = (Bench::new(), Bench::new());
        second.build("acme", 1);
        std::fs::write(first.dir.join("acme.so"), "text").unwrap();
        let own = geteuid();
        let trust = TrustStore::open(&first.state, own).unwrap();
        let (named, installed) = ([first.dir.clone()], [second.dir.clone()]);
        let registry = Registry::new(&named, &installed, trust, own);
        assert_eq!(
            registry.find("acme").unwrap_err().code,
            ErrorCode::ModuleRefused
        );
        std::fs::remove_file(first.dir.join("acme.so")).unwrap();
        assert_eq!(
            registry.find("acme").unwrap().path,
            second.dir.join("acme.so")
        );
    }

    #[test]
    fn what_was_refused_is_not_remembered() {
        let bench = Bench::new();
        std::fs::write(bench.dir.join("acme.so"), "text").unwrap();
        bench.refusal("acme");
        assert!(!bench.state.join(crate::trust_file::NAME).exists());
    }

    #[test]
    fn a_rebuilt_module_is_refused_where_the_user_could_have_been_tricked() {
        let bench = Bench::new();
        bench.build("acme", 1);
        let registry = bench.registry(Origin::Installed);
        registry.find("acme").unwrap();
        bench.build("acme", 2);
        match registry.find("acme") {
            // Root's own hands are a package manager's.
            Ok(module) => assert!(geteuid().is_root(), "{module:?}"),
            Err(trouble) => {
                assert!(!geteuid().is_root(), "{trouble}");
                assert!(trouble.why.contains("changed"), "{trouble}");
            }
        }
        bench.build("acme", 3);
        bench.registry(Origin::Flag).find("acme").unwrap();
    }
}
