//! A segment under loom. The descriptor is a real one and says which segment it is; the memory is
//! on the heap, its control words are loom's, and payload is a tag for each line: a reader gets
//! some version of each line, whichever the orderings let it see.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicUsize;

use crate::geometry::LINE;
use crate::sync::{AtomicU32, AtomicU64, word};

/// Where payload begins.
const PAYLOAD: usize = 4096;
/// What there is memory for: two slots, and 128 bytes each of statistics and parameters. More
/// would be more for loom to look at.
const CONTROL_LINES: usize = 4;
const PAYLOAD_LINES: usize = 6;
/// Words that may be in use at the beginning of a control line.
const WORDS: usize = 16;

/// What this side may do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// One side's mapping of a segment.
pub(crate) struct Mapping {
    segment: Rc<Segment>,
    len: usize,
    access: Access,
}

struct Segment {
    /// The first four bytes of a control line, the next four, and so on, as a word and as a wide
    /// word each.
    words: Vec<(AtomicU32, AtomicU64)>,
    lines: Vec<Line>,
}

struct Line {
    /// Which version there is: an index into `versions`.
    tag: AtomicUsize,
    /// Everything that was ever here.
    versions: RefCell<Vec<[u8; LINE]>>,
}

thread_local! {
    static SEGMENTS: RefCell<HashMap<u64, Weak<Segment>>> = RefCell::default();
}

impl Mapping {
    /// Every mapping of one memfd is of the same memory.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize, access: Access) -> rustix::io::Result<Self> {
        let inode = rustix::fs::fstat(fd)?.st_ino;
        let segment = SEGMENTS.with(|segments| {
            let mut segments = segments.borrow_mut();
            let known = segments.get(&inode).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let segment = Rc::new(Segment::new());
                segments.insert(inode, Rc::downgrade(&segment));
                segment
            })
        });
        Ok(Self {
            segment,
            len,
            access,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) {
        self.check(offset, to.len(), 16);
        for (at, byte) in pieces(offset, to.len()) {
            let line = &self.segment.lines[at.line];
            let tag = line.tag.load(Relaxed);
            let version = line.versions.borrow()[tag];
            to[byte..byte + at.len].copy_from_slice(&version[at.offset..at.offset + at.len]);
        }
    }

    pub(crate) fn write(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len(), 16);
        assert_eq!(self.access, Access::Write);
        for (at, byte) in pieces(offset, from.len()) {
            let line = &self.segment.lines[at.line];
            let tag = {
                let mut versions = line.versions.borrow_mut();
                // A segment has one writer, so that the newest version is what this side wrote.
                let mut version = *versions.last().unwrap();
                version[at.offset..at.offset + at.len].copy_from_slice(&from[byte..byte + at.len]);
                versions.push(version);
                versions.len() - 1
            };
            line.tag.store(tag, Relaxed);
        }
    }

    /// There is no address to write to.
    pub(crate) fn address(&self, _offset: usize, _len: usize) -> *mut u8 {
        unreachable!("the model has no memory for foreign code")
    }

    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4, 4);
        &self.segment.words[index(offset)].0
    }

    pub(crate) fn wide_word(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8, 8);
        &self.segment.words[index(offset)].1
    }

    fn check(&self, offset: usize, len: usize, align: usize) {
        assert!(offset.is_multiple_of(align) && offset + len <= self.len);
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").finish_non_exhaustive()
    }
}

impl Segment {
    fn new() -> Self {
        let line = || Line {
            tag: AtomicUsize::new(0),
            versions: RefCell::new(vec![[0; LINE]]),
        };
        Self {
            words: (0..CONTROL_LINES * WORDS).map(|_| word()).collect(),
            lines: (0..PAYLOAD_LINES).map(|_| line()).collect(),
        }
    }
}

fn index(offset: usize) -> usize {
    let within = offset % LINE / 4;
    assert!(within < WORDS, "the model has no word at {offset}");
    offset / LINE * WORDS + within
}

/// A part of one line.
struct Part {
    line: usize,
    offset: usize,
    len: usize,
}

/// The lines that a range of payload lies in, each with where its part begins in the range.
fn pieces(offset: usize, len: usize) -> impl Iterator<Item = (Part, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset - PAYLOAD + done;
        let part = Part {
            line: at / LINE,
            offset: at % LINE,
            len: (LINE - at % LINE).min(len - done),
        };
        let begin = done;
        done += part.len;
        Some((part, begin))
    })
}
