//! Directories that nobody but root and the daemon's own user can have had a hand in, and files in
//! them.
//!
//! A path is only as safe as its weakest component: whoever may write to one of them can put
//! another file at its end. So each is opened from the one before, without following links, and
//! looked at by its descriptor. What was looked at is what is used: nothing is looked up twice.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, Uid, fgetxattr, fstat, openat, readlinkat};
use rustix::io::Errno;

use crate::private_group::is_private;

/// Most symbolic links on the way to a directory, as the kernel counts them.
const MAX_LINKS: u32 = 40;
const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Why a file or directory cannot be relied on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PlaceError {
    /// It is not there.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// Somebody else's.
    #[error("{} belongs to user {owner}, who is neither root nor this daemon's user {own}", path.display())]
    Owner { path: PathBuf, owner: u32, own: u32 },
    /// Others may write to it. An access control list shows up as the group's right.
    #[error("{} can be written by {who} (mode {:04o})", path.display(), mode)]
    Writable {
        path: PathBuf,
        mode: u32,
        who: &'static str,
    },
    /// A symbolic link where none is followed.
    #[error("{} is a symbolic link", .0.display())]
    Link(PathBuf),
    /// Links upon links.
    #[error("{} has more than {MAX_LINKS} symbolic links on its way", .0.display())]
    Loop(PathBuf),
    /// The wrong kind of file.
    #[error("{} is {kind}, not {wanted}", path.display())]
    Kind {
        path: PathBuf,
        kind: &'static str,
        wanted: &'static str,
    },
    /// The kernel refused.
    #[error("cannot {step} {}: {source}", path.display())]
    Io {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl PlaceError {
    /// What to do about it, on one line.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Missing(path) => format!("create {}", path.display()),
            Self::Owner { path, own, .. } => format!(
                "give it to root or to user {own}: chown {own} {}",
                path.display()
            ),
            Self::Writable { path, .. } => {
                format!(
                    "take that right away: chmod go-w {}; or use another directory",
                    path.display()
                )
            }
            Self::Link(path) => format!("put the file itself at {}", path.display()),
            Self::Loop(_) => "name the directory by its real path".to_owned(),
            Self::Kind { wanted, .. } => format!("put {wanted} there"),
            Self::Io { .. } => "check the file system and the permissions".to_owned(),
        }
    }
}

/// Who could have changed a file: the owners of it and of every directory above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hands {
    /// Root alone: the administrator, or a package manager for him.
    Root,
    /// The daemon's own user too, with whatever runs in his name.
    Own,
}

impl Hands {
    /// With one more file or directory on the way.
    pub(crate) fn and(self, stat: &Stat) -> Self {
        // In a sticky directory others may write, but not replace what is root's.
        let kept = stat.st_mode & GROUP_WRITE == 0 || stat.st_mode & STICKY != 0;
        if self == Self::Root && Uid::from_raw(stat.st_uid).is_root() && kept {
            Self::Root
        } else {
            Self::Own
        }
    }
}

/// A directory that can be relied on, held open.
#[derive(Debug)]
pub(crate) struct Place {
    fd: OwnedFd,
    /// Where it really is, free of links.
    pub(crate) path: PathBuf,
    pub(crate) hands: Hands,
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Place {
    /// Opens `dir`, which only root and `own` may write to, like every directory on the way to it.
    ///
    /// On the way, a sticky directory that all may write to (`/tmp`) will do if what the path takes
    /// there belongs to root or `own`: nobody else can then remove or replace it. As the last one
    /// it will not: others could add names. Links on the way are followed by hand, each one's
    /// owner and each directory on its way are looked at too.
    pub(crate) fn open(dir: &Path, own: Uid) -> Result<Self, PlaceError> {
        let absolute = std::path::absolute(dir).map_err(|source| PlaceError::Io {
            step: "make absolute the path",
            path: dir.to_owned(),
            source,
        })?;
        let mut walk = Walk::start(&absolute, own)?;
        while let Some(name) = walk.ahead.pop_front() {
            walk.step(&name)?;
        }
        walk.end()
    }

    /// The first `most` + 1 bytes of the regular file `name` of this directory, which only root and
    /// `own` may write to: one more than allowed tells that it is too large. Never follows a link
    /// or waits for a pipe's writer.
    pub(crate) fn read(&self, name: &OsStr, own: Uid, most: u64) -> Result<Vec<u8>, PlaceError> {
        let path = self.path.join(name);
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = openat(self, name, flags, Mode::empty()).map_err(io("open", &path))?;
        let stat = fstat(&file).map_err(io("look at", &path))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            kind => {
                return Err(PlaceError::Kind {
                    path,
                    kind: name_of(kind),
                    wanted: "a regular file",
                });
            }
        }
        check_owner(&path, &stat, own)?;
        check_writers(&path, file.as_fd(), &stat, own)?;
        let mut bytes = Vec::new();
        match File::from(file).take(most + 1).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(PlaceError::Io {
                step: "read",
                path,
                source,
            }),
        }
    }
}

struct Walk {
    wanted: PathBuf,
    own: Uid,
    /// The directories that were passed, the root first; never empty.
    passed: Vec<Passed>,
    ahead: VecDeque<OsString>,
    links: u32,
}

struct Passed {
    place: Place,
    stat: Stat,
}

impl Walk {
    fn start(path: &Path, own: Uid) -> Result<Self, PlaceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Path::new("/");
        let fd = rustix::fs::open(root, flags, Mode::empty()).map_err(io("open", root))?;
        let stat = fstat(&fd).map_err(io("look at", root))?;
        let place = Place {
            fd,
            path: root.to_owned(),
            hands: Hands::Root.and(&stat),
        };
        check_owner(root, &stat, own)?;
        Ok(Self {
            wanted: path.to_owned(),
            own,
            passed: vec![Passed { place, stat }],
            ahead: components(path),
            links: 0,
        })
    }

    fn step(&mut self, name: &OsStr) -> Result<(), PlaceError> {
        if name == ".." {
            // The directory that was passed, not another look-up; the root is its own parent.
            if self.passed.len() > 1 {
                self.passed.pop();
            }
            return Ok(());
        }
        let Some(Passed { place: here, stat }) = self.passed.last() else {
            return Err(PlaceError::Missing(self.wanted.clone()));
        };
        // Whoever could replace what comes next must be root or us, or be kept from it.
        if stat.st_mode & STICKY == 0 {
            check_writers(&here.path, here.as_fd(), stat, self.own)?;
        }
        let path = here.path.join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(here, name, flags, Mode::empty()).map_err(io("open", &path))?;
        let stat = fstat(&fd).map_err(io("look at", &path))?;
        check_owner(&path, &stat, self.own)?;
        let hands = here.hands.and(&stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let place = Place { fd, path, hands };
                self.passed.push(Passed { place, stat });
                Ok(())
            }
            FileType::Symlink => self.follow(&fd, &path, hands),
            kind => Err(PlaceError::Kind {
                path,
                kind: name_of(kind),
                wanted: "a directory",
            }),
        }
    }

    fn follow(&mut self, link: &OwnedFd, path: &Path, hands: Hands) -> Result<(), PlaceError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(PlaceError::Loop(self.wanted.clone()));
        }
        let target = readlinkat(link, "", Vec::new()).map_err(io("read", path))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.passed.truncate(1);
        }
        // Who owns a link on the way could have made it lead elsewhere.
        if let Some(last) = self.passed.last_mut()
            && hands == Hands::Own
        {
            last.place.hands = Hands::Own;
        }
        for name in components(&target).into_iter().rev() {
            self.ahead.push_front(name);
        }
        Ok(())
    }

    fn end(mut self) -> Result<Place, PlaceError> {
        let Some(Passed { place, stat }) = self.passed.pop() else {
            return Err(PlaceError::Missing(self.wanted));
        };
        check_writers(&place.path, place.as_fd(), &stat, self.own)?;
        Ok(place)
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Root or the daemon's own user must own it.
pub(crate) fn check_owner(path: &Path, stat: &Stat, own: Uid) -> Result<(), PlaceError> {
    let owner = Uid::from_raw(stat.st_uid);
    if owner.is_root() || owner == own {
        return Ok(());
    }
    Err(PlaceError::Owner {
        path: path.to_owned(),
        owner: stat.st_uid,
        own: own.as_raw(),
    })
}

/// Nobody but the owner may write to it, or a group in which `own` is alone.
pub(crate) fn check_writers(
    path: &Path,
    file: BorrowedFd<'_>,
    stat: &Stat,
    own: Uid,
) -> Result<(), PlaceError> {
    let private = || is_private(own.as_raw(), stat.st_gid) && !has_acl(file, stat);
    let who = match stat.st_mode {
        mode if mode & OTHER_WRITE != 0 => "everybody",
        mode if mode & GROUP_WRITE != 0 && !private() => "its group",
        _ => return Ok(()),
    };
    Err(PlaceError::Writable {
        path: path.to_owned(),
        mode: stat.st_mode & 0o7777,
        who,
    })
}

/// Whether an access control list may give the group's right to others. Taken to be so where the
/// kernel does not say.
fn has_acl(file: BorrowedFd<'_>, stat: &Stat) -> bool {
    const ACL: &str = "system.posix_acl_access";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // A directory is held by its place only, which cannot be asked.
    let directory = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => openat(file, ".", flags, Mode::empty()).ok(),
        _ => None,
    };
    let file = directory
        .as_ref()
        .map_or(file, |directory| directory.as_fd());
    let size = fgetxattr(file, ACL, &mut [0_u8; 0]);
    !matches!(size, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

/// A kind of file in words.
pub(crate) fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "a file of an unknown kind",
    }
}

/// An error of the kernel as ours.
pub(crate) fn io(step: &'static str, path: &Path) -> impl FnOnce(Errno) -> PlaceError {
    move |error| match error {
        Errno::NOENT => PlaceError::Missing(path.to_owned()),
        Errno::LOOP => PlaceError::Link(path.to_owned()),
        error => PlaceError::Io {
            step,
            path: path.to_owned(),
            source: error.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use rustix::process::geteuid;

    use super::*;
    use crate::private_group::tester_has_private_group;

    fn open(path: &Path) -> Result<Place, PlaceError> {
        Place::open(path, geteuid())
    }

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("a/b");
        std::fs::create_dir_all(&path).unwrap();
        (top, path)
    }

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_private_directory_below_a_sticky_one_will_do() {
        let (top, path) = tree();
        assert_eq!(open(&path).unwrap().path, path);
        mode(top.path(), 0o1777);
        assert_eq!(open(&path).unwrap().path, path);
    }

    #[test]
    fn a_writable_component_is_named_with_who_may_write() {
        for (bits, who) in [
            (0o775, "its group"),
            (0o777, "everybody"),
            (0o757, "everybody"),
        ] {
            let (top, path) = tree();
            for component in [path.clone(), top.path().join("a"), top.path().to_owned()] {
                mode(&component, bits);
                if bits == 0o775 && tester_has_private_group() {
                    open(&path).unwrap();
                    continue;
                }
                let error = open(&path).unwrap_err();
                let text = error.to_string();
                assert!(
                    text.contains(&format!("{} can be", component.display())),
                    "{text}"
                );
                assert!(text.contains(who), "{text}");
                assert!(error.remedy().contains("chmod go-w"));
                mode(&component, 0o755);
            }
            open(&path).unwrap();
        }
    }

    #[test]
    fn a_users_private_group_may_write_unless_a_list_lets_others_in() {
        let user = (1000..=1100).find(|id| is_private(*id, *id));
        let (true, Some(user)) = (geteuid().is_root(), user) else {
            eprintln!("SKIPPED: this takes root, and a user with a group of his own");
            return;
        };
        let (top, path) = tree();
        for component in [top.path().join("a"), path.clone()] {
            chown(&component, Some(user), Some(user)).unwrap();
            mode(&component, 0o775);
        }
        let open = || Place::open(&path, Uid::from_raw(user));
        assert_eq!(open().unwrap().hands, Hands::Own);
        chown(&path, None, Some(0)).unwrap();
        assert!(open().unwrap_err().to_string().contains("its group"));
        chown(&path, None, Some(user)).unwrap();
        // Version 2; rwx for the owner, for user 4242, for the group, for the mask; r-x for others.
        let mut list = vec![2, 0, 0, 0];
        for (tag, rights, id) in [
            (1, 7, !0),
            (2, 7, 4242),
            (4, 7, !0),
            (16, 7, !0),
            (32, 5, !0_u32),
        ] {
            list.extend([tag, 0, rights, 0]);
            list.extend(id.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::setxattr(&path, "system.posix_acl_access", &list, flags) {
            Ok(()) => assert!(open().is_err()),
            Err(error) => eprintln!("SKIPPED in part: no access control lists here: {error}"),
        }
    }

    #[test]
    fn a_sticky_directory_as_the_last_one_is_refused() {
        let (_top, path) = tree();
        mode(&path, 0o1777);
        assert!(matches!(
            open(&path).unwrap_err(),
            PlaceError::Writable { mode: 0o1777, .. }
        ));
    }

    #[test]
    fn links_on_the_way_are_followed_to_the_real_path() {
        let (top, path) = tree();
        let (absolute, relative) = (top.path().join("x"), top.path().join("a/y"));
        symlink(top.path().join("a"), &absolute).unwrap();
        symlink("../a/./b", &relative).unwrap();
        for way in [absolute.join("b"), relative, path.join("../b")] {
            assert_eq!(open(&way).unwrap().path, path, "{}", way.display());
        }
        let around = top.path().join("around");
        symlink("around", &around).unwrap();
        assert!(matches!(open(&around).unwrap_err(), PlaceError::Loop(_)));
    }

    #[test]
    fn a_link_out_of_a_writable_directory_is_refused() {
        let (top, path) = tree();
        let open_to_all = top.path().join("open");
        std::fs::create_dir(&open_to_all).unwrap();
        symlink(&path, open_to_all.join("link")).unwrap();
        mode(&open_to_all, 0o777);
        let error = open(&open_to_all.join("link")).unwrap_err().to_string();
        assert!(error.contains("open can be written"), "{error}");
    }

    #[test]
    fn what_is_missing_or_no_directory_is_said_so() {
        let (top, path) = tree();
        assert!(matches!(
            open(&path.join("c")).unwrap_err(),
            PlaceError::Missing(_)
        ));
        std::fs::write(top.path().join("file"), "").unwrap();
        let error = open(&top.path().join("file")).unwrap_err().to_string();
        assert!(
            error.ends_with("a regular file, not a directory"),
            "{error}"
        );
    }

    /// Root alone can give files away.
    fn give(path: &Path, to: u32) -> bool {
        let root = geteuid().is_root();
        if root {
            chown(path, Some(to), None).unwrap();
        } else {
            eprintln!("SKIPPED in part: only root can give a file to somebody else");
        }
        root
    }

    #[test]
    fn somebody_elses_directory_or_link_is_refused() {
        let (top, path) = tree();
        if !give(&top.path().join("a"), 4242) {
            return;
        }
        let error = open(&path).unwrap_err();
        assert!(error.to_string().contains("user 4242"), "{error}");
        assert!(error.remedy().contains("chown"));
        give(&top.path().join("a"), 0);
        // In a sticky directory anybody may plant a link.
        mode(top.path(), 0o1777);
        let link = top.path().join("link");
        symlink(&path, &link).unwrap();
        rustix::fs::chownat(
            rustix::fs::CWD,
            &link,
            Some(Uid::from_raw(4242)),
            None,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
        assert!(matches!(
            open(&link).unwrap_err(),
            PlaceError::Owner { owner: 4242, .. }
        ));
    }

    #[test]
    fn whose_hands_can_have_touched_it_is_known() {
        assert_eq!(open(Path::new("/usr")).unwrap().hands, Hands::Root);
        let (top, path) = tree();
        let own = geteuid();
        if own.is_root() {
            assert_eq!(open(&path).unwrap().hands, Hands::Root);
            chown(top.path().join("a"), Some(4242), None).unwrap();
            let place = Place::open(&path, Uid::from_raw(4242)).unwrap();
            assert_eq!(place.hands, Hands::Own);
        } else {
            assert_eq!(open(&path).unwrap().hands, Hands::Own);
        }
    }
}
