//! What became of a buffer, in a fixed amount of memory.

use coldshoe_isp::{HEADER_SIZE, KIND_LIMIT, ParseError};

/// Blocks of unknown type that are named in a report; all are counted.
pub const UNKNOWN_NAMED: usize = 16;

const KINDS: usize = KIND_LIMIT as usize;

/// Why a block is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The format has no such block.
    Unknown,
    /// It comes more than once: none of them passes, so that their order does not matter.
    Duplicate,
    /// This hardware does not have it.
    Unsupported,
    /// A flag without a meaning, or enable and disable at once.
    Flags {
        /// The flags.
        flags: u16,
    },
    /// Not the size that the format says.
    Size {
        /// Bytes found, header included.
        got: u32,
    },
    /// A bit that no field has is set.
    Reserved {
        /// The byte, from the end of the block's header.
        at: u32,
    },
    /// A field says what it may not.
    Range {
        /// Number of the field in the contract's order.
        field: u16,
        /// Element of the field.
        index: u32,
        /// What it says.
        value: i64,
    },
    /// A curve that has to rise falls.
    Falls {
        /// Number of the field in the contract's order.
        field: u16,
        /// The first element below the one before it.
        index: u32,
    },
}

/// A reason without its particulars: what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// [`Reason::Unknown`].
    Unknown,
    /// [`Reason::Duplicate`].
    Duplicate,
    /// [`Reason::Unsupported`].
    Unsupported,
    /// [`Reason::Flags`].
    Flags,
    /// [`Reason::Size`].
    Size,
    /// [`Reason::Reserved`].
    Reserved,
    /// [`Reason::Range`].
    Range,
    /// [`Reason::Falls`].
    Falls,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Duplicate,
        Self::Unsupported,
        Self::Flags,
        Self::Size,
        Self::Reserved,
        Self::Range,
        Self::Falls,
    ];

    /// One word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Duplicate => "duplicate",
            Self::Unsupported => "unsupported",
            Self::Flags => "flags",
            Self::Size => "size",
            Self::Reserved => "reserved",
            Self::Range => "range",
            Self::Falls => "falls",
        }
    }
}

impl Reason {
    /// What it is counted as.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Unknown => Class::Unknown,
            Self::Duplicate => Class::Duplicate,
            Self::Unsupported => Class::Unsupported,
            Self::Flags { .. } => Class::Flags,
            Self::Size { .. } => Class::Size,
            Self::Reserved { .. } => Class::Reserved,
            Self::Range { .. } => Class::Range,
            Self::Falls { .. } => Class::Falls,
        }
    }
}

/// Why a buffer is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Whole {
    /// Its lengths do not add up: where a block ends cannot be known.
    #[error(transparent)]
    Framing(#[from] ParseError),
    /// Larger than every block once.
    #[error("parameter buffer has {len} bytes, the format {max} at most; send each block once")]
    Long {
        /// Bytes found.
        len: usize,
        /// Bytes of every block once.
        max: usize,
    },
    /// Of another version.
    #[error("parameter buffer has version {got}, the format is version {want}; rebuild the sender")]
    Version {
        /// Version found.
        got: u32,
        /// Version of the format.
        want: u32,
    },
    /// A block is refused, and the contract does not go on without.
    #[error(
        "{0} blocks are refused, and the contract says to refuse the buffer with them; see why"
    )]
    Blocks(u32),
    /// There is no room for the blocks that passed.
    #[error("{need} bytes passed and there is room for {room}; give as much as came")]
    NoRoom {
        /// Bytes that passed.
        need: usize,
        /// Bytes given.
        room: usize,
    },
}

/// A block that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Its type.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// Where its header starts in the buffer.
    pub offset: u32,
    /// Bytes, header included.
    pub size: u32,
}

/// A block that did not, or all of one type where they are duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its type.
    pub kind: u16,
    /// Where the header of the first starts in the buffer.
    pub offset: u32,
    /// How many blocks this is about.
    pub times: u32,
    /// What is wrong.
    pub reason: Reason,
}

/// What became of a buffer. Made once and filled anew by each call, without allocating.
#[derive(Clone, Debug)]
pub struct Report {
    accepted: [Accepted; KINDS],
    accepted_len: usize,
    refusals: [Refusal; KINDS + UNKNOWN_NAMED],
    refusals_len: usize,
    unknown: usize,
    refused: u32,
    whole: Option<Whole>,
}

impl Default for Report {
    fn default() -> Self {
        let nothing = Refusal {
            kind: 0,
            offset: 0,
            times: 0,
            reason: Reason::Unknown,
        };
        Self {
            accepted: [Accepted::default(); KINDS],
            accepted_len: 0,
            refusals: [nothing; KINDS + UNKNOWN_NAMED],
            refusals_len: 0,
            unknown: 0,
            refused: 0,
            whole: None,
        }
    }
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The blocks that passed, in the order they came; none of a buffer that is refused whole.
    #[must_use]
    pub fn accepted(&self) -> &[Accepted] {
        self.accepted.get(..self.accepted_len).unwrap_or_default()
    }

    /// Those that did not: each type of the format at most once, and the first
    /// [`UNKNOWN_NAMED`] of no type of the format.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        self.refusals.get(..self.refusals_len).unwrap_or_default()
    }

    /// How many blocks were refused, named or not.
    #[must_use]
    pub const fn refused(&self) -> u32 {
        self.refused
    }

    /// How many of them the format does not have.
    #[must_use]
    pub const fn unknown(&self) -> usize {
        self.unknown
    }

    /// Why the buffer was refused as a whole, if it was.
    #[must_use]
    pub const fn whole(&self) -> Option<Whole> {
        self.whole
    }

    /// Bytes of a buffer of the blocks that passed.
    #[must_use]
    pub fn accepted_size(&self) -> usize {
        let sizes = self.accepted().iter().map(|block| block.size as usize);
        HEADER_SIZE + sizes.sum::<usize>()
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.accepted_len = 0;
        self.refusals_len = 0;
        self.unknown = 0;
        self.refused = 0;
        self.whole = None;
    }

    #[inline]
    pub(crate) fn accept(&mut self, block: Accepted) {
        // Types are below the limit and pass once.
        if let Some(place) = self.accepted.get_mut(self.accepted_len) {
            *place = block;
            self.accepted_len += 1;
        }
    }

    #[cold]
    pub(crate) fn refuse(&mut self, kind: u16, offset: u32, reason: Reason) {
        self.refused = self.refused.saturating_add(1);
        if reason == Reason::Duplicate {
            let mut named = self.refusals.iter_mut().take(self.refusals_len);
            if let Some(named) = named.find(|refusal| refusal.kind == kind) {
                named.times += 1;
                return;
            }
        }
        if reason == Reason::Unknown {
            self.unknown += 1;
            if self.unknown > UNKNOWN_NAMED {
                return;
            }
        }
        if let Some(place) = self.refusals.get_mut(self.refusals_len) {
            *place = Refusal {
                kind,
                offset,
                times: 1,
                reason,
            };
            self.refusals_len += 1;
        }
    }

    #[cold]
    pub(crate) fn refuse_whole(&mut self, whole: Whole) -> Whole {
        self.accepted_len = 0;
        self.whole = Some(whole);
        whole
    }
}
