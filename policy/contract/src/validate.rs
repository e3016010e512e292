//! From a buffer to what of it may go on.

use coldshoe_isp::{Framed, Frames, HEADER_SIZE, KIND_LIMIT};

use crate::contract::{Contract, Mode};
use crate::report::{Accepted, Reason, Report, Whole};

/// Bit 0 of a block's flags: switch it off.
const DISABLE: u16 = 1;
/// Bit 1: configure it and switch it on.
const ENABLE: u16 = 1 << 1;

/// What became of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it passed.
    Accepted,
    /// Some blocks are refused, and the others passed.
    Dropped,
    /// Nothing of it passed.
    Refused(Whole),
}

impl Contract {
    /// Judges a whole buffer: a private copy, which nobody else can change any more.
    ///
    /// A block passes if the format has its type, it comes once, the hardware has it (its bit of
    /// `capabilities` is set), its flags have a meaning and do not contradict each other, its size
    /// is the format's (or that of a header where it is switched off), no reserved bit is set and
    /// every field says what it may. The body of a block that is switched off has no meaning: it is
    /// as documented, or all zero. Each refusal tells the first of these that does not hold, and
    /// within a body a reserved bit before the first field that is wrong.
    ///
    /// Whether a block passes does not depend on where in the buffer it is: of duplicates none does.
    ///
    /// The report is filled anew. Nothing is allocated, and the time is bounded by the size of the
    /// largest buffer that the format has.
    pub fn validate(&self, buffer: &[u8], capabilities: u64, report: &mut Report) -> Verdict {
        report.clear();
        let frames = match self.frames(buffer) {
            Ok(frames) => frames,
            Err(whole) => return Verdict::Refused(report.refuse_whole(whole)),
        };
        let again = duplicates(&frames);
        for block in &frames {
            // Offset and size fit: a buffer is no larger than its `data_size` says.
            let offset = block.offset as u32;
            match self.judge(&block, capabilities, again) {
                Ok(()) => report.accept(Accepted {
                    kind: block.kind,
                    flags: block.flags,
                    offset,
                    size: (HEADER_SIZE + block.body.len()) as u32,
                }),
                Err(reason) => report.refuse(block.kind, offset, reason),
            }
        }
        match (report.refused(), self.mode) {
            (0, _) => Verdict::Accepted,
            (_, Mode::Drop) => Verdict::Dropped,
            (refused, Mode::Fail) => Verdict::Refused(report.refuse_whole(Whole::Blocks(refused))),
        }
    }

    /// Judges a buffer and copies what passed to `out`: a buffer again, of the blocks that passed,
    /// byte for byte and in their order. It may have no block.
    ///
    /// # Errors
    /// [`Whole`] where nothing passed, or `out` has no room for what did.
    pub fn admit<'out>(
        &self,
        buffer: &[u8],
        capabilities: u64,
        out: &'out mut [u8],
        report: &mut Report,
    ) -> Result<&'out [u8], Whole> {
        let verdict = self.validate(buffer, capabilities, report);
        if let Verdict::Refused(whole) = verdict {
            return Err(whole);
        }
        let (need, room) = (report.accepted_size(), out.len());
        let Some(out) = out.get_mut(..need) else {
            return Err(report.refuse_whole(Whole::NoRoom { need, room }));
        };
        if verdict == Verdict::Accepted && need == buffer.len() {
            out.copy_from_slice(buffer);
            return Ok(out);
        }
        let (head, mut rest) = out.split_at_mut(HEADER_SIZE);
        head[..4].copy_from_slice(&self.version.to_le_bytes());
        head[4..].copy_from_slice(&((need - HEADER_SIZE) as u32).to_le_bytes());
        for block in report.accepted() {
            let (start, size) = (block.offset as usize, block.size as usize);
            let place;
            (place, rest) = rest.split_at_mut(size);
            place.copy_from_slice(&buffer[start..start + size]);
        }
        Ok(out)
    }

    /// What the kernel looks at first.
    fn frames<'a>(&self, buffer: &'a [u8]) -> Result<Frames<'a>, Whole> {
        if buffer.len() > self.max_payload {
            return Err(Whole::Long {
                len: buffer.len(),
                max: self.max_payload,
            });
        }
        let frames = Frames::parse(buffer)?;
        let (got, want) = (frames.version(), self.version);
        if got != want {
            return Err(Whole::Version { got, want });
        }
        Ok(frames)
    }

    #[inline]
    fn judge(&self, framed: &Framed<'_>, capabilities: u64, again: u64) -> Result<(), Reason> {
        let Some(block) = self.block(framed.kind) else {
            return Err(Reason::Unknown);
        };
        let bit = 1_u64 << framed.kind;
        if again & bit != 0 {
            return Err(Reason::Duplicate);
        }
        if capabilities & bit == 0 {
            return Err(Reason::Unsupported);
        }
        let flags = framed.flags;
        let disable = flags & DISABLE != 0;
        let known = DISABLE | ENABLE | self.driver_flags;
        if flags & !known != 0 || (disable && flags & ENABLE != 0) {
            return Err(Reason::Flags { flags });
        }
        let got = HEADER_SIZE + framed.body.len();
        if got != block.size() {
            return if disable && framed.body.is_empty() {
                Ok(())
            } else {
                Err(Reason::Size { got: got as u32 })
            };
        }
        if disable && framed.body.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        block.judge(framed.body)
    }
}

/// Types that come more than once, a bit each.
#[inline]
fn duplicates(frames: &Frames<'_>) -> u64 {
    let (mut seen, mut again) = (0, 0);
    for block in frames {
        if block.kind < KIND_LIMIT {
            let bit = 1_u64 << block.kind;
            again |= seen & bit;
            seen |= bit;
        }
    }
    again
}
