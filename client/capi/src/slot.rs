//! The next slot, in the caller's hands.
//!
//! In Rust a guard borrows the session for as long as its slot is being filled. C cannot borrow, and
//! needs no more than what the guard promises when it is dropped: the slot is free, the next frame
//! gets it, and what was written is still there. So the guard is dropped once the address is known,
//! and taken again when the frame is submitted; until then no other frame may take it.

use std::ffi::{c_int, c_void};

use coldshoe::{Frame, StatisticsGuard, SubmitError, Ticket};

use crate::entry::enter;
use crate::fail::Fail;
use crate::record::{Filled, Out, Record, read};
use crate::session::within;
use crate::{coldshoe_error, coldshoe_frame, coldshoe_session};

/// A slot that the pipeline or its hardware fills in place. Filled by coldshoe_session_claim_slot().
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_slot {
    /// sizeof(struct coldshoe_slot)
    pub struct_size: usize,
    /// Where the statistics go, aligned to 16 bytes. The worker reads there and cannot write.
    pub address: *mut c_void,
    /// Bytes there is room for.
    pub capacity: usize,
}

// SAFETY: three words, the first its size, and any bytes are a number or a pointer.
unsafe impl Record for coldshoe_slot {}

/// Claims the slot of the next frame, so that its statistics need not be copied. It is the caller's
/// until it is submitted, queued or abandoned, and no other frame can be submitted meanwhile; waiting
/// is allowed. Never waits itself.
///
/// COLDSHOE_ERROR_FULL: there is none, go on with the last parameters.
/// COLDSHOE_ERROR_MODULE_FAILED: the same; see coldshoe_session_fault(). Both count as a frame that
/// was skipped. COLDSHOE_ERROR_STATE (not started, or it is claimed already), COLDSHOE_ERROR_ARGUMENT,
/// COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_claim_slot(
    session: *mut coldshoe_session,
    slot: *mut coldshoe_slot,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let slot = Filled::new(slot, "slot")?;
            within(session, |state| {
                if state.claimed {
                    return Err(Fail::Slot { claimed: true });
                }
                let mut guard = state.session.statistics()?;
                slot.fill(&coldshoe_slot {
                    struct_size: size_of::<coldshoe_slot>(),
                    address: guard.address().cast(),
                    capacity: guard.capacity(),
                });
                state.claimed = true;
                Ok(())
            })
        })
    }
}

/// Publishes the frame whose statistics are the first `len` bytes of the claimed slot, which must not
/// be written to any more. `*ticket` as of coldshoe_session_submit().
///
/// On failure the slot is still claimed: COLDSHOE_ERROR_ARGUMENT (more than its capacity among
/// others), COLDSHOE_ERROR_STATE (no slot is claimed), COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_submit_slot(
    session: *mut coldshoe_session,
    frame: *const coldshoe_frame,
    len: usize,
    ticket: *mut u64,
    error: *mut *mut coldshoe_error,
) -> c_int {
    let submit = |guard: StatisticsGuard<'_>, frame: &Frame| guard.submit(frame, len);
    // SAFETY: the caller's pointers, as the header says.
    unsafe { given_back(session, frame, len, ticket, error, submit) }
}

/// The same without waking the worker yet, for several frames that are ready at once: see
/// coldshoe_session_ring().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_queue_slot(
    session: *mut coldshoe_session,
    frame: *const coldshoe_frame,
    len: usize,
    ticket: *mut u64,
    error: *mut *mut coldshoe_error,
) -> c_int {
    let queue = |guard: StatisticsGuard<'_>, frame: &Frame| guard.queue(frame, len);
    // SAFETY: the caller's pointers, as the header says.
    unsafe { given_back(session, frame, len, ticket, error, queue) }
}

/// Gives the claimed slot back without a frame. COLDSHOE_ERROR_STATE (no slot is claimed),
/// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_abandon_slot(
    session: *mut coldshoe_session,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            within(session, |state| match state.claimed {
                true => {
                    state.claimed = false;
                    Ok(())
                }
                false => Err(Fail::Slot { claimed: false }),
            })
        })
    }
}

/// # Safety
/// Each pointer is NULL or what the header says.
unsafe fn given_back(
    session: *mut coldshoe_session,
    frame: *const coldshoe_frame,
    len: usize,
    ticket: *mut u64,
    error: *mut *mut coldshoe_error,
    publish: impl FnOnce(StatisticsGuard<'_>, &Frame) -> Ticket,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        enter(error, || {
            let frame = read(frame, "frame")?.checked()?;
            let ticket = Out::new(ticket, "ticket")?;
            within(session, |state| {
                if !state.claimed {
                    return Err(Fail::Slot { claimed: false });
                }
                let capacity = state.sizes.stats_capacity;
                if len > capacity {
                    return Err(SubmitError::TooLarge { len, capacity }.into());
                }
                let published = state.session.statistics();
                let published = published.map(|guard| publish(guard, &frame));
                // The worker may have failed since the slot was claimed.
                let published = state.session.or_skipped(published)?;
                state.claimed = false;
                ticket.set(state.tickets.put(published));
                Ok(())
            })
        })
    }
}
