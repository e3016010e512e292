//! A file system of its own: libraries and the module, all read-only, and nothing else.

use super::{ConfineError, Confinement, Divided, Place, Settled};
use crate::Namespace;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, sendfile};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the module appears.
const MODULE: &str = "/m/module.so";
/// Where a program appears that takes the worker's place.
pub(super) const PROGRAM: &str = "/m/program";
/// Names that library paths go by on merged systems.
const LINKS: [&str; 3] = ["/lib", "/lib64", "/usr/lib64"];
/// Room for what is not the module, in bytes: one page would do.
const SLACK: u64 = 64 << 10;

impl Divided {
    /// Moves into a new root with nothing but what may be read, and `module`'s content as a file
    /// there. Without a mount namespace the old root stays, and the module is loaded from its
    /// memory.
    ///
    /// # Errors
    /// [`ConfineError`] names the step and the kernel's answer.
    pub fn settle(
        self,
        confinement: &Confinement,
        module: OwnedFd,
    ) -> Result<Settled, ConfineError> {
        self.settle_with(confinement, module, None)
    }

    /// The same, with a `program` that is to take this one's place. It can be executed there and not
    /// read, so that the kernel keeps others from looking into it (DUMPABLE).
    ///
    /// # Errors
    /// [`ConfineError`] names the step and the kernel's answer; without a mount namespace there is no
    /// place for a program.
    pub fn settle_with(
        self,
        confinement: &Confinement,
        module: OwnedFd,
        program: Option<OwnedFd>,
    ) -> Result<Settled, ConfineError> {
        if program.is_some() && !confinement.leaves(Namespace::Mount) {
            let why = io::Error::from(io::ErrorKind::Unsupported);
            return Err(ConfineError::step(
                "place a program without a root of its own",
            )(why));
        }
        let mut readable = existing(&confinement.readable)?;
        let place = if confinement.leaves(Namespace::Mount) {
            let root = Root {
                readable: &readable,
                module: Some(module.as_fd()),
                program: program.as_ref().map(AsFd::as_fd),
            };
            root.enter()?;
            readable.push(MODULE.into());
            Place {
                path: MODULE.into(),
                memory: None,
            }
        } else {
            Place {
                path: format!("/proc/self/fd/{}", module.as_raw_fd()).into(),
                memory: Some(module),
            }
        };
        let loader = confinement.interpreter.iter();
        let executable = loader.filter_map(|path| path.canonicalize().ok());
        let executable = match program {
            Some(_) => executable.chain([PROGRAM.into()]).collect(),
            None => Vec::new(),
        };
        Ok(Settled {
            place,
            readable,
            executable,
            proof: PhantomData,
        })
    }
}

/// The real paths of those that exist, without those that lie beneath another. What this machine
/// may have at the module's own place is not meant.
fn existing(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfineError> {
    let mut found = Vec::new();
    for path in paths.iter().filter(|path| *path != Path::new(MODULE)) {
        match path.canonicalize() {
            Ok(real) => found.push(real),
            Err(error) if passed_over(&error) => {}
            Err(error) => {
                return Err(ConfineError::Readable {
                    path: path.clone(),
                    reason: error.to_string(),
                });
            }
        }
    }
    found.sort();
    found.dedup_by(|later, earlier| later.starts_with(earlier));
    Ok(found)
}

/// Whether a path that cannot be found is one that this machine, or this user, does not have.
fn passed_over(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

/// A root to be.
pub(crate) struct Root<'a> {
    /// Real paths of files and directories that appear in it under the same names.
    pub(crate) readable: &'a [PathBuf],
    pub(crate) module: Option<BorrowedFd<'a>>,
    pub(crate) program: Option<BorrowedFd<'a>>,
}

impl Root<'_> {
    /// Builds it and moves in. All else is unmounted.
    pub(crate) fn enter(&self) -> Result<(), ConfineError> {
        // The trees are taken out first: they would be hidden by what is mounted.
        let trees = self
            .readable
            .iter()
            .map(|path| Ok((path, take_tree(path).map_err(at("take out", path))?)))
            .collect::<Result<Vec<_>, ConfineError>>()?;
        let links: Vec<_> = LINKS
            .iter()
            .filter_map(|link| Some((Path::new(link), fs::read_link(link).ok()?)))
            .collect();
        self.mount()
            .map_err(ConfineError::step("mount a file system of its own (tmpfs)"))?;
        for (path, tree) in &trees {
            attach(path, tree).map_err(at("attach", path))?;
        }
        for (link, target) in links {
            place_link(link, &target).map_err(at("link", link))?;
        }
        if let Some(module) = self.module {
            copy(module, MODULE, 0o444)
                .map_err(ConfineError::step("copy the module (sendfile)"))?;
        }
        if let Some(program) = self.program {
            copy(program, PROGRAM, 0o111)
                .map_err(ConfineError::step("copy the program (sendfile)"))?;
        }
        move_in().map_err(ConfineError::step("move into its own root (pivot_root)"))
    }

    /// Mounts it over the old root, and goes there.
    fn mount(&self) -> io::Result<()> {
        let mut size = SLACK;
        for file in self.module.iter().chain(&self.program) {
            size += fstat(file)?.st_size.unsigned_abs();
        }
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(context.as_fd(), "size", size.to_string())?;
        fsconfig_set_string(context.as_fd(), "mode", "0755")?;
        fsconfig_create(context.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(mount.as_fd(), "", CWD, "/", whole)?;
        Ok(fchdir(mount)?)
    }
}

fn at(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ConfineError {
    let path = path.to_owned();
    move |source| ConfineError::Tree { verb, path, source }
}

/// A copy of what is mounted at and beneath `path`, read-only and belonging nowhere yet. What the host
/// mounts there from now on does not appear in it.
fn take_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags)?;
    protect(tree.as_fd())?;
    Ok(tree)
}

/// Read-only, and cut off from the mounts that it is a copy of: a copy is their slave.
fn protect(mount: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    let flags = AtFlags::EMPTY_PATH.bits() | libc::AT_RECURSIVE.cast_unsigned();
    // SAFETY: a valid descriptor, an empty string, and attributes of the size that is given; all
    // outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The same path below the current directory, which is the new root until it is moved into.
fn below(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn attach(path: &Path, tree: &OwnedFd) -> io::Result<()> {
    let place = below(path);
    if fstat(tree)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
        fs::create_dir_all(place)?;
    } else {
        make_parent(place)?;
        fs::File::create(place)?;
    }
    let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(tree.as_fd(), "", CWD, place, whole)?)
}

fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

/// Where a directory has that name already, or the place is in one that cannot be written, there
/// is nothing to link.
fn place_link(link: &Path, target: &Path) -> io::Result<()> {
    let link = below(link);
    if fs::symlink_metadata(link).is_ok() {
        return Ok(());
    }
    make_parent(link)?;
    std::os::unix::fs::symlink(target, link)
}

fn copy(content: BorrowedFd<'_>, place: &str, mode: u32) -> io::Result<()> {
    let place = below(Path::new(place));
    make_parent(place)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(place, flags, Mode::from_raw_mode(mode))?;
    let size = fstat(content)?.st_size.unsigned_abs();
    let mut offset = 0;
    while offset < size {
        let rest = usize::try_from(size - offset).unwrap_or(usize::MAX);
        // It moves `offset` on by what it has copied.
        if sendfile(&file, content, Some(&mut offset), rest)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Exchanges the roots and drops the old one. Called in the new one.
fn move_in() -> io::Result<()> {
    pivot_root(".", ".")?;
    // The old root lies on top of the new one now.
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty())?;
    protect(root.as_fd())
}
