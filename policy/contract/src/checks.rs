//! A block's fields, compiled into what can be checked fast.
//!
//! Most of what a contract says is that bits are zero: those that no field has, and those above the
//! largest value of a field whose range ends at a power of two. All of that is masks over words of
//! 64 bits, and where many neighbours have the same mask they are ORed before it is laid on them.
//! What is left are a few ranges, sets and curves. The answer is yes or no; who needs the reason
//! looks again, slowly.

use crate::field::{Allowed, Field};

/// Bytes of a word.
const WORD: usize = 8;

/// So many words with the same mask are worth a run of their own.
const LONG: usize = 16;

/// Words that share a mask.
#[derive(Clone, Debug)]
struct Run {
    first: usize,
    end: usize,
    zero: u64,
}

/// Words with a mask each.
#[derive(Clone, Debug)]
struct Mixed {
    first: usize,
    zero: Box<[u64]>,
}

/// Where the numbers of a check lie, and how wide they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
    width: usize,
}

/// A check that masks cannot express.
#[derive(Clone, Debug)]
enum Check {
    /// `number − base` is at most `span`, in the number's own width: signed numbers, too.
    Within { place: Place, base: u32, span: u32 },
    /// The same of some bits of the number.
    BitsWithin {
        place: Place,
        shift: u8,
        mask: u32,
        base: u32,
        span: u32,
    },
    /// Some bits of the number are one of these values.
    OneOf {
        place: Place,
        shift: u8,
        mask: u32,
        values: u64,
    },
    /// No u16 is below the one before it.
    Rises { place: Place },
}

/// All checks of a block's body.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    runs: Box<[Run]>,
    mixed: Box<[Mixed]>,
    checks: Box<[Check]>,
    /// Bits that no field has, word by word.
    reserved: Box<[u64]>,
}

impl Checks {
    /// Compiles fields that neither overlap nor reach past the body.
    pub(crate) fn new(fields: &[Field], body: usize) -> Self {
        let mut reserved = vec![u64::MAX; body / WORD];
        fields
            .iter()
            .for_each(|field| each_word(field, field.mask, |word, bits| reserved[word] &= !bits));
        let mut zero = reserved.clone();
        let mut checks: Vec<Check> = Vec::new();
        for field in fields {
            match compile(field) {
                Some(Compiled::Zero(above)) => {
                    each_word(field, above, |word, bits| zero[word] |= bits);
                }
                Some(Compiled::Check(check)) => {
                    let taken_in = checks.last_mut().is_some_and(|last| last.extend(&check));
                    checks.extend((!taken_in).then_some(check));
                }
                None => {}
            }
            if field.rises {
                let place = Place::of(field);
                checks.push(Check::Rises { place });
            }
        }
        let (runs, mixed) = runs(&zero);
        Self {
            runs,
            mixed,
            checks: checks.into(),
            reserved: reserved.into(),
        }
    }

    /// Whether a body of the block's size is as documented.
    #[inline]
    pub(crate) fn pass(&self, body: &[u8]) -> bool {
        let (words, _) = body.as_chunks::<WORD>();
        let mut set = 0;
        for run in &self.runs {
            let words = words.get(run.first..run.end).unwrap_or_default();
            let any = words
                .iter()
                .fold(0, |any, word| any | u64::from_le_bytes(*word));
            set |= any & run.zero;
        }
        for mixed in &self.mixed {
            let words = words.get(mixed.first..).unwrap_or_default();
            let words = words.iter().zip(&mixed.zero);
            set |= words.fold(0, |any, (word, zero)| {
                any | u64::from_le_bytes(*word) & zero
            });
        }
        set == 0 && self.checks.iter().all(|check| check.pass(body))
    }

    /// The first byte with a reserved bit that is set.
    pub(crate) fn reserved_at(&self, body: &[u8]) -> Option<usize> {
        let (words, _) = body.as_chunks::<WORD>();
        let mut words = words.iter().zip(&self.reserved).enumerate();
        words.find_map(|(at, (word, reserved))| {
            let set = u64::from_le_bytes(*word) & reserved;
            (set != 0).then(|| at * WORD + set.trailing_zeros() as usize / 8)
        })
    }
}

/// What becomes of the values that a field may have.
enum Compiled {
    /// These bits of each number are zero.
    Zero(u32),
    Check(Check),
}

/// None where a field may say all that its bits can.
fn compile(field: &Field) -> Option<Compiled> {
    let shift = field.bits.map_or(0, |(first, _)| first);
    let place = Place::of(field);
    let (least, most) = match field.bits {
        Some(_) => (0, i64::from(field.mask >> shift)),
        None => field.number.range(),
    };
    let (min, max) = match &field.allowed {
        Allowed::Range { min, max } => (*min, *max),
        Allowed::Values(values) => {
            let set = values
                .iter()
                .fold(0_u64, |set, (value, _)| set | 1 << value);
            // Those that are every number from zero on are a range.
            match set.checked_add(1).map(u64::is_power_of_two) {
                Some(true) => (0, i64::from(set.trailing_ones()) - 1),
                _ => {
                    return Some(Compiled::Check(Check::OneOf {
                        place,
                        shift,
                        mask: field.mask,
                        values: set,
                    }));
                }
            }
        }
    };
    if min <= least && max >= most {
        return None;
    }
    // Both are within the type: parsing saw to it.
    let (base, span) = (min as u32, (max - min) as u32);
    if min == 0 && !field.number.is_signed() && span.checked_add(1)?.is_power_of_two() {
        return Some(Compiled::Zero(field.mask & !(span << shift)));
    }
    Some(Compiled::Check(if field.mask == field.number.ones() {
        Check::Within { place, base, span }
    } else {
        Check::BitsWithin {
            place,
            shift,
            mask: field.mask,
            base,
            span,
        }
    }))
}

impl Place {
    fn of(field: &Field) -> Self {
        Self {
            start: field.offset,
            end: field.end(),
            width: field.number.width(),
        }
    }

    /// Whether `all` numbers here are as asked.
    #[inline]
    fn all(self, body: &[u8], good: impl Fn(u32) -> bool) -> bool {
        let bytes = body.get(self.start..self.end).unwrap_or_default();
        match self.width {
            1 => bytes.iter().all(|byte| good((*byte).into())),
            2 => {
                let (numbers, _) = bytes.as_chunks();
                let mut numbers = numbers.iter().map(|number| u16::from_le_bytes(*number));
                numbers.all(|number| good(number.into()))
            }
            _ => {
                let (numbers, _) = bytes.as_chunks();
                let mut numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
                numbers.all(good)
            }
        }
    }
}

impl Check {
    /// Takes in a check that goes on where this one ends, if it is the same.
    fn extend(&mut self, next: &Self) -> bool {
        let (
            Self::Within { place, base, span },
            Self::Within {
                place: after,
                base: base_after,
                span: span_after,
            },
        ) = (self, next)
        else {
            return false;
        };
        let same = (place.end, place.width, *base, *span)
            == (after.start, after.width, *base_after, *span_after);
        if same {
            place.end = after.end;
        }
        same
    }

    #[inline]
    fn pass(&self, body: &[u8]) -> bool {
        match *self {
            Self::Within { place, base, span } => within(body, place, base, span),
            Self::BitsWithin {
                place,
                shift,
                mask,
                base,
                span,
            } => place.all(body, |bits| {
                ((bits & mask) >> shift).wrapping_sub(base) <= span
            }),
            Self::OneOf {
                place,
                shift,
                mask,
                values,
            } => place.all(body, |bits| {
                let value = (bits & mask) >> shift;
                value < u64::BITS && values & 1 << value != 0
            }),
            Self::Rises { place } => {
                let bytes = body.get(place.start..place.end).unwrap_or_default();
                let (numbers, _) = bytes.as_chunks();
                let pairs = numbers.iter().zip(numbers.iter().skip(1));
                // No early end: so it is done eight at a time.
                !pairs.fold(false, |falls, (left, right)| {
                    falls | (u16::from_le_bytes(*right) < u16::from_le_bytes(*left))
                })
            }
        }
    }
}

/// Loops without an early end: so they are done many numbers at a time.
#[inline]
fn within(body: &[u8], place: Place, base: u32, span: u32) -> bool {
    let bytes = body.get(place.start..place.end).unwrap_or_default();
    match place.width {
        1 => {
            let (base, span) = (base as u8, span as u8);
            !bytes
                .iter()
                .fold(false, |bad, byte| bad | (byte.wrapping_sub(base) > span))
        }
        2 => {
            let (base, span) = (base as u16, span as u16);
            let (numbers, _) = bytes.as_chunks();
            !numbers.iter().fold(false, |bad, number| {
                bad | (u16::from_le_bytes(*number).wrapping_sub(base) > span)
            })
        }
        _ => {
            let (numbers, _) = bytes.as_chunks();
            !numbers.iter().fold(false, |bad, number| {
                bad | (u32::from_le_bytes(*number).wrapping_sub(base) > span)
            })
        }
    }
}

/// `bits` of every number of a field, in the words where they lie.
fn each_word(field: &Field, bits: u32, mut with: impl FnMut(usize, u64)) {
    let width = field.number.width();
    for index in 0..field.len {
        // Aligned numbers lie within a word.
        let at = field.offset + index * width;
        with(at / WORD, u64::from(bits) << (at % WORD * 8));
    }
}

/// Long runs of one mask, and what lies between them. Words without a mask are in neither, but for
/// those within what lies between.
fn runs(zero: &[u64]) -> (Box<[Run]>, Box<[Mixed]>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut mixed: Vec<Mixed> = Vec::new();
    let mut pending: Option<usize> = None;
    let mut close = |pending: &mut Option<usize>, end: usize| {
        let Some(first) = pending.take() else { return };
        let words = &zero[first..end];
        let last = words.iter().rposition(|zero| *zero != 0);
        let words = &words[..last.map_or(0, |last| last + 1)];
        let empty = words.iter().take_while(|zero| **zero == 0).count();
        if !words.is_empty() {
            mixed.push(Mixed {
                first: first + empty,
                zero: words[empty..].into(),
            });
        }
    };
    let mut first = 0;
    for same in zero.chunk_by(|one, other| one == other) {
        let end = first + same.len();
        if same.len() >= LONG {
            close(&mut pending, first);
            if same[0] != 0 {
                runs.push(Run {
                    first,
                    end,
                    zero: same[0],
                });
            }
        } else {
            pending.get_or_insert(first);
        }
        first = end;
    }
    close(&mut pending, first);
    (runs.into(), mixed.into())
}
