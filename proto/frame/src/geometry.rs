//! Where things lie in the two segments.

use crate::record::{FrameContext, FrameReply};

/// At most this many frames in flight.
pub const MAX_SLOTS: u32 = 16;
/// At most this many registered buffers.
pub const MAX_BUFFERS: usize = 16;
/// At most this many bytes of statistics or parameters a slot.
pub const MAX_CAPACITY: u32 = 16 << 20;

/// At most this many bytes of a module's saved state.
pub const MAX_STATE: usize = 32 << 10;
/// Saved states that a return segment has room for: while one is written the other is whole.
pub(crate) const CHECKPOINTS: usize = 2;

/// A cache line pair: neighbouring control words must not share what a prefetcher fetches.
pub(crate) const LINE: usize = 128;
const PAGE: usize = 4096;
/// Bytes of a forward segment for what its pipeline counts. Nothing counts under loom.
const LEDGER: usize = if cfg!(loom) { 0 } else { PAGE };

/// Why a geometry was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// Not a power of two in 1..=16.
    #[error("{0} slots: the number of slots must be a power of two from 1 to {MAX_SLOTS}")]
    Slots(u32),
    /// Not in 1..=16 MiB.
    #[error("capacity of {0} bytes: it must be from 1 to {MAX_CAPACITY} bytes a slot")]
    Capacity(u32),
}

/// Number of slots and bytes a slot; everything else about the segments follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    slots: u32,
    stats_capacity: u32,
    params_capacity: u32,
}

impl Geometry {
    /// `slots`: a power of two from 1 to 16; capacities in bytes, 1 to 16 MiB.
    pub fn new(
        slots: u32,
        stats_capacity: u32,
        params_capacity: u32,
    ) -> Result<Self, GeometryError> {
        if !slots.is_power_of_two() || slots > MAX_SLOTS {
            return Err(GeometryError::Slots(slots));
        }
        for capacity in [stats_capacity, params_capacity] {
            if capacity == 0 || capacity > MAX_CAPACITY {
                return Err(GeometryError::Capacity(capacity));
            }
        }
        Ok(Self {
            slots,
            stats_capacity,
            params_capacity,
        })
    }

    /// Frames that can be in flight.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Bytes of statistics a slot.
    pub fn stats_capacity(&self) -> usize {
        self.stats_capacity as usize
    }

    /// Bytes of parameters a slot.
    pub fn params_capacity(&self) -> usize {
        self.params_capacity as usize
    }

    /// Size of the forward segment in bytes, a multiple of the page.
    pub fn forward_len(&self) -> usize {
        self.context(0) + (self.slots as usize * self.forward_stride()).next_multiple_of(PAGE)
    }

    /// Size of the return segment in bytes, a multiple of the page: replies, then checkpoints.
    pub fn return_len(&self) -> usize {
        self.checkpoint(CHECKPOINTS)
    }

    /// The part of the return segment that the pipeline maps, a multiple of the page.
    pub(crate) fn replies_len(&self) -> usize {
        self.payload_base() + (self.slots as usize * self.return_stride()).next_multiple_of(PAGE)
    }

    /// Header of a checkpoint, a line of its own; the state follows it.
    pub(crate) fn checkpoint(&self, index: usize) -> usize {
        self.replies_len() + index * (LINE + MAX_STATE).next_multiple_of(PAGE)
    }

    /// Slot of a frame.
    pub(crate) fn slot(&self, seq: u64) -> usize {
        (seq % u64::from(self.slots)) as usize
    }

    /// Both segments: control words in the first two lines, then one line a slot header.
    pub(crate) fn header(&self, slot: usize) -> usize {
        2 * LINE + slot * LINE
    }

    /// What the pipeline counts, between the headers and the first frame context.
    pub(crate) fn ledger(&self) -> usize {
        self.payload_base()
    }

    /// Frame context of a slot; the statistics follow it.
    pub(crate) fn context(&self, slot: usize) -> usize {
        self.ledger() + LEDGER + slot * self.forward_stride()
    }

    /// Statistics of a slot.
    pub(crate) fn stats(&self, slot: usize) -> usize {
        self.context(slot) + FrameContext::SIZE
    }

    /// Reply record of a slot; the parameters follow it.
    pub(crate) fn reply(&self, slot: usize) -> usize {
        self.payload_base() + slot * self.return_stride()
    }

    /// Parameters of a slot.
    pub(crate) fn params(&self, slot: usize) -> usize {
        self.reply(slot) + FrameReply::SIZE
    }

    fn payload_base(&self) -> usize {
        self.header(self.slots as usize).next_multiple_of(PAGE)
    }

    fn forward_stride(&self) -> usize {
        (FrameContext::SIZE + self.stats_capacity()).next_multiple_of(LINE)
    }

    fn return_stride(&self) -> usize {
        (FrameReply::SIZE + self.params_capacity()).next_multiple_of(LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn geometry_with_odd_slots_or_sizes_is_refused() {
        for slots in [0, 3, 32, u32::MAX] {
            assert_eq!(Geometry::new(slots, 1, 1), Err(GeometryError::Slots(slots)));
        }
        for capacity in [0, MAX_CAPACITY + 1, u32::MAX] {
            let refused = Err(GeometryError::Capacity(capacity));
            assert_eq!(Geometry::new(4, capacity, 1), refused);
            assert_eq!(Geometry::new(4, 1, capacity), refused);
        }
    }

    proptest! {
        #![proptest_config(crate::cases())]

        #[test]
        fn nothing_overlaps_and_all_lies_inside(
            slots in 0u32..=4, stats in 1u32..100_000, params in 1u32..100_000,
        ) {
            let g = Geometry::new(1 << slots, stats, params).unwrap();
            let n = g.slots() as usize;
            prop_assert!(g.header(n) <= g.ledger() && g.header(n) <= g.reply(0));
            prop_assert!(g.ledger() < g.context(0));
            for slot in 0..n {
                prop_assert_eq!(g.context(slot) % 16, 0);
                prop_assert_eq!(g.params(slot) % 16, 0);
                let stats_end = g.stats(slot) + g.stats_capacity();
                let params_end = g.params(slot) + g.params_capacity();
                let last = slot + 1 == n;
                let (forward_end, return_end) = if last {
                    (g.forward_len(), g.replies_len())
                } else {
                    (g.context(slot + 1), g.reply(slot + 1))
                };
                prop_assert!(stats_end <= forward_end && params_end <= return_end);
            }
            prop_assert_eq!(g.checkpoint(0) % LINE, 0);
            prop_assert!(g.checkpoint(0) + LINE + MAX_STATE <= g.checkpoint(1));
            prop_assert!(g.checkpoint(1) + LINE + MAX_STATE <= g.return_len());
        }
    }
}
