//! Segments as file descriptors: creation, seals, checks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use memfd::MemfdOptions;
use rustix::fs::{SealFlags, fcntl_get_seals, fstat, fstatfs};

use crate::{Geometry, MAX_CAPACITY};

/// `linux/magic.h`.
const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;

/// Why a segment cannot be made or must not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// Not a memfd, or one without sealing.
    #[error("the segment is not a sealable memfd: create it with MFD_ALLOW_SEALING")]
    NotAMemfd,
    /// Made of huge pages, which cannot be mapped in part.
    #[error("the segment is made of huge pages: create it without MFD_HUGETLB")]
    HugePages,
    /// A seal is missing.
    #[error(
        "the segment lacks the seal {0}: without it a peer could end the other side with SIGBUS or write what it may only read; seal it before passing it on"
    )]
    Unsealed(&'static str),
    /// Too small or too large for the geometry.
    #[error("the segment has {found} bytes, its geometry needs {needed}")]
    Size {
        /// Size of the file.
        found: u64,
        /// Size that the geometry asks for.
        needed: u64,
    },
    /// A buffer is too small or too large.
    #[error("a buffer of {0} bytes: it must have 1 to {MAX_CAPACITY}")]
    BufferSize(u64),
    /// The kernel refused.
    #[error("cannot {step} a segment: {source}")]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl SegmentError {
    pub(crate) fn kernel(step: &'static str, source: impl Into<std::io::Error>) -> Self {
        Self::Kernel {
            step,
            source: source.into(),
        }
    }
}

/// A fresh memfd of `len` bytes, without seals yet.
pub(crate) fn create(name: &str, len: usize) -> Result<OwnedFd, SegmentError> {
    let memfd = MemfdOptions::default()
        .allow_sealing(true)
        .close_on_exec(true)
        .create(name)
        .map_err(|error| SegmentError::kernel("create", std::io::Error::other(error)))?;
    memfd
        .as_file()
        .set_len(len as u64)
        .map_err(|error| SegmentError::kernel("size", error))?;
    Ok(memfd.into_file().into())
}

/// Seals that keep a size.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Gives a memfd a size for good.
pub(crate) fn seal_size(fd: BorrowedFd<'_>) -> Result<(), SegmentError> {
    seal(fd, SIZE_SEALS)
}

/// Seals a forward segment. Its writer's own mapping must exist by now: none can be made later.
pub(crate) fn seal_forward(fd: BorrowedFd<'_>) -> Result<(), SegmentError> {
    seal(fd, SIZE_SEALS | SealFlags::FUTURE_WRITE | SealFlags::SEAL)
}

fn seal(fd: BorrowedFd<'_>, seals: SealFlags) -> Result<(), SegmentError> {
    rustix::fs::fcntl_add_seals(fd, seals).map_err(|error| SegmentError::kernel("seal", error))
}

/// Makes a sealed return segment for `geometry`.
pub fn create_return(geometry: &Geometry) -> Result<OwnedFd, SegmentError> {
    let fd = create("coldshoe-return", geometry.return_len())?;
    seal(fd.as_fd(), SIZE_SEALS | SealFlags::SEAL)?;
    Ok(fd)
}

/// Seals of memory that its maker alone writes.
const ONE_WRITER: [(SealFlags, &str); 4] = [
    (SealFlags::SHRINK, "SHRINK"),
    (SealFlags::GROW, "GROW"),
    (SealFlags::FUTURE_WRITE, "FUTURE_WRITE"),
    (SealFlags::SEAL, "SEAL"),
];

/// Checks a forward segment that a client made: seals and size.
pub fn verify_forward(fd: BorrowedFd<'_>, geometry: &Geometry) -> Result<(), SegmentError> {
    verify(fd, &ONE_WRITER, geometry.forward_len())
}

/// Checks a buffer that a client made: seals and size. Returns its size in bytes.
pub fn verify_buffer(fd: BorrowedFd<'_>) -> Result<usize, SegmentError> {
    let found = sealed_size(fd, &ONE_WRITER)?;
    match usize::try_from(found) {
        Ok(len) if (1..=MAX_CAPACITY as usize).contains(&len) => Ok(len),
        _ => Err(SegmentError::BufferSize(found)),
    }
}

/// Checks a return segment: seals and size.
pub fn verify_return(fd: BorrowedFd<'_>, geometry: &Geometry) -> Result<(), SegmentError> {
    let needed = [
        (SealFlags::SHRINK, "SHRINK"),
        (SealFlags::GROW, "GROW"),
        (SealFlags::SEAL, "SEAL"),
    ];
    verify(fd, &needed, geometry.return_len())
}

fn verify(
    fd: BorrowedFd<'_>,
    needed: &[(SealFlags, &'static str)],
    len: usize,
) -> Result<(), SegmentError> {
    let found = sealed_size(fd, needed)?;
    let needed = len as u64;
    if found != needed {
        return Err(SegmentError::Size { found, needed });
    }
    Ok(())
}

/// Size in bytes of a memfd that has all the seals.
fn sealed_size(
    fd: BorrowedFd<'_>,
    needed: &[(SealFlags, &'static str)],
) -> Result<u64, SegmentError> {
    let seals = fcntl_get_seals(fd.as_fd()).map_err(|_| SegmentError::NotAMemfd)?;
    for (seal, name) in needed {
        if !seals.contains(*seal) {
            return Err(SegmentError::Unsealed(name));
        }
    }
    let file_system = fstatfs(fd)
        .map_err(|error| SegmentError::kernel("look at", error))?
        .f_type;
    if file_system as i64 == HUGETLBFS_MAGIC {
        return Err(SegmentError::HugePages);
    }
    let stat = fstat(fd).map_err(|error| SegmentError::kernel("stat", error))?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}
